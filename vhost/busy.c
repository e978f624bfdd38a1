// SPDX-License-Identifier: GPL-2.0-only
/*
 * Busy polling (VHOST_SET_VRING_BUSYLOOP_TIMEOUT).
 *
 * A queue that has run dry leaves its driver without the wish for a kick and
 * puts itself into its worker's list. The worker gives each queue of the list a
 * look between works, and goes on with it when there is no work, until a queue
 * has something to do, its time is over, or somebody else wants the processor.
 * Then it asks for a kick, and looks once more.
 *
 * So a queue that is polled holds nothing while it waits: not its mutex beyond
 * a look, so that ioctls come through, and not the worker, so that its sibling
 * has its turn at once, be it woken by a kick or polled itself.
 */
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#include "compat/compat.h"
#include "dev.h"

/**
 * vd_busy_enlist - have the worker look for something to do, instead of being woken
 * @vq: a queue that has run dry, its driver not asked for a kick
 *
 * Return: false if it isn't to be polled: ask for a kick. Context: worker,
 * queue mutex.
 */
bool vd_busy_enlist(struct vd_virtqueue *vq)
{
	struct vd_busy *b = &vq->busy;
	struct vd_worker *w;
	bool ours;

	/* Whether a ring that couldn't be reached takes the wish is to be seen now. */
	if (likely(!b->timeout) || vq->retry.last)
		return false;
	/*
	 * Only in the list of its own worker, which it may be about to leave:
	 * who changes it waits for us and for that worker (vd_workers_attach),
	 * after which nothing is in the list.
	 */
	rcu_read_lock();
	w = READ_ONCE(vq->worker);
	ours = w && READ_ONCE(w->task) == current && (!b->on || b->on == w);
	rcu_read_unlock();
	if (!ours)
		return false;
	if (!b->on) {
		list_add_tail(&b->node, &w->busy);
		b->on = w;
	}
	b->armed = true;
	b->since = ktime_get_ns();
	vd_stat_inc(&vq->counters, polls);
	return true;
}
EXPORT_SYMBOL_GPL(vd_busy_enlist);

/* Queue mutex, thread of the worker in whose list it is. */
static void vd_busy_leave(struct vd_busy *b)
{
	b->armed = false;
	b->on = NULL;
	list_del(&b->node);
}

/* How a turn of the list finds its queues. */
enum vd_busy_end {
	VD_BUSY_ON,		/* in time: to be looked at */
	VD_BUSY_OVER,		/* their time is over, or the list's */
	VD_BUSY_YIELD,		/* another task wants the processor */
};

/* A queue's turn. Queue mutex. */
static void vd_busy_visit(struct vd_virtqueue *vq, enum vd_busy_end end)
{
	struct vd_busy *b = &vq->busy;

	/* The worker has been here since, or nobody is served any more. */
	if (!b->armed || !vq->backend) {
		vd_busy_leave(b);
		return;
	}
	/* An IOTLB that has changed: looking for the ring is a visit's thing. */
	if (unlikely(!vd_vq_found(vq)) || b->look(vq)) {
		vd_busy_leave(b);
		vd_stat_inc(&vq->counters, poll_hits);
		b->again(vq);
	} else if (end != VD_BUSY_ON) {
		vd_busy_leave(b);
		vd_stat_inc(&vq->counters, poll_rests);
		vd_stat_add(&vq->counters, poll_yields, end == VD_BUSY_YIELD);
		b->rest(vq);
	}
}

static bool vd_busy_over(const struct vd_busy *b, u64 now)
{
	return now - READ_ONCE(b->since) >=
	       (u64)READ_ONCE(b->timeout) * NSEC_PER_USEC;
}

static void vd_busy_each(struct vd_worker *w, enum vd_busy_end end)
{
	struct vd_virtqueue *vq, *next;
	u64 now = ktime_get_ns();

	list_for_each_entry_safe(vq, next, &w->busy, busy.node) {
		enum vd_busy_end one = vd_busy_over(&vq->busy, now) ?
				       VD_BUSY_OVER : end;

		/* Whoever has the mutex now, it's better to look meanwhile. */
		if (one != VD_BUSY_ON)
			mutex_lock(&vq->mutex);
		else if (!mutex_trylock(&vq->mutex))
			continue;
		vd_busy_visit(vq, one);
		mutex_unlock(&vq->mutex);
	}
}

/*
 * Does another task want the processor, or has it had it since the last turn? On a
 * preemptible kernel the wish is granted before this thread sees it; stock, which
 * may not sleep while it polls, forbids that.
 */
static bool vd_busy_unwanted(struct vd_worker *w, bool idle)
{
	unsigned long switches = READ_ONCE(current->nivcsw);
	bool had = idle && switches != w->switches;

	w->switches = switches;
	return had || vd_resched_wanted() || signal_pending(current);
}

/**
 * vd_busy_turn - look at each polled queue once
 * @w: the worker
 * @idle: it has done nothing else since the last turn
 *
 * If another task wants the processor, or a signal is there, polling ends.
 * Context: @w's thread; may sleep.
 */
void vd_busy_turn(struct vd_worker *w, bool idle)
{
	vd_busy_each(w, vd_busy_unwanted(w, idle) ? VD_BUSY_YIELD : VD_BUSY_ON);
	/* On a processor of its own it may poll for an hour: RCU must know. */
	cond_resched_tasks_rcu_qs();
	cpu_relax();
}

/**
 * vd_busy_end - no queue is polled any more; each asks for a kick
 * @w: the worker
 *
 * Context: @w's thread; may sleep.
 */
void vd_busy_end(struct vd_worker *w)
{
	vd_busy_each(w, VD_BUSY_OVER);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A worker: a kernel thread of a device, in the owner's mm and cgroups, named
 * "vhost-<pid of the owner's thread>" as stock's, because people's pinning scripts
 * look for that name. Or, where the owner asks for it (VHOST_SET_FORK_FROM_OWNER), a
 * thread of the owner's own, of the same name, which inherits all that threads
 * inherit, and is killed with its process.
 */
#include <linux/cgroup.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "busy.h"
#include "compat/task.h"
#include "worker.h"

/* The bit of vd_work.flags that says: requested and not yet begun. */
#define VD_WORK_QUEUED	0

static void vd_worker_run_all(struct llist_node *list)
{
	struct vd_work *work, *next;

	llist_for_each_entry_safe(work, next, llist_reverse_order(list), node) {
		/* A request from now on must queue the work again. */
		clear_bit(VD_WORK_QUEUED, &work->flags);
		/*
		 * Cleared before the work looks at anything. Pairs with
		 * test_and_set_bit() in vd_worker_queue(), after which the
		 * requester's reason is visible here.
		 */
		smp_mb__after_atomic();
		work->fn(work);
		cond_resched();
	}
}

/* A round; false if there was nothing to do. The thread is about to sleep. */
static bool vd_worker_round(void *data)
{
	struct vd_worker *w = data;
	struct llist_node *list = llist_del_all(&w->work);

	if (!list && list_empty(&w->busy))
		return false;
	__set_current_state(TASK_RUNNING);
	/* A thread of the owner's has no other way to say who it is. */
	if (unlikely(w->task != current))
		WRITE_ONCE(w->task, current);
	vd_worker_run_all(list);
	/* After each round of work: what is polled has nobody's kick. */
	if (unlikely(!list_empty(&w->busy)))
		vd_busy_turn(w, !list);
	return true;
}

static int vd_worker_main(void *data)
{
	struct vd_worker *w = data;

	/* See vd_worker_hurry(): nobody else can send it. */
	allow_kernel_signal(SIGKILL);
	kthread_use_mm(w->mm);
	for (;;) {
		/* Pairs with the wake-up in vd_worker_queue(). */
		set_current_state(fatal_signal_pending(current) ?
				  TASK_IDLE : TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		if (!vd_worker_round(w))
			schedule();
	}
	__set_current_state(TASK_RUNNING);
	kthread_unuse_mm(w->mm);
	return 0;
}

/*
 * get_signal() has taken SIGKILL out of the set, and nobody's second one comes
 * through. Without it this thread would wait for a page whose server may be the
 * process that is dying, as that waits for this thread.
 */
static void vd_worker_stay_killed(void)
{
	/* One's own doesn't go away. */
	struct sighand_struct *s = rcu_dereference_raw(current->sighand);

	spin_lock_irq(&s->siglock);
	sigaddset(&current->pending.signal, SIGKILL);
	set_thread_flag(TIF_SIGPENDING);
	spin_unlock_irq(&s->siglock);
}

/*
 * The owner's thread is killed, and this is the last that it does: no more work
 * is taken, and what was taken is done, as others may be waiting for it.
 */
static void vd_worker_killed(void *data)
{
	struct vd_worker *w = data;

	vd_worker_stay_killed();
	WRITE_ONCE(w->running, false);
	/* Who has seen it set has queued its work. */
	synchronize_rcu();
	vd_worker_run_all(llist_del_all(&w->work));
	vd_busy_end(w);
	complete_all(&w->dead);
}

/**
 * vd_work_init - prepare a work item
 * @work: the item
 * @fn: what to do, on the worker, may sleep
 *
 * Context: nobody has queued it yet.
 */
void vd_work_init(struct vd_work *work, vd_work_fn fn)
{
	work->fn = fn;
	work->flags = 0;
}
EXPORT_SYMBOL_GPL(vd_work_init);

/**
 * vd_worker_queue - have the worker do a work item once, soon
 * @w: a worker; without a thread nothing happens
 * @work: the item, queued at most once at a time
 *
 * Return: false without a thread, or with one that was killed. Context: any.
 */
bool vd_worker_queue(struct vd_worker *w, struct vd_work *work)
{
	bool running;

	rcu_read_lock();
	running = READ_ONCE(w->running);
	if (running && !test_and_set_bit(VD_WORK_QUEUED, &work->flags) &&
	    /* The first of a batch wakes; the worker takes the whole list. */
	    llist_add(&work->node, &w->work)) {
		if (w->vtask)
			vd_task_wake(w->vtask);
		else
			wake_up_process(w->task);
	}
	rcu_read_unlock();
	return running;
}
EXPORT_SYMBOL_GPL(vd_worker_queue);

struct vd_sync_work {
	struct vd_work work;
	struct vd_worker *worker;
	struct completion done;
	struct task_struct *owner;
	int ret;
};

/* The waiter may be about to stop a queue, or give it another worker. */
static void vd_flush_work(struct vd_work *work)
{
	struct vd_sync_work *s = container_of(work, struct vd_sync_work, work);

	vd_busy_end(s->worker);
	complete(&s->done);
}

static void vd_cgroup_work(struct vd_work *work)
{
	struct vd_sync_work *s = container_of(work, struct vd_sync_work, work);

	s->ret = cgroup_attach_task_all(s->owner, current);
	complete(&s->done);
}

/* @killed: see vd_worker_flush(); or NULL, for what waits for no page. */
static int vd_worker_call(struct vd_worker *w, vd_work_fn fn,
			  void (*killed)(void *data), void *data)
{
	struct vd_sync_work s = { .worker = w, .owner = current };
	struct completion *done = &s.done;

	init_completion(&s.done);
	vd_work_init(&s.work, fn);
	/* One that is being killed does what it was asked to before. */
	if (!vd_worker_queue(w, &s.work)) {
		if (!w->vtask)
			return s.ret;
		done = &w->dead;
	}
	/* The work is on our stack: however it ends, it is waited for. */
	if (!killed || wait_for_completion_killable(done)) {
		if (killed)
			killed(data);
		wait_for_completion(done);
	}
	return s.ret;
}

/**
 * vd_worker_flush - wait until all work queued so far has been done
 * @w: a worker; without a thread there is nothing to wait for
 * @killed: called once, if the calling thread is killed meanwhile: it is to see
 *          that the wait comes to its end
 * @data: for @killed
 *
 * No queue is polled then, unless its work has been queued since.
 * Context: may sleep; not on the worker, not with a virtqueue's mutex held.
 */
void vd_worker_flush(struct vd_worker *w, void (*killed)(void *data),
		     void *data)
{
	vd_worker_call(w, vd_flush_work, killed, data);
}
EXPORT_SYMBOL_GPL(vd_worker_flush);

/* The caller's own: its memory, its cgroups, its limits. */
static int vd_worker_fork(struct vd_worker *w)
{
	struct vhost_task *task;
	char name[TASK_COMM_LEN];

	snprintf(name, sizeof(name), "vhost-%d", current->pid);
	task = vd_task_create(vd_worker_round, vd_worker_killed, w, name);
	if (IS_ERR(task))
		return PTR_ERR(task);
	w->vtask = task;
	w->running = true;
	vd_task_start(task);
	return 0;
}

/**
 * vd_worker_start - start the thread for the calling process
 * @w: the worker
 * @mm: the caller's memory, with a reference that outlives the worker
 * @fork: one of the caller's own, not the kernel's
 *
 * Return: 0, or what thread creation or joining the cgroups answered; then
 * there is no thread. Context: may sleep.
 */
int vd_worker_start(struct vd_worker *w, struct mm_struct *mm, bool fork)
{
	struct task_struct *task;
	int err;

	w->mm = mm;
	init_llist_head(&w->work);
	INIT_LIST_HEAD(&w->busy);
	init_completion(&w->dead);
	if (fork)
		return vd_worker_fork(w);
	task = kthread_create(vd_worker_main, w, "vhost-%d", current->pid);
	if (IS_ERR(task))
		return PTR_ERR(task);
	w->task = task;
	w->running = true;
	wake_up_process(task);
	err = vd_worker_call(w, vd_cgroup_work, NULL, NULL);
	if (err)
		vd_worker_stop(w);
	return err;
}

/**
 * vd_worker_stop - end the thread
 * @w: the worker, flushed, with nothing left that could queue work
 *
 * Context: may sleep.
 */
void vd_worker_stop(struct vd_worker *w)
{
	if (!w->task && !w->vtask)
		return;
	WARN_ON_ONCE(!llist_empty(&w->work) || !list_empty(&w->busy));
	w->running = false;
	if (w->vtask)
		vd_task_stop(w->vtask);
	else
		kthread_stop(w->task);
	w->vtask = NULL;
	w->task = NULL;
	w->mm = NULL;
}

/**
 * vd_worker_hurry - wait for the owner's memory no longer
 * @w: the worker, which stays at work until it is stopped
 *
 * A page that userfaultfd or FUSE keeps away comes when its server brings it,
 * which a process that is being killed may not live to do: its files are closed
 * one after the other, and ours may be before the one that the page waits for.
 * From now on an access that would have to wait fails instead.
 * Context: any; nobody stops the worker meanwhile.
 */
void vd_worker_hurry(struct vd_worker *w)
{
	/* A thread of the owner's is killed with its process. */
	if (!w->vtask && w->task)
		send_sig(SIGKILL, w->task, 1);
}

/**
 * vd_worker_unhurry - wait for the owner's memory again
 * @w: the worker
 *
 * Who was killed may have been another process in the same memory, which lives.
 * Context: any; nobody stops the worker meanwhile.
 */
void vd_worker_unhurry(struct vd_worker *w)
{
	if (!w->vtask && w->task)
		flush_signals(w->task);
}

static int vd_poll_wake(wait_queue_entry_t *wait, unsigned int mode, int sync,
			void *key)
{
	struct vd_poll *p = container_of(wait, struct vd_poll, wait);

	if (key_to_poll(key) & p->mask)
		vd_poll_queue(p);
	return 0;
}

static void vd_poll_queue_proc(struct file *file, wait_queue_head_t *head,
			       poll_table *table)
{
	struct vd_poll *p = container_of(table, struct vd_poll, table);

	p->head = head;
	add_wait_queue(head, &p->wait);
}

/**
 * vd_poll_init - prepare to watch files
 * @p: the poll
 * @w: where the worker is found that does the work; who changes it waits for a
 *     grace period before the old one goes
 * @fn: the work
 * @mask: events that queue it
 *
 * Context: nobody else has the device yet.
 */
void vd_poll_init(struct vd_poll *p, struct vd_worker **w, vd_work_fn fn,
		  __poll_t mask)
{
	vd_work_init(&p->work, fn);
	p->worker = w;
	p->mask = mask;
	p->head = NULL;
	init_waitqueue_func_entry(&p->wait, vd_poll_wake);
	init_poll_funcptr(&p->table, vd_poll_queue_proc);
}
EXPORT_SYMBOL_GPL(vd_poll_init);

/**
 * vd_poll_start - watch a file; nothing happens if one is watched already
 * @p: the poll
 * @file: the file; the caller keeps it until vd_poll_stop()
 *
 * Work is queued at once if the file is ready.
 * Return: 0, or -EINVAL for a file that reports an error when polled.
 * Context: may sleep.
 */
int vd_poll_start(struct vd_poll *p, struct file *file)
{
	__poll_t mask;

	if (p->head)
		return 0;
	mask = vfs_poll(file, &p->table);
	if (mask & EPOLLERR) {
		vd_poll_stop(p);
		return -EINVAL;
	}
	if (mask & p->mask)
		vd_poll_queue(p);
	return 0;
}
EXPORT_SYMBOL_GPL(vd_poll_start);

/**
 * vd_poll_again - watch a file that vd_poll_start() has taken, once more
 * @p: the poll
 * @file: the file; the caller keeps it until vd_poll_stop()
 *
 * An error that it reports ends nothing: the file may become ready all the same,
 * and nobody else would look. For an error alone no work is queued, now or later:
 * it may stay for good.
 * Return: does it report an error? Context: may sleep.
 */
bool vd_poll_again(struct vd_poll *p, struct file *file)
{
	__poll_t mask;

	if (p->head)
		return false;
	mask = vfs_poll(file, &p->table);
	if (mask & p->mask)
		vd_poll_queue(p);
	return mask & EPOLLERR;
}
EXPORT_SYMBOL_GPL(vd_poll_again);

/**
 * vd_poll_stop - watch no longer
 * @p: the poll
 *
 * Work already queued is still done; vd_worker_flush() waits for it.
 * Context: any that may take the file's wait-queue lock.
 */
void vd_poll_stop(struct vd_poll *p)
{
	if (!p->head)
		return;
	remove_wait_queue(p->head, &p->wait);
	p->head = NULL;
}
EXPORT_SYMBOL_GPL(vd_poll_stop);

/**
 * vd_poll_queue - queue the work as if the file were ready
 * @p: the poll
 *
 * Return: false if nobody takes work, see vd_worker_queue(). Context: any.
 */
bool vd_poll_queue(struct vd_poll *p)
{
	struct vd_worker *w;
	bool taken;

	rcu_read_lock();
	w = READ_ONCE(*p->worker);
	taken = w && vd_worker_queue(w, &p->work);
	rcu_read_unlock();
	return taken;
}
EXPORT_SYMBOL_GPL(vd_poll_queue);

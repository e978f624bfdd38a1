// SPDX-License-Identifier: GPL-2.0-only
/*
 * A worker: a kernel thread of a device, in the owner's mm and cgroups, named
 * "vhost-<pid of the owner>" as stock's, because people's pinning scripts look
 * for that name.
 */
#include <linux/cgroup.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "busy.h"
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

static int vd_worker_main(void *data)
{
	struct vd_worker *w = data;
	struct llist_node *list;

	kthread_use_mm(w->mm);
	for (;;) {
		/* Pairs with the wake-up in vd_worker_queue(). */
		set_current_state(TASK_INTERRUPTIBLE);
		if (kthread_should_stop())
			break;
		list = llist_del_all(&w->work);
		if (!list && list_empty(&w->busy)) {
			schedule();
			continue;
		}
		__set_current_state(TASK_RUNNING);
		vd_worker_run_all(list);
		/* After each round of work: what is polled has nobody's kick. */
		if (unlikely(!list_empty(&w->busy)))
			vd_busy_turn(w);
	}
	__set_current_state(TASK_RUNNING);
	kthread_unuse_mm(w->mm);
	return 0;
}

/**
 * vd_work_init - prepare a work item
 * @work: the item
 * @fn: what to do, on the worker, may sleep
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
 * Context: any.
 */
void vd_worker_queue(struct vd_worker *w, struct vd_work *work)
{
	if (!w->task || test_and_set_bit(VD_WORK_QUEUED, &work->flags))
		return;
	/* The first of a batch wakes; the worker takes the whole list. */
	if (llist_add(&work->node, &w->work))
		wake_up_process(w->task);
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

static int vd_worker_call(struct vd_worker *w, vd_work_fn fn)
{
	struct vd_sync_work s = { .worker = w, .owner = current };

	init_completion(&s.done);
	vd_work_init(&s.work, fn);
	vd_worker_queue(w, &s.work);
	wait_for_completion(&s.done);
	return s.ret;
}

/**
 * vd_worker_flush - wait until all work queued so far has been done
 * @w: a worker; without a thread there is nothing to wait for
 *
 * No queue is polled then, unless its work has been queued since.
 * Context: may sleep; not on the worker, not with a virtqueue's mutex held.
 */
void vd_worker_flush(struct vd_worker *w)
{
	if (w->task)
		vd_worker_call(w, vd_flush_work);
}
EXPORT_SYMBOL_GPL(vd_worker_flush);

/**
 * vd_worker_start - start the thread for the calling process
 * @w: the worker
 * @mm: the caller's memory, with a reference that outlives the worker
 *
 * Return: 0, or what thread creation or joining the cgroups answered; then
 * there is no thread. Context: may sleep.
 */
int vd_worker_start(struct vd_worker *w, struct mm_struct *mm)
{
	struct task_struct *task;
	int err;

	w->mm = mm;
	init_llist_head(&w->work);
	INIT_LIST_HEAD(&w->busy);
	task = kthread_create(vd_worker_main, w, "vhost-%d", current->pid);
	if (IS_ERR(task))
		return PTR_ERR(task);
	w->task = task;
	wake_up_process(task);
	err = vd_worker_call(w, vd_cgroup_work);
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
	if (!w->task)
		return;
	WARN_ON_ONCE(!llist_empty(&w->work) || !list_empty(&w->busy));
	kthread_stop(w->task);
	w->task = NULL;
	w->mm = NULL;
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
 * Context: any.
 */
void vd_poll_queue(struct vd_poll *p)
{
	struct vd_worker *w;

	rcu_read_lock();
	w = READ_ONCE(*p->worker);
	if (w)
		vd_worker_queue(w, &p->work);
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(vd_poll_queue);

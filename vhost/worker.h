/* SPDX-License-Identifier: GPL-2.0-only */
/* The worker threads of a device, their work items, and polled files. */
#ifndef VD_WORKER_H
#define VD_WORKER_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/poll.h>
#include <linux/types.h>
#include <linux/wait.h>

struct file;
struct mm_struct;
struct task_struct;
struct vd_work;
struct vhost_task;

typedef void (*vd_work_fn)(struct vd_work *work);

/* Work that a worker does once for any number of requests. */
struct vd_work {
	struct llist_node node;
	vd_work_fn fn;
	unsigned long flags;
};

/**
 * struct vd_worker - a thread in its owner's memory and cgroups
 * @running: it takes work. Cleared when there is no thread, or it was killed;
 *           who has seen it set in an RCU section gets the work done.
 * @task: the thread; of the owner's, once it runs
 * @vtask: the same if it is one of the owner's own, else NULL
 * @dead: it was killed, and what it had been asked to do is done
 * @work: requested work, newest first
 * @busy: queues that are polled; the thread alone
 * @switches: how often the thread had lost its processor to another task when it
 *            looked at them; the thread alone
 * @mm: the owner's memory; the device holds the reference
 */
struct vd_worker {
	bool running;
	struct task_struct *task;
	struct vhost_task *vtask;
	struct completion dead;
	struct llist_head work;
	struct list_head busy;
	unsigned long switches;
	struct mm_struct *mm;
};

/**
 * struct vd_poll - queues work when a file becomes ready
 * @work: the work; without a lock, see vd_worker_queue()
 * @worker: where to find who does it, under RCU; NULL there: nobody
 * @table: for the file's poll operation; as @head
 * @wait: our entry in the file's wait queue, under that one's lock
 * @head: that wait queue, NULL when not polling; queue mutex, or the device's once no
 *        back end is there
 * @mask: events that matter; set before the device is used
 */
struct vd_poll {
	struct vd_work work;
	struct vd_worker **worker;
	poll_table table;
	wait_queue_entry_t wait;
	wait_queue_head_t *head;
	__poll_t mask;
};

int vd_worker_start(struct vd_worker *w, struct mm_struct *mm, bool fork);
void vd_worker_stop(struct vd_worker *w);
void vd_worker_hurry(struct vd_worker *w);
void vd_worker_unhurry(struct vd_worker *w);
bool vd_worker_queue(struct vd_worker *w, struct vd_work *work);
void vd_worker_flush(struct vd_worker *w, void (*killed)(void *data),
		     void *data);
void vd_work_init(struct vd_work *work, vd_work_fn fn);

void vd_poll_init(struct vd_poll *p, struct vd_worker **w, vd_work_fn fn,
		  __poll_t mask);
int vd_poll_start(struct vd_poll *p, struct file *file);
bool vd_poll_again(struct vd_poll *p, struct file *file);
void vd_poll_stop(struct vd_poll *p);
bool vd_poll_queue(struct vd_poll *p);

#endif /* VD_WORKER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* Busy polling: a worker looks at queues again and again instead of sleeping. */
#ifndef VD_BUSY_H
#define VD_BUSY_H

#include <linux/list.h>
#include <linux/types.h>

struct vd_virtqueue;
struct vd_worker;

/**
 * struct vd_busy - a queue's part of busy polling
 * @timeout: how long its worker looks before it asks to be woken, in
 *           microseconds; 0: not at all. Queue mutex.
 * @armed: it waits to be looked at. Queue mutex.
 * @since: when it began to wait, in nanoseconds. Queue mutex.
 * @on: the worker in whose list it is; NULL: none. Queue mutex.
 * @node: there. That worker's thread.
 * @look: is there something to do? The driver has not been asked for a kick,
 *        so nobody else will tell. Set before the device is used.
 * @rest: the time is over: have the queue's work queued when there is
 *        something to do, at once if there is by now. Set before the device
 *        is used.
 * @again: have the queue's work queued; it isn't a kick. Set before the device
 *         is used.
 *
 * The functions are called by the worker, with the queue's mutex, and may
 * sleep; the queue has a back end and its ring can be used.
 */
struct vd_busy {
	u32 timeout;
	bool armed;
	u64 since;
	struct vd_worker *on;
	struct list_head node;
	bool (*look)(struct vd_virtqueue *vq);
	void (*rest)(struct vd_virtqueue *vq);
	void (*again)(struct vd_virtqueue *vq);
};

bool vd_busy_enlist(struct vd_virtqueue *vq);
void vd_busy_turn(struct vd_worker *w, bool idle);
void vd_busy_end(struct vd_worker *w);

#endif /* VD_BUSY_H */

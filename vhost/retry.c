// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring, or an indirect table, that could not be reached is looked at again,
 * whether the driver kicks or not: it may have no reason to, with all its buffers
 * offered, and the wish for a kick is in the ring. What fails may be back in a
 * moment, as with memory that a cgroup had no room for, or an error of the disk
 * that swap is on.
 */
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "dev.h"

/* Jiffies until the first attempt, and the longest between two. */
#define VD_RETRY_FIRST	(HZ / 10 + 1)
#define VD_RETRY_LAST	(2 * HZ)

static void vd_retry_work(struct work_struct *work)
{
	struct vd_retry *r = container_of(to_delayed_work(work),
					  struct vd_retry, work);

	vd_poll_queue(r->poll);
}

/**
 * vd_retry_init - prepare to look at a ring again
 * @vq: the virtqueue
 * @poll: what is queued then, which is no kick
 *
 * Context: nobody else has the device yet.
 */
void vd_retry_init(struct vd_virtqueue *vq, struct vd_poll *poll)
{
	INIT_DELAYED_WORK(&vq->retry.work, vd_retry_work);
	vq->retry.poll = poll;
}
EXPORT_SYMBOL_GPL(vd_retry_init);

/**
 * vd_retry_begin - a visit of a ring that was put off
 * @vq: the virtqueue
 * @kicked: the driver had a reason, and all that is wrong is told anew
 *
 * Whoever has it made, it is the attempt: there is no other, unless it fails.
 * Context: worker, queue mutex.
 */
void vd_retry_begin(struct vd_virtqueue *vq, bool kicked)
{
	struct vd_retry *r = &vq->retry;

	cancel_delayed_work(&r->work);
	r->last = kicked ? 0 : r->after;
	r->after = 0;
}
EXPORT_SYMBOL_GPL(vd_retry_begin);

/**
 * vd_retry_vain - something is in the way: what was there before?
 * @vq: the virtqueue
 * @reason: what it is
 *
 * Return: true if this visit is an attempt, or has put the ring off already, and
 * the same is in the way as then, at the same place: there is nothing new to say.
 * Context: queue mutex.
 */
bool vd_retry_vain(struct vd_virtqueue *vq, enum vd_reason reason)
{
	const struct vd_ring *ring = &vq->ring;
	struct vd_retry *r = &vq->retry;
	bool same = (r->last || r->after) && r->reason == reason &&
		    r->avail == ring->last_avail && r->used == ring->last_used;

	r->reason = reason;
	r->avail = ring->last_avail;
	r->used = ring->last_used;
	return same;
}

/**
 * vd_retry_later - the ring can't be reached: look again later
 * @vq: the virtqueue
 * @vain: what vd_retry_vain() said: this attempt has come no further
 *
 * Context: queue mutex, a back end is there.
 */
void vd_retry_later(struct vd_virtqueue *vq, bool vain)
{
	struct vd_retry *r = &vq->retry;

	r->after = clamp_t(unsigned long, vain ? 2 * r->last : 0,
			   VD_RETRY_FIRST, VD_RETRY_LAST);
	schedule_delayed_work(&r->work, r->after);
}

/**
 * vd_retry_stop - no attempt is made any more, and none is under way
 * @vq: the virtqueue, without a back end: vd_retry_later() isn't called
 *
 * Work may have been queued by the last one. Context: may sleep.
 */
void vd_retry_stop(struct vd_virtqueue *vq)
{
	cancel_delayed_work_sync(&vq->retry.work);
}

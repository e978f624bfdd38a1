// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring that could not be reached is looked at again, whether the driver kicks
 * or not: it may have no reason to, with all its buffers offered, and the wish
 * for a kick is in the ring. What fails may be back in a moment, as with memory
 * that a cgroup had no room for, or an error of the disk that swap is on.
 */
#include <linux/minmax.h>
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
 * @r: the queue's
 * @poll: what is queued then; no kick
 */
void vd_retry_init(struct vd_retry *r, struct vd_poll *poll)
{
	INIT_DELAYED_WORK(&r->work, vd_retry_work);
	r->poll = poll;
}

/**
 * vd_retry_later - the ring can't be reached: look again later
 * @r: the queue's
 *
 * Return: true if this was such an attempt already: there is nothing new to say.
 * Context: worker, queue mutex.
 */
bool vd_retry_later(struct vd_retry *r)
{
	r->after = clamp_t(unsigned long, 2 * r->last, VD_RETRY_FIRST,
			   VD_RETRY_LAST);
	schedule_delayed_work(&r->work, r->after);
	return r->last;
}

/**
 * vd_retry_stop - no attempt is made any more, and none is under way
 * @r: the queue's, without a back end: vd_retry_later() isn't called
 *
 * Work may have been queued by the last one. Context: may sleep.
 */
void vd_retry_stop(struct vd_retry *r)
{
	cancel_delayed_work_sync(&r->work);
}

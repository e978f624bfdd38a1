// SPDX-License-Identifier: GPL-2.0-only
/*
 * Telling of trouble: counters, the tracepoint, the kernel's log and VRING_ERR.
 *
 * A guest can have a queue stop as often as it likes, so the log has limits, and
 * they are each guest's own, as far as possible: none hides what another does.
 * What a limit kept from the log is said when it may be.
 */
#include <linux/hash.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>

#include "compat/compat.h"
#include "dev.h"
#include "trace.h"

/* Bits of vd_virtqueue.said behind those of enum vd_reason. */
enum vd_said {
	VD_SAID_LOST = VD_REASONS,
	VD_SAID_LOG,
	VD_SAID_GIVEN_UP,
	VD_SAIDS
};

/* Jiffies until a queue's log says again what it has said. */
#define VD_SAY_AGAIN	(60 * HZ)

/*
 * Lines a minute of one owner: a guest may have hundreds of queues. Two owners
 * may have the same place here. And of all together, which takes five of them.
 */
#define VD_SAY_OWNER	600
#define VD_SAY_ALL	3000
#define VD_OWNER_BITS	5

static struct ratelimit_state vd_said_owner[1 << VD_OWNER_BITS];
static DEFINE_RATELIMIT_STATE(vd_said_all, VD_SAY_AGAIN, VD_SAY_ALL);

/**
 * vd_tell_init - set the log's limits up
 *
 * Context: the module is being loaded.
 */
void __init vd_tell_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vd_said_owner); i++)
		ratelimit_state_init(&vd_said_owner[i], VD_SAY_AGAIN,
				     VD_SAY_OWNER);
}

/*
 * May the log have @what of this queue? Within the limits, and once a minute, which
 * begins with the first that is said.
 */
static bool vd_vq_may_say(struct vd_virtqueue *vq, unsigned int what)
{
	BUILD_BUG_ON(BITS_PER_BYTE * sizeof(vq->said) < VD_SAIDS);
	if (!vq->said || time_after(jiffies, vq->said_at + VD_SAY_AGAIN)) {
		vq->said = 0;
		vq->said_at = jiffies;
	}
	if (vq->said & BIT(what))
		return false;
	if (!__ratelimit(&vd_said_owner[hash_ptr(vq->dev->mm, VD_OWNER_BITS)]) ||
	    !__ratelimit(&vd_said_all))
		return false;
	vq->said |= BIT(what);
	return true;
}

static void vd_vq_count(struct vd_virtqueue *vq, enum vd_reason reason)
{
	if (reason == VD_FAULT || reason == VD_BAD_BUFFER ||
	    reason == VD_BAD_INDIRECT_READ)
		vd_stat_inc(&vq->counters, faults);
	else
		vd_stat_inc(&vq->counters, malformed);
	trace_vd_error(vq, reason);
}

/**
 * vd_vq_tell - trouble with a queue, for who looks and for the owner
 * @vq: the virtqueue
 * @reason: what is wrong
 *
 * Counts, traces, and signals VRING_ERR. The log has nothing of it.
 * Context: queue mutex; may sleep.
 */
void vd_vq_tell(struct vd_virtqueue *vq, enum vd_reason reason)
{
	vd_vq_count(vq, reason);
	if (vq->err)
		vd_eventfd_signal(vq->err);
}

static void vd_vq_say(struct vd_virtqueue *vq, enum vd_reason reason,
		      unsigned int what, const char *happened)
{
	if (vd_vq_may_say(vq, what))
		pr_warn("vhost_direct: %s: queue %s %s: %s (avail %u, used %u)\n",
			current->comm, vq->name, happened,
			vd_reason_name(reason), vq->ring.last_avail,
			vq->ring.last_used);
}

/* May it be better in a moment, whatever the driver does? */
static bool vd_may_pass(int err)
{
	return err == -VD_FAULT || err == -VD_BAD_INDIRECT_READ;
}

/**
 * vd_vq_error - stop a queue until the next kick, or attempt
 * @vq: the virtqueue
 * @err: minus one of enum vd_reason
 *
 * Counts, traces, logs within limits, and tells the owner by VRING_ERR. Of a
 * packed ring all that was offered is looked at first. If the driver has
 * offered more since, work is queued at once. If the ring, or a table, can't be
 * reached, it is tried again later; of attempts that come no further nothing is
 * told. The caller has put the chain back, and written what it had to the used
 * ring, as far as that can be written.
 * Context: worker, queue mutex; may sleep.
 */
void vd_vq_error(struct vd_virtqueue *vq, int err)
{
	bool told = vd_retry_vain(vq, -err);
	int more;

	if (!told)
		vd_vq_count(vq, -err);
	/* Unless a limit kept it from the log until now. */
	if (!told || !(vq->said & BIT(-err)))
		vd_vq_say(vq, -err, -err, "stopped");
	/*
	 * Whatever is wrong may be mended with the next kick: ask for it,
	 * before the owner hears of the trouble. If the driver has been there
	 * already, that was the kick.
	 */
	vd_vq_look_on(vq);
	more = vd_vq_notify(vq);
	if (more > 0)
		vd_poll_queue(&vq->poll);
	if (vd_may_pass(err) || more == -VD_FAULT)
		vd_retry_later(vq, told);
	if (!told && vq->err)
		vd_eventfd_signal(vq->err);
}
EXPORT_SYMBOL_GPL(vd_vq_error);

/**
 * vd_vq_lost - frames were lost, as their buffers could not be accessed
 * @vq: the virtqueue
 *
 * Counts, traces, logs and tells as vd_vq_error() does. The queue goes on: no kick
 * is asked for. TX calls it once for all such frames of a burst.
 * Context: worker, queue mutex; may sleep.
 */
void vd_vq_lost(struct vd_virtqueue *vq)
{
	vd_vq_say(vq, VD_BAD_BUFFER, VD_SAID_LOST, "lost a frame");
	vd_vq_tell(vq, VD_BAD_BUFFER);
}
EXPORT_SYMBOL_GPL(vd_vq_lost);

/**
 * vd_vq_given_up - chains that are done with will never reach the driver
 * @vq: the virtqueue, about to lose its back end
 *
 * The driver is short of them until it resets the device. For the log alone: what is
 * in the way was counted and told when the worker met it, or is a translation that the
 * owner was asked for.
 * Context: the owner in an ioctl, queue mutex.
 */
void vd_vq_given_up(struct vd_virtqueue *vq)
{
	vd_vq_say(vq, VD_FAULT, VD_SAID_GIVEN_UP, "gave chains up");
}
EXPORT_SYMBOL_GPL(vd_vq_given_up);

/**
 * vd_vq_unlogged - a page that was written could not be put down in the dirty log
 * @vq: the virtqueue
 * @err: why, minus one of errno
 *
 * It is lost for the migration, so the owner must know.
 * Context: worker or the owner in an ioctl, queue mutex; may sleep.
 */
void vd_vq_unlogged(struct vd_virtqueue *vq, int err)
{
	vd_stat_inc(&vq->counters, log_failures);
	if (vd_vq_may_say(vq, VD_SAID_LOG))
		pr_warn("vhost_direct: %s: queue %s: can't write the dirty log: error %d\n",
			current->comm, vq->name, err);
	if (vq->err)
		vd_eventfd_signal(vq->err);
}

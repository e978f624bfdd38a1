// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting for workers, which may wait for pages.
 *
 * A page may be one that only the waiting thread's own process brings
 * (userfaultfd, FUSE): were the thread killed, and went on to wait, neither
 * would ever end. So the workers of a killed thread's device are told to wait
 * for no page any more, until the thread has what it waited for.
 */
#include <linux/module.h>
#include <linux/sched/signal.h>

#include "dev.h"

/**
 * vd_workers_hurry - no worker waits for the owner's memory any more
 * @dev: the device, which is being closed, or whose owner is being killed
 *
 * Context: device mutex or the last user; any.
 */
void vd_workers_hurry(struct vd_dev *dev)
{
	unsigned int i;

	WRITE_ONCE(dev->haste, dev->haste + 1);
	/* Who meets a signal sees the count. Pairs with the smp_rmb() in vd_vq_hurried(). */
	smp_wmb();
	for (i = 0; i < VD_WORKERS_MAX; i++)
		if (dev->workers[i])
			vd_worker_hurry(dev->workers[i]);
}
EXPORT_SYMBOL_GPL(vd_workers_hurry);

/**
 * vd_vq_hurried - may an access have failed only as the worker must not wait?
 * @vq: the virtqueue, for which vd_vq_begin() has returned true
 *
 * The haste may be over by now: the count tells. A thread of the owner's hurries
 * because it is killed, which is never over. Either way the queue is handled
 * once more if it lives on.
 * Return: true if so. Context: worker, queue mutex.
 */
bool vd_vq_hurried(const struct vd_virtqueue *vq)
{
	/*
	 * Whatever made the access fail came first. Pairs with the smp_wmb() in
	 * vd_workers_hurry().
	 */
	smp_rmb();
	return fatal_signal_pending(current) ||
	       READ_ONCE(vq->dev->haste) != vq->haste;
}
EXPORT_SYMBOL_GPL(vd_vq_hurried);

/* Of a thread that waits for workers, which may wait for pages. */
struct vd_haste {
	struct vd_dev *dev;
	bool made;
};

/*
 * Of another process than the owner's: that it ends is no reason to fail
 * accesses of the owner.
 */
static bool vd_is_stranger(const struct vd_dev *dev)
{
	return current->mm != dev->mm;
}

/*
 * The thread is killed. Its process may be the one that would have to bring the
 * page, and doesn't end before the thread does. Who closes the device has made
 * the workers hurry already, for good.
 */
static void vd_haste_make(void *data)
{
	struct vd_haste *h = data;

	if (h->dev->closing || vd_is_stranger(h->dev))
		return;
	vd_workers_hurry(h->dev);
	h->made = true;
}

/*
 * The thread has what it waited for. Who was killed may share its memory with
 * another process, which lives: its queues are served on, and as what they
 * gave up may have no other kick to come, they look again.
 */
static void vd_haste_end(const struct vd_haste *h)
{
	struct vd_dev *dev = h->dev;
	unsigned int i;

	if (!h->made)
		return;
	for (i = 0; i < VD_WORKERS_MAX; i++)
		if (dev->workers[i])
			vd_worker_unhurry(dev->workers[i]);
	/* Who sees this count meets no signal. Pairs with vd_vq_begin(). */
	smp_store_release(&dev->haste, dev->haste + 1);
	for (i = 0; i < dev->nvqs; i++)
		if (dev->vqs[i]->backend)
			vd_poll_queue(&dev->vqs[i]->poll);
}

/**
 * vd_vq_lock_nested - take a virtqueue's mutex, which its worker may hold long
 * @vq: the virtqueue
 * @subclass: lockdep's, for who takes several
 *
 * A worker that waits for a page has the mutex meanwhile. A thread of the
 * owner that is killed doesn't wait for it.
 * Context: device mutex or the last user; may sleep; not on a worker.
 */
void vd_vq_lock_nested(struct vd_virtqueue *vq, unsigned int subclass)
{
	struct vd_haste h = { .dev = vq->dev };

	if (!mutex_lock_killable_nested(&vq->mutex, subclass))
		return;
	vd_haste_make(&h);
	mutex_lock_nested(&vq->mutex, subclass);
	vd_haste_end(&h);
}
EXPORT_SYMBOL_GPL(vd_vq_lock_nested);

/**
 * vd_queues_lock - take the mutexes of all queues, where anybody may call
 * @dev: the device
 *
 * Who isn't the owner can't have the workers hurry, so must be able to give up.
 * Return: 0; -EINTR, and none is taken, if a stranger is killed.
 * Context: device mutex; may sleep; not on a worker. vd_queues_unlock() follows.
 */
int vd_queues_lock(struct vd_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nvqs; i++) {
		/* A class of its own for each, for lockdep. */
		if (!vd_is_stranger(dev)) {
			vd_vq_lock_nested(dev->vqs[i], i);
		} else if (mutex_lock_killable_nested(&dev->vqs[i]->mutex, i)) {
			while (i--)
				mutex_unlock(&dev->vqs[i]->mutex);
			return -EINTR;
		}
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vd_queues_lock);

/**
 * vd_queues_unlock - give the mutexes of all queues back
 * @dev: the device
 *
 * Context: whoever has called vd_queues_lock().
 */
void vd_queues_unlock(struct vd_dev *dev)
{
	unsigned int i = dev->nvqs;

	while (i--)
		mutex_unlock(&dev->vqs[i]->mutex);
}
EXPORT_SYMBOL_GPL(vd_queues_unlock);

/**
 * vd_workers_flush_one - wait until all work that one worker has now is done
 * @dev: the device
 * @w: one of its workers; it may wait for a queue that another one has, so if
 *     the caller is killed, all of them hurry
 *
 * Context: as vd_workers_flush().
 */
void vd_workers_flush_one(struct vd_dev *dev, struct vd_worker *w)
{
	struct vd_haste h = { .dev = dev };

	vd_worker_flush(w, vd_haste_make, &h);
	vd_haste_end(&h);
}

/**
 * vd_workers_flush - wait until all work queued so far has been done
 * @dev: the device
 *
 * Context: device mutex, or its last user; may sleep; not on a worker, not with
 * a virtqueue's mutex held.
 */
void vd_workers_flush(struct vd_dev *dev)
{
	unsigned int i;

	for (i = 0; i < VD_WORKERS_MAX; i++)
		if (dev->workers[i])
			vd_workers_flush_one(dev, dev->workers[i]);
}
EXPORT_SYMBOL_GPL(vd_workers_flush);

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device IOTLB (VIRTIO_F_ACCESS_PLATFORM): what the owner and we tell each
 * other by read, write and poll of the device's file.
 *
 * A queue that meets an address without a translation asks for it and rests
 * until the owner answers. It asks for one at a time, so what waits to be read
 * is one message a queue, whatever the driver does and however slow the owner
 * is. Translations change with all queues' mutexes held: for the time of its
 * visit to a queue the worker may rely on what it found.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "dev.h"

/* Stock's name and default. */
static int max_iotlb_entries = 2048;
module_param(max_iotlb_entries, int, 0444);
MODULE_PARM_DESC(max_iotlb_entries,
		 "Most translations of a device IOTLB (default 2048)");

/*
 * The addresses that a queue was told are of another kind from now on: what a
 * driver chose behind a vIOMMU must not be taken for the owner's memory, nor a
 * log address that nobody has checked for one that is used. Queue mutex.
 */
static void vd_iotlb_unplace(struct vd_virtqueue *vq)
{
	memset(vq->told, 0, sizeof(vq->told));
	vq->placed = false;
	vq->log.ring = false;
}

/* Puts @new, or none, in place of the old; waiting queues look again. */
static void vd_iotlb_replace(struct vd_dev *dev, struct vhost_iotlb *new)
{
	struct vhost_iotlb *old = dev->iotlb;
	unsigned int i;

	WRITE_ONCE(dev->iotlb, new);
	for (i = 0; i < dev->nvqs; i++) {
		struct vd_virtqueue *vq = dev->vqs[i];
		bool waits;

		vd_giova_forget(vq);
		vq->giova.map = NULL;
		vq->giova.iotlb = new;
		vq->region = NULL;
		if (!old || !new)
			vd_iotlb_unplace(vq);
		vd_vq_place(vq);
		spin_lock(&dev->miss_lock);
		waits = vq->giova.miss.state != VD_MISS_NONE;
		vq->giova.miss.state = VD_MISS_NONE;
		spin_unlock(&dev->miss_lock);
		if (waits && vq->backend)
			vd_poll_queue(&vq->poll);
	}
	vhost_iotlb_free(old);
	/* Who waits in read() is told that there is no IOTLB any more. */
	if (!new)
		wake_up_interruptible_poll(&dev->msg_wait, EPOLLIN | EPOLLRDNORM);
}

/**
 * vd_iotlb_allowed - does the parameter let an IOTLB have entries?
 *
 * Return: true if so. Context: any.
 */
bool vd_iotlb_allowed(void)
{
	return max_iotlb_entries > 0;
}

/**
 * vd_iotlb_start - an empty IOTLB for a device, from now on
 * @dev: the device
 *
 * Return: 0, -EINVAL if the parameter forbids it, -ENOMEM. Context: the mutexes
 * of the device and all queues; may sleep.
 */
int vd_iotlb_start(struct vd_dev *dev)
{
	struct vhost_iotlb *iotlb;

	if (!vd_iotlb_allowed())
		return -EINVAL;
	iotlb = vhost_iotlb_alloc(max_iotlb_entries, VHOST_IOTLB_FLAG_RETIRE);
	if (!iotlb)
		return -ENOMEM;
	vd_iotlb_replace(dev, iotlb);
	return 0;
}

/**
 * vd_iotlb_stop - guest-physical addresses from now on
 * @dev: the device
 *
 * Context: the mutexes of the device and all queues, or the former alone if
 * there are no workers; may sleep.
 */
void vd_iotlb_stop(struct vd_dev *dev)
{
	if (dev->iotlb)
		vd_iotlb_replace(dev, NULL);
}

/**
 * vd_iotlb_miss - a queue rests until an address has a translation
 * @vq: the virtqueue
 * @iova: the address
 * @perm: the access wanted
 * @tell: ask the owner; false for a translation that is there and forbids
 *
 * Return: false if the queue rests on that very address already, and the owner
 * knows. Context: queue mutex.
 */
bool vd_iotlb_miss(struct vd_virtqueue *vq, u64 iova, unsigned int perm,
		   bool tell)
{
	struct vd_dev *dev = vq->dev;
	struct vd_miss *m = &vq->giova.miss;
	bool known;

	spin_lock(&dev->miss_lock);
	known = !tell && m->state == VD_MISS_TOLD && m->iova == iova &&
		m->perm == perm;
	m->iova = iova;
	m->perm = perm;
	m->state = tell ? VD_MISS_NEW : VD_MISS_TOLD;
	spin_unlock(&dev->miss_lock);
	if (!tell)
		return !known;
	vd_stat_inc(&vq->counters, iotlb_misses);
	wake_up_interruptible_poll(&dev->msg_wait, EPOLLIN | EPOLLRDNORM);
	return true;
}

/**
 * vd_iotlb_withdraw - a queue that stops asks for nothing any more
 * @vq: the virtqueue
 *
 * What its owner has not read yet he need not answer.
 * Context: queue mutex.
 */
void vd_iotlb_withdraw(struct vd_virtqueue *vq)
{
	struct vd_dev *dev = vq->dev;

	spin_lock(&dev->miss_lock);
	vq->giova.miss.state = VD_MISS_NONE;
	spin_unlock(&dev->miss_lock);
}
EXPORT_SYMBOL_GPL(vd_iotlb_withdraw);

/* Queues whose wait ends with a change of a range: they look, or ask, again. */
static void vd_iotlb_answered(struct vd_dev *dev, u64 first, u64 last)
{
	unsigned int i;

	for (i = 0; i < dev->nvqs; i++) {
		struct vd_miss *m = &dev->vqs[i]->giova.miss;
		bool hit;

		spin_lock(&dev->miss_lock);
		hit = m->state != VD_MISS_NONE && m->iova >= first &&
		      m->iova <= last;
		if (hit)
			m->state = VD_MISS_NONE;
		spin_unlock(&dev->miss_lock);
		if (hit)
			vd_poll_queue(&dev->vqs[i]->poll);
	}
}

/*
 * What is about to be told anew is told no longer; else an owner that answers
 * twice, or grants what it had denied, would be held to its first answer. Of a
 * larger translation the rest stays.
 */
static int vd_iotlb_supersede(struct vhost_iotlb *iotlb, u64 first, u64 last)
{
	struct vhost_iotlb_map *map, old;
	int err = 0;

	/* The first each time: what is added may retire the next. */
	while (!err &&
	       (map = vhost_iotlb_itree_first(iotlb, first, last))) {
		old = *map;
		vhost_iotlb_map_free(iotlb, map);
		if (old.start < first)
			err = vhost_iotlb_add_range(iotlb, old.start, first - 1,
						    old.addr, old.perm);
		if (!err && old.last > last)
			err = vhost_iotlb_add_range(iotlb, last + 1, old.last,
						    old.addr + (last + 1 - old.start),
						    old.perm);
	}
	return err;
}

static int vd_iotlb_update(struct vd_dev *dev,
			   const struct vhost_iotlb_msg *m, u64 last)
{
	u64 last_uaddr;
	int err;

	/* No kernel address, ever, whatever is done with it later. */
	if (check_add_overflow(m->uaddr, m->size - 1, &last_uaddr) ||
	    last_uaddr > ULONG_MAX ||
	    ((m->perm & VHOST_ACCESS_RW) &&
	     !access_ok((void __user *)(unsigned long)m->uaddr, m->size)))
		return -EFAULT;
	err = vd_iotlb_supersede(dev->iotlb, m->iova, last);
	if (!err)
		err = vhost_iotlb_add_range(dev->iotlb, m->iova, last, m->uaddr,
					    m->perm & VHOST_ACCESS_RW);
	if (!err)
		vd_iotlb_answered(dev, m->iova, last);
	return err;
}

static void vd_iotlb_count(struct vd_dev *dev, bool update)
{
	unsigned int i;

	for (i = 0; i < dev->nvqs; i++) {
		if (update)
			vd_stat_inc(&dev->vqs[i]->counters, iotlb_updates);
		else
			vd_stat_inc(&dev->vqs[i]->counters, iotlb_invals);
	}
}

/* Device and all queues' mutexes. */
static int vd_iotlb_change(struct vd_dev *dev, const struct vhost_iotlb_msg *m)
{
	u64 last = m->iova + m->size - 1;
	unsigned int i;
	int err = 0;

	if (!dev->iotlb)
		return -EFAULT;
	/* Nothing at 0 reaches to the end: the only way to say: all of it. */
	if (last < m->iova)
		return -EFAULT;
	/* The last hits go in any case: an update may retire what is oldest. */
	for (i = 0; i < dev->nvqs; i++)
		vd_giova_changed(dev->vqs[i], m->iova, last);
	if (m->type == VHOST_IOTLB_UPDATE) {
		err = vd_iotlb_update(dev, m, last);
	} else {
		vhost_iotlb_del_range(dev->iotlb, m->iova, last);
		/* What was forbidden is unknown now: to be asked for. */
		vd_iotlb_answered(dev, m->iova, last);
	}
	if (!err)
		vd_iotlb_count(dev, m->type == VHOST_IOTLB_UPDATE);
	return err;
}

static int vd_iotlb_message(struct vd_dev *dev, const struct vhost_iotlb_msg *m)
{
	int err;

	if (m->type != VHOST_IOTLB_UPDATE && m->type != VHOST_IOTLB_INVALIDATE)
		return -EINVAL;
	/* Not only the owner may be here, who may have it for long. */
	if (mutex_lock_killable(&dev->mutex))
		return -EINTR;
	err = vd_queues_lock(dev);
	if (!err) {
		err = vd_iotlb_change(dev, m);
		vd_queues_unlock(dev);
	}
	mutex_unlock(&dev->mutex);
	return err;
}

/**
 * vd_iotlb_write - a message of the owner
 * @dev: the device
 * @from: a struct vhost_msg or vhost_msg_v2; padding at its end may be missing
 *
 * Return: the size of the whole structure; -EINVAL for what is no message, or
 * an update of nothing; -EFAULT for all that can't be done, as stock. It isn't
 * asked whether the caller is the owner, as stock doesn't.
 * Context: takes the device's and all queues' mutexes; may sleep.
 */
ssize_t vd_iotlb_write(struct vd_dev *dev, struct iov_iter *from)
{
	struct vhost_iotlb_msg m;
	size_t skip;
	int type;

	if (copy_from_iter(&type, sizeof(type), from) != sizeof(type))
		return -EINVAL;
	if (type == VHOST_IOTLB_MSG)
		skip = offsetof(struct vhost_msg, iotlb) - sizeof(type);
	else if (type == VHOST_IOTLB_MSG_V2)
		skip = offsetof(struct vhost_msg_v2, iotlb) - sizeof(type);
	else
		return -EINVAL;
	iov_iter_advance(from, skip);
	if (copy_from_iter(&m, sizeof(m), from) != sizeof(m))
		return -EINVAL;
	if (m.type == VHOST_IOTLB_UPDATE && !m.size)
		return -EINVAL;
	if (vd_iotlb_message(dev, &m))
		return -EFAULT;
	return type == VHOST_IOTLB_MSG ? sizeof(struct vhost_msg) :
					 sizeof(struct vhost_msg_v2);
}
EXPORT_SYMBOL_GPL(vd_iotlb_write);

static bool vd_iotlb_readable(struct vd_dev *dev)
{
	bool found = false;
	unsigned int i;

	spin_lock(&dev->miss_lock);
	for (i = 0; i < dev->nvqs; i++)
		found |= dev->vqs[i]->giova.miss.state == VD_MISS_NEW;
	spin_unlock(&dev->miss_lock);
	return found;
}

/* Takes a miss that the owner hasn't read. Returns its queue, or NULL. */
static struct vd_virtqueue *vd_iotlb_take(struct vd_dev *dev,
					  struct vd_miss *miss)
{
	struct vd_virtqueue *vq = NULL;
	unsigned int i;

	spin_lock(&dev->miss_lock);
	for (i = 0; i < dev->nvqs && !vq; i++) {
		struct vd_miss *m = &dev->vqs[i]->giova.miss;

		if (m->state != VD_MISS_NEW)
			continue;
		m->state = VD_MISS_TOLD;
		*miss = *m;
		vq = dev->vqs[i];
	}
	spin_unlock(&dev->miss_lock);
	return vq;
}

/* A reader that couldn't be served: somebody else may be. */
static void vd_iotlb_untake(struct vd_dev *dev, struct vd_virtqueue *vq,
			    const struct vd_miss *miss)
{
	struct vd_miss *m = &vq->giova.miss;

	spin_lock(&dev->miss_lock);
	if (m->state == VD_MISS_TOLD && m->iova == miss->iova)
		m->state = VD_MISS_NEW;
	spin_unlock(&dev->miss_lock);
	/* Who was woken with us found nothing, and sleeps again. */
	wake_up_interruptible_poll(&dev->msg_wait, EPOLLIN | EPOLLRDNORM);
}

static ssize_t vd_iotlb_put(struct vd_dev *dev, const struct vd_miss *miss,
			    struct iov_iter *to)
{
	union {
		struct vhost_msg v1;
		struct vhost_msg_v2 v2;
	} u;
	bool v2 = READ_ONCE(dev->backend_features) &
		  BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2);
	struct vhost_iotlb_msg *m = v2 ? &u.v2.iotlb : &u.v1.iotlb;
	size_t size = v2 ? sizeof(u.v2) : sizeof(u.v1);

	/* Every byte of it goes to the owner: CVE-2018-1118. */
	memset(&u, 0, sizeof(u));
	if (v2)
		u.v2.type = VHOST_IOTLB_MSG_V2;
	else
		u.v1.type = VHOST_IOTLB_MSG;
	m->type = VHOST_IOTLB_MISS;
	m->iova = miss->iova;
	m->perm = miss->perm;
	return copy_to_iter(&u, size, to) == size ? size : -EFAULT;
}

/**
 * vd_iotlb_read - a message for the owner: a translation that is missing
 * @dev: the device
 * @to: room for it
 * @noblock: don't wait
 *
 * Return: the message's size; 0 for too little room; -EAGAIN, -ERESTARTSYS,
 * -EFAULT; -EBADFD if there is no IOTLB, and so nothing to wait for.
 * Context: may sleep.
 */
ssize_t vd_iotlb_read(struct vd_dev *dev, struct iov_iter *to, bool noblock)
{
	struct vd_virtqueue *vq;
	struct vd_miss miss;
	ssize_t ret;

	if (iov_iter_count(to) < sizeof(struct vhost_msg))
		return 0;
	for (;;) {
		vq = vd_iotlb_take(dev, &miss);
		if (vq)
			break;
		if (noblock)
			return -EAGAIN;
		if (!READ_ONCE(dev->iotlb))
			return -EBADFD;
		ret = wait_event_interruptible(dev->msg_wait,
					       vd_iotlb_readable(dev) ||
					       !READ_ONCE(dev->iotlb));
		if (ret)
			return ret;
	}
	ret = vd_iotlb_put(dev, &miss, to);
	if (ret < 0)
		vd_iotlb_untake(dev, vq, &miss);
	return ret;
}
EXPORT_SYMBOL_GPL(vd_iotlb_read);

/**
 * vd_iotlb_poll - is there a message?
 * @file: the device's file
 * @dev: the device
 * @wait: as of a poll operation
 *
 * Return: EPOLLIN | EPOLLRDNORM if there is one, else 0. Context: may sleep.
 */
__poll_t vd_iotlb_poll(struct file *file, struct vd_dev *dev,
		       poll_table *wait)
{
	poll_wait(file, &dev->msg_wait, wait);
	return vd_iotlb_readable(dev) ? EPOLLIN | EPOLLRDNORM : 0;
}
EXPORT_SYMBOL_GPL(vd_iotlb_poll);

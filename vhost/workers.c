// SPDX-License-Identifier: GPL-2.0-only
/*
 * The workers of a device: one that VHOST_SET_OWNER makes, number 0, and those
 * that the owner asks for, to give a queue a thread, and so a processor, of its
 * own.
 *
 * A queue changes its worker while it runs: the pointer is exchanged, those who
 * may have read the old one are waited for (RCU), then the old worker does what
 * it was asked to. Meanwhile both may be at the queue; its mutex parts them.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/task.h"
#include "dev.h"
#include "uapi/vhost_new.h"

/*
 * Stock's name, not its default: kernel threads are the same on every kernel,
 * and can be made to hurry where a thread of the owner's dies with it.
 */
static bool fork_from_owner_default;
module_param(fork_from_owner_default, bool, 0444);
MODULE_PARM_DESC(fork_from_owner_default,
		 "Workers are threads of their owner's unless it asks otherwise; from kernel 6.12 on (default 0)");

/**
 * vd_workers_default - whose threads workers are if nobody says
 *
 * Return: true: their owner's. Context: any.
 */
bool vd_workers_default(void)
{
	return fork_from_owner_default && VD_TASK_POSSIBLE;
}

/**
 * vd_workers_init - say what the module was asked for and can't do
 *
 * Context: the module is being loaded.
 */
void __init vd_workers_init(void)
{
	if (fork_from_owner_default && !VD_TASK_POSSIBLE)
		pr_warn("vhost_direct: fork_from_owner_default: this kernel has no such threads: workers are the kernel's\n");
}

static int vd_workers_new(struct vd_dev *dev, unsigned int *id)
{
	struct vd_worker *w;
	unsigned int i;
	int err;

	for (i = 0; i < VD_WORKERS_MAX && dev->workers[i]; i++)
		;
	if (i == VD_WORKERS_MAX)
		return -EBUSY;
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return -ENOMEM;
	err = vd_worker_start(w, dev->mm, dev->fork);
	if (err) {
		kfree(w);
		return err;
	}
	dev->workers[i] = w;
	*id = i;
	return 0;
}

/**
 * vd_workers_start - the worker that every device has
 * @dev: the device, with the caller's memory
 *
 * Return: 0, -ENOMEM, or what starting a thread answered. Context: device
 * mutex; may sleep.
 */
int vd_workers_start(struct vd_dev *dev)
{
	unsigned int id, i;
	int err = vd_workers_new(dev, &id);

	for (i = 0; !err && i < dev->nvqs; i++)
		/* With all that it is: pairs with READ_ONCE() in vd_poll_queue(). */
		smp_store_release(&dev->vqs[i]->worker, dev->workers[id]);
	return err;
}

/**
 * vd_workers_stop - end all workers
 * @dev: the device, idle, with nothing left that could queue work
 *
 * Context: device mutex or the last user; may sleep.
 */
void vd_workers_stop(struct vd_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nvqs; i++)
		WRITE_ONCE(dev->vqs[i]->worker, NULL);
	for (i = 0; i < VD_WORKERS_MAX; i++) {
		if (!dev->workers[i])
			continue;
		vd_worker_stop(dev->workers[i]);
		kfree(dev->workers[i]);
		dev->workers[i] = NULL;
	}
}

static struct vd_worker *vd_workers_find(struct vd_dev *dev, unsigned int id)
{
	if (id >= VD_WORKERS_MAX)
		return NULL;
	return dev->workers[array_index_nospec(id, VD_WORKERS_MAX)];
}

static long vd_workers_free(struct vd_dev *dev, unsigned int id)
{
	struct vd_worker *w = vd_workers_find(dev, id);
	unsigned int i;

	if (!w)
		return -ENODEV;
	for (i = 0; i < dev->nvqs; i++)
		if (dev->vqs[i]->worker == w)
			return -EBUSY;
	vd_worker_stop(w);
	dev->workers[array_index_nospec(id, VD_WORKERS_MAX)] = NULL;
	kfree(w);
	return 0;
}

static long vd_workers_attach(struct vd_dev *dev, struct vd_virtqueue *vq,
			      unsigned int id)
{
	struct vd_worker *w = vd_workers_find(dev, id), *old = vq->worker;

	if (!w)
		return -ENODEV;
	if (w == old)
		return 0;
	/* Pairs with READ_ONCE() in vd_poll_queue(). */
	smp_store_release(&vq->worker, w);
	synchronize_rcu();
	vd_workers_flush_one(dev, old);
	/* What a dead one was asked for since is lost. */
	if (vq->backend && !READ_ONCE(old->running))
		vd_poll_queue(&vq->poll);
	return 0;
}

static unsigned int vd_workers_id(const struct vd_dev *dev,
				  const struct vd_virtqueue *vq)
{
	unsigned int i = 0;

	while (dev->workers[i] != vq->worker)
		i++;
	return i;
}

static long vd_workers_state(struct vd_dev *dev, unsigned int cmd,
			     void __user *arg)
{
	struct vhost_worker_state s;
	long ret;

	if (cmd == VHOST_FREE_WORKER)
		return copy_from_user(&s, arg, sizeof(s)) ? -EFAULT :
		       vd_workers_free(dev, s.worker_id);
	ret = vd_workers_new(dev, &s.worker_id);
	if (!ret && copy_to_user(arg, &s, sizeof(s))) {
		/* Nobody would know its number. */
		vd_workers_free(dev, s.worker_id);
		ret = -EFAULT;
	}
	return ret;
}

static long vd_workers_vring(struct vd_dev *dev, unsigned int cmd,
			     void __user *arg)
{
	struct vhost_vring_worker v;
	struct vd_virtqueue *vq;
	u32 index;

	/* Stock says first that there is no such queue. */
	if (get_user(index, (u32 __user *)arg))
		return -EFAULT;
	if (index >= dev->nvqs)
		return -ENOBUFS;
	vq = dev->vqs[array_index_nospec(index, dev->nvqs)];
	if (cmd == VHOST_ATTACH_VRING_WORKER)
		return copy_from_user(&v, arg, sizeof(v)) ? -EFAULT :
		       vd_workers_attach(dev, vq, v.worker_id);
	v.index = index;
	v.worker_id = vd_workers_id(dev, vq);
	return copy_to_user(arg, &v, sizeof(v)) ? -EFAULT : 0;
}

/**
 * vd_workers_set_fork - whose threads workers are (VHOST_SET_FORK_FROM_OWNER)
 * @dev: the device
 * @mode: VHOST_FORK_OWNER_TASK or _KTHREAD; below 0: could not be read
 *
 * Set before there is an owner, and by anybody, as with stock.
 * Return: 0; -EBUSY with an owner; -EFAULT; -EINVAL for a way that this kernel
 * hasn't. Context: device mutex.
 */
long vd_workers_set_fork(struct vd_dev *dev, int mode)
{
	if (dev->mm)
		return -EBUSY;
	if (mode < 0)
		return -EFAULT;
	if (mode != VHOST_FORK_OWNER_KTHREAD &&
	    (mode != VHOST_FORK_OWNER_TASK || !VD_TASK_POSSIBLE))
		return -EINVAL;
	WRITE_ONCE(dev->fork, mode == VHOST_FORK_OWNER_TASK);
	return 0;
}
EXPORT_SYMBOL_GPL(vd_workers_set_fork);

/**
 * vd_workers_get_fork - whose threads workers are (VHOST_GET_FORK_FROM_OWNER)
 * @dev: the device
 * @arg: where the answer goes
 *
 * Return: 0 or -EFAULT. Context: no lock; may sleep.
 */
long vd_workers_get_fork(const struct vd_dev *dev, u8 __user *arg)
{
	return put_user(READ_ONCE(dev->fork) ? VHOST_FORK_OWNER_TASK :
					       VHOST_FORK_OWNER_KTHREAD, arg);
}
EXPORT_SYMBOL_GPL(vd_workers_get_fork);

/**
 * vd_workers_ioctl - VHOST_NEW_WORKER and its relatives
 * @dev: the device
 * @cmd: which
 * @arg: its argument
 *
 * Return: as the ioctl: -EINVAL without an owner, -EPERM for a stranger, -EBUSY
 * for too many workers or one that is in use, -ENODEV for an unknown one,
 * -ENOBUFS for an unknown queue; -ENOIOCTLCMD for other ioctls.
 * Context: device mutex; may sleep.
 */
long vd_workers_ioctl(struct vd_dev *dev, unsigned int cmd, void __user *arg)
{
	switch (cmd) {
	case VHOST_NEW_WORKER:
	case VHOST_FREE_WORKER:
	case VHOST_ATTACH_VRING_WORKER:
	case VHOST_GET_VRING_WORKER:
		break;
	default:
		return -ENOIOCTLCMD;
	}
	if (!dev->mm)
		return -EINVAL;
	if (vd_dev_check_owner(dev))
		return -EPERM;
	if (cmd == VHOST_NEW_WORKER || cmd == VHOST_FREE_WORKER)
		return vd_workers_state(dev, cmd, arg);
	return vd_workers_vring(dev, cmd, arg);
}
EXPORT_SYMBOL_GPL(vd_workers_ioctl);

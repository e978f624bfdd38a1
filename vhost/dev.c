// SPDX-License-Identifier: GPL-2.0-only
/* Devices: their life from open to close, and the module that holds the core. */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "dev.h"
#include "notifier.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static const char * const vd_metadata_names[] = { "direct", "user" };
static bool vd_metadata_user;

static int vd_metadata_set(const char *val, const struct kernel_param *kp)
{
	int i = sysfs_match_string(vd_metadata_names, val);

	if (i < 0)
		return i;
	WRITE_ONCE(vd_metadata_user, i);
	return 0;
}

static int vd_metadata_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n",
			  vd_metadata_names[READ_ONCE(vd_metadata_user)]);
}

static const struct kernel_param_ops vd_metadata_ops = {
	.set = vd_metadata_set,
	.get = vd_metadata_get,
};

module_param_cb(metadata, &vd_metadata_ops, NULL, 0644);
MODULE_PARM_DESC(metadata,
		 "How devices opened from now on reach their rings: direct (default) or user");

static void vd_vq_reset(struct vd_virtqueue *vq)
{
	memset(&vq->ring, 0, sizeof(vq->ring));
	vq->ring.num = 1;
	memset(vq->told, 0, sizeof(vq->told));
	memset(vq->part, 0, sizeof(vq->part));
	vq->placed = false;
	vq->said = 0;
	vq->mem = NULL;
	vq->region = NULL;
	vq->backend = NULL;
	vq->features = 0;
	vq->busy.timeout = 0;
	vq->busy.armed = false;
	vq->kick = NULL;
	vq->call = NULL;
	vq->err = NULL;
	vd_log_release(vq);
	memset(&vq->counters, 0, sizeof(vq->counters));
}

/**
 * vd_vq_init - prepare a virtqueue
 * @vq: the virtqueue, zeroed
 * @index: its number
 * @name: for messages
 * @kick: what the worker does when the driver kicks
 *
 * To be followed by vd_dev_init() of its device.
 * Context: nobody else has the device yet.
 */
void vd_vq_init(struct vd_virtqueue *vq, unsigned int index, const char *name,
		vd_work_fn kick)
{
	vq->index = index;
	vq->name = name;
	mutex_init(&vq->mutex);
	vd_winset_init(&vq->win, &vq->counters);
	vd_poll_init(&vq->poll, &vq->worker, kick, EPOLLIN);
	vd_vq_reset(vq);
}
EXPORT_SYMBOL_GPL(vd_vq_init);

/**
 * vd_dev_init - prepare a device that has no owner yet
 * @dev: the device, zeroed
 * @vqs: its virtqueues, after vd_vq_init(); the array stays in use
 * @nvqs: how many
 *
 * Context: nobody else has the device yet.
 */
void vd_dev_init(struct vd_dev *dev, struct vd_virtqueue **vqs,
		 unsigned int nvqs)
{
	unsigned int i;

	mutex_init(&dev->mutex);
	spin_lock_init(&dev->miss_lock);
	init_waitqueue_head(&dev->msg_wait);
	dev->vqs = vqs;
	dev->nvqs = nvqs;
	dev->direct = VD_DIRECT_POSSIBLE && !READ_ONCE(vd_metadata_user);
	dev->fork = vd_workers_default();
	for (i = 0; i < nvqs; i++)
		vqs[i]->dev = dev;
}
EXPORT_SYMBOL_GPL(vd_dev_init);

/**
 * vd_dev_check_owner - is the caller the owner?
 * @dev: the device
 *
 * Return: 0 or -EPERM. Context: device mutex.
 */
int vd_dev_check_owner(const struct vd_dev *dev)
{
	return dev->mm == current->mm ? 0 : -EPERM;
}
EXPORT_SYMBOL_GPL(vd_dev_check_owner);

/*
 * The worker's arrays, by the page: powers of two would waste a third, and a
 * host has many idle devices.
 */
static void *vd_array_alloc(size_t size)
{
	return alloc_pages_exact(size, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}

static void vd_array_free(void *array, size_t size)
{
	if (array)
		free_pages_exact(array, size);
}

#define VD_BURST_BYTES	sizeof(struct vd_burst)
#define VD_XSEG_BYTES	(VD_CHAIN_SEGS * sizeof(struct vd_seg))
#define VD_IOV_BYTES	((VD_IOV + VD_TABLE_IOV) * sizeof(struct iovec))
#define VD_USED_BYTES	(VD_USED_MAX * sizeof(struct vd_used))
#define VD_SLOTS_BYTES	(VD_USED_MAX * sizeof(u16))

static void vd_vq_free_buffers(struct vd_virtqueue *vq)
{
	vd_array_free(vq->burst, VD_BURST_BYTES);
	vq->burst = NULL;
	vd_array_free(vq->xseg, VD_XSEG_BYTES);
	vq->xseg = NULL;
	vd_array_free(vq->iov, VD_IOV_BYTES);
	vq->iov = NULL;
	vd_array_free(vq->used, VD_USED_BYTES);
	vq->used = NULL;
	vd_array_free(vq->used_slots, VD_SLOTS_BYTES);
	vq->used_slots = NULL;
	vq->nused = 0;
}

static int vd_vq_alloc_buffers(struct vd_virtqueue *vq)
{
	vq->burst = vd_array_alloc(VD_BURST_BYTES);
	vq->xseg = vd_array_alloc(VD_XSEG_BYTES);
	vq->iov = vd_array_alloc(VD_IOV_BYTES);
	vq->used = vd_array_alloc(VD_USED_BYTES);
	vq->used_slots = vd_array_alloc(VD_SLOTS_BYTES);
	return vq->burst && vq->xseg && vq->iov && vq->used && vq->used_slots ?
	       0 : -ENOMEM;
}

/* The owner's half of the device is gone: what set_owner made, unmade. */
static void vd_dev_disown(struct vd_dev *dev)
{
	unsigned int i;

	vd_workers_stop(dev);
	for (i = 0; i < dev->nvqs; i++) {
		vd_winset_detach(&dev->vqs[i]->win);
		vd_vq_free_buffers(dev->vqs[i]);
	}
	if (dev->vm) {
		/* The back end will free the sets: no callback walks them. */
		synchronize_rcu();
		vd_mm_put(dev->vm);
		dev->vm = NULL;
	}
	mmput(dev->mm);
	dev->mm = NULL;
}

static int vd_dev_watch(struct vd_dev *dev)
{
	struct vd_mm *vm;
	unsigned int i;

	if (!dev->direct)
		return 0;
	vm = vd_mm_get(dev->mm);
	if (IS_ERR(vm))
		/* A signal was pending: let the call start over after it. */
		return PTR_ERR(vm) == -EINTR ? -ERESTARTNOINTR : PTR_ERR(vm);
	dev->vm = vm;
	for (i = 0; i < dev->nvqs; i++)
		vd_winset_attach(&dev->vqs[i]->win, vm);
	return 0;
}

/**
 * vd_dev_set_owner - make the caller the owner (VHOST_SET_OWNER)
 * @dev: the device
 *
 * Return: 0; -EBUSY if it has an owner; -EINVAL for a caller without memory; -ENOMEM;
 * -ERESTARTNOINTR; or what starting the worker answered. After a failure the device
 * has no owner.
 * Context: device mutex; may sleep.
 */
int vd_dev_set_owner(struct vd_dev *dev)
{
	static atomic_t serial = ATOMIC_INIT(0);
	unsigned int i;
	int err;

	if (dev->mm)
		return -EBUSY;
	dev->mm = get_task_mm(current);
	if (!dev->mm)
		return -EINVAL;
	dev->pid = current->tgid;
	dev->serial = atomic_inc_return(&serial);
	err = vd_dev_watch(dev);
	for (i = 0; !err && i < dev->nvqs; i++)
		err = vd_vq_alloc_buffers(dev->vqs[i]);
	if (!err)
		err = vd_workers_start(dev);
	if (err)
		vd_dev_disown(dev);
	else
		vd_debugfs_add(dev);
	return err;
}
EXPORT_SYMBOL_GPL(vd_dev_set_owner);

/**
 * vd_dev_stop - no kick or attempt wakes the worker any more, and it is idle
 * @dev: the device; back ends have stopped their own polls
 *
 * Context: may sleep.
 */
void vd_dev_stop(struct vd_dev *dev)
{
	unsigned int i;

	for (i = 0; i < dev->nvqs; i++)
		vd_poll_stop(&dev->vqs[i]->poll);
	/* Before the last look at what is queued. */
	for (i = 0; i < dev->nvqs; i++)
		vd_retry_stop(dev->vqs[i]);
	vd_workers_flush(dev);
}
EXPORT_SYMBOL_GPL(vd_dev_stop);

static void vd_vq_cleanup(struct vd_virtqueue *vq)
{
	if (vq->kick)
		fput(vq->kick);
	if (vq->call)
		eventfd_ctx_put(vq->call);
	if (vq->err)
		eventfd_ctx_put(vq->err);
	vd_vq_reset(vq);
}

/**
 * vd_dev_cleanup - back to a device without an owner
 * @dev: the device, stopped, its queues without a back end
 *
 * The order matters: first the worker, then the notifier, then the memory.
 * Context: may sleep.
 */
void vd_dev_cleanup(struct vd_dev *dev)
{
	unsigned int i;

	vd_debugfs_del(dev);
	if (dev->mm)
		vd_dev_disown(dev);
	for (i = 0; i < dev->nvqs; i++)
		vd_vq_cleanup(dev->vqs[i]);
	vd_iotlb_stop(dev);
	/* A reader of messages may look at it. */
	WRITE_ONCE(dev->backend_features, 0);
	WRITE_ONCE(dev->fork, vd_workers_default());
	if (dev->log)
		eventfd_ctx_put(dev->log);
	dev->log = NULL;
	kvfree(dev->mem);
	dev->mem = NULL;
}
EXPORT_SYMBOL_GPL(vd_dev_cleanup);

/**
 * vd_dev_renew - give a device that was reset an empty memory table
 * @dev: the device after vd_dev_cleanup()
 * @mem: of vd_memtable_empty(), the device's from now on
 *
 * One that is opened has none. Stock makes the same difference, which shows in
 * what VHOST_NET_SET_BACKEND answers.
 * Context: device mutex; there is no worker.
 */
void vd_dev_renew(struct vd_dev *dev, struct vd_memtable *mem)
{
	unsigned int i;

	dev->mem = mem;
	for (i = 0; i < dev->nvqs; i++)
		dev->vqs[i]->mem = mem;
}
EXPORT_SYMBOL_GPL(vd_dev_renew);

static int __init vd_init(void)
{
	vd_tell_init();
	vd_debugfs_init();
	vd_workers_init();
	return 0;
}

static void __exit vd_exit(void)
{
	vd_debugfs_exit();
	/* Subscriptions are freed behind our back: wait for the last. */
	vd_mm_wait();
}

module_init(vd_init);
module_exit(vd_exit);

MODULE_DESCRIPTION("vhost through the kernel's direct map: the core");
MODULE_LICENSE("GPL");
MODULE_VERSION(VD_VERSION);

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls that every device has, with stock's checks in stock's order:
 * programs rely on the error they get.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dev.h"
#include "uapi/vhost_direct.h"

static bool vd_mem_table_fits(struct vd_virtqueue *vq,
			      const struct vd_memtable *mem)
{
	bool ok;

	vd_vq_lock(vq);
	ok = !vq->backend || !vd_vq_has(vq, VHOST_F_LOG_ALL) ||
	     vd_log_table_ok(vq->log.base, mem);
	mutex_unlock(&vq->mutex);
	return ok;
}

static long vd_set_mem_table(struct vd_dev *dev, void __user *arg)
{
	struct vd_memtable *mem = vd_memtable_read(arg), *old = dev->mem;
	unsigned int i;

	if (IS_ERR(mem))
		return PTR_ERR(mem);
	/* Memory that a running queue couldn't log mustn't be written. */
	for (i = 0; i < dev->nvqs; i++) {
		if (!vd_mem_table_fits(dev->vqs[i], mem)) {
			kvfree(mem);
			return -EFAULT;
		}
	}
	dev->mem = mem;
	for (i = 0; i < dev->nvqs; i++) {
		struct vd_virtqueue *vq = dev->vqs[i];

		vd_vq_lock(vq);
		vq->mem = mem;
		vq->region = NULL;
		/*
		 * The ring may lie elsewhere in memory now, and a buffer that
		 * the queue stopped at may have a place: look again.
		 */
		if (vq->backend) {
			vd_vq_describe(vq);
			vd_poll_queue(&vq->poll);
		}
		mutex_unlock(&vq->mutex);
	}
	kvfree(old);
	return 0;
}

/* The eventfd of a descriptor; NULL to unbind. */
static struct eventfd_ctx *vd_eventfd_get(int fd)
{
	return fd == VHOST_FILE_UNBIND ? NULL : eventfd_ctx_fdget(fd);
}

static long vd_set_num(struct vd_virtqueue *vq, void __user *arg)
{
	struct vhost_vring_state s;

	if (vq->backend)
		return -EBUSY;
	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	/* A packed ring may have any size: 2.8.10. */
	if (!s.num || s.num > 0xffff ||
	    (!vd_vq_has(vq, VIRTIO_F_RING_PACKED) && !is_power_of_2(s.num)))
		return -EINVAL;
	if (s.num > 0x8000)
		return -EINVAL;
	/* debugfs reads it without a lock. */
	WRITE_ONCE(vq->ring.num, s.num);
	return 0;
}

static long vd_set_addr(struct vd_virtqueue *vq, void __user *arg)
{
	struct vhost_vring_addr a;
	u64 told[VD_PARTS];
	int err;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	if (a.flags & ~BIT(VHOST_VRING_F_LOG))
		return -EOPNOTSUPP;
	if ((unsigned long)a.desc_user_addr != a.desc_user_addr ||
	    (unsigned long)a.used_user_addr != a.used_user_addr ||
	    (unsigned long)a.avail_user_addr != a.avail_user_addr)
		return -EFAULT;
	if (!IS_ALIGNED(a.avail_user_addr, VD_AVAIL_ALIGN) ||
	    !IS_ALIGNED(a.used_user_addr, VD_USED_ALIGN) ||
	    !IS_ALIGNED(a.log_guest_addr, VD_USED_ALIGN))
		return -EINVAL;
	if (vq->backend && !vd_log_used_ok(vq, vq->log.base, a.flags,
					   a.log_guest_addr))
		return -EINVAL;
	told[VD_PART_DESC] = a.desc_user_addr;
	told[VD_PART_AVAIL] = a.avail_user_addr;
	told[VD_PART_USED] = a.used_user_addr;
	if (vq->backend) {
		err = vd_vq_move(vq, told);
		if (err)
			return err;
	} else {
		memcpy(vq->told, told, sizeof(told));
		vd_vq_place(vq);
	}
	vq->placed = true;
	vq->log.ring = a.flags & BIT(VHOST_VRING_F_LOG);
	vq->log.used_addr = a.log_guest_addr;
	return 0;
}

/*
 * The base of a packed ring: the place of avail in the lower half, that of
 * used in the upper, each a slot with its wrap counter in bit 15. DPDK tells
 * where avail begins in a new ring, and nothing of used, which begins there too.
 */
static long vd_set_base_packed(struct vd_ring *r, u32 num)
{
	u16 avail = num, used = num == BIT(15) ? avail : num >> 16;

	if ((avail & 0x7fff) >= r->num || (used & 0x7fff) >= r->num)
		return -EINVAL;
	r->last_avail = avail & 0x7fff;
	r->avail_wrap = avail >> 15;
	r->avail_idx = r->last_avail;
	r->seen_wrap = r->avail_wrap;
	r->last_used = used & 0x7fff;
	r->used_wrap = used >> 15;
	return 0;
}

static u32 vd_get_base_packed(const struct vd_ring *r)
{
	return (u32)(r->last_avail | r->avail_wrap << 15) |
	       (u32)(r->last_used | r->used_wrap << 15) << 16;
}

static long vd_set_base(struct vd_virtqueue *vq, void __user *arg)
{
	struct vhost_vring_state s;

	if (vq->backend)
		return -EBUSY;
	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	if (vd_vq_has(vq, VIRTIO_F_RING_PACKED))
		return vd_set_base_packed(&vq->ring, s.num);
	if (s.num > 0xffff)
		return -EINVAL;
	vq->ring.last_avail = s.num;
	vq->ring.avail_idx = s.num;
	return 0;
}

static long vd_get_base(struct vd_virtqueue *vq, void __user *arg)
{
	struct vhost_vring_state s = {
		.index = vq->index,
		.num = vd_vq_has(vq, VIRTIO_F_RING_PACKED) ?
		       vd_get_base_packed(&vq->ring) : vq->ring.last_avail,
	};

	return copy_to_user(arg, &s, sizeof(s)) ? -EFAULT : 0;
}

static long vd_set_busy(struct vd_virtqueue *vq, void __user *arg)
{
	struct vhost_vring_state s;

	if (copy_from_user(&s, arg, sizeof(s)))
		return -EFAULT;
	WRITE_ONCE(vq->busy.timeout, s.num);
	return 0;
}

static long vd_get_busy(struct vd_virtqueue *vq, void __user *arg)
{
	struct vhost_vring_state s = {
		.index = vq->index,
		.num = vq->busy.timeout,
	};

	return copy_to_user(arg, &s, sizeof(s)) ? -EFAULT : 0;
}

/* @file is taken over, whatever the result. */
static long vd_set_kick(struct vd_virtqueue *vq, struct file *file)
{
	struct file *old = vq->kick;
	long ret = 0;

	if (file == old) {
		if (!file)
			return 0;
		fput(file);
		/* It may have refused to be polled when it was set before. */
		return vd_poll_start(&vq->poll, file);
	}
	vd_poll_stop(&vq->poll);
	vq->kick = file;
	if (old)
		fput(old);
	if (file)
		ret = vd_poll_start(&vq->poll, file);
	return ret;
}

static long vd_set_kick_fd(struct vd_virtqueue *vq, int fd)
{
	struct file *file = NULL;

	if (fd != VHOST_FILE_UNBIND) {
		file = eventfd_fget(fd);
		if (IS_ERR(file))
			return PTR_ERR(file);
	}
	return vd_set_kick(vq, file);
}

static long vd_set_ctx_fd(struct eventfd_ctx **slot, int fd)
{
	struct eventfd_ctx *ctx = vd_eventfd_get(fd);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	swap(ctx, *slot);
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}

static long vd_vring_file(struct vd_virtqueue *vq, unsigned int cmd,
			  void __user *arg)
{
	struct vhost_vring_file f;

	if (copy_from_user(&f, arg, sizeof(f)))
		return -EFAULT;
	switch (cmd) {
	case VHOST_SET_VRING_KICK:
		return vd_set_kick_fd(vq, f.fd);
	case VHOST_SET_VRING_CALL:
		return vd_set_ctx_fd(&vq->call, f.fd);
	default:
		return vd_set_ctx_fd(&vq->err, f.fd);
	}
}

static long vd_vring_locked(struct vd_virtqueue *vq, unsigned int cmd,
			    void __user *arg)
{
	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		return vd_set_num(vq, arg);
	case VHOST_SET_VRING_ADDR:
		return vd_set_addr(vq, arg);
	case VHOST_SET_VRING_BASE:
		return vd_set_base(vq, arg);
	case VHOST_GET_VRING_BASE:
		return vd_get_base(vq, arg);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return vd_vring_file(vq, cmd, arg);
	case VHOST_SET_VRING_BUSYLOOP_TIMEOUT:
		return vd_set_busy(vq, arg);
	case VHOST_GET_VRING_BUSYLOOP_TIMEOUT:
		return vd_get_busy(vq, arg);
	case VD_GET_STATS:
		return vd_stats_copy(&vq->counters, arg);
	default:
		return -ENOIOCTLCMD;
	}
}

/* All vring ioctls begin with the index. */
static long vd_vring_ioctl(struct vd_dev *dev, unsigned int cmd,
			   void __user *arg)
{
	struct vd_virtqueue *vq;
	u32 index;
	long ret;

	if (get_user(index, (u32 __user *)arg))
		return -EFAULT;
	if (index >= dev->nvqs)
		return -ENOBUFS;
	vq = dev->vqs[array_index_nospec(index, dev->nvqs)];
	vd_vq_lock(vq);
	ret = vd_vring_locked(vq, cmd, arg);
	mutex_unlock(&vq->mutex);
	/* What the worker does with an eventfd that was replaced, it has done. */
	if (cmd == VHOST_SET_VRING_KICK && !ret)
		vd_workers_flush(dev);
	return ret;
}

/**
 * vd_dev_ioctl - the ioctls that don't depend on the back end
 * @dev: the device
 * @cmd: which
 * @arg: its argument
 *
 * Return: as the ioctl; -EPERM for any but the owner; -ENOIOCTLCMD.
 * Context: device mutex; may sleep.
 */
long vd_dev_ioctl(struct vd_dev *dev, unsigned int cmd, void __user *arg)
{
	long ret = vd_dev_check_owner(dev);

	if (ret)
		return ret;
	switch (cmd) {
	case VHOST_SET_MEM_TABLE:
		return vd_set_mem_table(dev, arg);
	case VHOST_SET_LOG_BASE:
		return vd_log_set_base(dev, arg);
	case VHOST_SET_LOG_FD:
		return vd_log_set_fd(dev, arg);
	default:
		return vd_vring_ioctl(dev, cmd, arg);
	}
}
EXPORT_SYMBOL_GPL(vd_dev_ioctl);

/* Can the running queues log all that they will write? */
static int vd_dev_check_log(struct vd_dev *dev, u64 features)
{
	unsigned int i;
	int err = 0;

	if (!(features & BIT_ULL(VHOST_F_LOG_ALL)))
		return 0;
	for (i = 0; i < dev->nvqs && !err; i++) {
		struct vd_virtqueue *vq = dev->vqs[i];

		if (vq->backend && !vd_log_table_ok(vq->log.base, vq->mem))
			err = -EFAULT;
		else if (vq->backend)
			err = vd_log_prepare(vq, features);
	}
	return err;
}

/**
 * vd_dev_set_features - what the driver acknowledged (VHOST_SET_FEATURES)
 * @dev: the device
 * @features: bits that the device offers
 *
 * Stock lets features change while a back end is attached, and so do we: the
 * ring's size may change with the event words, so its windows go. Only its
 * kind can't change then. If an IOTLB comes or goes the queues' addresses are
 * forgotten, as by stock from 6.12 on.
 * Return: 0; -EBUSY; -EFAULT if memory of a running queue has no place in the
 * dirty log that is asked for, or no IOTLB can be made; -ENOMEM. Context: the
 * mutexes of the device and all queues; may sleep.
 */
int vd_dev_set_features(struct vd_dev *dev, u64 features)
{
	unsigned int i;
	int err;

	for (i = 0; i < dev->nvqs; i++)
		if (dev->vqs[i]->backend &&
		    (features ^ dev->vqs[i]->features) &
		    BIT_ULL(VIRTIO_F_RING_PACKED))
			return -EBUSY;
	err = vd_dev_check_log(dev, features);
	if (err)
		return err;
	/* Each time anew: the owner may have listened to nobody meanwhile. */
	if (features & BIT_ULL(VIRTIO_F_ACCESS_PLATFORM))
		err = vd_iotlb_start(dev);
	else
		vd_iotlb_stop(dev);
	if (err)
		return -EFAULT;
	for (i = 0; i < dev->nvqs; i++) {
		struct vd_virtqueue *vq = dev->vqs[i];

		vq->features = features;
		if (vq->backend)
			vd_vq_refresh(vq);
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vd_dev_set_features);

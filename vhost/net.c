// SPDX-License-Identifier: GPL-2.0-only
/* The net back end: the character device, its ioctls, attaching sockets. */
#include <linux/compat.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/virtio_net.h>
#include <net/sock.h>

#include "compat/compat.h"
#include "compat/stock.h"
#include "net.h"
#include "uapi/vhost_new.h"

#define VD_NET_FEATURES	(VD_FEATURES |					\
			 BIT_ULL(VHOST_NET_F_VIRTIO_NET_HDR) |		\
			 BIT_ULL(VIRTIO_NET_F_MRG_RXBUF))

static bool takeover;
module_param(takeover, bool, 0444);
MODULE_PARM_DESC(takeover,
		 "Serve /dev/vhost-net in place of the kernel's vhost_net (default 0)");

static bool stock_features;
module_param(stock_features, bool, 0444);
MODULE_PARM_DESC(stock_features,
		 "Offer what this kernel's own vhost_net offers and no more, for guests that may migrate to it (default 0)");

static void vd_net_free(struct vd_net *n)
{
	unsigned int i;

	for (i = 0; i < VD_NET_QUEUES; i++)
		vd_page_frag_drain(&n->queue[i].frags);
	kfree(n->queue[VD_NET_RX].rx_batch);
	kfree(n->queue[VD_NET_TX].frame);
	kfree(n->queue[VD_NET_TX].xdp);
	kvfree(n);
}

static struct vd_net *vd_net_alloc(void)
{
	struct vd_net *n = kvzalloc(sizeof(*n), GFP_KERNEL_ACCOUNT);
	struct vd_net_queue *rx, *tx;

	if (!n)
		return NULL;
	rx = &n->queue[VD_NET_RX];
	tx = &n->queue[VD_NET_TX];
	rx->rx_batch = kcalloc(VD_BURST, sizeof(*rx->rx_batch),
			       GFP_KERNEL_ACCOUNT);
	tx->frame = kcalloc(VD_BURST, sizeof(*tx->frame), GFP_KERNEL_ACCOUNT);
	tx->xdp = kcalloc(VD_BURST, sizeof(*tx->xdp), GFP_KERNEL_ACCOUNT);
	if (rx->rx_batch && tx->frame && tx->xdp)
		return n;
	vd_net_free(n);
	return NULL;
}

static int vd_net_open(struct inode *inode, struct file *f)
{
	struct vd_net *n = vd_net_alloc();
	struct vd_net_queue *rx, *tx;

	if (!n)
		return -ENOMEM;
	rx = &n->queue[VD_NET_RX];
	tx = &n->queue[VD_NET_TX];
	vd_vq_init(&rx->vq, VD_NET_RX, "rx", vd_net_rx_kick);
	vd_vq_init(&tx->vq, VD_NET_TX, "tx", vd_net_tx_kick);
	tx->vq.out_only = true;
	vd_poll_init(&rx->sock_poll, &rx->vq.worker, vd_net_rx_socket, EPOLLIN);
	vd_poll_init(&tx->sock_poll, &tx->vq.worker, vd_net_tx_socket,
		     EPOLLOUT);
	vd_retry_init(&rx->vq, &rx->sock_poll);
	vd_retry_init(&tx->vq, &tx->sock_poll);
	vd_net_busy_init(rx);
	vd_net_busy_init(tx);
	n->vqs[VD_NET_RX] = &rx->vq;
	n->vqs[VD_NET_TX] = &tx->vq;
	vd_dev_init(&n->dev, n->vqs, VD_NET_QUEUES);
	f->private_data = n;
	return 0;
}

/*
 * Takes the socket away from a queue. The caller lets a grace period pass if
 * it sent uncopied, flushes the worker, then drops the reference.
 */
static struct socket *vd_net_detach(struct vd_net_queue *q)
{
	struct socket *sock;

	vd_vq_lock(&q->vq);
	sock = q->vq.backend;
	vd_zcopy_end(q->zcopy);
	q->zcopy = NULL;
	vd_poll_stop(&q->sock_poll);
	vd_net_rx_unbatch(q);
	q->rx_ring = NULL;
	q->vq.backend = NULL;
	vd_vq_stop(&q->vq);
	mutex_unlock(&q->vq.mutex);
	return sock;
}

static void vd_net_put_socket(struct socket *sock)
{
	if (sock)
		sockfd_put(sock);
}

/* Without an owner and as new; the sockets' last use is behind us. */
static void vd_net_reset(struct vd_net *n)
{
	bool uncopied = n->queue[VD_NET_TX].zcopy;
	struct socket *sock[VD_NET_QUEUES];
	unsigned int i;

	for (i = 0; i < VD_NET_QUEUES; i++)
		sock[i] = vd_net_detach(&n->queue[i]);
	/* No completion has work queued any more. */
	if (uncopied)
		synchronize_rcu();
	vd_dev_stop(&n->dev);
	vd_dev_cleanup(&n->dev);
	for (i = 0; i < VD_NET_QUEUES; i++) {
		n->queue[i].requeued = false;
		n->queue[i].tunnel = false;
		vd_net_put_socket(sock[i]);
	}
}

static int vd_net_release(struct inode *inode, struct file *f)
{
	struct vd_net *n = f->private_data;

	n->dev.closing = true;
	/*
	 * A worker that waits for a page has a queue's mutex meanwhile, and who
	 * is here may be the one to bring it: by what it does next, as other
	 * files that execve() closes, or at no time, as a thread of the kernel.
	 */
	vd_workers_hurry(&n->dev);
	/* Whoever closes it reuses the memory; the ring is of no use to him. */
	vd_zcopy_wait(&n->queue[VD_NET_TX]);
	vd_net_reset(n);
	vd_net_free(n);
	return 0;
}

static void vd_net_set_zcopy(struct vd_net_queue *q, struct vd_zcopy *zc)
{
	vd_zcopy_end(q->zcopy);
	q->zcopy = zc;
}

/*
 * Does the driver have all chains that are done with? Those that are noted still
 * would be forgotten by vd_vq_start(). Queue mutex, called by the owner.
 */
static bool vd_net_hand_back(struct vd_net_queue *q)
{
	if (vd_vq_ready(&q->vq))
		vd_vq_flush(&q->vq);
	return !q->vq.nused;
}

/*
 * Device and queue mutex. @sock is NULL to detach; its reference goes to the
 * queue. Nothing is under way uncopied, unless the owner is being killed.
 */
static int vd_net_attach(struct vd_net_queue *q, struct socket *sock)
{
	struct socket *old = q->vq.backend;
	struct vd_zcopy *zc = NULL;
	int err = 0;

	if (sock && q->xdp)
		zc = vd_zcopy_new(q, sock);
	if (IS_ERR(zc))
		return PTR_ERR(zc);
	vd_poll_stop(&q->sock_poll);
	vd_net_rx_unbatch(q);
	/* Chains that a fault kept from the driver: now or never. */
	if (old && !vd_net_hand_back(q)) {
		if (sock) {
			err = -EFAULT;
			goto serve_on;
		}
		vd_vq_given_up(&q->vq);
	}
	q->vq.backend = sock;
	if (!sock) {
		q->rx_ring = NULL;
		vd_net_set_zcopy(q, NULL);
		vd_vq_stop(&q->vq);
		vd_iotlb_withdraw(&q->vq);
		return 0;
	}
	err = vd_vq_start(&q->vq);
	if (!err)
		err = vd_poll_start(&q->sock_poll, sock->file);
	if (!err) {
		q->rx_ring = q->rx_batch ? vd_net_ring(sock->file) : NULL;
		vd_net_set_zcopy(q, zc);
		return 0;
	}
serve_on:
	vd_zcopy_end(zc);
	/* As before: an old socket serves on, none leaves a stopped queue. */
	vd_poll_stop(&q->sock_poll);
	q->vq.backend = old;
	if (old)
		vd_net_poll(q);
	else
		vd_vq_stop(&q->vq);
	/* Those that only vd_zcopy_settle() has met wait for no attempt yet. */
	if (old && q->vq.nused)
		vd_poll_queue(&q->sock_poll);
	return err;
}

/* Device mutex. The reference on @sock is the queue's, or dropped. */
static long vd_net_swap_socket(struct vd_net *n, struct vd_net_queue *q,
			       struct socket *sock)
{
	struct socket *old = q->vq.backend;
	/* GET_VRING_BASE follows: nothing may be under way then. */
	long ret = vd_zcopy_settle(q);

	if (!ret) {
		vd_vq_lock(&q->vq);
		ret = vd_net_attach(q, sock);
		mutex_unlock(&q->vq.mutex);
	}
	vd_zcopy_resume(q);
	if (ret) {
		vd_net_put_socket(sock);
	} else if (old) {
		vd_workers_flush(&n->dev);
		vd_net_put_socket(old);
	}
	return ret;
}

/* Device mutex. */
static long vd_net_set_backend(struct vd_net *n,
			       const struct vhost_vring_file *b)
{
	struct vd_net_queue *q;
	struct socket *sock;
	long ret;
	bool ok;

	ret = vd_dev_check_owner(&n->dev);
	if (ret)
		return ret;
	if (b->index >= VD_NET_QUEUES)
		return -ENOBUFS;
	q = &n->queue[array_index_nospec(b->index, VD_NET_QUEUES)];
	vd_vq_lock(&q->vq);
	ok = vd_vq_access_ok(&q->vq);
	mutex_unlock(&q->vq.mutex);
	if (!ok)
		return -EFAULT;
	sock = vd_net_socket(b->fd);
	if (IS_ERR(sock))
		return PTR_ERR(sock);
	if (sock == q->vq.backend) {
		vd_net_put_socket(sock);
		return 0;
	}
	return vd_net_swap_socket(n, q, sock);
}

/* What is told of a running ring holds for all before it: none is under way. */
static long vd_net_get_base(struct vd_net *n, void __user *arg)
{
	struct vd_net_queue *q = &n->queue[VD_NET_TX];
	long ret = vd_dev_check_owner(&n->dev);
	u32 index;

	if (ret)
		return ret;
	if (get_user(index, (u32 __user *)arg))
		return -EFAULT;
	if (index != VD_NET_TX)
		return vd_dev_ioctl(&n->dev, VHOST_GET_VRING_BASE, arg);
	ret = vd_zcopy_settle(q) ?:
	      vd_dev_ioctl(&n->dev, VHOST_GET_VRING_BASE, arg);
	vd_zcopy_resume(q);
	return ret;
}

/* Words of features that there are. */
#define VD_NET_WORDS	2

static u64 vd_net_offered(unsigned int word)
{
	if (word)
		return VD_FEATURES_TUNNEL;
	return VD_NET_FEATURES & ~(stock_features ? VD_BEYOND_STOCK : 0);
}

/*
 * Device mutex. All words, of which the first is the device's affair. Queues
 * change together, so one that waits for a page keeps the other waiting.
 */
static long vd_net_accept(struct vd_net *n, const u64 *features)
{
	unsigned int i;
	long ret = vd_queues_lock(&n->dev);

	if (ret)
		return ret;
	ret = vd_dev_set_features(&n->dev, features[0]);
	for (i = 0; i < VD_NET_QUEUES && !ret; i++)
		n->queue[i].tunnel = features[1] & VD_FEATURES_TUNNEL;
	vd_queues_unlock(&n->dev);
	return ret;
}

/* Device mutex; whoever holds the file may call, as with stock. */
static long vd_net_set_features(struct vd_net *n, const u64 *features)
{
	struct vd_net_queue *tx = &n->queue[VD_NET_TX];
	unsigned int i;
	long ret;

	for (i = 0; i < VD_NET_WORDS; i++)
		if (features[i] & ~vd_net_offered(i))
			return -EOPNOTSUPP;
	/* What is under way comes back in any order: not if that matters. */
	if (!tx->zcopy ||
	    !((features[0] ^ tx->vq.features) & BIT_ULL(VIRTIO_F_IN_ORDER)))
		return vd_net_accept(n, features);
	/* Before anything that a stranger could wait for. */
	ret = vd_dev_check_owner(&n->dev);
	if (ret)
		return ret;
	ret = vd_zcopy_settle(tx) ?: vd_net_accept(n, features);
	vd_zcopy_resume(tx);
	return ret;
}

/*
 * The words behind the count. Not the structure's array: the kernel's has it
 * counted, and a compiler that checks bounds reads the count for that, of the
 * user's memory and without a fault handler.
 */
static u64 __user *vd_net_array_words(struct vhost_features_array __user *arg)
{
	return (u64 __user *)(&arg->count + 1);
}

/* As many words as there is room for; those we know nothing of are 0. */
static long vd_net_get_array(struct vhost_features_array __user *arg)
{
	u64 __user *words = vd_net_array_words(arg);
	const u64 offered[VD_NET_WORDS] = {
		vd_net_offered(0), vd_net_offered(1),
	};
	u64 count, known, i, run;

	if (copy_from_user(&count, &arg->count, sizeof(count)))
		return -EFAULT;
	known = min_t(u64, count, VD_NET_WORDS);
	if (copy_to_user(words, offered, known * sizeof(u64)))
		return -EFAULT;
	if (!access_ok(words + known, size_mul(count - known, sizeof(u64))))
		return -EFAULT;
	for (i = known; i < count; i += run) {
		/* A count may be of any size. */
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		run = min_t(u64, count - i, PAGE_SIZE / sizeof(u64));
		if (clear_user(words + i, run * sizeof(u64)))
			return -EFAULT;
	}
	return 0;
}

static long vd_net_copy_array(u64 *features,
			      struct vhost_features_array __user *arg)
{
	u64 __user *words = vd_net_array_words(arg);
	u64 count, i, word;

	if (copy_from_user(&count, &arg->count, sizeof(count)))
		return -EFAULT;
	for (i = 0; i < count; i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		if (copy_from_user(&word, words + i, sizeof(word)))
			return -EFAULT;
		if (i < VD_NET_WORDS)
			features[i] = word;
		else if (word)
			return -EOPNOTSUPP;
	}
	return 0;
}

static long vd_net_put_u64(void __user *arg, u64 v)
{
	return copy_to_user(arg, &v, sizeof(v)) ? -EFAULT : 0;
}

static long vd_net_set_backend_features(struct vd_net *n, void __user *arg)
{
	u64 features;

	if (copy_from_user(&features, arg, sizeof(features)))
		return -EFAULT;
	if (features & ~VD_BACKEND_FEATURES)
		return -EOPNOTSUPP;
	WRITE_ONCE(n->dev.backend_features, features);
	return 0;
}

static long vd_net_reset_owner(struct vd_net *n)
{
	long ret = vd_dev_check_owner(&n->dev);
	struct vd_memtable *mem;

	if (ret)
		return ret;
	mem = vd_memtable_empty();
	if (!mem)
		return -ENOMEM;
	ret = vd_zcopy_settle(&n->queue[VD_NET_TX]);
	if (ret) {
		vd_zcopy_resume(&n->queue[VD_NET_TX]);
		kvfree(mem);
		return ret;
	}
	vd_net_reset(n);
	vd_dev_renew(&n->dev, mem);
	return 0;
}

/* What a caller says of a device that may not be its own. */
union vd_net_told {
	/* The largest is first: an initialiser without members need clear no other. */
	u64 features[VD_NET_WORDS];
	struct vhost_vring_file backend;
	int fork;
};

static_assert(sizeof(union vd_net_told) ==
	      sizeof_field(union vd_net_told, features));

/* 0, or a reason why it can't be read. */
static long vd_net_hear(unsigned int cmd, void __user *arg,
			union vd_net_told *told)
{
	u8 fork;

	switch (cmd) {
	case VHOST_NET_SET_BACKEND:
		return copy_from_user(&told->backend, arg,
				      sizeof(told->backend)) ? -EFAULT : 0;
	case VHOST_SET_FEATURES:
		return copy_from_user(told->features, arg, sizeof(u64)) ?
		       -EFAULT : 0;
	case VHOST_SET_FEATURES_ARRAY:
		return vd_net_copy_array(told->features, arg);
	case VHOST_SET_FORK_FROM_OWNER:
		/* That it comes too late is said first, as by stock. */
		told->fork = get_user(fork, (u8 __user *)arg) ? -1 : fork;
		return 0;
	default:
		return 0;
	}
}

/* What needs no lock, as it asks for what stays as it is; or -ENOIOCTLCMD. */
static long vd_net_ioctl_unlocked(struct vd_net *n, unsigned int cmd,
				  void __user *arg)
{
	switch (cmd) {
	case VHOST_GET_FEATURES:
		return vd_net_put_u64(arg, vd_net_offered(0));
	case VHOST_GET_FEATURES_ARRAY:
		return vd_net_get_array(arg);
	case VHOST_GET_BACKEND_FEATURES:
		return vd_net_put_u64(arg, VD_BACKEND_FEATURES);
	case VHOST_SET_BACKEND_FEATURES:
		return vd_net_set_backend_features(n, arg);
	case VHOST_GET_FORK_FROM_OWNER:
		return vd_workers_get_fork(&n->dev, arg);
	default:
		return -ENOIOCTLCMD;
	}
}

/* Device mutex. Memory is looked at for its owner alone. */
static long vd_net_ioctl_locked(struct vd_net *n, unsigned int cmd,
				const union vd_net_told *told,
				void __user *arg)
{
	long ret;

	switch (cmd) {
	case VHOST_NET_SET_BACKEND:
		return vd_net_set_backend(n, &told->backend);
	case VHOST_SET_FEATURES:
	case VHOST_SET_FEATURES_ARRAY:
		return vd_net_set_features(n, told->features);
	case VHOST_SET_FORK_FROM_OWNER:
		return vd_workers_set_fork(&n->dev, told->fork);
	case VHOST_SET_OWNER:
		return vd_dev_set_owner(&n->dev);
	case VHOST_RESET_OWNER:
		return vd_net_reset_owner(n);
	case VHOST_GET_VRING_BASE:
		return vd_net_get_base(n, arg);
	default:
		ret = vd_workers_ioctl(&n->dev, cmd, arg);
		return ret == -ENOIOCTLCMD ?
		       vd_dev_ioctl(&n->dev, cmd, arg) : ret;
	}
}

static long vd_net_ioctl(struct file *f, unsigned int cmd, unsigned long arg)
{
	struct vd_net *n = f->private_data;
	void __user *at = (void __user *)arg;
	union vd_net_told told = {};
	long ret;

	ret = vd_net_ioctl_unlocked(n, cmd, at);
	if (ret != -ENOIOCTLCMD)
		return ret;
	/*
	 * Whoever holds the file may call, and be slow on purpose: nobody waits
	 * for memory that isn't the owner's.
	 */
	ret = vd_net_hear(cmd, at, &told);
	if (ret)
		return ret;
	if (mutex_lock_killable(&n->dev.mutex))
		return -EINTR;
	ret = vd_net_ioctl_locked(n, cmd, &told, at);
	mutex_unlock(&n->dev.mutex);
	return ret;
}

static ssize_t vd_net_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct file *f = iocb->ki_filp;
	struct vd_net *n = f->private_data;

	return vd_iotlb_read(&n->dev, to, f->f_flags & O_NONBLOCK);
}

static ssize_t vd_net_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct vd_net *n = iocb->ki_filp->private_data;

	return vd_iotlb_write(&n->dev, from);
}

static __poll_t vd_net_poll_file(struct file *f, poll_table *wait)
{
	struct vd_net *n = f->private_data;

	return vd_iotlb_poll(f, &n->dev, wait);
}

static const struct file_operations vd_net_fops = {
	.owner = THIS_MODULE,
	.open = vd_net_open,
	.release = vd_net_release,
	.read_iter = vd_net_read,
	.write_iter = vd_net_write,
	.poll = vd_net_poll_file,
	.unlocked_ioctl = vd_net_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/*
 * Stock's limit is a parameter of its module, which a program can't tell from
 * the open node; ours is an attribute of the device besides.
 */
static ssize_t max_mem_regions_show(struct device *dev,
				    struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", vd_memtable_most());
}
static DEVICE_ATTR_RO(max_mem_regions);

static struct attribute *vd_net_attrs[] = {
	&dev_attr_max_mem_regions.attr,
	NULL
};
ATTRIBUTE_GROUPS(vd_net);

static struct miscdevice vd_net_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vhost-direct-net",
	.fops = &vd_net_fops,
	.mode = 0600,
	.groups = vd_net_groups,
};

static int __init vd_net_init(void)
{
	int err;

	if (takeover) {
		vd_net_misc.minor = VHOST_NET_MINOR;
		vd_net_misc.name = "vhost-net";
	}
	err = misc_register(&vd_net_misc);
	if (err == -EBUSY && takeover)
		pr_err("vhost_direct_net: takeover: /dev/vhost-net is held by vhost_net: stop its users and run 'modprobe -r vhost_net' first\n");
	else if (err)
		pr_err("vhost_direct_net: can't register /dev/%s: error %d\n",
		       vd_net_misc.name, err);
	return err;
}

static void __exit vd_net_exit(void)
{
	misc_deregister(&vd_net_misc);
	vd_zcopy_exit();
}

module_init(vd_net_init);
module_exit(vd_net_exit);

MODULE_DESCRIPTION("vhost-net through the kernel's direct map");
MODULE_LICENSE("GPL");
MODULE_VERSION(VD_VERSION);

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_keep: for tests alone. A network that keeps frames: what comes out of a
 * network device it is told of stays, as it is, until it is asked for.
 *
 * /dev/vd-keep, for one user at a time:
 *	write "on NAME"	the frames of this device, whose network is the writer's
 *	      "off"	of none any more
 *	      "uncopied" or "all"	which of them to keep; others are dropped
 *	      "oldest" or "newest"	which comes first
 *	      "copy"	replace pages that aren't the kernel's by copies now
 *	      "drop"	let all go
 *	read	takes one frame, and lets it go once it is read; 0: there is none
 *
 * /sys/module/vd_keep/parameters/kept says how many there are. The last close
 * lets all go.
 */
#include <linux/etherdevice.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/netdevice.h>
#include <linux/notifier.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static struct sk_buff_head vd_kept;
static bool vd_uncopied;
static bool vd_newest;

static int vd_kept_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%u\n", skb_queue_len_lockless(&vd_kept));
}

static const struct kernel_param_ops vd_kept_ops = {
	.get = vd_kept_get,
};

module_param_cb(kept, &vd_kept_ops, NULL, 0444);
MODULE_PARM_DESC(kept, "frames there are");

static rx_handler_result_t vd_keep_frame(struct sk_buff **pskb)
{
	struct sk_buff *skb = skb_share_check(*pskb, GFP_ATOMIC);

	if (!skb)
		return RX_HANDLER_CONSUMED;
	if (READ_ONCE(vd_uncopied) && !skb_zcopy(skb)) {
		consume_skb(skb);
		return RX_HANDLER_CONSUMED;
	}
	skb_push(skb, ETH_HLEN);
	skb_queue_tail(&vd_kept, skb);
	return RX_HANDLER_CONSUMED;
}

static bool vd_is_kept(const struct net_device *dev)
{
	return rtnl_dereference(dev->rx_handler) == vd_keep_frame;
}

static int vd_keep_on(const char *name)
{
	struct net_device *dev;
	int err = -ENODEV;

	rtnl_lock();
	dev = __dev_get_by_name(current->nsproxy->net_ns, name);
	if (dev)
		err = netdev_rx_handler_register(dev, vd_keep_frame, NULL);
	rtnl_unlock();
	return err;
}

static void vd_keep_off(void)
{
	struct net_device *dev;
	struct net *net;

	rtnl_lock();
	for_each_net(net)
		for_each_netdev(net, dev)
			if (vd_is_kept(dev))
				netdev_rx_handler_unregister(dev);
	rtnl_unlock();
}

static void vd_keep_copy(void)
{
	struct sk_buff_head copied;
	struct sk_buff *skb;

	__skb_queue_head_init(&copied);
	while ((skb = skb_dequeue(&vd_kept))) {
		WARN_ON(skb_orphan_frags(skb, GFP_KERNEL));
		__skb_queue_tail(&copied, skb);
	}
	while ((skb = __skb_dequeue(&copied)))
		skb_queue_tail(&vd_kept, skb);
}

static int vd_keep_told(const char *word)
{
	if (!strncmp(word, "on ", 3))
		return vd_keep_on(word + 3);
	if (!strcmp(word, "off"))
		vd_keep_off();
	else if (!strcmp(word, "uncopied") || !strcmp(word, "all"))
		WRITE_ONCE(vd_uncopied, *word == 'u');
	else if (!strcmp(word, "newest") || !strcmp(word, "oldest"))
		WRITE_ONCE(vd_newest, *word == 'n');
	else if (!strcmp(word, "copy"))
		vd_keep_copy();
	else if (!strcmp(word, "drop"))
		skb_queue_purge(&vd_kept);
	else
		return -EINVAL;
	return 0;
}

static ssize_t vd_keep_write(struct file *file, const char __user *from,
			     size_t len, loff_t *pos)
{
	char word[3 + IFNAMSIZ] = "";
	int err;

	if (len >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, from, len))
		return -EFAULT;
	err = vd_keep_told(strim(word));
	return err ?: len;
}

static ssize_t vd_keep_read(struct file *file, char __user *to, size_t len,
			    loff_t *pos)
{
	struct sk_buff *skb = READ_ONCE(vd_newest) ? skb_dequeue_tail(&vd_kept) :
						     skb_dequeue(&vd_kept);
	ssize_t ret = 0;
	void *frame;

	if (!skb)
		return 0;
	len = min_t(size_t, len, skb->len);
	frame = kmalloc(len, GFP_KERNEL);
	if (!frame)
		ret = -ENOMEM;
	/* Not skb_copy_datagram_iter(): nothing must happen to the pages. */
	else if (skb_copy_bits(skb, 0, frame, len) ||
		 copy_to_user(to, frame, len))
		ret = -EFAULT;
	kfree(frame);
	consume_skb(skb);
	return ret ?: len;
}

static int vd_keep_release(struct inode *inode, struct file *file)
{
	vd_keep_off();
	skb_queue_purge(&vd_kept);
	return 0;
}

static const struct file_operations vd_keep_fops = {
	.owner = THIS_MODULE,
	.read = vd_keep_read,
	.write = vd_keep_write,
	.release = vd_keep_release,
	.llseek = noop_llseek,
};

static struct miscdevice vd_keep_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vd-keep",
	.fops = &vd_keep_fops,
	.mode = 0600,
};

/* A device that goes away takes our handler off; what it sent stays. */
static int vd_keep_event(struct notifier_block *nb, unsigned long event,
			 void *data)
{
	struct net_device *dev = netdev_notifier_info_to_dev(data);

	if (event == NETDEV_UNREGISTER && vd_is_kept(dev))
		netdev_rx_handler_unregister(dev);
	return NOTIFY_DONE;
}

static struct notifier_block vd_keep_notifier = {
	.notifier_call = vd_keep_event,
};

static int __init vd_keep_init(void)
{
	int err;

	skb_queue_head_init(&vd_kept);
	err = register_netdevice_notifier(&vd_keep_notifier);
	if (err)
		return err;
	err = misc_register(&vd_keep_misc);
	if (err)
		unregister_netdevice_notifier(&vd_keep_notifier);
	return err;
}

static void __exit vd_keep_exit(void)
{
	misc_deregister(&vd_keep_misc);
	unregister_netdevice_notifier(&vd_keep_notifier);
}

module_init(vd_keep_init);
module_exit(vd_keep_exit);

MODULE_DESCRIPTION("Keeps frames, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

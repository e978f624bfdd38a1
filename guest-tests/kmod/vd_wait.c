// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_wait: for tests alone. How many bursts end while a callback of the mmu
 * notifier waits for the window lock, by probes on both ends of the wait.
 *
 * In /sys/module/vd_wait/parameters: "waits" callbacks that found the lock
 * taken, "waited" those during which a burst ended, "most" bursts that ended
 * during one of them.
 *
 * A burst is counted when it has let go of the lock, by the worker that made
 * it; so one that ends is seen in this wait or in none.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "../../vhost/window.h"

static atomic_t waits, waited, most;

static int vd_count_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops vd_count_ops = { .get = vd_count_get };

module_param_cb(waits, &vd_count_ops, &waits, 0444);
module_param_cb(waited, &vd_count_ops, &waited, 0444);
module_param_cb(most, &vd_count_ops, &most, 0444);

/* One wait. */
struct vd_seen {
	const struct vd_counters *counters;
	u64 bursts;
};

static int vd_begins(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	const struct vd_winset *ws = (void *)regs_get_kernel_argument(regs, 0);
	struct vd_seen *seen = (void *)ri->data;

	seen->counters = ws->counters;
	seen->bursts = READ_ONCE(ws->counters->bursts_direct);
	return 0;
}

static int vd_ends(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	const struct vd_seen *seen = (void *)ri->data;
	int n = READ_ONCE(seen->counters->bursts_direct) - seen->bursts;
	int old = atomic_read(&most);

	atomic_inc(&waits);
	if (n > 0)
		atomic_inc(&waited);
	while (n > old && !atomic_try_cmpxchg(&most, &old, n))
		;
	return 0;
}

static struct kretprobe vd_probe = {
	.kp.symbol_name = "vhost_direct:vd_winset_wait",
	.entry_handler = vd_begins,
	.handler = vd_ends,
	.data_size = sizeof(struct vd_seen),
	.maxactive = 64,
};

static int __init vd_wait_init(void)
{
	return register_kretprobe(&vd_probe);
}

static void __exit vd_wait_exit(void)
{
	unregister_kretprobe(&vd_probe);
}

module_init(vd_wait_init);
module_exit(vd_wait_exit);

MODULE_DESCRIPTION("Bursts that callbacks wait for, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_told: for tests alone. What the kernel tells our mmu notifier, by probes on its
 * callbacks: those that concern rings, and those beside them, which the modules
 * don't count.
 *
 * /sys/module/vd_told/parameters/told has a line for each kind: its name, how many came over
 * the span of a ring, how many beside all. "sets" counts each ring that an invalidation was
 * over: as many times the modules have to count one, as a hit or as a miss; its second
 * number has those alone whose callback has returned, so which were counted. Whatever
 * is written there makes all of them 0. "inside" has the callbacks that haven't returned.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/sysfs.h>

#include "../../vhost/notifier.h"

enum { VD_TOLD_YOUNG = MMU_NOTIFY_EXCLUSIVE + 1, VD_TOLD_KINDS };

static const char *const vd_kind[VD_TOLD_KINDS] = {
	[MMU_NOTIFY_UNMAP] = "unmap",
	[MMU_NOTIFY_CLEAR] = "clear",
	[MMU_NOTIFY_PROTECTION_VMA] = "protect",
	[MMU_NOTIFY_PROTECTION_PAGE] = "clean",
	[MMU_NOTIFY_SOFT_DIRTY] = "softdirty",
	[MMU_NOTIFY_RELEASE] = "release",
	[MMU_NOTIFY_MIGRATE] = "migrate",
	[MMU_NOTIFY_EXCLUSIVE] = "exclusive",
	[VD_TOLD_YOUNG] = "young",
};

static atomic_t over[VD_TOLD_KINDS], beside[VD_TOLD_KINDS];
static atomic_t sets, returned, inside;

static int vd_told_get(char *buffer, const struct kernel_param *kp)
{
	int i, n = sysfs_emit(buffer, "sets %d %d\n", atomic_read(&sets),
			      atomic_read(&returned));

	for (i = 0; i < VD_TOLD_KINDS; i++)
		n += sysfs_emit_at(buffer, n, "%s %d %d\n", vd_kind[i],
				   atomic_read(&over[i]),
				   atomic_read(&beside[i]));
	return n;
}

static int vd_told_set(const char *val, const struct kernel_param *kp)
{
	int i;

	for (i = 0; i < VD_TOLD_KINDS; i++) {
		atomic_set(&over[i], 0);
		atomic_set(&beside[i], 0);
	}
	atomic_set(&sets, 0);
	atomic_set(&returned, 0);
	return 0;
}

static const struct kernel_param_ops vd_told_ops = {
	.get = vd_told_get,
	.set = vd_told_set,
};

module_param_cb(told, &vd_told_ops, NULL, 0644);

static int vd_inside_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&inside));
}

static const struct kernel_param_ops vd_inside_ops = {
	.get = vd_inside_get,
};

module_param_cb(inside, &vd_inside_ops, NULL, 0444);

/* How many sets have a span there. By their own spans, not by the table that is tested. */
static int vd_sets_over(struct mmu_notifier *mn, unsigned long start,
			unsigned long end)
{
	struct vd_mm *vm = container_of(mn, struct vd_mm, mn);
	const struct vd_span *at;
	struct vd_winset *ws;
	int n = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(ws, &vm->sets, node) {
		for (at = vd_spans_first(rcu_dereference(ws->spans)); at;
		     at = vd_spans_next(at)) {
			if (start < at->end && end > at->start) {
				n++;
				break;
			}
		}
	}
	rcu_read_unlock();
	return n;
}

static void vd_count(unsigned int kind, int n)
{
	if (kind < VD_TOLD_KINDS)
		atomic_inc(n ? &over[kind] : &beside[kind]);
}

/* The rings that a callback is over, kept until it returns. */
static void vd_enter(struct kretprobe_instance *ri, int n)
{
	*(int *)ri->data = n;
	atomic_add(n, &sets);
	atomic_inc(&inside);
}

static int vd_leave(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	atomic_add(*(int *)ri->data, &returned);
	atomic_dec(&inside);
	return 0;
}

static int vd_start(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	const struct mmu_notifier_range *range =
		(void *)regs_get_kernel_argument(regs, 1);
	int n = vd_sets_over((void *)regs_get_kernel_argument(regs, 0),
			     range->start, range->end);

	vd_enter(ri, n);
	vd_count(range->event, n);
	return 0;
}

static int vd_clear_young(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	vd_enter(ri, 0);
	vd_count(VD_TOLD_YOUNG,
		 vd_sets_over((void *)regs_get_kernel_argument(regs, 0),
			      regs_get_kernel_argument(regs, 2),
			      regs_get_kernel_argument(regs, 3)));
	return 0;
}

static int vd_other(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	vd_enter(ri, 0);
	return 0;
}

/* One that finds no room is counted nowhere: as many as there may be tasks at it. */
#define VD_PROBE(func, at_entry) {				\
	.kp.symbol_name = "vhost_direct:" func,			\
	.entry_handler = (at_entry),				\
	.handler = vd_leave,					\
	.data_size = sizeof(int),				\
	.maxactive = 256,					\
}

static struct kretprobe vd_probes[] = {
	VD_PROBE("vd_mn_start", vd_start),
	VD_PROBE("vd_mn_end", vd_other),
	VD_PROBE("vd_mn_clear_young", vd_clear_young),
	VD_PROBE("vd_mn_test_young", vd_other),
};

static int __init vd_told_init(void)
{
	struct kretprobe *rps[ARRAY_SIZE(vd_probes)];
	int i;

	for (i = 0; i < ARRAY_SIZE(rps); i++)
		rps[i] = &vd_probes[i];
	return register_kretprobes(rps, ARRAY_SIZE(rps));
}

static void __exit vd_told_exit(void)
{
	struct kretprobe *rps[ARRAY_SIZE(vd_probes)];
	int i;

	for (i = 0; i < ARRAY_SIZE(rps); i++)
		rps[i] = &vd_probes[i];
	unregister_kretprobes(rps, ARRAY_SIZE(rps));
}

module_init(vd_told_init);
module_exit(vd_told_exit);

MODULE_DESCRIPTION("What the mmu notifier is told, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_reader: for tests alone. Whether what callbacks read under RCU is read and freed as RCU
 * wants it, by probes on the callbacks.
 *
 *	insmod vd_reader.ko [usecs=N]
 *
 * In /sys/module/vd_reader/parameters: "walks" sets that a callback came to by their list,
 * "outside" those of them that it came to without being a reader. A walk that a probe holds
 * up would show nothing: who is held up can't be preempted, which is a reader, too.
 *
 * With @usecs each callback is held up where it begins, and has the table of spans for as
 * long, as the search after it has. "replaced" is how often there was another table at the
 * end, "gone" how often the one it had was not what it was: freed memory is poisoned
 * (slub_debug=P), and what is allocated there next looks different.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "../../vhost/notifier.h"

#define VD_READER_SPANS	8U
#define VD_READER_STEP	50

static uint usecs;
module_param(usecs, uint, 0444);
MODULE_PARM_DESC(usecs, "how long a reader has the table, in microseconds");

static atomic_t walks, outside, replaced, gone;

static int vd_count_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops vd_count_ops = { .get = vd_count_get };

module_param_cb(walks, &vd_count_ops, &walks, 0444);
module_param_cb(outside, &vd_count_ops, &outside, 0444);
module_param_cb(replaced, &vd_count_ops, &replaced, 0444);
module_param_cb(gone, &vd_count_ops, &gone, 0444);

static int vd_walked(struct kprobe *p, struct pt_regs *regs)
{
	atomic_inc(&walks);
	/* Of the task alone: a probe's handler is no reader of that kind. */
	if (!rcu_preempt_depth())
		atomic_inc(&outside);
	return 0;
}

/* Is a table the same as it was, as far as one device's goes? */
static bool vd_same(const struct vd_spans *s, unsigned int half,
		    const struct vd_span *was)
{
	unsigned int i;

	if (READ_ONCE(s->half) != half)
		return false;
	for (i = 0; i < min(max(2 * half, 1U), VD_READER_SPANS); i++)
		if (READ_ONCE(s->span[i].start) != was[i].start ||
		    READ_ONCE(s->span[i].end) != was[i].end)
			return false;
	return true;
}

/* Is it so all the time? Looked at often: what is freed may be allocated anew. */
static bool vd_stays(const struct vd_spans *s)
{
	const unsigned int half = READ_ONCE(s->half);
	struct vd_span was[VD_READER_SPANS];
	uint n;

	memcpy(was, s->span, min(max(2 * half, 1U), VD_READER_SPANS) * sizeof(*was));
	for (n = 0; n < usecs; n += VD_READER_STEP) {
		udelay(VD_READER_STEP);
		if (!vd_same(s, half, was))
			return false;
	}
	return true;
}

static int vd_began(struct kprobe *p, struct pt_regs *regs)
{
	struct mmu_notifier *mn = (void *)regs_get_kernel_argument(regs, 0);
	struct vd_mm *vm = container_of(mn, struct vd_mm, mn);
	const struct vd_spans *s;

	/* As vd_mm_overlaps(). */
	rcu_read_lock_sched();
	s = rcu_dereference_sched(vm->spans);
	if (s && usecs) {
		if (!vd_stays(s))
			atomic_inc(&gone);
		if (s != rcu_access_pointer(vm->spans))
			atomic_inc(&replaced);
	}
	rcu_read_unlock_sched();
	return 0;
}

static struct kprobe vd_probes[] = {
	{ .symbol_name = "vhost_direct:vd_winset_invalidate", .pre_handler = vd_walked },
	{ .symbol_name = "vhost_direct:vd_winset_age", .pre_handler = vd_walked },
	{ .symbol_name = "vhost_direct:vd_mn_start", .pre_handler = vd_began },
};

static int __init vd_reader_init(void)
{
	struct kprobe *kps[ARRAY_SIZE(vd_probes)];
	int i;

	/* Else nobody could tell a reader. */
	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		return -EOPNOTSUPP;
	for (i = 0; i < ARRAY_SIZE(kps); i++)
		kps[i] = &vd_probes[i];
	return register_kprobes(kps, ARRAY_SIZE(kps));
}

static void __exit vd_reader_exit(void)
{
	struct kprobe *kps[ARRAY_SIZE(vd_probes)];
	int i;

	for (i = 0; i < ARRAY_SIZE(kps); i++)
		kps[i] = &vd_probes[i];
	unregister_kprobes(kps, ARRAY_SIZE(kps));
}

module_init(vd_reader_init);
module_exit(vd_reader_exit);

MODULE_DESCRIPTION("Readers of the notifier's lists, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

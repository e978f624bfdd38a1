// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_late: for tests alone. A worker comes late to the window lock: after it has looked
 * whether there are windows, or has found their pages, and before it has the lock. Nothing
 * of the modules' is called there but the lock itself, which all of the kernel takes: so the
 * probe on it lets go all calls but those for a set that a worker has tried to map.
 *
 *	insmod vd_late.ko usecs=N
 *
 * In /sys/module/vd_late/parameters: "taken" windows that were there when the lock was asked
 * for and not when it was had, "changed" attempts to map during which an invalidation ended
 * then; "marked" pages that a worker marked dirty while it mapped, "unlocked" those of them
 * for which it didn't have the lock. For one device at a time, whose sets stay where they are.
 */
#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "../../vhost/notifier.h"

#define VD_LATE_SETS	8

static uint usecs = 1000;
module_param(usecs, uint, 0444);
MODULE_PARM_DESC(usecs, "how late, in microseconds");

static atomic_t taken, changed, marked, unlocked;

static int vd_count_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops vd_count_ops = { .get = vd_count_get };

module_param_cb(taken, &vd_count_ops, &taken, 0444);
module_param_cb(changed, &vd_count_ops, &changed, 0444);
module_param_cb(marked, &vd_count_ops, &marked, 0444);
module_param_cb(unlocked, &vd_count_ops, &unlocked, 0444);

/* A set, and who maps it now, if anybody does: each is one worker's. */
struct vd_late {
	struct vd_winset *ws;
	const struct task_struct *mapping;
};

static struct vd_late sets[VD_LATE_SETS];

/* The place of a set, or with NULL the next that is free; NULL: there is none. */
static struct vd_late *vd_late_find(const struct vd_winset *ws)
{
	int i;

	for (i = 0; i < VD_LATE_SETS; i++)
		if (READ_ONCE(sets[i].ws) == ws)
			return &sets[i];
	return NULL;
}

static int vd_map_begins(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct vd_winset *ws = (void *)regs_get_kernel_argument(regs, 0);
	struct vd_late *late = vd_late_find(ws);

	/* Another worker may take the place first: then it is this one's turn the next time. */
	if (!late) {
		late = vd_late_find(NULL);
		if (!late || cmpxchg(&late->ws, NULL, ws))
			return 1;
	}
	late->mapping = current;
	*(struct vd_late **)ri->data = late;
	return 0;
}

static int vd_map_ends(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	(*(struct vd_late **)ri->data)->mapping = NULL;
	return 0;
}

/* The address of a set's lock is the set's. */
static_assert(!offsetof(struct vd_winset, lock));

static int vd_lock_wanted(struct kprobe *p, struct pt_regs *regs)
{
	const struct vd_winset *ws = (void *)regs_get_kernel_argument(regs, 0);
	const struct vd_late *late;
	bool valid;
	long seq;

	if (strncmp(current->comm, "vhost-", strlen("vhost-")))
		return 0;
	late = vd_late_find(ws);
	if (!late)
		return 0;
	valid = READ_ONCE(ws->valid);
	seq = atomic_long_read(&ws->vm->seq);
	/* A probe's handler can't sleep. */
	mdelay(usecs / 1000);
	udelay(usecs % 1000);
	if (late->mapping && atomic_long_read(&ws->vm->seq) != seq)
		atomic_inc(&changed);
	if (!late->mapping && valid && !READ_ONCE(ws->valid))
		atomic_inc(&taken);
	return 0;
}

static int vd_marked(struct kprobe *p, struct pt_regs *regs)
{
	int i;

	for (i = 0; i < VD_LATE_SETS; i++) {
		if (READ_ONCE(sets[i].mapping) != current)
			continue;
		atomic_inc(&marked);
		/* A callback may have it instead, now and then: none has each time. */
		if (!raw_spin_is_locked(spinlock_check(&sets[i].ws->lock)))
			atomic_inc(&unlocked);
	}
	return 0;
}

static struct kretprobe vd_map = {
	.kp.symbol_name = "vhost_direct:vd_winset_map",
	.entry_handler = vd_map_begins,
	.handler = vd_map_ends,
	.data_size = sizeof(struct vd_late *),
	.maxactive = 64,
};

static struct kprobe vd_lock = {
	.symbol_name = "_raw_spin_lock",
	.pre_handler = vd_lock_wanted,
};

static struct kprobe vd_mark = {
	.symbol_name = "folio_mark_dirty",
	.pre_handler = vd_marked,
};

static struct kprobe *vd_probes[] = { &vd_lock, &vd_mark };

static int __init vd_late_init(void)
{
	int err = register_kretprobe(&vd_map);

	if (err)
		return err;
	err = register_kprobes(vd_probes, ARRAY_SIZE(vd_probes));
	if (err)
		unregister_kretprobe(&vd_map);
	return err;
}

static void __exit vd_late_exit(void)
{
	unregister_kprobes(vd_probes, ARRAY_SIZE(vd_probes));
	unregister_kretprobe(&vd_map);
}

module_init(vd_late_init);
module_exit(vd_late_exit);

MODULE_DESCRIPTION("Workers late to the window lock, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_wait: for tests alone. How many bursts end while a callback of the mmu
 * notifier waits for the window lock, by probes on both ends of the wait.
 *
 * In /sys/module/vd_wait/parameters: "waits" callbacks that found the lock
 * taken, "waited" those during which a burst ended, "most" bursts that ended
 * during one of them. "took" callbacks that went through all sets of their mm,
 * "meanwhile" bursts of one of these that ended between the first and the last of
 * them, at most.
 *
 * A burst is counted when it has let go of the lock, by the worker that made
 * it; so one that ends is seen in this wait or in none.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "../../vhost/notifier.h"

static atomic_t waits, waited, most, took, meanwhile;

static int vd_count_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops vd_count_ops = { .get = vd_count_get };

module_param_cb(waits, &vd_count_ops, &waits, 0444);
module_param_cb(waited, &vd_count_ops, &waited, 0444);
module_param_cb(most, &vd_count_ops, &most, 0444);
module_param_cb(took, &vd_count_ops, &took, 0444);
module_param_cb(meanwhile, &vd_count_ops, &meanwhile, 0444);

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

static void vd_raise(atomic_t *highest, int n)
{
	int old = atomic_read(highest);

	while (n > old && !atomic_try_cmpxchg(highest, &old, n))
		;
}

static int vd_ends(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	const struct vd_seen *seen = (void *)ri->data;
	int n = READ_ONCE(seen->counters->bursts_direct) - seen->bursts;

	atomic_inc(&waits);
	if (n > 0)
		atomic_inc(&waited);
	vd_raise(&most, n);
	return 0;
}

static struct kretprobe vd_probe = {
	.kp.symbol_name = "vhost_direct:vd_winset_lock_slow",
	.entry_handler = vd_begins,
	.handler = vd_ends,
	.data_size = sizeof(struct vd_seen),
	.maxactive = 64,
};

/* One callback, and the bursts of the first sets of its mm when it came to the first of them. */
#define VD_WAIT_SETS	8
#define VD_WAIT_TASKS	64

struct vd_taking {
	struct task_struct *task;
	struct vd_mm *vm;
	bool begun;
	u64 bursts[VD_WAIT_SETS];
};

/* A slot is its task's from one end of the callback to the other, and nobody else's. */
static struct vd_taking vd_takings[VD_WAIT_TASKS];

static struct vd_taking *vd_taking_of(struct task_struct *task)
{
	unsigned int i;

	for (i = 0; i < VD_WAIT_TASKS; i++)
		if (READ_ONCE(vd_takings[i].task) == task)
			return &vd_takings[i];
	return NULL;
}

static void vd_bursts(struct vd_mm *vm, u64 bursts[VD_WAIT_SETS])
{
	struct vd_winset *ws;
	unsigned int i = 0;

	memset(bursts, 0, VD_WAIT_SETS * sizeof(*bursts));
	rcu_read_lock();
	list_for_each_entry_rcu(ws, &vm->sets, node)
		if (i < VD_WAIT_SETS)
			bursts[i++] = READ_ONCE(ws->counters->bursts_direct);
	rcu_read_unlock();
}

static int vd_takes(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	unsigned int i;

	for (i = 0; i < VD_WAIT_TASKS; i++)
		if (!cmpxchg(&vd_takings[i].task, NULL, current))
			break;
	/* Too many at once: this one isn't looked at. */
	if (i == VD_WAIT_TASKS)
		return 1;
	vd_takings[i].vm = (void *)regs_get_kernel_argument(regs, 0);
	vd_takings[i].begun = false;
	return 0;
}

static int vd_has_taken(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct vd_taking *taking = vd_taking_of(current);

	atomic_inc(&took);
	smp_store_release(&taking->task, NULL);
	return 0;
}

static struct kretprobe vd_take_probe = {
	.kp.symbol_name = "vhost_direct:vd_mm_invalidate",
	.entry_handler = vd_takes,
	.handler = vd_has_taken,
	.maxactive = VD_WAIT_TASKS,
};

/*
 * At each set: bursts are held off from before the first until after the last. At
 * both ends of the callback itself they aren't, and its processor may be away there.
 */
static int vd_comes_to(struct kprobe *p, struct pt_regs *regs)
{
	struct vd_taking *taking = vd_taking_of(current);
	u64 now[VD_WAIT_SETS];
	unsigned int i;

	if (!taking)
		return 0;
	if (!taking->begun) {
		taking->begun = true;
		vd_bursts(taking->vm, taking->bursts);
		return 0;
	}
	vd_bursts(taking->vm, now);
	for (i = 0; i < VD_WAIT_SETS; i++)
		vd_raise(&meanwhile, now[i] - taking->bursts[i]);
	return 0;
}

static struct kprobe vd_set_probe = {
	.symbol_name = "vhost_direct:vd_winset_invalidate",
	.pre_handler = vd_comes_to,
};

static struct kretprobe *vd_probes[] = { &vd_probe, &vd_take_probe };

static int __init vd_wait_init(void)
{
	int err = register_kretprobes(vd_probes, ARRAY_SIZE(vd_probes));

	if (err)
		return err;
	err = register_kprobe(&vd_set_probe);
	if (err)
		unregister_kretprobes(vd_probes, ARRAY_SIZE(vd_probes));
	return err;
}

static void __exit vd_wait_exit(void)
{
	unregister_kprobe(&vd_set_probe);
	unregister_kretprobes(vd_probes, ARRAY_SIZE(vd_probes));
}

module_init(vd_wait_init);
module_exit(vd_wait_exit);

MODULE_DESCRIPTION("Bursts that callbacks wait for, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_ask: for tests alone. Asks whether a page was used lately, as the kernel's page_idle and
 * DAMON ask, which Debian's 6.1 doesn't have, and in the same way: by what calls all mmu
 * notifiers of an mm.
 *
 * The address of a page, written to /sys/module/vd_ask/parameters/test, clear or flush, is
 * asked for in the writer's own memory: "test" whether it was used, "clear" so that it counts
 * as unused from then on, "flush" the same as reclaim asks. The latter two take a number of
 * bytes behind it, for more than a page. What is read from there is the last answer, 0 or 1.
 *
 * x86-64 only, as vd_inject.
 */
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sysfs.h>

#include "../../vhost/compat/compat.h"

vd_young_t vd_ask_test(struct mm_struct *mm, unsigned long address);
vd_young_t vd_ask_clear(struct mm_struct *mm, unsigned long start,
			unsigned long end);
vd_young_t vd_ask_flush(struct mm_struct *mm, unsigned long start,
			unsigned long end);

/*
 * The kernel's functions aren't exported. A probe finds each, and another has these here go
 * on there: no pointer to it is called, which it need not be made for (IBT).
 */
__attribute__((__noipa__))
vd_young_t vd_ask_test(struct mm_struct *mm, unsigned long address)
{
	return false;
}

__attribute__((__noipa__))
vd_young_t vd_ask_clear(struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	return false;
}

__attribute__((__noipa__))
vd_young_t vd_ask_flush(struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	return false;
}

struct vd_way {
	struct kprobe from, to;
	int answer;
};

static int vd_go(struct kprobe *p, struct pt_regs *regs)
{
	struct vd_way *way = container_of(p, struct vd_way, from);

	regs->ip = (unsigned long)way->to.addr;
	return 1;
}

/* Its presence keeps the probe from being made a jump, which can't go elsewhere. */
static void vd_after(struct kprobe *p, struct pt_regs *regs,
		     unsigned long flags)
{
}

static struct vd_way test = {
	.from.symbol_name = "vd_ask:vd_ask_test",
	.from.pre_handler = vd_go,
	.from.post_handler = vd_after,
	.to.symbol_name = "__mmu_notifier_test_young",
};

static struct vd_way clear = {
	.from.symbol_name = "vd_ask:vd_ask_clear",
	.from.pre_handler = vd_go,
	.from.post_handler = vd_after,
	.to.symbol_name = "__mmu_notifier_clear_young",
};

static struct vd_way flush = {
	.from.symbol_name = "vd_ask:vd_ask_flush",
	.from.pre_handler = vd_go,
	.from.post_handler = vd_after,
	.to.symbol_name = "__mmu_notifier_clear_flush_young",
};

static int vd_ask_set(const char *val, const struct kernel_param *kp)
{
	struct mm_struct *mm = current->mm;
	unsigned long at, bytes = PAGE_SIZE;

	if (sscanf(val, "%lu %lu", &at, &bytes) < 1)
		return -EINVAL;
	/* As mmu_notifier_test_young(): without a notifier there is nobody to ask. */
	if (!mm_has_notifiers(mm))
		return -ENOENT;
	if (kp->arg == &test)
		test.answer = vd_ask_test(mm, at);
	else if (kp->arg == &clear)
		clear.answer = vd_ask_clear(mm, at, at + bytes);
	else
		flush.answer = vd_ask_flush(mm, at, at + bytes);
	return 0;
}

static int vd_ask_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", !!((struct vd_way *)kp->arg)->answer);
}

static const struct kernel_param_ops vd_ask_ops = {
	.get = vd_ask_get,
	.set = vd_ask_set,
};

module_param_cb(test, &vd_ask_ops, &test, 0644);
module_param_cb(clear, &vd_ask_ops, &clear, 0644);
module_param_cb(flush, &vd_ask_ops, &flush, 0644);

static struct vd_way *const ways[] = { &test, &clear, &flush };

static int __init vd_way_find(struct vd_way *way)
{
	int err = register_kprobe(&way->to);

	if (err)
		return err;
	unregister_kprobe(&way->to);
	return register_kprobe(&way->from);
}

static int __init vd_ask_init(void)
{
	unsigned int n;
	int err = 0;

	if (!IS_ENABLED(CONFIG_X86_64))
		return -EINVAL;
	for (n = 0; n < ARRAY_SIZE(ways) && !err; n++)
		err = vd_way_find(ways[n]);
	if (!err)
		return 0;
	/* The last is the one that failed. */
	while (--n)
		unregister_kprobe(&ways[n - 1]->from);
	return err;
}

static void __exit vd_ask_exit(void)
{
	unsigned int n;

	for (n = 0; n < ARRAY_SIZE(ways); n++)
		unregister_kprobe(&ways[n]->from);
}

module_init(vd_ask_init);
module_exit(vd_ask_exit);

MODULE_DESCRIPTION("Asks for young pages, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

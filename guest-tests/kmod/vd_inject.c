// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_inject: for tests alone. Makes one function of the kernel slow, or has it
 * fail, by a probe; so the code under test is the code that is shipped.
 *
 *	insmod vd_inject.ko func=NAME [at_return=1] [usecs=N] [fail=1 ret=N]
 *		[comm=PREFIX] [first=N] [times=N] [watch=NAME]
 *
 * What happened is in /sys/module/vd_inject/parameters: "hits" calls by the
 * tasks meant, "done" injections, "met" calls of the function @watch while a
 * task was held up in @func: proof that a race window was open and used.
 * "held" is the number of the call that is held up now, 0: none; what finds the
 * same number before and after was over by the end of that call.
 *
 * x86-64 only, for the sake of the function that returns at once.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/linkage.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>

#include <asm/ibt.h>

/* Where a function that fails goes instead of into its body. */
asmlinkage void vd_just_return(void);
asm(".pushsection .text\n"
	".globl vd_just_return\n"
	".type vd_just_return, @function\n"
	"vd_just_return:\n"
	ASM_ENDBR
	ASM_RET
	".size vd_just_return, . - vd_just_return\n"
	".popsection\n");

static char *func;
module_param(func, charp, 0444);
MODULE_PARM_DESC(func, "function, as symbol or module:symbol");

static bool at_return;
module_param(at_return, bool, 0444);
MODULE_PARM_DESC(at_return, "act when it returns, not when it is called");

static uint usecs;
module_param(usecs, uint, 0644);
MODULE_PARM_DESC(usecs, "hold the caller up for as many microseconds; may be changed meanwhile");

static bool fail;
module_param(fail, bool, 0444);
MODULE_PARM_DESC(fail, "don't run the function: it returns @ret");

static long ret;
module_param(ret, long, 0444);
MODULE_PARM_DESC(ret, "what a failing function returns");

static char *comm = "";
module_param(comm, charp, 0444);
MODULE_PARM_DESC(comm, "only tasks whose name begins so");

static int first;
module_param(first, int, 0444);
MODULE_PARM_DESC(first, "calls that are let go by first");

static int times = -1;
module_param(times, int, 0444);
MODULE_PARM_DESC(times, "injections; -1: without limit");

static char *watch;
module_param(watch, charp, 0444);
MODULE_PARM_DESC(watch, "function whose calls during a delay count as met");

static atomic_t hits, done, inside, met, held;

static int vd_count_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops vd_count_ops = { .get = vd_count_get };

module_param_cb(hits, &vd_count_ops, &hits, 0444);
module_param_cb(done, &vd_count_ops, &done, 0444);
module_param_cb(met, &vd_count_ops, &met, 0444);
module_param_cb(held, &vd_count_ops, &held, 0444);

static bool vd_is_meant(void)
{
	return !strncmp(current->comm, comm, strlen(comm));
}

/*
 * The number of this call, 0: it isn't one's turn. Counted without a lock: each number goes to
 * one call.
 */
static int vd_turn(void)
{
	int n;

	if (!vd_is_meant())
		return 0;
	n = atomic_inc_return(&hits) - first;
	if (n <= 0 || (times >= 0 && n > times))
		return 0;
	atomic_inc(&done);
	return n;
}

/* A probe's handler can't sleep. Who has seen what was to happen meanwhile lets go: @usecs 0. */
static void vd_hold(int n)
{
	uint ms;

	atomic_inc(&inside);
	atomic_set(&held, n);
	for (ms = 0; ms < READ_ONCE(usecs) / 1000; ms++)
		mdelay(1);
	udelay(READ_ONCE(usecs) % 1000);
	atomic_set(&held, 0);
	atomic_dec(&inside);
}

static int vd_called(struct kprobe *p, struct pt_regs *regs)
{
	int n = vd_turn();

	if (!n)
		return 0;
	if (usecs)
		vd_hold(n);
	if (!fail)
		return 0;
	/* Nothing of the function has run: its return address is on top. */
	regs->ip = (unsigned long)vd_just_return;
	regs->ax = ret;
	return 1;
}

/* Its presence keeps the probe from being made a jump, which can't skip. */
static void vd_after(struct kprobe *p, struct pt_regs *regs,
		     unsigned long flags)
{
}

static int vd_returned(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	int n = vd_turn();

	if (n && usecs)
		vd_hold(n);
	return 0;
}

static int vd_met(struct kprobe *p, struct pt_regs *regs)
{
	if (atomic_read(&inside))
		atomic_inc(&met);
	return 0;
}

static struct kprobe vd_probe = {
	.pre_handler = vd_called,
};

static struct kretprobe vd_retprobe = {
	.handler = vd_returned,
	.maxactive = 64,
};

static struct kprobe vd_watch = {
	.pre_handler = vd_met,
};

/* "module:symbol" is how kprobes name a module's function, too. */
static int vd_arm(void)
{
	if (at_return) {
		vd_retprobe.kp.symbol_name = func;
		return register_kretprobe(&vd_retprobe);
	}
	vd_probe.symbol_name = func;
	if (fail)
		vd_probe.post_handler = vd_after;
	return register_kprobe(&vd_probe);
}

static void vd_disarm(void)
{
	if (at_return)
		unregister_kretprobe(&vd_retprobe);
	else
		unregister_kprobe(&vd_probe);
}

static int __init vd_inject_init(void)
{
	int err;

	if (!func || !IS_ENABLED(CONFIG_X86_64) || (fail && at_return))
		return -EINVAL;
	err = vd_arm();
	if (err || !watch)
		return err;
	vd_watch.symbol_name = watch;
	err = register_kprobe(&vd_watch);
	if (err)
		vd_disarm();
	return err;
}

static void __exit vd_inject_exit(void)
{
	if (watch)
		unregister_kprobe(&vd_watch);
	vd_disarm();
}

module_init(vd_inject_init);
module_exit(vd_inject_exit);

MODULE_DESCRIPTION("Delays and failures in kernel functions, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

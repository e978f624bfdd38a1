// SPDX-License-Identifier: GPL-2.0-only
/*
 * vd_hold: for tests alone. Holds the mmu notifiers' SRCU for a while, so that
 * no notifier that is put meanwhile is freed before that.
 *
 *	insmod vd_hold.ko msecs=N
 *
 * The notifier is that of insmod's own memory: it is called when insmod ends,
 * and sleeps. /sys/module/vd_hold/parameters/holding says whether it does.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/sched.h>

static uint msecs = 1000;
module_param(msecs, uint, 0444);
MODULE_PARM_DESC(msecs, "how long");

static bool holding;
module_param(holding, bool, 0444);
MODULE_PARM_DESC(holding, "it does now");

static struct mm_struct *vd_mm;

static void vd_hold_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	WRITE_ONCE(holding, true);
	msleep(msecs);
	WRITE_ONCE(holding, false);
}

static const struct mmu_notifier_ops vd_hold_ops = {
	.release = vd_hold_release,
};

static struct mmu_notifier vd_hold_notifier = {
	.ops = &vd_hold_ops,
};

static int __init vd_hold_init(void)
{
	vd_mm = current->mm;
	return mmu_notifier_register(&vd_hold_notifier, vd_mm);
}

/* It has been called by now, and waits for who still does. */
static void __exit vd_hold_exit(void)
{
	mmu_notifier_unregister(&vd_hold_notifier, vd_mm);
}

module_init(vd_hold_init);
module_exit(vd_hold_exit);

MODULE_DESCRIPTION("Delays the end of mmu notifiers, for the tests of vhost-direct");
MODULE_LICENSE("GPL");

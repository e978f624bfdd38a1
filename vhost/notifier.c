// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mmu notifier.
 *
 * A window set maps pages that it holds no reference to. The notifier takes
 * the pointers away before the pages can go:
 *
 *   invalidate start              mapper (a worker)
 *   ----------------              -----------------
 *   in_flight++                   [when the ring was set up:]
 *   full barrier (A)              publish the hull
 *   look at the hulls             full barrier (A)
 *     overlap: take the           sample seq; give up if in_flight
 *     window lock, drop           get_user_pages_fast()
 *   ...                           take the window lock
 *   invalidate end                  give up if in_flight or seq moved
 *   seq++                           install, mark dirty
 *   in_flight-- (release)         release the lock, put the pages
 *
 * (A) is a store-buffering pair: either start sees the hull, or the mapper
 * sees the count. If start sees the hull, the window lock orders the two:
 * start first, and the mapper sees the count or, after end, the sequence;
 * start second, and it drops what was installed.
 *
 * Invalidations nest and overlap, and a ring may move between start and end:
 * so the count is of the whole mm, is never reset, and does not depend on any
 * range. Start takes spin locks only and never fails: it may run in the OOM
 * reaper and inside reclaim. The worker never faults or allocates while it
 * holds a window lock, so start waits for at most one burst.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "notifier.h"
#include "window.h"

static struct vd_mm *vd_mm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct vd_mm, mn);
}

/* Might a window lie in [start, end)? Never false for one that does. */
static bool vd_mm_overlaps(const struct vd_mm *vm, unsigned long start,
			   unsigned long end)
{
	return start < READ_ONCE(vm->hull_end) &&
	       end > READ_ONCE(vm->hull_start);
}

static int vd_mn_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct vd_mm *vm = vd_mm_of(mn);
	struct vd_winset *ws;

	atomic_inc(&vm->in_flight);
	/* (A): the count before the hulls; pairs with vd_mm_publish(). */
	smp_mb__after_atomic();
	if (!vd_mm_overlaps(vm, range->start, range->end))
		return 0;
	rcu_read_lock();
	list_for_each_entry_rcu(ws, &vm->sets, node)
		vd_winset_invalidate(ws, range->start, range->end);
	rcu_read_unlock();
	return 0;
}

static void vd_mn_end(struct mmu_notifier *mn,
		      const struct mmu_notifier_range *range)
{
	struct vd_mm *vm = vd_mm_of(mn);

	atomic_long_inc(&vm->seq);
	/*
	 * Release: who sees the lower count sees the higher sequence. Pairs
	 * with the acquiring reads in vd_mm_sample() and vd_mm_unchanged().
	 */
	atomic_dec_return_release(&vm->in_flight);
}

static bool vd_mn_age(struct mmu_notifier *mn, unsigned long start,
		      unsigned long end, bool clear)
{
	struct vd_mm *vm = vd_mm_of(mn);
	struct vd_winset *ws;
	bool young = false;

	if (!vd_mm_overlaps(vm, start, end))
		return false;
	rcu_read_lock();
	list_for_each_entry_rcu(ws, &vm->sets, node)
		young |= vd_winset_age(ws, start, end, clear);
	rcu_read_unlock();
	return young;
}

/* With no page-table entry of our own, there is no flush to save. */
static vd_young_t vd_mn_clear_young(struct mmu_notifier *mn,
				    struct mm_struct *mm, unsigned long start,
				    unsigned long end)
{
	return vd_mn_age(mn, start, end, true);
}

static vd_young_t vd_mn_test_young(struct mmu_notifier *mn,
				   struct mm_struct *mm, unsigned long address)
{
	return vd_mn_age(mn, address, address + 1, false);
}

static struct mmu_notifier *vd_mn_alloc(struct mm_struct *mm)
{
	struct vd_mm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);

	if (!vm)
		return ERR_PTR(-ENOMEM);
	atomic_set(&vm->in_flight, 0);
	atomic_long_set(&vm->seq, 0);
	spin_lock_init(&vm->lock);
	INIT_LIST_HEAD(&vm->sets);
	return &vm->mn;
}

static void vd_mn_free(struct mmu_notifier *mn)
{
	kfree(vd_mm_of(mn));
}

static const struct mmu_notifier_ops vd_mn_ops = {
	.invalidate_range_start = vd_mn_start,
	.invalidate_range_end = vd_mn_end,
	.clear_flush_young = vd_mn_clear_young,
	.clear_young = vd_mn_clear_young,
	.test_young = vd_mn_test_young,
	.alloc_notifier = vd_mn_alloc,
	.free_notifier = vd_mn_free,
};

/**
 * vd_mm_get - subscribe to an mm, or share the subscription there is
 * @mm: the caller's own
 *
 * Return: the subscription; ERR_PTR(-EINTR) if a signal is pending, -ENOMEM.
 * Context: may sleep; takes the mmap lock for writing.
 */
struct vd_mm *vd_mm_get(struct mm_struct *mm)
{
	struct mmu_notifier *mn = mmu_notifier_get(&vd_mn_ops, mm);

	return IS_ERR(mn) ? ERR_CAST(mn) : vd_mm_of(mn);
}

/**
 * vd_mm_put - drop a subscription
 * @vm: from vd_mm_get(); none of the caller's sets may be in it any more
 *
 * The memory goes after the callbacks that run now; a module that is
 * unloaded waits with mmu_notifier_synchronize().
 * Context: may sleep.
 */
void vd_mm_put(struct vd_mm *vm)
{
	mmu_notifier_put(&vm->mn);
}

/**
 * vd_mm_add - let a window set be found by the notifier
 * @vm: the mm
 * @ws: the set; its hull is empty
 */
void vd_mm_add(struct vd_mm *vm, struct vd_winset *ws)
{
	spin_lock(&vm->lock);
	list_add_tail_rcu(&ws->node, &vm->sets);
	spin_unlock(&vm->lock);
}

/**
 * vd_mm_del - let it be found no longer
 * @vm: the mm
 * @ws: the set; its hull is empty. It may be freed after a grace period.
 */
void vd_mm_del(struct vd_mm *vm, struct vd_winset *ws)
{
	spin_lock(&vm->lock);
	list_del_rcu(&ws->node);
	spin_unlock(&vm->lock);
}

/**
 * vd_mm_publish - announce where a set's windows may be from now on
 * @vm: the mm
 * @ws: the set, with no window installed
 * @start: first user address
 * @end: end of the range; start == end for no window at all
 *
 * Context: may not be called for one set from two threads at once.
 */
void vd_mm_publish(struct vd_mm *vm, struct vd_winset *ws,
		   unsigned long start, unsigned long end)
{
	unsigned long lo = ULONG_MAX, hi = 0;
	struct vd_winset *s;

	spin_lock(&vm->lock);
	WRITE_ONCE(ws->hull_start, start);
	WRITE_ONCE(ws->hull_end, end);
	list_for_each_entry(s, &vm->sets, node) {
		if (s->hull_start == s->hull_end)
			continue;
		lo = min(lo, s->hull_start);
		hi = max(hi, s->hull_end);
	}
	/*
	 * A reader may see one word new and the other old. It then read
	 * before our barrier, and we shall see its count.
	 */
	WRITE_ONCE(vm->hull_start, lo);
	WRITE_ONCE(vm->hull_end, hi);
	spin_unlock(&vm->lock);
	/* (A): the hulls before the count; pairs with vd_mn_start(). */
	smp_mb();
}

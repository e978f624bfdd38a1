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
 *   full barrier (A)              publish the spans
 *   look at the spans             full barrier (A)
 *     overlap: take the           sample seq; give up if in_flight
 *     window lock, drop           get_user_pages_fast()
 *   ...                           take the window lock
 *   invalidate end                  give up if in_flight or seq moved
 *   seq++                           install, mark dirty
 *   in_flight-- (release)         release the lock, put the pages
 *
 * (A) is a store-buffering pair: either start sees the spans, or the mapper
 * sees the count. If start sees the spans, the window lock orders the two:
 * start first, and the mapper sees the count or, after end, the sequence;
 * start second, and it drops what was installed.
 *
 * Published is a sorted table of the spans of all sets, for most invalidations
 * of a guest's memory concern none, and must find that out soon: each change
 * makes a new table, which replaces the old one by RCU. A set keeps its own
 * spans besides, so that one that overlaps can be found; a ring that is in pieces
 * behind an IOTLB has one for each, for what lies between may be all of the
 * guest. Both are stored before the barrier: who misses either has counted
 * before the mapper looks. A table may be older than its sets in one way only:
 * with spans that are in use no longer, when there was no memory to make one
 * without them.
 *
 * Invalidations nest and overlap, and a ring may move between start and end:
 * so the count is of the whole mm, is never reset, and does not depend on any
 * range. Start takes spin locks only and never fails: it may run in the OOM
 * reaper and inside reclaim. A worker never faults or allocates while it holds a
 * window lock, and no worker of the mm begins a burst while start waits for such
 * a lock. So start waits for bursts that had begun before it and run side by side,
 * one a queue, or two where a worker was just between them: as long as the longest
 * take, fair or not as the locks may be.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "compat/compat.h"
#include "notifier.h"
#include "spans.h"
#include "window.h"

static struct vd_mm *vd_mm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct vd_mm, mn);
}

/*
 * Might a window lie in [start, end)? Never false for one that does. Called
 * for nearly every event of the mm, and every page of it that ages: so no more
 * than a binary search, and RCU by preemption, whose lock is no call.
 */
static __always_inline bool vd_mm_overlaps(const struct vd_mm *vm,
					   unsigned long start,
					   unsigned long end)
{
	const struct vd_spans *s;
	bool found;

	rcu_read_lock_sched();
	s = rcu_dereference_sched(vm->spans);
	found = likely(s) && vd_spans_overlap(s, start, end);
	rcu_read_unlock_sched();
	return found;
}

/* Out of the way of those that miss. */
static noinline void vd_mm_invalidate(struct vd_mm *vm, unsigned long start,
				      unsigned long end)
{
	struct vd_winset *ws;

	atomic_inc(&vm->waiting);
	/*
	 * Said before any lock is asked for: bursts whose workers have looked
	 * already go first, all at the same time, and no other. Pairs with the
	 * look in vd_winset_enter() and the lock after it. That bounds the wait
	 * alone: that no burst uses what is taken away is the lock's doing.
	 */
	smp_mb__after_atomic();
	rcu_read_lock();
	list_for_each_entry_rcu(ws, &vm->sets, node)
		vd_winset_invalidate(ws, start, end);
	rcu_read_unlock();
	atomic_dec(&vm->waiting);
}

static int vd_mn_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct vd_mm *vm = vd_mm_of(mn);

	atomic_inc(&vm->in_flight);
	/* (A): the count before the spans; pairs with vd_mm_publish(). */
	smp_mb__after_atomic();
	if (unlikely(vd_mm_overlaps(vm, range->start, range->end)))
		vd_mm_invalidate(vm, range->start, range->end);
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

static noinline bool vd_mm_age(struct vd_mm *vm, unsigned long start,
			       unsigned long end, bool clear)
{
	struct vd_winset *ws;
	bool young = false;

	rcu_read_lock();
	list_for_each_entry_rcu(ws, &vm->sets, node)
		young |= vd_winset_age(ws, start, end, clear);
	rcu_read_unlock();
	return young;
}

static __always_inline bool vd_mn_age(struct mmu_notifier *mn,
				      unsigned long start, unsigned long end,
				      bool clear)
{
	struct vd_mm *vm = vd_mm_of(mn);

	if (likely(!vd_mm_overlaps(vm, start, end)))
		return false;
	return vd_mm_age(vm, start, end, clear);
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

/* Subscriptions that vd_mn_free() is still to be called for. */
static atomic_t vd_mms = ATOMIC_INIT(0);

static struct mmu_notifier *vd_mn_alloc(struct mm_struct *mm)
{
	struct vd_mm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);

	if (!vm)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&vd_mms);
	atomic_set(&vm->in_flight, 0);
	atomic_set(&vm->waiting, 0);
	atomic_long_set(&vm->seq, 0);
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->sets);
	return &vm->mn;
}

static void vd_mn_free(struct mmu_notifier *mn)
{
	/* The last set took the table with it: that needs no memory. */
	kfree(vd_mm_of(mn));
	/* Pairs with vd_mm_wait(). */
	if (atomic_dec_and_test(&vd_mms))
		wake_up_var(&vd_mms);
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
 * The memory goes after the callbacks that run now: a module that is unloaded
 * waits with vd_mm_wait().
 * Context: may sleep.
 */
void vd_mm_put(struct vd_mm *vm)
{
	mmu_notifier_put(&vm->mn);
}

/**
 * vd_mm_wait - wait until subscriptions that were dropped are gone
 *
 * mmu_notifier_synchronize() isn't enough: it waits for a callback of SRCU, and
 * each processor of a large machine has a list of its own of these. Who is
 * first done on one list says nothing of the others.
 * Context: there are no devices any more; may sleep.
 */
void vd_mm_wait(void)
{
	wait_var_event(&vd_mms, !atomic_read(&vd_mms));
	/* The last of them may not have returned: SRCU calls it with softirqs off. */
	synchronize_rcu();
}

/**
 * vd_mm_add - let a window set be found by the notifier
 * @vm: the mm
 * @ws: the set; it has no spans
 *
 * Context: may sleep.
 */
void vd_mm_add(struct vd_mm *vm, struct vd_winset *ws)
{
	mutex_lock(&vm->lock);
	list_add_tail_rcu(&ws->node, &vm->sets);
	mutex_unlock(&vm->lock);
}

/**
 * vd_mm_del - let it be found no longer
 * @vm: the mm
 * @ws: the set; it has no spans. It may be freed after a grace period.
 *
 * Context: may sleep.
 */
void vd_mm_del(struct vd_mm *vm, struct vd_winset *ws)
{
	mutex_lock(&vm->lock);
	list_del_rcu(&ws->node);
	mutex_unlock(&vm->lock);
}

static const struct vd_spans *vd_mm_spans_of(struct vd_mm *vm,
					     const struct vd_winset *ws)
{
	return rcu_dereference_protected(ws->spans,
					 lockdep_is_held(&vm->lock));
}

/* All sets' spans, @most or fewer. */
static struct vd_spans *vd_mm_collect(struct vd_mm *vm, unsigned int most)
{
	struct vd_spans *all = vd_spans_alloc(most);
	const struct vd_span *at;
	struct vd_winset *ws;
	unsigned int n = 0;

	if (!all)
		return NULL;
	list_for_each_entry(ws, &vm->sets, node)
		for (at = vd_spans_first(vd_mm_spans_of(vm, ws)); at;
		     at = vd_spans_next(at))
			all->span[n++] = *at;
	vd_spans_finish(all, n);
	return all;
}

/* A new table for the callbacks. */
static int vd_mm_replace(struct vd_mm *vm)
{
	struct vd_spans *new = NULL;
	struct vd_winset *ws;
	unsigned int n = 0;

	lockdep_assert_held(&vm->lock);
	list_for_each_entry(ws, &vm->sets, node)
		n += vd_spans_count(vd_mm_spans_of(vm, ws));
	if (n) {
		new = vd_mm_collect(vm, n);
		if (!new)
			return -ENOMEM;
	}
	vd_spans_free(rcu_replace_pointer(vm->spans, new,
					  lockdep_is_held(&vm->lock)));
	return 0;
}

/**
 * vd_mm_publish - announce where a set's windows may be from now on
 * @vm: the mm
 * @ws: the set, with no window installed
 * @spans: of its windows, the notifier's from now on, whatever becomes of this;
 *         NULL for no window at all
 *
 * Return: 0, or -ENOMEM: the spans are those of before, and windows may be
 * installed there. Without spans this is harmless: no window may be installed,
 * callbacks go on looking at the set, in vain.
 * Context: may sleep; may not be called for one set from two threads at once.
 */
int vd_mm_publish(struct vd_mm *vm, struct vd_winset *ws,
		  struct vd_spans *spans)
{
	struct vd_spans *old;
	int err;

	mutex_lock(&vm->lock);
	old = rcu_replace_pointer(ws->spans, spans,
				  lockdep_is_held(&vm->lock));
	err = vd_mm_replace(vm);
	if (err && spans)
		old = rcu_replace_pointer(ws->spans, old,
					  lockdep_is_held(&vm->lock));
	mutex_unlock(&vm->lock);
	/* (A): the spans before the count; pairs with vd_mn_start(). */
	smp_mb();
	vd_spans_free(old);
	return err;
}

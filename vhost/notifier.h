/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One mmu notifier for all window sets of a process: it counts invalidations
 * and takes windows away. The protocol is explained in notifier.c.
 */
#ifndef VD_NOTIFIER_H
#define VD_NOTIFIER_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>

#include "spans.h"
#include "window.h"

/**
 * struct vd_mm - what is known of one mm
 * @mn: the subscription, one per mm, shared by all devices of the process
 * @in_flight: invalidations that have started and not ended
 * @seq: invalidations that have ended; only ever grows
 * @lock: protects changes of @sets and of @spans
 * @sets: window sets; readers use RCU
 * @spans: no window lies outside of these; NULL for none; readers use RCU
 * @waiting: callbacks that take windows away. Read by each burst, so in no
 *           cache line that each invalidation writes.
 */
struct vd_mm {
	struct mmu_notifier mn;
	atomic_t in_flight;
	atomic_long_t seq;
	struct mutex lock;
	struct list_head sets;
	struct vd_spans __rcu *spans;
	atomic_t waiting ____cacheline_aligned_in_smp;
};

struct vd_mm *vd_mm_get(struct mm_struct *mm);
void vd_mm_put(struct vd_mm *vm);
void vd_mm_wait(void);
void vd_mm_add(struct vd_mm *vm, struct vd_winset *ws);
void vd_mm_del(struct vd_mm *vm, struct vd_winset *ws);
int vd_mm_publish(struct vd_mm *vm, struct vd_winset *ws,
		  struct vd_spans *spans);

/**
 * vd_mm_sample - begin an attempt to map
 * @vm: the mm
 * @seq: receives the sequence to be compared by vd_mm_unchanged()
 *
 * Return: false if an invalidation is in flight: don't try now.
 */
static inline bool vd_mm_sample(struct vd_mm *vm, long *seq)
{
	/*
	 * The sequence before the count: an invalidation that ends between
	 * the two shows as a moved sequence later. Pairs with the release
	 * of the count in vd_mn_end().
	 */
	*seq = atomic_long_read_acquire(&vm->seq);
	return !atomic_read_acquire(&vm->in_flight);
}

/**
 * vd_mm_unchanged - may what was found since the sample be installed?
 * @vm: the mm
 * @seq: from vd_mm_sample()
 *
 * Context: the set's window lock is held, so that an invalidation which is
 * not counted yet will wait for that lock and then find what is installed.
 */
static inline bool vd_mm_unchanged(struct vd_mm *vm, long seq)
{
	/* The count before the sequence: see vd_mm_sample(). */
	return !atomic_read_acquire(&vm->in_flight) &&
	       atomic_long_read(&vm->seq) == seq;
}

#endif /* VD_NOTIFIER_H */

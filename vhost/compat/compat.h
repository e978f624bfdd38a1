/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the kernels we build against: 6.1, 6.12, 7.2, 7.3.
 *
 * The rest of the code reads as if written for the newest. Version tests
 * stand here and in the files beside this one, and nowhere else.
 */
#ifndef VD_COMPAT_H
#define VD_COMPAT_H

#include <linux/eventfd.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#include <linux/page_frag_cache.h>
#endif

/*
 * Where the kernel serves legacy guests of the other byte order, stock knows
 * VHOST_SET_VRING_ENDIAN; this one doesn't, and shall not be taken for it.
 */
#if IS_ENABLED(CONFIG_VHOST_CROSS_ENDIAN_LEGACY)
#error "vhost-direct has no VHOST_SET_VRING_ENDIAN, which CONFIG_VHOST_CROSS_ENDIAN_LEGACY asks for"
#endif

/*
 * Reaching user memory by another kernel address needs caches that don't
 * alias. Said by name, for the cases that were thought about.
 */
#define VD_DIRECT_POSSIBLE \
	(IS_ENABLED(CONFIG_X86_64) || IS_ENABLED(CONFIG_ARM64))

/* Young callbacks answer int up to 7.1 and bool from 7.2 on. */
typedef typeof(((struct mmu_notifier_ops *)0)->test_young(NULL, NULL, 0))
	vd_young_t;

/*
 * Does another task want this processor? Where a kernel preempts lazily, one
 * that has woken up says so by a flag of its own, which need_resched() doesn't
 * look at, until the next tick takes the processor away.
 */
static inline bool vd_resched_wanted(void)
{
#ifdef TIF_NEED_RESCHED_LAZY
	if (test_thread_flag(TIF_NEED_RESCHED_LAZY))
		return true;
#endif
	return need_resched();
}

/* eventfd_signal() lost its count in 6.8. */
static inline void vd_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/* page_frag_cache_drain() came with 6.9; before, the cache is open. */
static inline void vd_page_frag_drain(struct page_frag_cache *nc)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	if (!nc->va)
		return;
	__page_frag_cache_drain(virt_to_head_page(nc->va), nc->pagecnt_bias);
	nc->va = NULL;
#else
	page_frag_cache_drain(nc);
#endif
}

/*
 * Before 6.9 page_frag_alloc() reclaims and compacts memory for the eight pages
 * that it would like, at each frame where memory is in small pieces, before it
 * is content with one. Later ones don't, nor does stock's cache of its own.
 */
static inline void *vd_page_frag_alloc(struct page_frag_cache *nc,
				       unsigned int len)
{
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	void *buf = page_frag_alloc(nc, len, gfp & ~__GFP_DIRECT_RECLAIM);

	if (likely(buf))
		return buf;
#endif
	return page_frag_alloc(nc, len, gfp);
}

#endif /* VD_COMPAT_H */

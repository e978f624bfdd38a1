// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: describing them, mapping them, taking them away.
 *
 * Nothing is pinned: the pages found by get_user_pages_fast() are let go as
 * soon as their addresses are installed. notifier.c explains why that is safe.
 */
#include <linux/backing-dev.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/memremap.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "notifier.h"
#include "trace.h"
#include "window.h"

/* Longest time between two attempts to map. */
#define VD_BACKOFF_MAX	(HZ / 10 + 1)

/**
 * vd_winset_init - an empty set
 * @ws: the set
 * @counters: where events are counted
 */
void vd_winset_init(struct vd_winset *ws, struct vd_counters *counters)
{
	memset(ws, 0, sizeof(*ws));
	spin_lock_init(&ws->lock);
	INIT_LIST_HEAD(&ws->node);
	ws->counters = counters;
}

/**
 * vd_winset_attach - put a set under an mm's notifier
 * @ws: the set, empty
 * @vm: the mm
 */
void vd_winset_attach(struct vd_winset *ws, struct vd_mm *vm)
{
	ws->vm = vm;
	vd_mm_add(vm, ws);
}

/**
 * vd_winset_detach - take it out again
 * @ws: the set; it may be freed after a grace period
 *
 * Context: the worker doesn't run.
 */
void vd_winset_detach(struct vd_winset *ws)
{
	if (!ws->vm)
		return;
	vd_winset_clear(ws);
	vd_mm_del(ws->vm, ws);
	ws->vm = NULL;
}

/* Takes all pointers away. Window lock. */
static void vd_winset_drop(struct vd_winset *ws)
{
	unsigned int i;

	lockdep_assert_held(&ws->lock);
	WRITE_ONCE(ws->valid, false);
	for (i = 0; i < VD_SET_WINDOWS; i++)
		ws->w[i].base = NULL;
}

static void vd_window_free(struct vd_window *w)
{
	kvfree(w->page);
	kvfree(w->scratch);
	memset(w, 0, sizeof(*w));
}

static int vd_window_describe(struct vd_window *w, const struct vd_range *r)
{
	w->uaddr = r->uaddr;
	w->size = r->size;
	w->writable = r->writable;
	/* The offset in the first page counts: a ring may start anywhere. */
	w->npages = DIV_ROUND_UP(offset_in_page(r->uaddr) + r->size, PAGE_SIZE);
	w->page = kvcalloc(w->npages, sizeof(*w->page), GFP_KERNEL_ACCOUNT);
	w->scratch = kvcalloc(w->npages, sizeof(*w->scratch),
			      GFP_KERNEL_ACCOUNT);
	return w->page && w->scratch ? 0 : -ENOMEM;
}

/**
 * vd_winset_clear - forget the windows
 * @ws: the set
 *
 * Context: may sleep; the worker is kept out by the virtqueue's mutex.
 */
void vd_winset_clear(struct vd_winset *ws)
{
	unsigned int i;

	spin_lock(&ws->lock);
	vd_winset_drop(ws);
	spin_unlock(&ws->lock);
	if (ws->vm)
		vd_mm_publish(ws->vm, ws, 0, 0);
	for (i = 0; i < VD_SET_WINDOWS; i++)
		vd_window_free(&ws->w[i]);
}

/**
 * vd_winset_describe - say what is to be mapped from now on
 * @ws: the set
 * @range: its windows; they lie in user memory
 *
 * The pages are looked for when the windows are next wanted.
 * Return: 0, or -ENOMEM and the set is empty.
 * Context: may sleep; the worker is kept out by the virtqueue's mutex.
 */
int vd_winset_describe(struct vd_winset *ws,
		       const struct vd_range range[VD_SET_WINDOWS])
{
	unsigned long lo = ULONG_MAX, hi = 0;
	unsigned int i;

	vd_winset_clear(ws);
	if (!ws->vm)
		return 0;
	for (i = 0; i < VD_SET_WINDOWS; i++) {
		if (vd_window_describe(&ws->w[i], &range[i])) {
			vd_winset_clear(ws);
			return -ENOMEM;
		}
		lo = min(lo, range[i].uaddr);
		hi = max(hi, range[i].uaddr + range[i].size);
	}
	ws->backoff = 0;
	ws->retry_at = jiffies;
	vd_mm_publish(ws->vm, ws, lo & PAGE_MASK, PAGE_ALIGN(hi));
	return 0;
}

/*
 * May a page be reached through the direct map, and written behind the page
 * table's back? Called when no invalidation can be under way, so the page is
 * still mapped and its mapping stays.
 *
 * A file system that tracks dirty pages wants to hear of each write through a
 * fault, and marking such a page dirty may sleep (iomap allocates its state):
 * a writable window on one stays on the user path. Shared memory and hugetlb
 * only set a bit.
 */
static bool vd_page_usable(struct page *page, bool writable)
{
	struct folio *folio = page_folio(page);
	struct address_space *mapping;

	if (PageHighMem(page) || PageHWPoison(page) || is_zone_device_page(page))
		return false;
	if (!writable || folio_test_anon(folio))
		return true;
	mapping = folio_mapping(folio);
	return mapping && !mapping_can_writeback(mapping);
}

static bool vd_window_usable(const struct vd_window *w)
{
	u32 i;

	for (i = 0; i < w->npages; i++)
		if (!vd_page_usable(w->scratch[i], w->writable))
			return false;
	return true;
}

/*
 * Installs a window. Window lock, sequence checked.
 *
 * GUP-fast has seen that the page may be written, not that it is dirty: after
 * MADV_FREE, or a swap-in for reading, it is not, and reclaim would throw away
 * what we write. So it is marked here, once, before anybody writes; nothing
 * clears the mark of a mapped anonymous or shared-memory page without an
 * invalidation first.
 */
static void vd_window_install(struct vd_window *w)
{
	bool contig = true;
	u32 i;

	for (i = 0; i < w->npages; i++) {
		w->page[i] = page_address(w->scratch[i]);
		if (i && w->page[i] != w->page[i - 1] + PAGE_SIZE)
			contig = false;
		if (w->writable)
			folio_mark_dirty(page_folio(w->scratch[i]));
	}
	w->base = contig ? w->page[0] + offset_in_page(w->uaddr) : NULL;
}

static void vd_window_put(struct vd_window *w, int n)
{
	while (n-- > 0)
		put_page(w->scratch[n]);
}

/* Finds the pages of a window, faulting them in. May sleep. */
static int vd_window_find(struct vd_window *w)
{
	int n;

	n = get_user_pages_fast(w->uaddr & PAGE_MASK, w->npages,
				w->writable ? FOLL_WRITE : 0, w->scratch);
	if (n == w->npages)
		return 0;
	vd_window_put(w, n);
	return n < 0 ? n : -EFAULT;
}

enum vd_map_result {
	VD_MAP_OK,
	VD_MAP_FAILED,		/* pages not to be had */
	VD_MAP_RACED,		/* found, but an invalidation came between */
	VD_MAP_BUSY,		/* one is in flight: not even tried */
};

static enum vd_map_result vd_winset_install(struct vd_winset *ws, long seq)
{
	enum vd_map_result result = VD_MAP_OK;
	unsigned int i;

	spin_lock(&ws->lock);
	if (!vd_mm_unchanged(ws->vm, seq)) {
		result = VD_MAP_RACED;
		goto out;
	}
	for (i = 0; i < VD_SET_WINDOWS; i++) {
		if (!vd_window_usable(&ws->w[i])) {
			result = VD_MAP_FAILED;
			goto out;
		}
	}
	/* Descriptors may lie at odd addresses, and are read in two loads. */
	ws->contig = IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS);
	for (i = 0; i < VD_SET_WINDOWS; i++) {
		vd_window_install(&ws->w[i]);
		ws->contig &= !!ws->w[i].base;
	}
	WRITE_ONCE(ws->valid, true);
out:
	spin_unlock(&ws->lock);
	return result;
}

static enum vd_map_result vd_winset_try(struct vd_winset *ws)
{
	enum vd_map_result result = VD_MAP_FAILED;
	unsigned int n;
	long seq;

	if (!vd_mm_sample(ws->vm, &seq))
		return VD_MAP_BUSY;
	for (n = 0; n < VD_SET_WINDOWS; n++)
		if (vd_window_find(&ws->w[n]))
			break;
	if (n == VD_SET_WINDOWS)
		result = vd_winset_install(ws, seq);
	while (n--)
		vd_window_put(&ws->w[n], ws->w[n].npages);
	return result;
}

/*
 * When to try again. A set that is taken away in the same tick that it was
 * mapped in counts as a failure, so a storm of invalidations costs at most
 * one attempt a tick, and fewer the longer it lasts.
 */
static void vd_winset_backoff(struct vd_winset *ws, bool failed)
{
	if (failed)
		ws->backoff = clamp(ws->backoff * 2, 1UL,
				    (unsigned long)VD_BACKOFF_MAX);
	else
		ws->backoff = 0;
	ws->retry_at = jiffies + ws->backoff;
}

/**
 * vd_winset_map - look for the pages and install the windows
 * @ws: a set that is described and not mapped
 *
 * Fails quietly: the caller goes on with user access.
 * Context: the owner's memory is in use; may sleep; one caller at a time.
 */
void vd_winset_map(struct vd_winset *ws)
{
	enum vd_map_result result;

	if (!ws->w[0].npages)
		return;
	if (ws->mapped_at == jiffies) {
		ws->mapped_at--;
		vd_winset_backoff(ws, true);
		return;
	}
	result = vd_winset_try(ws);
	trace_vd_map(ws, result);
	switch (result) {
	case VD_MAP_OK:
		vd_stat_inc(ws->counters, maps);
		ws->mapped_at = jiffies;
		break;
	case VD_MAP_FAILED:
		vd_stat_inc(ws->counters, map_failures);
		break;
	default:
		vd_stat_inc(ws->counters, map_races);
		break;
	}
	/* Asking whether one is in flight costs nothing: ask again soon. */
	vd_winset_backoff(ws, result == VD_MAP_FAILED ||
			  result == VD_MAP_RACED);
}

static bool vd_window_overlaps(const struct vd_window *w, unsigned long start,
			       unsigned long end)
{
	return w->size && start < w->uaddr + w->size && end > w->uaddr;
}

/**
 * vd_winset_invalidate - take windows away from a range
 * @ws: the set
 * @start: first user address
 * @end: end of the range
 *
 * Context: mmu notifier; waits for the holder of the window lock, who is
 * never asleep.
 */
void vd_winset_invalidate(struct vd_winset *ws, unsigned long start,
			  unsigned long end)
{
	unsigned int i;
	bool hit = false;

	if (start >= READ_ONCE(ws->hull_end) || end <= READ_ONCE(ws->hull_start))
		return;
	spin_lock(&ws->lock);
	if (ws->valid)
		for (i = 0; i < VD_SET_WINDOWS; i++)
			hit |= vd_window_overlaps(&ws->w[i], start, end);
	if (hit) {
		vd_winset_drop(ws);
		vd_stat_inc(ws->counters, inval_hit);
		trace_vd_invalidate(ws, start, end);
	} else {
		vd_stat_inc(ws->counters, inval_missed);
	}
	spin_unlock(&ws->lock);
}

/**
 * vd_winset_age - were windows in a range used lately?
 * @ws: the set
 * @start: first user address
 * @end: end of the range
 * @clear: forget it
 *
 * Context: any; takes no lock. The description may change under us; the
 * answer is then of either one, and a hint in any case.
 */
bool vd_winset_age(struct vd_winset *ws, unsigned long start,
		   unsigned long end, bool clear)
{
	bool young = false;
	unsigned int i;

	if (start >= READ_ONCE(ws->hull_end) || end <= READ_ONCE(ws->hull_start))
		return false;
	for (i = 0; i < VD_SET_WINDOWS; i++) {
		struct vd_window *w = &ws->w[i];
		unsigned long first = READ_ONCE(w->uaddr) & PAGE_MASK;
		unsigned long last = READ_ONCE(w->uaddr) + READ_ONCE(w->size);

		/* Aging speaks of pages: the window's own pages all count. */
		if (start >= last || end <= first)
			continue;
		if (clear)
			young |= READ_ONCE(w->accessed) &&
				 xchg(&w->accessed, 0);
		else
			young |= READ_ONCE(w->accessed);
	}
	return young;
}

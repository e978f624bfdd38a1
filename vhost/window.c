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
#include "spans.h"
#include "trace.h"
#include "window.h"

/* Longest time to the next attempt to map, after failures and after losses. */
#define VD_BACKOFF_FAILED	(HZ / 10 + 1)
#define VD_BACKOFF_LOST		(HZ / 50 + 1)
/*
 * Packets after which windows have paid: mapping a set costs 1,700 instructions
 * with four pages, and grows with them; a packet saves a STAC, a CLAC and an
 * LFENCE at least.
 */
#define VD_MAP_WORTH		32
#define VD_MAP_WORTH_PAGE	8

/**
 * vd_winset_init - an empty set
 * @ws: the set
 * @counters: where events are counted
 *
 * Context: nobody else has it yet.
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
 *
 * Context: device mutex, the worker doesn't run; may sleep.
 */
void vd_winset_attach(struct vd_winset *ws, struct vd_mm *vm)
{
	ws->vm = vm;
	ws->waiting = &vm->waiting;
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
	w->piece = r->piece;
	w->npieces = r->npieces;
	/* The offset in the first page counts: a ring may start anywhere. */
	w->npages = DIV_ROUND_UP(offset_in_page(r->uaddr) + r->size, PAGE_SIZE);
	w->page = kvcalloc(w->npages, sizeof(*w->page), GFP_KERNEL_ACCOUNT);
	w->scratch = kvcalloc(w->npages, sizeof(*w->scratch),
			      GFP_KERNEL_ACCOUNT);
	return w->page && w->scratch ? 0 : -ENOMEM;
}

/*
 * User memory, all of it, and by the name that the kernel calls it: past the
 * end a span would wrap around, and with a tag in its upper bits (arm64, LAM)
 * get_user_pages_fast() would find pages that no invalidation mentions so.
 */
static bool vd_user_plain(unsigned long uaddr, u32 size)
{
	return size <= TASK_SIZE_MAX && uaddr <= TASK_SIZE_MAX - size;
}

static bool vd_range_plain(const struct vd_range *r)
{
	u32 i;

	for (i = 0; i < r->npieces; i++)
		if (!vd_user_plain(r->piece[i].uaddr, r->piece[i].len))
			return false;
	return r->npieces || vd_user_plain(r->uaddr, r->size);
}

/* Is each page of a range one page of user memory? */
static bool vd_range_by_page(const struct vd_range *r)
{
	u32 i;

	for (i = 1; i < r->npieces; i++)
		if (offset_in_page(r->uaddr + r->piece[i].off) ||
		    offset_in_page(r->piece[i].uaddr))
			return false;
	return true;
}

/*
 * May windows show it? An owner who gives us a vIOMMU's translations may say
 * anything of where a ring lies, whatever was checked when it was told.
 */
static bool vd_range_fits(const struct vd_range *r)
{
	return IS_ALIGNED(r->uaddr, r->align) && vd_range_plain(r) &&
	       vd_range_by_page(r);
}

/* The user pages of a range; returns how many spans these are. */
static u32 vd_range_spans(const struct vd_range *r, struct vd_span *span)
{
	const struct vd_piece whole = { r->uaddr, 0, r->size };
	const struct vd_piece *p = r->npieces ? r->piece : &whole;
	u32 i, n = 0;

	for (i = 0; i < max(r->npieces, 1U); i++)
		if (p[i].len)
			span[n++] = (struct vd_span){
				p[i].uaddr & PAGE_MASK,
				PAGE_ALIGN(p[i].uaddr + p[i].len)
			};
	return n;
}

static struct vd_spans *
vd_winset_spans(const struct vd_range range[VD_SET_WINDOWS])
{
	struct vd_spans *s;
	u32 i, n = 0;

	for (i = 0; i < VD_SET_WINDOWS; i++)
		n += max(range[i].npieces, 1U);
	s = vd_spans_alloc(n);
	if (!s)
		return NULL;
	for (i = 0, n = 0; i < VD_SET_WINDOWS; i++)
		n += vd_range_spans(&range[i], s->span + n);
	vd_spans_finish(s, n);
	return s;
}

static void vd_windows_free(struct vd_window w[VD_SET_WINDOWS])
{
	unsigned int i;

	for (i = 0; i < VD_SET_WINDOWS; i++)
		vd_window_free(&w[i]);
}

/* No burst begins with them any more. */
static void vd_winset_unmap(struct vd_winset *ws)
{
	spin_lock(&ws->lock);
	vd_winset_drop(ws);
	spin_unlock(&ws->lock);
}

/**
 * vd_winset_clear - forget the windows
 * @ws: the set
 *
 * Context: may sleep; the worker is kept out by the virtqueue's mutex.
 */
void vd_winset_clear(struct vd_winset *ws)
{
	vd_winset_unmap(ws);
	if (ws->vm)
		vd_mm_publish(ws->vm, ws, NULL);
	vd_windows_free(ws->w);
}

/* New windows in place of the old, which stay if that needs too much memory. */
static int vd_winset_exchange(struct vd_winset *ws,
			      const struct vd_range range[VD_SET_WINDOWS])
{
	struct vd_spans *spans = vd_winset_spans(range);
	struct vd_window w[VD_SET_WINDOWS] = {};
	int err = spans ? 0 : -ENOMEM;
	unsigned int i;

	for (i = 0; i < VD_SET_WINDOWS && !err; i++)
		err = vd_window_describe(&w[i], &range[i]);
	if (err) {
		kvfree(spans);
	} else {
		vd_winset_unmap(ws);
		err = vd_mm_publish(ws->vm, ws, spans);
	}
	if (!err) {
		/* A callback looks at windows while they are mapped, not now. */
		spin_lock(&ws->lock);
		for (i = 0; i < VD_SET_WINDOWS; i++)
			swap(ws->w[i], w[i]);
		spin_unlock(&ws->lock);
	}
	vd_windows_free(w);
	return err;
}

/**
 * vd_winset_describe - say what is to be mapped from now on
 * @ws: the set
 * @range: its windows
 *
 * The pages are looked for when the windows are next wanted. If a range isn't
 * in user memory, not aligned, or in pieces that no page of ours can show as
 * one, the set is empty then.
 * Return: 0, or -ENOMEM and the set is described as it was.
 * Context: may sleep; the worker is kept out by the virtqueue's mutex.
 */
int vd_winset_describe(struct vd_winset *ws,
		       const struct vd_range range[VD_SET_WINDOWS])
{
	unsigned int i;
	int err;

	if (!ws->vm)
		return 0;
	for (i = 0; i < VD_SET_WINDOWS; i++) {
		if (!vd_range_fits(&range[i])) {
			vd_winset_clear(ws);
			return 0;
		}
	}
	err = vd_winset_exchange(ws, range);
	if (err)
		return err;
	ws->backoff = 0;
	ws->retry_at = jiffies;
	ws->mapped = false;
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
 *
 * Of a hugetlb page the head is marked as poisoned, whichever of its pages is: all of
 * it is refused. A mark that comes later brings a callback, as the page is unmapped.
 *
 * Pages of storage itself (DAX) have no place in the direct map once it is taken
 * out, which happens while they are mapped: ext4, for one, tells of nothing then.
 */
static bool vd_page_usable(struct page *page, bool writable)
{
	struct folio *folio = page_folio(page);
	struct address_space *mapping;

	if (PageHighMem(page) || is_page_hwpoison(page) || is_zone_device_page(page))
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
 *
 * folio_mark_dirty() wants a mapping that isn't truncated meanwhile. The page
 * was mapped when it was found and, as the sequence says, still is: truncation
 * takes a page out of all page tables before it drops it from the file, and for
 * that waits in our callback for the lock that is held here.
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
	const struct vd_piece whole = { w->uaddr, 0, w->size };
	const struct vd_piece *p = w->npieces ? w->piece : &whole;
	int at = 0, want, n;
	u32 i;

	for (i = 0; i < max(w->npieces, 1U); i++) {
		want = DIV_ROUND_UP(offset_in_page(p[i].uaddr) + p[i].len,
				    PAGE_SIZE);
		n = get_user_pages_fast(p[i].uaddr & PAGE_MASK, want,
					w->writable ? FOLL_WRITE : 0,
					w->scratch + at);
		at += max(n, 0);
		if (n != want) {
			vd_window_put(w, at);
			return n < 0 ? n : -EFAULT;
		}
	}
	return 0;
}

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

/* Has the set, which is mapped no longer, saved more than mapping it cost? */
static bool vd_winset_was_worth(const struct vd_winset *ws)
{
	u32 i, pages = 0;

	for (i = 0; i < VD_SET_WINDOWS; i++)
		pages += ws->w[i].npages;
	return ws->counters->packets - ws->served >=
	       max_t(u32, VD_MAP_WORTH, VD_MAP_WORTH_PAGE * pages) ||
	       time_after_eq(jiffies, ws->mapped_at + VD_BACKOFF_LOST);
}

/*
 * When to try again: at once after windows that were worth it, whatever the
 * rate at which they are taken away; later and later, up to a limit, when
 * attempts fail or windows go before they have paid.
 */
static void vd_winset_backoff(struct vd_winset *ws, unsigned long most)
{
	ws->backoff = min(max(ws->backoff * 2, 1UL), most);
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
	/* What somebody else has at these addresses no callback of ours guards. */
	if (WARN_ON_ONCE(current->mm != ws->vm->mn.mm))
		return;
	if (ws->mapped) {
		ws->mapped = false;
		vd_winset_backoff(ws, vd_winset_was_worth(ws) ?
				  0 : VD_BACKOFF_LOST);
		if (ws->backoff)
			return;
	}
	result = vd_winset_try(ws);
	trace_vd_map(ws, result);
	switch (result) {
	case VD_MAP_OK:
		vd_stat_inc(ws->counters, maps);
		/* What it was worth is known when it is gone. */
		ws->mapped = true;
		ws->mapped_at = jiffies;
		ws->served = ws->counters->packets;
		break;
	case VD_MAP_FAILED:
		vd_stat_inc(ws->counters, map_failures);
		vd_winset_backoff(ws, VD_BACKOFF_FAILED);
		break;
	case VD_MAP_RACED:
		vd_stat_inc(ws->counters, map_races);
		vd_winset_backoff(ws, VD_BACKOFF_LOST);
		break;
	default:
		/* Asking whether one is in flight costs nothing: ask again soon. */
		vd_stat_inc(ws->counters, map_races);
		break;
	}
}

/*
 * Whole pages of ours: a range may begin or end amid a page all of which goes.
 * With 6.1 that of a uprobe begins with its breakpoint.
 */
static bool vd_pages_overlap(unsigned long at, unsigned long len,
			     unsigned long start, unsigned long end)
{
	return start < PAGE_ALIGN(at + len) && end > (at & PAGE_MASK);
}

static bool vd_window_overlaps(const struct vd_window *w, unsigned long start,
			       unsigned long end)
{
	u32 i;

	for (i = 0; i < w->npieces; i++)
		if (vd_pages_overlap(w->piece[i].uaddr, w->piece[i].len, start,
				     end))
			return true;
	return !w->npieces && w->size &&
	       vd_pages_overlap(w->uaddr, w->size, start, end);
}

/**
 * vd_winset_lock_slow - take the window lock, which a burst holds
 * @ws: the set; the caller is counted as waiting
 *
 * The burst is the last to begin, or the one before the last: see
 * vd_winset_enter(). A function of its own, which tests probe.
 * Context: mmu notifier.
 */
noinline void vd_winset_lock_slow(struct vd_winset *ws)
	__acquires(&ws->lock)
{
	spin_lock(&ws->lock);
}

/**
 * vd_winset_invalidate - take windows away from a range
 * @ws: the set
 * @start: first user address
 * @end: end of the range
 *
 * Context: mmu notifier, counted as waiting, RCU; waits for the holder of the
 * window lock, who is never asleep, and for no burst that begins later.
 */
void vd_winset_invalidate(struct vd_winset *ws, unsigned long start,
			  unsigned long end)
{
	/* These may change meanwhile: see (A) in notifier.c. */
	const struct vd_spans *spans = rcu_dereference(ws->spans);
	unsigned int i;
	bool hit = false;

	if (!spans || !vd_spans_overlap(spans, start, end))
		return;
	if (!spin_trylock(&ws->lock))
		vd_winset_lock_slow(ws);
	if (ws->valid)
		for (i = 0; i < VD_SET_WINDOWS; i++)
			hit |= vd_window_overlaps(&ws->w[i], start, end);
	if (hit) {
		vd_winset_drop(ws);
		vd_stat_inc(ws->counters, inval_hit);
		trace_vd_invalidate(ws, start, end);
	} else if (!ws->valid) {
		/* Else these are other windows than the spans were of. */
		vd_stat_inc(ws->counters, inval_missed);
	}
	spin_unlock(&ws->lock);
}

/**
 * vd_winset_age - were windows in a range used lately?
 * @ws: the set
 * @start: first user address
 * @end: end of the range
 * @clear: begin anew
 *
 * A page is young if there was a burst since it was last asked for, or a look
 * at the ring by busy polling: their count tells, so that the worker has nothing
 * to do for it. Each page is asked for by itself; of a ring of more than 64 pages
 * some share a slot, and may look older than they are.
 *
 * Return: true if so for one page at least.
 * Context: any, RCU; takes no lock. The description may change under us; the
 * answer is then of either one, and a hint in any case.
 */
bool vd_winset_age(struct vd_winset *ws, unsigned long start,
		   unsigned long end, bool clear)
{
	u32 now = READ_ONCE(ws->counters->bursts_direct) +
		  READ_ONCE(ws->looks);
	const struct vd_spans *spans = rcu_dereference(ws->spans);
	unsigned long at, before = 0;
	const struct vd_span *s;
	bool young = false;

	/* Most pages are of other sets, and a set may have hundreds of spans. */
	if (!spans || !vd_spans_overlap(spans, start, end))
		return false;
	for (s = vd_spans_first(spans); s && s->start < end;
	     s = vd_spans_next(s)) {
		at = max(start & PAGE_MASK, s->start);
		for (; at < min(end, s->end); at += PAGE_SIZE) {
			u32 *aged = &ws->aged[(before + at - s->start) /
					      PAGE_SIZE % VD_AGE_SLOTS];

			if (READ_ONCE(*aged) == now)
				continue;
			young = true;
			if (clear)
				WRITE_ONCE(*aged, now);
		}
		before += s->end - s->start;
	}
	return young;
}

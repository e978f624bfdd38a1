/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows: ranges of user memory reached through the kernel's direct map.
 *
 * A set of windows is mapped, used and invalidated as one, under one lock.
 */
#ifndef VD_WINDOW_H
#define VD_WINDOW_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/spinlock.h>

#include "stats.h"

struct vd_mm;
struct vd_spans;

#define VD_SET_WINDOWS	3
/* A ring of 1024 entries has 8 pages: each has a slot of its own. */
#define VD_AGE_SLOTS	64

/* A piece of a range that is contiguous in user memory, @off bytes into it. */
struct vd_piece {
	unsigned long uaddr;
	u32 off;
	u32 len;
};

/**
 * struct vd_window - one range
 * @uaddr: its first user address, of any alignment
 * @size: its length in bytes, 0 for an unused window
 * @npages: pages it touches
 * @piece: where it lies if it isn't contiguous in user memory; each piece but
 *         the first begins with a page, each but the last ends with one. The
 *         describer's, until the set is cleared.
 * @npieces: how many
 * @writable: pages are mapped for writing
 * @base: kernel address of the first byte if the pages are contiguous in the
 *        direct map, else NULL. Window lock.
 * @page: kernel address of each page. Window lock.
 * @scratch: the mapper's pages, before they are installed
 */
struct vd_window {
	unsigned long uaddr;
	u32 size;
	u32 npages;
	const struct vd_piece *piece;
	u32 npieces;
	bool writable;
	u8 *base;
	void **page;
	struct page **scratch;
};

/**
 * struct vd_winset - windows that live and die together
 * @lock: the window lock. Its holder must not fault, sleep or allocate, for
 *        the mmu notifier waits for it.
 * @valid: all windows are mapped. Window lock; read without it as a hint.
 * @contig: each has a @base. Window lock.
 * @waiting: callbacks of @vm's that take windows away, of whichever set: no
 *           burst begins before them
 * @w: the windows, described under the queue's mutex while not valid
 * @mapped: the last attempt mapped it; worker
 * @mapped_at: in jiffies, when; worker
 * @served: packets the queue had served before that; worker
 * @retry_at: jiffies before which mapping isn't tried; worker
 * @backoff: current delay in jiffies; worker
 * @spans: the windows' pages; see vd_mm_publish(). The mm's lock; read by callbacks
 *         by RCU.
 * @looks: times that busy polling looked at the ring through the windows; worker.
 *        Read by callbacks without a lock.
 * @aged: for each page, by its place in @spans: @counters' bursts_direct and @looks
 *        together, cut to 32 bits, when aging last asked for it. Callbacks alone,
 *        without a lock.
 * @vm: the mm; NULL while the set has none. Set before the worker starts, taken away
 *      after it has stopped; device mutex.
 * @node: in @vm's list; the mm's lock, read by callbacks by RCU
 * @counters: where events are counted; set before the device is used
 */
struct vd_winset {
	spinlock_t lock;
	bool valid;
	bool contig;
	const atomic_t *waiting;
	struct vd_window w[VD_SET_WINDOWS];
	bool mapped;
	unsigned long mapped_at;
	u64 served;
	unsigned long retry_at;
	unsigned long backoff;
	struct vd_spans __rcu *spans;
	u32 looks;
	u32 aged[VD_AGE_SLOTS];
	struct vd_mm *vm;
	struct list_head node;
	struct vd_counters *counters;
};

/*
 * A range of user memory to be mapped; @npieces is 0 for a contiguous one.
 * @align is what the accessors rely on for words not to straddle pages.
 */
struct vd_range {
	unsigned long uaddr;
	u32 size;
	u32 align;
	bool writable;
	const struct vd_piece *piece;
	u32 npieces;
};

/* What became of an attempt to map a set; tracepoint vd_map has it. */
enum vd_map_result {
	VD_MAP_OK,
	VD_MAP_FAILED,		/* pages not to be had */
	VD_MAP_RACED,		/* found, but an invalidation came between */
	VD_MAP_BUSY,		/* one is in flight: not even tried */
};

void vd_winset_init(struct vd_winset *ws, struct vd_counters *counters);
void vd_winset_attach(struct vd_winset *ws, struct vd_mm *vm);
void vd_winset_detach(struct vd_winset *ws);
int vd_winset_describe(struct vd_winset *ws,
		       const struct vd_range range[VD_SET_WINDOWS]);
void vd_winset_clear(struct vd_winset *ws);
void vd_winset_map(struct vd_winset *ws);
void vd_winset_lock_slow(struct vd_winset *ws) __acquires(&ws->lock);
void vd_winset_invalidate(struct vd_winset *ws, unsigned long start,
			  unsigned long end);
bool vd_winset_age(struct vd_winset *ws, unsigned long start,
		   unsigned long end, bool clear);

/**
 * vd_winset_ready - map the windows if they aren't and it is time to try
 * @ws: the set
 *
 * Context: the owner's memory is in use; may sleep.
 */
static inline void vd_winset_ready(struct vd_winset *ws)
{
	if (unlikely(!READ_ONCE(ws->valid)) && ws->vm &&
	    time_after_eq(jiffies, ws->retry_at))
		vd_winset_map(ws);
}

/**
 * vd_winset_enter - begin to use the windows
 * @ws: the set
 *
 * Spin locks need not be fair, in virtual machines least of all: a callback
 * that waits goes first, else it might wait for burst after burst. One more may
 * begin, of a worker that had looked before its last unlock was to be seen.
 * Return: true with the window lock held, or false if they aren't mapped, or
 * are about to be taken away: the caller uses user access.
 */
static inline bool vd_winset_enter(struct vd_winset *ws)
{
	/* The look pairs with the barrier in vd_mm_invalidate(). */
	if (unlikely(!READ_ONCE(ws->valid)) ||
	    unlikely(atomic_read(ws->waiting)))
		return false;
	spin_lock(&ws->lock);
	if (unlikely(!ws->valid)) {
		spin_unlock(&ws->lock);
		return false;
	}
	return true;
}

/**
 * vd_winset_leave - end the use of the windows
 * @ws: the set
 */
static inline void vd_winset_leave(struct vd_winset *ws)
{
	spin_unlock(&ws->lock);
}

#endif /* VD_WINDOW_H */

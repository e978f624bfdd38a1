/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An instance of struct vd_mem_ops that watches the engine: it checks that
 * every access lies inside its part, fails the access of one's choice, and
 * rewrites each word once it was read, so that a second read of the same word
 * is both counted and harmful.
 */
#ifndef VD_USER_WATCH_OPS_H
#define VD_USER_WATCH_OPS_H

#include <stdlib.h>
#include "plain_ops.h"

/* What happened, in order, for tests that look at sequences. */
enum watch_event {
	WATCH_READ16,
	WATCH_READ_RUN,
	WATCH_READ_DESC,
	WATCH_READ64,
	WATCH_WRITE16,
	WATCH_WRITE64,
	WATCH_WRITE_USED,
	WATCH_RMB,
	WATCH_WMB,
	WATCH_MB,
	WATCH_NOSPEC
};

struct watch_entry {
	enum watch_event what;
	enum vd_part part;
	u32 off;
};

#define WATCH_LOG	4096u
#define WATCH_NEVER	(~0u)
#define WATCH_POISON	0xa5a5u

/**
 * struct vd_watch - a plain ring under observation
 * @plain: the memory
 * @size: bytes of each part
 * @accesses: accesses since watch_reset()
 * @fail_at: the access (from 0) that fails, or WATCH_NEVER
 * @fail_all: from there on all fail
 * @poison: rewrite what was read
 * @outside: accesses that left their part
 * @twice: words that were read more than once since watch_reset()
 * @reads: reads of each 16-bit word, of each part
 * @polled: polls of each slot of a packed ring
 * @nlog: entries of @log
 * @log: the first WATCH_LOG things that happened
 */
struct vd_watch {
	struct vd_plain plain;
	u32 size[VD_PARTS];
	u32 accesses;
	u32 fail_at;
	bool fail_all;
	bool poison;
	u32 outside;
	u32 twice;
	u8 *reads[VD_PARTS];
	u8 *polled;
	u32 nlog;
	struct watch_entry log[WATCH_LOG];
};

/* Ends a watched stretch: what was poisoned is as the driver wrote it. */
static inline void watch_reset(struct vd_watch *w)
{
	u32 p, i;

	for (p = 0; p < VD_PARTS; p++) {
		for (i = 0; i < w->size[p] / 2; i++) {
			word16 *word = (word16 *)(w->plain.part[p] + 2 * i);

			if (w->poison && w->reads[p][i] % 2)
				*word ^= WATCH_POISON;
			w->reads[p][i] = 0;
		}
	}
	memset(w->polled, 0, w->size[VD_PART_DESC] / VD_DESC_SIZE);
	w->accesses = 0;
	w->outside = 0;
	w->twice = 0;
	w->nlog = 0;
	w->fail_at = WATCH_NEVER;
	w->fail_all = false;
}

/* For the ring of @r. */
static inline void watch_init(struct vd_watch *w, const struct vd_plain *plain,
			      const struct vd_ring *r)
{
	u32 p;

	w->plain = *plain;
	w->poison = false;
	for (p = 0; p < VD_PARTS; p++) {
		w->size[p] = r->packed ?
			vd_packed_part_size(p, r->num) :
			vd_split_part_size(p, r->num, r->event_idx);
		w->reads[p] = calloc(w->size[p] / 2, 1);
		if (!w->reads[p])
			abort();
	}
	w->polled = calloc(r->num, 1);
	if (!w->polled)
		abort();
	watch_reset(w);
}

static inline void watch_exit(struct vd_watch *w)
{
	u32 p;

	watch_reset(w);
	for (p = 0; p < VD_PARTS; p++)
		free(w->reads[p]);
	free(w->polled);
}

static inline void watch_log(struct vd_watch *w, enum watch_event what,
			     enum vd_part part, u32 off)
{
	if (w->nlog < WATCH_LOG)
		w->log[w->nlog++] = (struct watch_entry){ what, part, off };
}

/* Books one access; true if it must fail. */
static inline bool watch_access(struct vd_watch *w, enum watch_event what,
				enum vd_part part, size_t off, u32 len)
{
	u32 n = w->accesses++;

	watch_log(w, what, part, (u32)off);
	if (off > w->size[part] || len > w->size[part] - off) {
		w->outside++;
		return true;
	}
	return n == w->fail_at || (w->fail_all && n > w->fail_at);
}

static inline void watch_was_read(struct vd_watch *w, enum vd_part part,
				  size_t off, u32 len)
{
	size_t i;

	for (i = off / 2; i < (off + len) / 2; i++) {
		if (w->reads[part][i]++)
			w->twice++;
		if (w->poison)
			((word16 *)w->plain.part[part])[i] ^= WATCH_POISON;
	}
}

static inline void watch_was_polled(struct vd_watch *w, size_t off)
{
	if (w->polled[off / VD_DESC_SIZE]++)
		w->twice++;
}

static inline int watch_read16(const void *mem, enum vd_part part, size_t off,
			       u16 *val)
{
	struct vd_watch *w = (struct vd_watch *)mem;

	if (watch_access(w, WATCH_READ16, part, off, 2))
		return -1;
	vd_plain_read16(&w->plain, part, off, val);
	/* To ask whether a descriptor is there is not yet to read it. */
	if (part == VD_PART_DESC)
		watch_was_polled(w, off);
	else
		watch_was_read(w, part, off, 2);
	return 0;
}

static inline int watch_read16_run(const void *mem, enum vd_part part, size_t off,
				   u16 *val, u32 n)
{
	struct vd_watch *w = (struct vd_watch *)mem;

	if (watch_access(w, WATCH_READ_RUN, part, off, 2 * n))
		return -1;
	vd_plain_read16_run(&w->plain, part, off, val, n);
	watch_was_read(w, part, off, 2 * n);
	return 0;
}

static inline int watch_read_desc(const void *mem, size_t off, u64 desc[2])
{
	struct vd_watch *w = (struct vd_watch *)mem;

	if (watch_access(w, WATCH_READ_DESC, VD_PART_DESC, off, VD_DESC_SIZE))
		return -1;
	vd_plain_read_desc(&w->plain, off, desc);
	watch_was_read(w, VD_PART_DESC, off, VD_DESC_SIZE);
	return 0;
}

static inline int watch_write16(const void *mem, enum vd_part part, size_t off,
				u16 val)
{
	struct vd_watch *w = (struct vd_watch *)mem;

	if (watch_access(w, WATCH_WRITE16, part, off, 2))
		return -1;
	return vd_plain_write16(&w->plain, part, off, val);
}

static inline int watch_write64(const void *mem, enum vd_part part, size_t off,
				u64 val)
{
	struct vd_watch *w = (struct vd_watch *)mem;

	if (watch_access(w, WATCH_WRITE64, part, off, 8))
		return -1;
	return vd_plain_write64(&w->plain, part, off, val);
}

static inline int watch_write_used(const void *mem, size_t off,
				   const struct vd_used *elem, u32 n)
{
	struct vd_watch *w = (struct vd_watch *)mem;

	if (watch_access(w, WATCH_WRITE_USED, VD_PART_USED, off, 8 * n))
		return -1;
	return vd_plain_write_used(&w->plain, off, elem, n);
}

static const struct vd_mem_ops vd_watch_ops = {
	.read16 = watch_read16,
	.read16_run = watch_read16_run,
	.read_desc = watch_read_desc,
	.write16 = watch_write16,
	.write64 = watch_write64,
	.write_used = watch_write_used,
};

#endif /* VD_USER_WATCH_OPS_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the fuzz targets share: an input is a device's state, a list of calls,
 * and what is in memory. Each part of the ring is an allocation of its own and
 * each access is checked against it (user/watch_ops.h), so that AddressSanitizer
 * sees what the engine does to its own memory, and the watch what it does to
 * the guest's. Whatever the memory says, after each call the state must be the
 * one that the engine's answers led to, counted without wraps. What it says of
 * tables, and whether there is more, is compared with reference.h.
 *
 * An input is a struct fuzz_head, its calls, the descriptors, the avail and the
 * used part, and then tables. What is missing is zero.
 */
#ifndef VD_FUZZ_H
#define VD_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include "../user/watch_ops.h"

#define FUZZ_LE			(1u << 0)
#define FUZZ_EVENT_IDX		(1u << 1)
#define FUZZ_INDIRECT		(1u << 2)
#define FUZZ_IN_ORDER		(1u << 3)
#define FUZZ_ON_EMPTY		(1u << 4)
#define FUZZ_AVAIL_WRAP		(1u << 5)
#define FUZZ_USED_WRAP		(1u << 6)
#define FUZZ_SIGNALLED		(1u << 7)

/* The low three bits of a call; the others are its argument, 0 to 31. */
enum fuzz_call {
	FUZZ_POP,	/* 1 + 2 arg chains, and their tables */
	FUZZ_PUSH,	/* arg of those held, or all */
	FUZZ_SIGNAL,
	FUZZ_NOTIFY,
	FUZZ_NO_NOTIFY,	/* or what arg % 4 says: enum fuzz_look */
	FUZZ_REWIND,	/* arg of those popped since the last push */
	FUZZ_WRITE,	/* the driver writes eight bytes, or publishes arg - 15 */
	FUZZ_FAIL	/* of the next call, access arg */
};

/* Questions that leave the driver alone. */
enum fuzz_look {
	FUZZ_MOVED = 1,	/* is there more? */
	FUZZ_LOOK_ON	/* how much; packed */
};

#define FUZZ_MAKE(call, arg)	((u8)((call) | (arg) << 3))
#define FUZZ_CALLS		64u
#define FUZZ_TABLES		32768u
#define FUZZ_HELD		8192u
/* Of a packed ring; more than a burst. A split one has 64 at most. */
#define FUZZ_SLOTS		96u
/* No part of such a ring is larger. */
#define FUZZ_PART		(16 * FUZZ_SLOTS)

/* Bits of struct fuzz_head.kind. */
#define FUZZ_PACKED		(1u << 0)	/* for the race: it has both */
#define FUZZ_OUT_ONLY		(1u << 1)

struct fuzz_head {
	u8 num;
	u8 features;
	u16 last_avail;
	u16 last_used;
	u16 signalled;
	u8 ncalls;
	u8 kind;
};

/**
 * struct fuzz - one run
 * @ring: the device
 * @watch: ring memory
 * @memory: FUZZ_PART bytes for each part, or NULL: allocate what it needs
 * @burst: of the last pop
 * @last: how many of those held may still be rewound
 * @rewound: slots rewound so far
 * @avail: slots popped, from an even round on
 * @used: slots pushed, likewise
 * @table: the table that may be read now
 * @tables: guest memory for tables
 * @seg: of the last table
 * @nheld: chains that are not given back
 * @elem: them, as used elements
 * @slots: them
 * @data: what is left of the input
 * @size: of that
 */
struct fuzz {
	struct vd_ring ring;
	struct vd_watch watch;
	u8 *memory[VD_PARTS];
	struct vd_burst burst;
	u32 last;
	u32 rewound;
	u64 avail;
	u64 used;
	struct vd_seg table;
	u8 tables[FUZZ_TABLES];
	struct vd_seg seg[VD_CHAIN_SEGS];
	u32 nheld;
	struct vd_used elem[FUZZ_HELD];
	u16 slots[FUZZ_HELD];
	const u8 *data;
	size_t size;
};

#define FUZZ_CHECK(c)							\
	do {								\
		if (!(c)) {						\
			fprintf(stderr, "%s:%d: %s\n", __FILE__,	\
				__LINE__, #c);				\
			abort();					\
		}							\
	} while (0)

static inline void fuzz_take(struct fuzz *f, void *to, size_t len)
{
	size_t n = len < f->size ? len : f->size;

	memset(to, 0, len);
	if (n)
		memcpy(to, f->data, n);
	f->data += n;
	f->size -= n;
}

/* Guest memory repeats itself every 64 KiB, and half of that is not there. */
static inline int fuzz_read(void *ctx, u64 gpa, void *dst, u32 len)
{
	const struct fuzz *f = ctx;
	u32 i;

	FUZZ_CHECK(gpa >= f->table.addr && len <= f->table.len &&
		   gpa - f->table.addr <= f->table.len - len);
	if ((gpa | (gpa + len - 1)) & FUZZ_TABLES)
		return -1;
	for (i = 0; i < len; i++)
		((u8 *)dst)[i] = *(const volatile u8 *)
				 &f->tables[(gpa + i) % FUZZ_TABLES];
	return 0;
}

/* Does nobody write to memory meanwhile? Then it says what must be. */
static inline bool fuzz_alone(const struct fuzz *f)
{
	return !f->memory[0];
}

#include "reference.h"

static inline void fuzz_set_state(struct fuzz *f, bool packed,
				  const struct fuzz_head *h)
{
	u32 num = packed ? 1u + h->num % FUZZ_SLOTS : 1u << h->num % 7;
	u32 mod = packed ? num : 65536;

	f->ring = (struct vd_ring){
		.num = num,
		.last_avail = h->last_avail % mod,
		.avail_idx = h->last_avail % mod,
		.last_used = h->last_used % mod,
		.signalled_used = h->signalled % mod,
		.signalled_valid = h->features & FUZZ_SIGNALLED,
		.packed = packed,
		.in_order = h->features & FUZZ_IN_ORDER,
		.avail_wrap = h->features & FUZZ_AVAIL_WRAP,
		.seen_wrap = h->features & FUZZ_AVAIL_WRAP,
		.used_wrap = h->features & FUZZ_USED_WRAP,
		.signalled_wrap = h->signalled >> 15,
		.event_idx = h->features & FUZZ_EVENT_IDX,
		.indirect = h->features & FUZZ_INDIRECT,
		.notify_on_empty = h->features & FUZZ_ON_EMPTY,
		.le = h->features & FUZZ_LE,
		.out_only = h->kind & FUZZ_OUT_ONLY,
	};
	/* Far from zero, so that rewinding stays above it. */
	f->avail = (1ull << 32) * num * 2 + f->ring.last_avail +
		   (packed && !f->ring.avail_wrap ? num : 0);
	f->used = f->ring.last_used +
		  (packed && !f->ring.used_wrap ? num : 0);
}

static inline void fuzz_open(struct fuzz *f, bool packed,
			     const struct fuzz_head *h)
{
	struct vd_plain plain;
	u32 p, size;

	fuzz_set_state(f, packed, h);
	for (p = 0; p < VD_PARTS; p++) {
		size = packed ? vd_packed_part_size(p, f->ring.num) :
				vd_split_part_size(p, f->ring.num,
						   f->ring.event_idx);
		plain.part[p] = f->memory[p] ? f->memory[p] : malloc(size);
		FUZZ_CHECK(plain.part[p]);
		fuzz_take(f, plain.part[p], size);
	}
	fuzz_take(f, f->tables, sizeof(f->tables));
	watch_init(&f->watch, &plain, &f->ring);
	f->nheld = 0;
	f->last = 0;
	f->rewound = 0;
	f->burst.count = 0;
}

static inline void fuzz_close(struct fuzz *f)
{
	u32 p;

	watch_exit(&f->watch);
	for (p = 0; p < VD_PARTS; p++)
		if (!f->memory[p])
			free(f->watch.plain.part[p]);
}

/* Segments of a chain lie in their array, and its sums are theirs. */
static inline void fuzz_check_chain(const struct vd_chain *c,
				    const struct vd_seg *seg)
{
	u32 n = c->nr_out + c->nr_in, i;
	u64 out = 0, in = 0;

	for (i = 0; i < n; i++) {
		FUZZ_CHECK(seg[i].len);
		if (i < c->nr_out)
			out += seg[i].len;
		else
			in += seg[i].len;
	}
	FUZZ_CHECK(out == vd_chain_out_len(c, seg));
	FUZZ_CHECK(in == vd_chain_in_len(c, seg));
}

/* What a burst says of its first chains is so. */
static inline void fuzz_check_singles(const struct vd_burst *b)
{
	u32 i;

	FUZZ_CHECK(b->singles <= b->count);
	for (i = 0; i < b->singles; i++) {
		const struct vd_chain *c = &b->chain[i];

		FUZZ_CHECK(c->first == i && c->slots == 1 && !c->indirect);
		FUZZ_CHECK(c->nr_out + c->nr_in == 1);
		FUZZ_CHECK(c->nr_in == b->chain[0].nr_in);
	}
}

static inline void fuzz_check_state(const struct fuzz *f)
{
	const struct vd_ring *r = &f->ring;

	FUZZ_CHECK(!f->watch.outside);
	if (!r->packed) {
		FUZZ_CHECK(r->last_avail == (u16)f->avail);
		FUZZ_CHECK(r->last_used == (u16)f->used);
		FUZZ_CHECK((u16)(r->avail_idx - r->last_avail) <=
			   min_t(u32, 65535, r->num + f->rewound));
		return;
	}
	FUZZ_CHECK(r->last_avail == f->avail % r->num);
	FUZZ_CHECK(r->avail_wrap == !(f->avail / r->num % 2));
	FUZZ_CHECK(r->last_used == f->used % r->num);
	FUZZ_CHECK(r->used_wrap == !(f->used / r->num % 2));
	FUZZ_CHECK(r->avail_idx < r->num && r->signalled_used < r->num);
}

/* The chain @c, of f->burst, with its table; f->seg has the segments then. */
static inline void fuzz_expand(struct fuzz *f, struct vd_chain *c)
{
	static struct ref_chain want;
	struct vd_table_io io = { fuzz_read, f };
	struct vd_chain before = *c;
	int err;
	u32 i;

	f->table = f->burst.seg[c->first + c->nr_out + c->nr_in];
	if (fuzz_alone(f))
		ref_expand(f, c, &want);
	err = vd_chain_expand(&f->ring, c, &f->burst, f->seg, &io);
	FUZZ_CHECK(err <= 0 && err > -VD_REASONS);
	FUZZ_CHECK(!fuzz_alone(f) || err == -(int)want.reason);
	FUZZ_CHECK(!err || !memcmp(&before, c, sizeof(before)));
	if (err)
		return;
	FUZZ_CHECK(!c->indirect && !c->first);
	FUZZ_CHECK(c->nr_out >= before.nr_out && c->nr_in >= before.nr_in);
	FUZZ_CHECK(c->nr_out + c->nr_in <= (int)VD_CHAIN_SEGS);
	/* The device writes to nothing that such a table names. */
	FUZZ_CHECK(!f->ring.packed || !f->ring.out_only ||
		   c->nr_in == before.nr_in);
	fuzz_check_chain(c, f->seg);
	if (!fuzz_alone(f))
		return;
	FUZZ_CHECK(c->nr_out == want.out && c->nr_in == want.n - want.out);
	for (i = 0; i < want.n; i++)
		FUZZ_CHECK(f->seg[i].addr == want.seg[i].addr &&
			   f->seg[i].len == want.seg[i].len);
}

static inline void fuzz_hold(struct fuzz *f, struct vd_chain *c)
{
	FUZZ_CHECK(c->slots && c->slots <= f->ring.num);
	FUZZ_CHECK(f->ring.packed || c->head < f->ring.num);
	FUZZ_CHECK(0u + c->first + c->nr_out + c->nr_in + c->indirect <=
		   f->burst.nsegs);
	fuzz_check_chain(c, f->burst.seg + c->first);
	if (c->indirect)
		fuzz_expand(f, c);
	/* All that can be popped by one input. */
	FUZZ_CHECK(f->nheld < FUZZ_HELD);
	f->elem[f->nheld] = vd_used_elem(&f->ring, c->head,
					 c->nr_in ? c->nr_in : 0);
	f->slots[f->nheld++] = c->slots;
}

static inline void fuzz_pop(struct fuzz *f, u32 max)
{
	u32 slots = 0, i;
	int ret = f->ring.packed ?
		vd_packed_pop(&f->ring, &vd_watch_ops, &f->watch, &f->burst,
			      max) :
		vd_split_pop(&f->ring, &vd_watch_ops, &f->watch, &f->burst,
			     max);

	FUZZ_CHECK(ret > -VD_BURST_FULL && ret <= (int)max);
	FUZZ_CHECK(ret <= (int)VD_BURST);
	FUZZ_CHECK((u32)(ret > 0 ? ret : 0) == f->burst.count);
	fuzz_check_singles(&f->burst);
	FUZZ_CHECK(f->burst.nsegs <= VD_CHAIN_SEGS);
	FUZZ_CHECK(f->watch.accesses <= VD_CHAIN_SEGS + 3 * VD_BURST);
	for (i = 0; i < f->burst.count; i++) {
		fuzz_hold(f, &f->burst.chain[i]);
		slots += f->burst.chain[i].slots;
	}
	/* A packed burst has no slot twice, and reads none twice. */
	FUZZ_CHECK(!f->ring.packed || slots <= f->ring.num);
	FUZZ_CHECK(!f->ring.packed || !f->watch.twice);
	f->avail += slots;
	f->last += f->burst.count;
}

static inline void fuzz_push(struct fuzz *f, u32 n)
{
	u32 i, slots = 0;
	int ret;

	if (!n || n > f->nheld)
		n = f->nheld;
	if (!n)
		return;
	for (i = 0; i < n; i++)
		slots += f->slots[i];
	ret = f->ring.packed ?
		vd_packed_push(&f->ring, &vd_watch_ops, &f->watch, f->elem,
			       f->slots, n) :
		vd_split_push(&f->ring, &vd_watch_ops, &f->watch, f->elem, n);
	FUZZ_CHECK(!ret || ret == -VD_FAULT);
	if (ret)
		return;
	f->used += slots;
	f->nheld -= n;
	memmove(f->elem, f->elem + n, f->nheld * sizeof(*f->elem));
	memmove(f->slots, f->slots + n, f->nheld * sizeof(*f->slots));
	f->last = 0;
}

static inline void fuzz_rewind(struct fuzz *f, u32 n)
{
	u32 slots = 0;

	n = min(n, min(f->last, f->nheld));
	f->last -= n;
	while (n--)
		slots += f->slots[--f->nheld];
	f->avail -= slots;
	f->rewound += slots;
	if (f->ring.packed)
		vd_packed_rewind(&f->ring, slots);
	else
		vd_split_rewind(&f->ring, slots);
}

/* The driver makes @n more available, whatever is there. */
static inline void fuzz_publish(struct fuzz *f, u32 n)
{
	u8 *avail = f->watch.plain.part[VD_PART_AVAIL] + VD_SPLIT_IDX;
	u8 *desc = f->watch.plain.part[VD_PART_DESC] + VD_PACKED_DESC_FLAGS;
	u16 slot = f->ring.last_avail;

	if (!f->ring.packed) {
		n += vd_ring16(&f->ring, word_load16(avail));
		word_store16(avail, vd_ring16(&f->ring, n));
		return;
	}
	for (; n--; slot = (slot + 1) % f->ring.num)
		word_store16(desc + 16 * slot, word_load16(desc + 16 * slot) ^
			     vd_ring16(&f->ring, VD_PACKED_F_AVAIL |
						 VD_PACKED_F_USED));
}

/* The driver writes where the input says. */
static inline void fuzz_write(struct fuzz *f, u32 arg)
{
	u32 part = arg % VD_PARTS, i;
	u8 what[10];
	u16 at;

	if (arg > 15)
		return fuzz_publish(f, arg - 15);
	fuzz_take(f, what, sizeof(what));
	memcpy(&at, what, 2);
	for (i = 0; i < 8; i++)
		f->watch.plain.part[part][(at + i) % f->watch.size[part]] =
			what[2 + i];
}

static inline int fuzz_moved(struct fuzz *f)
{
	int want = fuzz_alone(f) ? ref_moved(f) : 0;
	int ret = f->ring.packed ?
		vd_packed_moved(&f->ring, &vd_watch_ops, &f->watch) :
		vd_split_moved(&f->ring, &vd_watch_ops, &f->watch);

	FUZZ_CHECK(ret == 0 || ret == 1 || ret == -VD_FAULT);
	FUZZ_CHECK(!fuzz_alone(f) || ret == want);
	return ret;
}

/* What is remembered of the look is what it said, of slots of one round. */
static inline void fuzz_look_on(struct fuzz *f)
{
	int want = fuzz_alone(f) ? ref_look_on(f) : 0, ret;
	u32 most = ref_look_on_most(&f->ring), seen = ref_seen(&f->ring);

	ret = vd_packed_look_on(&f->ring, &vd_watch_ops, &f->watch);
	FUZZ_CHECK(ret == -VD_FAULT || (ret >= 0 && ret <= (int)most));
	FUZZ_CHECK(!fuzz_alone(f) || ret == want);
	FUZZ_CHECK(f->watch.accesses <= most && !f->watch.twice);
	if (ret > 0)
		seen += ret;
	FUZZ_CHECK(ref_seen(&f->ring) == seen % (2 * f->ring.num));
}

static inline void fuzz_look(struct fuzz *f, u32 arg)
{
	if (arg % 4 == FUZZ_MOVED)
		fuzz_moved(f);
	else if (f->ring.packed)
		fuzz_look_on(f);
}

static inline void fuzz_quiet(struct fuzz *f, enum fuzz_call call)
{
	const struct vd_watch *w = &f->watch;
	bool alone = fuzz_alone(f) && f->watch.fail_at == WATCH_NEVER;
	int ret, moved = 0;

	switch (call) {
	case FUZZ_SIGNAL:
		ret = f->ring.packed ?
			vd_packed_need_signal(&f->ring, &vd_watch_ops, w) :
			vd_split_need_signal(&f->ring, &vd_watch_ops, w);
		FUZZ_CHECK(ret == 0 || ret == 1);
		break;
	case FUZZ_NOTIFY:
		if (alone)
			moved = fuzz_moved(f);
		ret = f->ring.packed ?
			vd_packed_notify(&f->ring, &vd_watch_ops, w) :
			vd_split_notify(&f->ring, &vd_watch_ops, w);
		FUZZ_CHECK(ret == 0 || ret == 1 || ret == -VD_FAULT ||
			   ret == -VD_BAD_AVAIL_JUMP);
		/* It looks where a poll has looked before. */
		FUZZ_CHECK(!alone || moved == !!ret);
		break;
	default:
		ret = f->ring.packed ?
			vd_packed_no_notify(&f->ring, &vd_watch_ops, w) :
			vd_split_no_notify(&f->ring, &vd_watch_ops, w);
		FUZZ_CHECK(ret == 0 || ret == -VD_FAULT);
	}
}

static inline void fuzz_call(struct fuzz *f, u8 call)
{
	u32 arg = call >> 3;

	switch (call & 7) {
	case FUZZ_POP:
		fuzz_pop(f, 1 + 2 * arg);
		break;
	case FUZZ_PUSH:
		fuzz_push(f, arg);
		break;
	case FUZZ_REWIND:
		fuzz_rewind(f, arg);
		break;
	case FUZZ_WRITE:
		fuzz_write(f, arg);
		break;
	case FUZZ_FAIL:
		f->watch.fail_at = arg;
		return;
	default:
		if ((call & 7) == FUZZ_NO_NOTIFY && arg % 4)
			fuzz_look(f, arg);
		else
			fuzz_quiet(f, call & 7);
	}
	fuzz_check_state(f);
	watch_reset(&f->watch);
}

/* A whole input. */
static inline void fuzz_run(struct fuzz *f, bool packed, const u8 *data,
			    size_t size)
{
	struct fuzz_head h;
	u8 calls[FUZZ_CALLS];
	u32 i, n;

	f->data = data;
	f->size = size;
	fuzz_take(f, &h, sizeof(h));
	n = min_t(u32, h.ncalls, FUZZ_CALLS);
	fuzz_take(f, calls, n);
	fuzz_open(f, packed, &h);
	for (i = 0; i < n; i++)
		fuzz_call(f, calls[i]);
	fuzz_close(f);
}

#endif /* VD_FUZZ_H */

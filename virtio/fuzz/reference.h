/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the engine must have said, found the slow way from what is in memory and
 * from what the specification says of it: no code of the engine's is used. Of
 * memory that nobody writes meanwhile, see fuzz_alone().
 *
 * Included by fuzz.h.
 */
#ifndef VD_FUZZ_REFERENCE_H
#define VD_FUZZ_REFERENCE_H

#define REF_F_NEXT	1u
#define REF_F_WRITE	2u
#define REF_F_INDIRECT	4u
#define REF_F_AVAIL	0x0080u
#define REF_F_USED	0x8000u
/* Tables of so many entries are read at once. */
#define REF_AT_ONCE	32u

/* @len bytes of a word, of 8 at most, as the ring has it. */
static inline u64 ref_word(const struct vd_ring *r, const void *at, u32 len)
{
	bool big = !r->le && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
	const u8 *bytes = at;
	u64 v = 0;
	u32 i;

	for (i = 0; i < len; i++)
		v |= (u64)bytes[i] << 8 * (big ? len - 1 - i : i);
	return v;
}

/* Places count on from slot 0 of the round whose wrap counter is 1. */
static inline u32 ref_place(const struct vd_ring *r, u32 slot, bool wrap)
{
	return wrap ? slot : slot + r->num;
}

static inline u32 ref_seen(const struct vd_ring *r)
{
	return ref_place(r, r->avail_idx, r->seen_wrap);
}

/* From the next slot to be popped to the first that wasn't available. */
static inline u32 ref_gap(const struct vd_ring *r)
{
	u32 both = 2 * r->num;

	return (ref_seen(r) + both -
		ref_place(r, r->last_avail, r->avail_wrap)) % both;
}

/* Section 2.8.1. */
static inline bool ref_available(const struct fuzz *f, u32 place)
{
	const struct vd_ring *r = &f->ring;
	const u8 *desc = f->watch.plain.part[VD_PART_DESC];
	u32 flags = ref_word(r, desc + 16 * (place % r->num) + 14, 2);
	bool wrap = place / r->num % 2 == 0;

	return !!(flags & REF_F_AVAIL) == wrap && !!(flags & REF_F_USED) != wrap;
}

/* The answer of vd_split_moved() or vd_packed_moved(). */
static inline int ref_moved(const struct fuzz *f)
{
	const struct vd_ring *r = &f->ring;

	if (!f->watch.fail_at)
		return -VD_FAULT;
	if (r->packed)
		return ref_available(f, ref_seen(r));
	return ref_word(r, f->watch.plain.part[VD_PART_AVAIL] + 2, 2) !=
	       r->avail_idx;
}

/* How many slots vd_packed_look_on() may look at. */
static inline u32 ref_look_on_most(const struct vd_ring *r)
{
	u32 gap = ref_gap(r);

	return gap < r->num ? min_t(u32, r->num - gap, VD_BURST) : 0;
}

/* Its answer. */
static inline int ref_look_on(const struct fuzz *f)
{
	u32 most = ref_look_on_most(&f->ring), n;

	for (n = 0; n < most && n != f->watch.fail_at; n++)
		if (!ref_available(f, (ref_seen(&f->ring) + n) %
				      (2 * f->ring.num)))
			return (int)n;
	return !n && n < most ? -VD_FAULT : (int)n;
}

/* A chain with its table, or why there is none. */
struct ref_chain {
	enum vd_reason reason;
	u32 n;
	u32 out;
	struct vd_seg seg[VD_CHAIN_SEGS];
};

/* One entry of a table; false if the chain can't go on behind it. */
static inline bool ref_take(const struct vd_ring *r, struct ref_chain *x,
			    const u8 *entry, u32 flags)
{
	/* Who only reads takes what it is told to write for readable. */
	bool write = flags & REF_F_WRITE && !(r->packed && r->out_only);
	u32 len = ref_word(r, entry + 8, 4);

	if (!r->packed && flags & REF_F_INDIRECT)
		x->reason = VD_BAD_INDIRECT_NEST;
	else if (!write && x->n > x->out)
		x->reason = VD_BAD_ORDER;
	else if (len && x->n == VD_CHAIN_SEGS)
		x->reason = VD_BAD_LONG;
	if (x->reason)
		return false;
	if (len) {
		x->seg[x->n++] = (struct vd_seg){ ref_word(r, entry, 8), len };
		x->out += !write;
	}
	return true;
}

/* Why entry @i of @count isn't looked at, the @looked-th that is; or 0. */
static inline enum vd_reason ref_entry_bad(u32 i, u32 count, u32 looked)
{
	if (i >= count)
		return VD_BAD_NEXT;
	if (looked == count)
		return VD_BAD_LOOP;
	return looked == VD_CHAIN_SEGS ? VD_BAD_LONG : VD_OK;
}

/* What vd_chain_expand() must make of @c. Sections 2.7.5.3, 2.8.7. */
static inline void ref_expand(struct fuzz *f, const struct vd_chain *c,
			      struct ref_chain *x)
{
	const struct vd_ring *r = &f->ring;
	u32 count = f->table.len / 16, i = 0, looked, flags;
	u64 from = f->table.addr;
	u8 entry[16], all[16 * REF_AT_ONCE];

	x->reason = VD_OK;
	x->out = c->nr_out;
	x->n = c->nr_out + c->nr_in;
	memcpy(x->seg, f->burst.seg + c->first, x->n * sizeof(x->seg[0]));
	if (from + (f->table.len - 1) < from ||
	    (count <= REF_AT_ONCE && fuzz_read(f, from, all, f->table.len))) {
		x->reason = VD_BAD_INDIRECT_READ;
		return;
	}
	for (looked = 0;; looked++) {
		x->reason = ref_entry_bad(i, count, looked);
		if (!x->reason && fuzz_read(f, from + 16 * (u64)i, entry, 16))
			x->reason = VD_BAD_INDIRECT_READ;
		if (x->reason)
			return;
		flags = ref_word(r, entry + (r->packed ? 14 : 12), 2);
		if (!ref_take(r, x, entry, flags))
			return;
		if (r->packed ? ++i == count : !(flags & REF_F_NEXT))
			return;
		if (!r->packed)
			i = ref_word(r, entry + 14, 2);
	}
}

#endif /* VD_FUZZ_REFERENCE_H */

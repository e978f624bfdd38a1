/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors: decoding one, adding it to a chain, and reading an indirect
 * table. Shared by all ring formats. Specification: virtio 1.3, section 2.7.5.
 */
#ifndef VD_RING_DESC_H
#define VD_RING_DESC_H

#include "ring.h"

#define VD_DESC_SIZE		16u
#define VD_DESC_F_NEXT		1u
#define VD_DESC_F_WRITE		2u
#define VD_DESC_F_INDIRECT	4u

/* A descriptor in host byte order, private to the device. */
struct vd_desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

static_assert(sizeof(struct vd_desc) == VD_DESC_SIZE);

/*
 * A descriptor has the layout of struct vd_desc. The union, and not a cast of
 * @raw, as user space compiles this with strict aliasing.
 */
static __always_inline struct vd_desc
vd_desc_decode(const struct vd_ring *r, const u64 raw[2])
{
	union {
		u64 raw[2];
		struct vd_desc d;
	} u = { .raw = { raw[0], raw[1] } };

	u.d.addr = vd_ring64(r, u.d.addr);
	u.d.len = vd_ring32(r, u.d.len);
	u.d.flags = vd_ring16(r, u.d.flags);
	u.d.next = vd_ring16(r, u.d.next);
	return u.d;
}

/*
 * The same for a packed ring, where the buffer id stands before the flags: it
 * lands in @next. Section 2.8.13.
 */
static __always_inline struct vd_desc
vd_desc_decode_packed(const struct vd_ring *r, const u64 raw[2])
{
	struct vd_desc d = vd_desc_decode(r, raw);

	return (struct vd_desc){
		.addr = d.addr, .len = d.len, .flags = d.next, .next = d.flags,
	};
}

/*
 * Appends one direct descriptor to @c. @seg is the array in which the chain's
 * segments live, @room the number of segments that still fit from c->first.
 */
static __always_inline int
vd_chain_add(struct vd_chain *c, struct vd_seg *seg, u32 room,
	     const struct vd_desc *d)
{
	u32 at = c->nr_out + c->nr_in;

	if (!(d->flags & VD_DESC_F_WRITE) && unlikely(c->nr_in))
		return -VD_BAD_ORDER;
	if (unlikely(!d->len))
		return 0;
	if (unlikely(at >= room))
		return -VD_BURST_FULL;
	seg[at].addr = d->addr;
	seg[at].len = d->len;
	if (d->flags & VD_DESC_F_WRITE)
		c->nr_in++;
	else
		c->nr_out++;
	return 0;
}

/*
 * Is @d a whole chain, with one segment? Nearly all are: they are stored by
 * vd_chain_single() without what vd_chain_add() does for the others.
 */
static __always_inline bool vd_desc_is_single(const struct vd_desc *d)
{
	return !(d->flags & (VD_DESC_F_NEXT | VD_DESC_F_INDIRECT)) && d->len;
}

/*
 * The words of a chain: a store for each field would be most of what a
 * descriptor costs.
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VD_CHAIN_WORD(head, first, slots, nr_out)			\
	((u64)(head) | (u64)(first) << 16 | (u64)(slots) << 32 |	\
	 (u64)(nr_out) << 48)
#define VD_CHAIN_WORD2(nr_in)		((u64)(nr_in))
#else
#define VD_CHAIN_WORD(head, first, slots, nr_out)			\
	((u64)(head) << 48 | (u64)(first) << 32 | (u64)(slots) << 16 |	\
	 (u64)(nr_out))
#define VD_CHAIN_WORD2(nr_in)		((u64)(nr_in) << 48)
#endif

static_assert(offsetof(struct vd_chain, nr_in) == sizeof(u64));

/* @word is what VD_CHAIN_WORD() makes, @in whether the device writes. */
static __always_inline void
vd_chain_single(struct vd_chain *c, struct vd_seg *seg, u64 word, u16 in,
		const struct vd_desc *d)
{
	const u64 words[2] = { word, VD_CHAIN_WORD2(in) };

	memcpy(c, words, sizeof(words));
	seg->addr = d->addr;
	seg->len = d->len;
}

/* An indirect table is legal to look at. Section 2.7.5.3. */
static __always_inline int
vd_indirect_check(const struct vd_ring *r, const struct vd_desc *d)
{
	if (!r->indirect)
		return -VD_BAD_INDIRECT_OFF;
	if (d->flags & VD_DESC_F_NEXT)
		return -VD_BAD_INDIRECT_NEXT;
	if (!d->len || d->len % VD_DESC_SIZE ||
	    d->len / VD_DESC_SIZE > 1u << 16)
		return -VD_BAD_INDIRECT_LEN;
	return 0;
}

/**
 * struct vd_table_io - how to read an indirect table
 * @read: copy @len bytes at guest address @gpa to @dst; 0 or non-zero
 * @ctx: passed to @read
 */
struct vd_table_io {
	int (*read)(void *ctx, u64 gpa, void *dst, u32 len);
	void *ctx;
};

/*
 * Fetches entry @i of a table at @gpa. A table of up to VD_TABLE_RUN entries
 * was fetched whole into @run, of which @count are valid; a longer one is read
 * entry by entry. Either way a visit sees one snapshot of the entry.
 */
static inline int vd_table_entry(const struct vd_table_io *io, u64 gpa,
				 u32 count, u32 i, u64 (*run)[2], u64 raw[2])
{
	if (count <= VD_TABLE_RUN) {
		i = array_index_nospec(i, count);
		raw[0] = run[i][0];
		raw[1] = run[i][1];
		return 0;
	}
	return io->read(io->ctx, gpa + (u64)i * VD_DESC_SIZE, raw,
			VD_DESC_SIZE);
}

/**
 * vd_chain_expand - read a chain's indirect table
 * @r: the ring
 * @c: a chain with @indirect set; on success complete, @first is 0 and
 *     @indirect is clear
 * @b: the burst that @c was popped in
 * @to: receives the segments of the chain, VD_CHAIN_SEGS of them
 * @io: reads guest memory; may sleep if it likes
 *
 * The entries of a split ring's table are linked by their next, those of a
 * packed ring's follow each other to the end of the table, whatever their flags
 * say, but WRITE (2.8.7). Where the device writes to no buffer (@r->out_only)
 * WRITE says nothing either: DPDK's driver, up to 22.11 at least, sets it on
 * the header of a frame to be sent. The entry is read then, as it would be if
 * the driver had obeyed 2.8.6; no memory is written that wasn't meant to be.
 * WRITE on a descriptor of the ring itself counts, as no driver errs there.
 *
 * Return: 0, or minus one of enum vd_reason; @c is then unchanged.
 * Context: that of @io. Sections 2.7.5.3, 2.8.7.
 */
static inline int vd_chain_expand(const struct vd_ring *r, struct vd_chain *c,
				  struct vd_burst *b, struct vd_seg *to,
				  const struct vd_table_io *io)
{
	const struct vd_seg *from = b->seg + c->first;
	u32 i, n = c->nr_out + c->nr_in, seen = 0, count;
	struct vd_chain x = *c;
	struct vd_seg table;
	struct vd_desc d;
	u64 raw[2];
	int err;

	for (i = 0; i < n; i++)
		to[i] = from[i];
	table = from[n];
	count = table.len / VD_DESC_SIZE;
	/* Entry by entry, a table that wraps at 2^64 would seem readable. */
	if (unlikely(table.addr + (table.len - 1) < table.addr))
		return -VD_BAD_INDIRECT_READ;
	if (count <= VD_TABLE_RUN &&
	    io->read(io->ctx, table.addr, b->table, table.len))
		return -VD_BAD_INDIRECT_READ;
	i = 0;
	do {
		if (unlikely(i >= count))
			return -VD_BAD_NEXT;
		if (unlikely(seen == count))
			return -VD_BAD_LOOP;
		/* Zero-length entries leave no segment but cost a look too. */
		if (unlikely(seen++ == VD_CHAIN_SEGS))
			return -VD_BAD_LONG;
		if (vd_table_entry(io, table.addr, count, i, b->table, raw))
			return -VD_BAD_INDIRECT_READ;
		d = r->packed ? vd_desc_decode_packed(r, raw) :
				vd_desc_decode(r, raw);
		if (r->packed && r->out_only)
			d.flags &= ~VD_DESC_F_WRITE;
		/* A packed ring's may have any flag; all but WRITE are void. */
		if (unlikely(d.flags & VD_DESC_F_INDIRECT) && !r->packed)
			return -VD_BAD_INDIRECT_NEST;
		err = vd_chain_add(&x, to, VD_CHAIN_SEGS, &d);
		if (unlikely(err))
			return err == -VD_BURST_FULL ? -VD_BAD_LONG : err;
		i = r->packed ? i + 1 : d.next;
	} while (r->packed ? i < count : d.flags & VD_DESC_F_NEXT);
	x.first = 0;
	x.indirect = 0;
	*c = x;
	return 0;
}

#endif /* VD_RING_DESC_H */

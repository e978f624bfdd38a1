/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packed ring, device side. Specification: virtio 1.3, section 2.8.
 *
 * Layout of the parts, in bytes:
 *   desc:  num descriptors of addr 0 (8), len 8 (4), id 12 (2), flags 14 (2)
 *   avail: the driver's event suppression: off_wrap 0, flags 2
 *   used:  the device's event suppression: the same
 *
 * The flags of each slot are polled first, as a split ring's index is; then,
 * behind one barrier for all of them, each descriptor is read once and whole.
 * What the poll saw but its two bits is never used: only behind the barrier are
 * length and id sure to be those that go with the flags, as a driver may write
 * all but the first flags of a batch in any order (2.8.21.1).
 *
 * A used descriptor's second half is stored as one aligned 64-bit word, so that
 * length, id and flags appear at once. The descriptor area must be aligned to
 * 16 bytes (2.8.10.1).
 */
#ifndef VD_RING_PACKED_H
#define VD_RING_PACKED_H

#include "ring_desc.h"
#include "ring_place.h"

#define VD_PACKED_F_AVAIL	(1u << 7)
#define VD_PACKED_F_USED	(1u << 15)
#define VD_PACKED_DESC_FLAGS	14u	/* where they are in a descriptor */
#define VD_PACKED_EVENTS	4u	/* bytes of an event suppression area */

/**
 * vd_packed_part_size - bytes of one part of a packed ring
 * @part: which part
 * @num: ring size in descriptors, any from 1 to 32768
 */
static inline u32 vd_packed_part_size(enum vd_part part, u32 num)
{
	return part == VD_PART_DESC ? VD_DESC_SIZE * num : VD_PACKED_EVENTS;
}

/*
 * Is a slot available in the round that @p is in? 1, 0 or -VD_FAULT. Section
 * 2.8.1.
 */
static __always_inline int
vd_packed_poll(const struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, struct vd_place p)
{
	u16 raw, flags;

	if (unlikely(ops->read16(mem, VD_PART_DESC, p.slot * VD_DESC_SIZE +
				 VD_PACKED_DESC_FLAGS, &raw)))
		return -VD_FAULT;
	flags = vd_ring16(r, raw);
	return !!(flags & VD_PACKED_F_AVAIL) == p.wrap &&
	       !!(flags & VD_PACKED_F_USED) != p.wrap;
}

/*
 * Counts the slots from @p on that are available, up to @max, which are not
 * behind the end of the ring, and remembers the first that isn't. Returns how
 * many, or -VD_FAULT.
 */
static __always_inline int
vd_packed_look_run(struct vd_ring *r, const struct vd_mem_ops *ops,
		   const void *mem, struct vd_place p, u32 max)
{
	const u16 mask = vd_ring16(r, VD_PACKED_F_AVAIL | VD_PACKED_F_USED);
	const u16 want = vd_ring16(r, p.wrap ? VD_PACKED_F_AVAIL :
					       VD_PACKED_F_USED);
	size_t off = p.slot * VD_DESC_SIZE + VD_PACKED_DESC_FLAGS;
	u32 n;
	int err = 0;
	u16 raw;

	for (n = 0; n < max; n++, off += VD_DESC_SIZE) {
		err = ops->read16(mem, VD_PART_DESC, off, &raw);
		if (unlikely(err) || (raw & mask) != want)
			break;
	}
	if (unlikely(err) && !n)
		return -VD_FAULT;
	/* After a rewind, those behind @max may have been seen before. */
	if (n < max || vd_place_gap(r, p, vd_packed_seen(r)) < n)
		vd_packed_set_seen(r, vd_place_add(r, p, n));
	return (int)n;
}

/* The same, and from the ring's start on behind its end. */
static __always_inline int
vd_packed_look(struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, struct vd_place p, u32 max)
{
	u32 run = min(max, r->num - p.slot);
	int n = vd_packed_look_run(r, ops, mem, p, run), more;

	if (likely(n < (int)run || run == max))
		return n;
	more = vd_packed_look_run(r, ops, mem, vd_place_add(r, p, run),
				  max - run);
	return more > 0 ? n + more : n;
}

/*
 * Walks one chain, of at most @most slots, from its head @d in @slot on: all of
 * it is there once its head is available. Its buffer id is that of its last
 * descriptor. @left counts the descriptors that may still be looked at in this
 * burst: even empty ones must not make it long, as the notifier may be waiting
 * for its end. As each leaves one segment at most, the burst has room for
 * whatever @left allows. Sections 2.8.5, 2.8.6, 2.8.7.
 */
static __always_inline int
vd_packed_chain(struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_chain *c, struct vd_seg *seg,
		struct vd_desc d, u32 slot, u32 most, u32 *left)
{
	u32 room = VD_CHAIN_SEGS - c->first;
	u64 raw[2];
	int err;

	for (;;) {
		c->head = d.next;
		c->slots++;
		if (unlikely(d.flags & VD_DESC_F_INDIRECT)) {
			err = vd_indirect_check(r, &d);
			/* Nor behind direct ones: section 2.8.19. */
			if (!err && c->slots > 1)
				err = -VD_BAD_INDIRECT_NEXT;
			if (err)
				return err;
			c->indirect = 1;
			seg->addr = d.addr;
			seg->len = d.len;
			return 0;
		}
		err = vd_chain_add(c, seg, room, &d);
		if (unlikely(err))
			return err;
		if (!(d.flags & VD_DESC_F_NEXT))
			return 0;
		if (unlikely(c->slots == most))
			return -VD_BAD_LOOP;
		if (unlikely(!*left))
			return -VD_BURST_FULL;
		--*left;
		if (++slot == r->num)
			slot = 0;
		if (unlikely(ops->read_desc(mem, slot * VD_DESC_SIZE, raw)))
			return -VD_FAULT;
		d = vd_desc_decode_packed(r, raw);
	}
}

/* From where the next chain of one descriptor is read, and where it goes. */
struct vd_packed_run {
	size_t off;
	struct vd_chain *c;
	struct vd_seg *seg;
	u64 word;	/* what all its chains have in common */
	u16 write;	/* the flag WRITE, as they have it */
};

/* Stores the @i-th from here, @d, if it is a whole chain and like the others. */
static __always_inline bool
vd_packed_take(const struct vd_packed_run *run, u32 i, const struct vd_desc *d)
{
	const u16 mask = VD_DESC_F_NEXT | VD_DESC_F_INDIRECT | VD_DESC_F_WRITE;

	if (unlikely((d->flags & mask) != run->write || !d->len))
		return false;
	vd_chain_single(run->c + i, run->seg + i,
			run->word + VD_CHAIN_WORD(d->next, i, 0, 0),
			run->write / VD_DESC_F_WRITE, d);
	return true;
}

static __always_inline bool
vd_packed_single(const struct vd_ring *r, const struct vd_mem_ops *ops,
		 const void *mem, const struct vd_packed_run *run, u32 i,
		 u64 raw[2], int *err)
{
	struct vd_desc d;

	*err = ops->read_desc(mem, run->off + i * VD_DESC_SIZE, raw);
	if (unlikely(*err))
		return false;
	d = vd_desc_decode_packed(r, raw);
	return vd_packed_take(run, i, &d);
}

static __always_inline void
vd_packed_run_on(struct vd_packed_run *run, u32 n)
{
	run->off += n * VD_DESC_SIZE;
	run->c += n;
	run->seg += n;
	run->word += VD_CHAIN_WORD(0, n, 0, 0);
}

/*
 * Takes chains of one descriptor each from @slot on into the burst, at least 1
 * and up to @n, none of them behind the end of the ring, all of the first's
 * direction: then they differ in little. By fours, as counting costs as much as
 * taking. Returns how many; if fewer, the next descriptor is in @raw, or @err
 * is set.
 */
static __always_inline u32
vd_packed_singles(const struct vd_ring *r, const struct vd_mem_ops *ops,
		  const void *mem, struct vd_burst *b, u32 slot, u32 n,
		  u64 raw[2], int *err)
{
	struct vd_packed_run run = {
		.off = slot * VD_DESC_SIZE, .c = &b->chain[b->count],
		.seg = &b->seg[b->nsegs],
	};
	struct vd_desc d;
	u32 i = 0;

	*err = ops->read_desc(mem, run.off, raw);
	if (unlikely(*err))
		return 0;
	d = vd_desc_decode_packed(r, raw);
	run.write = d.flags & VD_DESC_F_WRITE;
	run.word = VD_CHAIN_WORD(0, b->nsegs, 1, !run.write);
	if (unlikely(!vd_packed_take(&run, 0, &d)))
		return 0;
#define VD_SINGLE(k) \
	likely(vd_packed_single(r, ops, mem, &run, k, raw, err))
	for (i = 1, vd_packed_run_on(&run, 1); n - i >= 4; i += 4) {
		if (!VD_SINGLE(0))
			goto out;
		if (!VD_SINGLE(1)) {
			i += 1;
			goto out;
		}
		if (!VD_SINGLE(2)) {
			i += 2;
			goto out;
		}
		if (!VD_SINGLE(3)) {
			i += 3;
			goto out;
		}
		vd_packed_run_on(&run, 4);
	}
	for (; i < n && VD_SINGLE(0); i++)
		vd_packed_run_on(&run, 1);
out:
#undef VD_SINGLE
	b->count += i;
	b->nsegs += i;
	return i;
}

/**
 * struct vd_packed_walk - how far a pop has come
 * @at: slots of the chains that are in the burst
 * @end: the same, once all that were seen available are
 * @left: descriptors that the burst may still look at
 * @more: there may be more available than were seen
 * @read: the next descriptor is in @raw
 * @raw: a descriptor
 */
struct vd_packed_walk {
	u32 at;
	u32 end;
	u32 left;
	bool more;
	bool read;
	u64 raw[2];
};

/*
 * Walks chains into the burst until those of @w->end slots are in it. Returns 0
 * or what ended it.
 */
static __always_inline int
vd_packed_chains(struct vd_ring *r, const struct vd_mem_ops *ops,
		 const void *mem, struct vd_burst *b, struct vd_packed_walk *w)
{
	u32 slot, run, n;
	struct vd_chain *c;
	int err;

	while (w->at < w->end) {
		slot = vd_place_add(r, vd_packed_avail(r), w->at).slot;
		if (!w->read) {
			if (unlikely(!w->left))
				return -VD_BURST_FULL;
			run = min(min(w->end - w->at, r->num - slot), w->left);
			err = 0;
			n = vd_packed_singles(r, ops, mem, b, slot, run, w->raw,
					      &err);
			w->at += n;
			w->left -= n;
			if (unlikely(err))
				return -VD_FAULT;
			w->read = n < run;
			continue;
		}
		w->read = false;
		w->left--;
		c = &b->chain[b->count];
		*c = (struct vd_chain){ .first = (u16)b->nsegs };
		err = vd_packed_chain(r, ops, mem, c, &b->seg[b->nsegs],
				      vd_desc_decode_packed(r, w->raw), slot,
				      r->num - w->at, &w->left);
		if (unlikely(err))
			return err;
		b->nsegs += c->nr_out + c->nr_in + c->indirect;
		b->count++;
		w->at += c->slots;
	}
	return 0;
}

/**
 * vd_packed_pop_rest - what vd_packed_pop_first() has left over
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @b: the burst that it has begun
 * @max: as it was told
 * @w: where it has stopped
 *
 * Return, context: as vd_packed_pop().
 */
static __always_inline int
vd_packed_pop_rest(struct vd_ring *r, const struct vd_mem_ops *ops,
		   const void *mem, struct vd_burst *b, u32 max,
		   struct vd_packed_walk *w)
{
	struct vd_place start = vd_packed_avail(r), p;
	u32 wanted;
	int err;

	max = min_t(u32, max, VD_BURST);
	for (;;) {
		err = vd_packed_chains(r, ops, mem, b, w);
		/* Chains of several slots: that many slots were too few. */
		if (err || !w->more || b->count == max || w->at >= r->num)
			break;
		p = vd_place_add(r, start, w->at);
		wanted = min(max - b->count, r->num - w->at);
		err = vd_packed_look(r, ops, mem, p, wanted);
		if (err <= 0)
			break;
		/* As in vd_packed_pop_first(). */
		smp_rmb();
		w->more = (u32)err == wanted;
		w->end = w->at + (u32)err;
	}
	if (unlikely(!b->count))
		return err == -VD_BURST_FULL ? -VD_BAD_LONG : err;
	p = vd_place_add(r, start, w->at);
	vd_packed_set_avail(r, p);
	/* The last chain may have gone on beyond what was looked at. */
	if (unlikely(vd_place_gap(r, start, vd_packed_seen(r)) < w->at))
		vd_packed_set_seen(r, p);
	return (int)b->count;
}

/* Not a count and not a reason: go on with vd_packed_pop_rest(). */
#define VD_PACKED_REST	(-VD_REASONS)

/**
 * vd_packed_pop_first - take available chains of one descriptor each
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @b: receives the chains
 * @max: most chains wanted, up to VD_BURST
 * @w: receives where it has stopped
 *
 * Nearly all chains are of this kind. The loops are bare of what the others
 * need, for which there would not be registers enough.
 *
 * Return: as vd_packed_pop(), or VD_PACKED_REST if there is more to do.
 */
static __always_inline int
vd_packed_pop_first(struct vd_ring *r, const struct vd_mem_ops *ops,
		    const void *mem, struct vd_burst *b, u32 max,
		    struct vd_packed_walk *w)
{
	struct vd_place p = vd_packed_avail(r);
	u64 raw[2] = { 0, 0 };
	int known, err = 0;
	u32 wanted, run, n;

	b->count = 0;
	b->nsegs = 0;
	b->singles = 0;
	max = min_t(u32, max, VD_BURST);
	wanted = min(max, r->num);
	known = vd_packed_look(r, ops, mem, p, wanted);
	if (unlikely(known <= 0))
		return known;
	/*
	 * Descriptors after their flags. Pairs with the driver's write barrier
	 * before it sets those of the first (2.8.21.1).
	 */
	smp_rmb();
	run = min((u32)known, r->num - p.slot);
	n = vd_packed_singles(r, ops, mem, b, p.slot, run, raw, &err);
	b->singles = n;
	if (unlikely(n < (u32)known && !err)) {
		*w = (struct vd_packed_walk){
			.at = n, .end = (u32)known, .left = VD_CHAIN_SEGS - n,
			.more = (u32)known == wanted, .read = n < run,
			.raw = { raw[0], raw[1] },
		};
		return VD_PACKED_REST;
	}
	vd_packed_set_avail(r, vd_place_add(r, p, n));
	return n ? (int)n : -VD_FAULT;
}

/**
 * vd_packed_pop - take available chains
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @b: receives the chains
 * @max: most chains wanted, up to VD_BURST
 *
 * Who is in a hurry calls the two parts of it, the second out of line.
 *
 * Return, context: as vd_split_pop(). Sections 2.8.6, 2.8.14, 2.8.21.
 */
static __always_inline int
vd_packed_pop(struct vd_ring *r, const struct vd_mem_ops *ops,
	      const void *mem, struct vd_burst *b, u32 max)
{
	struct vd_packed_walk w = { 0 };
	int n = vd_packed_pop_first(r, ops, mem, b, max, &w);

	return n == VD_PACKED_REST ?
	       vd_packed_pop_rest(r, ops, mem, b, max, &w) : n;
}

/**
 * vd_packed_rewind - give back the last slots popped
 * @r: the ring
 * @slots: sum over the chains given back; they will be popped again
 */
static inline void vd_packed_rewind(struct vd_ring *r, u32 slots)
{
	vd_packed_set_avail(r, vd_place_sub(r, vd_packed_avail(r), slots));
}

/*
 * A used descriptor's second half, which is stored at once: fields in the
 * ring's byte order, one beside the other as they are in memory. Sections
 * 2.8.3, 2.8.4.
 */
static __always_inline u64
vd_packed_word(const struct vd_ring *r, const struct vd_used *e, u16 flags)
{
	u16 id = vd_ring16(r, (u16)vd_ring32(r, (__force u32)e->id));
	u32 len = (__force u32)e->len;

	flags = vd_ring16(r, flags);
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		return len | (u64)id << 32 | (u64)flags << 48;
	return (u64)len << 32 | (u32)id << 16 | flags;
}

static __always_inline u16 vd_packed_used_flags(bool wrap, bool written)
{
	return (wrap ? VD_PACKED_F_AVAIL | VD_PACKED_F_USED : 0) |
	       (written ? VD_DESC_F_WRITE : 0);
}

static __always_inline int
vd_packed_store(const struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_place p, const struct vd_used *e)
{
	u16 flags = vd_packed_used_flags(p.wrap, e->len);

	return ops->write64(mem, VD_PART_DESC, p.slot * VD_DESC_SIZE + 8,
			    vd_packed_word(r, e, flags));
}

/*
 * Stores used descriptors from the second on, as long as they are of one slot
 * each and none stands for others: nearly all are. Returns how many of the @n
 * are done with, the first among them; @err is set for a fault.
 */
static __always_inline u32
vd_packed_push_singles(const struct vd_ring *r, const struct vd_mem_ops *ops,
		       const void *mem, struct vd_place p,
		       const struct vd_used *elem, const u16 *slots, u32 n,
		       int *err)
{
	const u16 written = vd_packed_used_flags(p.wrap, true);
	const u16 unwritten = vd_packed_used_flags(p.wrap, false);
	const bool in_order = r->in_order;
	size_t off = p.slot * VD_DESC_SIZE + 8;
	u32 i;
	u64 word;

	n = min(n, r->num - p.slot);
	if (unlikely(!n || slots[0] != 1 || (in_order && !elem[0].len)))
		return 0;
	for (i = 1; i < n; i++) {
		if (unlikely(slots[i] != 1))
			break;
		word = vd_packed_word(r, &elem[i], written);
		if (!elem[i].len) {
			if (in_order)
				break;
			word = vd_packed_word(r, &elem[i], unwritten);
		}
		off += VD_DESC_SIZE;
		*err = ops->write64(mem, VD_PART_DESC, off, word);
		if (unlikely(*err))
			break;
	}
	return i;
}

/*
 * Stores all used descriptors but the first, from @p on, which ends behind the
 * last. @head is the element for the first. Returns 0 or -VD_FAULT.
 */
static __always_inline int
vd_packed_push_rest(const struct vd_ring *r, const struct vd_mem_ops *ops,
		    const void *mem, struct vd_place *p,
		    const struct vd_used *elem, const u16 *slots, u32 n,
		    u32 *head)
{
	struct vd_place from, at;
	int err = 0;
	bool first;
	u32 i;

	i = vd_packed_push_singles(r, ops, mem, *p, elem, slots, n, &err);
	if (unlikely(err))
		return -VD_FAULT;
	at = vd_place_add(r, *p, i);
	from = at;
	first = !i;
	*head = 0;
	for (; unlikely(i < n); i++) {
		at = vd_place_add(r, at, slots[i]);
		/* A run is stored where it begins, with its last buffer's id. */
		if (vd_in_order_skip(r, elem, i, n))
			continue;
		if (unlikely(first))
			*head = i;
		else if (unlikely(vd_packed_store(r, ops, mem, from, &elem[i])))
			return -VD_FAULT;
		first = false;
		from = at;
	}
	*p = at;
	return 0;
}

/**
 * vd_packed_push - give chains back to the driver
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @elem: buffer ids and lengths, in the ring's byte order
 * @slots: slots of each chain
 * @n: how many, at least one
 *
 * All used descriptors are written but the first, then that one: the driver
 * sees none before it sees them all.
 *
 * Return: 0 or -VD_FAULT, and the same push may be tried again.
 * Sections 2.8.8, 2.8.22.
 */
static __always_inline int
vd_packed_push(struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, const struct vd_used *elem, const u16 *slots,
	       u32 n)
{
	struct vd_place signalled = { r->signalled_used, r->signalled_wrap };
	struct vd_place first = vd_packed_used(r), p = first;
	u32 head;

	if (unlikely(vd_packed_push_rest(r, ops, mem, &p, elem, slots, n,
					 &head)))
		return -VD_FAULT;
	/*
	 * The others before the first. Pairs with the driver's read barrier
	 * after it has seen the first used (2.8.22).
	 */
	smp_wmb();
	if (unlikely(vd_packed_store(r, ops, mem, first, &elem[head])))
		return -VD_FAULT;
	vd_packed_set_used(r, p);
	/* Two rounds without a signal: the stored place means nothing. */
	if (unlikely(vd_place_gap(r, signalled, p) <
		     vd_place_gap(r, first, p)))
		r->signalled_valid = false;
	return 0;
}

#endif /* VD_RING_PACKED_H */

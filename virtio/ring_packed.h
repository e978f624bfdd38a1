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
#define VD_PACKED_OFF_WRAP	0u
#define VD_PACKED_FLAGS		2u
#define VD_PACKED_EVENTS	4u	/* bytes of an event suppression area */

enum { VD_EVENT_ENABLE, VD_EVENT_DISABLE, VD_EVENT_DESC };

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

/*
 * Takes chains of one descriptor each from @slot on into the burst, at least 1
 * and up to @n, none of them behind the end of the ring, all of the first's
 * direction: then they differ in little. Returns how many; if fewer, the next
 * descriptor is in @raw, or @err is set.
 */
static __always_inline u32
vd_packed_singles(const struct vd_ring *r, const struct vd_mem_ops *ops,
		  const void *mem, struct vd_burst *b, u32 slot, u32 n,
		  u64 raw[2], int *err)
{
	const u16 mask = VD_DESC_F_NEXT | VD_DESC_F_INDIRECT | VD_DESC_F_WRITE;
	struct vd_chain *c = &b->chain[b->count];
	struct vd_seg *seg = &b->seg[b->nsegs];
	size_t off = slot * VD_DESC_SIZE;
	struct vd_desc d;
	u16 want, in;
	u32 i = 0;
	u64 word;

	*err = ops->read_desc(mem, off, raw);
	if (unlikely(*err))
		return 0;
	d = vd_desc_decode_packed(r, raw);
	want = d.flags & VD_DESC_F_WRITE;
	in = want / VD_DESC_F_WRITE;
	word = VD_CHAIN_WORD(0, b->nsegs, 1, !in);
	while (likely((d.flags & mask) == want && d.len)) {
		vd_chain_single(c++, seg++,
				word | VD_CHAIN_WORD(d.next, 0, 0, 0), in, &d);
		word += VD_CHAIN_WORD(0, 1, 0, 0);
		if (++i == n)
			break;
		off += VD_DESC_SIZE;
		*err = ops->read_desc(mem, off, raw);
		if (unlikely(*err))
			break;
		d = vd_desc_decode_packed(r, raw);
	}
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

/**
 * vd_packed_need_signal - must the driver be interrupted for what was pushed?
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * Return: 1 yes, 0 no; a word that can't be read counts as yes. Section 2.8.10.
 */
static __always_inline int
vd_packed_need_signal(struct vd_ring *r, const struct vd_mem_ops *ops,
		      const void *mem)
{
	u16 raw, flags, event, old = r->signalled_used, new = r->last_used;
	bool valid = r->signalled_valid;

	/* A round has ended since: count it from before this one. */
	if (r->signalled_wrap != r->used_wrap)
		old = (u16)(old - r->num);
	r->signalled_used = new;
	r->signalled_wrap = r->used_wrap;
	r->signalled_valid = true;
	/*
	 * The used descriptors are out before the suppression words are read.
	 * Pairs with the full barrier of a driver that enables interrupts and
	 * then looks for used descriptors (2.8.21.3.1).
	 */
	smp_mb();
	if (ops->read16(mem, VD_PART_AVAIL, VD_PACKED_FLAGS, &raw))
		return 1;
	flags = vd_ring16(r, raw) & 3;
	if (flags != VD_EVENT_DESC || !r->event_idx)
		return flags != VD_EVENT_DISABLE;
	/* The driver writes the place, a write barrier, then the flags. */
	smp_rmb();
	if (!valid ||
	    ops->read16(mem, VD_PART_AVAIL, VD_PACKED_OFF_WRAP, &raw))
		return 1;
	event = vd_ring16(r, raw);
	if (!!(event & VD_PACKED_WRAP) != r->used_wrap)
		event = (u16)((event & ~VD_PACKED_WRAP) - r->num);
	else
		event &= ~VD_PACKED_WRAP;
	return vd_need_event(event, new, old);
}

/**
 * vd_packed_no_notify - tell the driver that it need not kick
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * Return: 0 or -VD_FAULT. Section 2.8.10.
 */
static __always_inline int
vd_packed_no_notify(struct vd_ring *r, const struct vd_mem_ops *ops,
		    const void *mem)
{
	if (r->used_flags == VD_EVENT_DISABLE)
		return 0;
	if (ops->write16(mem, VD_PART_USED, VD_PACKED_FLAGS,
			 vd_ring16(r, VD_EVENT_DISABLE)))
		return -VD_FAULT;
	r->used_flags = VD_EVENT_DISABLE;
	return 0;
}

/**
 * vd_packed_notify - ask for a kick, then look once more
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * What is asked for, and looked at, is the first slot that wasn't available
 * when it was last looked at, which may lie beyond the next to be popped: see
 * vd_split_notify().
 *
 * Return: 1 if it is available now, 0 if it is safe to sleep, or minus a
 * reason. Section 2.8.10.
 */
static __always_inline int
vd_packed_notify(struct vd_ring *r, const struct vd_mem_ops *ops,
		 const void *mem)
{
	struct vd_place seen = vd_packed_seen(r);
	u16 flags = r->event_idx ? VD_EVENT_DESC : VD_EVENT_ENABLE;

	if (r->event_idx) {
		if (ops->write16(mem, VD_PART_USED, VD_PACKED_OFF_WRAP,
				 vd_ring16(r, vd_place_word(seen))))
			return -VD_FAULT;
		/* The place before the flags that make it count. */
		smp_wmb();
	}
	if (ops->write16(mem, VD_PART_USED, VD_PACKED_FLAGS,
			 vd_ring16(r, flags)))
		return -VD_FAULT;
	r->used_flags = flags;
	/*
	 * The wish for a kick is out before the slot is looked at. Pairs with
	 * the driver's full barrier between making a descriptor available and
	 * reading the suppression words (2.8.21.3.1).
	 */
	smp_mb();
	return vd_packed_poll(r, ops, mem, seen);
}

#endif /* VD_RING_PACKED_H */

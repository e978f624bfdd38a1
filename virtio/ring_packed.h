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

#define VD_PACKED_F_AVAIL	(1u << 7)
#define VD_PACKED_F_USED	(1u << 15)
#define VD_PACKED_DESC_FLAGS	14u	/* where they are in a descriptor */
#define VD_PACKED_OFF_WRAP	0u
#define VD_PACKED_FLAGS		2u
#define VD_PACKED_EVENTS	4u	/* bytes of an event suppression area */
#define VD_PACKED_WRAP		(1u << 15)

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

/* A place in the ring: slot and wrap counter. Section 2.8.1. */
struct vd_place {
	u32 slot;
	bool wrap;
};

static __always_inline struct vd_place
vd_place_add(const struct vd_ring *r, struct vd_place p, u32 slots)
{
	p.slot += slots;
	if (p.slot >= r->num) {
		p.slot -= r->num;
		p.wrap = !p.wrap;
	}
	return p;
}

/*
 * Any number of slots: a driver that breaks the rules can have more popped in a
 * row than the ring has.
 */
static inline struct vd_place
vd_place_sub(const struct vd_ring *r, struct vd_place p, u32 slots)
{
	if (slots / r->num % 2)
		p.wrap = !p.wrap;
	slots %= r->num;
	if (p.slot < slots) {
		p.slot += r->num;
		p.wrap = !p.wrap;
	}
	p.slot -= slots;
	return p;
}

/* Slots from one place to another, of the two rounds that can be told apart. */
static __always_inline u32
vd_place_gap(const struct vd_ring *r, struct vd_place from, struct vd_place to)
{
	u32 slot = to.slot + (to.wrap != from.wrap ? r->num : 0);

	return slot >= from.slot ? slot - from.slot :
				   slot + 2 * r->num - from.slot;
}

static __always_inline u16 vd_place_word(struct vd_place p)
{
	return (u16)(p.slot | (p.wrap ? VD_PACKED_WRAP : 0));
}

static __always_inline struct vd_place vd_packed_avail(const struct vd_ring *r)
{
	return (struct vd_place){ r->last_avail, r->avail_wrap };
}

static __always_inline struct vd_place vd_packed_seen(const struct vd_ring *r)
{
	return (struct vd_place){ r->avail_idx, r->seen_wrap };
}

static __always_inline struct vd_place vd_packed_used(const struct vd_ring *r)
{
	return (struct vd_place){ r->last_used, r->used_wrap };
}

static __always_inline void vd_packed_set_avail(struct vd_ring *r,
						struct vd_place p)
{
	r->last_avail = (u16)p.slot;
	r->avail_wrap = p.wrap;
}

static __always_inline void vd_packed_set_seen(struct vd_ring *r,
					       struct vd_place p)
{
	r->avail_idx = (u16)p.slot;
	r->seen_wrap = p.wrap;
}

static __always_inline void vd_packed_set_used(struct vd_ring *r,
					       struct vd_place p)
{
	r->last_used = (u16)p.slot;
	r->used_wrap = p.wrap;
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
 * Counts the slots from @p on that are available, up to @max, and remembers
 * the first that isn't. Returns how many, or -VD_FAULT.
 */
static __always_inline int
vd_packed_look(struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, struct vd_place p, u32 max)
{
	const u16 mask = vd_ring16(r, VD_PACKED_F_AVAIL | VD_PACKED_F_USED);
	u16 want = vd_ring16(r, p.wrap ? VD_PACKED_F_AVAIL : VD_PACKED_F_USED);
	struct vd_place end = p;
	u32 n, num = r->num;
	int err = 0;
	u16 raw;

	for (n = 0; n < max; n++) {
		err = ops->read16(mem, VD_PART_DESC, end.slot * VD_DESC_SIZE +
				  VD_PACKED_DESC_FLAGS, &raw);
		if (unlikely(err) || (raw & mask) != want)
			break;
		if (unlikely(++end.slot == num)) {
			end.slot = 0;
			end.wrap = !end.wrap;
			want ^= mask;
		}
	}
	if (unlikely(err) && !n)
		return -VD_FAULT;
	/* After a rewind, those behind @max may have been seen before. */
	if (n < max || vd_place_gap(r, p, vd_packed_seen(r)) < n)
		vd_packed_set_seen(r, end);
	return (int)n;
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
			c->indirect = true;
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
 * Takes chains of one descriptor each from @slot on into the burst, up to @n,
 * none of them behind the end of the ring. A loop of its own, with what changes
 * in registers: for the one around it they don't suffice, and a store that the
 * next turn must load again would be most of a turn's time. Returns how many;
 * if fewer, the next descriptor is in @raw, or @err is set.
 */
static __always_inline u32
vd_packed_singles(const struct vd_ring *r, const struct vd_mem_ops *ops,
		  const void *mem, struct vd_burst *b, u32 slot, u32 n,
		  u64 raw[2], int *err)
{
	struct vd_chain *c = &b->chain[b->count];
	u32 off = slot * VD_DESC_SIZE, at = b->nsegs, i;
	struct vd_seg *seg = &b->seg[at];
	struct vd_desc d;

	for (i = 0; i < n; i++, off += VD_DESC_SIZE) {
		*err = ops->read_desc(mem, off, raw);
		if (unlikely(*err))
			break;
		d = vd_desc_decode_packed(r, raw);
		if (unlikely(!vd_desc_is_single(&d)))
			break;
		vd_chain_single(&c[i], &seg[i], d.next, at + i, &d);
	}
	b->count += i;
	b->nsegs += i;
	return i;
}

/*
 * Walks chains from the next slot on into the burst until those of @known slots
 * are in it. @at counts the slots of all its chains. Returns 0 or what ended
 * it.
 */
static __always_inline int
vd_packed_chains(struct vd_ring *r, const struct vd_mem_ops *ops,
		 const void *mem, struct vd_burst *b, u32 known, u32 *at,
		 u32 *left)
{
	u32 slot = vd_place_add(r, vd_packed_avail(r), *at).slot;
	u32 end = *at + known, run, n;
	u64 raw[2] = { 0, 0 };
	struct vd_chain *c;
	int err;

	for (;;) {
		run = min(min(end - *at, r->num - slot), *left);
		err = 0;
		n = vd_packed_singles(r, ops, mem, b, slot, run, raw, &err);
		*at += n;
		*left -= n;
		slot += n;
		if (unlikely(err))
			return -VD_FAULT;
		if (slot == r->num)
			slot = 0;
		if (*at >= end)
			return 0;
		if (unlikely(!*left))
			return -VD_BURST_FULL;
		if (n == run)
			continue;
		--*left;
		c = &b->chain[b->count];
		*c = (struct vd_chain){ .first = (u16)b->nsegs };
		err = vd_packed_chain(r, ops, mem, c, &b->seg[b->nsegs],
				      vd_desc_decode_packed(r, raw), slot,
				      r->num - *at, left);
		if (unlikely(err))
			return err;
		b->nsegs += c->nr_out + c->nr_in + c->indirect;
		b->count++;
		*at += c->slots;
		slot += c->slots;
		if (slot >= r->num)
			slot -= r->num;
		if (*at >= end)
			return 0;
	}
}

/**
 * vd_packed_pop - take available chains
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @b: receives the chains
 * @max: most chains wanted, up to VD_BURST
 *
 * Return, context: as vd_split_pop(). Sections 2.8.6, 2.8.14, 2.8.21.
 */
static __always_inline int
vd_packed_pop(struct vd_ring *r, const struct vd_mem_ops *ops,
	      const void *mem, struct vd_burst *b, u32 max)
{
	u32 wanted, at = 0, left = VD_CHAIN_SEGS;
	struct vd_place start = vd_packed_avail(r), p;
	int known, err;

	b->count = 0;
	b->nsegs = 0;
	max = min_t(u32, max, VD_BURST);
	do {
		p = vd_place_add(r, start, at);
		wanted = min(max - b->count, r->num - at);
		known = vd_packed_look(r, ops, mem, p, wanted);
		err = min(known, 0);
		if (known <= 0)
			break;
		/*
		 * Descriptors after their flags. Pairs with the driver's write
		 * barrier before it sets those of the first (2.8.21.1).
		 */
		smp_rmb();
		err = vd_packed_chains(r, ops, mem, b, (u32)known, &at, &left);
		/* Chains of several slots: that many slots were too few. */
	} while (!err && (u32)known == wanted && b->count < max && at < r->num);
	if (unlikely(!b->count))
		return err == -VD_BURST_FULL ? -VD_BAD_LONG : err;
	p = vd_place_add(r, start, at);
	vd_packed_set_avail(r, p);
	/* The last chain may have gone on beyond what was looked at. */
	if (unlikely(vd_place_gap(r, start, vd_packed_seen(r)) < at))
		vd_packed_set_seen(r, p);
	return (int)b->count;
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
 * Stores a used descriptor's second half at once: fields in the ring's byte
 * order, one beside the other as they are in memory. Sections 2.8.3, 2.8.4.
 */
static __always_inline int
vd_packed_store(const struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_place p, const struct vd_used *e)
{
	u16 flags = (p.wrap ? VD_PACKED_F_AVAIL | VD_PACKED_F_USED : 0) |
		    (e->len ? VD_DESC_F_WRITE : 0);
	u16 id = vd_ring16(r, (u16)vd_ring32(r, (__force u32)e->id));
	u32 len = (__force u32)e->len;
	u64 word;

	flags = vd_ring16(r, flags);
	if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
		word = len | (u64)id << 32 | (u64)flags << 48;
	else
		word = (u64)len << 32 | (u32)id << 16 | flags;
	return ops->write64(mem, VD_PART_DESC, p.slot * VD_DESC_SIZE + 8, word);
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
	struct vd_place from = *p, at = *p;
	bool first = true;
	u32 i;

	*head = 0;
	for (i = 0; i < n; i++) {
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

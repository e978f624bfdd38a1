/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The packed ring, device side. Specification: virtio 1.3, section 2.8.
 *
 * Layout of the parts, in bytes:
 *   desc:  num descriptors of addr 0 (8), len 8 (4), id 12 (2), flags 14 (2)
 *   avail: the driver's event suppression: off_wrap 0, flags 2
 *   used:  the device's event suppression: the same
 *
 * A descriptor's second half is loaded and stored as one aligned 64-bit word:
 * so length, id and flags are of one moment, and a guest word is read once.
 * The descriptor area must be aligned to 16 bytes (2.8.10.1).
 */
#ifndef VD_RING_PACKED_H
#define VD_RING_PACKED_H

#include "ring_desc.h"

#define VD_PACKED_F_AVAIL	(1u << 7)
#define VD_PACKED_F_USED	(1u << 15)
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

static __always_inline struct vd_place
vd_place_sub(const struct vd_ring *r, struct vd_place p, u32 slots)
{
	if (p.slot < slots) {
		p.slot += r->num;
		p.wrap = !p.wrap;
	}
	p.slot -= slots;
	return p;
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

/* Loads a descriptor's second half: length, id and flags of one moment. */
static __always_inline int
vd_packed_load_hi(const struct vd_ring *r, const struct vd_mem_ops *ops,
		  const void *mem, u32 slot, u64 *hi)
{
	u64 raw;

	if (unlikely(ops->read64(mem, VD_PART_DESC, slot * VD_DESC_SIZE + 8,
				 &raw)))
		return -VD_FAULT;
	*hi = vd_ring64(r, raw);
	return 0;
}

/* Is a descriptor with these flags available in a round? Section 2.8.1. */
static __always_inline bool vd_packed_is_avail(u64 hi, bool wrap)
{
	u16 flags = (u16)(hi >> 48);

	return !!(flags & VD_PACKED_F_AVAIL) == wrap &&
	       !!(flags & VD_PACKED_F_USED) != wrap;
}

/*
 * Loads second halves from the next slot on, until one isn't available or
 * @max are. Returns how many are, or -VD_FAULT.
 */
static __always_inline int
vd_packed_scan(const struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, u64 *hi, u32 max)
{
	struct vd_place p = vd_packed_avail(r);
	u32 n;

	max = min(max, r->num);
	for (n = 0; n < max; n++) {
		if (unlikely(vd_packed_load_hi(r, ops, mem, p.slot, &hi[n])))
			return n ? (int)n : -VD_FAULT;
		if (!vd_packed_is_avail(hi[n], p.wrap))
			break;
		p = vd_place_add(r, p, 1);
	}
	return (int)n;
}

/*
 * Walks one chain into the burst. @hi holds the second halves of @known slots
 * from @slot on; further ones are loaded, as a chain is complete once its head
 * is available. The chain's buffer id is that of its last descriptor. @left
 * counts the descriptors that may still be looked at in this burst: even empty
 * ones must not make it long, as the notifier may be waiting for its end.
 */
static __always_inline int
vd_packed_chain(struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_burst *b, u32 slot, const u64 *hi,
		u32 known, u32 *left)
{
	struct vd_seg *seg = &b->seg[b->nsegs];
	struct vd_chain c = { .first = (u16)b->nsegs };
	u32 room = VD_CHAIN_SEGS - b->nsegs;
	struct vd_desc d;
	u64 addr, word;
	int err;

	for (;;) {
		if (unlikely(!*left))
			return -VD_BURST_FULL;
		--*left;
		if (c.slots < known)
			word = hi[c.slots];
		else if (vd_packed_load_hi(r, ops, mem, slot, &word))
			return -VD_FAULT;
		if (unlikely(ops->read64(mem, VD_PART_DESC,
					 slot * VD_DESC_SIZE, &addr)))
			return -VD_FAULT;
		d.addr = vd_ring64(r, addr);
		d.len = (u32)word;
		d.flags = (u16)(word >> 48);
		c.head = (u16)(word >> 32);
		c.slots++;
		if (unlikely(d.flags & VD_DESC_F_INDIRECT)) {
			err = vd_indirect_check(r, &d);
			/* Nor behind direct ones: section 2.8.19. */
			if (!err && c.slots > 1)
				err = -VD_BAD_INDIRECT_NEXT;
			if (err)
				return err;
			if (!room)
				return -VD_BURST_FULL;
			c.indirect = true;
			seg->addr = d.addr;
			seg->len = d.len;
			break;
		}
		err = vd_chain_add(&c, seg, room, &d);
		if (unlikely(err))
			return err;
		if (!(d.flags & VD_DESC_F_NEXT))
			break;
		if (unlikely(c.slots == r->num))
			return -VD_BAD_LOOP;
		if (++slot == r->num)
			slot = 0;
	}
	b->chain[b->count] = c;
	return 0;
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
	struct vd_place p = vd_packed_avail(r);
	u32 known, at = 0, left = VD_CHAIN_SEGS;
	u64 hi[VD_BURST];
	int err;

	b->count = 0;
	b->nsegs = 0;
	max = min_t(u32, max, VD_BURST);
	err = vd_packed_scan(r, ops, mem, hi, max);
	if (err <= 0) {
		if (!err)
			vd_packed_set_seen(r, p);
		return err;
	}
	known = (u32)err;
	/*
	 * Addresses, and the rest of a chain, after the flags of its head.
	 * Pairs with the driver's write barrier before it sets these flags
	 * (2.8.21.1).
	 */
	smp_rmb();
	do {
		const struct vd_chain *c = &b->chain[b->count];

		err = vd_packed_chain(r, ops, mem, b, p.slot, hi + at,
				      known - at, &left);
		if (unlikely(err))
			break;
		b->nsegs += c->nr_out + c->nr_in + c->indirect;
		b->count++;
		at += c->slots;
		p = vd_place_add(r, p, c->slots);
	} while (at < known);
	if (unlikely(!b->count))
		return err == -VD_BURST_FULL ? -VD_BAD_LONG : err;
	vd_packed_set_avail(r, p);
	/* What was seen beyond an illegal chain is seen all the same. */
	vd_packed_set_seen(r, at < known ? vd_place_add(r, p, known - at) : p);
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

/* Stores a used descriptor's second half at once. Section 2.8.7. */
static __always_inline int
vd_packed_store(const struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_place p, const struct vd_used *e)
{
	u32 len = vd_ring32(r, (__force u32)e->len);
	u64 flags = (p.wrap ? VD_PACKED_F_AVAIL | VD_PACKED_F_USED : 0) |
		    (len ? VD_DESC_F_WRITE : 0);
	u64 hi = len | (u64)(u16)vd_ring32(r, (__force u32)e->id) << 32 |
		 flags << 48;

	return ops->write64(mem, VD_PART_DESC, p.slot * VD_DESC_SIZE + 8,
			    vd_ring64(r, hi));
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
 * Sections 2.8.7, 2.8.22.
 */
static __always_inline int
vd_packed_push(struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, const struct vd_used *elem, const u16 *slots,
	       u32 n)
{
	struct vd_place first = vd_packed_used(r), p = first;
	u32 i = 0, run = 0, k, head = 0;

	do {
		run = vd_in_order_run(r, elem, i, n);
		/* The run's id is that of its last buffer. */
		if (!i)
			head = run - 1;
		else if (unlikely(vd_packed_store(r, ops, mem, p,
						  &elem[i + run - 1])))
			return -VD_FAULT;
		for (k = i; k < i + run; k++)
			p = vd_place_add(r, p, slots[k]);
		i += run;
	} while (i < n);
	/*
	 * The others before the first. Pairs with the driver's read barrier
	 * after it has seen the first used (2.8.22).
	 */
	smp_wmb();
	if (unlikely(vd_packed_store(r, ops, mem, first, &elem[head])))
		return -VD_FAULT;
	vd_packed_set_used(r, p);
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
	u64 hi;

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
	if (vd_packed_load_hi(r, ops, mem, seen.slot, &hi))
		return -VD_FAULT;
	return vd_packed_is_avail(hi, seen.wrap);
}

#endif /* VD_RING_PACKED_H */

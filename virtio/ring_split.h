/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The split ring, device side. Specification: virtio 1.3, section 2.7.
 *
 * Layout of the parts, in bytes:
 *   avail: flags 0, idx 2, ring[num] 4, used_event 4 + 2 num
 *   used:  flags 0, idx 2, ring[num] 4 (8 each), avail_event 4 + 8 num
 *
 * Every function is a body to be instantiated with constant ops. Callers
 * serialise calls on one ring.
 */
#ifndef VD_RING_SPLIT_H
#define VD_RING_SPLIT_H

#include "ring_desc.h"

#define VD_SPLIT_FLAGS		0u
#define VD_SPLIT_IDX		2u
#define VD_SPLIT_RING		4u
#define VD_USED_F_NO_NOTIFY	1u
#define VD_AVAIL_F_NO_INTERRUPT	1u

static __always_inline u32 vd_split_used_event(const struct vd_ring *r)
{
	return VD_SPLIT_RING + 2 * r->num;
}

static __always_inline u32 vd_split_avail_event(const struct vd_ring *r)
{
	return VD_SPLIT_RING + 8 * r->num;
}

/**
 * vd_split_part_size - bytes of one part of a split ring
 * @part: which part
 * @num: ring size in descriptors
 * @event_idx: the event words belong to the ring
 */
static inline u32 vd_split_part_size(enum vd_part part, u32 num, bool event_idx)
{
	u32 event = event_idx ? 2 : 0;

	switch (part) {
	case VD_PART_DESC:
		return VD_DESC_SIZE * num;
	case VD_PART_AVAIL:
		return VD_SPLIT_RING + 2 * num + event;
	default:
		return VD_SPLIT_RING + 8 * num + event;
	}
}

/*
 * Looks at the avail index. Returns 1 if it moved since the last look, 0 if
 * not, or minus a reason. Section 2.7.13.3.
 */
static __always_inline int
vd_split_look(struct vd_ring *r, const struct vd_mem_ops *ops, const void *mem)
{
	u16 raw, idx;

	if (unlikely(ops->read16(mem, VD_PART_AVAIL, VD_SPLIT_IDX, &raw)))
		return -VD_FAULT;
	idx = vd_ring16(r, raw);
	if (idx == r->avail_idx)
		return 0;
	if (unlikely((u16)(idx - r->last_avail) > r->num))
		return -VD_BAD_AVAIL_JUMP;
	r->avail_idx = idx;
	/*
	 * Heads and descriptors are read after the index. Pairs with the
	 * driver's write barrier between them (2.7.13.3.1).
	 */
	smp_rmb();
	return 1;
}

/*
 * Walks one chain of the descriptor table, from its head @d on, which was read
 * from there. @left counts the descriptors that the burst may still look at; as
 * each leaves one segment at most, the burst has room for whatever @left
 * allows. Section 2.7.5.
 */
static __always_inline int
vd_split_chain(struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, struct vd_chain *c, struct vd_seg *seg,
	       struct vd_desc d, u32 *left)
{
	u32 room = VD_CHAIN_SEGS - c->first, i, seen = 0;
	u64 raw[2];
	int err;

	for (;;) {
		if (unlikely(d.flags & VD_DESC_F_INDIRECT)) {
			err = vd_indirect_check(r, &d);
			if (err)
				return err;
			c->indirect = 1;
			seg[c->nr_out + c->nr_in].addr = d.addr;
			seg[c->nr_out + c->nr_in].len = d.len;
			return 0;
		}
		err = vd_chain_add(c, seg, room, &d);
		if (unlikely(err))
			return err;
		if (!(d.flags & VD_DESC_F_NEXT))
			return 0;
		i = d.next;
		if (unlikely(i >= r->num))
			return -VD_BAD_NEXT;
		if (unlikely(++seen == r->num))
			return -VD_BAD_LOOP;
		if (unlikely(!*left))
			return -VD_BURST_FULL;
		--*left;
		i = array_index_nospec(i, r->num);
		if (unlikely(ops->read_desc(mem, i * VD_DESC_SIZE, raw)))
			return -VD_FAULT;
		d = vd_desc_decode(r, raw);
	}
}

/*
 * Puts the chains of @n heads into the burst, as far as they are legal. What
 * changes with each chain is kept out of memory: a store that the next turn
 * must load again would be most of a turn's time. Returns 0 or what ended it.
 */
static __always_inline int
vd_split_chains(struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_burst *b, const u16 *heads, u32 n)
{
	u32 num = r->num, left = VD_CHAIN_SEGS, nsegs = 0, single_in = 0;
	u32 single = 0, i;
	struct vd_desc d;
	u64 raw[2];
	int err = 0;

	for (i = 0; i < n; i++) {
		u16 head = vd_ring16(r, heads[i]);
		struct vd_chain *c = &b->chain[i];
		struct vd_seg *seg = &b->seg[nsegs];

		err = -VD_BAD_HEAD;
		if (unlikely(head >= num))
			break;
		err = -VD_BURST_FULL;
		if (unlikely(!left))
			break;
		left--;
		err = -VD_FAULT;
		if (unlikely(ops->read_desc(mem,
					    array_index_nospec(head, num) *
					    VD_DESC_SIZE, raw)))
			break;
		d = vd_desc_decode(r, raw);
		err = 0;
		if (likely(vd_desc_is_single(&d))) {
			u16 in = d.flags / VD_DESC_F_WRITE & 1;

			vd_chain_single(c, seg, VD_CHAIN_WORD(head, nsegs, 1,
							      in ^ 1), in, &d);
			nsegs++;
			single++;
			single_in += in;
			continue;
		}
		*c = (struct vd_chain){ .head = head, .slots = 1,
					.first = (u16)nsegs };
		err = vd_split_chain(r, ops, mem, c, seg, d, &left);
		if (unlikely(err))
			break;
		nsegs += c->nr_out + c->nr_in + c->indirect;
	}
	b->count = i;
	b->nsegs = nsegs;
	if (likely(single == i && (!single_in || single_in == i)))
		b->singles = i;
	return err;
}

/* Reads @n heads from the avail ring, which may wrap once. */
static __always_inline int
vd_split_heads(struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem, u16 *head, u32 n)
{
	u32 at = r->last_avail & (r->num - 1);
	u32 first = min(n, r->num - at);

	if (unlikely(ops->read16_run(mem, VD_PART_AVAIL, VD_SPLIT_RING + 2 * at,
				     head, first)))
		return -VD_FAULT;
	if (unlikely(first < n) &&
	    ops->read16_run(mem, VD_PART_AVAIL, VD_SPLIT_RING, head + first,
			    n - first))
		return -VD_FAULT;
	return 0;
}

/**
 * vd_split_pop - take available chains
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @b: receives the chains
 * @max: most chains wanted, up to VD_BURST
 *
 * Chains that can't be used stop the burst; if one is the first, its reason
 * is the result and the ring stays at it.
 *
 * Return: number of chains, 0 for an empty ring, or minus a reason.
 * Context: that of @ops. Sections 2.7.6, 2.7.13, 2.7.14.
 */
static __always_inline int
vd_split_pop(struct vd_ring *r, const struct vd_mem_ops *ops, const void *mem,
	     struct vd_burst *b, u32 max)
{
	u32 n = (u16)(r->avail_idx - r->last_avail);
	int err;

	b->count = 0;
	b->nsegs = 0;
	b->singles = 0;
	max = min_t(u32, max, VD_BURST);
	if (n < max) {
		err = vd_split_look(r, ops, mem);
		if (unlikely(err < 0))
			return err;
		n = (u16)(r->avail_idx - r->last_avail);
		if (!n)
			return 0;
	}
	/* A rewind may uncover what each look by itself could not see. */
	if (unlikely(n > r->num))
		return -VD_BAD_AVAIL_JUMP;
	n = min(n, max);
	err = vd_split_heads(r, ops, mem, b->head, n);
	if (unlikely(err))
		return err;
	err = vd_split_chains(r, ops, mem, b, b->head, n);
	if (unlikely(!b->count))
		return err == -VD_BURST_FULL ? -VD_BAD_LONG : err;
	r->last_avail += b->count;
	return (int)b->count;
}

/**
 * vd_split_rewind - give back the last @n chains popped
 * @r: the ring
 * @n: how many; they will be popped again
 */
static inline void vd_split_rewind(struct vd_ring *r, u32 n)
{
	r->last_avail -= n;
}

/**
 * vd_split_push - give chains back to the driver
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 * @elem: the used elements, in the ring's byte order
 * @n: how many; no honest driver can be owed more than the ring size, and for
 *     any other the elements stay inside the ring all the same
 *
 * Return: 0 or -VD_FAULT. Section 2.7.8, 2.7.8.2.
 */
static __always_inline int
vd_split_push(struct vd_ring *r, const struct vd_mem_ops *ops, const void *mem,
	      const struct vd_used *elem, u32 n)
{
	u16 old = r->last_used, new = (u16)(old + n);
	u32 done, at, run, skip;

	for (done = 0; done < n; done += skip) {
		at = (old + done) & (r->num - 1);
		skip = vd_in_order_run(r, elem, done, n);
		/* One for the run, with its last head, where the run begins. */
		run = skip > 1 ? 1 : min(n - done, r->num - at);
		if (unlikely(ops->write_used(mem, VD_SPLIT_RING + 8 * at,
					     elem + done + skip - 1, run)))
			return -VD_FAULT;
		if (skip == 1)
			skip = run;
	}
	/*
	 * Elements before the index. Pairs with the driver's read barrier
	 * after it has seen the index (2.7.14).
	 */
	smp_wmb();
	if (unlikely(ops->write16(mem, VD_PART_USED, VD_SPLIT_IDX,
				  vd_ring16(r, new))))
		return -VD_FAULT;
	r->last_used = new;
	/* 2^16 elements without a signal: the stored index means nothing. */
	if (unlikely((u16)(new - r->signalled_used) < (u16)(new - old)))
		r->signalled_valid = false;
	return 0;
}

/**
 * vd_split_need_signal - must the driver be interrupted for what was pushed?
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * Return: 1 yes, 0 no. A suppression word that can't be read counts as yes:
 * an interrupt too many is harmless. Section 2.7.7.
 */
static __always_inline int
vd_split_need_signal(struct vd_ring *r, const struct vd_mem_ops *ops,
		     const void *mem)
{
	u16 old, new, raw;
	bool valid;

	/*
	 * The used index is out before the suppression word is read. Pairs
	 * with the full barrier of a driver that enables interrupts and then
	 * looks at the used index (2.7.7.1).
	 */
	smp_mb();
	if (r->notify_on_empty && r->avail_idx == r->last_avail)
		return 1;
	if (!r->event_idx) {
		if (ops->read16(mem, VD_PART_AVAIL, VD_SPLIT_FLAGS, &raw))
			return 1;
		return !(vd_ring16(r, raw) & VD_AVAIL_F_NO_INTERRUPT);
	}
	old = r->signalled_used;
	valid = r->signalled_valid;
	new = r->last_used;
	r->signalled_used = new;
	r->signalled_valid = true;
	if (!valid ||
	    ops->read16(mem, VD_PART_AVAIL, vd_split_used_event(r), &raw))
		return 1;
	return vd_need_event(vd_ring16(r, raw), new, old);
}

/**
 * vd_split_quiet - does the driver know that it need not kick?
 * @r: the ring
 *
 * With event indices nothing has to be written: a stale avail_event does it.
 * Return: true if so. Section 2.7.10.
 */
static __always_inline bool vd_split_quiet(struct vd_ring *r)
{
	if (r->event_idx)
		r->used_flags |= VD_USED_F_NO_NOTIFY;
	return r->used_flags & VD_USED_F_NO_NOTIFY;
}

/**
 * vd_split_no_notify - tell the driver that it need not kick
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * Return: 0 or -VD_FAULT. Section 2.7.10.
 */
static __always_inline int
vd_split_no_notify(struct vd_ring *r, const struct vd_mem_ops *ops,
		   const void *mem)
{
	u16 flags = r->used_flags | VD_USED_F_NO_NOTIFY;

	if (vd_split_quiet(r))
		return 0;
	/* Remembered once written: after a fault the caller tries again. */
	if (ops->write16(mem, VD_PART_USED, VD_SPLIT_FLAGS,
			 vd_ring16(r, flags)))
		return -VD_FAULT;
	r->used_flags = flags;
	return 0;
}

/**
 * vd_split_notify - ask for a kick, then look once more
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * What counts is a change of the index since the last look, not a ring with
 * something in it: a receiver may have left chains that are too few for its
 * packet, and must sleep until there are more.
 *
 * Return: 1 if the driver published more meanwhile, 0 if it is safe to sleep,
 * or minus a reason. Section 2.7.10.
 */
static __always_inline int
vd_split_notify(struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem)
{
	int err;

	r->used_flags &= ~VD_USED_F_NO_NOTIFY;
	if (r->event_idx)
		err = ops->write16(mem, VD_PART_USED, vd_split_avail_event(r),
				   vd_ring16(r, r->avail_idx));
	else
		err = ops->write16(mem, VD_PART_USED, VD_SPLIT_FLAGS,
				   vd_ring16(r, r->used_flags));
	if (unlikely(err))
		return -VD_FAULT;
	/*
	 * The wish for a kick is out before the index is read again. Pairs
	 * with the driver's full barrier between publishing the index and
	 * reading the suppression word (2.7.13.4.1).
	 */
	smp_mb();
	return vd_split_look(r, ops, mem);
}

/**
 * vd_split_moved - has the driver published more since the last look?
 * @r: the ring, which is left as it is
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * For a device that polls instead of asking for a kick: a hint, which counts
 * as vd_split_notify() counts; what there is, vd_split_pop() will find.
 *
 * Return: 1 or 0; -VD_FAULT.
 */
static __always_inline int
vd_split_moved(const struct vd_ring *r, const struct vd_mem_ops *ops,
	       const void *mem)
{
	u16 raw;

	if (unlikely(ops->read16(mem, VD_PART_AVAIL, VD_SPLIT_IDX, &raw)))
		return -VD_FAULT;
	return vd_ring16(r, raw) != r->avail_idx;
}

#endif /* VD_RING_SPLIT_H */

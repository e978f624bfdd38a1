/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Event suppression of a packed ring, device side: who wants to hear of what.
 * Specification: virtio 1.3, sections 2.8.10 and 2.8.14.
 */
#ifndef VD_RING_PACKED_EVENT_H
#define VD_RING_PACKED_EVENT_H

#include "ring_packed.h"

#define VD_PACKED_OFF_WRAP	0u
#define VD_PACKED_FLAGS		2u

enum { VD_EVENT_ENABLE, VD_EVENT_DISABLE, VD_EVENT_DESC };

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
	/* Pairs with the driver's write barrier: it writes the place, then the flags. */
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
 * vd_packed_quiet - does the driver know that it need not kick?
 * @r: the ring
 *
 * Return: true if so. Section 2.8.10.
 */
static __always_inline bool vd_packed_quiet(const struct vd_ring *r)
{
	return r->used_flags == VD_EVENT_DISABLE;
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
	if (vd_packed_quiet(r))
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
		/*
		 * The place before the flags that make it count. Pairs with the read
		 * barrier of the driver, which reads the flags first.
		 */
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

/**
 * vd_packed_moved - has the driver made more available since the last look?
 * @r: the ring, which is left as it is
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * Return: 1 or 0, as vd_packed_notify() counts; -VD_FAULT. See
 * vd_split_moved().
 */
static __always_inline int
vd_packed_moved(const struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem)
{
	return vd_packed_poll(r, ops, mem, vd_packed_seen(r));
}

/**
 * vd_packed_look_on - look at what is available beyond what was looked at
 * @r: the ring
 * @ops: accessors, constant
 * @mem: for @ops
 *
 * Pops look only as far as they want. A device that sleeps although it left
 * chains, because it can't use the next, must have seen all there are: else
 * vd_packed_notify() takes what was there all along for new. To be repeated as
 * long as it finds a burst's worth, num / VD_BURST + 1 times at most, as the
 * driver may go on meanwhile: then notify tells.
 *
 * Return: how many slots more, or -VD_FAULT. Section 2.8.10.
 */
static __always_inline int
vd_packed_look_on(struct vd_ring *r, const struct vd_mem_ops *ops,
		  const void *mem)
{
	struct vd_place seen = vd_packed_seen(r);
	u32 gap = vd_place_gap(r, vd_packed_avail(r), seen);
	/* No more than the ring has, whatever its driver writes. */
	u32 left = gap < r->num ? r->num - gap : 0;

	return vd_packed_look(r, ops, mem, seen, min_t(u32, left, VD_BURST));
}

#endif /* VD_RING_PACKED_EVENT_H */

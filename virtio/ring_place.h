/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Places in a packed ring: a slot, and the wrap counter of the round that it is
 * in. Specification: virtio 1.3, sections 2.8.1 and 2.8.14.
 */
#ifndef VD_RING_PLACE_H
#define VD_RING_PLACE_H

#include "ring.h"

#define VD_PACKED_WRAP		(1u << 15)	/* the counter in a word */

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

#endif /* VD_RING_PLACE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver side that both back ends are measured with: one descriptor a
 * packet, header and frame together, which is what a driver does that may
 * (section 5.1.6) and what lets DPDK take its batched path. Buffers are used
 * in the order of the slots. It never waits and wants no interrupt.
 */
#ifndef BENCH_RING_DRIVER_H
#define BENCH_RING_DRIVER_H

#include "../../virtio/ring_split.h"
#include "../../virtio/ring_packed.h"
#include "../../virtio/user/words.h"
#include "guest.h"

enum kind { SPLIT, SPLIT_IN_ORDER, PACKED, PACKED_IN_ORDER, KINDS };

static inline bool kind_packed(enum kind k)
{
	return k >= PACKED;
}

static inline bool kind_in_order(enum kind k)
{
	return k == SPLIT_IN_ORDER || k == PACKED_IN_ORDER;
}

/**
 * struct driver - the driver's side of one ring
 * @kind: its format
 * @rx: buffers are to be written by the device
 * @num: its size
 * @queue: which of the guest's queues
 * @added: buffers made available so far
 * @reaped: buffers that came back so far
 * @part: its parts
 * @guest: whose ring it is
 */
struct driver {
	enum kind kind;
	bool rx;
	u32 num;
	u32 queue;
	u32 added;
	u32 reaped;
	u8 *part[VD_PARTS];
	const struct guest *guest;
};

static inline void driver_init(struct driver *d, const struct guest *g,
			       u32 queue, enum kind kind)
{
	u32 p;

	*d = (struct driver){ .kind = kind, .rx = queue == GUEST_RX,
			      .num = g->num, .queue = queue, .guest = g };
	for (p = 0; p < VD_PARTS; p++)
		d->part[p] = guest_at(g, GUEST_RINGS, guest_part(g, queue, p));
	/* No interrupts: section 2.7.6, 2.8.10. */
	if (kind_packed(kind))
		word_store16(d->part[VD_PART_AVAIL] + VD_PACKED_FLAGS,
			     VD_EVENT_DISABLE);
	else
		word_store16(d->part[VD_PART_AVAIL] + VD_SPLIT_FLAGS,
			     VD_AVAIL_F_NO_INTERRUPT);
}

static inline u8 *driver_buf(const struct driver *d, u32 i)
{
	return guest_at(d->guest, GUEST_BUFS,
			guest_buf(d->guest, d->queue, i % d->num));
}

static inline void driver_add_split(struct driver *d, u32 n, u32 len)
{
	u8 *avail = d->part[VD_PART_AVAIL];
	u32 i, slot;
	u8 *desc;

	for (i = 0; i < n; i++) {
		slot = (d->added + i) % d->num;
		desc = d->part[VD_PART_DESC] + slot * VD_DESC_SIZE;
		word_store64(desc, guest_buf(d->guest, d->queue, slot));
		word_store64(desc + 8, len | (u64)(d->rx ? VD_DESC_F_WRITE : 0)
					     << 32);
		word_store16(avail + VD_SPLIT_RING + 2 * slot, (u16)slot);
	}
	d->added += n;
	/* Pairs with the read barrier of vd_split_look(). */
	smp_wmb();
	word_store16(avail + VD_SPLIT_IDX, (u16)d->added);
}

static inline u64 driver_packed_word(const struct driver *d, u32 i, u32 len)
{
	bool wrap = !(i / d->num % 2);
	u64 flags = (wrap ? VD_PACKED_F_AVAIL : VD_PACKED_F_USED) |
		    (d->rx ? VD_DESC_F_WRITE : 0);

	return len | (u64)(i % d->num) << 32 | flags << 48;
}

static inline void driver_add_packed(struct driver *d, u32 n, u32 len)
{
	u8 *desc = d->part[VD_PART_DESC];
	u32 i, slot;

	for (i = d->added; i < d->added + n; i++) {
		slot = i % d->num;
		word_store64(desc + slot * VD_DESC_SIZE,
			     guest_buf(d->guest, d->queue, slot));
		if (i != d->added)
			word_store64(desc + slot * VD_DESC_SIZE + 8,
				     driver_packed_word(d, i, len));
	}
	/* Pairs with the read barrier of vd_packed_pop(). */
	smp_wmb();
	word_store64(desc + d->added % d->num * VD_DESC_SIZE + 8,
		     driver_packed_word(d, d->added, len));
	d->added += n;
}

/**
 * driver_add - make the next @n buffers available
 * @d: the ring
 * @n: how many
 * @len: bytes of each, header included
 */
static inline void driver_add(struct driver *d, u32 n, u32 len)
{
	if (kind_packed(d->kind))
		driver_add_packed(d, n, len);
	else
		driver_add_split(d, n, len);
}

/* What the device must say it wrote. */
static inline u32 driver_wrote(const struct driver *d, u32 len)
{
	return d->rx ? len : 0;
}

static inline u32 driver_reap_split(struct driver *d, u32 n, u32 len)
{
	u8 *used = d->part[VD_PART_USED], *e;
	u32 i, slot, bad = 0;

	if (word_load16(used + VD_SPLIT_IDX) != (u16)(d->reaped + n))
		return n;
	/* Pairs with the write barrier of vd_split_push(). */
	smp_rmb();
	/* One element may stand for them all. Section 2.7.9. */
	if (d->kind == SPLIT_IN_ORDER && !d->rx)
		return 0;
	for (i = 0; i < n; i++) {
		slot = (d->reaped + i) % d->num;
		e = used + VD_SPLIT_RING + 8 * slot;
		bad += word_load32(e) != slot ||
		       (d->rx && word_load32(e + 4) != len);
	}
	return bad;
}

static inline u32 driver_reap_packed(struct driver *d, u32 n, u32 len)
{
	u32 i = d->reaped, end = i + n, slot, id, bad = 0;
	bool wrap;
	u64 hi;

	while (i != end) {
		slot = i % d->num;
		wrap = !(i / d->num % 2);
		hi = word_load64(d->part[VD_PART_DESC] + slot * VD_DESC_SIZE +
				 8);
		if (!!(hi >> 48 & VD_PACKED_F_AVAIL) != wrap ||
		    !!(hi >> 48 & VD_PACKED_F_USED) != wrap)
			return n;
		/* Pairs with the write barrier of vd_packed_push(). */
		smp_rmb();
		id = (u16)(hi >> 32);
		bad += d->rx && (u32)hi != len;
		if (id >= d->num || (!kind_in_order(d->kind) && id != slot))
			return n;
		i += (id + d->num - slot) % d->num + 1;
		if (i - d->reaped > n)
			return n;
	}
	return bad;
}

/**
 * driver_reap - take back the next @n buffers
 * @d: the ring
 * @n: how many must have come back
 * @len: bytes that the device must have written to each of a receive ring
 *
 * Return: how many are wrong; 0 is well.
 */
static inline u32 driver_reap(struct driver *d, u32 n, u32 len)
{
	u32 bad = kind_packed(d->kind) ? driver_reap_packed(d, n, len) :
					 driver_reap_split(d, n, len);

	d->reaped += n;
	return bad;
}

#endif /* BENCH_RING_DRIVER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory of a vhost-user back end: the regions of the memory table,
 * each mapped, and copies between segments of a chain and a flat buffer.
 *
 * What it does is what the kernel's back end does (vhost/memtable.c,
 * vhost/guest.c): the region of the last hit is tried first, and a segment may
 * go on from one region into the next.
 */
#ifndef VD_VHOST_USER_MEM_H
#define VD_VHOST_USER_MEM_H

#include "../../ring.h"
#include "proto.h"

/**
 * struct vu_region - one mapped region
 * @start: its first guest-physical address
 * @last: its last
 * @uaddr: @start in the front end's own addresses
 * @base: @start in this process
 * @map: what to unmap
 * @map_len: and how much
 */
struct vu_region {
	u64 start;
	u64 last;
	u64 uaddr;
	u8 *base;
	void *map;
	size_t map_len;
};

/**
 * struct vu_mem - a memory table
 * @count: its regions
 * @hit: the one that was used last
 * @region: they
 */
struct vu_mem {
	u32 count;
	u32 hit;
	struct vu_region region[VU_REGIONS];
};

/**
 * vu_mem_clear - make a table empty
 * @m: the table; nothing is unmapped
 */
static inline void vu_mem_clear(struct vu_mem *m)
{
	*m = (struct vu_mem){ .region[0] = { .start = ~0ull } };
}

/**
 * vu_mem_find - the region of a guest address
 * @m: the table
 * @gpa: guest-physical address
 *
 * Return: the region, or NULL.
 */
static inline const struct vu_region *vu_mem_find(struct vu_mem *m, u64 gpa)
{
	u32 i;

	for (i = 0; i < m->count; i++) {
		const struct vu_region *r = &m->region[i];

		if (gpa >= r->start && gpa <= r->last) {
			m->hit = i;
			return r;
		}
	}
	return NULL;
}

/**
 * vu_mem_at - where a guest range is in this process
 * @m: the table
 * @gpa: guest-physical address
 * @len: bytes, not zero; receives how many of them are in one piece
 *
 * Return: NULL if @gpa is in no region.
 */
static __always_inline u8 *vu_mem_at(struct vu_mem *m, u64 gpa, u32 *len)
{
	const struct vu_region *r = &m->region[m->hit];

	if (unlikely(gpa < r->start || gpa > r->last)) {
		r = vu_mem_find(m, gpa);
		if (!r)
			return NULL;
	}
	if (unlikely(r->last - gpa < *len - 1))
		*len = (u32)(r->last - gpa + 1);
	return r->base + (gpa - r->start);
}

/**
 * vu_mem_gather - copy a chain's segments into a buffer
 * @m: the table
 * @seg: the segments
 * @nsegs: how many
 * @to: the buffer
 * @room: its bytes
 *
 * Return: bytes copied, or -VD_BAD_BUFFER.
 */
static inline int vu_mem_gather(struct vu_mem *m, const struct vd_seg *seg,
				u32 nsegs, u8 *to, u32 room)
{
	u32 done = 0, i, at, len;
	const u8 *from;

	for (i = 0; i < nsegs; i++) {
		for (at = 0; at < seg[i].len; at += len) {
			len = seg[i].len - at;
			from = vu_mem_at(m, seg[i].addr + at, &len);
			if (!from || len > room - done)
				return -VD_BAD_BUFFER;
			memcpy(to + done, from, len);
			done += len;
		}
	}
	return (int)done;
}

/**
 * vu_mem_scatter - copy a buffer into a chain's segments
 * @m: the table
 * @seg: the segments
 * @nsegs: how many
 * @from: the buffer
 * @left: its bytes
 *
 * Return: bytes copied, fewer than @left if the segments are full, or
 * -VD_BAD_BUFFER.
 */
static inline int vu_mem_scatter(struct vu_mem *m, const struct vd_seg *seg,
				 u32 nsegs, const u8 *from, u32 left)
{
	u32 done = 0, i, at, len;
	u8 *to;

	for (i = 0; i < nsegs; i++) {
		for (at = 0; at < seg[i].len && left; at += len) {
			len = min(seg[i].len - at, left);
			to = vu_mem_at(m, seg[i].addr + at, &len);
			if (!to)
				return -VD_BAD_BUFFER;
			memcpy(to, from + done, len);
			done += len;
			left -= len;
		}
	}
	return (int)done;
}

#endif /* VD_VHOST_USER_MEM_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest that both back ends serve: its memory, in regions as a PC has
 * them, and where in it the rings and buffers are.
 */
#ifndef BENCH_RING_GUEST_H
#define BENCH_RING_GUEST_H

#include "../../virtio/user/vhost_user/mem.h"

/* Bytes of a buffer: a frame of 1518 with its header fits. */
#define BUF_SIZE	2048u
/* From one to the next: not a power of two, of which few are cached at once. */
#define BUF_STRIDE	2304u
#define HDR_SIZE	12u

enum kind { SPLIT, SPLIT_IN_ORDER, PACKED, PACKED_IN_ORDER, KINDS };

static inline bool kind_packed(enum kind k)
{
	return k >= PACKED;
}

static inline bool kind_in_order(enum kind k)
{
	return k == SPLIT_IN_ORDER || k == PACKED_IN_ORDER;
}

enum { GUEST_RX, GUEST_TX, GUEST_QUEUES };
enum { GUEST_LOW, GUEST_RINGS, GUEST_BUFS, GUEST_REGIONS };

/**
 * struct guest - a guest's memory
 * @num: size of its rings
 * @fd: descriptor of each region
 * @table: the memory table as the driver maps it
 * @part: where the parts of each ring are; the driver places them
 */
struct guest {
	u32 num;
	int fd[GUEST_REGIONS];
	struct vu_mem table;
	u64 part[GUEST_QUEUES][VD_PARTS];
};

void guest_init(struct guest *g, u32 num);
void guest_exit(struct guest *g);
void guest_map(const struct guest *g, struct vu_mem *m);
void guest_unmap(struct vu_mem *m);

static inline u64 guest_buf(const struct guest *g, u32 queue, u32 i)
{
	return g->table.region[GUEST_BUFS].start +
	       ((u64)queue * g->num + i) * BUF_STRIDE;
}

static inline void *guest_at(const struct guest *g, u32 region, u64 gpa)
{
	const struct vu_region *r = &g->table.region[region];

	return r->base + (gpa - r->start);
}

#endif /* BENCH_RING_GUEST_H */

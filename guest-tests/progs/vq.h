/* SPDX-License-Identifier: GPL-2.0-only */
/* A well-behaved driver of one virtqueue, split or packed, in use order or not. */
#ifndef GT_VQ_H
#define GT_VQ_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#define F_LOG		(1ull << 26)
#define F_PLATFORM	(1ull << 33)
#define F_PACKED	(1ull << 34)
#define F_IN_ORDER	(1ull << 35)

/* Bytes of each part, at most: 512 descriptors. */
#define VQ_NUM		512
#define VQ_DESC_BYTES	(16 * VQ_NUM)
#define VQ_AVAIL_BYTES	(6 + 2 * VQ_NUM)
#define VQ_USED_BYTES	(6 + 8 * VQ_NUM)

/**
 * struct vq - the driver's side
 * @desc: split: descriptors; packed: the ring
 * @avail: split: avail; packed: the driver's events
 * @used: split: used; packed: the device's events
 * @event_idx: kicks are asked for by place
 * @next: slot that is offered next, running on
 * @seen: slot whose return is awaited next, running on
 */
struct vq {
	unsigned int index;
	bool packed;
	bool event_idx;
	uint8_t *desc;
	uint8_t *avail;
	uint8_t *used;
	uint32_t next;
	uint32_t seen;
	int kick;
	int call;
	int err;
};

/*
 * Sets up the rings in zeroed memory and starts the queue; what the device is
 * told of their addresses is @told. Returns 0 or -errno.
 */
struct vq_told {
	uint64_t desc, avail, used, log;
	unsigned int flags;
};

void vq_init(struct vq *q, unsigned int index, uint64_t features, uint8_t *desc,
	     uint8_t *avail, uint8_t *used);
int vq_setup(struct vq *q, int node, const struct vq_told *told);
int vq_told(struct vq *q, int node, const struct vq_told *told);
void vq_close(struct vq *q);
/* One buffer in a chain of its own; @flags as of a split descriptor. */
void vq_offer(struct vq *q, uint64_t addr, uint32_t len, uint16_t flags);
/* The same by an id of the caller's choice, below VQ_NUM, that isn't under way. */
void vq_offer_as(struct vq *q, unsigned int id, uint64_t addr, uint32_t len, uint16_t flags);
/* The id of the next that came back, in whatever order; -1: none yet. Not with IN_ORDER. */
int vq_take(struct vq *q);
void vq_kick(struct vq *q);
/* Did the device ask for a kick at one of the slots from @old on that were offered? */
bool vq_kick_wanted(struct vq *q, uint32_t old);
/* Kicks if so; says whether. */
bool vq_kick_if(struct vq *q, uint32_t old);
/* Buffers that came back so far, counting each once. In order only. */
uint32_t vq_returned(struct vq *q);
/* Waits until @n in all have come back; false if they don't. */
bool vq_wait(struct vq *q, uint32_t n, unsigned int ms);

#endif /* GT_VQ_H */

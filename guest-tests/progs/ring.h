/* SPDX-License-Identifier: GPL-2.0-only */
/* A split ring of which the driver may write every word as it likes. */
#ifndef GT_RING_H
#define GT_RING_H

#include <linux/virtio_ring.h>
#include <stdint.h>

#include "mem.h"

#define D_NEXT	VRING_DESC_F_NEXT
#define D_WRITE	VRING_DESC_F_WRITE
#define D_IND	VRING_DESC_F_INDIRECT

/**
 * struct ring - one virtqueue
 * @index: its number
 * @pub: index that the device was told last
 * @reaped: next used element to take
 */
struct ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	unsigned int index;
	unsigned int num;
	uint16_t pub;
	uint16_t reaped;
	int kick;
	int call;
	int err;
};

/* Each part on pages of its own, so that each can be protected by itself. */
void ring_place(struct ring *r, struct mem *m, unsigned int index, unsigned int num);
void ring_start(struct ring *r, int node, int socket);
void ring_close(struct ring *r);
/* Stops it and starts it anew, empty: what is still offered is forgotten. */
void ring_restart(struct ring *r, int node, int socket);
void desc_set(struct vring_desc *table, unsigned int i, uint64_t gpa, uint32_t len,
	      uint16_t flags, uint16_t next);
void ring_publish(struct ring *r, uint16_t idx);
void ring_offer(struct ring *r, uint16_t head);
void ring_kick(struct ring *r);
uint16_t ring_used_idx(const struct ring *r);
/* The next used element's head, -1 if none comes in @ms; @len may be NULL. */
int ring_reap(struct ring *r, uint32_t *len, unsigned int ms);

#endif /* GT_RING_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* A whole device: node, guest memory, both rings, a tap. */
#ifndef GT_RIG_H
#define GT_RIG_H

#include <sys/types.h>

#include "mem.h"
#include "node.h"
#include "proc.h"
#include "ring.h"
#include "tap.h"

#define RIG_FEATURES	(F_V1 | F_MRG | F_INDIRECT | F_EVENT)
#define RIG_NUM		256
#define RIG_FRAME	64
#define WAIT_MS		2000

/**
 * struct rig - the device and what surrounds it
 * @hdr: bytes of virtio header before each frame in the ring
 * @buf: 64 KiB for frames, readable by the device
 * @seq: number of the last frame made
 */
struct rig {
	struct mem mem;
	struct tap tap;
	struct ring q[2];
	int node;
	pid_t worker;
	uint64_t features;
	unsigned int hdr;
	uint8_t *buf;
	uint32_t seq;
};

/**
 * struct rig_opts - what kind of device
 * @num: entries of each ring, 0 for RIG_NUM
 * @batch: no send-buffer limit on the tap
 * @shared: guest memory is shared with children
 * @fd: the node if it is open already, without an owner
 * @link: back end and network behind it, if it isn't to be a tap; closed with the rig
 */
struct rig_opts {
	const char *node;
	uint64_t features;
	unsigned int num;
	bool batch;
	bool shared;
	int fd;
	const struct tap *link;
};

void rig_open(struct rig *r, const struct rig_opts *o);
void rig_close(struct rig *r);

/* A frame by number: its bytes follow from it. */
void frame_make(uint8_t *f, size_t len, uint32_t seq);
bool frame_is(const uint8_t *f, size_t len, uint32_t seq);

/* Writes header and frame of the next number to @at; returns their length. */
size_t rig_frame(struct rig *r, uint8_t *at, size_t len);
/* CHECKs that frame @seq comes out of the tap, as it was made. */
void rig_arrives(struct rig *r, uint32_t seq, size_t len);
void rig_silent(struct rig *r);
/* Sends a frame by the book, through descriptor @i, and CHECKs all of it. */
void rig_tx_good(struct rig *r, unsigned int i);
/* Tells the device where queue @q is. */
int rig_addr(const struct rig *r, unsigned int q);
/* Sends until a window serves the ring, which must not take long: CHECKed. */
void rig_tx_direct(struct rig *r);
/* Offers a buffer at @at and CHECKs that the next frame fed lands there. */
void rig_rx_good(struct rig *r, unsigned int i, uint8_t *at);
/* The same within @ms looks, as ring_reap(). */
void rig_rx_soon(struct rig *r, unsigned int i, uint8_t *at, unsigned int ms);

#endif /* GT_RIG_H */

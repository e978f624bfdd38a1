/* SPDX-License-Identifier: GPL-2.0-only */
/* busy: a driver that kicks only when it is asked to. */
#ifndef GT_BUSY_H
#define GT_BUSY_H

#include <sys/types.h>

#include "node.h"
#include "rig.h"
#include "tap.h"
#include "test.h"
#include "vq.h"

#define SLOT	256u
#define FRAME	60u
/* Before each frame. */
#define HDR	12
/* Longer than any test may take: for a poll that has no end of its own. */
#define LONG	0xffffffffu
/* For what must come at once, on a machine that may be slow. */
#define SOON_MS	30000

/**
 * struct guest - a device and its memory
 * @buf: of each queue, SLOT bytes for each entry of its ring
 * @kicks: of each queue, made
 */
struct guest {
	int node;
	uint64_t features;
	struct tap tap;
	struct vq q[2];
	uint8_t *memory;
	uint8_t *buf[2];
	uint32_t seq;
	uint64_t kicks[2];
};

void guest_open(struct guest *g, const char *node, uint64_t features);
/* Rings and buffers are gone; the node stays open. */
void guest_forget(struct guest *g);
void guest_close(struct guest *g);
int guest_busy(struct guest *g, unsigned int q, unsigned int us);
uint64_t guest_stat(struct guest *g, unsigned int q, const char *name);
/* Offers a frame, or a buffer, and kicks if asked to. */
void guest_offer(struct guest *g, unsigned int q);
/* CHECKs that what was offered comes back, and the frame with it. */
void guest_sent(struct guest *g);
void guest_feed(struct guest *g);
void guest_got(struct guest *g);
/* A frame each, by the book. */
void guest_tx(struct guest *g);
void guest_rx(struct guest *g);

/**
 * enum held - what became of guest_held()
 * @HELD_POLLED: transmit was polled
 * @HELD_RESTED: its poll had ended: nothing was tested
 * @HELD_NOT: this kernel can't hold the worker
 */
enum held { HELD_POLLED, HELD_RESTED, HELD_NOT };

/*
 * Once for a guest whose receive queue is unused, before transmit is polled: receive gets its
 * buffers, two of which are kept away. Returns the userfaultfd, which the caller closes; -1:
 * this kernel has none.
 */
int guest_keep(struct guest *g);
/*
 * Then, while transmit is polled: has a frame found by that while receive never lacks work, and
 * CHECKs that it was found when receive's share was over.
 */
enum held guest_held(struct guest *g, int fd);

#endif /* GT_BUSY_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* bad-input: what its files share. */
#ifndef GT_BAD_H
#define GT_BAD_H

#include "rig.h"
#include "test.h"

#define RX_BUFS 8
#define RX_SIZE 2048
/* Where in the frame buffer indirect tables lie. */
#define TABLE	0x8000

/**
 * struct bad - a rig, and how it is run
 * @opts: of the rig
 * @rx: buffers for the device to write to
 * @stock: the node is stock's: no statistics, and fewer tests
 */
struct bad {
	struct rig r;
	struct rig_opts opts;
	uint8_t *rx[RX_BUFS];
	bool stock;
};

/* A statistic of a queue; stock's node has none, and 0 is as good as any. */
uint64_t bad_stat(const struct bad *b, unsigned int q, const char *name);
#define CHECK_STAT(b, q, name, value)					\
do {									\
	if (!(b)->stock)						\
		CHECK_EQ(bad_stat(b, q, name), value);			\
} while (0)

void bad_open(struct bad *b);
void bad_close(struct bad *b);

/*
 * An address in a table of cases: below 64 KiB an offset into the frame buffer
 * (TX), or buffer and offset 0xBOOO (RX); else guest-physical as it stands.
 */
uint64_t bad_addr(const struct bad *b, unsigned int q, uint64_t addr);
/* Copies such descriptors to a table. */
void bad_descs(const struct bad *b, unsigned int q, struct vring_desc *to,
	       const struct vring_desc *from, unsigned int n);

/*
 * Sets the queue off, by a kick (TX) or a frame (RX), and CHECKs that it stops
 * for @reason: told once, counted once, logged, the worker at rest, nothing
 * written. What to mend is up to the caller.
 */
void expect_stop(struct bad *b, unsigned int q, const char *reason, bool fault);
/* CHECKs that the queue has said so in the kernel's log since the device was opened. */
void expect_log(unsigned int q, const char *what, const char *reason);
/* CHECKs that the worker sleeps and stays asleep. */
void expect_rest(struct bad *b);
void expect_worker_rest(pid_t worker);

void bad_ring(const struct bad *b);
void bad_tx(const struct bad *b);
void bad_rx(const struct bad *b);
void bad_race(const struct bad *b);
void bad_packed(const struct bad *b);
void bad_told(const struct bad *b);
void bad_said(const struct bad *b);
void bad_swap(const struct bad *b);

/* What stock's node passes as well, and what holds up its queue. */
void stock_ring(const struct bad *b);
void stock_tx(const struct bad *b);
void stock_rx(const struct bad *b);
void stock_race(const struct bad *b);
void stock_stuck(const struct bad *b);

#endif /* GT_BAD_H */

// SPDX-License-Identifier: GPL-2.0-only
/* How often the owner is told: once of what stops a queue, and not of each attempt in vain. */
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "bad.h"

/* Attempts come after 0.1 s, and then 0.2 s: two, with time to spare. */
#define ATTEMPTS_MS	600
/* Longer than a queue is polled here, by far. */
#define POLLED_US	2000

static void protect(void *at, int prot)
{
	CHECK_EQ(mprotect(at, PAGE, prot), 0);
}

static uint64_t stopped(const struct rig *r, unsigned int q)
{
	return node_stat(r->node, q, "malformed") + node_stat(r->node, q, "faults");
}

/* What stopped queue @qi was told of once, counted once, and isn't again. */
static void told_once(struct bad *b, unsigned int qi)
{
	struct rig *r = &b->r;

	CHECK_EQ(event_wait(r->q[qi].err, WAIT_MS), 1);
	sleep_ms(ATTEMPTS_MS);
	CHECK_EQ(event_wait(r->q[qi].err, 0), 0);
	CHECK_EQ(stopped(r, qi), 1);
}

static void offer_tx(struct bad *b, unsigned int i)
{
	struct rig *r = &b->r;
	size_t len = rig_frame(r, r->buf, RIG_FRAME);

	desc_set(r->q[Q_TX].desc, i, mem_gpa(&r->mem, r->buf), len, 0, 0);
}

/* The attempt reaches the ring, and then something else is in the way. */
static void told_other(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint8_t *table = mem_take(&r->mem, CHUNK_A, PAGE, PAGE);

	t_begin("an attempt that meets something else is told of");
	offer_tx(b, 1);
	*(struct vring_desc *)table = q->desc[1];
	desc_set(q->desc, 0, mem_gpa(&r->mem, table), sizeof(struct vring_desc), D_IND, 0);
	ring_offer(q, 0);
	protect(q->avail, PROT_NONE);
	protect(table, PROT_NONE);
	ring_kick(q);
	told_once(b, Q_TX);
	protect(q->avail, PROT_READ | PROT_WRITE);
	CHECK_EQ(event_wait(q->err, 2 * WAIT_MS), 1);
	CHECK_EQ(stopped(r, Q_TX), 2);
	expect_log(Q_TX, "stopped", "indirect table not accessible");
	sleep_ms(ATTEMPTS_MS);
	CHECK_EQ(event_wait(q->err, 0), 0);
	CHECK_EQ(stopped(r, Q_TX), 2);
	protect(table, PROT_READ | PROT_WRITE);
	CHECK_EQ(ring_reap(q, NULL, 2 * WAIT_MS), 0);
	rig_arrives(r, r->seq, RIG_FRAME);
	t_end();
}

/*
 * The ring can be read, and the wish for a kick not be written: polling doesn't end that, and
 * attempts don't poll.
 */
static void told_polled(struct bad *b)
{
	struct vhost_vring_state busy = { Q_TX, POLLED_US };
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint64_t polls;

	t_begin("a wish for a kick that can't be written, of a queue that is polled");
	CHECK_EQ(node_call(r->node, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &busy), 0);
	protect(q->used, PROT_READ);
	ring_kick(q);
	told_once(b, Q_TX);
	polls = node_stat(r->node, Q_TX, "polls");
	CHECK(polls > 0);
	sleep_ms(ATTEMPTS_MS);
	CHECK_EQ(node_stat(r->node, Q_TX, "polls"), polls);
	protect(q->used, PROT_READ | PROT_WRITE);
	offer_tx(b, 0);
	ring_offer(q, 0);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	t_end();
}

/* The chain is met at each attempt to ask for a kick, behind which it may be mended. */
static void told_wrong(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];

	t_begin("a wrong chain before a wish for a kick that can't be written");
	q->avail->ring[0] = RIG_NUM;
	ring_publish(q, 1);
	protect(q->used, PROT_READ);
	ring_kick(q);
	told_once(b, Q_TX);
	CHECK_EQ(node_stat(r->node, Q_TX, "malformed"), 1);
	offer_tx(b, 0);
	q->avail->ring[0] = 0;
	protect(q->used, PROT_READ | PROT_WRITE);
	CHECK_EQ(ring_reap(q, NULL, 2 * WAIT_MS), 0);
	rig_arrives(r, r->seq, RIG_FRAME);
	t_end();
}

/* @n frames wait in the tap, and nobody looks at them before the driver kicks. */
static void frames_wait(struct bad *b, unsigned int n)
{
	struct rig *r = &b->r;
	uint8_t f[RIG_FRAME];

	while (n--) {
		frame_make(f, sizeof(f), ++r->seq);
		CHECK(tap_feed(&r->tap, f, sizeof(f)));
	}
	worker_rest(r->worker);
}

/* Eight are filled, of none of which the driver can be told; nor asked for more. */
static void told_full(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_B, 8 * RX_SIZE, 64);
	unsigned int i, n = 8;

	t_begin("all buffers are filled, and the used ring is read-only");
	frames_wait(b, n + 1);
	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r->mem, at + i * RX_SIZE), RX_SIZE, D_WRITE, 0);
		ring_offer(q, i);
	}
	protect(q->used, PROT_READ);
	ring_kick(q);
	told_once(b, Q_RX);
	protect(q->used, PROT_READ | PROT_WRITE);
	for (i = 0; i < n; i++) {
		CHECK_EQ(ring_reap(q, NULL, 2 * WAIT_MS), i);
		CHECK(frame_is(at + i * RX_SIZE + r->hdr, RIG_FRAME, r->seq - n + i));
	}
	t_end();
}

/* A frame went well before the table that can't be read, which no attempt comes behind. */
static void told_behind(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *table = mem_take(&r->mem, CHUNK_A, PAGE, PAGE);

	t_begin("a good buffer, then an indirect table out of reach");
	frames_wait(b, 2);
	desc_set((struct vring_desc *)table, 0, mem_gpa(&r->mem, b->rx[1]), RX_SIZE, D_WRITE, 0);
	desc_set(q->desc, 0, mem_gpa(&r->mem, b->rx[0]), RX_SIZE, D_WRITE, 0);
	desc_set(q->desc, 1, mem_gpa(&r->mem, table), sizeof(struct vring_desc), D_IND, 0);
	protect(table, PROT_NONE);
	ring_offer(q, 0);
	ring_offer(q, 1);
	ring_kick(q);
	told_once(b, Q_RX);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	protect(table, PROT_READ | PROT_WRITE);
	CHECK_EQ(ring_reap(q, NULL, 2 * WAIT_MS), 1);
	CHECK(frame_is(b->rx[1] + r->hdr, RIG_FRAME, r->seq));
	t_end();
}

/* Whose owner changes it under the device: frames of another length than they should have. */
static void told_header(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t f[RIG_FRAME];
	int size = 10;

	t_begin("a tap whose header became shorter: its frames are dropped, no fault");
	desc_set(q->desc, 0, mem_gpa(&r->mem, b->rx[0]), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	ring_kick(q);
	CHECK_EQ(ioctl(r->tap.fd, TUNSETVNETHDRSZ, &size), 0);
	frames_wait(b, 3);
	sleep_ms(100);
	CHECK_EQ(node_stat(r->node, Q_RX, "dropped"), 3);
	CHECK_EQ(stopped(r, Q_RX), 0);
	CHECK_EQ(event_wait(q->err, 0), 0);
	size = r->hdr;
	CHECK_EQ(ioctl(r->tap.fd, TUNSETVNETHDRSZ, &size), 0);
	frame_make(f, sizeof(f), ++r->seq);
	CHECK(tap_feed(&r->tap, f, sizeof(f)));
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	CHECK(frame_is(b->rx[0] + r->hdr, RIG_FRAME, r->seq));
	t_end();
}

void bad_told(const struct bad *like)
{
	void (*const part[])(struct bad *b) = {
		told_other, told_polled, told_wrong, told_full, told_behind, told_header,
	};
	struct bad b = *like;
	unsigned int i;

	/* How frames are sent has nothing to do with it. */
	if (!b.opts.batch)
		return;
	for (i = 0; i < ARRAY_SIZE(part); i++) {
		bad_open(&b);
		part[i](&b);
		bad_close(&b);
	}
}

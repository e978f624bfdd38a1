// SPDX-License-Identifier: GPL-2.0-only
/*
 * The owner gives a queue another socket, or none, while the device can't tell the driver of
 * all that is done: chains that it would have to forget.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bad.h"

/* Used elements of the first page, of a ring that has three. */
#define SWAP_NUM	1024
#define FIRST_PAGE	((PAGE - 4) / 8 + 1)

/* The ring is usable, but for the page that the next used element lies in. */
static void swap_open(struct bad *b)
{
	struct rig *r = &b->r;
	unsigned int i;

	b->opts.num = SWAP_NUM;
	bad_open(b);
	for (i = 0; i < FIRST_PAGE; i++)
		rig_tx_good(r, i);
}

static void second_page(const struct bad *b, int prot)
{
	CHECK_EQ(mprotect((uint8_t *)b->r.q[Q_TX].used + PAGE, PAGE, prot), 0);
}

/* A frame that leaves, and of which the driver can't be told. */
static void send_untold(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	size_t len = rig_frame(r, r->buf, RIG_FRAME);

	second_page(b, PROT_READ);
	desc_set(q->desc, FIRST_PAGE, mem_gpa(&r->mem, r->buf), len, 0, 0);
	ring_offer(q, FIRST_PAGE);
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	rig_arrives(r, r->seq, RIG_FRAME);
	CHECK_EQ(ring_used_idx(q), FIRST_PAGE);
}

static void swap_refused(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	struct tap other;

	t_begin("another socket, while a chain can't be handed back: refused, the old one serves on");
	swap_open(b);
	tap_open(&other, r->hdr, b->opts.batch);
	send_untold(b);
	CHECK_EQ(node_backend(r->node, Q_TX, other.fd), -EFAULT);
	CHECK_EQ(event_wait(q->err, 0), 0);
	second_page(b, PROT_READ | PROT_WRITE);
	/* By itself: an attempt was planned. */
	CHECK_EQ(ring_reap(q, NULL, 2 * WAIT_MS), FIRST_PAGE);
	rig_tx_good(r, 0);
	CHECK_EQ(node_backend(r->node, Q_TX, other.fd), 0);
	tap_close(&r->tap);
	r->tap = other;
	rig_tx_good(r, 1);
	bad_close(b);
	t_end();
}

static void swap_to_none(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];

	t_begin("no socket any more, while a chain can't be handed back: given up, said in the log");
	swap_open(b);
	send_untold(b);
	CHECK_EQ(node_backend(r->node, Q_TX, -1), 0);
	expect_log(Q_TX, "gave chains up", "ring not accessible");
	second_page(b, PROT_READ | PROT_WRITE);
	CHECK_EQ(node_backend(r->node, Q_TX, r->tap.fd), 0);
	/* Its used index is where the driver saw it last. */
	rig_tx_good(r, FIRST_PAGE + 1);
	CHECK_EQ(ring_used_idx(q), FIRST_PAGE + 1);
	bad_close(b);
	t_end();
}

/* It can be handed back by then: nothing is lost, nothing refused. */
static void swap_in_time(struct bad *b)
{
	struct rig *r = &b->r;
	struct tap other;

	t_begin("another socket, as soon as a chain can be handed back: it is");
	swap_open(b);
	tap_open(&other, r->hdr, b->opts.batch);
	send_untold(b);
	second_page(b, PROT_READ | PROT_WRITE);
	CHECK_EQ(node_backend(r->node, Q_TX, other.fd), 0);
	CHECK_EQ(ring_reap(&r->q[Q_TX], NULL, 0), FIRST_PAGE);
	tap_close(&r->tap);
	r->tap = other;
	rig_tx_good(r, 0);
	bad_close(b);
	t_end();
}

void bad_swap(const struct bad *like)
{
	struct bad b = *like;

	swap_refused(&b);
	swap_to_none(&b);
	swap_in_time(&b);
}

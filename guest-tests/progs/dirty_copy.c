// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty-log: memory copied by the log, again and again while it is written, as
 * a live migration does. A bit lost, or set before what it stands for was
 * written, leaves a page of the copy behind.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dirty.h"

#define ROUNDS 60

struct copy {
	struct guest *g;
	uint8_t *to;
	atomic_bool stop;
	unsigned int passes;
	unsigned int pages;
};

static void pass(struct copy *c)
{
	unsigned int page, bits;

	for (page = 0; page < PAGES; page += 8) {
		uint8_t *byte = c->g->log + LOG_FIRST + page / 8;
		unsigned int at = page;

		bits = __atomic_exchange_n(byte, 0, __ATOMIC_SEQ_CST);
		for (; bits; bits >>= 1, at++) {
			if (!(bits & 1))
				continue;
			memcpy(c->to + at * PAGE, guest_at(c->g, at * PAGE), PAGE);
			c->pages++;
		}
	}
	c->passes++;
}

static void *migrate(void *arg)
{
	struct copy *c = arg;

	while (!atomic_load(&c->stop)) {
		pass(c);
		sched_yield();
	}
	return NULL;
}

static void traffic(struct guest *g)
{
	unsigned int round, i, buffers = g->q[Q_RX].seen;

	for (round = 0; round < ROUNDS; round++) {
		guest_offer(g, 24);
		for (i = 0; i < 8; i++)
			buffers += guest_feed(g, 60 + (round * 8 + i) * 997 % 8900);
		guest_send(g, 16);
		vq_kick(&g->q[Q_TX]);
		if (!CHECK(vq_wait(&g->q[Q_RX], buffers, WAIT_MS)) ||
		    !CHECK(vq_wait(&g->q[Q_TX], g->tx_sent, WAIT_MS)))
			return;
		/* Use up what is left, so that the ring never overflows. */
		while (g->rx_offered - buffers > 100) {
			buffers += guest_feed(g, 60);
			vq_wait(&g->q[Q_RX], buffers, WAIT_MS);
		}
	}
}

/* Pages that the driver writes are for the driver to log. */
static bool ours(const struct guest *g, uint64_t off)
{
	unsigned int i;

	if (off / PAGE == AT_TX / PAGE)
		return true;
	for (i = 0; i < 2; i++) {
		uint64_t ring = AT_RING * i;

		if (off >= ring + AT_DESC && off < ring + (AT_AVAIL + VQ_AVAIL_BYTES))
			return true;
	}
	return false;
}

void dirty_copy(struct guest *g)
{
	struct copy c = { .g = g, .to = malloc(REGIONS * REGION) };
	unsigned int i, page, behind = 0;
	pthread_t thread;

	MUST(c.to, "malloc");
	CHECK_EQ(guest_log(g, true), 0);
	guest_rest(g);
	for (i = 0; i < REGIONS; i++)
		memcpy(c.to + i * REGION, g->region[i], REGION);
	MUST(!pthread_create(&thread, NULL, migrate, &c), "thread");
	traffic(g);
	for (i = 0; i < 2; i++)
		CHECK_EQ(node_backend(g->node, i, -1), 0);
	atomic_store(&c.stop, true);
	pthread_join(thread, NULL);
	pass(&c);
	for (page = 0; page < PAGES; page++)
		if (!ours(g, page * PAGE) &&
		    memcmp(c.to + page * PAGE, guest_at(g, page * PAGE), PAGE) && !behind++)
			t_diag("page 0x%lx of the copy is old", page * PAGE);
	CHECK_EQ(behind, 0);
	CHECK(c.passes > 2);
	t_diag("%u pages copied in %u passes", c.pages, c.passes);
	free(c.to);
}

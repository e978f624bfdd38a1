// SPDX-License-Identifier: GPL-2.0-only
/*
 * busy: the look at a polled queue between two works of its worker.
 *
 * A sibling that has had its share queues its work again, so the worker is never
 * without. Receive is that sibling here; the pages of two of its buffers are
 * kept away (userfaultfd), the first and the one with which its second share
 * begins. So the worker stands still where it can be asked what it has done in
 * between, and nothing depends on when anything happens.
 */
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "away.h"
#include "busy.h"

/* A queue's share, in frames: stock's and ours. */
#define SHARE	256u
#define FED	(SHARE + 2)

/* The worker stands at the buffer @slot. */
static bool stands(struct guest *g, int fd, unsigned int slot)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uintptr_t at = (uintptr_t)(g->buf[Q_RX] + slot * SLOT);
	struct uffd_msg m;

	return CHECK(poll(&p, 1, SOON_MS) == 1) && CHECK(read(fd, &m, sizeof(m)) == sizeof(m)) &&
	       CHECK_EQ(m.event, UFFD_EVENT_PAGEFAULT) &&
	       CHECK_EQ(m.arg.pagefault.address & ~(uintptr_t)(PAGE - 1), at);
}

static void release(struct guest *g, int fd, unsigned int slot)
{
	away_bring(fd, g->buf[Q_RX] + slot * SLOT, NULL);
}

static void feed(struct guest *g, unsigned int n)
{
	uint8_t frame[FRAME];

	frame_make(frame, FRAME, 1);
	while (n--)
		CHECK(tap_feed(&g->tap, frame, FRAME));
}

/* All that may have had transmit visited, should it not have been found by a look. */
static void tell(struct guest *g, const char *when)
{
	static const char *const names[] = { "polls", "poll_hits", "poll_rests", "poll_yields",
					     "poll_looks", "kicks", "inval_hit", "inval_missed",
					     "maps", "retries", "packets" };
	char text[400] = "";
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		n += snprintf(text + n, sizeof(text) - n, ", %s %" PRIu64, names[i],
			      guest_stat(g, Q_TX, names[i]));
	t_diag("%s: transmit%s", when, text + 1);
}

int guest_keep(struct guest *g)
{
	static const unsigned int slots[] = { 0, SHARE };
	int fd = away_open();
	unsigned int i;

	if (fd < 0)
		return fd;
	for (i = 0; i < FED; i++)
		guest_offer(g, Q_RX);
	/*
	 * Kicked and not yet visited, receive would be told of the first frame by its
	 * socket, too: two works in one batch, which nothing is looked at between. With
	 * the same eventfd this is no more than a wait for what is queued.
	 */
	CHECK_EQ(node_file(g->node, VHOST_SET_VRING_KICK, Q_RX, g->q[Q_RX].kick), 0);
	for (i = 0; i < ARRAY_SIZE(slots); i++)
		away_keep(fd, g->buf[Q_RX] + slots[i] * SLOT, PAGE);
	return fd;
}

enum held guest_held(struct guest *g, int fd)
{
	uint64_t hits, kicks = g->kicks[Q_TX];
	const uint8_t *last = g->buf[Q_RX] + (FED - 1) * SLOT;
	bool polled;

	feed(g, 1);
	if (!stands(g, fd, 0))
		return HELD_RESTED;
	feed(g, FED - 1);
	hits = guest_stat(g, Q_TX, "poll_hits");
	tell(g, "before");
	guest_offer(g, Q_TX);
	polled = g->kicks[Q_TX] == kicks;
	release(g, fd, 0);
	/* Receive has had one share, and is at work again. */
	if (stands(g, fd, SHARE) && polled)
		CHECK_EQ(guest_stat(g, Q_TX, "poll_hits"), hits + 1);
	tell(g, "after");
	release(g, fd, SHARE);
	CHECK(vq_wait(&g->q[Q_RX], FED, SOON_MS));
	CHECK(frame_is(last + HDR, FRAME, 1));
	guest_sent(g);
	return polled ? HELD_POLLED : HELD_RESTED;
}

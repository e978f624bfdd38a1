// SPDX-License-Identifier: GPL-2.0-only
/*
 * aging: rings under memory pressure that only the back end touches.
 *
 *	aging NODE SECONDS
 *
 * Several devices. The driver never touches a ring again once the windows are
 * mapped; half of the devices is kicked all the time, so their worker looks
 * into the ring; the other half sleeps. Prints "ready" when the pressure may
 * begin, and in the end a line for either half:
 *
 *	busy|idle pages=N resident=N samples=N present=N hits=N bursts=N user=N
 *
 * @resident: of @pages at the end; @present of @samples: looked at all the
 * time; @hits: windows that were taken away. It takes SECONDS, and up to six
 * times as long until less than a tenth of the idle half's pages is resident:
 * how fast reclaim goes is the machine's affair.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rig.h"
#include "test.h"

#define DEVICES		8
#define NUM		1024
/* Descriptors, avail, used: each on pages of its own. */
#define PAGES		(16 * NUM / PAGE + 1 + (8 * NUM + 6 + PAGE - 1) / PAGE)
#define PM_PRESENT	(1ull << 63)
#define SAMPLE_MS	20

static struct rig rig[DEVICES];

static unsigned int present(int pagemap, const void *at, unsigned int pages)
{
	uint64_t word[16];
	unsigned int i, n = 0;

	MUST(pread(pagemap, word, pages * 8, (uintptr_t)at / PAGE * 8) == pages * 8,
	     "pagemap");
	for (i = 0; i < pages; i++)
		n += !!(word[i] & PM_PRESENT);
	return n;
}

static unsigned int ring_present(int pagemap, const struct ring *q)
{
	return present(pagemap, q->desc, 16 * NUM / PAGE) + present(pagemap, q->avail, 1) +
	       present(pagemap, q->used, (8 * NUM + 6 + PAGE - 1) / PAGE);
}

struct half {
	const char *name;
	unsigned int first;
	uint64_t samples, present, hits, bursts, user;
};

static void look(struct half *h, int pagemap)
{
	unsigned int i;

	for (i = h->first; i < h->first + DEVICES / 2; i++) {
		h->samples += PAGES;
		h->present += ring_present(pagemap, &rig[i].q[Q_TX]);
	}
}

static void count(struct half *h, int sign)
{
	unsigned int i;

	for (i = h->first; i < h->first + DEVICES / 2; i++) {
		h->hits += sign * node_stat(rig[i].node, Q_TX, "inval_hit");
		h->bursts += sign * node_stat(rig[i].node, Q_TX, "bursts_direct");
		h->user += sign * node_stat(rig[i].node, Q_TX, "bursts_user");
	}
}

static unsigned int resident(const struct half *h, int pagemap)
{
	unsigned int i, n = 0;

	for (i = h->first; i < h->first + DEVICES / 2; i++)
		n += ring_present(pagemap, &rig[i].q[Q_TX]);
	return n;
}

static bool gone(const struct half *h, int pagemap)
{
	return resident(h, pagemap) * 10 <= PAGES * DEVICES / 2;
}

static void report(const struct half *h, int pagemap)
{
	printf("%s pages=%lu resident=%u samples=%llu present=%llu hits=%lld bursts=%lld user=%lld\n",
	       h->name, PAGES * DEVICES / 2, resident(h, pagemap), (unsigned long long)h->samples,
	       (unsigned long long)h->present, (long long)h->hits, (long long)h->bursts,
	       (long long)h->user);
}

int main(int argc, char **argv)
{
	const struct rig_opts o = {
		.node = argc > 1 ? argv[1] : NULL, .features = RIG_FEATURES, .num = NUM,
		.batch = true,
	};
	struct half busy = { "busy", 0 }, idle = { "idle", DEVICES / 2 };
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t end, last, next = 0;
	unsigned int i, j;

	if (argc != 3) {
		fprintf(stderr, "usage: aging NODE SECONDS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	MUST(pagemap >= 0, "pagemap");
	for (i = 0; i < DEVICES; i++) {
		rig_open(&rig[i], &o);
		for (j = 0; j < 4; j++)
			rig_tx_good(&rig[i], j);
	}
	count(&busy, -1);
	count(&idle, -1);
	printf("ready\n");
	end = now_ns() + atoi(argv[2]) * 1000 * NS_PER_MS;
	last = end + 5 * (end - now_ns());
	while (now_ns() < end || (!gone(&idle, pagemap) && now_ns() < last)) {
		for (i = 0; i < DEVICES / 2; i++)
			event_post(rig[i].q[Q_TX].kick);
		usleep(300);
		if (now_ns() < next)
			continue;
		next = now_ns() + SAMPLE_MS * NS_PER_MS;
		look(&busy, pagemap);
		look(&idle, pagemap);
	}
	count(&busy, 1);
	count(&idle, 1);
	report(&busy, pagemap);
	report(&idle, pagemap);
	/* Both have survived it. */
	for (i = 0; i < DEVICES; i++) {
		rig_tx_good(&rig[i], 5);
		rig_close(&rig[i]);
	}
	return t_errors() > 0;
}

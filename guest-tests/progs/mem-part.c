// SPDX-License-Identifier: GPL-2.0-only
/* Parts of a running ring that grow. */
#define _GNU_SOURCE
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem-dev.h"

static bool taken_away(struct md *d, uint8_t *at, int prot)
{
	uint64_t hits;

	md_traffic_direct(d);
	hits = md_stats(d, "inval_hit");
	MD_EXPECT(!mprotect(at, MD_PAGE, PROT_NONE) && !mprotect(at, MD_PAGE, prot),
		  "mprotect: %m");
	return md_stats(d, "inval_hit") > hits;
}

/* The windows go with this page. */
static void guarded(struct md *d, uint8_t *at, int prot, const char *what)
{
	unsigned int tries;

	/* Something else may take them away first, now and then. */
	for (tries = 0; !taken_away(d, at, prot); tries++)
		MD_EXPECT(tries < 3, "%s: its page went, the windows stayed", what);
}

/* Where the device says which frame to tell it of: behind the last element. */
static void event_moves(struct md *d)
{
	const struct md_ring *r = &d->ring[MD_TX];
	const uint16_t *event = (const uint16_t *)&r->used->ring[d->num];
	unsigned int tries;

	for (tries = 0; __atomic_load_n(event, __ATOMIC_RELAXED) != r->added; tries++) {
		MD_EXPECT(tries < 500, "avail_event is %u, not %u", *event, r->added);
		usleep(10000);
	}
}

/*
 * With EVENT_IDX a used ring is two bytes longer: here they begin a page. Its pages are
 * neighbours in memory, too, so that without a window there the word would be right
 * nevertheless, and nobody else's page be written to: but nothing would take it away.
 */
static void features(void)
{
	struct md d = { .num = MD_LARGE, .used_off = MD_PAGE - 4 };
	uint8_t *area = md_thp();
	unsigned int i;

	/* From now on each page may be protected by itself. */
	MD_EXPECT(!mprotect(area + MD_LARGE_AREA, MD_PAGE, PROT_NONE), "mprotect: %m");
	md_open(&d, area);
	md_traffic_direct(&d);
	md_features(&d, 1ULL << VIRTIO_RING_F_EVENT_IDX);
	md_traffic_direct(&d);
	event_moves(&d);
	for (i = 0; i < MD_RINGS; i++)
		guarded(&d, md_part(&d, i, MD_USED) + 3 * MD_PAGE, PROT_READ | PROT_WRITE,
			"avail_event");
	md_traffic_direct(&d);
	event_moves(&d);
}

const struct md_case md_part_cases[] = {
	{ "features", features, "a used ring that is longer with a running device's new features" },
	{ 0 }
};

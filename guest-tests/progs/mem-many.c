// SPDX-License-Identifier: GPL-2.0-only
/* Many rings of one process: each page's going is told to the ring it is of, to no other. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "mem-dev.h"

#define DEVICES		8
#define RINGS		(DEVICES * MD_RINGS)
#define NOBODY		RINGS
#define RW		(PROT_READ | PROT_WRITE)

static struct md dev[DEVICES];
static bool gone[DEVICES];

/* How many callbacks found each ring concerned, with windows or just then without. */
static void told(uint64_t *n)
{
	unsigned int i;

	for (i = 0; i < RINGS; i++)
		n[i] = gone[i / MD_RINGS] ? 0 :
		       md_stat(&dev[i / MD_RINGS], i % MD_RINGS, "inval_hit") +
		       md_stat(&dev[i / MD_RINGS], i % MD_RINGS, "inval_missed");
}

/* Returns a ring that was told though the page isn't its own, or NOBODY. */
static unsigned int strike(uint8_t *page, unsigned int owner)
{
	uint64_t before[RINGS], after[RINGS];
	unsigned int i, other = NOBODY;

	told(before);
	MD_EXPECT(!mprotect(page, MD_PAGE, PROT_READ) && !mprotect(page, MD_PAGE, RW), "mprotect: %m");
	told(after);
	for (i = 0; i < RINGS; i++) {
		if (i == owner)
			MD_CERTAIN(after[i] >= before[i] + 2, "ring %u of device %u isn't told of its page %p",
				   i % MD_RINGS, i / MD_RINGS, page);
		else if (after[i] != before[i])
			other = i;
	}
	return other;
}

static void strike_page(uint8_t *page, unsigned int owner)
{
	unsigned int other = NOBODY, tries;

	/* Something else may take one of theirs, now and then. */
	for (tries = 0; tries < 3; tries++) {
		other = strike(page, owner);
		if (other == NOBODY)
			return;
	}
	md_fail("ring %u of device %u is told of %p, which isn't its page", other % MD_RINGS,
		other / MD_RINGS, page);
}

/* Each page of a part, and those behind it up to the next. */
static void strike_part(unsigned int n, unsigned int ring, unsigned int part)
{
	const struct md *d = &dev[n];
	uint8_t *at = md_part(d, ring, part);
	const unsigned int room = (md_part(d, 0, 1) - md_part(d, 0, 0)) / MD_PAGE;
	unsigned int i;

	for (i = 0; i < room; i++)
		strike_page(at + i * MD_PAGE, i < md_part_pages(d, part) && !gone[n] ?
			    n * MD_RINGS + ring : NOBODY);
}

static void strike_all(void)
{
	unsigned int n, ring, part;

	for (n = 0; n < DEVICES; n++)
		for (ring = 0; ring < MD_RINGS; ring++)
			for (part = 0; part < MD_PARTS; part++)
				strike_part(n, ring, part);
}

/* A search through few spans doesn't come to what one through many does. */
static void many_rings(void)
{
	unsigned int n;

	for (n = 0; n < DEVICES; n++) {
		dev[n].num = MD_LARGE;
		dev[n].used_off = MD_PAGE / 2;
		md_open(&dev[n], md_map(MD_LARGE_AREA, -1));
		md_traffic_direct(&dev[n]);
	}
	strike_all();
	for (n = 0; n < DEVICES; n++)
		md_traffic_direct(&dev[n]);
	/* Every third device goes, with its spans. */
	for (n = 0; n < DEVICES; n += 3) {
		MD_EXPECT(!close(dev[n].vhost), "close: %m");
		gone[n] = true;
	}
	strike_all();
	for (n = 0; n < DEVICES; n++)
		if (!gone[n])
			md_traffic_direct(&dev[n]);
}

const struct md_case md_many_cases[] = {
	{ "many-rings", many_rings, "sixteen rings of a process: each page that goes is told to its own" },
	{ 0 }
};

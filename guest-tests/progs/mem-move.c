// SPDX-License-Identifier: GPL-2.0-only
/* The rings' pages or addresses change, or are of a kind without a direct map. */
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mem-dev.h"
#include "proc.h"

#define RINGS_PAGES (MD_AREA / MD_PAGE)

/* To another address and the device is told, all in the middle of work. */
static void mremap_addr(void)
{
	struct md d = { 0 };
	uint8_t *area, *place[2];
	unsigned int i, ring;

	srand(1);
	area = md_map(MD_AREA, -1);
	place[0] = area;
	place[1] = md_map(MD_AREA, -1);
	md_open(&d, area);
	md_traffic_direct(&d);
	/* An odd number: in the end the rings are not where they began. */
	for (i = 1; i <= 201; i++) {
		uint8_t *to = place[i % 2];

		md_feed(&d, 40);
		md_send(&d, 60);
		usleep(rand() % 150);
		MD_EXPECT(mremap(area, MD_AREA, MD_AREA, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to,
			  "mremap: %m");
		/* Readable, it would be a ring to whoever isn't told yet, of zeros. */
		MD_EXPECT(mmap(area, MD_AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			  area, "mmap: %m");
		area = to;
		md_place(&d, area);
		md_addr(&d);
		for (ring = 0; ring < MD_RINGS; ring++) {
			md_kick(&d, ring);
			md_error(&d, ring, 0);
		}
		md_settle(&d);
	}
	MD_EXPECT(md_stats(&d, "inval_hit") >= MD_RINGS, "mremap took no window away");
	md_traffic_direct(&d);
}

/*
 * The driver copies its rings elsewhere and tells the device. The old place stays as
 * it was: no invalidation says that it doesn't matter any more.
 */
static void set_addr(void)
{
	uint8_t *place[2] = { md_map(MD_AREA, -1), md_map(MD_AREA, -1) };
	struct md d = { 0 };
	unsigned int i;

	md_open(&d, place[0]);
	for (i = 1; i <= 31; i++) {
		md_traffic_direct(&d);
		memcpy(place[i % 2], d.area, MD_AREA);
		md_place(&d, place[i % 2]);
		md_addr(&d);
		md_traffic(&d, 2);
	}
	md_traffic_direct(&d);
}

/* Moves the rings to @node and returns how many pages are there. */
static unsigned int move_to(uint8_t *area, int node)
{
	int nodes[RINGS_PAGES], status[RINGS_PAGES];
	void *pages[RINGS_PAGES];
	unsigned int i, there = 0;

	for (i = 0; i < RINGS_PAGES; i++) {
		pages[i] = area + i * MD_PAGE;
		nodes[i] = node;
	}
	if (syscall(SYS_move_pages, 0, RINGS_PAGES, pages, nodes, status, MPOL_MF_MOVE) < 0)
		md_skip("move_pages to node %d: %m (numa=fake=2?)", node);
	for (i = 0; i < RINGS_PAGES; i++)
		there += status[i] == node;
	return there;
}

static void migrate(void)
{
	struct md d = { 0 };
	uint8_t *area = md_map(MD_AREA, -1);
	unsigned int i, moved = 0;
	uint64_t hits;

	move_to(area, 0);
	md_open(&d, area);
	md_traffic_direct(&d);
	hits = md_stats(&d, "inval_hit");
	for (i = 1; i <= 100; i++) {
		md_feed(&d, 40);
		md_send(&d, 60);
		moved += move_to(area, i % 2) == RINGS_PAGES;
		md_settle(&d);
	}
	MD_EXPECT(moved > 50, "only %u of 100 migrations moved all pages", moved);
	/* A window that was just taken away is mapped again some ticks later only. */
	MD_EXPECT(md_stats(&d, "inval_hit") - hits >= moved / 10, "%lu windows taken away by %u migrations",
		  (unsigned long)(md_stats(&d, "inval_hit") - hits), moved);
	md_traffic_direct(&d);
}

static bool neighbours(const uint8_t *at)
{
	const uint64_t pfn = (1ULL << 55) - 1;

	return (md_pagemap(at + MD_PAGE) & pfn) == (md_pagemap(at) & pfn) + 1;
}

/* Makes sure that a page and the next don't lie side by side in the direct map. */
static void part_pages(uint8_t *at)
{
	unsigned int i;

	for (i = 0; i < 64 && neighbours(at); i++) {
		MD_EXPECT(!madvise(at, MD_PAGE, MADV_DONTNEED), "madvise: %m");
		/* The page just freed would come back: take it for something else. */
		md_map(MD_PAGE, -1);
		*(volatile uint8_t *)at = 0;
	}
	if (neighbours(at))
		md_skip("the kernel hands out neighbouring pages only");
}

/* Descriptors at 16n+8, which the interface allows: one lies across two pages. */
static void desc_straddles(void)
{
	struct md d = { .desc_off = MD_PAGE - 64 * 16 - 8, .avail_off = MD_PAGE / 2 };
	uint8_t *area = md_map(MD_AREA, -1);
	unsigned int i;

	for (i = 0; i < MD_RINGS; i++)
		part_pages(area + i * MD_PARTS * MD_PAGE);
	md_open(&d, area);
	md_traffic_direct(&d);
	md_traffic(&d, 50);
	md_traffic_direct(&d);
}

/*
 * From one attempt to the next the time doubles, up to a tenth of a second: seven doublings at
 * most, whatever a tick is. Of the rest twice as many are let pass.
 */
static uint64_t most_failures(uint64_t began)
{
	return 10 + (now_ns() - began) / (50 * NS_PER_MS);
}

/* Without windows each burst may look for them; it does so now and then. */
static void backs_off(struct md *d, uint64_t began)
{
	unsigned int i;

	for (i = 0; i < MD_RINGS; i++) {
		uint64_t failures = md_stat(d, i, "map_failures");

		printf("ring %u: %lu failures, %lu bursts, %lu ms\n", i, (unsigned long)failures,
		       (unsigned long)md_stat(d, i, "bursts_user"),
		       (unsigned long)((now_ns() - began) / NS_PER_MS));
		MD_EXPECT(failures <= most_failures(began),
			  "ring %u looked for its pages %lu times in vain", i,
			  (unsigned long)failures);
	}
}

static void secretmem(void)
{
	int fd = syscall(SYS_memfd_secret, 0);
	const uint64_t began = now_ns();
	struct md d = { 0 };

	if (fd < 0)
		md_skip("memfd_secret: %m (secretmem.enable=1?)");
	MD_EXPECT(!ftruncate(fd, MD_AREA), "memfd_secret: %m");
	md_open(&d, md_map(MD_AREA, fd));
	md_traffic(&d, 300);
	MD_EXPECT(!md_stats(&d, "bursts_direct") && !md_stats(&d, "maps"),
		  "secret memory was mapped through the direct map");
	MD_EXPECT(md_stats(&d, "bursts_user") && md_stats(&d, "map_failures"), "nothing was tried");
	backs_off(&d, began);
}

/* Reclaimed to the swap device and faulted in by whoever comes first. */
static void swapped(void)
{
	unsigned int i, page, out = 0;
	struct md d = { 0 };
	uint8_t *area = md_map(MD_AREA, -1);
	char line[256];
	FILE *f = fopen("/proc/swaps", "r");

	if (!f || !fgets(line, sizeof(line), f) || !fgets(line, sizeof(line), f))
		md_skip("no swap device");
	fclose(f);
	md_open(&d, area);
	md_traffic_direct(&d);
	for (i = 0; i < 60; i++) {
		md_feed(&d, 40);
		md_send(&d, 60);
		/* Some rounds go without, in the middle of work. */
		if (i % 4) {
			md_settle(&d);
			md_drain();
		}
		md_pageout(area, MD_AREA);
		for (page = 0; page < RINGS_PAGES; page++)
			out += !!(md_pagemap(area + page * MD_PAGE) & MD_PM_SWAP);
		md_settle(&d);
	}
	MD_EXPECT(out >= 60, "only %u pages went to swap in 60 rounds", out);
	printf("%u pages swapped out\n", out);
	md_traffic_direct(&d);
}

const struct md_case md_move_cases[] = {
	{ "mremap", mremap_addr, "rings moved and SET_VRING_ADDR, in the middle of work" },
	{ "set-addr", set_addr, "rings copied elsewhere and SET_VRING_ADDR, the old ones left" },
	{ "migrate", migrate, "ring pages migrated between two nodes" },
	{ "swap", swapped, "ring pages swapped out" },
	{ "desc-straddles", desc_straddles, "a descriptor across two pages" },
	{ "secretmem", secretmem, "rings in memfd_secret: user access, tries now and then" },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rings go away, or may not be written, while the device needs them: it has to
 * say so by VRING_ERR, keep what it could not write, and go on with the next kick.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem-dev.h"
#include "movable.h"

#define RW (PROT_READ | PROT_WRITE)

/* The device looked for pages and gave up: it keeps no reference to those that it found. */
static void nobody_holds(void *at, size_t bytes)
{
	int held = mv_held(at, bytes / MD_PAGE);

	if (held < 0)
		md_skip("move_pages to another node: %m (numa=2?)");
	MD_EXPECT(!held, "somebody holds pages of the rings: %d of %lu can't be moved", held,
		  bytes / MD_PAGE);
}

/* Both queues run into the missing rings, then find them again. */
static void stopped_and_resumed(struct md *d, void (*restore)(struct md *d, void *arg), void *arg)
{
	uint64_t faults[MD_RINGS] = { md_stat(d, MD_RX, "faults"), md_stat(d, MD_TX, "faults") };
	unsigned int i;

	/* With nothing to do a queue need not look at its ring. */
	md_feed_tap(d, 20);
	for (i = 0; i < MD_RINGS; i++) {
		md_kick(d, i);
		MD_EXPECT(md_error(d, i, 3000), "ring %u: no VRING_ERR though it can't be written", i);
		MD_EXPECT(md_stat(d, i, "faults") > faults[i], "ring %u: no fault counted", i);
	}
	restore(d, arg);
	for (i = 0; i < MD_RINGS; i++)
		md_kick(d, i);
	md_settle(d);
	md_traffic_direct(d);
}

static void map_again(struct md *d, void *arg)
{
	void *p = mmap(d->area, MD_AREA, RW, MAP_SHARED | MAP_FIXED, *(int *)arg, 0);

	MD_EXPECT(p == d->area, "mmap: %m");
}

static void munmap_idle(void)
{
	struct md d = { 0 };
	uint64_t hits;
	void *area;
	int fd = md_memfd(&area);

	md_open(&d, area);
	md_traffic_direct(&d);
	hits = md_stats(&d, "inval_hit");
	MD_EXPECT(!munmap(area, MD_AREA), "munmap: %m");
	MD_EXPECT(md_stats(&d, "inval_hit") == hits + MD_RINGS, "munmap did not hit both rings");
	stopped_and_resumed(&d, map_again, &fd);
}

static void protect_again(struct md *d, void *arg)
{
	(void)arg;
	MD_EXPECT(!mprotect(d->area, MD_AREA, RW), "mprotect: %m");
}

/* Only the used parts become read-only: everything else still works. */
static void readonly_used(void)
{
	struct md d = { 0 };
	unsigned int i;

	md_open(&d, md_map(MD_AREA, -1));
	md_traffic_direct(&d);
	for (i = 0; i < MD_RINGS; i++)
		mprotect(md_part(&d, i, MD_USED), MD_PAGE, PROT_READ);
	stopped_and_resumed(&d, protect_again, NULL);
	nobody_holds(d.area, MD_AREA);
}

static void noaccess_all(void)
{
	struct md d = { 0 };

	md_open(&d, md_map(MD_AREA, -1));
	md_traffic_direct(&d);
	mprotect(d.area, MD_AREA, PROT_NONE);
	stopped_and_resumed(&d, protect_again, NULL);
	nobody_holds(d.area, MD_AREA);
}

/* After a memory error the owner puts new pages there, with what it knows they held. */
static void renew(struct md *d, void *was)
{
	void *p;

	munmap(d->area, MD_AREA);
	p = mmap(d->area, MD_AREA, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	MD_EXPECT(p == d->area, "mmap: %m");
	memcpy(d->area, was, MD_AREA);
}

#define POISON_ROUNDS	5

/*
 * Linux 6.12 and later treat MADV_HWPOISON as an error met by who calls it: of a
 * page that is dirty, as the device's are, it hears by SIGBUS, and goes on. One
 * who really met an error would hear of it for ever.
 */
static void on_poison(int sig)
{
	static unsigned int times;

	(void)sig;
	if (++times > POISON_ROUNDS * MD_AREA / MD_PAGE)
		_exit(1);
}

/* Gives a page up, which is refused for a while if somebody has it in hand. */
static void poison(uint8_t *page)
{
	unsigned int tries = 0;

	while (madvise(page, MD_PAGE, MADV_HWPOISON)) {
		if (errno != EBUSY)
			md_skip("MADV_HWPOISON: %m");
		MD_EXPECT(++tries < 100, "MADV_HWPOISON: %m, for a second");
		usleep(10000);
	}
}

/* The device must not use the pages that the kernel gave up, nor stop the machine. */
static void hwpoison(void)
{
	const struct sigaction sa = { .sa_handler = on_poison };
	static uint8_t was[MD_AREA];
	struct md d = { 0 };
	unsigned int round;
	uint64_t hits;

	MD_EXPECT(!sigaction(SIGBUS, &sa, NULL), "sigaction: %m");
	md_open(&d, md_map(MD_AREA, -1));
	for (round = 0; round < POISON_ROUNDS; round++) {
		size_t at;

		md_traffic_direct(&d);
		memcpy(was, d.area, MD_AREA);
		hits = md_stats(&d, "inval_hit");
		for (at = 0; at < MD_AREA; at += MD_PAGE)
			poison(d.area + at);
		MD_EXPECT(md_stats(&d, "inval_hit") == hits + MD_RINGS,
			  "the memory error did not hit both rings");
		/* An error of the round before may have been raised twice. */
		md_error(&d, MD_RX, 0);
		md_error(&d, MD_TX, 0);
		stopped_and_resumed(&d, renew, was);
	}
}

/* The device looks for a ring's pages, now or when it looks again after an event: it misses one. */
static bool misses(struct md *d, unsigned int ring, uint64_t before)
{
	unsigned int tries;

	for (tries = 0; tries < 500 && md_stat(d, ring, "map_failures") == before; tries++) {
		md_kick(d, ring);
		usleep(2000);
	}
	return md_stat(d, ring, "map_failures") > before;
}

/* Large rings whose descriptors, or used elements, end in a page that is out of reach. */
static void found_in_part_of(unsigned int part)
{
	struct md d = { .num = MD_LARGE };
	uint64_t failed[MD_RINGS];
	uint8_t *last[MD_RINGS];
	unsigned int i;

	md_open(&d, md_map(MD_LARGE_AREA, -1));
	for (i = 0; i < MD_RINGS; i++) {
		last[i] = md_part(&d, i, part) + (md_part_pages(&d, part) - 1) * MD_PAGE;
		/* Before, for it may miss the page at once, and then not look again for a while. */
		failed[i] = md_stat(&d, i, "map_failures");
		MD_EXPECT(!mprotect(last[i], MD_PAGE, PROT_NONE), "mprotect: %m");
	}
	/* It doesn't come as far as that page. */
	md_traffic(&d, 3);
	for (i = 0; i < MD_RINGS; i++) {
		MD_EXPECT(misses(&d, i, failed[i]), "ring %u: no page was missed", i);
		MD_EXPECT(!mprotect(last[i], MD_PAGE, RW), "mprotect: %m");
	}
	md_traffic_direct(&d);
	nobody_holds(d.area, MD_LARGE_AREA);
	md_traffic_direct(&d);
}

static void found_in_part(void)
{
	found_in_part_of(MD_DESC);
	found_in_part_of(MD_USED);
}

#define FLIGHT		(16ul << 20)
#define FLYING		(FLIGHT + MD_AREA)

/* All of it goes elsewhere, page by page: tables of pages as a whole would be too quick. */
static uint8_t *move_aside(uint8_t *all)
{
	uint8_t *to = mmap(NULL, FLYING + MD_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MD_EXPECT(to != MAP_FAILED, "mmap: %m");
	if (!(((uintptr_t)to ^ (uintptr_t)all) & ((2 << 20) - 1)))
		to += MD_PAGE;
	MD_EXPECT(mremap(all, FLYING, FLYING, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to,
		  "mremap: %m");
	return to;
}

/*
 * The rings are the last pages of much memory that goes at once: between the
 * start of that event and the moment when the rings go there is time enough for
 * a device that was looking for their pages to find them, still. Every other time
 * the pages stay, elsewhere, where it can be seen who has them.
 */
static void flight(void)
{
	uint8_t *all = md_map(FLYING, -1), *area = all + FLIGHT, *aside;
	static uint8_t was[MD_AREA];
	struct md d = { 0 };
	unsigned int round, i;

	srand(1);
	md_open(&d, area);
	for (round = 0; round < 12; round++) {
		md_traffic_direct(&d);
		memcpy(was, area, MD_AREA);
		MD_EXPECT(!mprotect(area, MD_AREA, PROT_READ) && !mprotect(area, MD_AREA, RW), "%m");
		md_kick(&d, MD_TX);
		usleep(rand() % 4000);
		aside = round % 2 ? move_aside(all) : all;
		MD_EXPECT(round % 2 || !munmap(all, FLYING), "munmap: %m");
		MD_EXPECT(mmap(all, FLYING, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			       0) == all, "mmap: %m");
		madvise(all, FLYING, MADV_NOHUGEPAGE);
		memset(all, 1, FLIGHT);
		memcpy(area, was, MD_AREA);
		for (i = 0; i < MD_RINGS; i++)
			md_kick(&d, i);
		if (aside == all)
			continue;
		nobody_holds(aside + FLIGHT, MD_AREA);
		MD_EXPECT(!munmap(aside, FLYING), "munmap: %m");
	}
	md_traffic_direct(&d);
}

/* Used rings over two pages each: an event on any page of the rings is theirs. */
static void every_page(void)
{
	struct md d = { .desc_off = MD_PAGE / 2, .used_off = MD_PAGE - 512 };
	uint8_t *area = md_map(MD_AREA + MD_PAGE, -1);
	unsigned int i;
	uint64_t hits;

	md_open(&d, area);
	for (i = 0; i <= MD_AREA / MD_PAGE; i++) {
		md_traffic_direct(&d);
		hits = md_stats(&d, "inval_hit");
		MD_EXPECT(!mprotect(area + i * MD_PAGE, MD_PAGE, PROT_READ), "mprotect: %m");
		MD_EXPECT(md_stats(&d, "inval_hit") > hits, "an event on page %u took no window away", i);
		MD_EXPECT(!mprotect(area + i * MD_PAGE, MD_PAGE, RW), "mprotect: %m");
		md_traffic(&d, 2);
	}
	md_traffic_direct(&d);
}

/* What happens beside the rings must not take windows away. */
static void neighbours(void)
{
	struct md d = { 0 };
	uint8_t *block = md_map(MD_AREA + 2 * MD_PAGE, -1), *last = block + MD_PAGE + MD_AREA;
	uint64_t hits, maps;
	unsigned int i;

	md_open(&d, block + MD_PAGE);
	md_traffic_direct(&d);
	hits = md_stats(&d, "inval_hit");
	maps = md_stats(&d, "maps");
	for (i = 0; i < 100; i++) {
		MD_EXPECT(!mprotect(block, MD_PAGE, PROT_NONE) && !mprotect(block, MD_PAGE, RW) &&
			  !madvise(last, MD_PAGE, MADV_DONTNEED) && !munmap(last, MD_PAGE), "%m");
		MD_EXPECT(mmap(last, MD_PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == last,
			  "mmap: %m");
		md_traffic(&d, 1);
	}
	MD_EXPECT(md_stats(&d, "inval_hit") == hits && md_stats(&d, "maps") == maps,
		  "%lu windows were taken away by events beside them",
		  (unsigned long)(md_stats(&d, "inval_hit") - hits));
}

/* Shared memory keeps its contents: MADV_DONTNEED only unmaps it. */
static void dontneed_shared(void)
{
	struct md d = { 0 };
	uint64_t hits;
	unsigned int i;
	void *area;

	md_memfd(&area);
	md_open(&d, area);
	md_traffic_direct(&d);
	hits = md_stats(&d, "inval_hit");
	for (i = 0; i < 200; i++) {
		md_feed(&d, 40);
		md_send(&d, 60);
		MD_EXPECT(!madvise(area, MD_AREA, MADV_DONTNEED), "madvise: %m");
		md_settle(&d);
	}
	MD_EXPECT(md_stats(&d, "inval_hit") > hits, "no window was taken away");
	md_traffic_direct(&d);
}

static void dontneed_unrelated(void)
{
	struct md d = { 0 };
	uint8_t *other = md_map(64 * MD_PAGE, -1);
	uint64_t hits;
	unsigned int i;

	md_open(&d, md_map(MD_AREA, -1));
	md_traffic_direct(&d);
	hits = md_stats(&d, "inval_hit");
	for (i = 0; i < 100; i++) {
		md_feed(&d, 40);
		md_send(&d, 60);
		MD_EXPECT(!madvise(other, 64 * MD_PAGE, MADV_DONTNEED), "madvise: %m");
		other[0] = i;
		md_settle(&d);
	}
	MD_EXPECT(md_stats(&d, "inval_hit") == hits, "windows were taken away by an event elsewhere");
	md_traffic_direct(&d);
}

const struct md_case md_fault_cases[] = {
	{ "munmap", munmap_idle, "rings unmapped, kicked, mapped again" },
	{ "readonly-used", readonly_used, "used rings read-only, kicked, writable again" },
	{ "noaccess", noaccess_all, "PROT_NONE on the rings, kicked, allowed again" },
	{ "found-in-part", found_in_part, "descriptors or used ring whose last page is PROT_NONE" },
	{ "flight", flight, "much memory goes at once, the rings last, while the device looks for them" },
	{ "hwpoison", hwpoison, "memory errors in all pages of the rings, kicked, new pages" },
	{ "every-page", every_page, "read-only for a moment, page by page, rings over several pages" },
	{ "neighbours", neighbours, "protection, MADV_DONTNEED, munmap of pages beside the rings" },
	{ "dontneed-shared", dontneed_shared, "MADV_DONTNEED on rings in shared memory" },
	{ "dontneed-unrelated", dontneed_unrelated, "MADV_DONTNEED on other private memory" },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the device alone has written is kept: it marks the pages dirty, where reclaim would
 * take those that are clean for the zeros, the file or the copy in swap that they once were.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem-dev.h"

#define HUGE (2UL << 20)

/*
 * Used rings of three pages, each of which the device writes to and has to mark: the first
 * has the index, the others elements alone. Packed rings of four, without an index.
 */
#define LARGE { .num = MD_LARGE, .used_off = MD_PAGE / 2 }

static size_t used_bytes(const struct md *d)
{
	return md_part_pages(d, md_written(d)) * MD_PAGE;
}

/*
 * Elements as no device writes them: an old page is told from one that was written since. In
 * a packed ring those that wait for the device are such ones.
 */
static void spoil(struct md *d)
{
	unsigned int i, n;

	md_ready(d);
	if (d->packed)
		return;
	for (i = 0; i < MD_RINGS; i++)
		for (n = 0; n < d->num; n++)
			d->ring[i].used->ring[n].id = ~0u;
}

static void reclaim_used(struct md *d)
{
	unsigned int i;

	md_drain();
	for (i = 0; i < MD_RINGS; i++)
		md_pageout(md_used_at(d, i), used_bytes(d));
}

static void kept_packed(const struct md *d)
{
	unsigned int i, n;

	for (i = 0; i < MD_RINGS; i++) {
		const struct vring_packed_desc *p = (void *)d->ring[i].desc;
		const uint16_t lap = d->ring[i].reaped - d->num;

		for (n = 0; n < d->num; n++)
			MD_CERTAIN(p[n].id == n && md_returned_packed(d, i, lap + n),
				   "ring %u: what the device wrote is gone: slot %u has id %x, flags %x",
				   i, n, p[n].id, p[n].flags);
	}
}

/* Is all there that the device wrote? */
static void kept(const struct md *d)
{
	unsigned int i, n;

	if (d->packed) {
		kept_packed(d);
		return;
	}
	for (i = 0; i < MD_RINGS; i++) {
		const struct md_ring *r = &d->ring[i];

		MD_CERTAIN(r->used->idx == r->reaped,
			   "ring %u: what the device wrote is gone: index %u, was %u", i,
			   r->used->idx, r->reaped);
		for (n = 0; n < d->num; n++)
			MD_CERTAIN(r->used->ring[n].id == n,
				   "ring %u: what the device wrote is gone: element %u has id %x",
				   i, n, r->used->ring[n].id);
	}
}

/* Writes to each page of the used rings by the device through its windows alone: was it so? */
static bool only_device_writes(struct md *d)
{
	uint64_t user = md_stats(d, "bursts_user");

	md_go(d);
	return md_stats(d, "bursts_user") == user;
}

static void free_used(struct md *d)
{
	unsigned int i;

	spoil(d);
	for (i = 0; i < MD_RINGS; i++)
		MD_EXPECT(!madvise(md_used_at(d, i), used_bytes(d), MADV_FREE),
			  "MADV_FREE: %m");
	md_drain();
}

/*
 * MADV_FREE makes the used rings' pages clean; only the device writes to them
 * afterwards. If its writes don't count, reclaim throws the pages away, as it
 * does with one that nobody wrote to, which is the proof that it tried.
 */
static void madv_free(void)
{
	uint8_t *control = md_map(MD_PAGE, -1);
	unsigned int round, dropped = 0;
	struct md d = LARGE;

	md_open(&d, md_map(MD_LARGE_AREA, -1));
	for (round = 0; round < 15; round++) {
		md_traffic_direct(&d);
		memset(control, 1, MD_PAGE);
		MD_EXPECT(!madvise(control, MD_PAGE, MADV_FREE), "MADV_FREE: %m");
		free_used(&d);
		/* A write by user access would leave its mark and prove nothing. */
		dropped += only_device_writes(&d);
		reclaim_used(&d);
		md_pageout(control, MD_PAGE);
		if (control[0])
			md_skip("reclaim left alone a page that it was free to drop");
		kept(&d);
	}
	MD_EXPECT(dropped >= 5, "only %u of 15 rounds were all direct", dropped);
	md_traffic_direct(&d);
}

/*
 * The device goes between its last write and reclaim: what it wrote must be kept,
 * though nobody is there any more to say so.
 */
static void teardown(void)
{
	uint8_t *control = md_map(MD_PAGE, -1);
	unsigned int round, direct = 0;

	for (round = 0; round < 10; round++) {
		struct md d = LARGE;

		md_open(&d, md_map(MD_LARGE_AREA, -1));
		md_traffic_direct(&d);
		memset(control, 1, MD_PAGE);
		MD_EXPECT(!madvise(control, MD_PAGE, MADV_FREE), "MADV_FREE: %m");
		free_used(&d);
		direct += only_device_writes(&d);
		MD_EXPECT(!close(d.vhost), "close: %m");
		reclaim_used(&d);
		md_pageout(control, MD_PAGE);
		if (control[0])
			md_skip("reclaim left alone a page that it was free to drop");
		kept(&d);
		close(d.tap);
		close(d.peer);
		MD_EXPECT(!munmap(d.area, MD_LARGE_AREA), "munmap: %m");
	}
	MD_EXPECT(direct >= 3, "only %u of 10 rounds were all direct", direct);
}

/* Each page has a copy on the swap device, and its owner only read it since. */
static bool swapped_in_for_reading(const struct md *d)
{
	unsigned int i, in = 0;
	size_t at;

	for (i = 0; i < MD_RINGS; i++) {
		for (at = 0; at < used_bytes(d); at += MD_PAGE) {
			const volatile uint8_t *page = md_used_at(d, i) + at;

			if (!(md_pagemap((const void *)page) & MD_PM_SWAP))
				continue;
			(void)*page;
			in += !!(md_pagemap((const void *)page) & MD_PM_PRESENT);
		}
	}
	return in == MD_RINGS * md_part_pages(d, md_written(d));
}

/*
 * Swapped in for reading, a page is clean: its copy on the swap device is as good.
 * From 6.2 on it may be writable nevertheless, so that GUP-fast meets no fault that
 * would mark it dirty; on 6.1 the write fault does.
 */
static void swap_read(void)
{
	const char *none = "in 20 rounds no page was swapped in and then written by the device alone";
	unsigned int round, direct = 0;
	struct md d = LARGE;
	bool in;

	md_open(&d, md_map(MD_LARGE_AREA, -1));
	for (round = 0; round < 20; round++) {
		md_traffic_direct(&d);
		spoil(&d);
		reclaim_used(&d);
		in = swapped_in_for_reading(&d);
		direct += only_device_writes(&d) && in;
		reclaim_used(&d);
		kept(&d);
	}
	MD_EXPECT(direct || !md_kernel_has(6, 2), "%s", none);
	if (!direct)
		md_skip("%s", none);
	printf("%u of 20 rounds\n", direct);
	md_traffic_direct(&d);
}

static int hole_open(size_t bytes)
{
	int fd = memfd_create("mem-cases", MFD_CLOEXEC);

	MD_EXPECT(fd >= 0 && !ftruncate(fd, bytes), "memfd: %m");
	return fd;
}

/* Pages of a file in memory that were read and never written to. */
static void hole_read(int fd, size_t from, const uint8_t *at, size_t bytes)
{
	MD_EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, bytes),
		  "punch: %m");
	for (; bytes; bytes -= MD_PAGE, at += MD_PAGE)
		(void)*(const volatile uint8_t *)at;
}

/* Does reclaim take a page that was read only, and leave nothing? */
static bool hole_goes(int fd, uint8_t *at)
{
	struct stat st;

	hole_read(fd, 0, at, MD_PAGE);
	md_drain();
	md_pageout(at, MD_PAGE);
	MD_EXPECT(!fstat(fd, &st), "fstat: %m");
	return !st.st_blocks;
}

static void gone(struct md *d)
{
	MD_EXPECT(!munmap(d->area, MD_LARGE_AREA), "munmap: %m");
	close(d->tap);
	close(d->peer);
}

/*
 * The used rings are holes of a file in memory that the driver has read: the kernel lets
 * who maps them write, and hears of no such write, for there is no file system to tell.
 * Until somebody marks them the pages are clean.
 */
static void shared_hole(void)
{
	int control = hole_open(MD_PAGE);
	uint8_t *page = md_map(MD_PAGE, control);
	unsigned int i, round, direct = 0;

	for (round = 0; round < 10; round++) {
		struct md d = LARGE;
		int fd = hole_open(MD_LARGE_AREA);

		md_open(&d, md_map(MD_LARGE_AREA, fd));
		md_rest();
		for (i = 0; i < MD_RINGS; i++)
			hole_read(fd, md_used_at(&d, i) - d.area, md_used_at(&d, i), used_bytes(&d));
		for (i = 0; i < MD_RINGS; i++)
			md_windows(&d, i);
		direct += only_device_writes(&d);
		reclaim_used(&d);
		if (!hole_goes(control, page))
			md_skip("reclaim left alone a page that it was free to drop");
		kept(&d);
		MD_EXPECT(!close(d.vhost), "close: %m");
		gone(&d);
		close(fd);
	}
	MD_EXPECT(direct >= 3, "only %u of 10 rounds were all direct", direct);
}

/* The used rings are in @to from now on, nothing being in them. */
static void place_used(struct md *d, uint8_t *to)
{
	unsigned int i;

	for (i = 0; i < MD_RINGS; i++, to += used_bytes(d))
		d->ring[i].used = (void *)(to + d->used_off);
	md_addr(d);
}

static uint8_t *written_thp(void)
{
	uint8_t *thp = md_thp();

	if (md_huge_kb(thp) * 1024 != HUGE)
		md_skip("there is no huge page");
	memset(thp, 0, HUGE);
	thp[HUGE - 1] = 1;
	return thp;
}

/* A huge page has one mark for all of it. */
static bool free_thp_round(void)
{
	uint8_t *thp = written_thp(), *control = written_thp();
	struct md d = LARGE;
	bool direct;

	md_open(&d, md_map(MD_LARGE_AREA, -1));
	place_used(&d, thp);
	md_traffic_direct(&d);
	spoil(&d);
	MD_EXPECT(!madvise(thp, HUGE, MADV_FREE) && !madvise(control, HUGE, MADV_FREE), "MADV_FREE: %m");
	md_drain();
	direct = only_device_writes(&d) && md_huge_kb(thp) * 1024 == HUGE;
	md_pageout(thp, HUGE);
	md_pageout(control, HUGE);
	if (control[HUGE - 1])
		md_skip("reclaim left alone a huge page that it was free to drop");
	kept(&d);
	MD_EXPECT(!close(d.vhost), "close: %m");
	MD_EXPECT(!munmap(thp, HUGE) && !munmap(control, HUGE), "munmap: %m");
	gone(&d);
	return direct;
}

static void madv_free_thp(void)
{
	unsigned int round, direct = 0;

	for (round = 0; round < 6; round++)
		direct += free_thp_round();
	MD_EXPECT(direct >= 2, "only %u of 6 rounds were all direct, on a huge page", direct);
}

const struct md_case md_dirty_cases[] = {
	{ "madv-free", madv_free, "MADV_FREE, writes by the device alone, reclaim" },
	{ "madv-free-thp", madv_free_thp, "the same of a huge page" },
	{ "teardown", teardown, "the same, with the device closed before reclaim" },
	{ "swap-read", swap_read, "swapped in for reading, writes by the device alone, reclaim" },
	{ "shared-hole", shared_hole, "a file's holes that were only read, writes by the device alone, reclaim" },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows that the device only reads through: they may lie where a used ring's can't, in
 * mappings that nobody may write to, in a file on a disk, on the page of zeros that all share.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem-dev.h"

#define HUGE (2UL << 20)
#define KPF_ZERO_PAGE (1ULL << 24)

/* The rings' read-only parts are where @told says, which is another mapping of the same. */
static void tell(struct md *d, struct md *told, void *at)
{
	unsigned int i;

	*told = *d;
	md_place(told, at);
	for (i = 0; i < MD_RINGS; i++)
		told->ring[i].used = d->ring[i].used;
	md_addr(told);
}

static void *only_to_read(int fd)
{
	void *only = mmap(NULL, MD_AREA, PROT_READ, MAP_SHARED, fd, 0);

	MD_EXPECT(only != MAP_FAILED, "mmap: %m");
	return only;
}

static void all_guarded(struct md *d, const struct md *told)
{
	md_guarded(d, md_part(told, MD_RX, MD_DESC), PROT_READ, "descriptors");
	md_guarded(d, md_part(told, MD_TX, MD_AVAIL), PROT_READ, "avail ring");
	md_guarded(d, (uint8_t *)d->ring[MD_TX].used, PROT_READ | PROT_WRITE, "used ring");
	md_traffic_direct(d);
}

/* What the device only reads it may be told of where nobody could write. */
static void read_only(void)
{
	struct md d = { 0 }, told;
	void *area;
	int fd;

	fd = md_memfd(&area);
	md_open(&d, area);
	md_traffic_direct(&d);
	md_move_used(&d);
	tell(&d, &told, only_to_read(fd));
	all_guarded(&d, &told);
}

/* @take has the file, the driver's mapping, and the one that the device was told of. */
struct file_event {
	const char *what;
	void (*take)(int fd, void *area, void *only);
};

static void take_hole(int fd, void *area, void *only)
{
	(void)area;
	(void)only;
	MD_EXPECT(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MD_AREA), "punch: %m");
}

static void take_end(int fd, void *area, void *only)
{
	(void)area;
	(void)only;
	MD_EXPECT(!ftruncate(fd, 0) && !ftruncate(fd, MD_AREA), "truncate: %m");
}

static void take_pages(int fd, void *area, void *only)
{
	MD_EXPECT(!fsync(fd), "fsync: %m");
	/* What is mapped twice MADV_PAGEOUT leaves alone. */
	MD_EXPECT(!munmap(area, MD_AREA), "munmap: %m");
	md_drain();
	md_pageout(only, MD_AREA);
	MD_EXPECT(mmap(area, MD_AREA, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == area,
		  "mmap: %m");
}

static const struct file_event file_events[] = {
	{ "hole punched", take_hole },
	{ "truncated", take_end },
	{ "reclaimed", take_pages },
};

/* The device sleeps, and so it asks for nothing until the contents are there again. */
static void file_round(struct md *d, int fd, uint8_t *area, void *only, const struct file_event *e)
{
	static uint8_t was[MD_AREA];
	uint64_t hits;

	md_traffic_direct(d);
	md_rest();
	memcpy(was, area, MD_AREA);
	hits = md_stat(d, MD_TX, "inval_hit");
	e->take(fd, area, only);
	MD_EXPECT(md_stat(d, MD_TX, "inval_hit") > hits, "%s: the windows stayed", e->what);
	memcpy(area, was, MD_AREA);
	md_traffic_direct(d);
}

/*
 * Descriptors and avail ring in the page cache of a file system that has to be told of
 * writes: of which the device makes none there. Written back they are amid traffic, for
 * which the kernel protects the driver's mapping, but not what the device reads.
 */
static void read_only_file(void)
{
	const char *path = getenv("MEM_FILE");
	struct md d = { 0 }, told;
	unsigned int i, round;
	uint8_t *area;
	void *only;
	int fd;

	if (!path)
		md_skip("%s", getenv("MEM_NO_FILE") ?: "no $MEM_FILE");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MD_EXPECT(fd >= 0 && !ftruncate(fd, MD_AREA), "%s: %m", path);
	area = md_map(MD_AREA, fd);
	md_open(&d, area);
	md_move_used(&d);
	only = only_to_read(fd);
	tell(&d, &told, only);
	all_guarded(&d, &told);
	for (round = 0; round < 20; round++) {
		md_traffic(&d, 2);
		MD_EXPECT(!fsync(fd), "fsync: %m");
	}
	for (i = 0; i < sizeof(file_events) / sizeof(file_events[0]); i++)
		file_round(&d, fd, area, only, &file_events[i]);
}

static bool is_zero_page(const void *at)
{
	const uint64_t pfn = md_pagemap(at) & ((1ULL << 55) - 1);
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags;

	MD_EXPECT(fd >= 0 && pread(fd, &flags, 8, pfn * 8) == 8, "kpageflags: %m");
	close(fd);
	return flags & KPF_ZERO_PAGE;
}

static bool replaced(struct md *d, uint8_t *at, size_t bytes)
{
	uint8_t was[MD_PAGE];
	uint64_t hits;

	md_traffic_direct(d);
	md_rest();
	memcpy(was, at, MD_PAGE);
	/* Not MADV_DONTNEED: of a huge page that was parted it leaves the table of small ones. */
	MD_EXPECT(mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) == at, "mmap: %m");
	madvise(at, bytes, bytes == HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	(void)*(volatile uint8_t *)at;
	if (!is_zero_page(at) || !is_zero_page(at + bytes - MD_PAGE))
		md_skip("what was read only isn't the page of zeros here: pagemap %lx",
			(unsigned long)md_pagemap(at));
	md_windows(d, MD_TX);
	hits = md_stat(d, MD_TX, "inval_hit");
	memcpy(at, was, MD_PAGE);
	return md_stat(d, MD_TX, "inval_hit") > hits;
}

/* The first write to what was only read puts another page in the place of the zeros. */
static void first_write(struct md *d, uint8_t *at, size_t bytes)
{
	unsigned int round, tries;

	for (round = 0; round < 5; round++) {
		/* Something else may take them away first, now and then. */
		for (tries = 0; !replaced(d, at, bytes); tries++)
			MD_EXPECT(tries < 3, "the page of zeros went, the windows stayed");
		/* Of zeros no descriptor could be made. */
		md_traffic(d, 2);
	}
	md_traffic_direct(d);
}

static void zero_page(void)
{
	struct md d = { 0 };

	md_open(&d, md_map(MD_AREA, -1));
	first_write(&d, md_part(&d, MD_TX, MD_DESC), MD_PAGE);
}

static void zero_page_huge(void)
{
	uint8_t *thp = md_thp();
	struct md d = { 0 };

	md_open(&d, md_map(MD_AREA, -1));
	md_traffic(&d, 1);
	memcpy(thp, d.ring[MD_TX].desc, MD_PAGE);
	d.ring[MD_TX].desc = (void *)thp;
	md_addr(&d);
	first_write(&d, thp, HUGE);
}

const struct md_case md_read_cases[] = {
	{ "read-only", read_only, "descriptors and avail ring mapped read-only" },
	{ "read-only-file", read_only_file, "the same of a file on a disk, written back, truncated" },
	{ "zero-page", zero_page, "descriptors on the page of zeros, then written to" },
	{ "zero-page-huge", zero_page_huge, "the same on the huge page of zeros" },
	{ 0 }
};

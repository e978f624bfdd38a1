// SPDX-License-Identifier: GPL-2.0-only
/* Rings in memory of the kind that $MEM_KIND names, as bench/vring's --mem does. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem-dev.h"

#define HUGE (2UL << 20)

static void *map_anonymous(size_t bytes, int flags)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	MD_EXPECT(p != MAP_FAILED, "mmap: %m");
	return p;
}

void *md_thp(void)
{
	uint8_t *p = map_anonymous(2 * HUGE, 0);

	p = (void *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(p, HUGE, MADV_HUGEPAGE);
	memset(p, 0, HUGE);
	return p;
}

static void *map_fd(int fd, const char *what)
{
	MD_EXPECT(fd >= 0 && !ftruncate(fd, MD_AREA), "%s: %m", what);
	return md_map(MD_AREA, fd);
}

static void *map_file(void)
{
	const char *path = getenv("MEM_PATH");
	int fd = open(path ? path : "", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	void *p = map_fd(fd, "$MEM_PATH");

	unlink(path);
	return p;
}

void *md_kind_area(void)
{
	const char *kind = getenv("MEM_KIND");

	if (!kind || !strcmp(kind, "4k"))
		return md_map(MD_AREA, -1);
	if (!strcmp(kind, "thp"))
		return md_thp();
	if (!strcmp(kind, "hugetlb"))
		return map_anonymous(HUGE, MAP_HUGETLB | MAP_HUGE_2MB);
	if (!strcmp(kind, "hugetlb1g"))
		return map_anonymous(1UL << 30, MAP_HUGETLB | MAP_HUGE_1GB);
	if (!strcmp(kind, "memfd"))
		return map_fd(memfd_create("mem-cases", MFD_CLOEXEC), "memfd");
	MD_EXPECT(!strcmp(kind, "file"), "no such $MEM_KIND: %s", kind);
	return map_file();
}

bool md_kind_is(const char *name)
{
	const char *kind = getenv("MEM_KIND");

	return kind && !strcmp(kind, name);
}

size_t md_kind_span(void)
{
	return md_kind_is("thp") || md_kind_is("hugetlb") ? HUGE : MD_AREA;
}

int md_kind_memfd(void)
{
	const int huge = md_kind_is("hugetlb") ? MFD_HUGETLB | MFD_HUGE_2MB : 0;
	int fd = memfd_create("rings", MFD_CLOEXEC | huge);

	MD_EXPECT(fd >= 0 && !ftruncate(fd, md_kind_span()), "memfd: %m");
	return fd;
}

void *md_kind_map(int fd)
{
	void *p;

	if (!md_kind_is("hugetlb"))
		return md_map(MD_AREA, fd);
	/* Where the kernel likes: not each address is a huge page's. */
	p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MD_EXPECT(p != MAP_FAILED, "mmap: %m");
	return p;
}

void md_kind_traffic(struct md *d)
{
	if (md_kind_is("file"))
		md_traffic(d, 8);
	else
		md_traffic_direct(d);
}

unsigned long md_kind_kb(void)
{
	return (md_kind_is("thp") ? HUGE : MD_AREA) / 1024;
}

unsigned long md_huge_kb(const void *at)
{
	unsigned long start, end, kb = 0;
	bool inside = false;
	char line[256];
	FILE *f = fopen("/proc/self/smaps", "r");

	MD_EXPECT(f, "/proc/self/smaps: %m");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start <= (unsigned long)at && end > (unsigned long)at;
		else if (inside && sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			break;
	}
	fclose(f);
	return kb;
}

// SPDX-License-Identifier: GPL-2.0-only
/* The guest's memory: which pages back it and how it is announced. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vring.h"

#define HUGE_SIZE (2UL << 20)

/*
 * Guest addresses are far from the user addresses and start at no power of
 * two, so that a back end that forgets to translate fails at once.
 */
#define GPA_BASE 0x1c0000000ULL

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

/* The pages that the memory is made of at least. */
size_t vr_mem_page(const struct vr_opts *o)
{
	return o->mem == VR_MEM_HUGE1G ? 1UL << 30 : o->mem == VR_MEM_HUGETLB ? HUGE_SIZE : 4096;
}

/* What mmap() is to be told for memory of this kind. */
int vr_mem_flags(const struct vr_opts *o, int fd)
{
	if (fd >= 0)
		return MAP_SHARED;
	if (o->mem == VR_MEM_HUGETLB)
		return MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB;
	if (o->mem == VR_MEM_HUGE1G)
		return MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB;
	return MAP_PRIVATE | MAP_ANONYMOUS;
}

/* Some address space stays free behind it: a neighbour for the memory events. */
static void *map_aligned(size_t size, const struct vr_opts *o, int fd)
{
	const int reserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t page = vr_mem_page(o) > HUGE_SIZE ? vr_mem_page(o) : HUGE_SIZE;
	uint8_t *p = mmap(NULL, size + 2 * page, PROT_NONE, reserve, -1, 0);
	uint8_t *at;

	if (p == MAP_FAILED)
		vr_die_errno("address space for %zu bytes", size);
	at = (uint8_t *)round_up((uintptr_t)p, page);
	return mmap(at, size, PROT_READ | PROT_WRITE, MAP_FIXED | vr_mem_flags(o, fd), fd, 0);
}

static int open_backing(const struct vr_opts *o, size_t size)
{
	int fd;

	if (o->mem == VR_MEM_MEMFD) {
		fd = memfd_create("vring", MFD_CLOEXEC);
	} else if (o->mem == VR_MEM_SECRET) {
		fd = syscall(SYS_memfd_secret, 0);
	} else if (o->shared) {
		fd = memfd_create("vring", MFD_CLOEXEC | MFD_HUGETLB |
				  (o->mem == VR_MEM_HUGE1G ? MAP_HUGE_1GB : MAP_HUGE_2MB));
	} else {
		fd = open(o->mem_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		/* The mapping keeps it; nothing is left behind, whatever ends us. */
		if (fd >= 0)
			unlink(o->mem_path);
	}
	if (fd < 0)
		vr_die_errno("--mem %s: %s", vr_mem_names[o->mem], o->mem_path ? o->mem_path : "memfd");
	if (ftruncate(fd, size))
		vr_die_errno("--mem %s: %zu bytes", vr_mem_names[o->mem], size);
	return fd;
}

/* What the kernel says of huge pages now, in all mappings that the memory was cut into. */
unsigned long vr_mem_huge_kb(const struct vr_mem *m)
{
	unsigned long start, end, kb, sum = 0, at = (unsigned long)m->base;
	bool inside = false;
	char line[256];
	FILE *f = fopen("/proc/self/smaps", "r");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = start < at + m->size && end > at;
		else if (inside && (sscanf(line, "AnonHugePages: %lu", &kb) == 1 ||
				    sscanf(line, "Private_Hugetlb: %lu", &kb) == 1))
			sum += kb;
	}
	if (f)
		fclose(f);
	return sum;
}

/* Asks for small or huge pages; again whenever a part is mapped anew. */
void vr_mem_advise(void *at, size_t len, const struct vr_opts *o)
{
	if (o->mem == VR_MEM_4K || o->mem == VR_MEM_THP)
		madvise(at, len, o->mem == VR_MEM_THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

static bool has_file(const struct vr_opts *o)
{
	return o->shared || o->mem == VR_MEM_MEMFD || o->mem == VR_MEM_FILE ||
	       o->mem == VR_MEM_SECRET;
}

void vr_mem_alloc(struct vr_mem *m, size_t bytes, const struct vr_opts *o)
{
	size_t page = vr_mem_page(o);

	bytes += VR_SPARE_PAGES * 4096;
	m->size = round_up(bytes, page > HUGE_SIZE ? page : HUGE_SIZE);
	m->gpa = GPA_BASE;
	m->fd = has_file(o) ? open_backing(o, m->size) : -1;
	m->base = map_aligned(m->size, o, m->fd);
	if (m->base == MAP_FAILED)
		vr_die_errno("guest memory: --mem %s, %zu pages of %zu KiB", vr_mem_names[o->mem],
			     m->size / page, page / 1024);
	vr_mem_advise(m->base, m->size, o);
	/* All of it, but for the rest of a page that takes seconds to write. */
	memset(m->base, 0, o->mem == VR_MEM_HUGE1G ? bytes : m->size);
	m->huge_kb = vr_mem_huge_kb(m);
	if (o->mem == VR_MEM_THP && m->huge_kb < m->size / 1024)
		fprintf(stderr, "vring: only %lu of %zu KiB are on huge pages\n", m->huge_kb,
			m->size / 1024);
}

void *vr_mem_take(struct vr_mem *m, size_t bytes, size_t align, size_t offset)
{
	size_t at = round_up(m->used, align) + offset;

	if (at + bytes > m->size)
		vr_die("guest memory too small: a mistake in vring's own sums");
	m->used = at + bytes;
	return m->base + at;
}

/*
 * Cuts the pool into @want regions of whole pages, as even as they can be. The
 * cut falls where it falls: buffers may cross it, and a back end must cope.
 */
unsigned int vr_mem_regions(const struct vr_mem *m, unsigned int want, uint64_t start[],
			    uint64_t len[])
{
	uint64_t pages = m->size / 4096, at = 0;
	unsigned int i;

	if (want > pages)
		want = pages;
	for (i = 0; i < want; i++) {
		uint64_t end = pages * (i + 1) / want;

		start[i] = at * 4096;
		len[i] = (end - at) * 4096;
		at = end;
	}
	return want;
}

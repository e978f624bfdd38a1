// SPDX-License-Identifier: GPL-2.0-only
/* Memory events: mappings that change, move, or go and come back. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "events.h"

static int ev_cold(struct vr_run *r, struct vr_range w)
{
	(void)r;
	return madvise(w.at, w.len, MADV_COLD);
}

/*
 * To the other node than that of the first page there is. One in use may stay (-EBUSY), so it was
 * refused if most did; of a file's, which its file system may hold, if all. Where they are in the
 * end is asked for: of a huge page that goes over all but one are called busy.
 */
static int ev_movepages(struct vr_run *r, struct vr_range w)
{
	size_t step = vr_mem_page(r->o) > PAGE ? vr_mem_page(r->o) : PAGE;
	unsigned int i, n = w.len / PAGE < 64 ? w.len / PAGE : 64;
	int nodes[64], was[64], is[64], status[64], node = -1, wanted = 0, moved = 0;
	void *pages[64];

	w = vr_whole_pages(r, w);
	if (step > PAGE)
		n = 1;
	for (i = 0; i < n; i++)
		pages[i] = w.at + i * step;
	if (syscall(SYS_move_pages, 0, n, pages, NULL, was, 0) < 0)
		return -1;
	for (i = 0; i < n && node < 0; i++)
		if (was[i] >= 0)
			node = !was[i];
	for (i = 0; i < n; i++)
		nodes[i] = node < 0 ? 0 : node;
	if (syscall(SYS_move_pages, 0, n, pages, nodes, status, MPOL_MF_MOVE) < 0 ||
	    syscall(SYS_move_pages, 0, n, pages, NULL, is, 0) < 0)
		return -1;
	for (i = 0; i < n; i++) {
		wanted += was[i] >= 0 && was[i] != node;
		moved += was[i] >= 0 && was[i] != node && is[i] == node;
	}
	if (r->o->mem == VR_MEM_FILE)
		wanted = 0;
	errno = EBUSY;
	return moved && moved * 2 >= wanted ? 0 : -1;
}

static void ring_pfns(struct vr_run *r, uint64_t *pfn, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint64_t word = vr_pagemap(r->mem.base + i * PAGE);

		pfn[i] = word & VR_PM_PRESENT ? word & VR_PM_PFN : 0;
	}
}

/* Small pages, of both nodes by turns. */
static uint8_t *hog(size_t len)
{
	unsigned long nodes = 3;
	uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t at;

	if (p == MAP_FAILED)
		vr_die("out of memory");
	madvise(p, len, MADV_NOHUGEPAGE);
	syscall(SYS_mbind, p, len, MPOL_INTERLEAVE, &nodes, 8 * sizeof(nodes), 0);
	for (at = 0; at < len; at += PAGE)
		p[at] = 1;
	return p;
}

/* One page of sixteen stays. */
static void thin(uint8_t *p, size_t len)
{
	size_t at;

	for (at = 0; at < len; at += 16 * PAGE)
		madvise(p + at + PAGE, 15 * PAGE, MADV_DONTNEED);
}

static int compact(void)
{
	return vr_file_write("/proc/sys/vm/compact_memory", "1");
}

/* Whether a page of the rings is elsewhere afterwards; -1 and errno if it can't be done. */
static int compact_moves(struct vr_run *r, unsigned int n)
{
	uint64_t was[64], is[64];
	unsigned int i;

	vr_told_mark();
	ring_pfns(r, was, n);
	if (compact())
		return -1;
	ring_pfns(r, is, n);
	for (i = 0; i < n; i++)
		if (was[i] && is[i] && was[i] != is[i])
			return 1;
	return 0;
}

/*
 * Compaction that moves a page of the rings. It fills gaps further up in blocks that are in
 * part in use, never a block that is wholly free. So the rings get other pages,
 * on the other node, amid memory which then is full of gaps, whichever way the
 * kernel hands it out.
 */
static int ev_compacted(struct vr_run *r, struct vr_range w)
{
	unsigned int n = r->mem.ring_bytes / PAGE < 64 ? r->mem.ring_bytes / PAGE : 64;
	uint8_t *below, *above;
	int moved = 0;
	size_t len;

	(void)w;
	/* Those it leaves alone. */
	if (vr_on_huge_page(r->mem.base) == 1 || vr_mem_page(r->o) > PAGE)
		return compact();
	/* What lies further down fills the gaps first: less of that. */
	vr_file_write("/proc/sys/vm/drop_caches", "1");
	for (len = 8UL << 20; !moved && len <= 512UL << 20; len *= 4) {
		below = hog(len);
		ev_movepages(r, (struct vr_range){ r->mem.base, n * PAGE });
		above = hog(len);
		thin(below, len);
		thin(above, len);
		moved = compact_moves(r, n);
		munmap(below, len);
		munmap(above, len);
	}
	if (!moved)
		errno = EBUSY;
	return moved == 1 ? 0 : -1;
}

/* Where nothing smaller can be cut: the huge page that the range begins in. */
struct vr_range vr_whole_pages(struct vr_run *r, struct vr_range w)
{
	size_t page = vr_mem_page(r->o);

	if (page == PAGE)
		return w;
	return (struct vr_range){ r->mem.base + ((w.at - r->mem.base) & ~(page - 1)), page };
}

/* Reading and writing stay allowed throughout; mapping and VMA are cut in three. */
static int ev_split(struct vr_run *r, struct vr_range w)
{
	const int rw = PROT_READ | PROT_WRITE;

	(void)r;
	if (mprotect(w.at, PAGE, rw | PROT_EXEC))
		return -1;
	return mprotect(w.at, PAGE, rw);
}

static int ev_neighbour(struct vr_run *r, struct vr_range w)
{
	uint8_t *at = r->mem.base + r->mem.size;

	(void)w;
	if (mprotect(at, PAGE, PROT_READ | PROT_WRITE))
		return -1;
	*(volatile uint8_t *)at = 1;
	return mprotect(at, PAGE, PROT_NONE);
}

static int ev_unrelated(struct vr_run *r, struct vr_range w)
{
	uint8_t *p, *q;

	(void)r;
	(void)w;
	p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	memset(p, 1, 16 * PAGE);
	q = mremap(p, 16 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	return q == MAP_FAILED ? munmap(p, 16 * PAGE) : munmap(q, 64 * PAGE);
}

static int ev_age(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return vr_file_write("/proc/self/clear_refs", "1");
}

/* A huge page that no ring or buffer lies on. */
static int ev_hugeother(struct vr_run *r, struct vr_range w)
{
	uint8_t *p = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	(void)r;
	(void)w;
	if (p == MAP_FAILED)
		return -1;
	*(volatile uint8_t *)p = 1;
	return munmap(p, HUGE_SIZE);
}

static int protect_and_back(struct vr_range w, int prot)
{
	if (mprotect(w.at, w.len, prot))
		return -1;
	return mprotect(w.at, w.len, PROT_READ | PROT_WRITE);
}

static int ev_readonly(struct vr_run *r, struct vr_range w)
{
	return protect_and_back(vr_whole_pages(r, w), PROT_READ);
}

static int ev_noaccess(struct vr_run *r, struct vr_range w)
{
	return protect_and_back(vr_whole_pages(r, w), PROT_NONE);
}

/*
 * To another place and back: the same pages, unmapped for a moment. Piece by
 * piece, since a move must not span what earlier events cut the mapping into.
 */
static int ev_mremap(struct vr_run *r, struct vr_range w)
{
	size_t piece = vr_mem_page(r->o);
	uint8_t *away = r->mem.base + r->mem.size, *at;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	w = vr_whole_pages(r, w);
	for (at = w.at; at < w.at + w.len; at += piece) {
		if (mremap(at, piece, piece, flags, away) == MAP_FAILED)
			return -1;
		if (mremap(away, piece, piece, flags, at) == MAP_FAILED)
			vr_die_errno("event mremap: guest memory is lost");
	}
	/* Keep what follows the pool reserved, for the next time. */
	mmap(away, piece, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

/*
 * Empties the range by @how and puts the old contents into the new pages. Of a
 * page of 1 GiB only what is in use was ever anything but zero.
 */
int vr_refill(struct vr_run *r, struct vr_range w, int (*how)(struct vr_run *r, struct vr_range w))
{
	size_t off, len;
	uint8_t *copy;
	int ret, err;

	w = vr_whole_pages(r, w);
	off = w.at - r->mem.base;
	len = off + w.len > r->mem.used ? r->mem.used - off : w.len;
	copy = malloc(len);
	if (!copy)
		return -1;
	memcpy(copy, w.at, len);
	ret = how(r, w);
	err = errno;
	memcpy(w.at, copy, len);
	free(copy);
	errno = err;
	return ret;
}

static int do_dontneed(struct vr_run *r, struct vr_range w)
{
	(void)r;
	return madvise(w.at, w.len, MADV_DONTNEED);
}

/* A new mapping in the place of the old. */
int vr_remap(struct vr_run *r, struct vr_range w)
{
	if (munmap(w.at, w.len))
		return -1;
	if (mmap(w.at, w.len, PROT_READ | PROT_WRITE, MAP_FIXED | vr_mem_flags(r->o, r->mem.fd),
		 r->mem.fd, r->mem.fd >= 0 ? w.at - r->mem.base : 0) == MAP_FAILED)
		vr_die_errno("mapping again: guest memory is lost");
	vr_mem_advise(w.at, w.len, r->o);
	return 0;
}

int vr_punch(struct vr_run *r, struct vr_range w)
{
	if (r->mem.fd < 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return fallocate(r->mem.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 w.at - r->mem.base, w.len);
}

/* The file ends where the range begins, then is as long as it was. */
static int cut_off(struct vr_run *r, struct vr_range w)
{
	if (r->mem.fd < 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (ftruncate(r->mem.fd, w.at - r->mem.base))
		return -1;
	if (ftruncate(r->mem.fd, r->mem.size))
		vr_die_errno("making the file longer: guest memory is lost");
	return 0;
}

static int ev_truncate(struct vr_run *r, struct vr_range w)
{
	w = vr_whole_pages(r, w);
	return vr_refill(r, (struct vr_range){ w.at, r->mem.base + r->mem.size - w.at }, cut_off);
}

static int ev_dontneed(struct vr_run *r, struct vr_range w)
{
	return vr_refill(r, w, do_dontneed);
}

static int ev_munmap(struct vr_run *r, struct vr_range w)
{
	return vr_refill(r, w, vr_remap);
}

static int ev_punch(struct vr_run *r, struct vr_range w)
{
	return vr_refill(r, w, vr_punch);
}

struct vr_event vr_map_events[] = {
	{ .name = "cold", .sided = true, .fn = ev_cold, .help = "MADV_COLD" },
	{ .name = "movepages", .sided = true, .fn = ev_movepages,
	  .help = "move_pages to the other node (numa=fake=2)" },
	{ .name = "compacted", .fn = ev_compacted,
	  .help = "the rings to the other node, and moved from there by compaction" },
	{ .name = "split", .sided = true, .fn = ev_split,
	  .help = "mprotect of a single page, still readable and writable" },
	{ .name = "neighbour", .fn = ev_neighbour, .help = "mprotect of the page behind the memory" },
	{ .name = "unrelated", .fn = ev_unrelated, .help = "mmap, mremap and munmap of other memory" },
	{ .name = "hugeother", .fn = ev_hugeother, .help = "another huge page mapped and unmapped" },
	{ .name = "age", .fn = ev_age, .help = "referenced bits cleared" },
	{ .name = "readonly", .sided = true, .quiet = true, .fn = ev_readonly,
	  .help = "mprotect to read-only and back" },
	{ .name = "noaccess", .sided = true, .quiet = true, .fn = ev_noaccess,
	  .help = "mprotect to PROT_NONE and back" },
	{ .name = "mremap", .sided = true, .quiet = true, .fn = ev_mremap,
	  .help = "moved away and back" },
	{ .name = "dontneed", .sided = true, .quiet = true, .fn = ev_dontneed,
	  .help = "MADV_DONTNEED; new pages, old contents" },
	{ .name = "munmap", .sided = true, .quiet = true, .fn = ev_munmap,
	  .help = "unmapped, mapped again, old contents" },
	{ .name = "punch", .sided = true, .quiet = true, .fn = ev_punch,
	  .help = "a hole in the file (--mem memfd, file)" },
	{ .name = "truncate", .sided = true, .quiet = true, .fn = ev_truncate,
	  .help = "the file cut off there and made longer again" },
	{ 0 }
};

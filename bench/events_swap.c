// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory events of reclaim, and the census: how many pages of the rings, and of all
 * memory, lie on the swap device while a back end has them mapped, and whether somebody
 * holds those that don't.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "events.h"

/* For a page that the device looks at, or reclaim, just then. */
#define HELD_TRIES	20
/* Samples without one more page of the rings out, until reclaim has had its fill. */
#define REST_STILL	10

static struct vr_census census;

const struct vr_census *vr_census_get(void)
{
	return census.samples ? &census : NULL;
}

static unsigned long pinned_kb(void)
{
	unsigned long kb = 0, pinned = 0, locked = 0;
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmPin: %lu", &kb) == 1)
			pinned = kb;
		else if (sscanf(line, "VmLck: %lu", &kb) == 1)
			locked = kb;
	}
	if (f)
		fclose(f);
	return pinned + locked;
}

static size_t ring_pages(const struct vr_run *r)
{
	return (r->mem.ring_bytes + PAGE - 1) / PAGE;
}

/* Returns how many pages of the rings are out. */
static uint64_t count_pages(const struct vr_run *r)
{
	size_t i, pages = r->mem.used / PAGE, rings = ring_pages(r);
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t *word = malloc(pages * 8), ring_out = 0, out = 0;

	if (!word || fd < 0 || pread(fd, word, pages * 8, (uintptr_t)r->mem.base / PAGE * 8) !=
	    (ssize_t)(pages * 8))
		vr_die_errno("/proc/self/pagemap");
	close(fd);
	for (i = 0; i < pages; i++) {
		out += word[i] >> 62 & 1;
		ring_out += i < rings && (word[i] >> 62 & 1);
	}
	free(word);
	census.samples++;
	census.pages = pages;
	census.ring_pages = rings;
	census.out_sum += out;
	census.ring_out_sum += ring_out;
	if (out > census.out_most)
		census.out_most = out;
	if (ring_out > census.ring_out_most)
		census.ring_out_most = ring_out;
	census.pinned_kb += pinned_kb();
	return ring_out;
}

/*
 * Sends pages to nodes; without any, asks where they are: in @is a node, or less than 0
 * for a page that isn't in memory. Returns how many stayed, or -1 and errno.
 */
static long move(void **page, const int *to, int *is, size_t n)
{
	return syscall(SYS_move_pages, 0, n, page, to, is, to ? MPOL_MF_MOVE : 0);
}

/* Whether it stays where it is, though there is room where it is sent. */
static bool stays(void *page, int to)
{
	unsigned int tries, room = 0;
	int is;

	for (tries = 0; tries < HELD_TRIES; tries++) {
		usleep(tries * 1000);
		room += move(&page, &to, &is, 1) >= 0;
		if (move(&page, NULL, &is, 1) || is < 0 || is == to)
			return false;
	}
	return room > HELD_TRIES / 2;
}

/*
 * All pages of the rings that are in memory, to the other node. One of which somebody
 * holds a reference stays; what is pinned, by whatever name, is held.
 */
static int count_held(struct vr_run *r)
{
	size_t n = ring_pages(r), i;
	uint64_t hits = vr_stats_sum(r, "inval_hit");
	void *page[n];
	int is[n], to[n], now[n];

	for (i = 0; i < n; i++)
		page[i] = r->mem.base + i * PAGE;
	if (move(page, NULL, is, n))
		return -1;
	for (i = 0; i < n; i++)
		to[i] = is[i] == 0;
	/* Together, which most take; a page that stays ends it. */
	if (move(page, to, now, n) < 0 && errno != ENOMEM)
		return -1;
	if (move(page, NULL, now, n))
		return -1;
	for (i = 0; i < n; i++) {
		if (is[i] < 0)
			continue;
		census.held_asked++;
		census.held += now[i] >= 0 && now[i] != to[i] && stays(page[i], to[i]);
	}
	census.held_samples++;
	census.held_hits += vr_stats_sum(r, "inval_hit") - hits;
	return 0;
}

static int ev_held(struct vr_run *r, struct vr_range w)
{
	(void)w;
	return count_held(r);
}

/* Once more for certain, whatever the events' turns were. */
static void held_end(struct vr_run *r)
{
	count_held(r);
}

static int ev_census(struct vr_run *r, struct vr_range w)
{
	(void)w;
	count_pages(r);
	return 0;
}

/* Twice: the first time takes the device's mark of use, the second the page. */
static int ev_pageout(struct vr_run *r, struct vr_range w)
{
	(void)r;
	return madvise(w.at, w.len, MADV_PAGEOUT) || madvise(w.at, w.len, MADV_PAGEOUT) ? -1 : 0;
}

static int ev_pageall(struct vr_run *r, struct vr_range w)
{
	(void)w;
	if (madvise(r->mem.base, r->mem.size, MADV_PAGEOUT) ||
	    madvise(r->mem.base, r->mem.size, MADV_PAGEOUT))
		return -1;
	count_pages(r);
	return 0;
}

/*
 * Idle until reclaim has found the rings and takes no more of them, or --rest-ms are
 * over: what is never used goes to the swap device though a back end has it mapped.
 */
static int ev_rest(struct vr_run *r, struct vr_range w)
{
	uint64_t end = vr_now() + r->o->rest_ms * 1000000ULL, out, most = 0;
	unsigned int still = 0;

	(void)w;
	do {
		usleep(100000);
		out = count_pages(r);
		still = out > most ? 0 : still + 1;
		most = out > most ? out : most;
	} while ((!most || still < REST_STILL) && vr_now() < end && !vr_over(r));
	return 0;
}

/* A file of the control group that this process is in, which mustn't be the root's. */
static int group_file(const char *name, char *path, size_t size)
{
	char own[256] = "";
	FILE *f = fopen("/proc/self/cgroup", "r");
	bool found = f && fscanf(f, "0::%255s", own) == 1 && strcmp(own, "/");

	if (f)
		fclose(f);
	errno = ENOENT;
	if (!found)
		return -1;
	snprintf(path, size, "/sys/fs/cgroup%s/%s", own, name);
	return 0;
}

static int reclaim_half(const char *reclaim, const char *current)
{
	unsigned long long bytes = 0;
	FILE *f = fopen(current, "r");
	char number[32];

	if (!f || fscanf(f, "%llu", &bytes) != 1)
		bytes = 0;
	if (f)
		fclose(f);
	snprintf(number, sizeof(number), "%llu", bytes / 2);
	/* Less than asked for is fine (EAGAIN); once for the marks of use, once for the pages. */
	if ((vr_file_write(reclaim, number) || vr_file_write(reclaim, number)) && errno != EAGAIN)
		return -1;
	return 0;
}

/*
 * Half of what the control group uses is reclaimed, as if its limit had fallen; again
 * where the kernel took none of the rings' pages, as it can take those of this kind.
 */
static int ev_cgroup(struct vr_run *r, struct vr_range w)
{
	char reclaim[320], current[320];
	unsigned int tries = vr_mem_page(r->o) > PAGE ? 1 : 10;

	(void)w;
	if (group_file("memory.reclaim", reclaim, sizeof(reclaim)) ||
	    group_file("memory.current", current, sizeof(current)))
		return -1;
	do {
		if (reclaim_half(reclaim, current))
			return -1;
	} while (!vr_told_over() && --tries);
	count_pages(r);
	return 0;
}

struct vr_event vr_swap_events[] = {
	{ .name = "pageout", .sided = true, .fn = ev_pageout,
	  .help = "MADV_PAGEOUT (anonymous memory needs swap)" },
	{ .name = "pageall", .quiet = true, .fn = ev_pageall, .help = "MADV_PAGEOUT of all memory, and a census" },
	{ .name = "cgroup", .fn = ev_cgroup, .help = "half of the control group's memory reclaimed" },
	{ .name = "census", .fn = ev_census, .help = "pages that are swapped out counted, no event" },
	{ .name = "held", .fn = ev_held, .end = held_end, .help = "rings' pages to the other node: who stays?" },
	{ .name = "rest", .quiet = true, .fn = ev_rest, .help = "idle until rings are swapped out, at most --rest-ms; a census" },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory events of reclaim, and the census: how many pages of the rings, and of all
 * memory, lie on the swap device while a back end has them mapped.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "events.h"

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

static void count_pages(const struct vr_run *r)
{
	size_t i, pages = r->mem.used / PAGE, rings = (r->mem.ring_bytes + PAGE - 1) / PAGE;
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
 * Idle until reclaim has found the rings, or --rest-ms are over: what is never used
 * goes to the swap device though a back end has it mapped.
 */
static int ev_rest(struct vr_run *r, struct vr_range w)
{
	uint64_t end = vr_now() + r->o->rest_ms * 1000000ULL, before = census.ring_out_sum;

	(void)w;
	do {
		usleep(100000);
		count_pages(r);
	} while (census.ring_out_sum == before && vr_now() < end && !vr_over(r));
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
	{ .name = "pageout", .fn = ev_pageout, .help = "MADV_PAGEOUT (anonymous memory needs swap)" },
	{ .name = "pageall", .quiet = true, .fn = ev_pageall, .help = "MADV_PAGEOUT of all memory, and a census" },
	{ .name = "cgroup", .fn = ev_cgroup, .help = "half of the control group's memory reclaimed" },
	{ .name = "census", .fn = ev_census, .help = "pages that are swapped out counted, no event" },
	{ .name = "rest", .quiet = true, .fn = ev_rest, .help = "idle until rings are swapped out, at most --rest-ms; a census" },
	{ 0 }
};

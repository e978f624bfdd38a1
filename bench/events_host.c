// SPDX-License-Identifier: GPL-2.0-only
/* Memory events that the host's kernel or a file system brings about. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "events.h"

/* Emulated, on a busy machine. */
#define KHUGEPAGED_NS	20000000000ULL

static int ev_compact(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return vr_file_write("/proc/sys/vm/compact_memory", "1");
}

static struct vr_range huge_around(struct vr_run *r, struct vr_range w)
{
	size_t off = (w.at - r->mem.base) & ~(HUGE_SIZE - 1);

	return (struct vr_range){ r->mem.base + off, HUGE_SIZE };
}

static int ev_collapse(struct vr_run *r, struct vr_range w)
{
	struct vr_range h = huge_around(r, w);

	return madvise(h.at, h.len, MADV_COLLAPSE);
}

/* Whether the page that backs @at is part of a huge one; -1 and errno if none does. */
int vr_on_huge_page(const uint8_t *at)
{
	uint64_t map, flags;
	int fd;

	map = vr_pagemap(at);
	fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	errno = ENODATA;
	if (fd < 0 || !(map & VR_PM_PRESENT) ||
	    pread(fd, &flags, 8, (map & VR_PM_PFN) * 8) != 8) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	/* KPF_THP */
	return flags >> 22 & 1;
}

/* Of a file's pages none need be mapped when they were cut, even in vain, or put together. */
static void touch(struct vr_range w)
{
	size_t at;

	for (at = 0; at < w.len; at += PAGE)
		(void)*(volatile uint8_t *)(w.at + at);
}

static int split_huge(struct vr_range h)
{
	unsigned int tries;
	char range[96];

	snprintf(range, sizeof(range), "%d,0x%lx,0x%lx", getpid(), (unsigned long)h.at,
		 (unsigned long)(h.at + h.len));
	/* Somebody may hold a reference for a moment. */
	for (tries = 0; tries < 20; tries++) {
		if (vr_file_write("/sys/kernel/debug/split_huge_pages", range))
			return -1;
		touch(h);
		if (!vr_on_huge_page(h.at))
			return 0;
		usleep(1000);
	}
	errno = EBUSY;
	return -1;
}

/*
 * The rings' huge page is cut into small ones, which the kernel refuses while
 * anybody holds a reference, and put together again.
 */
static int ev_thpsplit(struct vr_run *r, struct vr_range w)
{
	struct vr_range h = huge_around(r, (struct vr_range){ r->mem.base, PAGE });

	(void)w;
	if (r->mem.fd >= 0)
		madvise(h.at, h.len, MADV_HUGEPAGE);
	if (vr_on_huge_page(h.at) != 1 && madvise(h.at, h.len, MADV_COLLAPSE))
		return -1;
	errno = ENOTSUP;
	if (vr_on_huge_page(h.at) != 1)
		return -1;
	if (split_huge(h))
		return -1;
	return madvise(h.at, h.len, MADV_COLLAPSE) && errno != EAGAIN ? -1 : 0;
}

#define KHUGEPAGED "/sys/kernel/mm/transparent_hugepage/khugepaged/"

static void khugepaged_sleeps(struct vr_run *r)
{
	(void)r;
	vr_file_write(KHUGEPAGED "scan_sleep_millisecs", "3600000");
}

/* The state of a kernel thread, 'S' for example; 0 if there is none of that name. */
static char thread_state(const char *name)
{
	static char path[64];
	char comm[32] = "", state = 0;
	int pid;
	FILE *f;

	for (pid = 2; !path[0] && pid < 1000; pid++) {
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (!f || fscanf(f, "%*d (%31[^)]", comm) != 1 || strcmp(comm, name))
			path[0] = '\0';
		if (f)
			fclose(f);
	}
	f = path[0] ? fopen(path, "r") : NULL;
	if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state;
}

/* What it was at when it was told to sleep, it finishes first. False if that takes too long. */
static bool khugepaged_asleep(struct vr_run *r)
{
	uint64_t end = vr_now() + KHUGEPAGED_NS;
	unsigned int seen = 0;

	khugepaged_sleeps(r);
	while (seen < 5 && vr_now() < end) {
		seen = thread_state("khugepaged") == 'S' ? seen + 1 : 0;
		usleep(2000);
	}
	return seen == 5;
}

static void khugepaged_wakes(struct vr_run *r)
{
	(void)r;
	vr_file_write(KHUGEPAGED "scan_sleep_millisecs", "10");
}

static unsigned long khugepaged_says(const char *name)
{
	unsigned long value = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), KHUGEPAGED "%s", name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lu", &value) != 1)
		vr_die_errno("%s", path);
	fclose(f);
	return value;
}

/*
 * The rings' huge page is cut into small ones, and khugepaged finds them. It sleeps until
 * then: what the cutting brings about is not its doing.
 */
static int ev_khugepaged(struct vr_run *r, struct vr_range w)
{
	struct vr_range h = huge_around(r, (struct vr_range){ r->mem.base, PAGE });
	uint64_t end = vr_now() + KHUGEPAGED_NS;
	unsigned long before;

	(void)w;
	errno = ETIMEDOUT;
	if (!khugepaged_asleep(r))
		return -1;
	touch(h);
	if (madvise(h.at, h.len, MADV_HUGEPAGE) || (vr_on_huge_page(h.at) == 1 && split_huge(h)))
		return -1;
	before = khugepaged_says("pages_collapsed");
	vr_told_mark();
	khugepaged_wakes(r);
	do {
		usleep(2000);
		touch((struct vr_range){ h.at, PAGE });
		if (vr_on_huge_page(h.at) == 1 && khugepaged_says("pages_collapsed") != before)
			return 0;
	} while (vr_now() < end && !vr_over(r));
	errno = ETIMEDOUT;
	return -1;
}

static uint64_t vmstat(const char *name)
{
	FILE *f = fopen("/proc/vmstat", "r");
	unsigned long long value = 0;
	char line[128], key[64];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %llu", key, &value) == 2 && !strcmp(key, name))
			break;
	if (f)
		fclose(f);
	return value;
}

/* Nothing but waiting for what the scheduler does to memory by itself. */
static int ev_numa(struct vr_run *r, struct vr_range w)
{
	uint64_t before = vmstat("numa_pte_updates");
	unsigned int tries;

	(void)r;
	(void)w;
	for (tries = 0; tries < 100; tries++) {
		usleep(5000);
		if (vmstat("numa_pte_updates") != before)
			return 0;
	}
	errno = ETIMEDOUT;
	return -1;
}

static int ev_writeback(struct vr_run *r, struct vr_range w)
{
	if (r->mem.fd < 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (msync(w.at, w.len, MS_SYNC))
		return -1;
	if (sync_file_range(r->mem.fd, w.at - r->mem.base, w.len, SYNC_FILE_RANGE_WAIT_BEFORE |
			    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) && errno != ESPIPE)
		return -1;
	return fsync(r->mem.fd);
}

#define CHUNK (256 * 1024)

/*
 * Nobody writes now: what fsync() wrote has to be what the driver sees. Direct
 * reading makes the file system write dirty pages first, but only those that it
 * knows to be dirty.
 */
static int ev_verify(struct vr_run *r, struct vr_range w)
{
	static void *disk;
	char path[64];
	size_t at;
	int fd;

	(void)w;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->mem.fd);
	if (!disk && posix_memalign(&disk, PAGE, CHUNK))
		vr_die("out of memory");
	if (r->mem.fd < 0 || fsync(r->mem.fd))
		return -1;
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (at = 0; at < r->mem.size; at += CHUNK) {
		if (pread(fd, disk, CHUNK, at) != CHUNK) {
			close(fd);
			return -1;
		}
		if (memcmp(disk, r->mem.base + at, CHUNK))
			vr_fail(r, "verify: at %zu the disk has not what the driver saw", at);
	}
	close(fd);
	return 0;
}

static int ev_dropcaches(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return vr_file_write("/proc/sys/vm/drop_caches", "3");
}

/* The file grows, shrinks and gets a hole, all behind what is mapped. */
static int ev_resize(struct vr_run *r, struct vr_range w)
{
	const off_t end = r->mem.size, more = 1 << 20;

	(void)w;
	if (r->mem.fd < 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	if (ftruncate(r->mem.fd, end + more) || fallocate(r->mem.fd, 0, end, more) ||
	    fallocate(r->mem.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, end, more / 2))
		return -1;
	return ftruncate(r->mem.fd, end);
}

/* Nothing to do: the page is replaced. A second error would not come back here. */
static void on_poison(int sig)
{
	(void)sig;
}

/* Of pages that are dirty Linux 6.12 and later tell who calls it by SIGBUS. */
static int poison_page(void *at, size_t len)
{
	struct sigaction told = { .sa_handler = on_poison }, old;
	int ret, err;

	sigaction(SIGBUS, &told, &old);
	ret = madvise(at, len, MADV_HWPOISON);
	err = errno;
	sigaction(SIGBUS, &old, NULL);
	errno = err;
	return ret;
}

/* The page and its contents are lost, as by a memory error; the owner puts new ones there. */
static int poison(struct vr_run *r, struct vr_range w)
{
	int ret = poison_page(w.at, vr_mem_page(r->o)), err = errno;

	if (r->mem.fd >= 0)
		vr_punch(r, w);
	/* Even where the kernel could not isolate it, it may be out of reach. */
	if (vr_remap(r, w))
		return -1;
	errno = err;
	return ret;
}

static int ev_hwpoison(struct vr_run *r, struct vr_range w)
{
	struct vr_range page = { w.at, PAGE };
	size_t pages = w.len / PAGE;

	/* All of them are the rings' or the buffers'; another each time. */
	page.at += rand() % (pages ? pages : 1) * PAGE;
	return vr_refill(r, page, poison);
}

/* Contents move to another page, this one is never used again. */
static int ev_softoffline(struct vr_run *r, struct vr_range w)
{
	size_t pages = w.len / PAGE;
	uint8_t *at = w.at + rand() % (pages ? pages : 1) * PAGE;

	return madvise(vr_whole_pages(r, (struct vr_range){ at, PAGE }).at, vr_mem_page(r->o),
		       MADV_SOFT_OFFLINE);
}

/*
 * What a balloon takes away lies beside rings and buffers, page by page, and comes
 * back when the guest touches it.
 */
static int ev_balloon(struct vr_run *r, struct vr_range w)
{
	size_t off = (r->mem.used + PAGE - 1) & ~(PAGE - 1);
	unsigned int i;

	(void)w;
	for (i = 0; i < VR_SPARE_PAGES; i += 2) {
		struct vr_range page = { r->mem.base + off + i * PAGE, PAGE };

		if (vr_mem_page(r->o) > PAGE) {
			errno = EINVAL;
			return -1;
		}
		if (r->mem.fd >= 0 ? vr_punch(r, page) : madvise(page.at, PAGE, MADV_DONTNEED))
			return -1;
	}
	for (i = 0; i < VR_SPARE_PAGES; i++)
		*(volatile uint8_t *)(r->mem.base + off + i * PAGE) = 1;
	return 0;
}

struct vr_event vr_host_events[] = {
	{ .name = "compact", .fn = ev_compact, .help = "compaction of all memory" },
	{ .name = "collapse", .sided = true, .fn = ev_collapse,
	  .help = "MADV_COLLAPSE into a huge page (--mem thp)" },
	{ .name = "thpsplit", .fn = ev_thpsplit, .help = "the rings' huge page split and collapsed again" },
	{ .name = "khugepaged", .fn = ev_khugepaged, .begin = khugepaged_sleeps, .end = khugepaged_sleeps,
	  .help = "the rings' huge page split; khugepaged alone collapses it (it sleeps afterwards)" },
	{ .name = "numa", .fn = ev_numa, .help = "waits for a scan of NUMA balancing, which must be on" },
	{ .name = "writeback", .sided = true, .fn = ev_writeback,
	  .help = "msync, sync_file_range and fsync (--mem memfd, file)" },
	{ .name = "dropcaches", .fn = ev_dropcaches, .help = "drop_caches" },
	{ .name = "resize", .fn = ev_resize, .help = "the file longer, with a hole, and shorter again" },
	{ .name = "softoffline", .sided = true, .fn = ev_softoffline,
	  .help = "MADV_SOFT_OFFLINE of a page (it is gone until reboot)" },
	{ .name = "balloon", .fn = ev_balloon, .help = "pages beside the buffers taken away and touched again" },
	{ .name = "verify", .quiet = true, .fn = ev_verify, .help = "fsync; the disk compared with memory (--mem file)" },
	{ .name = "hwpoison", .sided = true, .quiet = true, .fn = ev_hwpoison,
	  .help = "MADV_HWPOISON of a page, then a new one (the old is gone)" },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel keeps track of who uses a page: its age, soft-dirty bits, copies on write. What
 * the device does through the direct map it can't see by itself. Dirty marks: mem-dirty.c.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem-dev.h"

static unsigned int present(const uint8_t *at, unsigned int pages)
{
	unsigned int n = 0;

	while (pages--)
		n += !!(md_pagemap(at + pages * MD_PAGE) & MD_PM_PRESENT);
	return n;
}

/*
 * Reclaim asks whether a page was used lately, and spares it if so. It must hear of
 * the device's use, once: the next time nothing protects the page. The control page
 * was used by the processor alone, of which MADV_PAGEOUT makes nothing.
 */
static void aging(void)
{
	unsigned int round, rounds = 0, spared = 0, left = 0;
	const unsigned int pages = MD_AREA / MD_PAGE;
	uint8_t *control = md_map(MD_PAGE, -1);
	struct md d = { 0 };
	uint64_t user;

	if (md_kernel_has(6, 9))
		md_skip("MADV_PAGEOUT asks nobody who used a page from 6.9 on");
	md_open(&d, md_map(MD_AREA, -1));
	for (round = 0; round < 20; round++) {
		md_traffic_direct(&d);
		md_drain();
		user = md_stats(&d, "bursts_user");
		md_traffic(&d, 1);
		if (md_stats(&d, "bursts_user") != user)
			continue;
		control[0] = round;
		madvise(control, MD_PAGE, MADV_PAGEOUT);
		if (present(control, 1))
			md_skip("reclaim does not take an unused page (no swap device?)");
		madvise(d.area, MD_AREA, MADV_PAGEOUT);
		spared += present(d.area, pages);
		madvise(d.area, MD_AREA, MADV_PAGEOUT);
		left += present(d.area, pages);
		rounds++;
	}
	printf("%u rounds of %u pages, %u spared once, %u twice\n", rounds, pages, spared, left);
	MD_EXPECT(rounds >= 5 && spared * 10 >= rounds * pages * 8, "reclaim did not spare what the device used");
	MD_EXPECT(left * 10 <= rounds * pages * 5, "reclaim spares what nobody used");
}

/* Whoever copies memory by soft-dirty bits must find what the device wrote. */
static void soft_dirty(void)
{
	struct md d = { 0 };
	unsigned int round, i;

	md_open(&d, md_map(MD_AREA, -1));
	for (round = 0; round < 20; round++) {
		md_traffic_direct(&d);
		md_ready(&d);
		MD_EXPECT(md_write_file("/proc/self/clear_refs", "4"), "clear_refs: %m");
		for (i = 0; i < MD_RINGS; i++)
			if (md_pagemap(md_used_at(&d, i)) & MD_PM_SOFT_DIRTY)
				md_skip("soft-dirty bits are not cleared here");
		md_go(&d);
		for (i = 0; i < MD_RINGS; i++)
			MD_EXPECT(md_pagemap(md_used_at(&d, i)) & MD_PM_SOFT_DIRTY,
				  "ring %u: the device's write left no soft-dirty bit", i);
	}
	MD_EXPECT(md_stats(&d, "inval_hit") >= 20, "clear_refs took no window away");
	md_traffic_direct(&d);
}

struct wp {
	int fd;
	uint8_t *at[MD_RINGS];
	unsigned int faults;
};

static void protect(struct wp *w, uint8_t *at, bool on)
{
	struct uffdio_writeprotect p = {
		.range = { (uintptr_t)at, MD_PAGE },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	MD_EXPECT(!ioctl(w->fd, UFFDIO_WRITEPROTECT, &p), "UFFDIO_WRITEPROTECT: %m");
}

static void *wp_thread(void *arg)
{
	struct wp *w = arg;
	struct uffd_msg m;

	while (read(w->fd, &m, sizeof(m)) == sizeof(m)) {
		uint8_t *at = (uint8_t *)(uintptr_t)(m.arg.pagefault.address & ~(MD_PAGE - 1));

		__atomic_fetch_add(&w->faults, 1, __ATOMIC_SEQ_CST);
		protect(w, at, false);
	}
	return NULL;
}

static void wp_open(struct wp *w, const struct md *d)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	unsigned int i;

	w->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (w->fd < 0 || ioctl(w->fd, UFFDIO_API, &api))
		md_skip("userfaultfd with write protection: %m");
	for (i = 0; i < MD_RINGS; i++) {
		struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };

		w->at[i] = md_used_at(d, i);
		reg.range.start = (uintptr_t)w->at[i];
		reg.range.len = MD_PAGE;
		MD_EXPECT(!ioctl(w->fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER: %m");
	}
}

/* Each write protection of a used ring must be noticed at the device's next write. */
static void uffd_wp(void)
{
	struct md d = { 0 };
	struct wp w = { 0 };
	unsigned int round, i;
	pthread_t thread;

	md_open(&d, md_map(MD_AREA, -1));
	wp_open(&w, &d);
	MD_EXPECT(!pthread_create(&thread, NULL, wp_thread, &w), "no thread");
	for (round = 1; round <= 30; round++) {
		md_traffic_direct(&d);
		md_ready(&d);
		for (i = 0; i < MD_RINGS; i++)
			protect(&w, w.at[i], true);
		md_go(&d);
		MD_EXPECT(__atomic_load_n(&w.faults, __ATOMIC_SEQ_CST) >= MD_RINGS * round,
			  "%u write faults after %u protections of %u pages", w.faults, round,
			  (unsigned int)MD_RINGS);
	}
	md_traffic_direct(&d);
}

/* The child has the memory of the moment of the fork, and keeps it, and spoils it. */
static void child(const struct md *d, int go, int done)
{
	static uint8_t was[MD_AREA];
	char c = 'g';

	memcpy(was, d->area, MD_AREA);
	if (write(done, &c, 1) != 1 || read(go, &c, 1) != 1)
		_exit(3);
	if (memcmp(was, d->area, MD_AREA))
		_exit(4);
	memset(d->area, 0x5a, MD_AREA);
	c = 'b';
	if (write(done, &c, 1) != 1 || read(go, &c, 1) != 1)
		_exit(3);
	_exit(0);
}

static void fork_round(struct md *d)
{
	int go[2], done[2], status;
	pid_t pid;
	char c;

	md_ready(d);
	MD_EXPECT(!pipe(go) && !pipe(done), "pipe: %m");
	pid = fork();
	MD_EXPECT(pid >= 0, "fork: %m");
	if (!pid) {
		/* It ends if the parent fails. */
		close(go[1]);
		close(done[0]);
		child(d, go[0], done[1]);
	}
	MD_EXPECT(read(done[0], &c, 1) == 1 && c == 'g', "the child died");
	md_go(d);
	MD_EXPECT(write(go[1], "x", 1) == 1, "%m");
	if (read(done[0], &c, 1) == 1 && c == 'b') {
		/* The child writes garbage to its rings: ours are others. */
		md_traffic(d, 2);
		MD_EXPECT(write(go[1], "x", 1) == 1, "%m");
	}
	close(done[1]);
	MD_EXPECT(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "waitpid: %m");
	MD_CERTAIN(WEXITSTATUS(status) != 4, "the device wrote to the memory that the child has");
	MD_EXPECT(!WEXITSTATUS(status), "child: %d", WEXITSTATUS(status));
	close(go[0]);
	close(go[1]);
	close(done[0]);
	md_traffic(d, 1);
}

static void fork_cow(void)
{
	struct md d = { 0 };
	unsigned int round;

	md_open(&d, md_map(MD_AREA, -1));
	for (round = 0; round < 15; round++) {
		md_traffic_direct(&d);
		fork_round(&d);
	}
	MD_EXPECT(md_stats(&d, "inval_hit") >= 15 * MD_RINGS, "fork took no window away");
	md_traffic_direct(&d);
}

#define KSM "/sys/kernel/mm/ksm/"

static bool ksm_merged(const uint8_t *a, const uint8_t *b)
{
	const uint64_t pfn = (1ULL << 55) - 1;

	return (md_pagemap(a) & pfn) == (md_pagemap(b) & pfn);
}

/* A used ring becomes one page with its twin; the device's write must part them. */
static void ksm_round(struct md *d, uint8_t *twin)
{
	uint8_t *used = md_used_at(d, MD_TX);
	unsigned int tries;

	md_ready(d);
	memcpy(twin, used, MD_PAGE);
	MD_EXPECT(!madvise(used, MD_PAGE, MADV_MERGEABLE) && !madvise(twin, MD_PAGE, MADV_MERGEABLE),
		  "MADV_MERGEABLE: %m");
	/* It merges no page of which somebody holds a reference. */
	for (tries = 0; !ksm_merged(used, twin); tries++) {
		MD_EXPECT(tries < 500, "ksmd merged nothing in 5 s");
		usleep(10000);
	}
	/* For comparison: a copy that ksmd knows nothing of. */
	uint8_t was[MD_PAGE];

	memcpy(was, twin, MD_PAGE);
	md_go(d);
	MD_CERTAIN(!memcmp(was, twin, MD_PAGE), "the device wrote to a page that was merged");
	MD_EXPECT(!ksm_merged(used, twin), "the device's write did not part the pages");
	MD_EXPECT(!madvise(used, MD_PAGE, MADV_UNMERGEABLE) &&
		  !madvise(twin, MD_PAGE, MADV_UNMERGEABLE), "MADV_UNMERGEABLE: %m");
}

static void ksm(void)
{
	struct md d = { 0 };
	uint8_t *twin = md_map(MD_PAGE, -1);
	unsigned int round;

	if (!md_write_file(KSM "sleep_millisecs", "2") || !md_write_file(KSM "pages_to_scan", "2000") ||
	    !md_write_file(KSM "run", "1"))
		md_skip("no KSM");
	md_open(&d, md_map(MD_AREA, -1));
	for (round = 0; round < 5; round++) {
		md_traffic_direct(&d);
		ksm_round(&d, twin);
	}
	md_write_file(KSM "run", "0");
	md_traffic_direct(&d);
}

const struct md_case md_track_cases[] = {
	{ "aging", aging, "reclaim spares pages that the device used, once" },
	{ "soft-dirty", soft_dirty, "soft-dirty bits of the device's writes" },
	{ "uffd-wp", uffd_wp, "userfaultfd write protection, faults counted" },
	{ "fork", fork_cow, "fork; the child keeps its memory, then spoils it" },
	{ "ksm", ksm, "a used ring merged with another page" },
	{ 0 }
};

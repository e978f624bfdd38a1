// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page that went bad: the kernel marks it first, and takes it away later. A huge page of
 * hugetlb has one mark, on its head, whichever part of it is bad.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/mman.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "mem-dev.h"

#define HUGE (2UL << 20)
#define KPF_HWPOISON (1ULL << 19)

static bool over;

static void *poisoner(void *at)
{
	/* The suite holds up the one of this name, between the mark and the unmapping. */
	prctl(PR_SET_NAME, "poisoner");
	/* Whoever waits for the page holds it, so this may answer EBUSY. */
	madvise(at, MD_PAGE, MADV_HWPOISON);
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Nobody touches the page: who would is sent it again and again. */
static void on_bus(int sig)
{
	static unsigned int n;

	if (sig && __atomic_add_fetch(&n, 1, __ATOMIC_RELAXED) > 4)
		_exit(1);
}

static bool is_marked(uint64_t pfn)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags;

	MD_EXPECT(fd >= 0 && pread(fd, &flags, 8, pfn * 8) == 8, "kpageflags: %m");
	close(fd);
	return flags & KPF_HWPOISON;
}

/* Waits for the mark, then has the windows go with another page, which stays good. */
static void lose_windows(const struct md *d, uint64_t head)
{
	uint8_t *used = (uint8_t *)d->ring[MD_TX].used;

	while (!is_marked(head))
		MD_EXPECT(!__atomic_load_n(&over, __ATOMIC_ACQUIRE), "the page was never seen marked");
	MD_EXPECT(!mprotect(used, MD_PAGE, PROT_READ) &&
		  !mprotect(used, MD_PAGE, PROT_READ | PROT_WRITE), "mprotect: %m");
}

static void hugetlb_marked(void)
{
	uint8_t *area = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
	uint64_t head, maps, failures;
	struct sigaction sa = { .sa_handler = on_bus };
	struct md d = { 0 };
	pthread_t thread;

	if (area == MAP_FAILED)
		md_skip("a huge page: %m");
	/* From 6.12 on the poisoner is told at once, and by a signal that can't be ignored. */
	MD_EXPECT(!sigaction(SIGBUS, &sa, NULL), "sigaction: %m");
	md_open(&d, area);
	md_move_used(&d);
	md_addr(&d);
	md_traffic_direct(&d);
	md_rest();
	head = md_pagemap(area) & ((1ULL << 55) - 1);
	MD_EXPECT(!pthread_create(&thread, NULL, poisoner, area + HUGE - MD_PAGE), "no thread");
	lose_windows(&d, head);
	maps = md_stat(&d, MD_TX, "maps");
	failures = md_stat(&d, MD_TX, "map_failures");
	while (md_stat(&d, MD_TX, "map_failures") == failures) {
		MD_CERTAIN(md_stat(&d, MD_TX, "maps") == maps, "a huge page marked as poisoned was mapped");
		if (__atomic_load_n(&over, __ATOMIC_ACQUIRE))
			md_fail("nobody tried to map before the page was gone");
		md_kick(&d, MD_TX);
		usleep(1000);
	}
	/* What is left of it nobody may touch: that is a signal. */
	pthread_join(thread, NULL);
}

const struct md_case md_poison_cases[] = {
	{ "hugetlb-marked", hugetlb_marked, "descriptors in a huge page that is marked as poisoned and still there" },
	{ 0 }
};

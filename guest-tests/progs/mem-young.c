// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a page was used lately the kernel asks the device, too: page_idle and DAMON take the
 * mark away as they ask (clear_young), khugepaged only asks (test_young). Nobody here touches
 * a ring while it is asked for: what the device used is found by its kick alone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject.h"
#include "mem-dev.h"

#define ASK		"/sys/module/vd_ask/parameters/"
#define THP		"/sys/kernel/mm/transparent_hugepage/"
#define KHUGEPAGED	THP "khugepaged/"
#define HUGE_SIZE	(2UL << 20)
#define PFN		((1ULL << 55) - 1)
#define KPF_THP		(1ULL << 22)
#define ROUNDS		10

static void read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	MD_EXPECT(n >= 0, "%s: %m", path);
	text[n] = '\0';
	close(fd);
}

static unsigned long read_number(const char *path)
{
	char text[64];

	read_file(path, text, sizeof(text));
	return strtoul(text, NULL, 10);
}

static bool ask(const char *how, const void *at)
{
	char path[64], text[32];

	snprintf(path, sizeof(path), ASK "%s", how);
	snprintf(text, sizeof(text), "%lu", (unsigned long)at);
	MD_EXPECT(md_write_file(path, text), "%s: %m", path);
	return read_number(path);
}

/* How many of a ring's pages are young. */
static unsigned int young(const struct md *d, unsigned int ring, const char *how)
{
	unsigned int part, n = 0;

	for (part = 0; part < MD_PARTS; part++)
		n += ask(how, md_part(d, ring, part));
	return n;
}

/* A kick of the transmit ring alone: the device looks at it, through the window. */
static void use(struct md *d)
{
	uint64_t was = md_stat(d, MD_TX, "bursts_direct");
	unsigned int tries = 0;

	md_kick(d, MD_TX);
	while (md_stat(d, MD_TX, "bursts_direct") == was) {
		MD_EXPECT(tries++ < 5000, "a kick, and no burst through the window");
		usleep(1000);
	}
	md_rest();
}

static void need_vd_ask(void)
{
	if (access(ASK "test", W_OK))
		md_skip("the module vd_ask isn't loaded: nobody can ask as page_idle and DAMON do");
}

static void is_young(const struct md *d, unsigned int ring, const char *how, unsigned int want,
		     const char *when)
{
	unsigned int n = young(d, ring, how);

	MD_EXPECT(n == want, "%s: %s_young says of %u of the %s ring's %u pages that they are young, not of %u",
		  when, how, n, ring == MD_TX ? "transmit" : "receive", MD_PARTS, want);
}

static void asked(void)
{
	uint8_t *other = md_map(MD_PAGE, -1);
	struct md d = { 0 };
	unsigned int round;

	need_vd_ask();
	md_open(&d, md_map(MD_AREA, -1));
	for (round = 0; round < ROUNDS; round++) {
		md_traffic_direct(&d);
		md_rest();
		is_young(&d, MD_RX, "clear", MD_PARTS, "after traffic");
		is_young(&d, MD_TX, "clear", MD_PARTS, "after traffic");
		is_young(&d, MD_RX, "test", 0, "unused since");
		is_young(&d, MD_TX, "test", 0, "unused since");
		is_young(&d, MD_TX, "clear", 0, "unused since");
		use(&d);
		is_young(&d, MD_TX, "test", MD_PARTS, "after a kick");
		is_young(&d, MD_TX, "test", MD_PARTS, "asked again");
		is_young(&d, MD_RX, "test", 0, "after a kick of the other");
		MD_EXPECT(!ask("test", other) && !ask("clear", other), "a page beside the rings is young");
		is_young(&d, MD_TX, "clear", MD_PARTS, "after two tests");
		is_young(&d, MD_TX, "test", 0, "the mark was taken");
		is_young(&d, MD_TX, "clear", 0, "the mark was taken");
	}
	md_traffic_direct(&d);
}

/*
 * Traffic, and then both queues are polled: has either been looked at since its pages' marks were
 * taken away, and has no burst? Then what they say now is by the looks alone. Another task that
 * wants the worker's processor ends them.
 */
static bool young_by_looks(struct md *d)
{
	uint64_t tx, rx, bursts;
	unsigned int tries, n[MD_RINGS];
	bool looked = false;

	md_traffic(d, 1);
	young(d, MD_RX, "clear");
	young(d, MD_TX, "clear");
	bursts = md_stats(d, "bursts_direct");
	tx = md_stat(d, MD_TX, "poll_looks");
	rx = md_stat(d, MD_RX, "poll_looks");
	for (tries = 0; tries < 50 && !looked; tries++) {
		usleep(1000);
		looked = md_stat(d, MD_TX, "poll_looks") > tx && md_stat(d, MD_RX, "poll_looks") > rx;
	}
	n[MD_TX] = young(d, MD_TX, "test");
	n[MD_RX] = young(d, MD_RX, "test");
	if (!looked || md_stats(d, "bursts_direct") != bursts)
		return false;
	MD_EXPECT(n[MD_TX] == MD_PARTS, "%u of %u pages are young of a ring that is polled",
		  n[MD_TX], MD_PARTS);
	MD_EXPECT(!n[MD_RX], "%u pages are young of a ring whose queue waits for its socket", n[MD_RX]);
	return true;
}

/* Send looks at its ring for a frame, receive at the tap: its ring has all that it needs. */
static void polled(void)
{
	struct vhost_vring_state busy = { .num = 100000 };
	struct md d = { 0 };
	unsigned int round, seen = 0;

	need_vd_ask();
	md_open(&d, md_map(MD_AREA, -1));
	for (busy.index = 0; busy.index < MD_RINGS; busy.index++)
		MD_EXPECT(!ioctl(d.vhost, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &busy),
			  "VHOST_SET_VRING_BUSYLOOP_TIMEOUT: %m");
	md_traffic_direct(&d);
	for (round = 0; round < 100 && seen < 3; round++)
		seen += young_by_looks(&d);
	printf("%u rounds\n", round);
	if (seen < 3)
		md_skip("of 100 times that both queues were to be polled 3 were not");
}

static bool is_huge(const void *at)
{
	int fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	uint64_t flags;

	MD_EXPECT(fd >= 0 && pread(fd, &flags, 8, (md_pagemap(at) & PFN) * 8) == 8, "kpageflags: %m");
	close(fd);
	return flags & KPF_THP;
}

/* A whole huge page's place, of which the rings have the first small ones. */
static uint8_t *huge_place(void)
{
	uint8_t *p = mmap(NULL, 2 * HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MD_EXPECT(p != MAP_FAILED, "mmap: %m");
	p = (uint8_t *)(((uintptr_t)p + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	MD_EXPECT(!madvise(p, HUGE_SIZE, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE: %m");
	memset(p, 0, MD_AREA);
	return p;
}

/* It has looked at all memory at least once from now on. */
static void scanned(void)
{
	unsigned long was = read_number(KHUGEPAGED "full_scans");
	unsigned int tries = 0;

	while (read_number(KHUGEPAGED "full_scans") < was + 2) {
		if (tries++ == 3000)
			md_skip("khugepaged did not look at all memory within 30 s");
		usleep(10000);
	}
}

/* With room for no page that isn't there it asks for those that are, and then gives up. */
static void let_collapse(bool on)
{
	MD_EXPECT(md_write_file(KHUGEPAGED "max_ptes_none", on ? "511" : "0"), "max_ptes_none: %m");
}

static void khugepaged_round(struct md *d)
{
	md_traffic_direct(d);
	md_rest();
	md_drain();
	/* No page table's mark is left, nor one of the page's own. */
	MD_EXPECT(md_write_file("/proc/self/clear_refs", "1"), "clear_refs: %m");
	young(d, MD_RX, "clear");
	young(d, MD_TX, "clear");
	let_collapse(true);
	scanned();
	MD_EXPECT(!is_huge(d->area), "khugepaged made a huge page of rings that nobody used");
	let_collapse(false);
	use(d);
	scanned();
	MD_EXPECT(!is_huge(d->area), "a huge page was made, which was not allowed");
	is_young(d, MD_TX, "test", MD_PARTS, "after khugepaged asked");
	let_collapse(true);
	scanned();
	MD_EXPECT(is_huge(d->area), "khugepaged made no huge page of rings that the device used");
	let_collapse(false);
}

/*
 * It makes a huge page only of small ones of which one was used lately. That is the device's
 * alone to say, and asking doesn't make it untrue.
 */
static void khugepaged(void)
{
	char was[16], room[16], enabled[64];
	struct md d = { 0 };

	need_vd_ask();
	read_file(THP "enabled", enabled, sizeof(enabled));
	if (strstr(enabled, "[never]"))
		md_skip("transparent huge pages are off");
	read_file(KHUGEPAGED "scan_sleep_millisecs", was, sizeof(was));
	read_file(KHUGEPAGED "max_ptes_none", room, sizeof(room));
	md_open(&d, huge_place());
	let_collapse(false);
	MD_EXPECT(!madvise(d.area, HUGE_SIZE, MADV_HUGEPAGE), "MADV_HUGEPAGE: %m");
	md_write_file(KHUGEPAGED "scan_sleep_millisecs", "10");
	khugepaged_round(&d);
	md_write_file(KHUGEPAGED "scan_sleep_millisecs", was);
	md_write_file(KHUGEPAGED "max_ptes_none", room);
	md_traffic_direct(&d);
}

/* Was the age of either ring told before the burst that is held up now went on? */
static bool told_meanwhile(const struct md *d, const char *how)
{
	unsigned int burst = inject_held();

	ask(how, md_part(d, MD_RX, MD_USED));
	ask(how, md_part(d, MD_TX, MD_USED));
	return burst && inject_held() == burst;
}

/*
 * Reclaim and whoever else asks holds locks of the kernel's while it does: it must not wait
 * for a burst. The suite has the module vd_inject hold them up, which have the window lock.
 */
static void told_in_burst(void)
{
	static const char *const how[] = { "test", "clear", "flush" };
	unsigned int i, round, told[3] = { 0 };
	struct md d = { 0 };

	need_vd_ask();
	if (!inject_there())
		md_skip("the module vd_inject isn't loaded: nobody holds up a burst");
	md_open(&d, md_map(MD_AREA, -1));
	md_traffic_direct(&d);
	md_rest();
	inject_hold("400000");
	for (round = 0; round < 20 && !(told[0] >= 3 && told[1] >= 3 && told[2] >= 3); round++) {
		md_kick(&d, MD_TX);
		for (i = 0; i < 2000 && !inject_held(); i++)
			usleep(1000);
		/* A busy machine may do one of them in that time: next another is first. */
		for (i = 0; i < 3; i++)
			told[(round + i) % 3] += told_meanwhile(&d, how[(round + i) % 3]);
	}
	inject_hold("0");
	printf("%u kicks: test_young %u, clear_young %u, clear_flush_young %u within a burst\n",
	       round, told[0], told[1], told[2]);
	for (i = 0; i < 3; i++)
		MD_EXPECT(told[i] >= 3, "%s_young waits for the burst to end", how[i]);
	md_traffic_direct(&d);
}

const struct md_case md_young_cases[] = {
	{ "young", asked, "test_young and clear_young tell of the device's use, of each ring by itself" },
	{ "young-polled", polled, "busy polling makes a ring young that it looks at, and no other" },
	{ "young-in-burst", told_in_burst, "young callbacks return while a burst has the lock" },
	{ "young-khugepaged", khugepaged, "khugepaged makes huge pages of rings that the device used" },
	{ 0 }
};

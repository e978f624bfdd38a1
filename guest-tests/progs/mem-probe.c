// SPDX-License-Identifier: GPL-2.0-only
/*
 * Breakpoints of user-space probes: the kernel exchanges the page that one is put into or
 * taken out of, and before 6.12 it tells of a page's length from the breakpoint on.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mem-dev.h"

#define TRACING		"/sys/kernel/tracing/"
#define NOP		0x90
#define BREAKPOINT	0xcc
/* Behind all that the ring has in that page. */
#define OFFSET		0xe00
/* The page of the transmit queue's used ring. */
#define LAST		(MD_AREA - MD_PAGE)
#define PFN		((1ULL << 55) - 1)

static char group[32];

static bool append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static void enable(bool on)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "events/%s/enable", group);
	MD_EXPECT(md_write_file(path, on ? "1" : "0"), "%s: %m", path);
}

static void make_probe(const char *path)
{
	char text[256];

	snprintf(group, sizeof(group), "vd_mem_%d", getpid());
	snprintf(text, sizeof(text), "p:%s/last %s:0x%lx", group, path, LAST + OFFSET);
	if (!append(TRACING "uprobe_events", text))
		md_skip("uprobe_events, %s: %m", text);
}

static void remove_probe(void)
{
	char text[64];

	snprintf(text, sizeof(text), "-:%s/last", group);
	append(TRACING "uprobe_events", text);
}

/* Code, mapped as code is, with a breakpoint in its last page; then made memory like any. */
static uint8_t *probed_area(void)
{
	char path[] = "/tmp/mem-probe-XXXXXX";
	static uint8_t code[MD_AREA];
	int fd = mkstemp(path);
	uint8_t *area;

	code[LAST + OFFSET] = NOP;
	MD_EXPECT(fd >= 0 && write(fd, code, sizeof(code)) == sizeof(code), "%s: %m", path);
	area = mmap(NULL, MD_AREA, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (area == MAP_FAILED)
		md_skip("mmap of code in %s: %m", path);
	madvise(area, MD_AREA, MADV_POPULATE_READ);
	make_probe(path);
	enable(true);
	unlink(path);
	close(fd);
	MD_EXPECT(area[LAST + OFFSET] == BREAKPOINT, "there is no breakpoint");
	MD_EXPECT(!mprotect(area, MD_AREA, PROT_READ | PROT_WRITE), "mprotect: %m");
	return area;
}

/*
 * The used ring lies below the breakpoint: its page goes, what is in it stays. In that page
 * alone, for the range of one before it would reach into it.
 */
static void probe_gone(void)
{
	struct md d = { 0 };
	uint64_t was, hits;
	bool gone;

	md_open(&d, probed_area());
	MD_EXPECT(md_part(&d, MD_TX, MD_USED) == d.area + LAST, "the last page is another part's");
	md_traffic_direct(&d);
	was = md_pagemap(d.area + LAST) & PFN;
	hits = md_stat(&d, MD_TX, "inval_hit");
	enable(false);
	gone = (md_pagemap(d.area + LAST) & PFN) != was;
	printf("the page was %s\n", gone ? "exchanged" : "changed in place");
	remove_probe();
	MD_EXPECT(!gone || md_stat(&d, MD_TX, "inval_hit") > hits, "the page was exchanged, and no window went");
	md_traffic(&d, 2);
	md_traffic_direct(&d);
}

const struct md_case md_probe_cases[] = {
	{ "probe-gone", probe_gone, "a probe's breakpoint is taken out of a ring's page" },
	{ 0 }
};

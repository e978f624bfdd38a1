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
/* Behind all that a ring has in its page. */
#define OFFSET		0xe00
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

/* A probe in each page of the file. */
static void make_probes(const char *path)
{
	unsigned int page;
	char text[256];

	snprintf(group, sizeof(group), "vd_mem_%d", getpid());
	for (page = 0; page < MD_AREA / MD_PAGE; page++) {
		snprintf(text, sizeof(text), "p:%s/page%u %s:0x%lx", group, page, path,
			 page * MD_PAGE + OFFSET);
		if (!append(TRACING "uprobe_events", text))
			md_skip("uprobe_events, %s: %m", text);
	}
}

static void remove_probes(void)
{
	unsigned int page;
	char text[128];

	for (page = 0; page < MD_AREA / MD_PAGE; page++) {
		snprintf(text, sizeof(text), "-:%s/page%u", group, page);
		append(TRACING "uprobe_events", text);
	}
}

/* Code, mapped as code is, with a breakpoint in each page; then made memory like any. */
static uint8_t *probed_area(void)
{
	char path[] = "/tmp/mem-probe-XXXXXX";
	static uint8_t code[MD_AREA];
	int fd = mkstemp(path);
	unsigned int page;
	uint8_t *area;

	memset(code, NOP, sizeof(code));
	MD_EXPECT(fd >= 0 && write(fd, code, sizeof(code)) == sizeof(code), "%s: %m", path);
	area = mmap(NULL, MD_AREA, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (area == MAP_FAILED)
		md_skip("mmap of code in %s: %m", path);
	madvise(area, MD_AREA, MADV_POPULATE_READ);
	make_probes(path);
	enable(true);
	unlink(path);
	close(fd);
	for (page = 0; page < MD_AREA / MD_PAGE; page++)
		MD_EXPECT(area[page * MD_PAGE + OFFSET] == BREAKPOINT, "page %u has no breakpoint", page);
	MD_EXPECT(!mprotect(area, MD_AREA, PROT_READ | PROT_WRITE), "mprotect: %m");
	return area;
}

/* The rings lie below the breakpoints: their pages go, what is in them stays. */
static void probe_gone(void)
{
	uint64_t was[MD_AREA / MD_PAGE], hits;
	unsigned int page, gone = 0;
	struct md d = { 0 };

	md_open(&d, probed_area());
	md_traffic_direct(&d);
	for (page = 0; page < MD_AREA / MD_PAGE; page++)
		was[page] = md_pagemap(d.area + page * MD_PAGE) & PFN;
	hits = md_stats(&d, "inval_hit");
	enable(false);
	for (page = 0; page < MD_AREA / MD_PAGE; page++)
		gone += (md_pagemap(d.area + page * MD_PAGE) & PFN) != was[page];
	printf("%u of %lu pages exchanged\n", gone, MD_AREA / MD_PAGE);
	remove_probes();
	MD_EXPECT(!gone || md_stats(&d, "inval_hit") > hits, "pages were exchanged, and no window went");
	md_traffic(&d, 2);
	md_traffic_direct(&d);
}

const struct md_case md_probe_cases[] = {
	{ "probe-gone", probe_gone, "a probe's breakpoint is taken out of the rings' pages" },
	{ 0 }
};

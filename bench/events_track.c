// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory events after which the kernel has to notice who writes a page: what a
 * device writes through the direct map it can't see by itself. Each compares what
 * the device wrote with what the kernel knows. They look at the used rings, which
 * nobody else writes; with --offset their pages hold nothing else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events.h"

#define MAX_USED	(2 * VR_MAX_QUEUES)

/* What the used rings held when their pages were last made clean or protected. */
static uint8_t *was[MAX_USED];

static void remember(const struct vr_used *u, unsigned int i)
{
	if (!was[i])
		was[i] = malloc(u->len);
	if (!was[i])
		vr_die("out of memory");
	memcpy(was[i], u->at, u->len);
}

/* Calls @page for each page of a used ring that changed since remember(). */
static void each_changed(struct vr_run *r, const struct vr_used *u, unsigned int i,
			 void (*page)(struct vr_run *r, uint8_t *at))
{
	size_t at;

	for (at = 0; was[i] && at < u->page_len; at += PAGE) {
		uint8_t *lo = u->page + at, *hi = lo + PAGE;

		lo = lo < u->at ? u->at : lo;
		hi = hi > u->at + u->len ? u->at + u->len : hi;
		if (lo < hi && memcmp(lo, was[i] + (lo - u->at), hi - lo))
			page(r, u->page + at);
	}
}

static void expect_soft_dirty(struct vr_run *r, uint8_t *at)
{
	if (!(vr_pagemap(at) & VR_PM_SOFT_DIRTY))
		vr_fail(r, "softdirty: the device's write to %p left no soft-dirty bit", (void *)at);
}

/* The matrix says so: were it otherwise, these pages had to be looked at as well. */
static void expect_no_bit(struct vr_run *r, uint8_t *at)
{
	if (vr_pagemap(at) & VR_PM_SOFT_DIRTY)
		vr_fail(r, "softdirty: this kernel has soft-dirty bits of hugetlb, at %p for one", (void *)at);
}

/* The kernel keeps no such bits for hugetlb: there the event alone counts. */
static int ev_softdirty(struct vr_run *r, struct vr_range w)
{
	bool bits = vr_mem_page(r->o) == PAGE;
	struct vr_used used[MAX_USED];
	unsigned int i, n = vr_used_rings(r, used);

	(void)w;
	for (i = 0; i < n; i++)
		each_changed(r, &used[i], i, bits ? expect_soft_dirty : expect_no_bit);
	if (vr_file_write("/proc/self/clear_refs", "4"))
		return -1;
	for (i = 0; i < n; i++)
		remember(&used[i], i);
	return 0;
}

static int ev_clearsoft(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return vr_file_write("/proc/self/clear_refs", "4");
}

/*
 * A child that lives for some milliseconds. What the device writes meanwhile, the
 * owner's page gets, never the child's: it compares the rings with what they were.
 */
static void child(const struct vr_used *used, unsigned int n, bool compare)
{
	static uint8_t copy[256 * 1024];
	size_t at = 0;
	unsigned int i;

	for (i = 0; i < n && compare && at + used[i].len <= sizeof(copy); at += used[i++].len)
		memcpy(copy + at, used[i].at, used[i].len);
	usleep(3000);
	for (at = 0, i = 0; i < n && compare && at + used[i].len <= sizeof(copy); at += used[i++].len)
		if (memcmp(copy + at, used[i].at, used[i].len))
			_exit(1);
	_exit(0);
}

static int ev_fork(struct vr_run *r, struct vr_range w)
{
	struct vr_used used[MAX_USED];
	unsigned int n = vr_used_rings(r, used);
	int status;
	pid_t pid = fork();

	(void)w;
	if (pid < 0)
		return -1;
	if (!pid)
		child(used, n, r->mem.fd < 0);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		vr_fail(r, "fork: the device wrote to the memory that the child has");
	/* The owner may take a huge page from a child when there are no more. */
	if (WIFSIGNALED(status) && !(WTERMSIG(status) == SIGBUS && vr_mem_page(r->o) > PAGE))
		vr_fail(r, "fork: the child died of signal %d", WTERMSIG(status));
	return 0;
}

/* Pages just touched wait in lists of each processor, where reclaim can't take them. */
static void drain(void)
{
	vr_file_write("/proc/sys/vm/compact_memory", "1");
}

/*
 * By turns: MADV_FREE on the used rings, after which only what somebody writes is
 * kept, and reclaim, which must find that the device did.
 */
static int ev_free(struct vr_run *r, struct vr_range w)
{
	static bool reclaim;
	struct vr_used used[MAX_USED];
	unsigned int i, n = vr_used_rings(r, used);

	(void)w;
	drain();
	for (i = 0; i < n; i++) {
		if (!reclaim) {
			if (madvise(used[i].page, used[i].page_len, MADV_FREE))
				return -1;
			continue;
		}
		remember(&used[i], i);
		/* The first time takes the device's mark of use, the second the page. */
		if (madvise(used[i].page, used[i].page_len, MADV_PAGEOUT) ||
		    madvise(used[i].page, used[i].page_len, MADV_PAGEOUT))
			return -1;
		if (memcmp(was[i], used[i].at, used[i].len))
			vr_fail(r, "free: reclaim threw away what the device wrote");
	}
	reclaim = !reclaim;
	return 0;
}

#define KSM "/sys/kernel/mm/ksm/"

static void ksm_begin(struct vr_run *r)
{
	(void)r;
	vr_file_write(KSM "sleep_millisecs", "2");
	vr_file_write(KSM "pages_to_scan", "2000");
	/* From 6.7 on it passes over a page that wasn't to be merged lately, round after round. */
	vr_file_write(KSM "smart_scan", "0");
	vr_file_write(KSM "run", "1");
}

static void ksm_end(struct vr_run *r)
{
	(void)r;
	vr_file_write(KSM "run", "0");
	vr_file_write(KSM "smart_scan", "1");
}

static int ev_ksm(struct vr_run *r, struct vr_range w)
{
	(void)r;
	if (madvise(w.at, w.len, MADV_MERGEABLE))
		return -1;
	usleep(20000);
	return madvise(w.at, w.len, MADV_UNMERGEABLE);
}

static bool merged(const uint8_t *a, const uint8_t *b)
{
	uint64_t x = vr_pagemap(a), y = vr_pagemap(b);

	return (x & y & VR_PM_PRESENT) && (x & VR_PM_PFN) == (y & VR_PM_PFN);
}

/* A used ring's page and a copy of it become one page; the device's write parts them. */
static int ev_ksmtwin(struct vr_run *r, struct vr_range w)
{
	static uint8_t *twin, copy[PAGE];
	struct vr_used used[MAX_USED];
	unsigned int tries;

	(void)w;
	vr_used_rings(r, used);
	if (!twin) {
		twin = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (twin == MAP_FAILED)
			vr_die("out of memory");
	} else if (memcmp(twin, copy, PAGE)) {
		vr_fail(r, "ksmtwin: the device wrote to a page that was merged");
	}
	madvise(used[0].page, PAGE, MADV_UNMERGEABLE);
	memcpy(copy, used[0].page, PAGE);
	memcpy(twin, copy, PAGE);
	if (madvise(used[0].page, PAGE, MADV_MERGEABLE) || madvise(twin, PAGE, MADV_MERGEABLE))
		return -1;
	for (tries = 0; tries < 2000 && !merged(used[0].page, twin); tries++)
		usleep(1000);
	errno = ETIMEDOUT;
	return tries < 2000 ? 0 : -1;
}

/*
 * userfaultfd, write protection and missing pages: one file and one thread that
 * resolves faults. The range is the rings', in whole pages of their kind.
 */
static struct {
	int fd;
	size_t page;
	struct vr_range range;
	uint8_t *saved;		/* the missing pages' contents */
	uint64_t *faults;	/* write faults a page */
	uint8_t *protected;
} uffd = { .fd = -1 };

static size_t uffd_index(uint64_t addr)
{
	return (addr - (uintptr_t)uffd.range.at) / uffd.page;
}

static int uffd_protect(uint8_t *at, bool on)
{
	struct uffdio_writeprotect p = {
		.range = { (uintptr_t)at, uffd.page },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd.fd, UFFDIO_WRITEPROTECT, &p);
}

static int uffd_copy(uint8_t *at)
{
	struct uffdio_copy c = {
		.dst = (uintptr_t)at, .len = uffd.page,
		.src = (uintptr_t)uffd.saved + (at - uffd.range.at),
	};

	/* Somebody else's fault on the same page may have come first. */
	while (ioctl(uffd.fd, UFFDIO_COPY, &c)) {
		if (errno == EEXIST)
			break;
		if (errno != EAGAIN)
			return -1;
	}
	return 0;
}

/* What it can't serve keeps others waiting for ever: then the program ends. */
static void *uffd_thread(void *arg)
{
	struct uffd_msg m;

	(void)arg;
	while (read(uffd.fd, &m, sizeof(m)) == sizeof(m)) {
		uint64_t addr = m.arg.pagefault.address & ~(uffd.page - 1);
		uint8_t *at = uffd.range.at + (addr - (uintptr_t)uffd.range.at);

		if (m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) {
			__atomic_fetch_add(&uffd.faults[uffd_index(addr)], 1, __ATOMIC_SEQ_CST);
			if (uffd_protect(at, false))
				vr_die_errno("userfaultfd: lifting the protection");
		} else if (uffd_copy(at)) {
			vr_die_errno("userfaultfd: filling a page");
		}
	}
	return NULL;
}

static int uffd_open(struct vr_run *r, uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
				  UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
	struct vr_range rings = { r->mem.base, (r->mem.ring_bytes + PAGE - 1) & ~(PAGE - 1) };
	struct uffdio_register reg = { .mode = mode };
	pthread_t thread;

	if (uffd.fd >= 0)
		return 0;
	uffd.range = vr_whole_pages(r, rings);
	uffd.page = vr_mem_page(r->o);
	uffd.fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd.fd < 0)
		return -1;
	reg.range.start = (uintptr_t)uffd.range.at;
	reg.range.len = uffd.range.len;
	if (ioctl(uffd.fd, UFFDIO_API, &api) || ioctl(uffd.fd, UFFDIO_REGISTER, &reg)) {
		int err = errno;

		close(uffd.fd);
		uffd.fd = -1;
		errno = err;
		return -1;
	}
	uffd.faults = calloc(uffd.range.len / uffd.page, sizeof(*uffd.faults));
	uffd.saved = mmap(NULL, uffd.range.len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!uffd.faults || uffd.saved == MAP_FAILED || pthread_create(&thread, NULL, uffd_thread, NULL))
		vr_die("userfaultfd: out of memory");
	return 0;
}

static void expect_fault(struct vr_run *r, uint8_t *at)
{
	if (!__atomic_load_n(&uffd.faults[uffd_index((uintptr_t)at)], __ATOMIC_SEQ_CST))
		vr_fail(r, "uffdwp: the device wrote to %p, which is protected, without a fault",
			(void *)at);
}

/* The used rings' pages are protected; whichever changed must have faulted. */
static int ev_uffdwp(struct vr_run *r, struct vr_range w)
{
	struct vr_used used[MAX_USED];
	unsigned int i, n = vr_used_rings(r, used);
	uint8_t *at;

	(void)w;
	if (uffd_open(r, UFFDIO_REGISTER_MODE_WP))
		return -1;
	for (i = 0; i < n; i++)
		each_changed(r, &used[i], i, expect_fault);
	memset(uffd.faults, 0, uffd.range.len / uffd.page * sizeof(*uffd.faults));
	for (i = 0; i < n; i++) {
		remember(&used[i], i);
		at = uffd.range.at + uffd_index((uintptr_t)used[i].page) * uffd.page;
		for (; at < used[i].page + used[i].page_len; at += uffd.page)
			if (uffd_protect(at, true))
				return -1;
	}
	return 0;
}

/* Post-copy: the rings' pages are gone, and come back as somebody touches them. */
static int ev_uffdmiss(struct vr_run *r, struct vr_range w)
{
	size_t i, len;

	(void)w;
	if (uffd_open(r, UFFDIO_REGISTER_MODE_MISSING))
		return -1;
	for (i = 0; i < uffd.range.len; i += uffd.page)
		(void)*(volatile uint8_t *)(uffd.range.at + i);
	len = uffd.range.len < r->mem.used ? uffd.range.len : r->mem.used;
	memcpy(uffd.saved, uffd.range.at, len);
	if (r->mem.fd >= 0)
		return vr_punch(r, uffd.range);
	return madvise(uffd.range.at, uffd.range.len, MADV_DONTNEED);
}

/* Where pages are while they are away: as large as the memory, and laid out as its huge pages. */
static struct {
	int fd;
	uint8_t *aside;
} away = { .fd = -1 };

static int away_register(const void *at, size_t len)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)at, len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(away.fd, UFFDIO_REGISTER, &reg);
}

/* Either side is where pages come to, by turns. */
static int away_open(struct vr_run *r)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_MOVE };
	size_t len = r->mem.size + HUGE_SIZE;
	uint8_t *p;

	if (away.fd >= 0)
		return 0;
	if (!away.aside) {
		p = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			return -1;
		vr_mem_advise(p, len, r->o);
		away.aside = (uint8_t *)(((uintptr_t)p + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	}
	away.fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (away.fd < 0)
		return -1;
	if (ioctl(away.fd, UFFDIO_API, &api) || away_register(r->mem.base, r->mem.size) ||
	    away_register(away.aside, r->mem.size)) {
		int err = errno;

		close(away.fd);
		away.fd = -1;
		errno = err;
		return -1;
	}
	return 0;
}

/* Returns how much went, all of it unless somebody has hold of a page, and not for a moment. */
static size_t move_away(uint8_t *to, uint8_t *from, size_t len)
{
	unsigned int tries = 0;
	size_t at = 0;

	while (at < len) {
		struct uffdio_move m = {
			.dst = (uintptr_t)to + at, .src = (uintptr_t)from + at, .len = len - at,
		};
		int ret = ioctl(away.fd, UFFDIO_MOVE, &m);

		at += m.move > 0 ? m.move : 0;
		if (ret && errno == EBUSY && tries++ < 100)
			usleep(100);
		else if (ret && errno != EAGAIN)
			break;
	}
	return at;
}

/*
 * The pages themselves go to another address and come back, at any time: who touches the memory
 * meanwhile waits for them. What is written to them while they are away was written by
 * somebody who didn't hear that they went.
 */
static int ev_uffdmove(struct vr_run *r, struct vr_range w)
{
	static uint8_t copy[HUGE_SIZE];
	size_t off, gone;
	int err;

	if (away_open(r))
		return -1;
	off = w.at - r->mem.base;
	if (r->o->mem == VR_MEM_THP) {
		off &= ~(HUGE_SIZE - 1);
		w = (struct vr_range){ r->mem.base + off, HUGE_SIZE };
	}
	w.len = w.len < sizeof(copy) ? w.len : sizeof(copy);
	gone = move_away(away.aside + off, w.at, w.len);
	err = errno;
	memcpy(copy, away.aside + off, gone);
	usleep(1000);
	if (memcmp(copy, away.aside + off, gone))
		vr_fail(r, "uffdmove: the device wrote to pages that were moved away");
	if (move_away(w.at, away.aside + off, gone) < gone)
		vr_die_errno("event uffdmove: guest memory is lost");
	errno = err;
	return gone < w.len ? -1 : 0;
}

struct vr_event vr_track_events[] = {
	{ .name = "fork", .fn = ev_fork, .help = "a child for 3 ms, which looks at its copy of the rings" },
	{ .name = "ksm", .sided = true, .fn = ev_ksm, .begin = ksm_begin, .end = ksm_end,
	  .help = "MADV_MERGEABLE, then not (ksmd runs meanwhile)" },
	{ .name = "clearsoft", .fn = ev_clearsoft, .help = "soft-dirty bits cleared at any time" },
	{ .name = "softdirty", .quiet = true, .fn = ev_softdirty,
	  .help = "soft-dirty bits cleared, then those of the used rings checked" },
	{ .name = "ksmtwin", .quiet = true, .fn = ev_ksmtwin, .begin = ksm_begin, .end = ksm_end,
	  .help = "a used ring's page merged with a copy of it" },
	{ .name = "free", .quiet = true, .fn = ev_free, .help = "MADV_FREE of the used rings, then reclaim" },
	{ .name = "uffdwp", .quiet = true, .fn = ev_uffdwp, .help = "userfaultfd write protection, faults counted" },
	{ .name = "uffdmiss", .quiet = true, .fn = ev_uffdmiss, .help = "userfaultfd, missing pages filled in" },
	{ .name = "uffdmove", .sided = true, .fn = ev_uffdmove,
	  .help = "UFFDIO_MOVE to another address and back (Linux 6.8; anonymous memory)" },
	{ 0 }
};

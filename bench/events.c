// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory events under the rings and buffers while traffic runs. None changes
 * what the memory holds, so traffic must not notice. Live events happen from a
 * thread of their own at any time; quiet ones take the memory away for a moment,
 * so the driver lets the traffic come to rest first and calls them itself: what
 * they test is that nobody uses what was there before.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vring.h"

#define PAGE		4096UL
#define HUGE_SIZE	(2UL << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25	/* Linux 6.1; not in bookworm's libc headers */
#endif

/* It strikes now the rings, now some place among the buffers. */
struct event {
	const char *name;
	bool quiet;
	int (*fn)(struct vr_run *r, struct vr_range w);
	const char *help;
	bool on;
	uint64_t done, failed;
	int why;
};

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	errno = err;
	return err ? -1 : 0;
}

static int ev_pageout(struct vr_run *r, struct vr_range w)
{
	(void)r;
	return madvise(w.at, w.len, MADV_PAGEOUT);
}

static int ev_cold(struct vr_run *r, struct vr_range w)
{
	(void)r;
	return madvise(w.at, w.len, MADV_COLD);
}

/* While the child lives, whatever the parent or its worker writes is copied first. */
static int ev_fork(struct vr_run *r, struct vr_range w)
{
	pid_t pid = fork();
	int status;

	(void)r;
	if (pid < 0)
		return -1;
	if (!pid) {
		volatile uint8_t sink = *w.at;

		(void)sink;
		usleep(500);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid ? 0 : -1;
}

static int ev_movepages(struct vr_run *r, struct vr_range w)
{
	void *pages[64] = { w.at };
	int nodes[64], status[64];
	unsigned int i, n = w.len / PAGE < 64 ? w.len / PAGE : 64;
	int node;
	long ret;

	(void)r;
	if (syscall(SYS_move_pages, 0, 1, pages, NULL, status, 0) < 0)
		return -1;
	node = status[0] == 0;
	for (i = 0; i < n; i++) {
		pages[i] = w.at + i * PAGE;
		nodes[i] = node;
	}
	ret = syscall(SYS_move_pages, 0, n, pages, nodes, status, MPOL_MF_MOVE);
	/* A page in use stays where it is (-EBUSY in its status): that's fine. */
	return ret < 0 ? -1 : 0;
}

static int ev_compact(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return write_file("/proc/sys/vm/compact_memory", "1");
}

static struct vr_range whole_huge(struct vr_run *r, struct vr_range w)
{
	size_t off = (w.at - r->mem.base) & ~(HUGE_SIZE - 1);

	return (struct vr_range){ r->mem.base + off, HUGE_SIZE };
}

static int ev_collapse(struct vr_run *r, struct vr_range w)
{
	struct vr_range h = whole_huge(r, w);

	return madvise(h.at, h.len, MADV_COLLAPSE);
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

static int ev_ksm(struct vr_run *r, struct vr_range w)
{
	(void)r;
	if (madvise(w.at, w.len, MADV_MERGEABLE))
		return -1;
	usleep(20000);
	return madvise(w.at, w.len, MADV_UNMERGEABLE);
}

static int ev_softdirty(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return write_file("/proc/self/clear_refs", "4");
}

static int ev_age(struct vr_run *r, struct vr_range w)
{
	(void)r;
	(void)w;
	return write_file("/proc/self/clear_refs", "1");
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

/* The quiet ones work on whole huge pages where nothing smaller can be cut. */
static struct vr_range quiet_range(struct vr_run *r, struct vr_range w)
{
	return r->o->mem == VR_MEM_HUGETLB ? whole_huge(r, w) : w;
}

static int protect_and_back(struct vr_range w, int prot)
{
	if (mprotect(w.at, w.len, prot))
		return -1;
	return mprotect(w.at, w.len, PROT_READ | PROT_WRITE);
}

static int ev_readonly(struct vr_run *r, struct vr_range w)
{
	return protect_and_back(quiet_range(r, w), PROT_READ);
}

static int ev_noaccess(struct vr_run *r, struct vr_range w)
{
	return protect_and_back(quiet_range(r, w), PROT_NONE);
}

/*
 * To another place and back: the same pages, unmapped for a moment. Piece by
 * piece, since a move must not span what earlier events cut the mapping into.
 */
static int ev_mremap(struct vr_run *r, struct vr_range w)
{
	size_t piece = r->o->mem == VR_MEM_HUGETLB ? HUGE_SIZE : PAGE;
	uint8_t *away = r->mem.base + r->mem.size, *at;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	w = quiet_range(r, w);
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

/* Empties the range by @how and puts the old contents into the new pages. */
static int refill(struct vr_run *r, struct vr_range w, int (*how)(struct vr_run *r, struct vr_range w))
{
	uint8_t *copy;
	int ret;

	w = quiet_range(r, w);
	copy = malloc(w.len);
	if (!copy)
		return -1;
	memcpy(copy, w.at, w.len);
	ret = how(r, w);
	memcpy(w.at, copy, w.len);
	free(copy);
	return ret;
}

static int do_dontneed(struct vr_run *r, struct vr_range w)
{
	(void)r;
	return madvise(w.at, w.len, MADV_DONTNEED);
}

static int do_munmap(struct vr_run *r, struct vr_range w)
{
	int flags = MAP_FIXED | (r->mem.fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);

	if (r->o->mem == VR_MEM_HUGETLB)
		flags |= MAP_HUGETLB;
	if (munmap(w.at, w.len))
		return -1;
	if (mmap(w.at, w.len, PROT_READ | PROT_WRITE, flags, r->mem.fd,
		 r->mem.fd >= 0 ? w.at - r->mem.base : 0) == MAP_FAILED)
		vr_die_errno("event munmap: guest memory is lost");
	vr_mem_advise(w.at, w.len, r->o);
	return 0;
}

static int do_punch(struct vr_run *r, struct vr_range w)
{
	if (r->mem.fd < 0) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return fallocate(r->mem.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 w.at - r->mem.base, w.len);
}

static int ev_dontneed(struct vr_run *r, struct vr_range w)
{
	return refill(r, w, do_dontneed);
}

static int ev_munmap(struct vr_run *r, struct vr_range w)
{
	return refill(r, w, do_munmap);
}

static int ev_punch(struct vr_run *r, struct vr_range w)
{
	return refill(r, w, do_punch);
}

static struct event events[] = {
	{ .name = "pageout", .fn = ev_pageout, .help = "MADV_PAGEOUT (anonymous memory needs swap)" },
	{ .name = "cold", .fn = ev_cold, .help = "MADV_COLD" },
	{ .name = "fork", .fn = ev_fork, .help = "a child that lives for half a millisecond" },
	{ .name = "movepages", .fn = ev_movepages, .help = "move_pages to the other node (numa=fake=2)" },
	{ .name = "compact", .fn = ev_compact, .help = "compaction of all memory" },
	{ .name = "collapse", .fn = ev_collapse, .help = "MADV_COLLAPSE into a huge page (--mem thp)" },
	{ .name = "split", .fn = ev_split, .help = "mprotect of a single page, still readable and writable" },
	{ .name = "neighbour", .fn = ev_neighbour, .help = "mprotect of the page behind the memory" },
	{ .name = "ksm", .fn = ev_ksm, .help = "MADV_MERGEABLE, then not (ksmd runs meanwhile)" },
	{ .name = "softdirty", .fn = ev_softdirty, .help = "soft-dirty bits cleared" },
	{ .name = "age", .fn = ev_age, .help = "referenced bits cleared" },
	{ .name = "unrelated", .fn = ev_unrelated, .help = "mmap, mremap and munmap of other memory" },
	{ .name = "readonly", .quiet = true, .fn = ev_readonly, .help = "mprotect to read-only and back" },
	{ .name = "noaccess", .quiet = true, .fn = ev_noaccess, .help = "mprotect to PROT_NONE and back" },
	{ .name = "mremap", .quiet = true, .fn = ev_mremap, .help = "moved away and back" },
	{ .name = "dontneed", .quiet = true, .fn = ev_dontneed, .help = "MADV_DONTNEED; new pages, old contents" },
	{ .name = "munmap", .quiet = true, .fn = ev_munmap, .help = "unmapped, mapped again, old contents" },
	{ .name = "punch", .quiet = true, .fn = ev_punch, .help = "a hole in the file (--mem memfd, file)" },
};

#define NEVENTS (sizeof(events) / sizeof(events[0]))

static struct vr_run *run;
static pthread_t thread;
/* No live event while a quiet one has memory away: a forked child would fault. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static bool running;
static volatile int stop;
static uint64_t quiet_next;
static unsigned int nlive, nquiet;
static char ksm_was[16];

static void list_events(void)
{
	unsigned int i;

	for (i = 0; i < NEVENTS; i++)
		printf("%-12s %-6s %s\n", events[i].name, events[i].quiet ? "quiet" : "live",
		       events[i].help);
}

/* Takes the --events list; exits for "list" and for names there are none of. */
void vr_events_check(const char *list)
{
	char *copy = strdup(list), *name, *save;
	unsigned int i;

	if (!strcmp(list, "list")) {
		list_events();
		exit(0);
	}
	for (name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		bool all = !strcmp(name, "all"), found = all;

		for (i = 0; i < NEVENTS; i++)
			if (all || !strcmp(events[i].name, name))
				found = events[i].on = true;
		if (!found)
			vr_die("--events: no event '%s' (see --events list)", name);
	}
	free(copy);
	for (i = 0; i < NEVENTS; i++) {
		nquiet += events[i].on && events[i].quiet;
		nlive += events[i].on && !events[i].quiet;
	}
}

static struct vr_range pick(unsigned int turn)
{
	size_t rings = (run->mem.ring_bytes + PAGE - 1) & ~(PAGE - 1);
	size_t bufs = run->mem.size - rings, at;

	if (turn % 2 == 0 || !bufs)
		return (struct vr_range){ run->mem.base, rings };
	at = (rand() % (bufs / PAGE)) * PAGE;
	return (struct vr_range){ run->mem.base + rings + at,
			       bufs - at < 16 * PAGE ? bufs - at : 16 * PAGE };
}

static void fire(struct event *e, unsigned int turn)
{
	pthread_mutex_lock(&one_at_a_time);
	if (!e->fn(run, pick(turn))) {
		e->done++;
	} else {
		e->failed++;
		e->why = errno;
	}
	pthread_mutex_unlock(&one_at_a_time);
}

/* One after the other, each first on the rings, next time on buffers. */
static void next_event(bool quiet)
{
	static unsigned int turns[2], at[2];
	unsigned int i;

	for (i = 0; i < NEVENTS; i++) {
		struct event *e = &events[at[quiet]];

		at[quiet] = (at[quiet] + 1) % NEVENTS;
		if (!at[quiet])
			turns[quiet]++;
		if (e->on && e->quiet == quiet) {
			fire(e, turns[quiet]);
			return;
		}
	}
}

static void *live_thread(void *arg)
{
	(void)arg;
	while (!stop) {
		next_event(false);
		usleep(run->o->event_us);
	}
	return NULL;
}

#define KSM "/sys/kernel/mm/ksm/run"

static void ksm_restore(void)
{
	if (ksm_was[0])
		write_file(KSM, ksm_was);
	ksm_was[0] = 0;
}

/* ksmd runs during the events only; whatever it did before, it will do after. */
static void ksm_start(void)
{
	int fd = open(KSM, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, ksm_was, sizeof(ksm_was) - 1) > 0) {
		atexit(ksm_restore);
		write_file(KSM, "1");
	}
	close(fd);
}

void vr_events_start(struct vr_run *r)
{
	unsigned int i;

	run = r;
	quiet_next = vr_now() + r->o->event_us * 1000ULL;
	for (i = 0; i < NEVENTS; i++)
		if (events[i].on && events[i].fn == ev_ksm)
			ksm_start();
	if (!nlive)
		return;
	if (pthread_create(&thread, NULL, live_thread, NULL))
		vr_die("can't start the thread of --events");
	running = true;
}

bool vr_events_quiet_due(void)
{
	return nquiet && vr_now() >= quiet_next;
}

/*
 * The worker has to sleep: what it may still be writing after the last frame,
 * its wish for a kick, would get lost between an event's copy and its return.
 */
void vr_events_quiet(struct vr_run *r)
{
	unsigned int asleep = 0, tries;

	for (tries = 0; tries < 2000 && asleep < 3; tries++) {
		asleep = vr_worker_asleep(r) ? asleep + 1 : 0;
		usleep(100);
	}
	if (asleep == 3)
		next_event(true);
	quiet_next = vr_now() + r->o->event_us * 1000ULL;
}

void vr_events_stop(void)
{
	stop = 1;
	if (running)
		pthread_join(thread, NULL);
	running = false;
	ksm_restore();
}

/* The @i'th event that was asked for; 0 when there are no more. */
unsigned int vr_events_get(unsigned int i, const char **name, uint64_t *done, uint64_t *failed,
			   const char **why)
{
	unsigned int at;

	for (at = 0; at < NEVENTS; at++) {
		if (!events[at].on || i--)
			continue;
		*name = events[at].name;
		*done = events[at].done;
		*failed = events[at].failed;
		*why = events[at].why ? strerror(events[at].why) : NULL;
		return 1;
	}
	return 0;
}

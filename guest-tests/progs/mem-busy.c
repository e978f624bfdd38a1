// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rings' pages go in the middle of work: somewhere between the reading of a ring and
 * the writing of what was used. From the moment when the call that took them returned
 * nobody may write them. Who holds up bursts (suite races) makes sure that one is
 * under way then. Where huge pages differ, $MEM_KIND may be "thp" or "hugetlb".
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem-dev.h"

#define RW (PROT_READ | PROT_WRITE)

/*
 * @alias: where the same pages can be seen besides. A mapping won't do for pages that are freed:
 * those are kept by a pipe, @held, of which @copies take what they hold.
 * @span: how much of @area goes: all of a huge page.
 */
struct busy {
	struct md d;
	uint8_t *area, *away;
	size_t span;
	const uint8_t *alias;
	int fd, uffd, held[2], copies[2];
	uint8_t was[MD_AREA];
	pid_t child;
	bool over;
};

/* @hold is called before the work; @look says what the pages hold that were taken. */
struct busy_event {
	void (*hold)(struct busy *b);
	void (*take)(struct busy *b);
	void (*look)(struct busy *b, uint8_t *to);
	void (*give)(struct busy *b);
};

/* @frames come then: a worker that has windows still would write who got them. */
static void nobody_writes(struct busy *b, void (*look)(struct busy *b, uint8_t *to),
			  unsigned int frames)
{
	static uint8_t is[MD_AREA];
	unsigned int i;

	look(b, b->was);
	md_kick(&b->d, MD_TX);
	md_feed_tap(&b->d, frames);
	usleep(frames ? 2000 : rand() % 300);
	look(b, is);
	for (i = 0; i < MD_AREA; i += MD_PAGE)
		MD_CERTAIN(!memcmp(b->was + i, is + i, MD_PAGE),
			   "page %lu was written though the call that took it had returned",
			   i / MD_PAGE);
}

/* Returns how many errors the device raised. */
static unsigned int while_busy(struct busy *b, const struct busy_event *e, unsigned int rounds)
{
	unsigned int i, errors = 0;

	srand(1);
	if (md_kind_is("thp"))
		MD_EXPECT(md_huge_kb(b->area) * 1024 >= b->span, "the rings don't lie in a huge page");
	md_open(&b->d, b->area);
	md_traffic_direct(&b->d);
	while (rounds--) {
		if (e->hold)
			e->hold(b);
		md_feed(&b->d, 40);
		md_send(&b->d, 60);
		usleep(rand() % 200);
		e->take(b);
		if (e->look)
			nobody_writes(b, e->look, 0);
		if (e->give)
			e->give(b);
		for (i = 0; i < MD_RINGS; i++)
			md_kick(&b->d, i);
		md_settle(&b->d);
		for (i = 0; i < MD_RINGS; i++)
			errors += md_error(&b->d, i, 0);
	}
	MD_EXPECT(md_stats(&b->d, "inval_hit"), "no invalidation hit a window");
	printf("%u errors raised\n", errors);
	md_traffic_direct(&b->d);
	return errors;
}

/* The device has to meet rings that aren't there, and say so. */
static void while_missing(struct busy *b, const struct busy_event *e, unsigned int rounds)
{
	unsigned int errors = while_busy(b, e, rounds);

	MD_EXPECT(errors, "the device never met the missing ring: nothing was tested");
}

static void look_at_alias(struct busy *b, uint8_t *to)
{
	memcpy(to, b->alias, MD_AREA);
}

static void shared(struct busy *b)
{
	b->span = md_kind_span();
	b->fd = md_kind_memfd();
	b->area = md_kind_map(b->fd);
	b->alias = md_kind_map(b->fd);
}

static void unmap(struct busy *b)
{
	MD_EXPECT(!munmap(b->area, b->span), "munmap: %m");
}

static void map(struct busy *b)
{
	void *p = mmap(b->area, b->span, RW, MAP_SHARED | MAP_FIXED, b->fd, 0);

	MD_EXPECT(p == b->area, "mmap: %m");
}

static void munmap_busy(void)
{
	const struct busy_event e = { .take = unmap, .look = look_at_alias, .give = map };
	struct busy b = { 0 };

	shared(&b);
	while_missing(&b, &e, 150);
}

static void make_readonly(struct busy *b)
{
	MD_EXPECT(!mprotect(b->area, b->span, PROT_READ), "mprotect: %m");
}

static void forbid(struct busy *b)
{
	MD_EXPECT(!mprotect(b->area, b->span, PROT_NONE), "mprotect: %m");
}

static void allow(struct busy *b)
{
	MD_EXPECT(!mprotect(b->area, b->span, RW), "mprotect: %m");
}

static void move(uint8_t *from, uint8_t *to, size_t span)
{
	void *p = mremap(from, span, span, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	MD_EXPECT(p == to, "mremap: %m");
}

static void move_away(struct busy *b)
{
	move(b->area, b->away, b->span);
}

static void move_back(struct busy *b)
{
	move(b->away, b->area, b->span);
}

/* The pages stay what they are: elsewhere, where the device was not told that it may write. */
static void mremap_busy(void)
{
	const struct busy_event e = { .take = move_away, .look = look_at_alias, .give = move_back };
	struct busy b = { .span = md_kind_span(), .area = md_kind_area(), .away = md_kind_area() };

	b.alias = b.away;
	while_missing(&b, &e, 60);
}

/* The pages stay, whatever becomes of their mapping. */
static void hold_pages(struct busy *b)
{
	struct iovec iov = { b->area, MD_AREA };

	MD_EXPECT(vmsplice(b->held[1], &iov, 1, 0) == (ssize_t)MD_AREA, "vmsplice: %m");
}

static void look_at_held(struct busy *b, uint8_t *to)
{
	MD_EXPECT(tee(b->held[0], b->copies[1], MD_AREA, 0) == (ssize_t)MD_AREA, "tee: %m");
	MD_EXPECT(read(b->copies[0], to, MD_AREA) == (ssize_t)MD_AREA, "a pipe: %m");
}

static void let_go(struct busy *b)
{
	static uint8_t sink[MD_AREA];

	MD_EXPECT(read(b->held[0], sink, MD_AREA) == (ssize_t)MD_AREA, "a pipe: %m");
}

/* New pages with what the old ones held; who wants them waits until then. */
static void renew_held(struct busy *b)
{
	struct uffdio_copy c = {
		.dst = (uintptr_t)b->area,
		.src = (uintptr_t)b->was,
		.len = MD_AREA,
	};

	MD_EXPECT(!ioctl(b->uffd, UFFDIO_COPY, &c) && c.copy == (int64_t)MD_AREA, "UFFDIO_COPY: %m");
	let_go(b);
}

static void open_pipes(struct busy *b)
{
	MD_EXPECT(!pipe2(b->held, O_CLOEXEC) && !pipe2(b->copies, O_CLOEXEC), "pipe: %m");
}

static void allow_held(struct busy *b)
{
	allow(b);
	let_go(b);
}

/* Pages that stay where they are, but may not be written. A file's can be seen elsewhere. */
static void protected_busy(void (*take)(struct busy *b))
{
	const struct busy_event held = { hold_pages, take, look_at_held, allow_held };
	const struct busy_event mapped = { .take = take, .look = look_at_alias, .give = allow };
	struct busy b = { .span = md_kind_span() };

	if (md_kind_is("thp")) {
		b.area = md_kind_area();
		open_pipes(&b);
		while_missing(&b, &held, 150);
	} else {
		shared(&b);
		while_missing(&b, &mapped, 150);
	}
}

static void readonly_busy(void)
{
	protected_busy(make_readonly);
}

static void noaccess_busy(void)
{
	protected_busy(forbid);
}

static void open_held(struct busy *b)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };

	open_pipes(b);
	b->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (b->uffd < 0)
		md_skip("userfaultfd: %m");
	reg.range.start = (uintptr_t)b->area;
	reg.range.len = MD_AREA;
	MD_EXPECT(!ioctl(b->uffd, UFFDIO_API, &api) && !ioctl(b->uffd, UFFDIO_REGISTER, &reg),
		  "userfaultfd: %m");
}

static void drop(struct busy *b)
{
	MD_EXPECT(!madvise(b->area, MD_AREA, MADV_DONTNEED), "MADV_DONTNEED: %m");
}

static void punch(struct busy *b)
{
	MD_EXPECT(!fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MD_AREA),
		  "fallocate: %m");
}

static void dontneed_busy(void)
{
	const struct busy_event e = { hold_pages, drop, look_at_held, renew_held };
	struct busy b = { .area = md_map(MD_AREA, -1) };

	open_held(&b);
	while_busy(&b, &e, 60);
}

static void cut(struct busy *b)
{
	MD_EXPECT(!ftruncate(b->fd, 0) && !ftruncate(b->fd, MD_AREA), "ftruncate: %m");
}

static void file_busy(void (*take)(struct busy *b))
{
	const struct busy_event e = { hold_pages, take, look_at_held, renew_held };
	struct busy b = { 0 };

	shared(&b);
	/* Another mapping would have the kernel unmap two: the event shall be the rings'. */
	munmap((void *)b.alias, MD_AREA);
	open_held(&b);
	while_busy(&b, &e, 60);
}

static void punch_busy(void)
{
	file_busy(punch);
}

static void truncate_busy(void)
{
	file_busy(cut);
}

/*
 * Other memory goes all the while, and the device is kept awake: it tries to map whenever it
 * has no windows. A thread by another name, for the suite holds up the events of the first.
 */
static void *beside(void *arg)
{
	uint8_t *other = md_map(MD_PAGE, -1);
	struct busy *b = arg;
	unsigned int i;

	prctl(PR_SET_NAME, "beside");
	while (!__atomic_load_n(&b->over, __ATOMIC_RELAXED)) {
		*(volatile uint8_t *)other = 1;
		MD_EXPECT(!madvise(other, MD_PAGE, MADV_DONTNEED), "MADV_DONTNEED: %m");
		for (i = 0; i < MD_RINGS; i++)
			md_kick(&b->d, i);
		usleep(200);
	}
	return NULL;
}

/* Both only under the mmap lock for reading: they overlap. */
static void beside_busy(void)
{
	struct busy b = { .area = md_map(MD_AREA, -1) };
	unsigned int round, i;
	pthread_t thread;

	open_held(&b);
	md_open(&b.d, b.area);
	md_traffic_direct(&b.d);
	MD_EXPECT(!pthread_create(&thread, NULL, beside, &b), "no thread");
	for (round = 0; round < 40; round++) {
		hold_pages(&b);
		/* What windows were worth makes them come back at once. */
		md_traffic(&b.d, 1);
		drop(&b);
		nobody_writes(&b, look_at_held, 4);
		renew_held(&b);
		for (i = 0; i < MD_RINGS; i++)
			md_kick(&b.d, i);
		md_settle(&b.d);
	}
	__atomic_store_n(&b.over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	MD_EXPECT(md_stats(&b.d, "inval_hit"), "no invalidation hit a window");
	md_traffic_direct(&b.d);
}

/*
 * What the device writes after the fork is the owner's: the child looks whether it gets any,
 * for longer than a burst is held up.
 */
static void give_birth(struct busy *b)
{
	b->child = fork();
	MD_EXPECT(b->child >= 0, "fork: %m");
	if (b->child)
		return;
	memcpy(b->was, b->area, MD_AREA);
	usleep(4000);
	_exit(!!memcmp(b->was, b->area, MD_AREA));
}

static void see_off(struct busy *b)
{
	int status;

	MD_EXPECT(waitpid(b->child, &status, 0) == b->child && WIFEXITED(status), "waitpid: %m");
	MD_CERTAIN(!WEXITSTATUS(status), "the device wrote to the memory that the child has");
}

static void fork_busy(void)
{
	const struct busy_event e = { .take = give_birth, .give = see_off };
	struct busy b = { .span = md_kind_span(), .area = md_kind_area() };

	while_busy(&b, &e, 60);
}

const struct md_case md_busy_cases[] = {
	{ "munmap-busy", munmap_busy, "rings unmapped in the middle of work, mapped again" },
	{ "readonly-busy", readonly_busy, "rings read-only in the middle of work" },
	{ "noaccess-busy", noaccess_busy, "PROT_NONE in the middle of work" },
	{ "mremap-busy", mremap_busy, "rings moved away and back in the middle of work" },
	{ "dontneed-busy", dontneed_busy,
	  "MADV_DONTNEED in the middle of work, new pages by userfaultfd" },
	{ "beside-busy", beside_busy, "MADV_DONTNEED amid another, of other memory" },
	{ "punch-busy", punch_busy, "a hole in the rings' file in the middle of work, the same" },
	{ "truncate-busy", truncate_busy, "the rings' file cut off and lengthened, the same" },
	{ "fork-busy", fork_busy, "fork in the middle of work; the child's copy stays as it is" },
	{ 0 }
};

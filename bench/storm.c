// SPDX-License-Identifier: GPL-2.0-only
/*
 * Invalidations at a given rate while traffic runs: slices with them and slices
 * without, in turn, so that what is compared is a few hundred milliseconds apart.
 *
 * One mprotect() is one invalidation: it adds or takes PROT_EXEC, so reading and
 * writing stay allowed and contents stay. "hit" strikes the ring that traffic
 * uses, "miss" as many pages beside it, "none" nothing: what the storm's thread
 * costs by being woken. All three do the same otherwise. "numa" switches the
 * kernel's NUMA balancing on and off instead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"
#include "vring.h"

#define NSEC		1000000000ULL
#define MAX_SLICES	64
/* Share of a slice that isn't measured: what the one before left has to settle. */
#define SETTLE(ns)	((ns) / 3)
#define BALANCING	"/proc/sys/kernel/numa_balancing"

struct slice {
	bool on;
	uint64_t packets, ns, done, hits;
};

static struct {
	struct vr_run *run;
	struct vr_range at;
	pthread_t thread;
	bool running, measuring;
	volatile bool on, stop;
	uint64_t began;			/* the slice under way */
	struct slice slice[MAX_SLICES];
	unsigned int n;
	uint64_t done, failed;		/* written by the thread */
	uint64_t done0, hits0, packets0, t0;
	char balancing[16];
} storm;

static uint64_t numa_hints(void)
{
	unsigned long long v, found = 0;
	char name[64];
	FILE *f = fopen("/proc/vmstat", "r");

	while (f && fscanf(f, "%63s %llu", name, &v) == 2)
		if (!strcmp(name, "numa_pte_updates"))
			found = v;
	if (f)
		fclose(f);
	return found;
}

static void balancing(const char *text)
{
	int fd = open(BALANCING, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		vr_die_errno("--storm numa: %s", BALANCING);
	close(fd);
}

static void balancing_restore(void)
{
	if (storm.balancing[0])
		balancing(storm.balancing);
}

static void balancing_save(void)
{
	int fd = open(BALANCING, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, storm.balancing, sizeof(storm.balancing) - 1) < 1)
		vr_die_errno("--storm numa: %s", BALANCING);
	close(fd);
	atexit(balancing_restore);
	balancing("0");
}

static void until(uint64_t t)
{
	struct timespec ts = { .tv_sec = t / NSEC, .tv_nsec = t % NSEC };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void strike(bool *exec)
{
	const int rw = PROT_READ | PROT_WRITE;

	if (storm.run->o->storm == VR_STORM_NONE) {
		storm.done++;
		return;
	}
	*exec = !*exec;
	if (mprotect(storm.at.at, storm.at.len, *exec ? rw | PROT_EXEC : rw))
		storm.failed++;
	else
		storm.done++;
}

/* Late ones are made up for, up to a few: the rate is what was asked for, not less. */
static void *storm_thread(void *arg)
{
	uint64_t period = NSEC / storm.run->o->storm_rate, next = 0;
	bool exec = false;

	(void)arg;
	while (!storm.stop) {
		if (!storm.on) {
			until(vr_now() + NSEC / 1000);
			next = 0;
			continue;
		}
		if (!next || vr_now() > next + 20 * period + NSEC / 100)
			next = vr_now();
		next += period;
		if (next > vr_now())
			until(next);
		strike(&exec);
	}
	return NULL;
}

/* Ahead of the driver on its processor, so that an operation isn't cut in two. */
void vr_thread_first(pthread_t thread)
{
	struct sched_param p = { .sched_priority = 1 };

	if (pthread_setschedparam(thread, SCHED_FIFO, &p))
		vr_die("SCHED_FIFO: not permitted");
}

/* A mapping of its own, so that changing its protection cuts and joins nothing. */
struct vr_range vr_isolated(struct vr_range w)
{
	if (madvise(w.at, w.len, MADV_DONTDUMP))
		vr_die_errno("MADV_DONTDUMP");
	return w;
}

void vr_storm_start(struct vr_run *r)
{
	storm.run = r;
	if (r->o->storm == VR_STORM_NUMA) {
		balancing_save();
		return;
	}
	storm.at = vr_isolated(r->o->storm == VR_STORM_HIT ? vr_ring_range(r) : vr_gap_range(r));
	if (pthread_create(&storm.thread, NULL, storm_thread, NULL))
		vr_die("can't start the thread of --storm");
	storm.running = true;
	vr_thread_first(storm.thread);
}

static uint64_t invalidations(void)
{
	return storm.run->o->storm == VR_STORM_NUMA ? numa_hints() : storm.done;
}

static void turn(bool on)
{
	if (on == storm.on)
		return;
	storm.on = on;
	if (storm.run->o->storm == VR_STORM_NUMA)
		balancing(on ? "1" : "0");
}

/*
 * To be called by the driver all the time; @packets so far. Slices go without,
 * with, with, without, so that what drifts drifts for both. With --mark each is
 * a run of its own to tcgcount.
 */
void vr_storm_step(uint64_t packets)
{
	uint64_t now = vr_now(), length = storm.run->o->slice_ms * (NSEC / 1000);
	struct slice *s = &storm.slice[storm.n];

	if (storm.n == MAX_SLICES)
		return;
	/* After the warm-up. */
	if (!storm.began)
		storm.began = now;
	if (!storm.measuring) {
		if (now - storm.began < SETTLE(length))
			return;
		storm.done0 = invalidations();
		storm.hits0 = vr_stats_sum(storm.run, "inval_hit");
		storm.packets0 = packets;
		mark_open(storm.run->o->mark);
		storm.t0 = vr_now();
		storm.measuring = true;
		return;
	}
	if (now - storm.began < length)
		return;
	mark_close(storm.run->o->mark);
	mark_dump(storm.run->o->mark);
	s->on = storm.on;
	s->packets = packets - storm.packets0;
	s->ns = now - storm.t0;
	s->done = invalidations() - storm.done0;
	s->hits = vr_stats_sum(storm.run, "inval_hit") - storm.hits0;
	storm.n++;
	turn(storm.n % 4 == 1 || storm.n % 4 == 2);
	storm.measuring = false;
	storm.began = vr_now();
}

void vr_storm_stop(void)
{
	turn(false);
	storm.stop = true;
	if (storm.running)
		pthread_join(storm.thread, NULL);
	storm.running = false;
}

/* Each slice as [with, packets, ns, invalidations, windows taken away]. */
void vr_storm_print(const struct vr_opts *o)
{
	unsigned int i;

	if (!o->storm)
		return;
	printf(",\"storm\":{\"where\":\"%s\",\"rate\":%u,\"failed\":%" PRIu64 ",\"slices\":[",
	       vr_storm_names[o->storm], o->storm_rate, storm.failed);
	for (i = 0; i < storm.n; i++) {
		const struct slice *s = &storm.slice[i];

		printf("%s[%d,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]", i ? "," : "",
		       s->on, s->packets, s->ns, s->done, s->hits);
	}
	printf("]}");
}

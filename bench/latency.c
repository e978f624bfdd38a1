// SPDX-License-Identifier: GPL-2.0-only
/*
 * What single memory operations cost the process that owns the device: how long
 * they take (--latency), and what the processor executes for one that misses all
 * rings (--misses, --reclaim; under tcgcount).
 *
 * The memory is a memfd, so each operation can strike the ring that traffic uses
 * and lose nothing: unmapping is mmap() of the same pages over the old mapping,
 * which takes it away and puts the new one in its place under the kernel's lock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"
#include "vring.h"

#define PAGE		4096UL
#define MAX_SAMPLES	20000

enum { OP_MUNMAP, OP_MPROTECT, OP_DONTNEED, NOPS };
enum { AT_OTHER, AT_RING, NPLACES };

static const char *const op_names[NOPS] = { "munmap", "mprotect", "dontneed" };
static const char *const place_names[NPLACES] = { "other", "ring" };

static struct {
	struct vr_run *run;
	struct vr_range at[NPLACES];
	uint32_t *ns[NOPS][NPLACES];
	unsigned int n;
	uint64_t failed;
	uint64_t hits;
	pthread_t thread;
	volatile bool stop;
	bool running;
} lat;

static int operate(unsigned int op, struct vr_range w, unsigned int turn)
{
	const struct vr_mem *m = &lat.run->mem;
	const int rw = PROT_READ | PROT_WRITE;

	switch (op) {
	case OP_MUNMAP:
		return mmap(w.at, w.len, rw, MAP_FIXED | MAP_SHARED, m->fd, w.at - m->base) ==
		       MAP_FAILED;
	case OP_MPROTECT:
		return mprotect(w.at, w.len, turn % 2 ? rw : rw | PROT_EXEC);
	default:
		return madvise(w.at, w.len, MADV_DONTNEED);
	}
}

/* Pages that the operation finds mapped; the ring's come back by use. */
static void populate(struct vr_range w)
{
	size_t i;

	for (i = 0; i < w.len; i += PAGE)
		(void)*(volatile uint8_t *)(w.at + i);
}

static void nap(void)
{
	struct timespec ts = { .tv_nsec = lat.run->o->latency_us * 1000L };

	nanosleep(&ts, NULL);
}

static void *latency_thread(void *arg)
{
	unsigned int op, place;

	(void)arg;
	for (; !lat.stop && lat.n < MAX_SAMPLES; lat.n++) {
		for (op = 0; op < NOPS; op++) {
			for (place = 0; place < NPLACES; place++) {
				struct vr_range w = lat.at[place];
				uint64_t t0;

				if (place == AT_OTHER)
					populate(w);
				nap();
				t0 = vr_now();
				lat.failed += !!operate(op, w, lat.n);
				lat.ns[op][place][lat.n] = vr_now() - t0;
				if (op == OP_MUNMAP)
					vr_isolated(w);
			}
		}
	}
	return NULL;
}

void vr_latency_start(struct vr_run *r)
{
	unsigned int op, place;

	lat.run = r;
	lat.at[AT_OTHER] = vr_isolated(vr_gap_range(r));
	lat.at[AT_RING] = vr_isolated(vr_ring_range(r));
	for (op = 0; op < NOPS; op++)
		for (place = 0; place < NPLACES; place++) {
			lat.ns[op][place] = calloc(MAX_SAMPLES, sizeof(uint32_t));
			if (!lat.ns[op][place])
				vr_die("out of memory");
		}
	lat.hits = vr_stats_sum(r, "inval_hit");
	if (pthread_create(&lat.thread, NULL, latency_thread, NULL))
		vr_die("can't start the thread of --latency-us");
	lat.running = true;
	vr_thread_first(lat.thread);
}

void vr_latency_stop(void)
{
	lat.stop = true;
	if (!lat.running)
		return;
	pthread_join(lat.thread, NULL);
	lat.running = false;
	lat.hits = vr_stats_sum(lat.run, "inval_hit") - lat.hits;
}

void vr_latency_print(const struct vr_opts *o)
{
	unsigned int op, place, i;

	if (!o->latency_us)
		return;
	printf(",\"latency\":{\"idle\":%s,\"failed\":%" PRIu64 ",\"inval_hit\":%" PRIu64,
	       o->idle ? "true" : "false", lat.failed, lat.hits);
	for (op = 0; op < NOPS; op++)
		for (place = 0; place < NPLACES; place++) {
			printf(",\"%s %s\":[", op_names[op], place_names[place]);
			for (i = 0; i < lat.n; i++)
				printf("%s%u", i ? "," : "", lat.ns[op][place][i]);
			putchar(']');
		}
	putchar('}');
}

/* Pages between the rings, empty after the first round: nothing but the callback. */
static void miss(struct vr_run *r)
{
	unsigned int i;

	for (i = 0; i < r->o->misses; i++) {
		unsigned int at = r->o->miss_gap < 0 ? i % r->ngaps : (unsigned int)r->o->miss_gap;
		struct vr_range w = r->gaps[at < r->ngaps ? at : r->ngaps - 1];

		if (madvise(w.at + PAGE, PAGE, MADV_DONTNEED))
			vr_die_errno("MADV_DONTNEED between the rings");
	}
}

/* Has the pages between the rings aged; the rings' own are kept out of it. */
static void reclaim(struct vr_run *r)
{
	unsigned int i;
	int fd;

	for (i = 0; i < r->npairs; i++) {
		struct vr_range rx = vr_ring_pages(&r->pairs[i].rx);
		struct vr_range tx = vr_ring_pages(&r->pairs[i].tx);

		if (mlock(rx.at, rx.len) || mlock(tx.at, tx.len))
			vr_die_errno("mlock of a ring");
	}
	fd = open(r->o->reclaim, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		vr_die_errno("--reclaim %s", r->o->reclaim);
	mark_open(r->o->mark);
	/* It says EAGAIN when it got less than it was asked for. */
	(void)!write(fd, "2M", 2);
	mark_close(r->o->mark);
	close(fd);
}

/* Instead of traffic: operations that miss, between the markers. */
void vr_misses(struct vr_run *r)
{
	if (r->o->reclaim) {
		reclaim(r);
		return;
	}
	miss(r);
	mark_open(r->o->mark);
	miss(r);
	mark_close(r->o->mark);
}

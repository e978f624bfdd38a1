// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory events under the rings and buffers while traffic runs. None changes
 * what the memory holds, so traffic must not notice. Live events happen from a
 * thread of their own at any time; quiet ones take the memory away for a moment,
 * so the driver lets the traffic come to rest first and calls them itself: what
 * they test is that nobody uses what was there before.
 *
 * The events are in events_*.c; here they are chosen and run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "events.h"

static struct vr_event *const tables[] = {
	vr_map_events, vr_track_events, vr_host_events, vr_swap_events,
};

#define MAX_EVENTS 64

static struct vr_event *events[MAX_EVENTS];
static unsigned int nevents, nlive, nquiet;
static struct vr_run *run;
static pthread_t thread;
/* No live event while a quiet one has memory away: a forked child would fault. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static bool running;
static volatile int stop;
static uint64_t quiet_next;

int vr_file_write(const char *path, const char *text)
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

/* /proc/self/pagemap's word of a page. */
uint64_t vr_pagemap(const void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word = 0;

	if (fd < 0 || pread(fd, &word, 8, (uintptr_t)at / PAGE * 8) != 8)
		vr_die_errno("/proc/self/pagemap");
	close(fd);
	return word;
}

static struct vr_used used_ring(const struct vr_vq *q)
{
	uintptr_t at = (uintptr_t)q->vr.used, first = at & ~(PAGE - 1);
	struct vr_used u = {
		.at = (uint8_t *)at,
		.page = (uint8_t *)first,
		.len = sizeof(struct vring_used) + q->vr.num * sizeof(struct vring_used_elem) +
		       sizeof(__virtio16),
	};

	u.page_len = (at + u.len - first + PAGE - 1) & ~(PAGE - 1);
	return u;
}

unsigned int vr_used_rings(struct vr_run *r, struct vr_used out[2 * VR_MAX_QUEUES])
{
	unsigned int i, n = 0;

	for (i = 0; i < r->npairs; i++) {
		if (r->o->dir & VR_DIR_TX)
			out[n++] = used_ring(&r->pairs[i].tx);
		if (r->o->dir & VR_DIR_RX)
			out[n++] = used_ring(&r->pairs[i].rx);
	}
	return n;
}

static void collect(void)
{
	struct vr_event *e;
	unsigned int i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]) && !nlive && !nquiet; i++)
		for (e = tables[i]; e->name && nevents < MAX_EVENTS; e++)
			events[nevents++] = e;
}

static void list_events(void)
{
	unsigned int i;

	for (i = 0; i < nevents; i++)
		printf("%-12s %-6s %s\n", events[i]->name, events[i]->quiet ? "quiet" : "live",
		       events[i]->help);
}

/* Takes the --events list; exits for "list" and for names there are none of. */
void vr_events_check(const char *list)
{
	char *copy = strdup(list), *name, *save;
	unsigned int i;

	collect();
	if (!strcmp(list, "list")) {
		list_events();
		exit(0);
	}
	for (name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		bool all = !strcmp(name, "all"), found = all;

		for (i = 0; i < nevents; i++)
			if (all || !strcmp(events[i]->name, name))
				found = events[i]->on = true;
		if (!found)
			vr_die("--events: no event '%s' (see --events list)", name);
	}
	free(copy);
	for (i = 0; i < nevents; i++) {
		nquiet += events[i]->on && events[i]->quiet;
		nlive += events[i]->on && !events[i]->quiet;
	}
}

static bool is_rings(unsigned int turn)
{
	return turn % 2 == 0;
}

static struct vr_range pick(unsigned int turn)
{
	size_t rings = (run->mem.ring_bytes + PAGE - 1) & ~(PAGE - 1);
	size_t bufs = (run->mem.used - rings) & ~(PAGE - 1), at;

	if (is_rings(turn) || !bufs)
		return (struct vr_range){ run->mem.base, rings };
	at = (rand() % (bufs / PAGE)) * PAGE;
	return (struct vr_range){ run->mem.base + rings + at,
				  bufs - at < 16 * PAGE ? bufs - at : 16 * PAGE };
}

static void fire(struct vr_event *e, unsigned int turn)
{
	uint64_t t0;

	pthread_mutex_lock(&one_at_a_time);
	vr_told_mark();
	t0 = vr_now();
	if (!e->fn(run, pick(turn))) {
		e->done++;
		e->rings_done += is_rings(turn);
		vr_told_add(&e->told);
	} else {
		e->failed++;
		e->rings_failed += is_rings(turn);
		e->why = errno;
	}
	t0 = vr_now() - t0;
	if (t0 > e->longest_ns)
		e->longest_ns = t0;
	pthread_mutex_unlock(&one_at_a_time);
}

/* One after the other, each first on the rings, next time on buffers. */
static void next_event(bool quiet)
{
	static unsigned int turns[2], at[2];
	unsigned int i;

	for (i = 0; i < nevents; i++) {
		struct vr_event *e = events[at[quiet]];

		at[quiet] = (at[quiet] + 1) % nevents;
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

void vr_events_start(struct vr_run *r)
{
	unsigned int i;

	run = r;
	quiet_next = vr_now() + r->o->event_us * 1000ULL;
	for (i = 0; i < nevents; i++)
		if (events[i]->on && events[i]->begin)
			events[i]->begin(r);
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
	unsigned int i;

	stop = 1;
	if (running)
		pthread_join(thread, NULL);
	running = false;
	for (i = 0; i < nevents; i++)
		if (events[i]->on && events[i]->end)
			events[i]->end(run);
}

/* The @i'th event that was asked for, NULL when there are no more. */
const struct vr_event *vr_events_get(unsigned int i)
{
	unsigned int at;

	for (at = 0; at < nevents; at++)
		if (events[at]->on && !i--)
			return events[at];
	return NULL;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Rates and clocks. */
#include <time.h>

#include "pace.h"
#include "stop.h"

#define SEC	1000000000ull
/* A sleep takes about this much longer than asked for: shorter waits spin. */
#define SPIN	60000
#define SLICE	100000000ull
/*
 * What couldn't be sent for so long isn't made up for: that would be a burst of another size.
 * Two bursts are, whatever they take: one that waits and the next, so that the rate is kept.
 */
#define SLACK	20000000.0

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SEC + t.tv_nsec;
}

void pace_init(struct pace *p, double rate, unsigned int burst, uint64_t now)
{
	p->interval = rate > 0 ? SEC / rate : 0;
	p->due = now;
	p->slack = SLACK > 2 * burst * p->interval ? SLACK : 2 * burst * p->interval;
}

uint64_t pace_due(struct pace *p, uint64_t now)
{
	if (!p->interval)
		return 0;
	if (p->due < now - p->slack)
		p->due = now - p->slack;
	return p->due;
}

void pace_spend(struct pace *p, unsigned int packets)
{
	p->due += packets * p->interval;
}

void pace_sleep(uint64_t until)
{
	struct timespec t;
	uint64_t now;

	while ((now = now_ns()) < until && !stopping()) {
		uint64_t left = until - now;

		if (left < SPIN)
			continue;
		left -= SPIN / 2;
		left = left > SLICE ? SLICE : left;
		t = (struct timespec){ left / SEC, left % SEC };
		nanosleep(&t, NULL);
	}
}

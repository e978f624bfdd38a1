/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which numbers of a flow have come: loss, duplication and reordering. A window of bits remembers
 * the newest numbers; of one below it nobody knows whether it came before.
 */
#ifndef WL_TRACKER_H
#define WL_TRACKER_H

#include <stdbool.h>
#include <stdint.h>

enum tracker_verdict { TRACK_NEW, TRACK_REORDERED, TRACK_DUPLICATED, TRACK_STALE };

struct tracker {
	uint64_t next;		/* one above the greatest number; not wrapped */
	uint64_t base;		/* the first number that is expected */
	uint64_t unique;	/* different ones */
	uint64_t duplicated;
	uint64_t reordered;	/* below a number that had come before them */
	uint64_t reach;		/* the most that one came behind the greatest */
	uint64_t stale;		/* below the window */
	uint32_t window;
	bool joined;		/* base and next lack what was above 32 bits */
	uint64_t *bits;
};

/**
 * tracker_init - begin a flow
 * @t: the tracker
 * @window: how many numbers are remembered, a multiple of 64
 *
 * Returns false without memory.
 */
bool tracker_init(struct tracker *t, uint32_t window);

/* The opposite. */
void tracker_free(struct tracker *t);

/**
 * tracker_join - expect nothing below this number, the first that came
 * @t: the tracker
 * @number: the number
 */
void tracker_join(struct tracker *t, uint32_t number);

/**
 * tracker_take - a number has come
 * @t: the tracker
 * @number: as sent: the lower 32 bits of the full one
 */
enum tracker_verdict tracker_take(struct tracker *t, uint32_t number);

/**
 * tracker_expected - how many numbers should have come
 * @t: the tracker
 * @total: how many were sent; UINT64_MAX if nobody told: then up to the greatest that came
 */
uint64_t tracker_expected(const struct tracker *t, uint64_t total);

#endif /* WL_TRACKER_H */

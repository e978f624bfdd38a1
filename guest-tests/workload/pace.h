/* SPDX-License-Identifier: GPL-2.0-only */
/* A rate kept by tokens: a burst goes in one piece as soon as the rate has tokens for it. */
#ifndef WL_PACE_H
#define WL_PACE_H

#include <stdint.h>

struct pace {
	double interval;	/* ns a packet; 0: no limit */
	double due;		/* when the next burst may go */
	double slack;		/* ns that may be made up for */
};

/**
 * pace_init - begin
 * @p: the pace
 * @rate: packets a second; 0: no limit
 * @burst: packets that go together
 * @now: ns
 */
void pace_init(struct pace *p, double rate, unsigned int burst, uint64_t now);

/**
 * pace_due - when the next burst may go
 * @p: the pace
 * @now: ns
 *
 * Returns a time in ns that isn't after @now if it may go at once.
 */
uint64_t pace_due(struct pace *p, uint64_t now);

/* So many have gone. */
void pace_spend(struct pace *p, unsigned int packets);

/* Sleep until then, or until the program is to stop. */
void pace_sleep(uint64_t until);

/* ns of CLOCK_MONOTONIC */
uint64_t now_ns(void);

#endif /* WL_PACE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* What came of a run: the verdict, for people and as JSON. */
#ifndef WL_REPORT_H
#define WL_REPORT_H

#include "load.h"

enum sender_state { SENDER_RUNS, SENDER_ENDED, SENDER_VANISHED };

struct sender_result {
	struct tally sum;		/* of all threads */
	struct intake_totals totals;
	uint64_t lost;
	enum intake_clocks clocks;
	enum sender_state state;
};

struct result {
	double seconds;
	struct port_counts sent, received;	/* of either side's ports */
	double sent_seconds, received_seconds;
	uint64_t packets, bytes, corrupt, too_long, foreign, unstamped, late, lost;
	struct intake_totals totals;
	struct histogram latency;
	const char *blame;
	enum intake_clocks clocks;
	bool sends, receives, ok;
	char verdict[160];
	struct sender_result *sender;	/* of several, by their numbers; NULL of one */
	unsigned int came, vanished;
};

/* Which of a histogram's percentiles are told, the median first. */
extern const struct percentile {
	const char *name;	/* in JSON */
	const char *text;	/* for people, NULL: not to them */
	double share;
} percentiles[];
extern const unsigned int percentile_count;

/* Add up and judge. */
void report_make(struct result *r, struct run *run);

void report_free(struct result *r);

/* The parts that are of each of several senders. */
void report_senders(struct result *r, struct run *run);
void report_senders_text(const struct result *r, const struct run *run, FILE *to);
const char *report_state(const struct sender_result *s);

/* For people. */
void report_text(const struct result *r, const struct run *run, FILE *to);

/* One object, as README.md describes it. */
void report_json(const struct result *r, const struct run *run, FILE *to);

/* A line about the last second. */
void report_progress(struct run *run, FILE *to);

#endif /* WL_REPORT_H */

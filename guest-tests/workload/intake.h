/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all threads together have received of each flow, and what should have come: a receiver
 * learns that from the sender's last word. A sender that begins anew begins a session.
 */
#ifndef WL_INTAKE_H
#define WL_INTAKE_H

#include "options.h"
#include "payload.h"
#include "tracker.h"

struct intake {
	struct intake_flow {
		int lock;
		bool seen, ended;
		uint8_t session;
		uint64_t id, before;	/* of this session and the last; 0: no word came */
		uint64_t total;		/* as the sender told; UINT64_MAX: it didn't yet */
		struct tracker tracker;
	} *flow;
	uint32_t window;
	bool join;
	uint64_t clock;			/* of this kernel */
	bool same_clock;		/* somebody says so */
	int clocks;			/* enum intake_clocks: of all sessions */
	int lock;			/* of what follows */
	struct intake_session {
		bool known;
		uint8_t number;
		uint64_t id;		/* 0: no word came */
		unsigned int flows, ended;	/* as it told; those that told that they ended */
	} session, before;		/* that runs; some flows may still be in the one before */
	/* Of sessions that have ended. */
	struct intake_totals {
		uint64_t expected, unique, duplicated, reordered, reach, stale, flows;
	} past;
};

enum intake_verdict { INTAKE_NEW, INTAKE_AGAIN, INTAKE_STALE, INTAKE_FOREIGN, INTAKE_CONTROL };
enum intake_clocks { CLOCKS_UNKNOWN, CLOCKS_SAME, CLOCKS_DIFFER };

/* Begin; dies without memory. */
void intake_init(struct intake *in, const struct options *o);

/* The opposite. */
void intake_free(struct intake *in);

/* A packet came whole. */
enum intake_verdict intake_take(struct intake *in, const struct payload *p);

/* How many packets of a flow were sent, where we know: answers to a ping. */
void intake_total(struct intake *in, unsigned int flow, uint64_t total);

/* Were all stamps made by our clock? */
enum intake_clocks intake_clocks(struct intake *in);

/* How many flows the sender says it has; 0: it said nothing yet. */
unsigned int intake_flows(struct intake *in);

/* Has the sender said of each of its flows that it has ended? */
bool intake_ended(struct intake *in);

/* Sums of everything up to now. */
struct intake_totals intake_totals(struct intake *in);

/* A number that is the same in programs that read one clock, 0 if that can't be known. */
uint64_t intake_clock(void);

#endif /* WL_INTAKE_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* The threads of a run: what each does, and what it counts. */
#ifndef WL_LOAD_H
#define WL_LOAD_H

#include <pthread.h>

#include "crowd.h"
#include "histogram.h"
#include "sender.h"

/* What a thread has received of one of several senders. */
struct tally {
	uint64_t packets, bytes, corrupt, too_long, unstamped;
	uint64_t first, last;		/* data: ns */
	uint64_t heard;			/* anything: ns */
	struct histogram latency;
};

struct worker {
	pthread_t thread;
	struct run *run;
	unsigned int index;
	bool sends, receives, answers;
	struct port *port;
	struct sender sender;
	struct histogram latency;	/* one way, or of round trips */
	/* Of packets that came. */
	uint64_t packets, bytes, fresh, corrupt, foreign;
	uint64_t too_long;		/* for --receive-bytes */
	uint64_t late;			/* answers beyond --timeout: as good as lost */
	uint64_t unstamped;		/* sent after they came, by these clocks */
	uint64_t first, last;		/* when: ns */
	uint64_t began, ended;		/* sending: ns */
	uint64_t end;			/* when --duration is over */
	/* For load_stuck(): when it should be over, 0: whenever; are those the last words? */
	uint64_t due;
	bool words;
	uint64_t moved, moved_at;	/* packets, when we looked last, and since when */
	struct port_counts sent;	/* packets and bytes, between those */
	char blame[128];		/* the first corrupt one */
	struct tally *tally;		/* of each sender, if there may be several */
};

struct run {
	const struct options *o;
	struct sender_session session;
	struct crowd crowd;
	struct worker *worker;
	unsigned int workers, sending;	/* threads; those that still send */
	pthread_barrier_t ready, go;
	struct facts host, out, in;	/* what the kernel gave: itself, senders, receivers */
	uint64_t began, ended;
	bool forced;			/* sending was stuck */
};

/**
 * load_start - start the threads, each with its port
 * @run: the run
 *
 * Returns when all ports are open, and none has sent yet: load_go() lets them.
 */
void load_start(struct run *run);
void load_go(struct run *run);

/* Does a thread still send long after --duration? The kernel may have stopped taking packets. */
bool load_stuck(struct run *run, uint64_t now);

/* Has every sender that is waited for ended, or vanished? */
bool load_done(struct run *run, uint64_t now);

/* Has nothing come of it for --silence, though it hasn't ended? */
bool load_vanished(struct run *run, unsigned int sender, uint64_t now);

/* Wait for the threads to end. */
void load_join(struct run *run);

#endif /* WL_LOAD_H */

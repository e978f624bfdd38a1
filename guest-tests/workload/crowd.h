/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whose a packet is, where a receiver has several senders at once (--senders). A sender is the 64
 * bits of its session's id, which only its words have room for. They come from the address and
 * port of each of its flows, and so name who speaks from there: data is told apart by that, and
 * has to have its session's lowest byte. Who said nothing is a stranger, but with --join.
 *
 * With one sender all of it is that one's, whoever it is: as intake.h says.
 */
#ifndef WL_CROWD_H
#define WL_CROWD_H

#include "frame.h"
#include "intake.h"

#define SENDERS_MAX	64
#define STRANGER	(-1)

struct crowd {
	unsigned int most;		/* senders that may come */
	unsigned int count;		/* that have come */
	int lock;			/* of coming, and of what follows but who reads it */
	const struct options *o;
	struct member {
		struct intake intake;
		uint64_t id;		/* 0: it said nothing yet (--join) */
		uint8_t session;
		unsigned int flows;	/* as it told */
		struct frame_way way;	/* where its first packet came from */
		in_port_t base;		/* and the port that flow 0 has, in this machine's order */
		uint64_t known[FLOWS_MAX / 64];	/* flows whose source we know */
	} *member;
	struct source {
		struct in6_addr from;
		uint32_t scope;
		in_port_t port;
		uint16_t member;	/* one above its number; 0: nobody, nothing */
	} *source;			/* a hash table, of which never more than half is used */
	uint32_t mask;
	uint64_t seed;
};

/* Begin; dies without memory. */
void crowd_init(struct crowd *c, const struct options *o);

/* The opposite. */
void crowd_free(struct crowd *c);

/**
 * crowd_whose - who has sent a packet that came whole
 * @c: the crowd
 * @p: the packet; a word may add a sender
 * @way: where it came from; of one sender it isn't looked at
 *
 * Returns the sender's number, or STRANGER.
 */
int crowd_whose(struct crowd *c, const struct payload *p, const struct frame_way *way);

/* Who sends from there: of packets that can't be believed. Returns as crowd_whose(). */
int crowd_at(const struct crowd *c, const struct frame_way *way);

/* How many have come; those below that number stay as they are. */
static inline unsigned int crowd_count(const struct crowd *c)
{
	/* Pairs with the release in admit(): they are whole. */
	return __atomic_load_n(&c->count, __ATOMIC_ACQUIRE);
}

/* Sums of all of them. */
struct intake_totals crowd_totals(struct crowd *c);

/* Were all stamps made by our clock? */
enum intake_clocks crowd_clocks(struct crowd *c);

#endif /* WL_CROWD_H */

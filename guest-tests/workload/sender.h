/* SPDX-License-Identifier: GPL-2.0-only */
/* A thread's sending: bursts of its flows in turn, and the words before and after. */
#ifndef WL_SENDER_H
#define WL_SENDER_H

#include "pace.h"
#include "payload.h"
#include "port.h"

/* What all threads' packets have in common. */
struct sender_session {
	uint8_t number;		/* of id the lowest byte: data has no room for more */
	uint64_t id;
	uint64_t clock;
};

struct sender {
	struct port *port;
	struct pace pace;
	uint64_t *number;	/* of the next packet, by the port's index of the flow */
	uint64_t left;		/* packets that may still be sent */
	uint64_t made;		/* packets of all flows */
	unsigned int turn;	/* the flow that is next */
	struct sender_session session;
};

/* Before all else; dies without memory. */
void sender_init(struct sender *s, struct port *port, const struct sender_session *session);

/*
 * Say hello, so that the receiver knows who begins; the kernel asks for addresses meanwhile.
 * The rate counts from then on.
 */
void sender_hello(struct sender *s);

/* Once, and a pause. */
void sender_hello_once(struct sender *s);

/* The next flow's burst; returns how many packets went. */
unsigned int sender_burst(struct sender *s);

/* Say how many there were. */
void sender_end(struct sender *s);

void sender_free(struct sender *s);

#endif /* WL_SENDER_H */

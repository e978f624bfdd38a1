/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A path of packets into and out of the kernel, one for each thread. To send: take room for a
 * payload, fill it in, commit it; after a burst, flush. What was committed goes out in that order,
 * however long the kernel takes, unless the program stops: the rest is then in unsent.
 */
#ifndef WL_PORT_H
#define WL_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts.h"
#include "frame.h"
#include "options.h"

struct arrival {
	const uint8_t *payload;
	size_t length;
	struct frame_way way;	/* of UDP's paths: from, from_port and scope, if named */
	bool wrong_sum;		/* of UDP: the network's doing, if the payload is right */
	bool cut;		/* longer than we take: its end is missing */
};

typedef void (*port_take)(void *context, const struct arrival *in);

struct port_counts {
	uint64_t sent, bytes;	/* frames, and their bytes without FCS */
	uint64_t full;		/* times that the kernel took no more */
	uint64_t too_long;	/* payloads that no slot has room for */
	uint64_t copied;	/* of zero copy, yet copied, as far as the kernel told in time */
	uint64_t refused;	/* errors of the network, such as nobody listening there */
	uint64_t queue_full;	/* came, but our own queue had no room */
	uint64_t calls;		/* system calls that moved packets, no others */
};

struct port;

struct port_ops {
	/* The ports of all threads are open: take what comes from now on. */
	void (*begin)(struct port *port);
	/* Room for @payload bytes; NULL when stopping, or if no slot has so much (too_long). */
	uint8_t *(*room)(struct port *port, size_t payload);
	/* The room is filled in: send it along the port's flow @index. */
	void (*commit)(struct port *port, unsigned int index, size_t payload);
	/* The same, back to where @in came from. */
	void (*commit_back)(struct port *port, const struct arrival *in, size_t payload);
	/* Returns false when stopping before all of it was sent. */
	bool (*flush)(struct port *port);
	/* Take what came; if nothing, wait until @until (ns), a tenth of a second at most. */
	void (*receive)(struct port *port, uint64_t until, port_take take, void *context);
	/* The last call of the port's thread: bring queue_full up to date, ask for nothing more. */
	void (*end)(struct port *port);
	void (*close)(struct port *port);
};

struct port {
	const struct port_ops *ops;
	const struct options *o;
	unsigned int thread;
	bool tx, rx, back;	/* sends flows, receives, answers */
	bool named;		/* what arrives says where it came from */
	unsigned int flows;	/* of this thread: thread, thread + threads, ... */
	unsigned int unsent;	/* committed, given up by flush() */
	uint64_t now;		/* for who takes packets: 0 whenever later ones are handed over */
	struct port_counts counts;
};

/* One side's count, read by the progress line meanwhile. */
static inline void count(uint64_t *counter, uint64_t more)
{
	__atomic_store_n(counter, *counter + more, __ATOMIC_RELAXED);
}

/* The flow that has this index in the port. */
static inline unsigned int port_flow(const struct port *port, unsigned int index)
{
	return port->thread + index * port->o->threads;
}

/*
 * Do several threads' ports share what comes? The kernel shares it out among those that are open:
 * until all of them are, a flow may move to another one, which would look like reordering.
 */
static inline bool port_shared(const struct port *port)
{
	return port->rx && !port->tx && port->o->threads > 1;
}

/* Source address and port of a flow. */
static inline struct in6_addr port_source(const struct port *port, unsigned int flow)
{
	return address_add(&port->o->source, flow % port->o->addresses);
}

static inline in_port_t port_source_port(const struct port *port, unsigned int flow)
{
	return htons(port->o->source_port + flow);
}

/*
 * Open one: the first thread's tells in @facts what the kernel gave it. What is missing is said
 * there, and done without; dies if it can't be done at all.
 */
struct port *packet_open(const struct port *like, struct facts *facts);
struct port *udp_open(const struct port *like, struct facts *facts);
struct port *uring_open(const struct port *like, struct facts *facts);

#endif /* WL_PORT_H */

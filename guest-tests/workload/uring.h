/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Path uring: UDP through io_uring. Two rings a thread, so that waiting for sends doesn't
 * meet what comes in. What the kernel lacks is done without, feature by feature, and said.
 */
#ifndef WL_URING_H
#define WL_URING_H

#include <liburing.h>

#include "sock.h"

enum send_mode { SEND_ZC = 1, SEND_FIXED, SEND_PLAIN };

struct uring_tx {
	struct io_uring ring;
	enum send_mode mode;
	unsigned int zc_flags;
	bool registered;
	unsigned int slots, used, index, next;
	unsigned int requests;		/* that the kernel has */
	size_t room;
	uint8_t *memory;
	struct slot {
		bool taken, done;	/* of the burst under way; its request is through */
		bool shared;		/* zero copy may still read it */
		uint32_t turn;		/* of its requests, the newest */
		size_t length;
		int result;
		union address_name to;
		struct iovec iov;
		struct msghdr message;
	} *slot;
	unsigned int *order;	/* slots committed, the oldest first */
};

struct uring_rx {
	struct io_uring ring;
	bool multishot, registered;
	unsigned int buffers, mask;
	unsigned int chain;			/* requests of a packet each a socket has */
	unsigned int want;			/* how many sockets want requests */
	unsigned int requests;			/* that the kernel has */
	size_t room;
	uint8_t *memory;
	struct io_uring_buf_ring *ring_of;
	struct msghdr message;			/* of multishot: how much of a buffer is whose */
	struct single {
		union address_name from;
		struct iovec iov;
		struct msghdr message;
	} *single;
	unsigned int *under_way;		/* of a socket's chain */
	uint32_t *again;			/* sockets that want requests */
};

struct uring {
	struct port port;
	struct sockets sockets;
	struct uring_tx tx;
	struct uring_rx rx;
};

/**
 * uring_ring - set up a ring with the best flags that the kernel takes
 * @ring: the ring
 * @entries: requests at once
 * @completions: room for those
 * @facts: gets the flags and the kernel's features
 *
 * Dies, saying why, where there is no io_uring.
 */
void uring_ring(struct io_uring *ring, unsigned int entries, unsigned int completions, struct facts *facts);

/* What liburing says of a system call: ends the program, and returns false, if it's of no use. */
bool uring_entered(int status);

/*
 * Requests that wait hold their sockets, and of a ring that is closed the kernel cancels them when
 * it finds the time: who comes next wouldn't get the ports. So they are cancelled before; only the
 * thread that asked for them may do that. Returns false if it's of no use.
 */
bool uring_cancel(struct io_uring *ring);

/* Of the completion that says how that went. */
#define URING_CANCEL	UINT64_MAX
/* For so long they are waited for. */
#define URING_END_NS	1000000000ull

/* Does the kernel know this operation? */
bool uring_knows(struct io_uring *ring, int operation);

/* Both halves: as port_ops says. */
void uring_tx_open(struct uring *u, struct facts *facts);
uint8_t *uring_room(struct port *port, size_t payload);
void uring_commit(struct port *port, unsigned int index, size_t payload);
void uring_commit_back(struct port *port, const struct arrival *in, size_t payload);
bool uring_flush(struct port *port);
void uring_tx_end(struct uring *u);
void uring_tx_close(struct uring *u);
/* Bytes of a buffer to receive; multishot needs some of them for the sender's address. */
size_t uring_rx_room(const struct port *port);
void uring_rx_open(struct uring *u, struct facts *facts);
void uring_receive(struct port *port, uint64_t until, port_take take, void *context);
void uring_rx_end(struct uring *u);
void uring_rx_close(struct uring *u);

#endif /* WL_URING_H */

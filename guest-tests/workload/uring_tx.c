// SPDX-License-Identifier: GPL-2.0-only
/* Sending through io_uring: a burst is one submission of linked requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pace.h"
#include "payload.h"
#include "stop.h"
#include "uring.h"

/* The kernel's words; liburing 2.3 hasn't got them. */
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE	(1U << 3)
#define IORING_NOTIF_USAGE_ZC_COPIED	(1U << 31)
#endif

#define SLOTS_BACK	64
/* Packets that may be with the card, of zero copy: four bursts, and so many if they are small. */
#define SHARED		4
#define SLOTS		512
#define MEMORY		(8 << 20)
#define SLICE_NS	100000000

/*
 * A completion, of a request or (notification) of its buffer. A request that is cancelled
 * because one before it failed may have a notification that it didn't promise: of older
 * requests none counts.
 */
static void complete(struct uring *u, const struct io_uring_cqe *cqe)
{
	struct uring_tx *t = &u->tx;
	struct slot *s = &t->slot[(uint32_t)cqe->user_data];

	if (cqe->user_data == URING_CANCEL) {
		/* Before Linux 5.19 not all at once: then it does so when the ring is closed. */
		t->requests = cqe->res == -EINVAL ? 0 : t->requests;
		return;
	}
	if (!(cqe->flags & IORING_CQE_F_NOTIF) && t->requests)
		t->requests--;
	if (cqe->user_data >> 32 != s->turn)
		return;

	if (cqe->flags & IORING_CQE_F_NOTIF) {
		s->shared = false;
		/* One that failed or was cancelled sent nothing, but may say that it was copied. */
		if (s->done && s->result > 0 && t->zc_flags &&
		    (uint32_t)cqe->res & IORING_NOTIF_USAGE_ZC_COPIED)
			count(&u->port.counts.copied, 1);
		return;
	}
	s->result = cqe->res;
	s->done = true;
	s->shared = cqe->flags & IORING_CQE_F_MORE;
}

static void take_all(struct uring *u)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;
	bool moved = false;

	io_uring_for_each_cqe(&u->tx.ring, head, cqe) {
		moved |= cqe->res > 0 && !(cqe->flags & IORING_CQE_F_NOTIF);
		complete(u, cqe);
		seen++;
	}
	io_uring_cq_advance(&u->tx.ring, seen);
	count(&u->port.counts.calls, moved);
}

/* Submit what there is, wait for a completion for a while, and take all that came. */
static void turn(struct uring *u, unsigned int wanted)
{
	struct __kernel_timespec t = { .tv_nsec = SLICE_NS };
	struct io_uring_cqe *cqe;

	uring_entered(io_uring_submit_and_wait_timeout(&u->tx.ring, &cqe, wanted, &t, NULL));
	take_all(u);
}

uint8_t *uring_room(struct port *port, size_t payload)
{
	struct uring *u = (struct uring *)port;
	struct uring_tx *t = &u->tx;
	unsigned int i;

	if (payload > t->room) {
		count(&port->counts.too_long, 1);
		return NULL;
	}
	if (t->used == (port->back ? SLOTS_BACK : port->o->burst) && !uring_flush(port))
		return NULL;
	for (;;) {
		/* Of what was given up some may still be sent: not to be written over. */
		if (giving_up()) {
			uring_flush(port);
			return NULL;
		}
		for (i = 0; i < t->slots; i++, t->next = (t->next + 1) % t->slots)
			if (!t->slot[t->next].taken && !t->slot[t->next].shared)
				return t->memory + t->next * t->room;
		/* Zero copy: the card still has all of them. */
		count(&port->counts.full, 1);
		turn(u, 1);
	}
}

static struct slot *commit(struct uring_tx *t, size_t payload)
{
	struct slot *s = &t->slot[t->next];

	s->taken = true;
	s->length = payload;
	t->order[t->used++] = t->next;
	return s;
}

void uring_commit(struct port *port, unsigned int index, size_t payload)
{
	struct uring *u = (struct uring *)port;

	u->tx.index = index;
	commit(&u->tx, payload);
}

void uring_commit_back(struct port *port, const struct arrival *in, size_t payload)
{
	struct uring *u = (struct uring *)port;
	struct slot *s = commit(&u->tx, payload);

	address_name(&s->to, &in->way.from, in->way.scope, in->way.from_port);
}

/* Returns false if the queue has no place for it: nothing is asked for then. */
static bool request(struct uring *u, unsigned int which, int fd, bool last)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->tx.ring);
	uint8_t *at = u->tx.memory + which * u->tx.room;
	struct slot *s = &u->tx.slot[which];

	if (!sqe)
		return false;
	s->done = false;
	if (u->port.back) {
		s->iov = (struct iovec){ at, s->length };
		s->message = (struct msghdr){
			.msg_name = &s->to, .msg_namelen = address_size(u->port.o->six), .msg_iov = &s->iov, .msg_iovlen = 1,
		};
		io_uring_prep_sendmsg(sqe, fd, &s->message, 0);
	} else if (u->tx.mode == SEND_ZC && u->tx.registered) {
		io_uring_prep_send_zc_fixed(sqe, fd, at, s->length, 0, u->tx.zc_flags, 0);
	} else if (u->tx.mode == SEND_ZC) {
		io_uring_prep_send_zc(sqe, fd, at, s->length, 0, u->tx.zc_flags);
	} else if (u->tx.mode == SEND_FIXED) {
		io_uring_prep_write_fixed(sqe, fd, at, s->length, 0, 0);
	} else {
		io_uring_prep_send(sqe, fd, at, s->length, 0);
	}
	/* One that has to wait must not be overtaken. */
	sqe->flags |= last ? 0 : IOSQE_IO_LINK;
	sqe->user_data = (uint64_t)++s->turn << 32 | which;
	u->tx.requests++;
	return true;
}

/* Sends from the done-th on; returns how many went, in order. error: why not the next. */
static unsigned int attempt(struct uring *u, unsigned int done, int fd, int *error)
{
	struct uring_tx *t = &u->tx;
	unsigned int i, at = done, end = done;

	*error = EINTR;
	/* What is prepared and not submitted would stay in the queue, with the next burst. */
	if (giving_up())
		return done;
	while (end < t->used && request(u, t->order[end], fd, end + 1 == t->used))
		end++;
	do {
		turn(u, end - at);
		while (at < end && t->slot[t->order[at]].done)
			at++;
	} while (at < end && !giving_up());
	*error = 0;
	for (i = done; i < at; i++) {
		struct slot *s = &t->slot[t->order[i]];

		if (s->result < 0) {
			*error = -s->result;
			break;
		}
		count(&u->port.counts.sent, 1);
		count(&u->port.counts.bytes, s->length + u->port.o->head);
	}
	/* Given up while the socket was full: it goes, or not, when the ring is closed. */
	if (at < t->used && !*error)
		*error = EINTR;
	return i;
}

bool uring_flush(struct port *port)
{
	struct uring *u = (struct uring *)port;
	struct uring_tx *t = &u->tx;
	int fd = u->sockets.fd[port->tx ? t->index : 0], error;
	unsigned int done = 0;

	while (done < t->used) {
		done = attempt(u, done, fd, &error);
		if (done < t->used && !sock_trouble(port, fd, error))
			break;
	}
	port->unsent = t->used - done;
	while (t->used)
		t->slot[t->order[--t->used]].taken = false;
	return !port->unsent;
}

/* A kernel that knows the operation may still not have it for UDP. */
static bool has_zero_copy(struct io_uring *ring, unsigned int flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct __kernel_timespec t = { .tv_nsec = SLICE_NS };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = -EINVAL;
	struct io_uring_cqe *cqe = NULL;
	bool more = true;

	/* It has no peer, which is found out last. */
	io_uring_prep_send_zc(sqe, fd, "", 1, 0, flags);
	uring_entered(io_uring_submit_and_wait_timeout(ring, &cqe, 1, &t, NULL));
	while (cqe && more) {
		more = cqe->flags & IORING_CQE_F_MORE;
		if (!(cqe->flags & IORING_CQE_F_NOTIF))
			result = cqe->res;
		io_uring_cqe_seen(ring, cqe);
		if (more && io_uring_wait_cqe_timeout(ring, &cqe, &t))
			break;
	}
	close(fd);
	return result != -EINVAL && result != -EOPNOTSUPP;
}

static void choose(struct uring *u, struct facts *facts)
{
	static const char *const names[] = {
		[SEND_ZC] = "zero copy (SEND_ZC)", [SEND_FIXED] = "copies (WRITE_FIXED)", [SEND_PLAIN] = "copies (SEND)",
	};
	struct uring_tx *t = &u->tx;
	unsigned int wanted = u->port.o->uring_send;
	struct iovec all = { t->memory, t->slots * t->room };
	int status = io_uring_register_buffers(&t->ring, &all, 1);
	const char *missing = "";

	t->registered = !status;
	fact(facts, "buffers", "%zu bytes, %s%s", all.iov_len, status ? "not registered: " : "registered",
	     status ? strerror(-status) : "");
	if (u->port.back) {
		fact(facts, "send", "SENDMSG, linked, up to %u a submission", SLOTS_BACK);
		return;
	}
	/* Without registered ones, zero copy accounts for each page it takes: refused to some. */
	t->mode = wanted != URING_SEND_AUTO ? wanted : t->registered ? SEND_ZC : SEND_PLAIN;
	/* Whether it copied nevertheless, kernels tell since Linux 6.2. */
	t->zc_flags = IORING_SEND_ZC_REPORT_USAGE;
	if (t->mode == SEND_ZC && uring_knows(&t->ring, IORING_OP_SEND_ZC) && !has_zero_copy(&t->ring, t->zc_flags))
		t->zc_flags = 0;
	if (t->mode == SEND_ZC && (!uring_knows(&t->ring, IORING_OP_SEND_ZC) || !has_zero_copy(&t->ring, t->zc_flags))) {
		missing = ", the kernel has no zero copy for this";
		t->mode = SEND_FIXED;
	}
	if (t->mode == SEND_FIXED && !t->registered)
		t->mode = SEND_PLAIN;
	fact(facts, "send", "%s%s, linked, up to %u a submission%s", names[t->mode],
	     t->registered && t->mode != SEND_PLAIN ? " from registered buffers" : "", u->port.o->burst, missing);
}

void uring_tx_open(struct uring *u, struct facts *facts)
{
	const struct options *o = u->port.o;
	struct uring_tx *t = &u->tx;
	unsigned int burst = u->port.back ? SLOTS_BACK : o->burst;

	/* An answer is as long as what came: as much as a buffer to receive holds. */
	t->room = u->port.back ? uring_rx_room(&u->port) : o->sizes.max - o->head;
	t->room = t->room < PAYLOAD_CONTROL ? PAYLOAD_CONTROL : t->room;
	/* A slot that zero copy reads shares no cache line with its neighbour. */
	t->room = (t->room + 63) / 64 * 64;
	t->slots = burst * SHARED;
	if (t->slots < SLOTS && SLOTS * t->room <= MEMORY)
		t->slots = SLOTS;
	t->memory = aligned_alloc(4096, (t->slots * t->room + 4095) / 4096 * 4096);
	t->slot = calloc(t->slots, sizeof(*t->slot));
	t->order = calloc(burst, sizeof(*t->order));
	if (!t->memory || !t->slot || !t->order)
		die("no memory");
	uring_ring(&t->ring, burst, t->slots * 2, facts);
	choose(u, facts);
}

void uring_tx_end(struct uring *u)
{
	uint64_t until = now_ns() + URING_END_NS;

	while (u->tx.requests && now_ns() < until && uring_cancel(&u->tx.ring))
		take_all(u);
}

void uring_tx_close(struct uring *u)
{
	io_uring_queue_exit(&u->tx.ring);
	free(u->tx.memory);
	free(u->tx.slot);
	free(u->tx.order);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receiving through io_uring: one request a socket that stays (multishot), into buffers that the
 * kernel picks from a ring; or, where it can't do that, requests for a packet each. Those of a
 * socket are a chain, of which one runs at a time: of several that wait, the kernel gives any the
 * next packet, and what arrived in order would be counted as reordered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pace.h"
#include "stop.h"
#include "uring.h"

#define BUFFERS		1024
#define MEMORY		(16 << 20)
/* Requests of a packet each, of all sockets' chains together; one each at least. */
#define SINGLES		64
#define GROUP		1
#define ROUND		256
#define SLICE_NS	100000000ull

static void again(struct uring_rx *r, uint32_t what)
{
	r->again[r->want++] = what;
}

/* So many requests at once. Returns false if the kernel takes none of those that are there. */
static bool space(struct uring_rx *r, unsigned int wanted)
{
	if (io_uring_sq_space_left(&r->ring) < wanted)
		uring_entered(io_uring_submit(&r->ring));
	return io_uring_sq_space_left(&r->ring) >= wanted;
}

static bool arm_multishot(struct uring *u, uint32_t which)
{
	struct io_uring_sqe *sqe;
	int fd = u->sockets.fd[which];

	if (!space(&u->rx, 1))
		return false;
	sqe = io_uring_get_sqe(&u->rx.ring);
	if (u->port.named)
		io_uring_prep_recvmsg_multishot(sqe, fd, &u->rx.message, 0);
	else
		io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	sqe->user_data = which;
	u->rx.requests++;
	return true;
}

static void request_single(struct uring *u, uint32_t which, bool last)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->rx.ring);
	uint8_t *at = u->rx.memory + which * u->rx.room;
	struct single *s = &u->rx.single[which];
	int fd = u->sockets.fd[which / u->rx.chain];

	s->iov = (struct iovec){ at, u->rx.room };
	s->message = (struct msghdr){
		.msg_name = &s->from, .msg_namelen = address_size(u->port.o->six), .msg_iov = &s->iov, .msg_iovlen = 1,
	};
	if (u->port.named)
		io_uring_prep_recvmsg(sqe, fd, &s->message, 0);
	else if (u->rx.registered)
		io_uring_prep_read_fixed(sqe, fd, at, u->rx.room, 0, 0);
	else
		io_uring_prep_recv(sqe, fd, at, u->rx.room, 0);
	/* Also after a failure, which a packet shorter than the buffer is to READ_FIXED. */
	sqe->flags |= last ? 0 : IOSQE_IO_HARDLINK;
	sqe->user_data = which;
}

static bool arm_chain(struct uring *u, uint32_t socket)
{
	struct uring_rx *r = &u->rx;
	unsigned int i;

	/* A submission would end the chain. */
	if (!space(r, r->chain))
		return false;
	for (i = 0; i < r->chain; i++)
		request_single(u, socket * r->chain + i, i + 1 == r->chain);
	r->under_way[socket] = r->chain;
	r->requests += r->chain;
	return true;
}

static void arm(struct uring *u)
{
	struct uring_rx *r = &u->rx;

	while (r->want && (r->multishot ? arm_multishot : arm_chain)(u, r->again[r->want - 1]))
		r->want--;
}

/* There is room for more: of READ_FIXED alone nothing else says that a packet was cut. */
static void give(const struct uring *u, struct arrival *in, port_take take, void *context)
{
	in->cut = in->length > u->port.o->receive_bytes;
	take(context, in);
}

static void take_multishot(struct uring *u, const struct io_uring_cqe *cqe, port_take take, void *context)
{
	unsigned int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	uint8_t *at = u->rx.memory + buffer * u->rx.room;
	struct arrival in = { .payload = at, .length = cqe->res };

	if (u->port.named) {
		struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(at, cqe->res, &u->rx.message);
		union address_name from = { 0 };

		if (out) {
			memcpy(&from, io_uring_recvmsg_name(out), address_size(u->port.o->six));
			in.payload = io_uring_recvmsg_payload(out, &u->rx.message);
			in.length = io_uring_recvmsg_payload_length(out, cqe->res, &u->rx.message);
		} else {
			in.length = 0;
		}
		address_from(&from, &in.way.from, &in.way.scope, &in.way.from_port);
	}
	give(u, &in, take, context);
	io_uring_buf_ring_add(u->rx.ring_of, at, u->rx.room, buffer, u->rx.mask, 0);
	io_uring_buf_ring_advance(u->rx.ring_of, 1);
}

static void take_single(struct uring *u, uint32_t which, size_t length, port_take take, void *context)
{
	struct arrival in = { .payload = u->rx.memory + which * u->rx.room, .length = length };

	if (u->port.named)
		address_from(&u->rx.single[which].from, &in.way.from, &in.way.scope, &in.way.from_port);
	give(u, &in, take, context);
}

static void trouble(struct uring *u, uint32_t socket, int error)
{
	if (sock_refused(error)) {
		count(&u->port.counts.refused, 1);
		sock_drain_errors(u->sockets.fd[socket]);
		return;
	}
	switch (error) {
	case ENOBUFS:	/* of the buffers: they are back by now */
	case EINTR:
	case ECANCELED:
	case EAGAIN:
		break;
	default:
		stop_error("io_uring: receive: %s", strerror(error));
	}
}

static void completion(struct uring *u, const struct io_uring_cqe *cqe, port_take take, void *context)
{
	uint32_t which = cqe->user_data, socket = u->rx.multishot ? which : which / u->rx.chain;

	if (cqe->user_data == URING_CANCEL) {
		/* As in uring_tx.c. */
		u->rx.requests = cqe->res == -EINVAL ? 0 : u->rx.requests;
		return;
	}
	if (!(cqe->flags & IORING_CQE_F_MORE) && u->rx.requests)
		u->rx.requests--;
	if (cqe->res < 0)
		trouble(u, socket, -cqe->res);
	if (u->rx.multishot) {
		if (cqe->flags & IORING_CQE_F_BUFFER)
			take_multishot(u, cqe, take, context);
		if (!(cqe->flags & IORING_CQE_F_MORE))
			again(&u->rx, socket);
		return;
	}
	if (cqe->res >= 0)
		take_single(u, which, cqe->res, take, context);
	if (!--u->rx.under_way[socket])
		again(&u->rx, socket);
}

static void drain(struct uring *u, port_take take, void *context)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0, most = io_uring_cq_ready(&u->rx.ring);

	/* Those that come meanwhile are for the next time, with its time. */
	u->port.now = 0;
	most = most > ROUND ? ROUND : most;
	if (!most)
		return;
	io_uring_for_each_cqe(&u->rx.ring, head, cqe) {
		completion(u, cqe, take, context);
		if (++seen == most)
			break;
	}
	io_uring_cq_advance(&u->rx.ring, seen);
}

void uring_receive(struct port *port, uint64_t until, port_take take, void *context)
{
	struct uring *u = (struct uring *)port;
	uint64_t now = until ? now_ns() : 0, left = until > now ? until - now : 0;
	struct __kernel_timespec t = { .tv_nsec = left > SLICE_NS ? SLICE_NS : left };
	struct io_uring_cqe *cqe;

	arm(u);
	/* Also where completions are there: what the kernel has put off runs in this call alone. */
	if (left && !io_uring_cq_ready(&u->rx.ring))
		uring_entered(io_uring_submit_and_wait_timeout(&u->rx.ring, &cqe, 1, &t, NULL));
	else
		uring_entered(io_uring_submit_and_get_events(&u->rx.ring));
	count(&port->counts.calls, io_uring_cq_ready(&u->rx.ring) > 0);
	drain(u, take, context);
}

static bool provide(struct uring_rx *r)
{
	struct io_uring_buf_reg reg = { .ring_entries = r->buffers, .bgid = GROUP };
	size_t size = (r->buffers * sizeof(struct io_uring_buf) + 4095) / 4096 * 4096;
	unsigned int i;

	r->ring_of = aligned_alloc(4096, size);
	if (!r->ring_of)
		die("no memory");
	memset(r->ring_of, 0, size);
	reg.ring_addr = (uintptr_t)r->ring_of;
	if (io_uring_register_buf_ring(&r->ring, &reg, 0))
		return false;
	r->mask = r->buffers - 1;
	io_uring_buf_ring_init(r->ring_of);
	for (i = 0; i < r->buffers; i++)
		io_uring_buf_ring_add(r->ring_of, r->memory + i * r->room, r->room, i, r->mask, i);
	io_uring_buf_ring_advance(r->ring_of, r->buffers);
	return true;
}

/* No operation of its own: a kernel that lacks it says at once that the request is invalid. */
static bool has_multishot(struct uring_rx *r)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
	struct __kernel_timespec t = { .tv_nsec = SLICE_NS };
	struct io_uring_cqe *cqe = NULL;
	bool good;

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	sqe->user_data = 1;
	uring_entered(io_uring_submit_and_get_events(&r->ring));
	good = io_uring_peek_cqe(&r->ring, &cqe) || cqe->res != -EINVAL;
	if (cqe) {
		io_uring_cqe_seen(&r->ring, cqe);
	} else if (good) {
		io_uring_prep_cancel64(io_uring_get_sqe(&r->ring), 1, 0);
		io_uring_submit_and_wait_timeout(&r->ring, &cqe, 2, &t, NULL);
		while (!io_uring_peek_cqe(&r->ring, &cqe))
			io_uring_cqe_seen(&r->ring, cqe);
	}
	close(fd);
	return good;
}

static void open_single(struct uring *u, const char *why, struct facts *facts)
{
	struct uring_rx *r = &u->rx;
	struct iovec all;

	r->chain = u->sockets.count > SINGLES ? 1 : SINGLES / u->sockets.count;
	r->buffers = r->chain * u->sockets.count;
	all = (struct iovec){ r->memory, r->buffers * r->room };
	r->registered = !io_uring_register_buffers(&r->ring, &all, 1);
	r->single = calloc(r->buffers, sizeof(*r->single));
	r->under_way = calloc(u->sockets.count, sizeof(*r->under_way));
	if (!r->single || !r->under_way)
		die("no memory");
	fact(facts, "receive", "a request a packet (%s), chains of %u, %s%s",
	     u->port.named ? "RECVMSG" : r->registered ? "READ_FIXED" : "RECV", r->chain,
	     r->registered ? "buffers registered" : "buffers not registered", why);
}

size_t uring_rx_room(const struct port *port)
{
	/* A byte more, so that what is longer shows. */
	size_t room = port->o->receive_bytes + 1;

	if (port->named)
		room += sizeof(struct io_uring_recvmsg_out) + address_size(port->o->six);
	return (room + 63) / 64 * 64;
}

void uring_rx_open(struct uring *u, struct facts *facts)
{
	const struct options *o = u->port.o;
	struct uring_rx *r = &u->rx;
	const char *why = "";
	unsigned int most, i;

	r->room = uring_rx_room(&u->port);
	r->message.msg_namelen = address_size(o->six);
	for (r->buffers = BUFFERS; r->buffers * r->room > MEMORY && r->buffers > SINGLES;)
		r->buffers /= 2;
	most = r->buffers > u->sockets.count ? r->buffers : u->sockets.count;
	r->memory = aligned_alloc(4096, (most * r->room + 4095) / 4096 * 4096);
	r->again = calloc(u->sockets.count, sizeof(*r->again));
	if (!r->memory || !r->again)
		die("no memory");
	uring_ring(&r->ring, ROUND, 2 * r->buffers, u->port.back || u->port.tx ? NULL : facts);
	r->multishot = o->uring_receive != URING_RECEIVE_SINGLE;
	if (r->multishot && !provide(r)) {
		why = "; the kernel takes no ring of buffers";
		r->multishot = false;
	}
	if (r->multishot && !has_multishot(r)) {
		why = "; the kernel has no multishot";
		r->multishot = false;
	}
	if (r->multishot)
		fact(facts, "receive", "multishot %s, %u provided buffers of %zu", u->port.named ? "RECVMSG" : "RECV",
		     r->buffers, r->room);
	else
		open_single(u, why, facts);
	for (i = 0; i < u->sockets.count; i++)
		again(r, i);
}

static void ignore(void *context, const struct arrival *in)
{
}

void uring_rx_end(struct uring *u)
{
	uint64_t until = now_ns() + URING_END_NS;

	/* Of a chain that ends the request that runs; then the next one does. */
	while (u->rx.requests && now_ns() < until && uring_cancel(&u->rx.ring))
		drain(u, ignore, NULL);
}

void uring_rx_close(struct uring *u)
{
	io_uring_queue_exit(&u->rx.ring);
	free(u->rx.memory);
	free(u->rx.ring_of);
	free(u->rx.single);
	free(u->rx.under_way);
	free(u->rx.again);
}

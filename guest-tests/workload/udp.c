// SPDX-License-Identifier: GPL-2.0-only
/* Path udp: sendmmsg and recvmmsg, segmentation and coalescing by the kernel if asked for. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pace.h"
#include "payload.h"
#include "sock.h"
#include "stop.h"

#define BATCH	64
#define CONTROL	CMSG_SPACE(sizeof(int))

union control {
	uint8_t bytes[CONTROL];
	struct cmsghdr align;
};

struct udp {
	struct port port;
	struct sockets sockets;
	int epoll;
	/* To send: a slot a packet, messages are made of them by flush(). */
	unsigned int slots, used, index;
	size_t room;
	uint8_t *out;
	struct iovec *out_iov;
	struct mmsghdr *out_msg;
	union address_name *out_name;
	union control *out_control;
	uint8_t *in;
	struct iovec in_iov[BATCH];
	struct mmsghdr in_msg[BATCH];
	union address_name in_name[BATCH];
	union control in_control[BATCH];
};

static uint8_t *udp_room(struct port *port, size_t payload)
{
	struct udp *u = (struct udp *)port;

	if (payload > u->room) {
		count(&port->counts.too_long, 1);
		return NULL;
	}
	if (u->used == u->slots && !port->ops->flush(port))
		return NULL;
	return u->out + u->used * u->room;
}

static void commit(struct udp *u, size_t payload)
{
	u->out_iov[u->used] = (struct iovec){ u->out + u->used * u->room, payload };
	u->used++;
}

static void udp_commit(struct port *port, unsigned int index, size_t payload)
{
	struct udp *u = (struct udp *)port;

	u->index = index;
	commit(u, payload);
}

static void udp_commit_back(struct port *port, const struct arrival *in, size_t payload)
{
	struct udp *u = (struct udp *)port;

	address_name(&u->out_name[u->used], &in->way.from, in->way.scope, in->way.from_port);
	commit(u, payload);
}

static void message(struct udp *u, unsigned int at, unsigned int first, unsigned int packets)
{
	struct msghdr *m = &u->out_msg[at].msg_hdr;
	struct cmsghdr *c;
	uint16_t size;

	*m = (struct msghdr){ .msg_iov = &u->out_iov[first], .msg_iovlen = packets };
	if (u->port.back) {
		m->msg_name = &u->out_name[first];
		m->msg_namelen = address_size(u->port.o->six);
	}
	if (packets == 1)
		return;
	size = u->out_iov[first].iov_len;
	m->msg_control = u->out_control[at].bytes;
	m->msg_controllen = CMSG_SPACE(sizeof(size));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
}

static void sent(struct udp *u, const struct mmsghdr *m)
{
	size_t i;

	count(&u->port.counts.sent, m->msg_hdr.msg_iovlen);
	for (i = 0; i < m->msg_hdr.msg_iovlen; i++)
		count(&u->port.counts.bytes, m->msg_hdr.msg_iov[i].iov_len + u->port.o->head);
}

static bool udp_flush(struct port *port)
{
	struct udp *u = (struct udp *)port;
	unsigned int each = port->o->gso ? port->o->gso : 1, count_of = 0, done = 0, first, packets;
	int fd = u->sockets.fd[port->tx ? u->index : 0], n, i;

	for (first = 0; first < u->used; first += packets) {
		packets = u->used - first < each ? u->used - first : each;
		message(u, count_of++, first, packets);
	}
	while (done < count_of) {
		n = sendmmsg(fd, u->out_msg + done, count_of - done, MSG_DONTWAIT);
		count(&port->counts.calls, n > 0);
		for (i = 0; i < n; i++)
			sent(u, &u->out_msg[done + i]);
		if (n > 0)
			done += n;
		else if (!sock_trouble(port, fd, errno))
			break;
	}
	for (port->unsent = 0; done < count_of; done++)
		port->unsent += u->out_msg[done].msg_hdr.msg_iovlen;
	u->used = 0;
	return !port->unsent;
}

/* How long each of the coalesced packets is; 0: it is one. */
static size_t segment(struct msghdr *m)
{
	struct cmsghdr *c;
	int size;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&size, CMSG_DATA(c), sizeof(size));
		return size;
	}
	return 0;
}

static void take_message(struct udp *u, unsigned int i, port_take take, void *context)
{
	struct msghdr *m = &u->in_msg[i].msg_hdr;
	size_t left = u->in_msg[i].msg_len, each = u->port.o->gro ? segment(m) : 0;
	struct arrival in = { .payload = u->in_iov[i].iov_base, .cut = m->msg_flags & MSG_TRUNC };

	if (u->port.named)
		address_from(&u->in_name[i], &in.way.from, &in.way.scope, &in.way.from_port);
	do {
		in.length = each && each < left ? each : left;
		take(context, &in);
		in.payload += in.length;
		left -= in.length;
	} while (left);
}

static void drain(struct udp *u, int fd, port_take take, void *context)
{
	int n, i, rounds = 4;

	do {
		for (i = 0; i < BATCH; i++) {
			struct msghdr *m = &u->in_msg[i].msg_hdr;

			m->msg_namelen = u->port.named ? sizeof(u->in_name[i]) : 0;
			m->msg_controllen = u->port.o->gro ? CONTROL : 0;
		}
		n = recvmmsg(fd, u->in_msg, BATCH, MSG_DONTWAIT, NULL);
		count(&u->port.counts.calls, n > 0);
		if (n < 0 && sock_refused(errno))
			count(&u->port.counts.refused, 1);
		u->port.now = 0;
		for (i = 0; i < n; i++)
			take_message(u, i, take, context);
	} while (n == BATCH && rounds--);
}

static void udp_receive(struct port *port, uint64_t until, port_take take, void *context)
{
	struct udp *u = (struct udp *)port;
	struct epoll_event event[BATCH];
	int n = epoll_wait(u->epoll, event, BATCH, 0), i;

	if (!n && until) {
		sock_wait(u->epoll, until);
		n = epoll_wait(u->epoll, event, BATCH, 0);
	}
	for (i = 0; i < n; i++) {
		drain(u, u->sockets.fd[event[i].data.u32], take, context);
		if (event[i].events & EPOLLERR)
			sock_drain_errors(u->sockets.fd[event[i].data.u32]);
	}
}

static void udp_begin(struct port *port)
{
	sockets_begin(&((struct udp *)port)->sockets, port);
}

static void udp_end(struct port *port)
{
	struct udp *u = (struct udp *)port;

	if (port->rx)
		count(&port->counts.queue_full, sockets_dropped(&u->sockets));
}

static void udp_close(struct port *port)
{
	struct udp *u = (struct udp *)port;

	sockets_close(&u->sockets);
	if (port->rx)
		close(u->epoll);
	free(u->out);
	free(u->out_iov);
	free(u->out_msg);
	free(u->out_name);
	free(u->out_control);
	free(u->in);
	free(u);
}

static const struct port_ops udp_ops = {
	.begin = udp_begin, .room = udp_room, .commit = udp_commit, .commit_back = udp_commit_back,
	.flush = udp_flush, .receive = udp_receive, .end = udp_end, .close = udp_close,
};

static void open_out(struct udp *u, struct facts *facts)
{
	const struct options *o = u->port.o;
	int size = 0;
	socklen_t length = sizeof(size);

	u->slots = u->port.back ? BATCH : o->burst;
	u->room = u->port.back ? o->receive_bytes : o->sizes.max - o->head;
	u->room = u->room < PAYLOAD_CONTROL ? PAYLOAD_CONTROL : u->room;
	u->out = calloc(u->slots, u->room);
	u->out_iov = calloc(u->slots, sizeof(*u->out_iov));
	u->out_msg = calloc(u->slots, sizeof(*u->out_msg));
	u->out_name = calloc(u->slots, sizeof(*u->out_name));
	u->out_control = calloc(u->slots, sizeof(*u->out_control));
	if (!u->out || !u->out_iov || !u->out_msg || !u->out_name || !u->out_control)
		die("no memory");
	fact(facts, "send", "sendmmsg of up to %u", u->slots);
	if (!o->gso)
		return;
	if (getsockopt(u->sockets.fd[0], IPPROTO_UDP, UDP_SEGMENT, &size, &length))
		die("--gso: this kernel has no UDP_SEGMENT (%s)", strerror(errno));
	fact(facts, "gso", "UDP_SEGMENT of up to %u packets", o->gso);
}

static void open_in(struct udp *u, struct facts *facts)
{
	const struct options *o = u->port.o;
	unsigned int i;
	int one = 1;

	u->in = calloc(BATCH, o->receive_bytes);
	u->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!u->in || u->epoll < 0)
		die("no memory");
	for (i = 0; i < BATCH; i++) {
		u->in_iov[i] = (struct iovec){ u->in + (size_t)i * o->receive_bytes, o->receive_bytes };
		u->in_msg[i].msg_hdr = (struct msghdr){
			.msg_iov = &u->in_iov[i], .msg_iovlen = 1,
			.msg_name = u->port.named ? &u->in_name[i] : NULL,
			.msg_control = o->gro ? u->in_control[i].bytes : NULL,
		};
	}
	for (i = 0; i < u->sockets.count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		if (epoll_ctl(u->epoll, EPOLL_CTL_ADD, u->sockets.fd[i], &event))
			die("epoll: %s", strerror(errno));
		if (o->gro && setsockopt(u->sockets.fd[i], IPPROTO_UDP, UDP_GRO, &one, sizeof(one)))
			die("--gro: this kernel has no UDP_GRO (%s)", strerror(errno));
	}
	fact(facts, "receive", "recvmmsg of up to %d%s", BATCH, o->gro ? ", UDP_GRO" : "");
}

struct port *udp_open(const struct port *like, struct facts *facts)
{
	struct udp *u = calloc(1, sizeof(*u));

	if (!u)
		die("no memory");
	u->port = *like;
	u->port.ops = &udp_ops;
	sockets_open(&u->sockets, &u->port, facts);
	if (like->tx || like->back)
		open_out(u, facts);
	if (like->rx)
		open_in(u, facts);
	return &u->port;
}

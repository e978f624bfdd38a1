// SPDX-License-Identifier: GPL-2.0-only
/* UDP sockets. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <linux/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pace.h"
#include "sock.h"
#include "stop.h"

#define SLICE	100000000ull

void sock_buffers(int fd, int bytes)
{
	/* As root; else as much as the system's limits allow. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

bool sock_deaf(int fd)
{
	struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { 1, &nothing };

	return !setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int make(const struct port *port)
{
	bool six = port->o->six, sum = port->o->udp_checksum;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("UDP socket%s: %s", six ? " of IPv6" : "", strerror(errno));
	sock_buffers(fd, port->o->socket_buffer);
	if (port->o->dev && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, port->o->dev,
				       strlen(port->o->dev)))
		die("bind to interface %s: %s", port->o->dev, strerror(errno));
	/* One family a run: another receiver may have the other. */
	if (six && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		die("IPV6_V6ONLY: %s", strerror(errno));
	if (!sum && (six ? setsockopt(fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, &one, sizeof(one)) :
			   setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one))))
		die("--no-udp-checksum: %s", strerror(errno));
	/* Else what comes without one is dropped over IPv6. */
	if (six)
		setsockopt(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, &one, sizeof(one));
	return fd;
}

static void bind_to(int fd, const struct port *port, const struct in6_addr *addr, in_port_t at)
{
	union address_name name;
	socklen_t length = address_name(&name, addr, port->o->scope, at);
	char text[ADDRESS_TEXT];

	if (bind(fd, &name.any, length))
		die("bind to %s, UDP port %u: %s", address_text(text, addr, 0), ntohs(at), strerror(errno));
}

static int of_flow(const struct port *port, unsigned int flow)
{
	const struct options *o = port->o;
	union address_name to;
	socklen_t length = address_name(&to, &o->to, o->scope, htons(o->port));
	struct in6_addr from = port_source(port, flow);
	int fd = make(port), one = 1;
	char text[ADDRESS_TEXT];

	/* A queue's drop is an error then, and can be made good. */
	if (o->six)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
	else
		setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	bind_to(fd, port, &from, port_source_port(port, flow));
	if (connect(fd, &to.any, length))
		die("connect to %s: %s", address_text(text, &o->to, 0), strerror(errno));
	return fd;
}

static int listener(const struct port *port)
{
	int fd = make(port), one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		die("SO_REUSEPORT: %s", strerror(errno));
	if (port_shared(port) && !sock_deaf(fd))
		die("SO_ATTACH_FILTER: %s", strerror(errno));
	bind_to(fd, port, &port->o->source, htons(port->o->port));
	return fd;
}

void sockets_open(struct sockets *s, const struct port *port, struct facts *facts)
{
	int in = 0, out = 0;
	socklen_t size = sizeof(int);
	unsigned int i;

	s->count = port->tx ? port->flows : 1;
	s->fd = calloc(s->count, sizeof(*s->fd));
	s->dropped = calloc(s->count, sizeof(*s->dropped));
	if (!s->fd || !s->dropped)
		die("no memory");
	for (i = 0; i < s->count; i++)
		s->fd[i] = port->tx ? of_flow(port, port_flow(port, i)) : listener(port);
	getsockopt(s->fd[0], SOL_SOCKET, SO_RCVBUF, &in, &size);
	size = sizeof(int);
	getsockopt(s->fd[0], SOL_SOCKET, SO_SNDBUF, &out, &size);
	fact(facts, "sockets", "%u of UDP a thread, %d bytes to receive and %d to send each%s",
	     s->count, in / 2, out / 2, in / 2 < (int)port->o->socket_buffer ? " (net.core.rmem_max limits them)" : "");
	if (port->tx && !port->o->udp_checksum)
		fact(facts, "udp checksum", "none sent");
}

void sockets_begin(struct sockets *s, const struct port *port)
{
	int ignored = 0;
	unsigned int i;

	if (!port_shared(port))
		return;
	for (i = 0; i < s->count; i++)
		if (setsockopt(s->fd[i], SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof(ignored)))
			die("SO_DETACH_FILTER: %s", strerror(errno));
	/* What the filter dropped met no full queue. */
	sockets_dropped(s);
}

void sockets_close(struct sockets *s)
{
	unsigned int i;

	for (i = 0; i < s->count; i++)
		close(s->fd[i]);
	free(s->fd);
	free(s->dropped);
}

uint64_t sockets_dropped(struct sockets *s)
{
	uint32_t info[SK_MEMINFO_VARS];
	uint64_t more = 0;
	socklen_t size;
	unsigned int i;

	for (i = 0; i < s->count; i++) {
		size = sizeof(info);
		if (getsockopt(s->fd[i], SOL_SOCKET, SO_MEMINFO, info, &size) || size < sizeof(info))
			continue;
		more += (uint32_t)(info[SK_MEMINFO_DROPS] - s->dropped[i]);
		s->dropped[i] = info[SK_MEMINFO_DROPS];
	}
	return more;
}

void sock_drain_errors(int fd)
{
	uint8_t data[64], control[256];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};

	while (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		message.msg_controllen = sizeof(control);
}

bool sock_refused(int error)
{
	return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
	       error == EHOSTDOWN;
}

bool sock_trouble(struct port *port, int fd, int error)
{
	struct pollfd ready = { fd, POLLOUT };

	if (sock_refused(error)) {
		count(&port->counts.refused, 1);
		sock_drain_errors(fd);
		usleep(1000);
		return !giving_up();
	}
	switch (error) {
	case EINTR:
		break;
	case EAGAIN:
		count(&port->counts.full, 1);
		sock_drain_errors(fd);
		/* Another error that comes meanwhile: the next send reports it. */
		if (poll(&ready, 1, 100) == 1 && !(ready.revents & POLLOUT))
			usleep(100);
		break;
	case ENOBUFS:
	case ENOMEM:
		count(&port->counts.full, 1);
		usleep(100);
		break;
	default:
		stop_error("send: %s%s", strerror(error), error == EMSGSIZE ?
			   " (longer than the interface's MTU?)" : "");
	}
	return !giving_up();
}

void sock_wait(int fd, uint64_t until)
{
	struct pollfd ready = { fd, POLLIN };
	uint64_t now = now_ns(), left = until > now ? until - now : 0;
	struct timespec t = { 0, left > SLICE ? SLICE : left };

	ppoll(&ready, 1, &t, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/* UDP sockets. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
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

static int make(const struct port *port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		die("UDP socket: %s", strerror(errno));
	sock_buffers(fd, port->o->socket_buffer);
	if (port->o->dev && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, port->o->dev,
				       strlen(port->o->dev)))
		die("bind to interface %s: %s", port->o->dev, strerror(errno));
	if (!port->o->udp_checksum && setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)))
		die("--no-udp-checksum: %s", strerror(errno));
	return fd;
}

static void bind_to(int fd, struct in_addr addr, in_port_t at)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = addr, .sin_port = at };
	char text[INET_ADDRSTRLEN];

	if (bind(fd, (struct sockaddr *)&name, sizeof(name)))
		die("bind to %s, UDP port %u: %s", inet_ntop(AF_INET, &addr, text, sizeof(text)),
		    ntohs(at), strerror(errno));
}

static int of_flow(const struct port *port, unsigned int flow)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr = port->o->to, .sin_port = htons(port->o->port),
	};
	int fd = make(port), one = 1;
	struct in_addr any = { 0 };

	/* A queue's drop is an error then, and can be made good. */
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
	bind_to(fd, port->o->source.s_addr ? port_source(port, flow) : any, port_source_port(port, flow));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect to %s: %s", inet_ntoa(to.sin_addr), strerror(errno));
	return fd;
}

static int listener(const struct port *port)
{
	int fd = make(port), one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)))
		die("SO_REUSEPORT: %s", strerror(errno));
	bind_to(fd, port->o->source, htons(port->o->port));
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

bool sock_trouble(struct port *port, int fd, int error)
{
	struct pollfd ready = { fd, POLLOUT };

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
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
		count(&port->counts.refused, 1);
		sock_drain_errors(fd);
		usleep(1000);
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

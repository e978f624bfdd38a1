/* SPDX-License-Identifier: GPL-2.0-only */
/* UDP sockets as paths udp and uring have them: one a flow to send, one to receive. */
#ifndef WL_SOCK_H
#define WL_SOCK_H

#include "port.h"

struct sockets {
	unsigned int count;
	int *fd;		/* a sender's: by the port's index of the flow */
	uint32_t *dropped;	/* that the kernel counted up to now */
};

/**
 * sockets_open - bind, connect and set up what a port needs
 * @s: the sockets
 * @port: the port
 * @facts: gets the sizes of the buffers
 *
 * Dies if that can't be done.
 */
void sockets_open(struct sockets *s, const struct port *port, struct facts *facts);

/* As port_ops says. */
void sockets_begin(struct sockets *s, const struct port *port);

void sockets_close(struct sockets *s);

/* Packets that our own queues had no room for since the last call. */
uint64_t sockets_dropped(struct sockets *s);

/*
 * Reports of errors fill a socket's buffer if nobody takes them, and who waits for anything else
 * is woken at once.
 */
void sock_drain_errors(int fd);

/* Is it the network that says so, of a packet sent before: nobody listens, or there is no way? */
bool sock_refused(int error);

/**
 * sock_trouble - what to do about a send that the kernel refused
 * @port: whose counts
 * @fd: the socket
 * @error: errno
 *
 * Waits for a while, or ends the program. Returns true if it is to be tried again.
 */
bool sock_trouble(struct port *port, int fd, int error);

/**
 * sock_wait - wait until there is something to read
 * @fd: a socket, or an epoll
 * @until: ns; a tenth of a second at most
 */
void sock_wait(int fd, uint64_t until);

/* Have it drop whatever comes. Returns whether that could be done. */
bool sock_deaf(int fd);

/* A socket buffer of @bytes, beyond the system's limit if we may. */
void sock_buffers(int fd, int bytes);

#endif /* WL_SOCK_H */

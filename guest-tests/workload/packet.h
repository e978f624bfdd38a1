/* SPDX-License-Identifier: GPL-2.0-only */
/* Path packet: a ring to send and a ring to receive, each of an AF_PACKET socket of its own. */
#ifndef WL_PACKET_H
#define WL_PACKET_H

#include "port.h"

struct packet_rx {
	int fd;
	unsigned int version;	/* 2: a slot a packet; 3: blocks of packets */
	uint8_t *ring;
	size_t bytes, unit;	/* of the ring; of a slot or block */
	unsigned int units, head;
};

/**
 * packet_rx_open - a ring to receive
 * @r: the ring
 * @port: the port that it is of
 * @ifindex: the interface
 * @facts: what the kernel gave
 *
 * Dies if there can be none.
 */
void packet_rx_open(struct packet_rx *r, const struct port *port, int ifindex, struct facts *facts);

/* As port_ops says of begin, receive, end and close. */
void packet_rx_begin(struct packet_rx *r, const struct port *port);
void packet_rx_receive(struct packet_rx *r, struct port *port, uint64_t until, port_take take, void *context);
uint64_t packet_rx_dropped(struct packet_rx *r);
void packet_rx_close(struct packet_rx *r);

/* Socket options of either ring: the version, or the next lower one. Dies if it has neither. */
unsigned int packet_version(int fd, unsigned int wanted);

#endif /* WL_PACKET_H */

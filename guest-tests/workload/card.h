/* SPDX-License-Identifier: GPL-2.0-only */
/* Network interfaces: what they are, their addresses, and their neighbours. */
#ifndef WL_CARD_H
#define WL_CARD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "facts.h"

/* Driver, MTU, offloads, queues, and virtio's features of an interface. */
void card_facts(const char *dev, struct facts *facts);

/* Its MTU, 0 if there is no such interface. */
unsigned int card_mtu(const char *dev);

/* Its MAC address; dies without one. */
void card_mac(const char *dev, uint8_t *mac);

/* Its IPv4 address, 0.0.0.0 without one. */
struct in_addr card_address(const char *dev);

/* Through which interface this address is reached; empty if through none. */
void card_towards(struct in_addr to, char *dev, size_t size, struct in_addr *from);

/**
 * card_resolve - have the kernel ask for a neighbour's MAC address
 * @dev: the interface
 * @to: the neighbour
 * @mac: the answer
 * @error: what went wrong
 * @size: room for that
 */
bool card_resolve(const char *dev, struct in_addr to, uint8_t *mac, char *error, size_t size);

/* A UDP socket on that port that drops everything; -1 if the port is taken. */
int card_hole(in_port_t port);

#endif /* WL_CARD_H */

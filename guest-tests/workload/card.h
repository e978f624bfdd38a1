/* SPDX-License-Identifier: GPL-2.0-only */
/* Network interfaces: what they are, their addresses, and their neighbours. */
#ifndef WL_CARD_H
#define WL_CARD_H

#include "address.h"
#include "facts.h"

/* Driver, MTU, offloads, queues, and virtio's features of an interface. */
void card_facts(const char *dev, struct facts *facts);

/* Its MTU, 0 if there is no such interface. */
unsigned int card_mtu(const char *dev);

/* Its MAC address; dies without one. */
void card_mac(const char *dev, uint8_t *mac);

/* Its address of the family of @to, and of one link alone if that is; none without one. */
struct in6_addr card_address(const char *dev, const struct in6_addr *to);

/* Through which interface this address is reached; empty if through none. */
void card_towards(const struct in6_addr *to, uint32_t scope, char *dev, size_t size);

/**
 * card_resolve - have the kernel ask for a neighbour's MAC address
 * @dev: the interface
 * @to: the neighbour
 * @mac: the answer
 * @error: what went wrong
 * @size: room for that
 */
bool card_resolve(const char *dev, const struct in6_addr *to, uint8_t *mac, char *error, size_t size);

/* A UDP socket on that port that drops everything; -1 if the port is taken. */
int card_hole(bool six, in_port_t port);

#endif /* WL_CARD_H */

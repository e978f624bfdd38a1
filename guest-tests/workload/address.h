/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Addresses of both families in one type: IPv4's are mapped (::ffff:a.b.c.d) until a socket or a
 * frame wants them.
 */
#ifndef WL_ADDRESS_H
#define WL_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest: "[", an address, "%", an interface, "]:", a port, and the end. */
#define ADDRESS_TEXT	80

union address_name {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

static inline bool address_six(const struct in6_addr *at)
{
	return !IN6_IS_ADDR_V4MAPPED(at);
}

/* Of address_name()'s answer. */
static inline socklen_t address_size(bool six)
{
	return six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

struct in6_addr address_of(struct in_addr at);
struct in_addr address_four(const struct in6_addr *at);

/* Any address of a family. */
struct in6_addr address_any(bool six);

/* Is it none, of either family? */
bool address_none(const struct in6_addr *at);

/* @at and @n more, within its last 32 bits. */
struct in6_addr address_add(const struct in6_addr *at, uint32_t n);

/**
 * address_parse - read an address of either family
 * @at: the answer
 * @scope: the interface's number behind a %, else unchanged
 * @text: the address
 * @length: its bytes
 *
 * Returns false if it is none.
 */
bool address_parse(struct in6_addr *at, uint32_t *scope, const char *text, size_t length);

/**
 * address_name - what a socket is told
 * @name: the answer
 * @at: the address
 * @scope: of an address that is of one link alone
 * @port: in network order
 *
 * Returns its size.
 */
socklen_t address_name(union address_name *name, const struct in6_addr *at, uint32_t scope, in_port_t port);

/* What a socket has told; false if it is of no family that is known here. */
bool address_from(const union address_name *name, struct in6_addr *at, uint32_t *scope, in_port_t *port);

/* For people; @port in network order, 0: without. Returns @text, of ADDRESS_TEXT bytes. */
const char *address_text(char *text, const struct in6_addr *at, in_port_t port);

#endif /* WL_ADDRESS_H */

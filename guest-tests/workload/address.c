// SPDX-License-Identifier: GPL-2.0-only
/* Addresses of both families. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "address.h"

struct in6_addr address_of(struct in_addr at)
{
	struct in6_addr mapped = { .s6_addr32 = { 0, 0, htonl(0xffff), at.s_addr } };

	return mapped;
}

struct in_addr address_four(const struct in6_addr *at)
{
	struct in_addr four = { at->s6_addr32[3] };

	return four;
}

struct in6_addr address_any(bool six)
{
	struct in_addr four = { 0 };
	struct in6_addr any = { 0 };

	return six ? any : address_of(four);
}

bool address_none(const struct in6_addr *at)
{
	return IN6_IS_ADDR_UNSPECIFIED(at) || (IN6_IS_ADDR_V4MAPPED(at) && !at->s6_addr32[3]);
}

struct in6_addr address_add(const struct in6_addr *at, uint32_t n)
{
	struct in6_addr sum = *at;

	sum.s6_addr32[3] = htonl(ntohl(at->s6_addr32[3]) + n);
	return sum;
}

bool address_parse(struct in6_addr *at, uint32_t *scope, const char *text, size_t length)
{
	char copy[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = "", *link;
	struct in_addr four;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	if (inet_pton(AF_INET, copy, &four) == 1) {
		*at = address_of(four);
		return true;
	}
	link = strchr(copy, '%');
	if (link) {
		*link++ = 0;
		*scope = if_nametoindex(link);
		if (!*scope)
			return false;
	}
	return inet_pton(AF_INET6, copy, at) == 1;
}

socklen_t address_name(union address_name *name, const struct in6_addr *at, uint32_t scope, in_port_t port)
{
	*name = (union address_name){ 0 };
	if (!address_six(at)) {
		name->four = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_addr = address_four(at), .sin_port = port,
		};
		return sizeof(name->four);
	}
	name->six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = *at, .sin6_port = port };
	if (IN6_IS_ADDR_LINKLOCAL(at))
		name->six.sin6_scope_id = scope;
	return sizeof(name->six);
}

bool address_from(const union address_name *name, struct in6_addr *at, uint32_t *scope, in_port_t *port)
{
	*scope = 0;
	switch (name->any.sa_family) {
	case AF_INET:
		*at = address_of(name->four.sin_addr);
		*port = name->four.sin_port;
		return true;
	case AF_INET6:
		*at = name->six.sin6_addr;
		*port = name->six.sin6_port;
		*scope = name->six.sin6_scope_id;
		return true;
	}
	return false;
}

const char *address_text(char *text, const struct in6_addr *at, in_port_t port)
{
	char address[INET6_ADDRSTRLEN];
	struct in_addr four = address_four(at);

	if (address_six(at))
		inet_ntop(AF_INET6, at, address, sizeof(address));
	else
		inet_ntop(AF_INET, &four, address, sizeof(address));
	if (!port)
		snprintf(text, ADDRESS_TEXT, "%s", address);
	else
		snprintf(text, ADDRESS_TEXT, address_six(at) ? "[%s]:%u" : "%s:%u", address, ntohs(port));
	return text;
}

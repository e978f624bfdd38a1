/* SPDX-License-Identifier: GPL-2.0-only */
/* Ethernet, IPv4 or IPv6, and UDP headers: 42 or 62 bytes before the payload. */
#ifndef WL_FRAME_H
#define WL_FRAME_H

#include "address.h"

/* Ethernet's least, without the FCS. */
#define FRAME_MIN	60

/* Who speaks to whom; addresses and ports in network order. */
struct frame_way {
	uint8_t to_mac[6], from_mac[6];
	struct in6_addr to, from;
	in_port_t to_port, from_port;
	uint32_t scope;		/* of from, where that is of one link alone */
};

/* Bytes before the payload, by family. */
static inline unsigned int frame_head(bool six)
{
	return six ? 62 : 42;
}

/**
 * frame_build - write the headers of a frame, of the family of @way's addresses
 * @at: room for frame_head() bytes, and behind them the payload
 * @way: who speaks to whom
 * @payload: bytes of that
 * @sum: with a UDP checksum over IPv6, where there has to be one
 *
 * Without one over IPv4: what is wrong with a payload is found by its own.
 */
void frame_build(uint8_t *at, const struct frame_way *way, size_t payload, bool sum);

/**
 * frame_parse - find the payload of a frame
 * @at: a frame
 * @length: its bytes; padding may follow the datagram
 * @six: the family that is expected
 * @way: who speaks to whom
 * @payload: bytes of the payload
 *
 * Returns the payload, or NULL if it isn't UDP of that family in one piece.
 */
const uint8_t *frame_parse(const uint8_t *at, size_t length, bool six, struct frame_way *way, size_t *payload);

/**
 * frame_summed - is the UDP checksum over IPv6 right, or none?
 * @way: as frame_parse() found it
 * @payload: what it returned
 * @length: bytes of that
 *
 * It alone covers IPv6's addresses; IPv4's have the header's own, which frame_parse() looks at.
 */
bool frame_summed(const struct frame_way *way, const uint8_t *payload, size_t length);

/* The same way back. */
struct frame_way frame_back(const struct frame_way *way);

/* "52:54:00:12:34:56" into bytes. */
bool frame_mac(uint8_t *mac, const char *text);

#endif /* WL_FRAME_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* Ethernet, IPv4 and UDP headers: 42 bytes before the payload. */
#ifndef WL_FRAME_H
#define WL_FRAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD	42
#define FRAME_MIN	60

/* Who speaks to whom; addresses and ports in network order. */
struct frame_way {
	uint8_t to_mac[6], from_mac[6];
	struct in_addr to, from;
	in_port_t to_port, from_port;
};

/**
 * frame_build - write the headers of a frame
 * @at: room for FRAME_HEAD bytes
 * @way: who speaks to whom
 * @payload: bytes that follow
 *
 * Without a UDP checksum: what is wrong with a payload is found by its own.
 */
void frame_build(uint8_t *at, const struct frame_way *way, size_t payload);

/**
 * frame_parse - find the payload of a frame
 * @at: a frame
 * @length: its bytes; padding may follow the datagram
 * @way: who speaks to whom
 * @payload: bytes of the payload
 *
 * Returns the payload, or NULL if it isn't UDP in one piece.
 */
const uint8_t *frame_parse(const uint8_t *at, size_t length, struct frame_way *way, size_t *payload);

/* The same way back. */
struct frame_way frame_back(const struct frame_way *way);

/* "52:54:00:12:34:56" into bytes. */
bool frame_mac(uint8_t *mac, const char *text);

#endif /* WL_FRAME_H */

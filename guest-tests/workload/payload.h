/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a packet carries behind its UDP header: 18 bytes, so that a frame of 60 holds them, then
 * a pattern that follows from the number. The checksum covers all of it, and the length.
 *
 *	0 sum:32  4 number:32  8 kind:2 flow:14  10 session:8  11 stamp:56  18 pattern, or a word
 *
 * Little endian. Numbers count within a flow and wrap; the stamp is in nanoseconds and wraps
 * after 833 days. A control packet (hello, end) has a word about its flow instead of a pattern.
 */
#ifndef WL_PAYLOAD_H
#define WL_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_MIN	18
#define PAYLOAD_MAX	65507
#define PAYLOAD_CONTROL	48
#define FLOWS_MAX	4096

enum payload_kind { PAYLOAD_DATA, PAYLOAD_HELLO, PAYLOAD_END };

struct payload {
	enum payload_kind kind;
	uint32_t number;	/* of a data packet, within its flow */
	uint16_t flow;
	uint8_t session;
	uint64_t stamp;		/* ns, 56 bits */
	/* Of control packets alone. */
	uint64_t total;		/* data packets of this flow; UINT64_MAX: not known yet */
	uint64_t clock;		/* whose clock made the stamps; 0: can't tell */
	uint32_t flows;		/* how many flows the session has */
	uint64_t id;		/* of the session: data has no room for more than its lowest byte */
};

/**
 * payload_build - write a packet's payload
 * @at: room for @length bytes
 * @length: PAYLOAD_MIN to PAYLOAD_MAX; PAYLOAD_CONTROL at least for control packets
 * @p: what it says
 */
void payload_build(uint8_t *at, size_t length, const struct payload *p);

/**
 * payload_parse - read a payload and check it
 * @at: what came
 * @length: its bytes
 * @p: what it says, if it is whole
 *
 * Returns false if it isn't what some payload_build() wrote.
 */
bool payload_parse(const uint8_t *at, size_t length, struct payload *p);

/**
 * payload_blame - say what is wrong with a payload that payload_parse() refused
 * @at: what came
 * @length: its bytes
 * @text: the answer: the first byte that differs from what its own number asks for
 * @size: room for it
 */
void payload_blame(const uint8_t *at, size_t length, char *text, size_t size);

/* Nanoseconds between two stamps, which wrap; negative if @then is later. */
int64_t payload_since(uint64_t now, uint64_t then);

#endif /* WL_PAYLOAD_H */

// SPDX-License-Identifier: GPL-2.0-only
/* What a frame of a number looks like, and whether one that came looks so. */
#include <stdio.h>
#include <string.h>

#include "carry.h"

/* Ethernet, IPv4 and UDP: a network card with queues spreads them by ports. */
#define AT_NUMBER	42
#define AT_CONTENTS	50
#define FLOWS		64

static const uint8_t address[][6] = {
	/* Nobody's: the stacks behind tap and card drop the frames early. */
	[CARRY_OUT] = { 0x02, 0, 0, 0, 0x77, 0x99 },
	[CARRY_IN] = { 0x02, 0, 0, 0, 0x77, 0x98 },
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = value >> 8;
	at[1] = value;
}

size_t carry_build(uint8_t *frame, enum carry_way way, uint64_t number, size_t max)
{
	uint64_t word = mix(number * 2 + way + 1);
	size_t length = CARRY_MIN + word % (max - CARRY_MIN + 1), at;

	memset(frame, 0, AT_NUMBER);
	memcpy(frame, address[way], 6);
	memcpy(frame + 6, address[!way], 6);
	put16(frame + 12, 0x0800);
	frame[14] = 0x45;
	put16(frame + 16, length - 14);
	frame[22] = 64;
	frame[23] = 17;
	memcpy(frame + 26, (uint8_t[]){ 198, 18, 0, 1 + way, 198, 18, 0, 2 - way }, 8);
	put16(frame + 34, 1024 + number % FLOWS);
	put16(frame + 36, 9);
	put16(frame + 38, length - 34);
	memcpy(frame + AT_NUMBER, &number, sizeof(number));
	for (at = AT_CONTENTS; at < length; at += sizeof(word)) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		memcpy(frame + at, &word, length - at < 8 ? length - at : 8);
	}
	return length;
}

bool carry_ours(const uint8_t *frame, size_t length, enum carry_way way)
{
	return length >= 6 && !memcmp(frame, address[way], 6);
}

static void bad(struct carry_counts *counts, const uint8_t *frame,
		const uint8_t *wanted, size_t length, size_t should)
{
	uint64_t number = 0;
	size_t at = 0;

	if (counts->corrupt++)
		return;
	if (length >= AT_CONTENTS)
		memcpy(&number, frame + AT_NUMBER, sizeof(number));
	while (wanted && at < length && at < should && frame[at] == wanted[at])
		at++;
	snprintf(counts->first, sizeof(counts->first),
		 "number %llu, %zu bytes for %zu, byte %zu is %02x for %02x",
		 (unsigned long long)number, length, should, at,
		 at < length ? frame[at] : 0, wanted && at < should ? wanted[at] : 0);
}

void carry_take(struct carry_counts *counts, uint8_t *seen, const uint8_t *frame,
		size_t length, enum carry_way way, size_t max)
{
	static uint64_t last[2];
	uint8_t wanted[CARRY_MAX], mask;
	uint64_t number;
	size_t should;

	memcpy(&number, frame + AT_NUMBER, sizeof(number));
	if (length < CARRY_MIN || number >= CARRY_FRAMES) {
		bad(counts, frame, NULL, length, 0);
		return;
	}
	should = carry_build(wanted, way, number, max);
	if (length != should || memcmp(frame, wanted, length)) {
		bad(counts, frame, wanted, length, should);
		return;
	}
	mask = 1 << number % 8;
	if (seen[number / 8] & mask) {
		counts->twice++;
		return;
	}
	seen[number / 8] |= mask;
	counts->late += number < last[way];
	last[way] = number;
	counts->received++;
}

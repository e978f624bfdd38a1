// SPDX-License-Identifier: GPL-2.0-only
/* Payloads: numbered, stamped, filled with a pattern, summed. */
#include <stdio.h>
#include <string.h>

#include "payload.h"

#define ODD	0x9e3779b97f4a7c15ull
#define STAMP	56

static uint64_t get(const uint8_t *at, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static void put(uint8_t *at, unsigned int bytes, uint64_t value)
{
	for (; bytes--; value >>= 8)
		*at++ = value;
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	return x ^ (x >> 27);
}

/* Each step is a bijection: of two texts that differ in one word the 64 bits always differ. */
static uint32_t sum(const uint8_t *at, size_t length)
{
	uint64_t total = (length + 1) * ODD, word;

	for (; length >= sizeof(word); at += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		total = (total ^ word) * ODD;
		total ^= total >> 32;
	}
	total = (total ^ get(at, length)) * ODD;
	return total ^ total >> 32;
}

static void head(uint8_t *at, const struct payload *p)
{
	put(at + 4, 4, p->number);
	put(at + 8, 2, (unsigned int)p->kind << 14 | p->flow);
	put(at + 10, 1, p->session);
	put(at + 11, 7, p->stamp);
}

static void fill(uint8_t *at, size_t length, const struct payload *p)
{
	uint64_t word = mix((uint64_t)p->session << 48 | (uint64_t)p->flow << 32 | p->number);

	for (; length >= sizeof(word); at += sizeof(word), length -= sizeof(word)) {
		memcpy(at, &word, sizeof(word));
		word += ODD;
	}
	memcpy(at, &word, length);
}

void payload_build(uint8_t *at, size_t length, const struct payload *p)
{
	head(at, p);
	if (p->kind == PAYLOAD_DATA) {
		fill(at + PAYLOAD_MIN, length - PAYLOAD_MIN, p);
	} else {
		memset(at + PAYLOAD_MIN, 0, length - PAYLOAD_MIN);
		put(at + 18, 8, p->total);
		put(at + 26, 8, p->clock);
		put(at + 34, 4, p->flows);
		put(at + 38, 8, p->id);
	}
	put(at, 4, sum(at + 4, length - 4));
}

static void read_head(const uint8_t *at, struct payload *p)
{
	p->number = get(at + 4, 4);
	p->kind = get(at + 8, 2) >> 14;
	p->flow = get(at + 8, 2) & 0x3fff;
	p->session = at[10];
	p->stamp = get(at + 11, 7);
}

bool payload_parse(const uint8_t *at, size_t length, struct payload *p)
{
	if (length < PAYLOAD_MIN || length > PAYLOAD_MAX || get(at, 4) != sum(at + 4, length - 4))
		return false;
	read_head(at, p);
	if (p->kind > PAYLOAD_END || p->flow >= FLOWS_MAX)
		return false;
	if (p->kind == PAYLOAD_DATA)
		return true;
	if (length < PAYLOAD_CONTROL)
		return false;
	p->total = get(at + 18, 8);
	p->clock = get(at + 26, 8);
	p->flows = get(at + 34, 4);
	p->id = get(at + 38, 8);
	return p->flows && p->flows <= FLOWS_MAX;
}

void payload_blame(const uint8_t *at, size_t length, char *text, size_t size)
{
	uint8_t wanted[PAYLOAD_MAX];
	struct payload p = { 0 };
	size_t i = PAYLOAD_MIN;

	if (length < PAYLOAD_MIN || length > PAYLOAD_MAX) {
		snprintf(text, size, "%zu bytes", length);
		return;
	}
	read_head(at, &p);
	if (p.kind == PAYLOAD_DATA) {
		fill(wanted + PAYLOAD_MIN, length - PAYLOAD_MIN, &p);
		while (i < length && at[i] == wanted[i])
			i++;
	}
	if (p.kind != PAYLOAD_DATA || i == length)
		snprintf(text, size, "flow %u, number %u, %zu bytes: in its head, or cut short",
			 p.flow, p.number, length);
	else
		snprintf(text, size, "flow %u, number %u, %zu bytes: byte %zu is %02x for %02x",
			 p.flow, p.number, length, i, at[i], wanted[i]);
}

int64_t payload_since(uint64_t now, uint64_t then)
{
	return (int64_t)((now - then) << (64 - STAMP)) >> (64 - STAMP);
}

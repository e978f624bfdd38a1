// SPDX-License-Identifier: GPL-2.0-only
/* A mix of frame sizes. */
#include <stdlib.h>
#include <string.h>

#include "sizes.h"

/* 64, 594 and 1518 bytes on the wire: the FCS isn't ours to send. */
#define IMIX	"60:7,590:4,1514:1"

/* Each slot goes to the kind that is furthest behind its share. */
static void spread(struct sizes *s)
{
	int64_t due[SIZES_KINDS] = { 0 };
	unsigned int best, i;
	uint32_t slot;

	for (slot = 0; slot < s->slots; slot++) {
		best = 0;
		for (i = 0; i < s->kinds; i++) {
			due[i] += s->kind[i].weight;
			if (due[i] > due[best])
				best = i;
		}
		due[best] -= s->slots;
		s->slot[slot] = best;
	}
}

const char *sizes_parse(struct sizes *s, const char *text, uint32_t min, uint32_t max)
{
	unsigned long bytes, weight, least = 0;
	uint64_t total = 0;
	char *end;

	memset(s, 0, sizeof(*s));
	if (!strcmp(text, "imix")) {
		text = IMIX;
		least = min;
	}
	do {
		if (s->kinds == SIZES_KINDS)
			return "more than 16 sizes";
		bytes = strtoul(text, &end, 10);
		weight = 1;
		if (end == text || *text == '-')
			return "not a number of bytes";
		if (*end == ':') {
			text = end + 1;
			weight = strtoul(text, &end, 10);
			if (end == text || *text == '-' || !weight || weight > SIZES_SLOTS)
				return "a weight is from 1 to 1024";
		}
		bytes = bytes < least ? least : bytes;
		if (bytes < min || bytes > max)
			return "bytes out of range";
		s->kind[s->kinds].bytes = bytes;
		s->kind[s->kinds++].weight = weight;
		s->max = bytes > s->max ? bytes : s->max;
		total += weight;
		text = end + 1;
	} while (*end == ',');
	if (*end)
		return "BYTES:WEIGHT,... or imix";
	if (total > SIZES_SLOTS)
		return "weights add up to more than 1024";
	s->slots = total;
	spread(s);
	return NULL;
}

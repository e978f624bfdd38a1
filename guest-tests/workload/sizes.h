/* SPDX-License-Identifier: GPL-2.0-only */
/* Frame sizes: one, or a mix of several by weight, in an order that spreads them evenly. */
#ifndef WL_SIZES_H
#define WL_SIZES_H

#include <stddef.h>
#include <stdint.h>

#define SIZES_KINDS	16
#define SIZES_SLOTS	1024

struct sizes {
	unsigned int kinds;
	struct {
		uint32_t bytes, weight;
	} kind[SIZES_KINDS];
	uint32_t max, slots;
	uint16_t slot[SIZES_SLOTS];	/* the kinds, one period of the mix */
};

/**
 * sizes_parse - read a mix
 * @s: the mix
 * @text: "imix", "BYTES" or "BYTES:WEIGHT,..."; bytes are of a frame without its FCS
 * @min: least bytes; where imix has less, it gets them
 * @max: most bytes
 *
 * Returns NULL, or what is wrong with it.
 */
const char *sizes_parse(struct sizes *s, const char *text, uint32_t min, uint32_t max);

/* The size of the n-th frame. */
static inline uint32_t sizes_at(const struct sizes *s, uint64_t n)
{
	return s->kind[s->slot[n % s->slots]].bytes;
}

#endif /* WL_SIZES_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A histogram of nanoseconds with relative precision: each power of two is cut into 128 equal
 * steps, so that a percentile is at most 1/128 above the truth; below 128 ns it is exact.
 */
#ifndef WL_HISTOGRAM_H
#define WL_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS	7	/* steps of a power of two, as a power of two */
#define HISTOGRAM_TOP	42	/* 2^42 ns (73 min) and more count as the greatest below */
#define HISTOGRAM_CELLS	((HISTOGRAM_TOP - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count, min, max;
	double sum;
	uint64_t cell[HISTOGRAM_CELLS];
};

/**
 * histogram_add - count a value
 * @h: where; all zeroes to begin with
 * @ns: the value
 */
void histogram_add(struct histogram *h, uint64_t ns);

/**
 * histogram_merge - add all of @from
 * @h: where
 * @from: what
 */
void histogram_merge(struct histogram *h, const struct histogram *from);

/**
 * histogram_share - the value that a share of all values isn't above
 * @h: where
 * @share: 0.5 for the median, 0.999 for p99.9
 *
 * Returns the upper end of its cell, never above the greatest value; 0 if there is none.
 */
uint64_t histogram_share(const struct histogram *h, double share);

#endif /* WL_HISTOGRAM_H */

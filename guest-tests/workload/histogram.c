// SPDX-License-Identifier: GPL-2.0-only
/* Log-linear histograms. */
#include "histogram.h"

#define STEPS	(1u << HISTOGRAM_BITS)

/* The first power of two is cut as finely as the one above it: into single values. */
static unsigned int cell_of(uint64_t ns)
{
	unsigned int power;

	if (ns >> HISTOGRAM_TOP)
		return HISTOGRAM_CELLS - 1;
	if (ns < STEPS)
		return ns;
	power = 63 - __builtin_clzll(ns) - HISTOGRAM_BITS;
	return (power << HISTOGRAM_BITS) + (ns >> power);
}

static uint64_t last_of(unsigned int cell)
{
	unsigned int power;

	if (cell < STEPS)
		return cell;
	power = (cell >> HISTOGRAM_BITS) - 1;
	return (((uint64_t)(cell & (STEPS - 1)) + STEPS + 1) << power) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
	if (!h->count || ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
	h->count++;
	h->sum += ns;
	h->cell[cell_of(ns)]++;
}

void histogram_merge(struct histogram *h, const struct histogram *from)
{
	unsigned int i;

	if (!from->count)
		return;
	if (!h->count || from->min < h->min)
		h->min = from->min;
	if (from->max > h->max)
		h->max = from->max;
	h->count += from->count;
	h->sum += from->sum;
	for (i = 0; i < HISTOGRAM_CELLS; i++)
		h->cell[i] += from->cell[i];
}

uint64_t histogram_share(const struct histogram *h, double share)
{
	double exact = share * h->count;
	uint64_t wanted = exact, seen = 0, value;
	unsigned int i;

	wanted += wanted < exact;
	for (i = 0; i < HISTOGRAM_CELLS; i++) {
		seen += h->cell[i];
		if (!seen || seen < wanted)
			continue;
		value = last_of(i);
		/* The last cell has no upper end. */
		return value < h->max && i < HISTOGRAM_CELLS - 1 ? value : h->max;
	}
	return 0;
}

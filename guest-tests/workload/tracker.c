// SPDX-License-Identifier: GPL-2.0-only
/* Which numbers have come. */
#include <stdlib.h>
#include <string.h>

#include "tracker.h"

#define WORD	64

bool tracker_init(struct tracker *t, uint32_t window)
{
	memset(t, 0, sizeof(*t));
	t->window = window;
	t->bits = calloc(window / WORD, sizeof(*t->bits));
	return t->bits;
}

void tracker_free(struct tracker *t)
{
	free(t->bits);
	t->bits = NULL;
}

void tracker_join(struct tracker *t, uint32_t number)
{
	t->base = number;
	t->next = number;
	t->joined = true;
}

static uint64_t *word_of(struct tracker *t, uint64_t number)
{
	return &t->bits[number % t->window / WORD];
}

static uint64_t mask_of(struct tracker *t, uint64_t number)
{
	return 1ull << number % t->window % WORD;
}

/* The numbers from next to below end haven't come; what stood in their place is forgotten. */
static void forget(struct tracker *t, uint64_t end)
{
	if (end - t->next >= t->window) {
		memset(t->bits, 0, t->window / 8);
		return;
	}
	for (; t->next < end; t->next++)
		*word_of(t, t->next) &= ~mask_of(t, t->next);
}

enum tracker_verdict tracker_take(struct tracker *t, uint32_t number)
{
	/* The nearest of all that end in these bits: 2^31 either way. */
	int64_t ahead = (int32_t)(number - (uint32_t)t->next);
	uint64_t full = t->next + ahead;

	if (ahead >= 0) {
		forget(t, full);
		*word_of(t, full) |= mask_of(t, full);
		t->next = full + 1;
		t->unique++;
		return TRACK_NEW;
	}
	if (-ahead > (int64_t)t->window || full < t->base || (uint64_t)-ahead > t->next) {
		t->stale++;
		return TRACK_STALE;
	}
	if (*word_of(t, full) & mask_of(t, full)) {
		t->duplicated++;
		return TRACK_DUPLICATED;
	}
	*word_of(t, full) |= mask_of(t, full);
	t->unique++;
	t->reordered++;
	if ((uint64_t)-ahead - 1 > t->reach)
		t->reach = -ahead - 1;
	return TRACK_REORDERED;
}

uint64_t tracker_expected(const struct tracker *t, uint64_t total)
{
	/* Its own word may be older than the last packet: hello says nothing, end may be lost. */
	uint64_t end = total == UINT64_MAX || total < t->next ? t->next : total;
	int32_t ahead = (uint32_t)total - (uint32_t)t->next;

	/* What total has above 32 bits, who joined hasn't. */
	if (t->joined && total != UINT64_MAX)
		end = ahead > 0 ? t->next + ahead : t->next;
	return end - t->base;
}

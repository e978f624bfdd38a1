// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making spans: where a set's windows may be, and where those of all sets may.
 */
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "spans.h"

/**
 * vd_spans_alloc - memory for spans
 * @most: how many at most
 *
 * Return: spans to be filled and then given to vd_spans_finish(), or NULL.
 * Context: may sleep.
 */
struct vd_spans *vd_spans_alloc(unsigned int most)
{
	struct vd_spans *s;

	return kvmalloc(struct_size(s, span, roundup_pow_of_two(most + 1)),
			GFP_KERNEL_ACCOUNT);
}

static int vd_span_cmp(const void *a, const void *b)
{
	const struct vd_span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Sorts, joins what overlaps or touches; returns how many are left. */
static unsigned int vd_spans_sort(struct vd_span *span, unsigned int n)
{
	unsigned int i, last = 0;

	if (!n)
		return 0;
	sort(span, n, sizeof(*span), vd_span_cmp, NULL);
	for (i = 1; i < n; i++) {
		if (span[i].start <= span[last].end)
			span[last].end = max(span[last].end, span[i].end);
		else
			span[++last] = span[i];
	}
	return last + 1;
}

/**
 * vd_spans_finish - make them ready for the search
 * @s: from vd_spans_alloc()
 * @n: how many were filled, in any order; they may overlap, none is empty
 *
 * They are padded to a power of two, so that the search is even: the rest, one
 * at least, ends behind every start and starts before no end.
 * Context: any; nobody else has them yet.
 */
void vd_spans_finish(struct vd_spans *s, unsigned int n)
{
	unsigned int room;

	n = vd_spans_sort(s->span, n);
	room = roundup_pow_of_two(n + 1);
	s->half = room / 2;
	while (n < room)
		s->span[n++] = (struct vd_span){ ULONG_MAX, ULONG_MAX };
}

/**
 * vd_spans_free - free them when no callback looks at them any more
 * @s: the spans, that new callbacks don't find; or NULL
 *
 * Context: any.
 */
void vd_spans_free(struct vd_spans *s)
{
	if (s)
		kvfree_rcu(s, rcu);
}

/**
 * vd_spans_count - how many there are
 * @s: the spans, or NULL
 *
 * Return: their number, without the padding. Context: the mm's lock.
 */
unsigned int vd_spans_count(const struct vd_spans *s)
{
	const struct vd_span *at;
	unsigned int n = 0;

	for (at = vd_spans_first(s); at; at = vd_spans_next(at))
		n++;
	return n;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Spans of user addresses in order, for a search that waits for nobody.
 */
#ifndef VD_SPANS_H
#define VD_SPANS_H

#include <linux/compiler.h>
#include <linux/limits.h>
#include <linux/types.h>

/* User addresses of whole pages: [start, end). */
struct vd_span {
	unsigned long start;
	unsigned long end;
};

/**
 * struct vd_spans - spans that don't change any more
 * @rcu: to free them after the callbacks that look at them
 * @half: half of how many there are, a power of two
 * @span: in order, none overlapping or touching another; then, at least once,
 *        one that no range overlaps
 */
struct vd_spans {
	struct rcu_head rcu;
	unsigned int half;
	struct vd_span span[];
};

struct vd_spans *vd_spans_alloc(unsigned int most);
void vd_spans_finish(struct vd_spans *s, unsigned int n);
void vd_spans_free(struct vd_spans *s);
unsigned int vd_spans_count(const struct vd_spans *s);

/**
 * vd_spans_next - the span behind one
 * @at: the one
 *
 * Return: NULL behind the last.
 */
static inline const struct vd_span *vd_spans_next(const struct vd_span *at)
{
	return at[1].start != ULONG_MAX ? at + 1 : NULL;
}

/**
 * vd_spans_first - the first of them
 * @s: the spans, or NULL
 *
 * Return: NULL if there is none.
 */
static inline const struct vd_span *vd_spans_first(const struct vd_spans *s)
{
	return s && s->span[0].start != ULONG_MAX ? s->span : NULL;
}

/**
 * vd_spans_overlap - does a range overlap one of them?
 * @s: the spans
 * @start: first user address
 * @end: end of the range
 *
 * A binary search. Context: any; RCU keeps @s.
 */
static __always_inline bool vd_spans_overlap(const struct vd_spans *s,
					     unsigned long start,
					     unsigned long end)
{
	const struct vd_span *at = s->span;
	unsigned int half;

	/* The first span that ends behind the start. */
	for (half = s->half; half; half /= 2)
		if (at[half - 1].end <= start)
			at += half;
	return at->start < end;
}

#endif /* VD_SPANS_H */

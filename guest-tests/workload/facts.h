/* SPDX-License-Identifier: GPL-2.0-only */
/* What was found out at start: names and values, in order, for people and for JSON. */
#ifndef WL_FACTS_H
#define WL_FACTS_H

#include <stdio.h>

#define FACTS_MAX	48

struct facts {
	unsigned int count;
	struct {
		char name[32], value[512];
	} fact[FACTS_MAX];
};

/* Add one; nothing happens if @f is NULL. */
void fact(struct facts *f, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A line each. */
void facts_print(const struct facts *f, FILE *to);

#endif /* WL_FACTS_H */

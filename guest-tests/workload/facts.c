// SPDX-License-Identifier: GPL-2.0-only
/* What was found out at start. */
#include <stdarg.h>

#include "facts.h"

void fact(struct facts *f, const char *name, const char *format, ...)
{
	va_list ap;

	if (!f || f->count == FACTS_MAX)
		return;
	snprintf(f->fact[f->count].name, sizeof(f->fact[0].name), "%s", name);
	va_start(ap, format);
	vsnprintf(f->fact[f->count].value, sizeof(f->fact[0].value), format, ap);
	va_end(ap);
	f->count++;
}

void facts_print(const struct facts *f, FILE *to)
{
	unsigned int i;

	for (i = 0; i < f->count; i++)
		fprintf(to, "vdload: %-16s %s\n", f->fact[i].name, f->fact[i].value);
	fflush(to);
}

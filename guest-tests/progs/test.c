// SPDX-License-Identifier: GPL-2.0-only
/* Checks and their report as KTAP. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

/* More than this of one test are not worth reading. */
#define SHOWN 8

static unsigned int count, failed, errors;
static bool begun;
static char name[256], skipped[256];

/* A test that isn't ended has no line: who counts lines would miss nothing. */
static void t_ended(void)
{
	if (!begun)
		return;
	printf("Bail out! not ended: %s\n", name);
	exit(3);
}

void t_begin(const char *fmt, ...)
{
	va_list ap;

	t_ended();
	begun = true;
	if (!count)
		printf("KTAP version 1\n");
	setvbuf(stdout, NULL, _IOLBF, 0);
	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	count++;
	errors = 0;
	skipped[0] = 0;
}

unsigned int t_errors(void)
{
	return errors;
}

void t_skip(const char *reason)
{
	snprintf(skipped, sizeof(skipped), " # SKIP %s", reason);
}

bool t_end(void)
{
	begun = false;
	failed += !!errors;
	if (errors > SHOWN)
		printf("# and %u more\n", errors - SHOWN);
	printf("%sok %u - %s%s\n", errors ? "not " : "", count, name, skipped);
	return !errors;
}

int t_done(void)
{
	t_ended();
	printf("1..%u\n", count);
	return failed != 0;
}

void t_diag(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

bool t_check(bool ok, const char *what, const char *file, int line)
{
	if (!ok && errors++ < SHOWN)
		t_diag("%s:%d: %s", file, line, what);
	return ok;
}

bool t_equal(int64_t a, int64_t b, const char *what, const char *file, int line)
{
	if (a != b && errors++ < SHOWN)
		t_diag("%s:%d: %s: %lld, not %lld", file, line, what, (long long)a,
		       (long long)b);
	return a == b;
}

void t_die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(": %s\nBail out!\n", strerror(err));
	fflush(stdout);
	exit(2);
}

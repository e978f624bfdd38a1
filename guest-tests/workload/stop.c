// SPDX-License-Identifier: GPL-2.0-only
/* When to end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pace.h"
#include "stop.h"

#define PATIENCE_NS	1000000000ull

int stop_flag;

static uint64_t since;
static char reason[256];
static int have_reason;

void stop(void)
{
	if (stopping())
		return;
	__atomic_store_n(&since, now_ns(), __ATOMIC_RELAXED);
	__atomic_store_n(&stop_flag, 1, __ATOMIC_RELEASE);
}

bool giving_up(void)
{
	/* Pairs with the release in stop(): the time is there when the flag is. */
	return __atomic_load_n(&stop_flag, __ATOMIC_ACQUIRE) &&
	       (stop_reason() || now_ns() - __atomic_load_n(&since, __ATOMIC_RELAXED) > PATIENCE_NS);
}

void stop_error(const char *format, ...)
{
	va_list ap;

	if (!__atomic_exchange_n(&have_reason, 1, __ATOMIC_ACQ_REL)) {
		va_start(ap, format);
		vsnprintf(reason, sizeof(reason), format, ap);
		va_end(ap);
	}
	stop();
}

const char *stop_reason(void)
{
	return __atomic_load_n(&have_reason, __ATOMIC_ACQUIRE) ? reason : NULL;
}

void die(const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("vdload: error: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* When to end: a signal, a limit, the other side's word, or an error. */
#ifndef WL_STOP_H
#define WL_STOP_H

#include <stdbool.h>

extern int stop_flag;

/* No call of a thread blocks for longer than a tenth of a second without a look at this. */
static inline bool stopping(void)
{
	return __atomic_load_n(&stop_flag, __ATOMIC_RELAXED);
}

/*
 * What is under way may be finished after that for a second: whoever waits for the kernel to take
 * it asks this.
 */
bool giving_up(void);

/* Have all threads end; the summary follows. A signal handler may call it. */
void stop(void);

/* End because something doesn't work: the exit status becomes 2. The first reason is kept. */
void stop_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* That reason, or NULL. */
const char *stop_reason(void);

/* Didn't even begin: say why, exit with 2. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif /* WL_STOP_H */

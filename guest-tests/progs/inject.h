/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inject: the module vd_inject (guest-tests/kmod), which a suite has loaded for a program: it
 * counts the calls of a function, or holds its callers up for as long as the program needs.
 */
#ifndef VD_TEST_INJECT_H
#define VD_TEST_INJECT_H

#include <stdbool.h>

/* No longer than that: who is held up spins. */
#define INJECT_LONG "5000000"

bool inject_there(void);
/* Calls of the function so far. */
long inject_hits(void);
/* For how many microseconds whoever calls the function is held up; "0" lets go who is there. */
void inject_hold(const char *usecs);
/* The number of the call that is held up now, 0: none. */
unsigned int inject_held(void);

#endif

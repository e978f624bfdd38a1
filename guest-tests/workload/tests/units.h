/* SPDX-License-Identifier: GPL-2.0-only */
/* Unit tests of the generator, by file. */
#ifndef WL_UNITS_H
#define WL_UNITS_H

#include <stdint.h>

void test_trackers(void);
void test_intake(void);
void test_senders(void);
void test_crowds(void);
void test_options(void);
void test_reports(void);

/* The same numbers each time. */
uint64_t rnd(void);

#endif /* WL_UNITS_H */

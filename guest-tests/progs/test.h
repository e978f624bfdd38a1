/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks and their report as KTAP.
 *
 *	t_begin("a frame passes");
 *	CHECK_EQ(sent, 1);
 *	t_end();
 *	return t_done();
 */
#ifndef GT_TEST_H
#define GT_TEST_H

#include <stdbool.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

void t_begin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool t_end(void);
void t_skip(const char *reason);
int t_done(void);
/* Of the test that runs: for a child to tell its parent. */
unsigned int t_errors(void);
void t_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool t_check(bool ok, const char *what, const char *file, int line);
bool t_equal(int64_t a, int64_t b, const char *what, const char *file, int line);
/* For what must work before anything can be tested at all. */
void t_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define CHECK(c) t_check(!!(c), #c, __FILE__, __LINE__)
#define CHECK_EQ(a, b) t_equal((int64_t)(a), (int64_t)(b), #a, __FILE__, __LINE__)

/* MUST(fd >= 0, "open %s", path): else the program ends, with errno. */
#define MUST(c, ...) do {						\
	if (!(c))							\
		t_die(__VA_ARGS__);					\
} while (0)

#endif /* GT_TEST_H */

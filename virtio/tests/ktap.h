/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test program: a table of named functions, reported as KTAP.
 *
 *	static void adds_up(void)
 *	{
 *		CHECK_EQ(1 + 1, 2);
 *	}
 *
 *	static const struct ktap_test tests[] = {
 *		TEST(adds_up),
 *	};
 *	KTAP_MAIN(tests)
 */
#ifndef VD_KTAP_H
#define VD_KTAP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* More than this of one test are not worth reading. */
#define KTAP_SHOWN	8

struct ktap_test {
	const char *name;
	void (*run)(void);
};

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define TEST(fn)	{ #fn, fn }

static unsigned int ktap_errors;

static inline bool ktap_check(bool ok, const char *what, const char *file,
			      int line)
{
	if (!ok && ktap_errors++ < KTAP_SHOWN)
		printf("# %s:%d: %s\n", file, line, what);
	return ok;
}

static inline bool ktap_equal(int64_t a, int64_t b, const char *what,
			      const char *file, int line)
{
	if (a != b && ktap_errors++ < KTAP_SHOWN)
		printf("# %s:%d: %s: %" PRId64 ", not %" PRId64 "\n", file,
		       line, what, a, b);
	return a == b;
}

#define CHECK(c)	ktap_check(!!(c), #c, __FILE__, __LINE__)
#define CHECK_EQ(a, b)	ktap_equal((int64_t)(a), (int64_t)(b), #a, __FILE__, \
				   __LINE__)

static inline int ktap_run(const struct ktap_test *test, unsigned int n)
{
	unsigned int i, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%u\n", n);
	for (i = 0; i < n; i++) {
		ktap_errors = 0;
		test[i].run();
		bad += !!ktap_errors;
		printf("%sok %u - %s\n", ktap_errors ? "not " : "", i + 1,
		       test[i].name);
	}
	return !!bad;
}

#define KTAP_MAIN(tests)						\
	int main(void)							\
	{								\
		return ktap_run(tests, ARRAY_SIZE(tests));		\
	}

#endif /* VD_KTAP_H */

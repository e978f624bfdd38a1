/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers that look random and come again: the same seed, the same test.
 * VD_SEED and VD_CHAINS in the environment choose others.
 */
#ifndef VD_RANDOM_H
#define VD_RANDOM_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "../user/ring_env.h"

struct random {
	u64 state;
};

/* splitmix64: no state is a bad one. */
static inline u64 random_mix(u64 x)
{
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static inline u64 random_u64(struct random *rnd)
{
	return random_mix(rnd->state++);
}

/* From 0 to @n - 1. */
static inline u32 random_below(struct random *rnd, u32 n)
{
	return (random_u64(rnd) >> 32) * n >> 32;
}

/* True @percent times in a hundred. */
static inline bool random_chance(struct random *rnd, u32 percent)
{
	return random_below(rnd, 100) < percent;
}

static inline u64 random_env(const char *name, u64 otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static inline void random_seed(struct random *rnd)
{
	rnd->state = random_env("VD_SEED", 20261120);
	printf("# VD_SEED=%" PRIu64 "\n", rnd->state);
}

#endif /* VD_RANDOM_H */

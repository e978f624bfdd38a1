/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A piece of guest memory for tests, fuzzers and benchmarks: one range of
 * guest-physical addresses, backed by memory of this process, from which rings,
 * tables and buffers are taken one after the other.
 *
 * Under AddressSanitizer whatever was not taken is poisoned, so that a stray
 * access next to a ring is seen although the arena is one allocation.
 */
#ifndef VD_MOCK_ARENA_H
#define VD_MOCK_ARENA_H

#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include "user/words.h"

/* Unused bytes between two things taken from an arena. */
#define MOCK_GAP	64u

/**
 * struct mock_arena - guest memory
 * @base: where this process sees it
 * @gpa: guest-physical address of its first byte
 * @size: bytes
 * @used: bytes taken so far
 * @own: allocated by mock_arena_alloc()
 */
struct mock_arena {
	u8 *base;
	u64 gpa;
	u64 size;
	u64 used;
	bool own;
};

/**
 * mock_arena_init - make an arena of memory that the caller provides
 * @a: the arena
 * @base: its memory, page-aligned if alignments are to be what they seem
 * @size: bytes
 * @gpa: guest-physical address that it appears at
 */
static inline void mock_arena_init(struct mock_arena *a, void *base, u64 size,
				   u64 gpa)
{
	*a = (struct mock_arena){ .base = base, .size = size, .gpa = gpa };
	ASAN_POISON_MEMORY_REGION(base, size);
}

static inline void mock_arena_alloc(struct mock_arena *a, u64 size, u64 gpa)
{
	void *base = aligned_alloc(4096, (size + 4095) & ~4095ull);

	if (!base) {
		perror("mock_arena_alloc");
		exit(1);
	}
	memset(base, 0, size);
	mock_arena_init(a, base, size, gpa);
	a->own = true;
}

static inline void mock_arena_exit(struct mock_arena *a)
{
	ASAN_UNPOISON_MEMORY_REGION(a->base, a->size);
	if (a->own)
		free(a->base);
	a->base = NULL;
}

/**
 * mock_arena_take - take zeroed memory
 * @a: the arena
 * @len: bytes
 * @align: a power of two
 * @off: what the address shall be modulo @align
 *
 * Return: a guest-physical address. An arena too small ends the program.
 */
static inline u64 mock_arena_take(struct mock_arena *a, u64 len, u64 align,
				  u64 off)
{
	u64 at = a->used + MOCK_GAP;

	at += (off - (a->gpa + at)) & (align - 1);
	if (at > a->size || len > a->size - at) {
		fprintf(stderr, "mock_arena_take: arena too small\n");
		exit(1);
	}
	a->used = at + len;
	ASAN_UNPOISON_MEMORY_REGION(a->base + at, len);
	memset(a->base + at, 0, len);
	return a->gpa + at;
}

/**
 * mock_at - where a guest range is in this process
 * @a: the arena
 * @gpa: guest-physical address
 * @len: bytes
 *
 * Return: NULL if any byte of the range is outside the arena.
 */
static inline void *mock_at(const struct mock_arena *a, u64 gpa, u64 len)
{
	u64 off = gpa - a->gpa;

	if (gpa < a->gpa || off > a->size || len > a->size - off)
		return NULL;
	return a->base + off;
}

/**
 * mock_read - read guest memory, in the form that struct vd_table_io wants
 * @ctx: the arena
 * @gpa: guest-physical address
 * @dst: receives the bytes
 * @len: how many
 */
static inline int mock_read(void *ctx, u64 gpa, void *dst, u32 len)
{
	const void *src = mock_at(ctx, gpa, len);

	if (!src)
		return -1;
	memcpy(dst, src, len);
	return 0;
}

#endif /* VD_MOCK_ARENA_H */

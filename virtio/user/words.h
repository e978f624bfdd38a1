/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Loads and stores of ring words that two threads share, for user space.
 *
 * The words by which one side hands memory to the other (the indices), and
 * those by which it asks for events, are "sync" words; everything else in a
 * ring is owned by one side at a time and is "data".
 *
 * ThreadSanitizer knows no fences, so that every ring that is ordered by them
 * looks racy to it. Under it sync words are therefore acquired and released:
 * it then proves that no data word is touched without the index that hands it
 * over, but no longer that the fences are there. tests/test_order.c does that.
 */
#ifndef VD_USER_WORDS_H
#define VD_USER_WORDS_H

#include "ring_env.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define WORD_LOAD_ORDER		__ATOMIC_ACQUIRE
#define WORD_STORE_ORDER	__ATOMIC_RELEASE
#else
#define WORD_LOAD_ORDER		__ATOMIC_RELAXED
#define WORD_STORE_ORDER	__ATOMIC_RELAXED
#endif

/* Each side looks at the same bytes in words of its own choice. */
typedef u16 __attribute__((may_alias)) word16;
typedef u32 __attribute__((may_alias)) word32;
typedef u64 __attribute__((may_alias)) word64;

static __always_inline u16 word_load16_sync(const void *p)
{
	return __atomic_load_n((const word16 *)p, WORD_LOAD_ORDER);
}

static __always_inline void word_store16_sync(void *p, u16 v)
{
	__atomic_store_n((word16 *)p, v, WORD_STORE_ORDER);
}

static __always_inline u16 word_load16(const void *p)
{
	return READ_ONCE(*(const word16 *)p);
}

static __always_inline u32 word_load32(const void *p)
{
	return READ_ONCE(*(const word32 *)p);
}

static __always_inline u64 word_load64(const void *p)
{
	return READ_ONCE(*(const word64 *)p);
}

static __always_inline void word_store16(void *p, u16 v)
{
	WRITE_ONCE(*(word16 *)p, v);
}

static __always_inline void word_store32(void *p, u32 v)
{
	WRITE_ONCE(*(word32 *)p, v);
}

static __always_inline void word_store64(void *p, u64 v)
{
	WRITE_ONCE(*(word64 *)p, v);
}

/*
 * Hands over the eight bytes at @p, which the other side acquires by the last
 * two of them. ThreadSanitizer pairs a release with an acquire of the same
 * address only, so that under it these two are a store of their own.
 */
static __always_inline void word_store64_sync(void *p, u64 v)
{
#if defined(__SANITIZE_THREAD__)
	u16 word[4];

	memcpy(word, &v, sizeof(word));
	word_store16(p, word[0]);
	word_store16((u8 *)p + 2, word[1]);
	word_store16((u8 *)p + 4, word[2]);
	word_store16_sync((u8 *)p + 6, word[3]);
#else
	__atomic_store_n((word64 *)p, v, WORD_STORE_ORDER);
#endif
}

#endif /* VD_USER_WORDS_H */

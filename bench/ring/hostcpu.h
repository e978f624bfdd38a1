/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What our side does as a kernel would: general registers only (what includes
 * this is compiled with -mgeneral-regs-only), indices and addresses that the
 * guest chose masked against speculation, a lock around each visit to a ring.
 */
#ifndef BENCH_RING_HOSTCPU_H
#define BENCH_RING_HOSTCPU_H

#include "../../virtio/user/ring_env.h"

/* The kernel's array_index_mask_nospec() of x86. */
static __always_inline u64 host_index_mask(u64 i, u64 n)
{
	u64 mask;

	asm volatile("cmp %1, %2\n\tsbb %0, %0" : "=r"(mask)
		     : "g"(n), "r"(i) : "cc");
	return mask;
}

/*
 * The same for an index that is checked: true if it is inside, and then @mask
 * is for it. One comparison serves for both.
 */
static __always_inline bool host_index_ok(u64 i, u64 n, u64 *mask)
{
	bool ok;

	asm volatile("cmp %2, %3\n\tsbb %0, %0" : "=r"(*mask), "=@ccc"(ok)
		     : "g"(n), "r"(i));
	return ok;
}

#undef array_index_nospec
#define array_index_nospec(i, n) ((i) & (__typeof__(i))host_index_mask(i, n))

static __always_inline void host_lock(u32 *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		asm volatile("pause");
}

static __always_inline void host_unlock(u32 *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

/* Above this the string instruction's start is made up for. */
#define HOST_COPY_REP	256u

typedef u64 __attribute__((may_alias, aligned(1))) host_word;

/* Four words, all loaded before the first is stored. */
static __always_inline void host_copy32(u8 *to, const u8 *from)
{
	const host_word *f = (const host_word *)from;
	host_word *t = (host_word *)to;
	u64 a = f[0], b = f[1], c = f[2], d = f[3];

	t[0] = a;
	t[1] = b;
	t[2] = c;
	t[3] = d;
}

/* Any length, off the path of the small frames. */
static __attribute__((__noinline__)) void host_copy_any(u8 *to, const u8 *from,
							u32 len)
{
	u64 n = len;
	u32 i;

	if (len >= HOST_COPY_REP) {
		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)
			     :: "memory");
		return;
	}
	if (unlikely(len < 32)) {
		for (i = 0; i < len; i++)
			to[i] = from[i];
		return;
	}
	for (i = 0; i + 32 < len; i += 32)
		host_copy32(to + i, from + i);
	host_copy32(to + len - 32, from + len - 32);
}

/*
 * A copy in words of 8 bytes. Small frames go without a loop: two blocks, that
 * may overlap, or three.
 */
static __always_inline void host_copy(u8 *to, const u8 *from, u32 len)
{
	if (unlikely(len - 32 > 96 - 32)) {
		host_copy_any(to, from, len);
		return;
	}
	host_copy32(to, from);
	if (len > 64)
		host_copy32(to + 32, from + 32);
	host_copy32(to + len - 32, from + len - 32);
}

#endif /* BENCH_RING_HOSTCPU_H */

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

/* Two words, both loaded before the first is stored. */
static __always_inline void host_copy16(u8 *to, const u8 *from)
{
	host_word a = *(const host_word *)from;
	host_word b = *(const host_word *)(from + 8);

	*(host_word *)to = a;
	*(host_word *)(to + 8) = b;
}

/* A copy in words of 8 bytes; the last two may overlap those before. */
static __always_inline void host_copy(u8 *to, const u8 *from, u32 len)
{
	u64 n = len;
	u32 i;

	if (len >= HOST_COPY_REP) {
		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)
			     :: "memory");
		return;
	}
	if (unlikely(len < 16)) {
		for (i = 0; i < len; i++)
			to[i] = from[i];
		return;
	}
	for (i = 0; i + 16 < len; i += 16)
		host_copy16(to + i, from + i);
	host_copy16(to + len - 16, from + len - 16);
}

#endif /* BENCH_RING_HOSTCPU_H */

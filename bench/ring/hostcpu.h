/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What our side does as a kernel would: general registers only (the file is
 * compiled with -mgeneral-regs-only), a masked index and not a compare, a
 * lock around each visit to a ring, a speculation barrier before addresses
 * that the guest chose are used.
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

static __always_inline void host_nospec(void)
{
	asm volatile("lfence" ::: "memory");
}

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

/* A copy in words of 8 bytes, the last two may overlap. */
static __always_inline void host_copy(u8 *to, const u8 *from, u32 len)
{
	typedef u64 __attribute__((may_alias, aligned(1))) word;
	u32 i;

	if (len >= HOST_COPY_REP) {
		u64 n = len;

		asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)
			     :: "memory");
		return;
	}
	if (unlikely(len < 16)) {
		for (i = 0; i < len; i++)
			to[i] = from[i];
		return;
	}
	for (i = 0; i + 16 < len; i += 16) {
		word a = *(const word *)(from + i);
		word b = *(const word *)(from + i + 8);

		*(word *)(to + i) = a;
		*(word *)(to + i + 8) = b;
	}
	{
	word a = *(const word *)(from + len - 16);
	word b = *(const word *)(from + len - 8);

	*(word *)(to + len - 16) = a;
	*(word *)(to + len - 8) = b;
	}
}

#endif /* BENCH_RING_HOSTCPU_H */

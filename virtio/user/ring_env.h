/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring engine's surroundings in user space, the twin of the kernel's.
 *
 * Tests, fuzzers and benchmarks compile the engine's own headers with
 * "-include virtio/user/ring_env.h". Barriers are the C11 fences that are at
 * least as strong as the kernel's; array_index_nospec() is a plain bounds
 * clamp, as user space has nothing to hide from itself.
 */
#ifndef VD_RING_ENV_H
#define VD_RING_ENV_H

#include <assert.h>
#include <endian.h>
#include <linux/types.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#ifndef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#endif
#define __force
/* The kernel's takes a message or none; C11's wants one. */
#undef static_assert
#define static_assert(e) _Static_assert(e, #e)
#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#define READ_ONCE(x)	(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#define smp_rmb()	atomic_thread_fence(memory_order_acquire)
#define smp_wmb()	atomic_thread_fence(memory_order_release)
#define smp_mb()	atomic_thread_fence(memory_order_seq_cst)

#define le16_to_cpu(x)	le16toh(x)
#define le32_to_cpu(x)	le32toh(x)
#define le64_to_cpu(x)	le64toh(x)
#define cpu_to_le16(x)	htole16(x)
#define cpu_to_le32(x)	htole32(x)
#define cpu_to_le64(x)	htole64(x)

#define min(a, b) ({					\
	__typeof__(a) _vd_a = (a);			\
	__typeof__(b) _vd_b = (b);			\
	_vd_a < _vd_b ? _vd_a : _vd_b; })
#define min_t(type, a, b) min((type)(a), (type)(b))

#define array_index_nospec(i, n) ((i) < (n) ? (i) : 0)

#endif /* VD_RING_ENV_H */

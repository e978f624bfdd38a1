/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the ring engine needs from its surroundings, in the kernel.
 *
 * The engine knows fixed-width types, one-shot loads and stores, SMP barriers,
 * byte order, array_index_nospec() and memcpy(); nothing else. user/ring_env.h gives
 * the same names to user space: programs there force-include it, and the
 * common guard makes this file empty for them.
 */
#ifndef VD_RING_ENV_H
#define VD_RING_ENV_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/byteorder.h>

#endif /* VD_RING_ENV_H */

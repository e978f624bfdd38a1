/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory under watch: three chunks, each between poison that the device
 * is not told of, and outside that pages that can't be touched at all.
 *
 * Chunks A and B are neighbours for the guest but not in this process, so what
 * lies across their border must be split there. TOP ends at 2^64.
 *
 * What nobody took is filled with a canary, and the shadow remembers what the
 * driver wrote: after a test only what the device may write has changed.
 */
#ifndef GT_MEM_H
#define GT_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE		4096ul
#define POISON		0xee
#define CANARY		0xc5
#define CHUNK_SIZE	(1ul << 20)
#define GPA_A		0x1c0000000ull
#define GPA_B		(GPA_A + CHUNK_SIZE)
#define GPA_TOP		(0ull - CHUNK_SIZE)
/* Mapped by no chunk. */
#define GPA_HOLE	0x40000000ull
#define MEM_SPANS	4096

enum { CHUNK_A, CHUNK_B, CHUNK_TOP, CHUNKS };

struct chunk {
	uint8_t *base;
	uint8_t *shadow;
	uint64_t gpa;
	size_t used;
};

struct mem {
	struct chunk chunk[CHUNKS];
	struct { uint8_t *at; size_t len; } span[MEM_SPANS];
	unsigned int nspans;
};

/* @shared: with children that are forked later. */
void mem_init(struct mem *m, bool shared);
void mem_exit(struct mem *m);
void *mem_take(struct mem *m, unsigned int chunk, size_t len, size_t align);
/* The last @len bytes of a chunk; may be taken once, and is not checked. */
uint8_t *mem_end(struct mem *m, unsigned int chunk);
uint64_t mem_gpa(const struct mem *m, const void *at);
void mem_device_writes(struct mem *m, void *at, size_t len);
void mem_seal(struct mem *m);
/* CHECKs that nothing changed since but where the device may write. */
void mem_check(struct mem *m);
/* The table that tells a node of all chunks. */
int mem_announce(const struct mem *m, int fd);

#endif /* GT_MEM_H */

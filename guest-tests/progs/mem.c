// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory under watch. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mem.h"
#include "node.h"
#include "test.h"

/* A chunk with its poison on both sides. */
#define WATCHED (CHUNK_SIZE + 2 * PAGE)

void mem_init(struct mem *m, bool shared)
{
	static const uint64_t gpa[CHUNKS] = { GPA_A, GPA_B, GPA_TOP };
	unsigned int i;

	m->nspans = 0;
	for (i = 0; i < CHUNKS; i++) {
		struct chunk *c = &m->chunk[i];
		uint8_t *p = mmap(NULL, WATCHED + 2 * PAGE, PROT_NONE,
				  (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS,
				  -1, 0);

		MUST(p != MAP_FAILED, "mmap");
		p += PAGE;
		MUST(!mprotect(p, WATCHED, PROT_READ | PROT_WRITE), "mprotect");
		memset(p, POISON, WATCHED);
		memset(p + PAGE, CANARY, CHUNK_SIZE);
		c->base = p + PAGE;
		c->gpa = gpa[i];
		c->used = 0;
		c->shadow = malloc(WATCHED);
		MUST(c->shadow, "malloc");
	}
}

void mem_exit(struct mem *m)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		munmap(m->chunk[i].base - 2 * PAGE, WATCHED + 2 * PAGE);
		free(m->chunk[i].shadow);
	}
}

void *mem_take(struct mem *m, unsigned int chunk, size_t len, size_t align)
{
	struct chunk *c = &m->chunk[chunk];
	/* A gap, so that each thing has canaries around it. */
	size_t at = (c->used + 64 + align - 1) / align * align;

	MUST(at + len + 2 * PAGE <= CHUNK_SIZE, "chunk too small for %zu bytes", len);
	c->used = at + len;
	memset(c->base + at, 0, len);
	return c->base + at;
}

uint8_t *mem_end(struct mem *m, unsigned int chunk)
{
	return m->chunk[chunk].base + CHUNK_SIZE;
}

uint64_t mem_gpa(const struct mem *m, const void *at)
{
	const uint8_t *p = at;
	unsigned int i;

	for (i = 0; i < CHUNKS; i++)
		if (p >= m->chunk[i].base && p < m->chunk[i].base + CHUNK_SIZE)
			return m->chunk[i].gpa + (p - m->chunk[i].base);
	t_die("not guest memory: %p", at);
}

void mem_device_writes(struct mem *m, void *at, size_t len)
{
	MUST(m->nspans < MEM_SPANS, "too many spans");
	m->span[m->nspans].at = at;
	m->span[m->nspans++].len = len;
}

void mem_seal(struct mem *m)
{
	unsigned int i;

	for (i = 0; i < CHUNKS; i++)
		memcpy(m->chunk[i].shadow, m->chunk[i].base - PAGE, WATCHED);
}

/* The device has its way there, now as well: no difference, whatever stands there. */
static void pardon(const struct mem *m, const struct chunk *c, uint8_t *now)
{
	unsigned int i;
	size_t off;

	for (i = 0; i < m->nspans; i++) {
		uint8_t *at = m->span[i].at;

		if (at < c->base || at >= c->base + CHUNK_SIZE)
			continue;
		off = at - c->base + PAGE;
		memcpy(now + off, c->shadow + off, m->span[i].len);
	}
}

void mem_check(struct mem *m)
{
	static uint8_t now[WATCHED];
	unsigned int i;
	size_t j;

	for (i = 0; i < CHUNKS; i++) {
		struct chunk *c = &m->chunk[i];

		memcpy(now, c->base - PAGE, WATCHED);
		pardon(m, c, now);
		if (CHECK(!memcmp(c->shadow, now, WATCHED)))
			continue;
		for (j = 0; c->shadow[j] == now[j]; j++)
			;
		t_diag("chunk %u offset %ld: %02x, was %02x", i, (long)j - (long)PAGE, now[j], c->shadow[j]);
	}
}

int mem_announce(const struct mem *m, int fd)
{
	struct node_region r[CHUNKS];
	unsigned int i;

	for (i = 0; i < CHUNKS; i++) {
		r[i].gpa = m->chunk[i].gpa;
		r[i].size = CHUNK_SIZE;
		r[i].user = (uintptr_t)m->chunk[i].base;
	}
	return node_table(fd, r, CHUNKS);
}

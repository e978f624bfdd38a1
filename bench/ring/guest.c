// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: shared files, mapped by the driver and by each back end. */
#include <err.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

/* No part takes more than its descriptors; each lies on pages of its own. */
static u64 guest_rings_size(u32 num)
{
	u64 part = (u64)num * 16 + 2 * 4096;

	return ((part + 4095) & ~4095ull) * GUEST_QUEUES * VD_PARTS;
}

static void guest_place(struct vu_region *r, u64 start, u64 size)
{
	r->start = start;
	r->last = start + size - 1;
	r->map_len = size;
}

/**
 * guest_map - map a guest's memory once more
 * @g: the guest
 * @m: receives the table
 */
void guest_map(const struct guest *g, struct vu_mem *m)
{
	u32 i;

	*m = g->table;
	for (i = 0; i < GUEST_REGIONS; i++) {
		struct vu_region *r = &m->region[i];

		r->map = mmap(NULL, r->map_len, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_POPULATE, g->fd[i], 0);
		if (r->map == MAP_FAILED)
			err(1, "mmap");
		r->base = r->map;
	}
}

void guest_unmap(struct vu_mem *m)
{
	u32 i;

	for (i = 0; i < m->count; i++)
		munmap(m->region[i].map, m->region[i].map_len);
	m->count = 0;
}

/**
 * guest_init - make a guest's memory
 * @g: the guest
 * @num: size of its rings
 */
void guest_init(struct guest *g, u32 num)
{
	struct vu_mem *m = &g->table;
	u32 i;

	*m = (struct vu_mem){ .count = GUEST_REGIONS };
	g->num = num;
	guest_place(&m->region[GUEST_LOW], 0, 640 << 10);
	guest_place(&m->region[GUEST_RINGS], 1 << 20, guest_rings_size(num));
	guest_place(&m->region[GUEST_BUFS], 1ull << 32,
		    (u64)GUEST_QUEUES * num * BUF_STRIDE);
	for (i = 0; i < GUEST_REGIONS; i++) {
		g->fd[i] = memfd_create("guest", MFD_CLOEXEC);
		if (g->fd[i] < 0 ||
		    ftruncate(g->fd[i], (off_t)m->region[i].map_len))
			err(1, "memfd");
	}
	guest_map(g, m);
	for (i = 0; i < GUEST_REGIONS; i++)
		m->region[i].uaddr = (uintptr_t)m->region[i].base;
}

void guest_exit(struct guest *g)
{
	u32 i;

	guest_unmap(&g->table);
	for (i = 0; i < GUEST_REGIONS; i++)
		close(g->fd[i]);
}

// SPDX-License-Identifier: GPL-2.0-only
/* A split ring of which the driver may write every word as it likes. */
#include <string.h>
#include <unistd.h>

#include "node.h"
#include "proc.h"
#include "ring.h"
#include "test.h"

void ring_place(struct ring *r, struct mem *m, unsigned int index, unsigned int num)
{
	size_t used = 4 + 8 * num + 2;

	memset(r, 0, sizeof(*r));
	r->index = index;
	r->num = num;
	r->desc = mem_take(m, CHUNK_A, 16 * num, PAGE);
	r->avail = mem_take(m, CHUNK_A, 4 + 2 * num + 2, PAGE);
	r->used = mem_take(m, CHUNK_A, used, PAGE);
	/* Nothing else begins on the used ring's last page. */
	mem_take(m, CHUNK_A, 16, PAGE);
	mem_device_writes(m, r->used, used);
}

void ring_start(struct ring *r, int node, int socket)
{
	r->kick = event_new();
	r->call = event_new();
	r->err = event_new();
	CHECK_EQ(node_num(node, r->index, r->num), 0);
	CHECK_EQ(node_base(node, r->index, r->pub), 0);
	CHECK_EQ(node_addr(node, r->index, (uintptr_t)r->desc, (uintptr_t)r->avail,
			   (uintptr_t)r->used), 0);
	CHECK_EQ(node_file(node, VHOST_SET_VRING_KICK, r->index, r->kick), 0);
	CHECK_EQ(node_file(node, VHOST_SET_VRING_CALL, r->index, r->call), 0);
	CHECK_EQ(node_file(node, VHOST_SET_VRING_ERR, r->index, r->err), 0);
	CHECK_EQ(node_backend(node, r->index, socket), 0);
}

void ring_close(struct ring *r)
{
	close(r->kick);
	close(r->call);
	close(r->err);
}

void ring_restart(struct ring *r, int node, int socket)
{
	CHECK_EQ(node_backend(node, r->index, -1), 0);
	ring_close(r);
	r->reaped = r->pub = ring_used_idx(r);
	r->avail->idx = r->pub;
	ring_start(r, node, socket);
}

void desc_set(struct vring_desc *table, unsigned int i, uint64_t gpa, uint32_t len,
	      uint16_t flags, uint16_t next)
{
	table[i] = (struct vring_desc){ gpa, len, flags, next };
}

void ring_publish(struct ring *r, uint16_t idx)
{
	r->pub = idx;
	__atomic_store_n(&r->avail->idx, idx, __ATOMIC_RELEASE);
}

void ring_offer(struct ring *r, uint16_t head)
{
	r->avail->ring[r->pub & (r->num - 1)] = head;
	ring_publish(r, r->pub + 1);
}

void ring_kick(struct ring *r)
{
	event_post(r->kick);
}

uint16_t ring_used_idx(const struct ring *r)
{
	return __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
}

int ring_reap(struct ring *r, uint32_t *len, unsigned int ms)
{
	struct vring_used_elem *e;
	unsigned int looks;

	for (looks = 0; ring_used_idx(r) == r->reaped; looks++) {
		if (looks == ms)
			return -1;
		sleep_ms(1);
	}
	e = &r->used->ring[r->reaped++ & (r->num - 1)];
	if (len)
		*len = e->len;
	return e->id;
}

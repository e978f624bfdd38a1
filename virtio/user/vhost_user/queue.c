// SPDX-License-Identifier: GPL-2.0-only
/* The server's virtqueues: the engine on plain memory. */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <unistd.h>

#include "server.h"

/* Calls the engine's body for the queue's format. */
#define vu_call(q, verb, ...)						\
	((q)->ring.packed ?						\
	 vd_packed_##verb(&(q)->ring, &vd_plain_ops, &(q)->plain,	\
			  ##__VA_ARGS__) :				\
	 vd_split_##verb(&(q)->ring, &vd_plain_ops, &(q)->plain,	\
			 ##__VA_ARGS__))

/* Of a part's address: what its words must not straddle (virtio 1.3, 2.7, 2.8.10). */
static u32 vu_part_align(const struct vd_ring *r, enum vd_part part)
{
	if (part == VD_PART_DESC)
		return 16;
	return part == VD_PART_AVAIL && !r->packed ? 2 : 4;
}

/* A part must lie in one region: the rings are reached by a pointer. */
static u8 *vu_part(const struct vu_mem *m, u64 uaddr, u32 len)
{
	u32 i;

	for (i = 0; i < m->count; i++) {
		const struct vu_region *r = &m->region[i];
		u64 off = uaddr - r->uaddr, size = r->last - r->start;

		if (off <= size && size - off >= len - 1)
			return r->base + off;
	}
	return NULL;
}

static u32 vu_part_size(const struct vd_ring *r, enum vd_part part)
{
	return r->packed ? vd_packed_part_size(part, r->num) :
			   vd_split_part_size(part, r->num, r->event_idx);
}

static void vu_ring_init(const struct vu_server *s, struct vu_queue *q)
{
	struct vd_ring *r = &q->ring;
	bool wrap = q->base & VU_BASE_WRAP;

	*r = (struct vd_ring){
		.num = q->num,
		.packed = vu_server_has(s, VIRTIO_F_RING_PACKED),
		.in_order = vu_server_has(s, VIRTIO_F_IN_ORDER),
		.event_idx = vu_server_has(s, VIRTIO_RING_F_EVENT_IDX),
		.indirect = vu_server_has(s, VIRTIO_RING_F_INDIRECT_DESC),
		.le = true,
		.out_only = q == &s->q[VU_TX],
	};
	r->last_avail = (u16)(r->packed ? q->base & ~VU_BASE_WRAP : q->base);
	r->avail_idx = r->last_avail;
	r->last_used = r->last_avail;
	if (r->packed) {
		r->avail_wrap = wrap;
		r->seen_wrap = wrap;
		r->used_wrap = wrap;
		r->signalled_wrap = wrap;
	}
}

/**
 * vu_queue_start - find a ring in memory and begin to serve it
 * @s: the server, with features and memory
 * @q: the queue, with size, base and addresses
 *
 * Return: 0, or -1 if the ring is not where it should be.
 */
int vu_queue_start(struct vu_server *s, struct vu_queue *q)
{
	u32 most = 1u << 15, p;

	vu_ring_init(s, q);
	if (!q->num || q->num > most ||
	    (!q->ring.packed && q->num & (q->num - 1)))
		return -1;
	for (p = 0; p < VD_PARTS; p++) {
		q->plain.part[p] = vu_part(&s->mem, q->uaddr[p],
					   vu_part_size(&q->ring, p));
		if (!q->plain.part[p] ||
		    q->uaddr[p] % vu_part_align(&q->ring, p))
			return -1;
	}
	q->nused = 0;
	q->running = true;
	return 0;
}

/**
 * vu_queue_stop - stop to serve a ring
 * @q: the queue
 *
 * Return: the base from which it could be started again.
 */
u32 vu_queue_stop(struct vu_queue *q)
{
	if (q->running) {
		vu_queue_flush(q);
		q->base = q->ring.last_avail;
		if (q->ring.packed && q->ring.avail_wrap)
			q->base |= VU_BASE_WRAP;
	}
	q->running = false;
	return q->base;
}

/**
 * vu_queue_pop - take chains into the queue's burst
 * @q: the queue
 * @max: most chains wanted
 *
 * Return: how many, 0, or minus a reason.
 */
int vu_queue_pop(struct vu_queue *q, u32 max)
{
	return vu_call(q, pop, &q->burst, max);
}

struct vu_table {
	struct vu_mem *mem;
};

static int vu_table_read(void *ctx, u64 gpa, void *dst, u32 len)
{
	const struct vu_table *t = ctx;
	struct vd_seg seg = { .addr = gpa, .len = len };

	return vu_mem_gather(t->mem, &seg, 1, dst, len) == (int)len ? 0 : -1;
}

/**
 * vu_queue_segs - the segments of a chain, out of its indirect table if need be
 * @s: the server
 * @q: the queue that it was popped from last
 * @c: the chain
 * @seg: receives where the segments are
 *
 * Return: 0 or minus a reason.
 */
int vu_queue_segs(struct vu_server *s, struct vu_queue *q, struct vd_chain *c,
		  const struct vd_seg **seg)
{
	struct vu_table table = { &s->mem };
	const struct vd_table_io io = { vu_table_read, &table };
	int err;

	if (c->indirect) {
		err = vd_chain_expand(&q->ring, c, &q->burst, q->xseg, &io);
		*seg = q->xseg;
		return err;
	}
	*seg = q->burst.seg + c->first;
	return 0;
}

void vu_queue_rewind(struct vu_queue *q, u32 slots)
{
	if (q->ring.packed)
		vd_packed_rewind(&q->ring, slots);
	else
		vd_split_rewind(&q->ring, slots);
}

/**
 * vu_queue_used - note a chain as used
 * @q: the queue
 * @c: the chain
 * @len: bytes written to it
 */
void vu_queue_used(struct vu_queue *q, const struct vd_chain *c, u32 len)
{
	q->slots[q->nused] = c->slots;
	q->used[q->nused++] = vd_used_elem(&q->ring, c->head, len);
}

/**
 * vu_queue_flush - give the noted chains back, interrupt if that is wanted
 * @q: the queue
 *
 * Return: 0 or minus a reason.
 */
int vu_queue_flush(struct vu_queue *q)
{
	u64 one = 1;
	int err;

	if (!q->nused)
		return 0;
	if (q->ring.packed)
		err = vd_packed_push(&q->ring, &vd_plain_ops, &q->plain,
				     q->used, q->slots, q->nused);
	else
		err = vd_split_push(&q->ring, &vd_plain_ops, &q->plain,
				    q->used, q->nused);
	q->nused = 0;
	if (err || !vu_call(q, need_signal))
		return err;
	q->signals++;
	return q->call >= 0 && write(q->call, &one, sizeof(one)) < 0 ? -1 : 0;
}

int vu_queue_no_notify(struct vu_queue *q)
{
	return vu_call(q, no_notify);
}

int vu_queue_notify(struct vu_queue *q)
{
	return vu_call(q, notify);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Our side: the engine as a back end in the kernel may use it, with plain
 * memory for the direct map. A burst is popped under the lock, its buffers are
 * translated by the memory table and copied, and it is given back under the
 * lock with the look at the driver's wish for interrupts. Translation and copy
 * are one pass, with addresses masked; ours in vhost/ are two with a barrier
 * between, as its copy is that of user memory.
 *
 * The pool is a stack of frames: those freed last, and still cached, are used
 * first, as by DPDK's pool with its cache.
 */
#include "hostcpu.h"
#include <stdlib.h>
#include "../../virtio/user/plain_ops.h"
#include "side.h"

#define POOL		(4 * BURST_MAX)
#define FRAME_SIZE	(BUF_SIZE + 128u)
/* The second word of a header: no checksum, one buffer. Section 5.1.6. */
#define HDR_ONE_BUFFER	(1u << 16)

/**
 * struct queue - one virtqueue
 * @ring: the engine's state
 * @mem: where its parts are
 * @lock: as the window lock of the kernel's
 * @nused: chains in @used
 * @used: chains to be given back
 * @slots: slots of each
 * @burst: chains popped
 */
struct queue {
	struct vd_ring ring;
	struct vd_plain mem;
	u32 lock;
	u32 nused;
	struct vd_used used[VD_BURST];
	u16 slots[VD_BURST];
	struct vd_burst burst;
};

struct frame {
	u8 *data;	/* header, then the frame */
	u32 len;	/* of both */
};

struct port {
	struct vu_mem table;
	struct queue q[GUEST_QUEUES];
	u32 nfree;
	u8 *pool[POOL];
	struct frame out[BURST_MAX];	/* of the last tx */
	u8 *in[BURST_MAX];		/* for the next rx */
	u8 *memory;
};

#define NOINLINE __attribute__((__noinline__))

/*
 * The pointers are copied: a local that nobody else can reach, so that they
 * need not be loaded again after each store.
 */
static NOINLINE int pop_split(struct queue *q, u32 max)
{
	const struct vd_plain mem = q->mem;

	return vd_split_pop(&q->ring, &vd_plain_ops, &mem, &q->burst, max);
}

static NOINLINE int pop_packed_rest(struct queue *q, u32 max,
				    struct vd_packed_walk *w)
{
	return vd_packed_pop_rest(&q->ring, &vd_plain_ops, &q->mem, &q->burst,
				  max, w);
}

static NOINLINE int pop_packed(struct queue *q, u32 max)
{
	const struct vd_plain mem = q->mem;
	struct vd_packed_walk w;
	int n = vd_packed_pop_first(&q->ring, &vd_plain_ops, &mem,
				    &q->burst, max, &w);

	return likely(n != VD_PACKED_REST) ? n : pop_packed_rest(q, max, &w);
}

#define FLUSH(kind, push, ...)						\
static NOINLINE int flush_##kind(struct queue *q)			\
{									\
	const struct vd_plain mem = q->mem;				\
	int err = push(&q->ring, &vd_plain_ops, &mem, q->used,		\
		       ##__VA_ARGS__, q->nused);			\
									\
	return err ? err : vd_##kind##_need_signal(&q->ring,		\
						   &vd_plain_ops, &mem); \
}

FLUSH(split, vd_split_push)
FLUSH(packed, vd_packed_push, q->slots)

static int queue_pop(struct queue *q, u32 max)
{
	int n;

	host_lock(&q->lock);
	n = q->ring.packed ? pop_packed(q, max) : pop_split(q, max);
	host_unlock(&q->lock);
	return n;
}

/* An interrupt would be an error here: the driver wants none. */
static bool queue_flush(struct queue *q)
{
	int ret;

	host_lock(&q->lock);
	ret = q->ring.packed ? flush_packed(q) : flush_split(q);
	host_unlock(&q->lock);
	q->nused = 0;
	return !ret;
}

/* The region that was hit last, in registers for a burst. */
struct hot {
	u64 start;
	u64 size;
	u8 *base;
};

static __always_inline struct hot hot_region(const struct vu_mem *m)
{
	const struct vu_region *r = &m->region[m->hit];

	return (struct hot){ r->start, r->last - r->start + 1, r->base };
}

/*
 * Where a segment is; false for one that is in no region, or goes on behind its
 * region's end: the kernel's back end has a general path for those, the driver
 * of this benchmark never makes one.
 */
static __always_inline bool hot_at(struct hot *h, struct vu_mem *m,
				   const struct vd_seg *seg, u8 **at)
{
	u64 off = seg->addr - h->start, mask;

	if (unlikely(!host_index_ok(off, h->size, &mask)))
		goto search;
	off &= mask;
	/* Cannot wrap: no region is that large. */
	if (unlikely(off + seg->len > h->size))
		goto search;
	*at = h->base + off;
	return true;
search:
	if (!vu_mem_find(m, seg->addr))
		return false;
	*h = hot_region(m);
	off = seg->addr - h->start;
	if (seg->len > h->size - off)
		return false;
	*at = h->base + array_index_nospec(off, h->size);
	return true;
}

/* One segment in one direction: what vd_burst.singles says of the first ones. */
static __always_inline bool chain_is(const struct vd_chain *c, bool in)
{
	return !c->indirect && c->nr_in == in && c->nr_out == !in;
}

static __always_inline bool tx_one(struct port *p, struct queue *q,
				   struct hot *hot, const struct vd_seg *seg,
				   u32 i, u16 slots)
{
	u16 head = q->burst.chain[i].head;
	u8 *from, *to = p->pool[p->nfree - 1 - i];

	if (unlikely(seg->len < HDR_SIZE || seg->len > FRAME_SIZE ||
		     !hot_at(hot, &p->table, seg, &from)))
		return false;
	p->out[i] = (struct frame){ to, seg->len };
	q->slots[i] = slots;
	q->used[i] = vd_used_elem(&q->ring, head, 0);
	host_copy(to, from, seg->len);
	return true;
}

static u32 ours_tx(void *arg, u32 max)
{
	struct port *p = arg;
	struct queue *q = &p->q[GUEST_TX];
	const struct vd_burst *b = &q->burst;
	struct hot hot = hot_region(&p->table);
	int n = queue_pop(q, max);
	u32 i = 0;

	if (unlikely(n <= 0))
		return 0;
	if (likely(chain_is(b->chain, false)))
		for (; i < b->singles; i++)
			if (unlikely(!tx_one(p, q, &hot, &b->seg[i], i, 1)))
				return 0;
	for (; unlikely(i < b->count); i++)
		if (!chain_is(&b->chain[i], false) ||
		    !tx_one(p, q, &hot, &b->seg[b->chain[i].first], i,
			    b->chain[i].slots))
			return 0;
	p->nfree -= b->count;
	q->nused = b->count;
	return queue_flush(q) ? b->count : 0;
}

static __always_inline bool rx_one(struct port *p, struct queue *q,
				   struct hot *hot, const struct vd_seg *seg,
				   u32 i, u16 slots, u32 len)
{
	u16 head = q->burst.chain[i].head;
	u8 *to;

	if (unlikely(seg->len < HDR_SIZE + len ||
		     !hot_at(hot, &p->table, seg, &to)))
		return false;
	q->slots[i] = slots;
	q->used[i] = vd_used_elem(&q->ring, head, HDR_SIZE + len);
	word_store64(to, 0);
	word_store32(to + 8, htole32(HDR_ONE_BUFFER));
	host_copy(to + HDR_SIZE, p->in[i] + HDR_SIZE, len);
	return true;
}

static u32 ours_rx(void *arg, u32 max, u32 len)
{
	struct port *p = arg;
	struct queue *q = &p->q[GUEST_RX];
	const struct vd_burst *b = &q->burst;
	struct hot hot = hot_region(&p->table);
	int n = queue_pop(q, max);
	u32 i = 0;

	if (unlikely(n <= 0))
		return 0;
	if (likely(chain_is(b->chain, true)))
		for (; i < b->singles; i++)
			if (unlikely(!rx_one(p, q, &hot, &b->seg[i], i, 1,
						     len)))
				return 0;
	for (; unlikely(i < b->count); i++)
		if (!chain_is(&b->chain[i], true) ||
		    !rx_one(p, q, &hot, &b->seg[b->chain[i].first], i,
			    b->chain[i].slots, len))
			return 0;
	q->nused = b->count;
	return queue_flush(q) ? b->count : 0;
}

static const u8 *ours_frame(void *arg, u32 i, u32 *len)
{
	const struct port *p = arg;

	*len = p->out[i].len - HDR_SIZE;
	return p->out[i].data + HDR_SIZE;
}

static void ours_release(void *arg, u32 n)
{
	struct port *p = arg;

	while (n)
		p->pool[p->nfree++] = p->out[--n].data;
}

static u8 *ours_blank(void *arg, u32 i, u32 len)
{
	struct port *p = arg;

	(void)len;
	return p->in[i] + HDR_SIZE;
}

static void queue_init(struct port *p, u32 at, const struct guest *g,
		       enum kind kind)
{
	struct queue *q = &p->q[at];
	bool packed = kind_packed(kind);
	u32 part, len = 1;

	q->ring = (struct vd_ring){ .num = g->num, .packed = packed,
				    .in_order = kind_in_order(kind),
				    .avail_wrap = packed, .seen_wrap = packed,
				    .used_wrap = packed,
				    .signalled_wrap = packed, .le = true };
	for (part = 0; part < VD_PARTS; part++)
		q->mem.part[part] = vu_mem_at(&p->table, g->part[at][part],
					      &len);
	if (packed)
		vd_packed_no_notify(&q->ring, &vd_plain_ops, &q->mem);
	else
		vd_split_no_notify(&q->ring, &vd_plain_ops, &q->mem);
}

static void *ours_open(const struct guest *g, enum kind kind)
{
	struct port *p = aligned_alloc(64, (sizeof(*p) + 63) & ~63ul);
	u32 i;

	if (!p)
		abort();
	memset(p, 0, sizeof(*p));
	p->memory = aligned_alloc(4096, (POOL + BURST_MAX) * FRAME_SIZE);
	if (!p->memory)
		abort();
	memset(p->memory, 0, (POOL + BURST_MAX) * FRAME_SIZE);
	for (i = 0; i < POOL; i++)
		p->pool[i] = p->memory + i * FRAME_SIZE;
	for (i = 0; i < BURST_MAX; i++)
		p->in[i] = p->memory + (POOL + i) * FRAME_SIZE;
	p->nfree = POOL;
	guest_map(g, &p->table);
	for (i = 0; i < GUEST_QUEUES; i++)
		queue_init(p, i, g, kind);
	return p;
}

static void ours_close(void *arg)
{
	struct port *p = arg;

	guest_unmap(&p->table);
	free(p->memory);
	free(p);
}

const struct side side_ours = {
	.name = "ours",
	.open = ours_open,
	.close = ours_close,
	.tx = ours_tx,
	.frame = ours_frame,
	.release = ours_release,
	.blank = ours_blank,
	.rx = ours_rx,
};

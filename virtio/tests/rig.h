/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most tests stand on: guest memory, a mock driver, and a device whose
 * every access is watched. A pop through rig_pop() checks by itself that
 * nothing outside the ring was touched and that no word was read twice.
 *
 * The driver is @drv for a split ring and @pk for a packed one; what concerns
 * both goes through a function of the rig.
 */
#ifndef VD_RIG_H
#define VD_RIG_H

#include "../mock_packed.h"
#include "../mock_raw.h"
#include "../user/watch_ops.h"
#include "ktap.h"

#define RIG_GPA		0x40000000ull

/* Not every test uses all that is here. */
#ifndef noinline
#define noinline	__attribute__((noinline, unused))
#endif

struct rig {
	struct mock_arena mem;
	struct mock_split drv;
	struct mock_packed pk;
	const struct vd_plain *plain;
	struct vd_ring ring;
	struct vd_watch watch;
	struct vd_burst burst;
	bool may_reread;
	struct vd_table_io io;
	struct vd_seg seg[VD_CHAIN_SEGS];
	/* Slots of the chain that was last popped with an id. */
	u16 slots[65536];
};

static inline void rig_open(struct rig *r, const struct mock_layout *lay)
{
	u64 size = 1 << 16;

	size += 32ull * lay->num + 16ull * lay->num * lay->tables;
	memset(r, 0, offsetof(struct rig, slots));
	mock_arena_alloc(&r->mem, size, RIG_GPA);
	if (lay->packed) {
		mock_packed_init(&r->pk, &r->mem, lay);
		r->ring = mock_packed_device(&r->pk);
		r->plain = &r->pk.ring;
	} else {
		mock_split_init(&r->drv, &r->mem, lay);
		r->ring = mock_device(&r->drv);
		r->plain = &r->drv.ring;
	}
	r->io = (struct vd_table_io){ mock_read, &r->mem };
	watch_init(&r->watch, r->plain, &r->ring);
	r->watch.poison = true;
}

/* An ordinary ring of @num, with tables of @tables entries if any. */
static inline void rig_small(struct rig *r, u32 num, u32 tables)
{
	rig_open(r, &(struct mock_layout){ .num = num, .tables = tables,
					   .le = true });
}

static inline void rig_packed(struct rig *r, u32 num, u32 tables)
{
	rig_open(r, &(struct mock_layout){ .num = num, .tables = tables,
					   .salt = 40000, .packed = true,
					   .le = true });
}

static inline void rig_close(struct rig *r)
{
	watch_exit(&r->watch);
	if (r->ring.packed)
		mock_packed_exit(&r->pk);
	else
		mock_split_exit(&r->drv);
	mock_arena_exit(&r->mem);
}

/* What a burst says of its first chains is so. */
static inline void rig_singles(const struct vd_burst *b)
{
	u32 i;

	CHECK(b->singles <= b->count);
	for (i = 0; i < b->singles; i++) {
		const struct vd_chain *c = &b->chain[i];

		CHECK_EQ(c->first, i);
		CHECK_EQ(c->slots, 1);
		CHECK(!c->indirect);
		CHECK_EQ(c->nr_in, b->chain[0].nr_in);
		CHECK_EQ(c->nr_out + c->nr_in, 1);
	}
}

/* The engine as the tests use it: one instance of each body, watched. */
static noinline int rig_pop(struct rig *r, u32 max)
{
	int ret = r->ring.packed ?
		vd_packed_pop(&r->ring, &vd_watch_ops, &r->watch, &r->burst,
			      max) :
		vd_split_pop(&r->ring, &vd_watch_ops, &r->watch, &r->burst,
			     max);
	u32 i;

	CHECK_EQ(r->watch.outside, 0);
	CHECK(r->may_reread || !r->watch.twice);
	watch_reset(&r->watch);
	for (i = 0; i < r->burst.count; i++)
		r->slots[r->burst.chain[i].head] = r->burst.chain[i].slots;
	rig_singles(&r->burst);
	return ret;
}

/* The last @n chains of the burst will come again. */
static inline void rig_rewind(struct rig *r, u32 n)
{
	u32 slots = 0, i;

	for (i = r->burst.count - n; i < r->burst.count; i++)
		slots += r->burst.chain[i].slots;
	if (r->ring.packed)
		vd_packed_rewind(&r->ring, slots);
	else
		vd_split_rewind(&r->ring, slots);
}

static noinline int rig_push(struct rig *r, const struct vd_used *elem, u32 n)
{
	static u16 slots[32768];
	u32 i;
	int ret;

	if (r->ring.packed) {
		for (i = 0; i < n; i++)
			slots[i] = r->slots[(u16)vd_ring32(&r->ring,
							   elem[i].id)];
		ret = vd_packed_push(&r->ring, &vd_watch_ops, &r->watch, elem,
				     slots, n);
	} else {
		ret = vd_split_push(&r->ring, &vd_watch_ops, &r->watch, elem,
				    n);
	}
	CHECK_EQ(r->watch.outside, 0);
	watch_reset(&r->watch);
	return ret;
}

static noinline int rig_moved(struct rig *r)
{
	int ret = r->ring.packed ?
		vd_packed_moved(&r->ring, &vd_watch_ops, &r->watch) :
		vd_split_moved(&r->ring, &vd_watch_ops, &r->watch);

	CHECK_EQ(r->watch.outside, 0);
	watch_reset(&r->watch);
	return ret;
}

/* As a device does that stops: until there is no more, or it was enough. */
static noinline int rig_look_on(struct rig *r)
{
	u32 steps = r->ring.num / VD_BURST + 1;
	int n = VD_BURST;

	while (n == VD_BURST && steps--) {
		n = vd_packed_look_on(&r->ring, &vd_watch_ops, &r->watch);
		CHECK_EQ(r->watch.outside, 0);
	}
	watch_reset(&r->watch);
	return n;
}

/* What a poll would have said before is what the look after the wish says. */
static noinline int rig_notify(struct rig *r)
{
	bool fails = r->watch.fail_at != WATCH_NEVER;
	int moved = fails ? 0 : rig_moved(r);
	int ret = r->ring.packed ?
		vd_packed_notify(&r->ring, &vd_watch_ops, &r->watch) :
		vd_split_notify(&r->ring, &vd_watch_ops, &r->watch);

	if (!fails)
		CHECK_EQ(moved, ret != 0);
	CHECK_EQ(r->watch.outside, 0);
	watch_reset(&r->watch);
	return ret;
}

static noinline int rig_no_notify(struct rig *r)
{
	int ret = r->ring.packed ?
		vd_packed_no_notify(&r->ring, &vd_watch_ops, &r->watch) :
		vd_split_no_notify(&r->ring, &vd_watch_ops, &r->watch);

	CHECK_EQ(r->watch.outside, 0);
	watch_reset(&r->watch);
	return ret;
}

static noinline int rig_need_signal(struct rig *r)
{
	int ret = r->ring.packed ?
		vd_packed_need_signal(&r->ring, &vd_watch_ops, &r->watch) :
		vd_split_need_signal(&r->ring, &vd_watch_ops, &r->watch);

	CHECK_EQ(r->watch.outside, 0);
	watch_reset(&r->watch);
	return ret;
}

/* Expands chain @i of the last burst into r->seg. */
static inline int rig_expand(struct rig *r, u32 i)
{
	return vd_chain_expand(&r->ring, &r->burst.chain[i], &r->burst,
			       r->seg, &r->io);
}

/* The @i-th buffer of a chain that is known by @key. */
static inline struct vd_seg rig_seg(u32 key, u32 i)
{
	return (struct vd_seg){ 0x1000000000ull * (key + 1) + 0x10000ull * i,
				key % 1000 + i + 1 };
}

/* Makes a chain available, @direct segments of it outside a table. */
static inline int rig_add(struct rig *r, u32 key, u32 out, u32 in, u32 direct)
{
	struct vd_seg seg[2048];
	struct mock_chain c = { .seg = seg, .nr_out = out, .nr_in = in,
				.direct = direct, .shuffle = key,
				.cookie = key };
	u32 i;

	for (i = 0; i < out + in; i++)
		seg[i] = rig_seg(key, i);
	return r->ring.packed ? mock_packed_add(&r->pk, &c) :
				mock_add(&r->drv, &c);
}

static inline void rig_publish(struct rig *r)
{
	if (r->ring.packed)
		mock_packed_publish(&r->pk);
	else
		mock_publish(&r->drv);
}

/* Chains @key to @key + @n - 1, of @segs direct segments each, published. */
static inline void rig_offer(struct rig *r, u32 key, u32 n, u32 segs)
{
	u32 i;

	for (i = 0; i < n; i++)
		CHECK(rig_add(r, key + i, segs - 1, 1, segs) >= 0);
	rig_publish(r);
}

static inline bool rig_need_kick(struct rig *r)
{
	return r->ring.packed ? mock_packed_need_kick(&r->pk) :
				mock_need_kick(&r->drv);
}

static inline bool rig_want_interrupt(struct rig *r)
{
	return r->ring.packed ? mock_packed_want_interrupt(&r->pk) :
				mock_want_interrupt(&r->drv);
}

static inline void rig_no_interrupt(struct rig *r)
{
	if (r->ring.packed)
		mock_packed_no_interrupt(&r->pk);
	else
		mock_no_interrupt(&r->drv);
}

static inline int rig_reap(struct rig *r, struct mock_done *done)
{
	return r->ring.packed ? mock_packed_reap(&r->pk, done) :
				mock_reap(&r->drv, done);
}

/* By what the driver knows a chain that the device has. */
static inline u64 rig_cookie(const struct rig *r, u16 head)
{
	if (!r->ring.packed)
		return r->drv.slot[head].cookie;
	return r->pk.buffer[mock_packed_number(&r->pk, head)].cookie;
}

/* Chain @c, with its segments in @seg, is what rig_add() made. */
static inline void rig_is(const struct vd_chain *c, const struct vd_seg *seg,
			  u32 key, u32 out, u32 in)
{
	u64 out_len = 0, in_len = 0;
	u32 i;

	CHECK_EQ(c->nr_out, out);
	CHECK_EQ(c->nr_in, in);
	for (i = 0; i < out + in; i++) {
		struct vd_seg s = rig_seg(key, i);

		CHECK_EQ(seg[i].addr, s.addr);
		CHECK_EQ(seg[i].len, s.len);
		if (i < out)
			out_len += s.len;
		else
			in_len += s.len;
	}
	CHECK_EQ(vd_chain_out_len(c, seg), out_len);
	CHECK_EQ(vd_chain_in_len(c, seg), in_len);
}

/* The same for direct chain @i of the last burst. */
static inline void rig_chain_is(struct rig *r, u32 i, u32 key, u32 out, u32 in)
{
	const struct vd_chain *c = &r->burst.chain[i];

	CHECK(!c->indirect);
	rig_is(c, r->burst.seg + c->first, key, out, in);
}

/* Gives back all chains of the last burst, each with its key as length. */
static inline void rig_return_all(struct rig *r)
{
	struct vd_used elem[VD_BURST];
	u32 i;

	for (i = 0; i < r->burst.count; i++) {
		u16 head = r->burst.chain[i].head;

		elem[i] = vd_used_elem(&r->ring, head, rig_cookie(r, head));
	}
	CHECK_EQ(rig_push(r, elem, r->burst.count), 0);
}

/* The driver finds exactly chains @key to @key + @n - 1, in order. */
static inline void rig_reaps(struct rig *r, u32 key, u32 n)
{
	struct mock_done done;
	u32 i;

	for (i = 0; i < n; i++) {
		if (!CHECK_EQ(rig_reap(r, &done), 1))
			return;
		CHECK_EQ(done.cookie, key + i);
		CHECK_EQ(done.len, key + i);
	}
	CHECK_EQ(rig_reap(r, &done), 0);
}

#endif /* VD_RIG_H */

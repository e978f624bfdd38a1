// SPDX-License-Identifier: GPL-2.0-only
/* Drivers that break the rules of the ring itself; see also test_indirect.c. */
#include "rig.h"

static struct rig r;

/* Of the first chain of the burst. */
static u64 bytes_out(void)
{
	return vd_chain_out_len(&r.burst.chain[0], r.burst.seg);
}

static u64 bytes_in(void)
{
	return vd_chain_in_len(&r.burst.chain[0], r.burst.seg);
}

#define NEXT	MOCK_F_NEXT
#define WRITE	MOCK_F_WRITE

/* Makes descriptor 0 the head of the only chain. */
static void offer(u16 head)
{
	mock_raw_head(&r.drv, 0, head);
	mock_raw_avail_idx(&r.drv, 1);
}

/* A chain that visits a descriptor twice is no second look at the same visit. */
static void may_reread(void)
{
	r.may_reread = true;
	r.watch.poison = false;
}

/* The ring stays at what it can't use, as often as it is asked. */
static void refused(enum vd_reason reason)
{
	struct vd_ring before = r.ring;

	CHECK_EQ(rig_pop(&r, VD_BURST), -(int)reason);
	CHECK_EQ(rig_pop(&r, VD_BURST), -(int)reason);
	CHECK_EQ(rig_pop(&r, 1), -(int)reason);
	CHECK_EQ(r.burst.count, 0);
	CHECK_EQ(r.ring.last_avail, before.last_avail);
	CHECK_EQ(r.ring.last_used, before.last_used);
}

static void avail_jump_by_more_than_the_ring(void)
{
	static const u16 jump[] = { 9, 10, 100, 32767, 32768, 65534, 65535 };
	u32 i, start;

	for (start = 0; start < 65536; start += 13107)
		for (i = 0; i < ARRAY_SIZE(jump); i++) {
			rig_small(&r, 8, 0);
			r.ring.last_avail = start;
			r.ring.avail_idx = start;
			mock_raw_avail_idx(&r.drv, start + jump[i]);
			refused(VD_BAD_AVAIL_JUMP);
			CHECK_EQ(rig_notify(&r), -VD_BAD_AVAIL_JUMP);
			rig_close(&r);
		}
}

static void avail_jump_by_the_whole_ring_is_legal(void)
{
	rig_small(&r, 8, 0);
	may_reread();
	mock_raw_avail_idx(&r.drv, 8);
	CHECK_EQ(rig_pop(&r, 0), 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 8);
	rig_close(&r);
}

/* Chains known of already don't hide that the index has gone mad. */
static void avail_jump_behind_known_chains(void)
{
	rig_small(&r, 8, 0);
	rig_add(&r, 0, 1, 0, 1);
	rig_add(&r, 1, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, 1), 1);
	mock_raw_avail_idx(&r.drv, 10);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_AVAIL_JUMP);
	/* What was known needs no look. */
	CHECK_EQ(rig_pop(&r, 1), 1);
	rig_chain_is(&r, 0, 1, 1, 0);
	mock_raw_avail_idx(&r.drv, 11);
	refused(VD_BAD_AVAIL_JUMP);
	rig_close(&r);
}

/*
 * Each look saw a legal jump, but after a rewind more is waiting than the ring
 * can hold: it would be read past its end.
 */
static void avail_jump_uncovered_by_rewind(void)
{
	u32 i;

	rig_small(&r, 4, 0);
	for (i = 0; i < 4; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 4);
	mock_raw_avail_idx(&r.drv, 8);
	CHECK_EQ(rig_pop(&r, VD_BURST), 4);
	mock_raw_avail_idx(&r.drv, 12);
	CHECK_EQ(rig_notify(&r), 1);
	vd_split_rewind(&r.ring, 8);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_AVAIL_JUMP);
	CHECK_EQ(rig_pop(&r, 2), -VD_BAD_AVAIL_JUMP);
	rig_close(&r);
}

static void head_outside_the_ring(void)
{
	static const u16 head[] = { 8, 9, 0x100, 0x7fff, 0x8000, 0xffff };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(head); i++) {
		rig_small(&r, 8, 0);
		offer(head[i]);
		refused(VD_BAD_HEAD);
		rig_close(&r);
	}
}

static void next_outside_the_ring(void)
{
	static const u16 next[] = { 8, 9, 0x7fff, 0x8000, 0xffff };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(next); i++) {
		rig_small(&r, 8, 0);
		mock_raw_desc(&r.drv, 0, 0x1000, 1, NEXT, next[i]);
		offer(0);
		refused(VD_BAD_NEXT);
		rig_close(&r);
	}
}

static void loop_of_one(void)
{
	u32 num;

	for (num = 1; num <= 1024; num *= 2) {
		rig_small(&r, num, 0);
		may_reread();
		mock_raw_desc(&r.drv, num - 1, 0x1000, 1, NEXT, num - 1);
		offer(num - 1);
		refused(VD_BAD_LOOP);
		rig_close(&r);
	}
}

static void loop_of_all(void)
{
	u32 i;

	rig_small(&r, 16, 0);
	may_reread();
	for (i = 0; i < 16; i++)
		mock_raw_desc(&r.drv, i, 0x1000, 1, NEXT | WRITE, (i + 1) % 16);
	offer(3);
	refused(VD_BAD_LOOP);
	rig_close(&r);
}

/* Nothing is added to the chain, so that only the count can end it. */
static void loop_of_zero_length(void)
{
	rig_small(&r, 16, 0);
	may_reread();
	mock_raw_desc(&r.drv, 2, 0, 0, NEXT, 3);
	mock_raw_desc(&r.drv, 3, 0, 0, NEXT, 2);
	offer(2);
	refused(VD_BAD_LOOP);
	rig_close(&r);
}

static void readable_after_writable(void)
{
	rig_small(&r, 8, 0);
	mock_raw_desc(&r.drv, 0, 0x1000, 1, NEXT, 1);
	mock_raw_desc(&r.drv, 1, 0x2000, 1, NEXT | WRITE, 2);
	mock_raw_desc(&r.drv, 2, 0x3000, 1, 0, 0);
	offer(0);
	refused(VD_BAD_ORDER);
	/* An empty one is as much out of order. */
	mock_raw_desc(&r.drv, 2, 0x3000, 0, 0, 0);
	refused(VD_BAD_ORDER);
	mock_raw_desc(&r.drv, 2, 0x3000, 0, WRITE, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

/* num > VD_CHAIN_SEGS, as the ring itself must not be what ends the chain. */
static void chain_of_too_many_segments(void)
{
	rig_small(&r, 2048, 0);
	rig_add(&r, 1, VD_CHAIN_SEGS + 1, 0, VD_CHAIN_SEGS + 1);
	mock_publish(&r.drv);
	refused(VD_BAD_LONG);
	rig_close(&r);
	rig_small(&r, 2048, 0);
	rig_add(&r, 1, VD_CHAIN_SEGS - 1, 1, VD_CHAIN_SEGS);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_chain_is(&r, 0, 1, VD_CHAIN_SEGS - 1, 1);
	rig_close(&r);
}

/* They leave no segment, but each is a look at memory under a lock. */
static void chain_of_too_many_empty_descriptors(void)
{
	u32 i;

	rig_small(&r, 32768, 0);
	for (i = 0; i < 32768; i++)
		mock_raw_desc(&r.drv, i, 0, 0, NEXT, i + 1);
	offer(0);
	CHECK_EQ(vd_split_pop(&r.ring, &vd_watch_ops, &r.watch, &r.burst, 64),
		 -VD_BAD_LONG);
	CHECK(r.watch.accesses <= 2 + VD_CHAIN_SEGS);
	watch_reset(&r.watch);
	mock_raw_desc(&r.drv, 1023, 0x1000, 1, 0, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.nsegs, 1);
	rig_close(&r);
}

/* A kilobyte of looks a burst, not 64 times as much. */
static void bursts_of_long_chains_are_bounded(void)
{
	u32 i;

	rig_small(&r, 1024, 0);
	may_reread();
	for (i = 0; i < 1024; i++) {
		mock_raw_desc(&r.drv, i, 0, 0, i < 1000 ? NEXT : 0, i + 1);
		mock_raw_head(&r.drv, i, 0);
	}
	mock_raw_avail_idx(&r.drv, 1024);
	for (i = 0; i < 64; i++) {
		CHECK_EQ(vd_split_pop(&r.ring, &vd_watch_ops, &r.watch,
				      &r.burst, VD_BURST), 1);
		CHECK(r.watch.accesses <= 2 + VD_CHAIN_SEGS);
		watch_reset(&r.watch);
	}
	rig_close(&r);
}

/* The good ones before it are served, and then its reason is told. */
static void malformed_chain_ends_the_burst(void)
{
	u32 i;

	rig_small(&r, 16, 0);
	for (i = 0; i < 5; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_publish(&r.drv);
	mock_raw_head(&r.drv, 3, 16);
	CHECK_EQ(rig_pop(&r, VD_BURST), 3);
	rig_chain_is(&r, 2, 2, 1, 0);
	refused(VD_BAD_HEAD);
	/* Mended, the ring goes on where it stood. */
	mock_raw_head(&r.drv, 3, 3);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	rig_chain_is(&r, 0, 3, 1, 0);
	rig_chain_is(&r, 1, 4, 1, 0);
	rig_close(&r);
}

static void zero_length_with_a_wild_address(void)
{
	rig_small(&r, 8, 0);
	mock_raw_desc(&r.drv, 0, ~0ull, 0, NEXT, 1);
	mock_raw_desc(&r.drv, 1, 0x1000, 7, NEXT, 2);
	mock_raw_desc(&r.drv, 2, 1ull << 63, 0, NEXT | WRITE, 3);
	mock_raw_desc(&r.drv, 3, 0x2000, 9, WRITE, 0);
	offer(0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.nsegs, 2);
	CHECK_EQ(r.burst.chain[0].nr_out, 1);
	CHECK_EQ(r.burst.chain[0].nr_in, 1);
	CHECK_EQ(bytes_out(), 7);
	CHECK_EQ(bytes_in(), 9);
	CHECK_EQ(r.burst.seg[0].addr, 0x1000);
	CHECK_EQ(r.burst.seg[1].addr, 0x2000);
	rig_close(&r);
}

static void chain_of_nothing(void)
{
	rig_small(&r, 8, 0);
	mock_raw_desc(&r.drv, 5, ~0ull, 0, 0, 0);
	offer(5);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.nsegs, 0);
	CHECK_EQ(r.burst.chain[0].head, 5);
	CHECK_EQ(bytes_out() + bytes_in(), 0);
	rig_close(&r);
}

/* Lengths add up in 64 bits. */
static void lengths_above_4_gigabytes(void)
{
	rig_small(&r, 8, 0);
	mock_raw_desc(&r.drv, 0, 0, 0xffffffff, NEXT, 1);
	mock_raw_desc(&r.drv, 1, 0, 0xffffffff, NEXT, 2);
	mock_raw_desc(&r.drv, 2, 0, 0xffffffff, NEXT | WRITE, 3);
	mock_raw_desc(&r.drv, 3, 0, 0xffffffff, WRITE, 0);
	offer(0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(bytes_out(), 2 * 0xffffffffull);
	CHECK_EQ(bytes_in(), 2 * 0xffffffffull);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(avail_jump_by_more_than_the_ring),
	TEST(avail_jump_by_the_whole_ring_is_legal),
	TEST(avail_jump_behind_known_chains),
	TEST(avail_jump_uncovered_by_rewind),
	TEST(head_outside_the_ring),
	TEST(next_outside_the_ring),
	TEST(loop_of_one),
	TEST(loop_of_all),
	TEST(loop_of_zero_length),
	TEST(readable_after_writable),
	TEST(chain_of_too_many_segments),
	TEST(chain_of_too_many_empty_descriptors),
	TEST(bursts_of_long_chains_are_bounded),
	TEST(malformed_chain_ends_the_burst),
	TEST(zero_length_with_a_wild_address),
	TEST(chain_of_nothing),
	TEST(lengths_above_4_gigabytes),
};

KTAP_MAIN(tests)

// SPDX-License-Identifier: GPL-2.0-only
/* Honest drivers: counts, wraps, sizes, alignments. */
#include "rig.h"

static struct rig r;

static void layout_follows_the_specification(void)
{
	/* Section 2.7: 16 n; 6 + 2 n; 6 + 8 n, of which 2 are the events. */
	CHECK_EQ(vd_split_part_size(VD_PART_DESC, 256, true), 4096);
	CHECK_EQ(vd_split_part_size(VD_PART_AVAIL, 256, false), 516);
	CHECK_EQ(vd_split_part_size(VD_PART_AVAIL, 256, true), 518);
	CHECK_EQ(vd_split_part_size(VD_PART_USED, 256, false), 2052);
	CHECK_EQ(vd_split_part_size(VD_PART_USED, 256, true), 2054);
	CHECK_EQ(vd_split_part_size(VD_PART_USED, 32768, true), 262150);
}

static void every_reason_has_its_own_name(void)
{
	int i, j;

	for (i = 0; i < VD_REASONS; i++) {
		CHECK(strcmp(vd_reason_name(i), "unknown"));
		for (j = 0; j < i; j++)
			CHECK(strcmp(vd_reason_name(i), vd_reason_name(j)));
	}
	CHECK(!strcmp(vd_reason_name(VD_REASONS), "unknown"));
}

static void empty_ring_is_a_count_of_zero(void)
{
	rig_small(&r, 8, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	CHECK_EQ(r.ring.last_avail, 0);
	rig_close(&r);
}

static void one_chain(void)
{
	rig_small(&r, 8, 0);
	rig_add(&r, 5, 2, 1, 3);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.count, 1);
	CHECK_EQ(r.burst.nsegs, 3);
	rig_chain_is(&r, 0, 5, 2, 1);
	rig_return_all(&r);
	rig_reaps(&r, 5, 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	rig_close(&r);
}

static void burst_of_64(void)
{
	u32 i;

	rig_small(&r, 256, 0);
	for (i = 0; i < 100; i++)
		rig_add(&r, i, 1, 1, 2);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, 1000), 64);
	for (i = 0; i < 64; i++)
		rig_chain_is(&r, i, i, 1, 1);
	rig_return_all(&r);
	rig_reaps(&r, 0, 64);
	CHECK_EQ(rig_pop(&r, VD_BURST), 36);
	for (i = 0; i < 36; i++)
		rig_chain_is(&r, i, 64 + i, 1, 1);
	rig_return_all(&r);
	rig_reaps(&r, 64, 36);
	rig_close(&r);
}

static void fewer_than_a_burst_wanted(void)
{
	u32 key = 0, max;

	rig_small(&r, 256, 0);
	for (key = 0; key < 210; key++)
		rig_add(&r, key, 1, 0, 1);
	mock_publish(&r.drv);
	for (max = 0, key = 0; max <= 20; key += max, max++) {
		CHECK_EQ(rig_pop(&r, max), max);
		if (max)
			rig_chain_is(&r, max - 1, key + max - 1, 1, 0);
	}
	CHECK_EQ(key, 210);
	CHECK_EQ(rig_pop(&r, 1), 0);
	rig_close(&r);
}

/* One pop sees what was published since the last, not only what it knew. */
static void known_chains_and_new_ones_together(void)
{
	rig_small(&r, 8, 0);
	rig_add(&r, 0, 1, 0, 1);
	rig_add(&r, 1, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, 1), 1);
	rig_add(&r, 2, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	rig_chain_is(&r, 0, 1, 1, 0);
	rig_chain_is(&r, 1, 2, 1, 0);
	rig_close(&r);
}

/* Traffic of @total chains, @lot at a time, through a ring made like @lay. */
static void traffic(const struct mock_layout *lay, u32 total, u32 lot)
{
	u32 key = 0, i;

	rig_open(&r, lay);
	while (key < total && !ktap_errors) {
		for (i = 0; i < lot; i++)
			CHECK(rig_add(&r, key + i, 0, 1, 1) >= 0);
		mock_publish(&r.drv);
		if (!CHECK_EQ(rig_pop(&r, VD_BURST), lot))
			break;
		for (i = 0; i < lot; i++)
			rig_chain_is(&r, i, key + i, 0, 1);
		rig_return_all(&r);
		rig_reaps(&r, key, lot);
		key += lot;
	}
	rig_close(&r);
}

static void indices_wrap_at_65536(void)
{
	struct mock_layout lay = { .num = 128, .start = 65500, .le = true };

	traffic(&lay, 400, 50);
	lay.start = 0;
	lay.num = 64;
	traffic(&lay, 2 * 65536 + 100, 64);
}

static void avail_and_used_wrap_inside_a_burst(void)
{
	struct mock_layout lay = { .num = 8, .le = true };
	u32 start, lot;

	for (start = 0; start < 8; start++)
		for (lot = 1; lot <= 8; lot++) {
			lay.start = start;
			traffic(&lay, 5 * lot, lot);
		}
}

static void every_ring_size(void)
{
	struct mock_layout lay = { .le = true };
	u32 lot;

	for (lay.num = 1; lay.num <= 32768; lay.num *= 2) {
		lot = min_t(u32, lay.num, 3);
		lay.event_idx = !lay.event_idx;
		lay.start = lay.num - 1;
		traffic(&lay, 3 * lot, lot);
	}
}

/* All of the largest ring is out at a time: the jump is as large as allowed. */
static void largest_ring_full(void)
{
	u32 key, done;

	rig_small(&r, 32768, 0);
	r.watch.poison = false;
	for (key = 0; key < 32768; key++)
		CHECK_EQ(rig_add(&r, key, 1, 0, 1), key);
	CHECK_EQ(rig_add(&r, key, 1, 0, 1), -1);
	mock_publish(&r.drv);
	for (done = 0; done < 32768 && !ktap_errors; done += VD_BURST) {
		int n = vd_split_pop(&r.ring, &vd_plain_ops, &r.drv.ring,
				     &r.burst, VD_BURST);

		CHECK_EQ(n, VD_BURST);
		rig_chain_is(&r, 7, done + 7, 1, 0);
	}
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	rig_close(&r);
}

static void chain_as_long_as_the_ring(void)
{
	u32 num;

	for (num = 1; num <= 1024; num *= 2) {
		rig_small(&r, num, 0);
		rig_add(&r, 3, num, 0, num);
		mock_publish(&r.drv);
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		rig_chain_is(&r, 0, 3, num, 0);
		rig_close(&r);
	}
}

static void every_legal_alignment(void)
{
	struct mock_layout lay = { .num = 16, .event_idx = true, .le = true };
	u32 i;

	for (i = 0; i < 4096 / 2; i++) {
		lay.offset[VD_PART_DESC] = 16 * i % 4096;
		lay.offset[VD_PART_AVAIL] = 2 * i;
		lay.offset[VD_PART_USED] = 4 * i % 4096;
		lay.start = i;
		traffic(&lay, 15, 5);
	}
}

/* A chain ends where NEXT is not set, whatever the next field says. */
static void next_counts_only_with_its_flag(void)
{
	rig_small(&r, 4, 0);
	mock_raw_desc(&r.drv, 0, 0x1000, 10, 0, 0xffff);
	mock_raw_head(&r.drv, 0, 0);
	mock_raw_avail_idx(&r.drv, 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.chain[0].nr_out, 1);
	rig_close(&r);
}

static void native_endian_legacy(void)
{
	struct mock_layout lay = { .num = 32, .start = 65530 };

	traffic(&lay, 90, 30);
	lay.event_idx = true;
	traffic(&lay, 90, 30);
}

/* A device that owes more than the ring holds writes to the ring only. */
static void push_of_more_than_the_ring_stays_inside(void)
{
	struct vd_used elem[16];
	u32 i;

	rig_small(&r, 4, 0);
	for (i = 0; i < 16; i++)
		elem[i] = vd_used_elem(&r.ring, i % 4, i);
	CHECK_EQ(rig_push(&r, elem, 15), 0);
	CHECK_EQ(mock_raw_used_idx(&r.drv), 15);
	CHECK_EQ(r.ring.last_used, 15);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(layout_follows_the_specification),
	TEST(every_reason_has_its_own_name),
	TEST(empty_ring_is_a_count_of_zero),
	TEST(one_chain),
	TEST(burst_of_64),
	TEST(fewer_than_a_burst_wanted),
	TEST(known_chains_and_new_ones_together),
	TEST(indices_wrap_at_65536),
	TEST(avail_and_used_wrap_inside_a_burst),
	TEST(every_ring_size),
	TEST(largest_ring_full),
	TEST(chain_as_long_as_the_ring),
	TEST(every_legal_alignment),
	TEST(next_counts_only_with_its_flag),
	TEST(native_endian_legacy),
	TEST(push_of_more_than_the_ring_stays_inside),
};

KTAP_MAIN(tests)

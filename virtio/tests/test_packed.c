// SPDX-License-Identifier: GPL-2.0-only
/* Honest drivers of packed rings: counts, wraps, sizes, ids. Section 2.8. */
#include "rig.h"

static struct rig r;

static const u32 sizes[] = { 1, 2, 3, 5, 7, 100, 256, 32767, 32768 };

static void layout_follows_the_specification(void)
{
	/* Section 2.8.10.1: 16 n, and 4 for each of the event structures. */
	CHECK_EQ(vd_packed_part_size(VD_PART_DESC, 5), 80);
	CHECK_EQ(vd_packed_part_size(VD_PART_DESC, 32768), 524288);
	CHECK_EQ(vd_packed_part_size(VD_PART_AVAIL, 32768), 4);
	CHECK_EQ(vd_packed_part_size(VD_PART_USED, 1), 4);
}

static void open_ring(u32 num, u16 start)
{
	rig_open(&r, &(struct mock_layout){ .num = num, .start = start,
					    .salt = 0x8765, .packed = true,
					    .le = true });
}

static void empty_ring_is_a_count_of_zero(void)
{
	u32 i, start;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (start = 0; start < 2; start++) {
			open_ring(sizes[i], start * MOCK_WRAP + sizes[i] - 1);
			CHECK_EQ(rig_pop(&r, VD_BURST), 0);
			CHECK_EQ(rig_pop(&r, VD_BURST), 0);
			CHECK_EQ(r.ring.last_avail, sizes[i] - 1);
			CHECK_EQ(r.ring.avail_wrap, !start);
			rig_close(&r);
		}
}

static void one_chain(void)
{
	rig_packed(&r, 7, 0);
	rig_add(&r, 5, 2, 1, 3);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	mock_packed_publish(&r.pk);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.count, 1);
	CHECK_EQ(r.burst.nsegs, 3);
	CHECK_EQ(r.burst.chain[0].slots, 3);
	rig_chain_is(&r, 0, 5, 2, 1);
	rig_return_all(&r);
	rig_reaps(&r, 5, 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	rig_close(&r);
}

static void nothing_wanted_nothing_taken(void)
{
	rig_packed(&r, 8, 0);
	rig_offer(&r, 0, 3, 1);
	CHECK_EQ(rig_pop(&r, 0), 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 3);
	rig_close(&r);
}

/* 64 chains, however many slots they take, unless there is no room left. */
static void burst_of_64(void)
{
	u32 segs, i;

	for (segs = 1; segs <= 16; segs++) {
		rig_packed(&r, 100 * segs, 0);
		rig_offer(&r, 0, 100, segs);
		CHECK_EQ(rig_pop(&r, 1000), 64);
		for (i = 0; i < 64; i++)
			rig_chain_is(&r, i, i, segs - 1, 1);
		rig_return_all(&r);
		rig_reaps(&r, 0, 64);
		CHECK_EQ(rig_pop(&r, VD_BURST), 36);
		rig_chain_is(&r, 35, 99, segs - 1, 1);
		rig_return_all(&r);
		rig_reaps(&r, 64, 36);
		rig_close(&r);
	}
}

static void fewer_than_a_burst_wanted(void)
{
	u32 segs, key, max;

	for (segs = 1; segs <= 3; segs++) {
		rig_packed(&r, 256 * segs, 0);
		rig_offer(&r, 0, 210, segs);
		for (max = 0, key = 0; max <= 20; key += max, max++) {
			CHECK_EQ(rig_pop(&r, max), max);
			if (max)
				rig_chain_is(&r, max - 1, key + max - 1,
					     segs - 1, 1);
		}
		CHECK_EQ(key, 210);
		CHECK_EQ(rig_pop(&r, 1), 0);
		rig_close(&r);
	}
}

/* Traffic of @total chains of 1, 2, ... @most slots, @lot at a time. */
static void traffic(const struct mock_layout *lay, u32 total, u32 lot,
		    u32 most)
{
	u32 key = 0, i;

	rig_open(&r, lay);
	/* To look for each poisoned word of a large ring takes too long. */
	r.watch.poison = lay->num <= 1024;
	while (key < total && !ktap_errors) {
		for (i = 0; i < lot; i++)
			CHECK(rig_add(&r, key + i, (key + i) % most, 1,
				      (key + i) % most + 1) >= 0);
		mock_packed_publish(&r.pk);
		if (!CHECK_EQ(rig_pop(&r, VD_BURST), lot))
			break;
		for (i = 0; i < lot; i++)
			rig_chain_is(&r, i, key + i, (key + i) % most, 1);
		rig_return_all(&r);
		rig_reaps(&r, key, lot);
		key += lot;
	}
	rig_close(&r);
}

static void every_ring_size_and_both_wraps(void)
{
	struct mock_layout lay = { .packed = true, .le = true };
	u32 i, lot, most;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		lay.num = sizes[i];
		most = min_t(u32, lay.num, 5);
		lot = lay.num > 20 ? 3 : 1;
		lay.event_idx = !lay.event_idx;
		lay.salt += 9999;
		/* Just before the end, in a round of either kind. */
		for (lay.start = lay.num - 1; ; lay.start ^= MOCK_WRAP) {
			traffic(&lay, 5 * lot, lot, most);
			if (lay.start & MOCK_WRAP)
				break;
		}
	}
}

/* Each burst ends and begins elsewhere; both counters turn over often. */
static void avail_and_used_wrap_inside_a_burst(void)
{
	struct mock_layout lay = { .packed = true, .le = true };
	u32 lot, most;

	for (lay.num = 1; lay.num <= 13; lay.num++)
		for (most = 1; most <= lay.num; most++)
			for (lot = 1; lot * most <= lay.num; lot++)
				for (lay.start = 0; lay.start < lay.num;
				     lay.start++)
					traffic(&lay, 6 * lot, lot, most);
}

static void many_rounds(void)
{
	struct mock_layout lay = { .num = 7, .packed = true, .le = true };

	traffic(&lay, 50000, 2, 3);
	lay.num = 100;
	traffic(&lay, 50000, 25, 4);
}

/* The chain's slots lie on both sides of the end, in every way. */
static void chain_across_the_end(void)
{
	u32 num, start, segs;

	for (num = 2; num <= 9; num++)
		for (start = 0; start < num; start++)
			for (segs = 1; segs <= num; segs++) {
				open_ring(num, start);
				rig_add(&r, 4, segs - 1, 1, segs);
				mock_packed_publish(&r.pk);
				CHECK_EQ(rig_pop(&r, VD_BURST), 1);
				rig_chain_is(&r, 0, 4, segs - 1, 1);
				CHECK_EQ(r.ring.last_avail,
					 (start + segs) % num);
				CHECK_EQ(r.ring.avail_wrap,
					 start + segs < num);
				rig_return_all(&r);
				CHECK_EQ(r.ring.last_used,
					 (start + segs) % num);
				CHECK_EQ(r.ring.used_wrap,
					 start + segs < num);
				rig_reaps(&r, 4, 1);
				rig_close(&r);
			}
}

/* The slot after the last is the first, in the next round: not available. */
static void full_ring_is_not_popped_twice(void)
{
	u32 i, num, got, start;
	int ret;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		num = sizes[i];
		start = num / 2;
		open_ring(num, start);
		r.watch.poison = false;
		for (u32 key = 0; key < num; key++)
			CHECK(rig_add(&r, key, 1, 0, 1) >= 0);
		CHECK_EQ(rig_add(&r, num, 1, 0, 1), -1);
		mock_packed_publish(&r.pk);
		for (got = 0; got < num && !ktap_errors; got += ret) {
			ret = vd_packed_pop(&r.ring, &vd_plain_ops, r.plain,
					    &r.burst, VD_BURST);
			CHECK_EQ(ret, min_t(u32, num - got, VD_BURST));
			rig_chain_is(&r, ret - 1, got + ret - 1, 1, 0);
		}
		CHECK_EQ(r.ring.last_avail, start);
		CHECK(!r.ring.avail_wrap);
		CHECK_EQ(rig_pop(&r, VD_BURST), 0);
		CHECK_EQ(rig_notify(&r), 0);
		rig_close(&r);
	}
}

static void chain_as_long_as_the_ring(void)
{
	u32 num;

	for (num = 1; num <= 1024; num = num < 20 ? num + 1 : num + 251) {
		open_ring(num, num / 3);
		rig_add(&r, 3, num, 0, num);
		mock_packed_publish(&r.pk);
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		rig_chain_is(&r, 0, 3, num, 0);
		rig_return_all(&r);
		CHECK_EQ(r.ring.last_used, num / 3);
		CHECK(!r.ring.used_wrap);
		rig_reaps(&r, 3, 1);
		rig_close(&r);
	}
}

/* An id is the driver's business, all 16 bits; it is in the last descriptor. */
static void ids_are_arbitrary(void)
{
	u32 id;

	rig_packed(&r, 2, 0);
	for (id = 0; id < 65536; id += id % 256 < 3 ? 1 : 61) {
		mock_packed_raw_desc(&r.pk, 1, r.ring.avail_wrap, 0x2000, 8,
				     id, MOCK_F_WRITE);
		mock_packed_raw_desc(&r.pk, 0, r.ring.avail_wrap, 0x1000, 8,
				     ~id, MOCK_F_NEXT);
		if (!CHECK_EQ(rig_pop(&r, VD_BURST), 1))
			break;
		CHECK_EQ(r.burst.chain[0].head, id);
		CHECK_EQ(rig_push(&r, &(struct vd_used){ id, 8 }, 1), 0);
		CHECK_EQ(word_load16(mock_packed_desc(&r.pk, 0) + 12), id);
	}
	rig_close(&r);
}

/* What the driver finds: both bits as the round, WRITE if there is a length. */
static void used_descriptor_bytes(void)
{
	const u8 *at;
	u32 wrap;

	for (wrap = 0; wrap < 2; wrap++) {
		open_ring(3, wrap ? 0 : MOCK_WRAP);
		at = mock_packed_desc(&r.pk, 0);
		word_store64((u8 *)at, 0x123456789abcdef0);
		r.slots[0xfedc] = 1;
		CHECK_EQ(rig_push(&r, &(struct vd_used){ 0xfedc, 0x89abcdef },
				  1), 0);
		CHECK_EQ(word_load64(at), 0x123456789abcdef0);
		CHECK_EQ(word_load32(at + 8), 0x89abcdef);
		CHECK_EQ(word_load16(at + 12), 0xfedc);
		CHECK_EQ(word_load16(at + 14), wrap ? 0x8082 : 0x0002);
		r.slots[0x1234] = 1;
		CHECK_EQ(rig_push(&r, &(struct vd_used){ 0x1234, 0 }, 1), 0);
		CHECK_EQ(word_load16(at + 16 + 12), 0x1234);
		CHECK_EQ(word_load16(at + 16 + 14), wrap ? 0x8080 : 0x0000);
		rig_close(&r);
	}
}

/* The same of each in a burst, also behind the ring's end. */
static void used_descriptors_of_a_burst(void)
{
	struct vd_used elem[8];
	u32 start, i, slot;
	const u8 *at;
	u16 flags;

	for (start = 0; start < 9; start++) {
		open_ring(9, start);
		for (i = 0; i < ARRAY_SIZE(elem); i++) {
			r.slots[1000 + i] = 1;
			elem[i] = vd_used_elem(&r.ring, 1000 + i,
					       0x96 >> i & 1 ? i : 0);
		}
		CHECK_EQ(rig_push(&r, elem, ARRAY_SIZE(elem)), 0);
		for (i = 0; i < ARRAY_SIZE(elem); i++) {
			slot = (start + i) % 9;
			at = mock_packed_desc(&r.pk, slot);
			flags = start + i < 9 ? 0x8080 : 0;
			flags |= 0x96 >> i & 1 ? 2 : 0;
			CHECK_EQ(word_load16(at + 14), flags);
			CHECK_EQ(word_load16(at + 12), 1000 + i);
			CHECK_EQ(word_load32(at + 8), 0x96 >> i & 1 ? i : 0);
		}
		rig_close(&r);
	}
}

/* Bits that mean nothing, and those of a used descriptor, are no matter. */
static void reserved_flags_are_ignored(void)
{
	rig_packed(&r, 4, 0);
	mock_packed_raw_desc(&r.pk, 0, true, 0x1000, 8, 3, 0x7f78);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.chain[0].nr_out, 1);
	CHECK_EQ(r.burst.seg[0].addr, 0x1000);
	rig_close(&r);
}

/* Section 2.8.1: of four states of the two bits one is available. */
static void availability_truth_table(void)
{
	u32 wrap, bits;

	for (wrap = 0; wrap < 2; wrap++)
		for (bits = 0; bits < 4; bits++) {
			u16 flags = (bits & 1 ? MOCK_F_AVAIL : 0) |
				    (bits & 2 ? MOCK_F_USED : 0);

			open_ring(4, wrap ? 0 : MOCK_WRAP);
			word_store16(mock_packed_desc(&r.pk, 0) + 14, flags);
			CHECK_EQ(rig_pop(&r, VD_BURST), bits == (wrap ? 1 : 2));
			rig_close(&r);
		}
}

static void every_legal_alignment(void)
{
	struct mock_layout lay = { .num = 11, .packed = true,
				   .event_idx = true, .le = true };
	u32 i;

	for (i = 0; i < 4096 / 4; i++) {
		lay.offset[VD_PART_DESC] = 16 * i % 4096;
		lay.offset[VD_PART_AVAIL] = 4 * i;
		lay.offset[VD_PART_USED] = 4092 - 4 * i;
		lay.start = i % 11;
		traffic(&lay, 15, 5, 2);
	}
}

static void native_endian(void)
{
	struct mock_layout lay = { .num = 32, .packed = true, .start = 30 };

	traffic(&lay, 90, 10, 3);
	lay.event_idx = true;
	traffic(&lay, 90, 10, 3);
}

static const struct ktap_test tests[] = {
	TEST(layout_follows_the_specification),
	TEST(empty_ring_is_a_count_of_zero),
	TEST(one_chain),
	TEST(nothing_wanted_nothing_taken),
	TEST(burst_of_64),
	TEST(fewer_than_a_burst_wanted),
	TEST(every_ring_size_and_both_wraps),
	TEST(avail_and_used_wrap_inside_a_burst),
	TEST(many_rounds),
	TEST(chain_across_the_end),
	TEST(full_ring_is_not_popped_twice),
	TEST(chain_as_long_as_the_ring),
	TEST(ids_are_arbitrary),
	TEST(used_descriptor_bytes),
	TEST(used_descriptors_of_a_burst),
	TEST(reserved_flags_are_ignored),
	TEST(availability_truth_table),
	TEST(every_legal_alignment),
	TEST(native_endian),
};

KTAP_MAIN(tests)

// SPDX-License-Identifier: GPL-2.0-only
/* Drivers that break the rules of a packed ring; tables, good and bad. */
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

#define NEXT		MOCK_F_NEXT
#define WRITE		MOCK_F_WRITE
#define INDIRECT	MOCK_F_INDIRECT

/* Descriptor @slot of the first round. */
static void raw(u32 slot, u64 addr, u32 len, u16 flags)
{
	mock_packed_raw_desc(&r.pk, slot, true, addr, len, slot, flags);
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
	CHECK_EQ(r.ring.avail_wrap, before.avail_wrap);
	CHECK_EQ(r.ring.last_used, before.last_used);
}

static void loop_of_all_slots(void)
{
	u32 num, i;

	for (num = 1; num <= 1024; num = num < 9 ? num + 1 : num * 2) {
		rig_packed(&r, num, 0);
		for (i = 0; i < num; i++)
			raw(i, 0x1000, i % 3, NEXT | WRITE);
		refused(VD_BAD_LOOP);
		rig_close(&r);
	}
}

/*
 * Chains that together have more slots than the ring: the last runs into the
 * first. It is not part of the same burst, and rewinding all stays inside.
 */
static void chain_into_the_burst_itself(void)
{
	u32 start, i;

	for (start = 0; start < 8; start++) {
		rig_packed(&r, 8, 0);
		r.ring.last_avail = start;
		r.ring.avail_idx = start;
		r.ring.avail_wrap = true;
		for (i = 0; i < 8; i++)
			mock_packed_raw_desc(&r.pk, i, i >= start, 0x1000, 1, i,
					     i == (start + 1) % 8 ? 0 : NEXT);
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		CHECK_EQ(r.burst.chain[0].slots, 2);
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		CHECK_EQ(r.burst.chain[0].slots, 8);
		CHECK_EQ(r.ring.last_avail, (start + 10) % 8);
		/* More was popped than there is: all of it goes back. */
		vd_packed_rewind(&r.ring, 10);
		CHECK_EQ(r.ring.last_avail, start);
		CHECK(r.ring.avail_wrap);
		rig_close(&r);
	}
}

static void rewind_by_any_number_stays_inside(void)
{
	u32 num, slot, slots;

	for (num = 1; num <= 9; num++)
		for (slot = 0; slot < num; slot++)
			for (slots = 0; slots < 50; slots++) {
				struct vd_ring ring = {
					.num = num, .last_avail = slot,
				};
				u32 at = slot + 100 * num - slots;

				vd_packed_rewind(&ring, slots);
				CHECK_EQ(ring.last_avail, at % num);
				CHECK_EQ(ring.avail_wrap, at / num % 2);
			}
}

static void readable_after_writable(void)
{
	rig_packed(&r, 8, 0);
	raw(2, 0x3000, 1, 0);
	raw(1, 0x2000, 1, NEXT | WRITE);
	raw(0, 0x1000, 1, NEXT);
	refused(VD_BAD_ORDER);
	/* An empty one is as much out of order. */
	raw(2, 0x3000, 0, 0);
	refused(VD_BAD_ORDER);
	raw(2, 0x3000, 0, WRITE);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

static void chain_of_too_many_segments(void)
{
	rig_packed(&r, 2000, 0);
	r.watch.poison = false;
	rig_add(&r, 1, VD_CHAIN_SEGS + 1, 0, VD_CHAIN_SEGS + 1);
	rig_publish(&r);
	refused(VD_BAD_LONG);
	rig_close(&r);
	rig_packed(&r, 2000, 0);
	r.watch.poison = false;
	rig_add(&r, 1, VD_CHAIN_SEGS - 1, 1, VD_CHAIN_SEGS);
	rig_publish(&r);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_chain_is(&r, 0, 1, VD_CHAIN_SEGS - 1, 1);
	rig_close(&r);
}

/* They leave no segment, but each is a look at memory under a lock. */
static void chain_of_too_many_empty_descriptors(void)
{
	u32 i;

	rig_packed(&r, 32768, 0);
	r.watch.poison = false;
	for (i = 0; i < 32768; i++)
		raw(i, 0, 0, NEXT);
	CHECK_EQ(vd_packed_pop(&r.ring, &vd_watch_ops, &r.watch, &r.burst, 64),
		 -VD_BAD_LONG);
	CHECK(r.watch.accesses <= VD_BURST + VD_CHAIN_SEGS);
	watch_reset(&r.watch);
	raw(1023, 0x1000, 1, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.nsegs, 1);
	rig_close(&r);
}

/* A kilobyte of looks a burst whatever the chains are like. */
static void bursts_of_long_chains_are_bounded(void)
{
	u32 len, i, pops;
	int ret;

	for (len = 1; len <= 1024; len = len * 3 / 2 + 1) {
		rig_packed(&r, 4096, 0);
		r.watch.poison = false;
		for (i = 0; i < 4096 / len * len; i++)
			raw(i, 0, 0, (i + 1) % len ? NEXT : 0);
		for (i = 0, pops = 0; i < 4096 / len && pops < 64; pops++) {
			ret = vd_packed_pop(&r.ring, &vd_watch_ops, &r.watch,
					    &r.burst, VD_BURST);
			CHECK_EQ(ret, min_t(u32, min_t(u32, 1024 / len,
						       4096 / len - i), 64));
			CHECK(r.watch.accesses <= 2 * VD_BURST +
						  2 * VD_CHAIN_SEGS);
			i += ret;
			watch_reset(&r.watch);
		}
		rig_close(&r);
	}
}

/* A long one takes the looks that chains of one would have had. */
static void chains_of_one_behind_a_long_one(void)
{
	u32 i;

	rig_packed(&r, 1100, 0);
	r.watch.poison = false;
	for (i = 0; i < 1060; i++)
		raw(i, 0x1000, i < 1000 ? 0 : 1, i < 999 ? NEXT : 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1 + 24);
	CHECK_EQ(rig_pop(&r, VD_BURST), 36);
	rig_close(&r);
}

/* Nor has a long one those of chains of one before it: the burst's segments would be too few. */
static void chains_of_one_before_a_long_one(void)
{
	rig_packed(&r, 2048, 4);
	CHECK(rig_add(&r, 0, 0, 1, 1) >= 0);
	CHECK(rig_add(&r, 1, 0, VD_CHAIN_SEGS - 1, VD_CHAIN_SEGS - 1) >= 0);
	CHECK(rig_add(&r, 2, 0, 1, 1) >= 0);
	rig_publish(&r);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	CHECK_EQ(r.burst.nsegs, VD_CHAIN_SEGS);
	rig_return_all(&r);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

/* The good ones before it are served, and then its reason is told. */
static void malformed_chain_ends_the_burst(void)
{
	rig_packed(&r, 16, 0);
	rig_offer(&r, 0, 5, 1);
	mock_packed_raw_desc(&r.pk, 3, true, 0, 16, 0, INDIRECT);
	CHECK_EQ(rig_pop(&r, VD_BURST), 3);
	rig_chain_is(&r, 2, 2, 0, 1);
	refused(VD_BAD_INDIRECT_OFF);
	/* It was seen, and what is behind it: there is nothing new. */
	CHECK_EQ(rig_notify(&r), 0);
	/* Mended, the ring goes on where it stood. */
	mock_packed_raw_desc(&r.pk, 3, true, rig_seg(3, 0).addr,
			     rig_seg(3, 0).len, 0, WRITE);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	rig_chain_is(&r, 0, 3, 0, 1);
	rig_chain_is(&r, 1, 4, 0, 1);
	rig_close(&r);
}

/* Else a device that asks for the next kick spins on it. */
static void malformed_head_is_nothing_new(void)
{
	rig_packed(&r, 4, 0);
	raw(0, 0x1000, 16, INDIRECT);
	CHECK_EQ(rig_notify(&r), 1);
	refused(VD_BAD_INDIRECT_OFF);
	CHECK_EQ(rig_notify(&r), 0);
	raw(1, 0x1000, 16, 0);
	CHECK_EQ(rig_notify(&r), 1);
	rig_close(&r);
}

static void zero_length_with_a_wild_address(void)
{
	rig_packed(&r, 8, 0);
	raw(3, 0x2000, 9, WRITE);
	raw(2, 1ull << 63, 0, NEXT | WRITE);
	raw(1, 0x1000, 7, NEXT);
	raw(0, ~0ull, 0, NEXT);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.nsegs, 2);
	CHECK_EQ(r.burst.chain[0].slots, 4);
	CHECK_EQ(bytes_out(), 7);
	CHECK_EQ(bytes_in(), 9);
	CHECK_EQ(r.burst.seg[0].addr, 0x1000);
	CHECK_EQ(r.burst.seg[1].addr, 0x2000);
	rig_close(&r);
}

static void lengths_above_4_gigabytes(void)
{
	rig_packed(&r, 8, 0);
	raw(3, 0, 0xffffffff, WRITE);
	raw(2, 0, 0xffffffff, NEXT | WRITE);
	raw(1, 0, 0xffffffff, NEXT);
	raw(0, 0, 0xffffffff, NEXT);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(bytes_out(), 2 * 0xffffffffull);
	CHECK_EQ(bytes_in(), 2 * 0xffffffffull);
	rig_close(&r);
}

static void tables_of_every_kind(void)
{
	static const u32 out[] = { 0, 1, 2, 15, 30, 31, 32, 33, 100, 1000 };
	const u32 n = ARRAY_SIZE(out);
	u32 i, j;

	for (i = 0; i < n; i++)
		for (j = i ? 0 : 1; j < n && out[i] + out[j] <= 1024; j++) {
			rig_packed(&r, 3, 1024);
			rig_add(&r, i * n + j, out[i], out[j], 0);
			rig_publish(&r);
			CHECK_EQ(rig_pop(&r, VD_BURST), 1);
			CHECK(r.burst.chain[0].indirect);
			CHECK_EQ(r.burst.chain[0].slots, 1);
			CHECK_EQ(rig_expand(&r, 0), 0);
			rig_is(&r.burst.chain[0], r.seg, i * n + j, out[i],
			       out[j]);
			rig_close(&r);
		}
}

/* All of a burst at once; each chain has its own place among the segments. */
static void tables_between_direct_chains(void)
{
	u32 i;

	rig_packed(&r, 100, 8);
	for (i = 0; i < 64; i++)
		CHECK(rig_add(&r, i, 1, 1, i % 3 ? 0 : 2) >= 0);
	rig_publish(&r);
	CHECK_EQ(rig_pop(&r, VD_BURST), 64);
	for (i = 0; i < 64; i++) {
		if (i % 3 == 0) {
			rig_chain_is(&r, i, i, 1, 1);
			continue;
		}
		CHECK_EQ(rig_expand(&r, i), 0);
		rig_is(&r.burst.chain[i], r.seg, i, 1, 1);
	}
	rig_return_all(&r);
	rig_reaps(&r, 0, 64);
	rig_close(&r);
}

static void table_takes_the_last_room(void)
{
	rig_packed(&r, 2000, 4);
	r.watch.poison = false;
	rig_add(&r, 0, 1023, 0, 1023);
	rig_add(&r, 1, 2, 0, 0);
	rig_add(&r, 2, 2, 0, 0);
	rig_publish(&r);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	CHECK_EQ(r.burst.nsegs, 1024);
	CHECK_EQ(rig_expand(&r, 1), 0);
	rig_is(&r.burst.chain[1], r.seg, 1, 2, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

static void table_not_negotiated(void)
{
	rig_packed(&r, 4, 4);
	r.ring.indirect = false;
	raw(0, mock_packed_table(&r.pk, 0), 16, INDIRECT);
	refused(VD_BAD_INDIRECT_OFF);
	rig_close(&r);
}

/* Section 2.8.19: neither before nor behind other descriptors. */
static void table_in_a_chain(void)
{
	rig_packed(&r, 4, 4);
	raw(1, 0x1000, 1, 0);
	raw(0, mock_packed_table(&r.pk, 0), 16, INDIRECT | NEXT);
	refused(VD_BAD_INDIRECT_NEXT);
	raw(1, mock_packed_table(&r.pk, 1), 16, INDIRECT);
	raw(0, 0x1000, 1, NEXT);
	refused(VD_BAD_INDIRECT_NEXT);
	raw(0, 0x1000, 0, NEXT);
	refused(VD_BAD_INDIRECT_NEXT);
	rig_close(&r);
}

static void table_of_a_bad_length(void)
{
	static const u32 bad[] = { 0, 1, 15, 17, 24, 65537 * 16, 0xfffffff0 };
	u32 i;

	rig_packed(&r, 4, 4);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		raw(0, mock_packed_table(&r.pk, 0), bad[i], INDIRECT);
		refused(VD_BAD_INDIRECT_LEN);
	}
	raw(0, mock_packed_table(&r.pk, 0), 65536 * 16, INDIRECT);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

/* Section 2.8.7: of flags only WRITE counts, and the referrer's does not. */
static void flags_of_entries_but_write_are_ignored(void)
{
	u32 size, flags, i;

	for (size = 3; size < 50; size += 37)
		for (flags = 0; flags < 65536; flags += 5) {
			rig_packed(&r, 4, 64);
			for (i = 0; i < size; i++)
				mock_packed_raw_entry(&r.pk, 0, i, 0x1000 * i,
						      i + 1, flags,
						      i < 2 ? flags & ~WRITE :
							      flags | WRITE);
			raw(0, mock_packed_table(&r.pk, 0), 16 * size,
			    INDIRECT | WRITE);
			CHECK_EQ(rig_pop(&r, VD_BURST), 1);
			CHECK_EQ(rig_expand(&r, 0), 0);
			CHECK_EQ(r.burst.chain[0].nr_out, 2);
			CHECK_EQ(r.burst.chain[0].nr_in, size - 2);
			CHECK_EQ(r.seg[size - 1].addr, 0x1000 * (size - 1));
			CHECK_EQ(r.seg[size - 1].len, size);
			CHECK_EQ(r.burst.chain[0].head, 0);
			rig_close(&r);
		}
}

/*
 * As DPDK's driver does it: the header writable, the frame behind it not. Where
 * the device only reads, both are to be read; elsewhere it is what it seems.
 */
static void write_in_a_table_means_nothing_where_the_device_only_reads(void)
{
	u32 n;

	for (n = 2; n < 50; n += 37) {
		rig_packed(&r, 4, 64);
		r.ring.out_only = true;
		mock_packed_raw_entry(&r.pk, 0, 0, 0x1000, 12, 0, WRITE);
		mock_packed_raw_entry(&r.pk, 0, 1, 0x2000, 60, 0, 0);
		raw(0, mock_packed_table(&r.pk, 0), 16 * n, INDIRECT);
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		CHECK_EQ(rig_expand(&r, 0), 0);
		CHECK_EQ(r.burst.chain[0].nr_out, 2);
		CHECK_EQ(r.burst.chain[0].nr_in, 0);
		CHECK_EQ(r.seg[0].addr, 0x1000);
		CHECK_EQ(r.seg[0].len, 12);
		CHECK_EQ(r.seg[1].addr, 0x2000);
		rig_close(&r);
	}
	/* On a descriptor of the ring itself the flag counts. */
	rig_packed(&r, 4, 0);
	r.ring.out_only = true;
	raw(0, 0x1000, 9, WRITE);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(r.burst.chain[0].nr_in, 1);
	rig_close(&r);
}

/* The pop is well, the table isn't; the chain stays as it was. */
static void table_refused(enum vd_reason reason)
{
	struct vd_chain before;

	if (!CHECK_EQ(rig_pop(&r, VD_BURST), 1))
		return;
	before = r.burst.chain[0];
	CHECK_EQ(rig_expand(&r, 0), -(int)reason);
	CHECK(!memcmp(&before, &r.burst.chain[0], sizeof(before)));
	rig_rewind(&r, 1);
	CHECK_EQ(r.ring.last_avail, 0);
}

static void readable_after_writable_in_the_table(void)
{
	rig_packed(&r, 4, 64);
	mock_packed_raw_entry(&r.pk, 0, 0, 0x1000, 1, 0, WRITE);
	mock_packed_raw_entry(&r.pk, 0, 1, 0x1000, 0, 0, 0);
	raw(0, mock_packed_table(&r.pk, 0), 32, INDIRECT);
	table_refused(VD_BAD_ORDER);
	/* The same beyond what is fetched in one go. */
	raw(0, mock_packed_table(&r.pk, 0), 40 * 16, INDIRECT);
	table_refused(VD_BAD_ORDER);
	rig_close(&r);
}

static void table_of_too_many_entries(void)
{
	u32 i;

	rig_packed(&r, 4, 4096);
	rig_add(&r, 0, VD_CHAIN_SEGS + 1, 0, 0);
	rig_publish(&r);
	table_refused(VD_BAD_LONG);
	/* Empty ones leave no segment, but cost a look each. */
	for (i = 0; i < 4096; i++)
		mock_packed_raw_entry(&r.pk, 0, i, 0, 0, 0, 0);
	raw(0, mock_packed_table(&r.pk, 0), 4096 * 16, INDIRECT);
	table_refused(VD_BAD_LONG);
	rig_close(&r);
}

static int read_nothing(void *ctx, u64 gpa, void *dst, u32 len)
{
	u32 *left = ctx;

	(void)gpa;
	memset(dst, 0, len);
	return (*left)-- ? 0 : -1;
}

static void table_read_fault(void)
{
	u32 size, n, left;

	for (size = 1; size < 40; size++)
		for (n = 0; n < (size > VD_TABLE_RUN ? size : 1); n++) {
			rig_packed(&r, 4, 64);
			left = n;
			r.io = (struct vd_table_io){ read_nothing, &left };
			raw(0, mock_packed_table(&r.pk, 0), 16 * size,
			    INDIRECT);
			table_refused(VD_BAD_INDIRECT_READ);
			rig_close(&r);
		}
}

static void table_that_wraps_at_2_to_the_64(void)
{
	u32 left = 1000;

	rig_packed(&r, 4, 4);
	r.io = (struct vd_table_io){ read_nothing, &left };
	raw(0, -16ull, 64 * 16, INDIRECT);
	table_refused(VD_BAD_INDIRECT_READ);
	raw(0, -64ull * 16, 64 * 16, INDIRECT);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(rig_expand(&r, 0), 0);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(loop_of_all_slots),
	TEST(chain_into_the_burst_itself),
	TEST(rewind_by_any_number_stays_inside),
	TEST(readable_after_writable),
	TEST(chain_of_too_many_segments),
	TEST(chain_of_too_many_empty_descriptors),
	TEST(bursts_of_long_chains_are_bounded),
	TEST(chains_of_one_behind_a_long_one),
	TEST(chains_of_one_before_a_long_one),
	TEST(malformed_chain_ends_the_burst),
	TEST(malformed_head_is_nothing_new),
	TEST(zero_length_with_a_wild_address),
	TEST(lengths_above_4_gigabytes),
	TEST(tables_of_every_kind),
	TEST(tables_between_direct_chains),
	TEST(table_takes_the_last_room),
	TEST(table_not_negotiated),
	TEST(table_in_a_chain),
	TEST(table_of_a_bad_length),
	TEST(flags_of_entries_but_write_are_ignored),
	TEST(write_in_a_table_means_nothing_where_the_device_only_reads),
	TEST(readable_after_writable_in_the_table),
	TEST(table_of_too_many_entries),
	TEST(table_read_fault),
	TEST(table_that_wraps_at_2_to_the_64),
};

KTAP_MAIN(tests)

// SPDX-License-Identifier: GPL-2.0-only
/* Indirect tables, well formed and not. Section 2.7.5.3. */
#include "rig.h"

static struct rig r;

#define NEXT		MOCK_F_NEXT
#define WRITE		MOCK_F_WRITE
#define INDIRECT	MOCK_F_INDIRECT

/* A descriptor that refers to its own table of @len bytes is made available. */
static void offer_table(u32 len, u16 flags)
{
	mock_raw_desc(&r.drv, 0, mock_table(&r.drv, 0), len, INDIRECT | flags,
		      1);
	mock_raw_desc(&r.drv, 1, 0x1000, 1, 0, 0);
	mock_raw_head(&r.drv, 0, 0);
	mock_raw_avail_idx(&r.drv, 1);
}

/* The pop is well, the table isn't; the chain stays as it was. */
static void table_refused(enum vd_reason reason)
{
	struct vd_chain before;

	r.ring.last_avail = 0;
	if (!CHECK_EQ(rig_pop(&r, VD_BURST), 1))
		return;
	CHECK(r.burst.chain[0].indirect);
	before = r.burst.chain[0];
	CHECK_EQ(rig_expand(&r, 0), -(int)reason);
	CHECK(!memcmp(&before, &r.burst.chain[0], sizeof(before)));
}

static void expand_is(u32 i, u32 key, u32 out, u32 in)
{
	struct vd_chain *c = &r.burst.chain[i];

	CHECK(c->indirect);
	if (!CHECK_EQ(rig_expand(&r, i), 0))
		return;
	CHECK(!c->indirect);
	CHECK_EQ(c->first, 0);
	rig_is(c, r.seg, key, out, in);
}

static void tables_of_every_kind(void)
{
	static const u32 out[] = { 0, 1, 2, 15, 16, 30, 31, 32, 33, 100, 1000 };
	const u32 n = ARRAY_SIZE(out);
	u32 i, j;

	for (i = 0; i < n; i++)
		for (j = i ? 0 : 1; j < n && out[i] + out[j] <= 1024; j++) {
			rig_small(&r, 4, 1024);
			rig_add(&r, i * n + j, out[i], out[j], 0);
			mock_publish(&r.drv);
			CHECK_EQ(rig_pop(&r, VD_BURST), 1);
			expand_is(0, i * n + j, out[i], out[j]);
			rig_close(&r);
		}
}

static void table_after_direct_descriptors(void)
{
	u32 direct;

	for (direct = 0; direct <= 12; direct++) {
		rig_small(&r, 64, 64);
		rig_add(&r, 77, 1, 0, 1);
		rig_add(&r, direct, 6, 7, direct);
		rig_add(&r, 78, 1, 0, 1);
		mock_publish(&r.drv);
		CHECK_EQ(rig_pop(&r, VD_BURST), 3);
		rig_chain_is(&r, 0, 77, 1, 0);
		rig_chain_is(&r, 2, 78, 1, 0);
		expand_is(1, direct, 6, 7);
		rig_close(&r);
	}
}

/* All of a burst at once; each chain has its own place among the segments. */
static void burst_of_tables(void)
{
	u32 i;

	rig_small(&r, 256, 8);
	for (i = 0; i < 64; i++)
		rig_add(&r, i, 3, 4, i % 4);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 64);
	for (i = 0; i < 64; i++)
		expand_is(i, i, 3, 4);
	rig_close(&r);
}

static void not_negotiated(void)
{
	rig_small(&r, 4, 4);
	r.ring.indirect = false;
	offer_table(16, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_INDIRECT_OFF);
	rig_close(&r);
}

static void indirect_with_next(void)
{
	rig_small(&r, 4, 4);
	offer_table(16, NEXT);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_INDIRECT_NEXT);
	rig_close(&r);
}

/* Section 2.7.5.3.2: the device ignores the write flag of the referrer. */
static void write_flag_of_the_referrer_is_ignored(void)
{
	rig_small(&r, 4, 4);
	offer_table(16, WRITE);
	mock_raw_entry(&r.drv, 0, 0, 0x5000, 5, 0, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(rig_expand(&r, 0), 0);
	CHECK_EQ(r.burst.chain[0].nr_out, 1);
	CHECK_EQ(r.seg[0].addr, 0x5000);
	rig_close(&r);
}

static void length_not_a_multiple_of_16(void)
{
	u32 len;

	rig_small(&r, 4, 64);
	for (len = 1; len < 100; len++) {
		offer_table(len, 0);
		r.ring.last_avail = 0;
		CHECK_EQ(rig_pop(&r, VD_BURST),
			 len % 16 ? -VD_BAD_INDIRECT_LEN : 1);
	}
	rig_close(&r);
}

static void length_zero(void)
{
	rig_small(&r, 4, 4);
	offer_table(0, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_INDIRECT_LEN);
	rig_close(&r);
}

static void length_above_65536_entries(void)
{
	rig_small(&r, 4, 4);
	offer_table((65536 + 1) * 16, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_INDIRECT_LEN);
	offer_table(0xfffffff0, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_INDIRECT_LEN);
	offer_table(65536 * 16, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

static void nested_table(void)
{
	rig_small(&r, 4, 64);
	offer_table(2 * 16, 0);
	mock_raw_entry(&r.drv, 0, 0, 0x1000, 1, NEXT, 1);
	mock_raw_entry(&r.drv, 0, 1, mock_table(&r.drv, 1), 16, INDIRECT, 0);
	table_refused(VD_BAD_INDIRECT_NEST);
	/* The same beyond what is fetched in one go. */
	offer_table(40 * 16, 0);
	table_refused(VD_BAD_INDIRECT_NEST);
	rig_close(&r);
}

static void next_outside_the_table(void)
{
	static const u32 size[] = { 1, 2, 31, 32, 33, 64 };
	u32 i;

	rig_small(&r, 4, 128);
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		offer_table(size[i] * 16, 0);
		/* What lies there is fit to be a descriptor. */
		mock_raw_entry(&r.drv, 0, size[i], 0x1000, 1, 0, 0);
		mock_raw_entry(&r.drv, 0, 0, 0x1000, 1, NEXT, size[i]);
		table_refused(VD_BAD_NEXT);
		mock_raw_entry(&r.drv, 0, 0, 0x1000, 1, NEXT, 0xffff);
		table_refused(VD_BAD_NEXT);
	}
	rig_close(&r);
}

static void loop_in_the_table(void)
{
	static const u32 size[] = { 1, 2, 32, 33, 1024 };
	u32 i;

	rig_small(&r, 4, 1024);
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		offer_table(size[i] * 16, 0);
		mock_raw_entry(&r.drv, 0, 0, 0x1000, 1, NEXT, size[i] - 1);
		mock_raw_entry(&r.drv, 0, size[i] - 1, 0x1000, 0, NEXT, 0);
		table_refused(VD_BAD_LOOP);
	}
	rig_close(&r);
}

static void readable_after_writable_in_the_table(void)
{
	rig_small(&r, 4, 8);
	offer_table(2 * 16, 0);
	mock_raw_entry(&r.drv, 0, 0, 0x1000, 1, NEXT | WRITE, 1);
	mock_raw_entry(&r.drv, 0, 1, 0x1000, 1, 0, 0);
	table_refused(VD_BAD_ORDER);
	/* What a packed ring's driver is forgiven no split ring's driver does. */
	r.ring.out_only = true;
	table_refused(VD_BAD_ORDER);
	rig_close(&r);
}

static void readable_in_the_table_after_writable_direct(void)
{
	rig_small(&r, 4, 8);
	mock_raw_desc(&r.drv, 2, 0x1000, 1, NEXT | WRITE, 0);
	mock_raw_desc(&r.drv, 0, mock_table(&r.drv, 0), 16, INDIRECT, 0);
	mock_raw_entry(&r.drv, 0, 0, 0x1000, 1, 0, 0);
	mock_raw_head(&r.drv, 0, 2);
	mock_raw_avail_idx(&r.drv, 1);
	table_refused(VD_BAD_ORDER);
	mock_raw_entry(&r.drv, 0, 0, 0x2000, 1, WRITE, 0);
	r.ring.last_avail = 0;
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(rig_expand(&r, 0), 0);
	CHECK_EQ(r.burst.chain[0].nr_in, 2);
	rig_close(&r);
}

static void table_of_too_many_segments(void)
{
	rig_small(&r, 4, 2000);
	rig_add(&r, 0, VD_CHAIN_SEGS + 1, 0, 0);
	mock_publish(&r.drv);
	table_refused(VD_BAD_LONG);
	rig_close(&r);
	/* Direct ones count as well. */
	rig_small(&r, 8, 2000);
	rig_add(&r, 0, VD_CHAIN_SEGS + 1, 0, 3);
	mock_publish(&r.drv);
	table_refused(VD_BAD_LONG);
	rig_close(&r);
	rig_small(&r, 8, 2000);
	rig_add(&r, 0, VD_CHAIN_SEGS - 1, 1, 3);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	expand_is(0, 0, VD_CHAIN_SEGS - 1, 1);
	rig_close(&r);
}

struct counted {
	struct mock_arena *mem;
	u32 reads;
	u32 fail_at;
	u64 last;
	bool again;
};

static int read_counted(void *ctx, u64 gpa, void *dst, u32 len)
{
	struct counted *c = ctx;

	if (c->reads++ == c->fail_at)
		return -1;
	if (c->reads > 1 && gpa <= c->last)
		c->again = true;
	c->last = gpa + len - 1;
	return mock_read(c->mem, gpa, dst, len);
}

/* They leave no segment, but each costs a read of guest memory. */
static void table_of_too_many_empty_entries(void)
{
	struct counted c = { .mem = &r.mem, .fail_at = ~0u };
	u32 i;

	rig_small(&r, 2, 4096);
	r.io = (struct vd_table_io){ read_counted, &c };
	for (i = 0; i < 4096; i++)
		mock_raw_entry(&r.drv, 0, i, 0, 0, NEXT, i + 1);
	offer_table(4096 * 16, 0);
	table_refused(VD_BAD_LONG);
	CHECK_EQ(c.reads, VD_CHAIN_SEGS);
	rig_close(&r);
}

static void table_read_fault(void)
{
	struct counted c = { .mem = &r.mem };
	u32 n, size;

	for (size = 1; size < 40; size++)
		for (n = 0; n < (size > VD_TABLE_RUN ? size : 1); n++) {
			rig_small(&r, 4, 64);
			r.io = (struct vd_table_io){ read_counted, &c };
			rig_add(&r, 0, size, 0, 0);
			mock_publish(&r.drv);
			c.reads = 0;
			c.fail_at = n;
			table_refused(VD_BAD_INDIRECT_READ);
			rig_close(&r);
		}
}

/* No byte of a table is fetched twice, however it is fetched. */
static void table_is_read_once(void)
{
	struct counted c = { .mem = &r.mem, .fail_at = ~0u };
	u32 size;

	for (size = 1; size < 40; size++) {
		rig_small(&r, 4, 64);
		r.io = (struct vd_table_io){ read_counted, &c };
		rig_add(&r, 0, size, 0, 0);
		mock_publish(&r.drv);
		c.reads = 0;
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		expand_is(0, 0, size, 0);
		CHECK(!c.again);
		CHECK_EQ(c.reads, size > VD_TABLE_RUN ? size : 1);
		rig_close(&r);
	}
}

/* Its end is where another part of memory begins; neither half is a table. */
static void table_that_wraps_at_2_to_the_64(void)
{
	static const u32 size[] = { 2, 32, 33, 64 };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		rig_small(&r, 4, 0);
		r.ring.indirect = true;
		/* A guest with memory at both ends of the address space. */
		r.mem.gpa = -16ull;
		mock_raw_desc(&r.drv, 0, -16ull, size[i] * 16, INDIRECT, 0);
		mock_raw_head(&r.drv, 0, 0);
		mock_raw_avail_idx(&r.drv, 1);
		table_refused(VD_BAD_INDIRECT_READ);
		rig_close(&r);
	}
}

/*
 * A reader that wraps as the address does would see good entries on both
 * sides: the engine itself must refuse.
 */
static int read_anywhere(void *ctx, u64 gpa, void *dst, u32 len)
{
	(void)ctx;
	(void)gpa;
	memset(dst, 0, len);
	return 0;
}

static void wrapping_table_is_never_read(void)
{
	rig_small(&r, 4, 0);
	r.ring.indirect = true;
	r.io = (struct vd_table_io){ read_anywhere, NULL };
	mock_raw_desc(&r.drv, 0, -16ull, 64 * 16, INDIRECT, 0);
	mock_raw_head(&r.drv, 0, 0);
	mock_raw_avail_idx(&r.drv, 1);
	table_refused(VD_BAD_INDIRECT_READ);
	/* The last byte of the address space may belong to a table. */
	mock_raw_desc(&r.drv, 0, -64ull * 16, 64 * 16, INDIRECT, 0);
	r.ring.last_avail = 0;
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(rig_expand(&r, 0), 0);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(tables_of_every_kind),
	TEST(table_after_direct_descriptors),
	TEST(burst_of_tables),
	TEST(not_negotiated),
	TEST(indirect_with_next),
	TEST(write_flag_of_the_referrer_is_ignored),
	TEST(length_not_a_multiple_of_16),
	TEST(length_zero),
	TEST(length_above_65536_entries),
	TEST(nested_table),
	TEST(next_outside_the_table),
	TEST(loop_in_the_table),
	TEST(readable_after_writable_in_the_table),
	TEST(readable_in_the_table_after_writable_direct),
	TEST(table_of_too_many_segments),
	TEST(table_of_too_many_empty_entries),
	TEST(table_read_fault),
	TEST(table_is_read_once),
	TEST(table_that_wraps_at_2_to_the_64),
	TEST(wrapping_table_is_never_read),
};

KTAP_MAIN(tests)

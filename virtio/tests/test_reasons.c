// SPDX-License-Identifier: GPL-2.0-only
/*
 * Each reason that the engine can give is given, on each kind of ring that can
 * have it: a reason that is added and never provoked fails here.
 */
#include "rig.h"

static struct rig r;

#define NEXT		MOCK_F_NEXT
#define WRITE		MOCK_F_WRITE
#define INDIRECT	MOCK_F_INDIRECT

enum { SPLIT = 1, PACKED = 2, BOTH = 3 };

/* Two descriptors, the first the head of the only chain, and entries. */
struct row {
	enum vd_reason reason;
	u32 kinds;
	u32 len;
	u16 flags;
	u16 next;
	u16 flags2;
	u16 entry;
	u16 head;
	u16 jump;
	bool fault;
	bool no_tables;
};

#define ROW(r, k, ...)	{ .reason = (r), .kinds = (k), ##__VA_ARGS__ }

static const struct row rows[] = {
	ROW(VD_OK, BOTH, .len = 16),
	ROW(VD_FAULT, BOTH, .len = 16, .fault = true),
	ROW(VD_BAD_AVAIL_JUMP, SPLIT, .jump = 3),
	ROW(VD_BAD_HEAD, SPLIT, .head = 2),
	ROW(VD_BAD_NEXT, SPLIT, .flags = NEXT, .next = 2),
	ROW(VD_BAD_LOOP, SPLIT, .flags = NEXT, .next = 0),
	ROW(VD_BAD_LOOP, PACKED, .flags = NEXT, .flags2 = NEXT),
	ROW(VD_BAD_ORDER, BOTH, .len = 16, .flags = NEXT | WRITE, .next = 1),
	ROW(VD_BAD_LONG, BOTH, .len = 16 * 2000, .flags = INDIRECT),
	ROW(VD_BAD_INDIRECT_OFF, BOTH, .len = 16, .flags = INDIRECT,
	    .no_tables = true),
	ROW(VD_BAD_INDIRECT_NEXT, BOTH, .len = 16, .flags = INDIRECT | NEXT),
	ROW(VD_BAD_INDIRECT_NEXT, PACKED, .flags = NEXT, .flags2 = INDIRECT),
	ROW(VD_BAD_INDIRECT_LEN, BOTH, .len = 15, .flags = INDIRECT),
	ROW(VD_BAD_INDIRECT_NEST, SPLIT, .len = 16, .flags = INDIRECT,
	    .entry = INDIRECT),
	ROW(VD_BAD_INDIRECT_READ, BOTH, .len = 16, .flags = INDIRECT),
};

/* Two of back ends, which know what buffers are for; one that stays inside. */
static const enum vd_reason not_ours[] = {
	VD_BAD_DIRECTION, VD_BAD_BUFFER, VD_BURST_FULL,
};

/* A table longer than a chain may be: nothing but empty entries. */
static int read_table(void *ctx, u64 gpa, void *dst, u32 len)
{
	const struct row *row = ctx;
	u16 flags = row->len > 16 * VD_TABLE_RUN ? NEXT : row->entry;
	u16 next = (gpa - RIG_GPA) / 16 + 1;

	if (row->reason == VD_BAD_INDIRECT_READ)
		return -1;
	memset(dst, 0, len);
	memcpy((u8 *)dst + 12, &flags, 2);
	memcpy((u8 *)dst + 14, &next, 2);
	return 0;
}

static int provoke(const struct row *row, bool packed)
{
	int ret;

	rig_open(&r, &(struct mock_layout){ .num = 2, .packed = packed,
					    .le = true });
	r.may_reread = true;
	r.watch.poison = false;
	r.ring.indirect = !row->no_tables;
	r.io = (struct vd_table_io){ read_table, (void *)row };
	if (packed) {
		mock_packed_raw_desc(&r.pk, 1, true, RIG_GPA, 16, 0,
				     row->flags2);
		mock_packed_raw_desc(&r.pk, 0, true, RIG_GPA, row->len, 0,
				     row->flags);
	} else {
		mock_raw_desc(&r.drv, 0, RIG_GPA, row->len, row->flags,
			      row->next);
		mock_raw_desc(&r.drv, 1, RIG_GPA, 16, row->flags2, 0);
		mock_raw_head(&r.drv, 0, row->head);
		mock_raw_avail_idx(&r.drv, row->jump ? row->jump : 1);
	}
	r.watch.fail_at = row->fault ? 0 : WATCH_NEVER;
	ret = rig_pop(&r, 1);
	if (ret == 1)
		ret = r.burst.chain[0].indirect ? rig_expand(&r, 0) : 0;
	rig_close(&r);
	return ret;
}

static void each_reason_is_given(void)
{
	bool seen[VD_REASONS] = { false };
	u32 i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].kinds & SPLIT)
			CHECK_EQ(-provoke(&rows[i], false), rows[i].reason);
		if (rows[i].kinds & PACKED)
			CHECK_EQ(-provoke(&rows[i], true), rows[i].reason);
		seen[rows[i].reason] = true;
	}
	for (i = 0; i < ARRAY_SIZE(not_ours); i++) {
		CHECK(!seen[not_ours[i]]);
		seen[not_ours[i]] = true;
	}
	for (i = 0; i < VD_REASONS; i++)
		if (!CHECK(seen[i]))
			printf("# never: %s\n", vd_reason_name(i));
}

static const struct ktap_test tests[] = {
	TEST(each_reason_is_given),
};

KTAP_MAIN(tests)

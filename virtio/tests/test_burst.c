// SPDX-License-Identifier: GPL-2.0-only
/* Bursts that don't end where the ring does: room, rewind, faults. */
#include "rig.h"

static struct rig r;

/* Chains @key onwards come in as many pops as it takes; returns how many. */
static u32 drain(u32 key, u32 n, u32 out, u32 in)
{
	u32 got = 0, pops = 0;
	int ret, i;

	while (got < n) {
		ret = rig_pop(&r, VD_BURST);
		if (!CHECK(ret > 0))
			break;
		for (i = 0; i < ret; i++)
			rig_chain_is(&r, i, key + got + i, out, in);
		got += ret;
		pops++;
	}
	CHECK_EQ(got, n);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	return pops;
}

static void long_chains_fill_a_burst_and_none_is_lost(void)
{
	static const u32 len[] = { 16, 17, 100, 300, 512, 513, 1000, 1024 };
	u32 i, j, n;

	for (i = 0; i < ARRAY_SIZE(len); i++) {
		rig_small(&r, 16384, 0);
		r.watch.poison = false;
		n = min_t(u32, 16384 / len[i], 100);
		for (j = 0; j < n; j++)
			rig_add(&r, j, len[i] - 1, 1, len[i]);
		mock_publish(&r.drv);
		/* As few pops as the room allows. */
		j = min_t(u32, VD_CHAIN_SEGS / len[i], VD_BURST);
		CHECK_EQ(drain(0, n, len[i] - 1, 1), (n + j - 1) / j);
		rig_close(&r);
	}
}

/* Each but the last leaves less room than the next needs. */
static void chain_larger_than_the_room_left(void)
{
	rig_small(&r, 4096, 0);
	rig_add(&r, 0, 1000, 0, 1000);
	rig_add(&r, 1, 25, 0, 25);
	rig_add(&r, 2, 24, 0, 24);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_chain_is(&r, 0, 0, 1000, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	rig_chain_is(&r, 0, 1, 25, 0);
	rig_chain_is(&r, 1, 2, 24, 0);
	rig_close(&r);
}

static void table_takes_the_last_room(void)
{
	rig_small(&r, 4096, 4);
	rig_add(&r, 0, 1023, 0, 1023);
	rig_add(&r, 1, 2, 0, 0);
	rig_add(&r, 2, 2, 0, 0);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	CHECK_EQ(r.burst.nsegs, 1024);
	CHECK_EQ(rig_expand(&r, 1), 0);
	rig_is(&r.burst.chain[1], r.seg, 1, 2, 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	rig_close(&r);
}

/* 1024 direct descriptors and then a table: one too many. */
static void table_after_the_last_room(void)
{
	rig_small(&r, 4096, 4);
	rig_add(&r, 0, 1025, 0, 1024);
	mock_publish(&r.drv);
	CHECK_EQ(rig_pop(&r, VD_BURST), -VD_BAD_LONG);
	rig_close(&r);
}

static void rewound_chains_come_again(void)
{
	struct mock_layout lay = { .num = 128, .start = 65500, .le = true };
	u32 i, keep;

	rig_open(&r, &lay);
	for (i = 0; i < 100; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_publish(&r.drv);
	for (i = 0; i < 100; i += keep) {
		int n = rig_pop(&r, VD_BURST);

		if (!CHECK_EQ(n, min_t(u32, 100 - i, VD_BURST)))
			break;
		rig_chain_is(&r, 0, i, 1, 0);
		rig_chain_is(&r, n - 1, i + n - 1, 1, 0);
		keep = n > 1 ? n / 2 : 1;
		vd_split_rewind(&r.ring, n - keep);
	}
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	rig_close(&r);
}

/* Of pop's accesses the n-th fails: it tells, or does with what it has. */
static void pop_with_a_fault_at_every_access(void)
{
	struct mock_layout lay = { .num = 8, .start = 5, .le = true };
	u32 at, i;
	int ret;

	/* Index, two runs of heads as they wrap, 2 descriptors of 4 chains. */
	for (at = 0; at < 3 + 2 * 4; at++) {
		rig_open(&r, &lay);
		for (i = 0; i < 4; i++)
			rig_add(&r, i, 1, 1, 2);
		mock_publish(&r.drv);
		r.watch.fail_at = at;
		ret = rig_pop(&r, VD_BURST);
		i = at < 3 ? 0 : (at - 3) / 2;
		CHECK_EQ(ret, i ? (int)i : -VD_FAULT);
		CHECK_EQ(r.burst.count, i);
		CHECK_EQ(r.ring.last_avail, (u16)(5 + i));
		drain(i, 4 - i, 1, 1);
		rig_close(&r);
	}
}

static void push_with_a_fault_at_every_access(void)
{
	struct mock_layout lay = { .num = 8, .start = 5, .le = true };
	struct vd_ring before;
	struct vd_used elem[4];
	u32 at, i;

	/* Two runs of elements as they wrap, then the index. */
	for (at = 0; at < 3; at++) {
		rig_open(&r, &lay);
		for (i = 0; i < 4; i++) {
			rig_add(&r, i, 1, 0, 1);
			elem[i] = vd_used_elem(&r.ring, i, i);
		}
		mock_publish(&r.drv);
		CHECK_EQ(rig_pop(&r, VD_BURST), 4);
		before = r.ring;
		r.watch.fail_at = at;
		CHECK_EQ(rig_push(&r, elem, 4), -VD_FAULT);
		CHECK(!memcmp(&before, &r.ring, sizeof(before)));
		CHECK_EQ(mock_raw_used_idx(&r.drv), 5);
		CHECK_EQ(rig_push(&r, elem, 4), 0);
		rig_reaps(&r, 0, 4);
		rig_close(&r);
	}
}

static void suppression_with_a_fault_at_every_access(void)
{
	struct mock_layout lay = { .num = 8, .le = true };

	for (int event_idx = 0; event_idx < 2; event_idx++) {
		lay.event_idx = event_idx;
		rig_open(&r, &lay);
		r.ring.signalled_valid = true;
		mock_raw_avail_flags(&r.drv, 1);
		CHECK_EQ(rig_need_signal(&r), 0);
		/* An interrupt too many rather than one too few. */
		r.watch.fail_at = 0;
		CHECK_EQ(rig_need_signal(&r), 1);
		r.watch.fail_at = 0;
		CHECK_EQ(rig_notify(&r), -VD_FAULT);
		r.watch.fail_at = 1;
		CHECK_EQ(rig_notify(&r), -VD_FAULT);
		CHECK_EQ(rig_notify(&r), 0);
		r.watch.fail_at = 0;
		CHECK_EQ(rig_moved(&r), -VD_FAULT);
		r.watch.fail_at = 0;
		CHECK_EQ(rig_no_notify(&r), event_idx ? 0 : -VD_FAULT);
		CHECK_EQ(mock_raw_used_flags(&r.drv), 0);
		/* What failed is done at the next call. */
		CHECK_EQ(rig_no_notify(&r), 0);
		CHECK_EQ(mock_raw_used_flags(&r.drv), !event_idx);
		rig_close(&r);
	}
}

/* A burst says whether its chains are all alike; rig_pop() checks it. */
static void burst_tells_whether_all_are_single(void)
{
	u32 in, i;

	for (in = 0; in < 64; in++) {
		rig_small(&r, 64, 0);
		for (i = 0; i < 6; i++)
			CHECK(rig_add(&r, i, !(in >> i & 1), in >> i & 1, 1) >=
			      0);
		rig_publish(&r);
		CHECK_EQ(rig_pop(&r, VD_BURST), 6);
		CHECK_EQ(r.burst.singles, in && in != 63 ? 0 : 6);
		rig_close(&r);
	}
	rig_small(&r, 64, 0);
	rig_offer(&r, 0, 3, 1);
	rig_offer(&r, 3, 1, 2);
	CHECK_EQ(rig_pop(&r, VD_BURST), 4);
	CHECK_EQ(r.burst.singles, 0);
	/* What the last burst said is gone. */
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	rig_offer(&r, 0, 3, 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 3);
	CHECK_EQ(r.burst.singles, 3);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
	CHECK_EQ(r.burst.singles, 0);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(long_chains_fill_a_burst_and_none_is_lost),
	TEST(chain_larger_than_the_room_left),
	TEST(table_takes_the_last_room),
	TEST(table_after_the_last_room),
	TEST(rewound_chains_come_again),
	TEST(pop_with_a_fault_at_every_access),
	TEST(push_with_a_fault_at_every_access),
	TEST(suppression_with_a_fault_at_every_access),
	TEST(burst_tells_whether_all_are_single),
};

KTAP_MAIN(tests)

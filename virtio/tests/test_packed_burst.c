// SPDX-License-Identifier: GPL-2.0-only
/* Packed bursts that don't end where the ring does: rewind, faults, order. */
#include "rig.h"

static struct rig r;

static void open_ring(u32 num, u16 start)
{
	rig_open(&r, &(struct mock_layout){ .num = num, .start = start,
					    .salt = 777, .packed = true,
					    .le = true });
}

/* Chains @key onwards come in as many pops as it takes. */
static void drain(u32 key, u32 n, u32 segs)
{
	u32 got = 0;
	int ret, i;

	while (got < n) {
		ret = rig_pop(&r, VD_BURST);
		if (!CHECK(ret > 0))
			break;
		for (i = 0; i < ret; i++)
			rig_chain_is(&r, i, key + got + i, segs - 1, 1);
		got += ret;
	}
	CHECK_EQ(got, n);
	CHECK_EQ(rig_pop(&r, VD_BURST), 0);
}

static void long_chains_fill_a_burst_and_none_is_lost(void)
{
	static const u32 len[] = { 16, 17, 100, 300, 512, 513, 1000, 1024 };
	u32 i, n;

	for (i = 0; i < ARRAY_SIZE(len); i++) {
		rig_packed(&r, 16000, 0);
		r.watch.poison = false;
		n = min_t(u32, 16000 / len[i], 100);
		rig_offer(&r, 0, n, len[i]);
		/* As many as the room allows. */
		CHECK_EQ(rig_pop(&r, VD_BURST),
			 min_t(u32, n, min_t(u32, VD_CHAIN_SEGS / len[i],
					     VD_BURST)));
		rig_rewind(&r, r.burst.count);
		drain(0, n, len[i]);
		rig_close(&r);
	}
}

static void rewound_chains_come_again(void)
{
	u32 num, start, i, keep;
	int n;

	for (num = 15; num <= 17; num++)
		for (start = 0; start < num; start++) {
			open_ring(num, start);
			rig_offer(&r, 0, 5, 3);
			for (i = 0; i < 5; i += keep) {
				n = rig_pop(&r, VD_BURST);
				if (!CHECK_EQ(n, 5 - i))
					break;
				rig_chain_is(&r, 0, i, 2, 1);
				rig_chain_is(&r, n - 1, 4, 2, 1);
				keep = n > 1 ? n / 2 : 1;
				rig_rewind(&r, n - keep);
			}
			CHECK_EQ(rig_pop(&r, VD_BURST), 0);
			rig_close(&r);
		}
}

/* The whole ring goes back: the slot is the same, the round is not. */
static void rewind_of_all(void)
{
	u32 num;

	for (num = 1; num <= 64; num++) {
		open_ring(num, num / 2);
		rig_offer(&r, 0, num, 1);
		CHECK_EQ(rig_pop(&r, VD_BURST), num);
		CHECK(!r.ring.avail_wrap);
		rig_rewind(&r, num);
		CHECK(r.ring.avail_wrap);
		drain(0, num, 1);
		rig_close(&r);
	}
}

/* Of pop's accesses the n-th fails: it tells, or does with what it has. */
static void pop_with_a_fault_at_every_access(void)
{
	u32 segs, at, polls, done;

	/* The slots of 3 chains are polled and one more; then all are read. */
	for (segs = 1; segs <= 2; segs++) {
		polls = 3 * segs + 1;
		for (at = 0; at < polls + 3 * segs; at++) {
			open_ring(8, 5);
			rig_offer(&r, 0, 3, segs);
			r.watch.fail_at = at;
			/* A poll that fails ends the look: the rest is there. */
			done = at < polls ? (at + segs - 1) / segs :
					    (at - polls) / segs;
			CHECK_EQ(rig_pop(&r, VD_BURST),
				 done ? (int)done : -VD_FAULT);
			CHECK_EQ(r.burst.count, done);
			CHECK_EQ(r.ring.last_avail, (5 + segs * done) % 8);
			CHECK_EQ(r.ring.avail_wrap, 5 + segs * done < 8);
			drain(done, 3 - done, segs);
			rig_close(&r);
		}
	}
}

/*
 * Two slots are looked at for two chains, but they are one chain: its two
 * descriptors, then the slot behind it, then two descriptors again.
 */
static void fault_in_a_later_look(void)
{
	static const int got[] = { -VD_FAULT, 1, -VD_FAULT, -VD_FAULT, 1, 1, 1,
				   2 };
	u32 at;

	for (at = 0; at < ARRAY_SIZE(got); at++) {
		open_ring(8, 5);
		rig_offer(&r, 0, 3, 2);
		r.watch.fail_at = at;
		CHECK_EQ(rig_pop(&r, 2), got[at]);
		drain(r.burst.count, 3 - r.burst.count, 2);
		rig_close(&r);
	}
}

/* A push that fails half way has shown the driver nothing, and can go on. */
static void push_with_a_fault(u32 start, u32 segs)
{
	struct vd_ring before;
	struct vd_used elem[4];
	u32 at, i;

	for (at = 0; at < 4; at++) {
		open_ring(9, start);
		rig_offer(&r, 0, 4, segs);
		CHECK_EQ(rig_pop(&r, VD_BURST), 4);
		for (i = 0; i < 4; i++)
			elem[i] = vd_used_elem(&r.ring, r.burst.chain[i].head,
					       i);
		before = r.ring;
		r.watch.fail_at = at;
		CHECK_EQ(rig_push(&r, elem, 4), -VD_FAULT);
		CHECK(!memcmp(&before, &r.ring, sizeof(before)));
		CHECK(!mock_packed_more_used(&r.pk));
		CHECK_EQ(rig_push(&r, elem, 4), 0);
		rig_reaps(&r, 0, 4);
		rig_close(&r);
	}
}

static void push_with_a_fault_at_every_access(void)
{
	u32 start;

	for (start = 0; start < 9; start++) {
		push_with_a_fault(start, 1);
		push_with_a_fault(start, 2);
	}
}

/* Until the last store, the driver sees none of them: each is tried. */
static void push_is_atomic(void)
{
	struct vd_used elem[6];
	u32 start, n, at, i;

	for (start = 0; start < 7; start++)
		for (n = 1; n <= 6; n++)
			for (at = 0; at < n; at++) {
				open_ring(7, start);
				rig_offer(&r, 0, 6, 1);
				CHECK_EQ(rig_pop(&r, VD_BURST), 6);
				for (i = 0; i < n; i++)
					elem[i] = vd_used_elem(&r.ring,
						r.burst.chain[i].head, i);
				r.watch.fail_at = at;
				r.watch.fail_all = true;
				CHECK_EQ(rig_push(&r, elem, n), -VD_FAULT);
				CHECK(!mock_packed_more_used(&r.pk));
				rig_close(&r);
			}
}

/* Chains come back in another order, and of other sizes, than they came. */
static void out_of_order(void)
{
	struct mock_done done;
	struct vd_used elem[6];
	u32 start, i, k;

	for (start = 0; start < 21; start++) {
		open_ring(21, start);
		for (i = 0; i < 6; i++)
			rig_add(&r, i, 0, i + 1, i + 1);
		rig_publish(&r);
		CHECK_EQ(rig_pop(&r, VD_BURST), 6);
		for (i = 0; i < 6; i++) {
			k = (i * 5 + start) % 6;
			elem[i] = vd_used_elem(&r.ring, r.burst.chain[k].head,
					       k);
		}
		CHECK_EQ(rig_push(&r, elem, 2), 0);
		CHECK_EQ(rig_push(&r, elem + 2, 4), 0);
		for (i = 0; i < 6; i++) {
			CHECK_EQ(rig_reap(&r, &done), 1);
			CHECK_EQ(done.cookie, (i * 5 + start) % 6);
			CHECK_EQ(done.len, (i * 5 + start) % 6);
		}
		CHECK_EQ(rig_reap(&r, &done), 0);
		/* All is free again, and the next round is as good. */
		rig_offer(&r, 50, 21, 1);
		CHECK_EQ(rig_pop(&r, VD_BURST), 21);
		rig_close(&r);
	}
}

/* @n chains of one segment, those marked in @in to be written. */
static void offer_directions(u32 n, u32 in)
{
	u32 i;

	for (i = 0; i < n; i++)
		CHECK(rig_add(&r, i, !(in >> i & 1), in >> i & 1, 1) >= 0);
	rig_publish(&r);
}

/* The same where each chain is of another kind than the one before. */
static void fault_between_chains_of_two_directions(void)
{
	u32 at, i, done;

	/* Nine polls and eight descriptors. */
	for (at = 0; at < 17; at++) {
		rig_packed(&r, 12, 0);
		offer_directions(8, 0x5a);
		r.watch.fail_at = at;
		done = at < 9 ? at : at - 9;
		CHECK_EQ(rig_pop(&r, VD_BURST), done ? (int)done : -VD_FAULT);
		CHECK_EQ(r.burst.count, done);
		for (i = 0; i < done; i++)
			rig_chain_is(&r, i, i, !(0x5a >> i & 1), 0x5a >> i & 1);
		CHECK_EQ(rig_pop(&r, VD_BURST), 8 - done);
		rig_close(&r);
	}
}

/* Alike chains of each number, with a fault at each of them. */
static void fault_in_a_run_of_single_chains(void)
{
	u32 n, at, i;

	for (n = 1; n < 12; n++) {
		for (at = 0; at < n; at++) {
			rig_packed(&r, 32, 0);
			rig_offer(&r, 0, n, 1);
			r.watch.fail_at = n + 1 + at;
			CHECK_EQ(rig_pop(&r, VD_BURST),
				 at ? (int)at : -VD_FAULT);
			for (i = 0; i < at; i++)
				rig_chain_is(&r, i, i, 0, 1);
			drain(at, n - at, 1);
			rig_close(&r);
		}
	}
}

/* Behind each number of single chains comes a long one. */
static void long_chain_behind_single_ones(void)
{
	u32 n, i;

	for (n = 0; n < 12; n++) {
		rig_packed(&r, 32, 0);
		rig_offer(&r, 0, n, 1);
		rig_offer(&r, n, 1, 3);
		rig_offer(&r, n + 1, 6, 1);
		CHECK_EQ(rig_pop(&r, VD_BURST), n + 7);
		CHECK_EQ(r.burst.singles, n);
		for (i = 0; i < n; i++)
			rig_chain_is(&r, i, i, 0, 1);
		rig_chain_is(&r, n, n, 2, 1);
		for (i = n + 1; i < n + 7; i++)
			rig_chain_is(&r, i, i, 0, 1);
		rig_close(&r);
	}
}

/*
 * A look behind long chains ends where the burst began: rig_pop() sees if a slot
 * is polled twice.
 */
static void later_look_ends_with_the_ring(void)
{
	u32 start;

	for (start = 0; start < 7; start++) {
		open_ring(7, start);
		rig_offer(&r, 0, 2, 3);
		rig_offer(&r, 2, 1, 1);
		CHECK_EQ(rig_pop(&r, 4), 3);
		CHECK_EQ(rig_pop(&r, 4), 0);
		rig_close(&r);
	}
}

/* A burst says how many of its first chains are alike; rig_pop() checks it. */
static void burst_tells_how_many_are_single(void)
{
	u32 in;

	for (in = 0; in < 64; in++) {
		rig_packed(&r, 64, 0);
		offer_directions(6, in);
		CHECK_EQ(rig_pop(&r, VD_BURST), 6);
		CHECK_EQ(r.burst.singles,
			 __builtin_ctz((in & 1 ? ~in : in) | 64));
		rig_close(&r);
	}
	/* A burst that goes on behind the ring's end, and one of two kinds. */
	open_ring(64, 60);
	rig_offer(&r, 0, 10, 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 10);
	CHECK_EQ(r.burst.singles, 4);
	rig_close(&r);
	open_ring(64, 0);
	rig_offer(&r, 0, 3, 1);
	rig_offer(&r, 3, 1, 2);
	rig_offer(&r, 4, 3, 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 7);
	CHECK_EQ(r.burst.singles, 3);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(long_chains_fill_a_burst_and_none_is_lost),
	TEST(rewound_chains_come_again),
	TEST(rewind_of_all),
	TEST(pop_with_a_fault_at_every_access),
	TEST(fault_in_a_later_look),
	TEST(push_with_a_fault_at_every_access),
	TEST(push_is_atomic),
	TEST(out_of_order),
	TEST(fault_between_chains_of_two_directions),
	TEST(fault_in_a_run_of_single_chains),
	TEST(long_chain_behind_single_ones),
	TEST(later_look_ends_with_the_ring),
	TEST(burst_tells_how_many_are_single),
};

KTAP_MAIN(tests)

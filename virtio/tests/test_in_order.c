// SPDX-License-Identifier: GPL-2.0-only
/*
 * VIRTIO_F_IN_ORDER: one used element for a run of buffers into which nothing
 * was written, on rings of both kinds. Sections 2.7.9 and 2.8.8.
 */
#include "rig.h"

static struct rig r;

static void open_ring(bool packed, u32 num, u16 start, bool event_idx)
{
	rig_open(&r, &(struct mock_layout){
		.num = num, .start = start, .packed = packed, .in_order = true,
		.event_idx = event_idx, .salt = 0x5678, .le = true });
}

/* Chains @key to @key + @n - 1 of @segs slots are popped. */
static void pop_all(u32 key, u32 n, u32 segs)
{
	rig_offer(&r, key, n, segs);
	CHECK_EQ(rig_pop(&r, VD_BURST), n);
}

/* Gives back chains @from to @from + @n - 1 of the burst: lengths by @bits. */
static void push(u32 from, u32 n, u64 bits)
{
	struct vd_used elem[VD_BURST];
	u32 i;

	for (i = 0; i < n; i++)
		elem[i] = vd_used_elem(&r.ring, r.burst.chain[from + i].head,
				       bits >> (from + i) & 1 ?
				       1000 + from + i : 0);
	CHECK_EQ(rig_push(&r, elem, n), 0);
}

/*
 * They come back in order, each once, with what was written; returns how many
 * had no element of their own.
 */
static u32 reaps(u32 key, u32 n, u64 bits)
{
	struct mock_done done;
	u32 i, skipped = 0;

	for (i = 0; i < n; i++) {
		if (!CHECK_EQ(rig_reap(&r, &done), 1))
			return 0;
		CHECK_EQ(done.cookie, key + i);
		CHECK_EQ(done.len, bits >> i & 1 ? 1000 + i : 0);
		/* The driver would think that all of it was written. */
		CHECK(!done.skipped || !(bits >> i & 1));
		skipped += done.skipped;
	}
	CHECK_EQ(rig_reap(&r, &done), 0);
	return skipped;
}

static void run_of_nothing_is_one_element(void)
{
	u32 packed, num, n, segs, key;

	for (packed = 0; packed < 2; packed++)
		for (num = 1; num <= 64; num *= 2)
			for (segs = 1; segs <= num && segs < 4; segs++)
				for (n = 1; n <= num / segs; n++) {
					open_ring(packed, num, num - 1, false);
					for (key = 0; key < 3 * n; key += n) {
						pop_all(key, n, segs);
						push(0, n, 0);
						CHECK_EQ(reaps(key, n, 0),
							 n - 1);
					}
					rig_close(&r);
				}
}

/* Written to or not, in every pattern, at every place of the ring. */
static void every_pattern_of_lengths(void)
{
	u32 packed, start, bits, segs, runs, skipped;

	for (packed = 0; packed < 2; packed++)
		for (segs = 1; segs <= 2; segs++)
			for (start = 0; start < 16; start++)
				for (bits = 0; bits < 1 << 7; bits++) {
					open_ring(packed, 16, start, false);
					pop_all(5, 7, segs);
					push(0, 7, bits);
					skipped = reaps(5, 7, bits);
					/* Neighbours without a length. */
					runs = ~bits & (~bits >> 1) & 0x3f;
					runs = __builtin_popcount(runs);
					/* A split ring's may be written out. */
					CHECK(packed ? skipped == runs :
						       skipped <= runs);
					rig_close(&r);
				}
}

/* However the runs are cut into pushes, and whenever the driver looks. */
static void runs_of_several_pushes(void)
{
	u32 packed, cut, late, skipped;

	for (packed = 0; packed < 2; packed++)
		for (cut = 1; cut < 16; cut++)
			for (late = 0; late < 2; late++) {
				open_ring(packed, 16, 11, false);
				pop_all(0, 16, 1);
				push(0, cut, 0);
				skipped = late ? 0 : reaps(0, cut, 0);
				push(cut, 16 - cut, 0);
				skipped += late ? reaps(0, 16, 0) :
						  reaps(cut, 16 - cut, 0);
				CHECK_EQ(skipped, 14);
				rig_close(&r);
			}
}

/* Those that are passed over count as used: an event among them is one. */
static void event_inside_a_run(void)
{
	u32 packed, event, at;

	for (packed = 0; packed < 2; packed++)
		for (event = 0; event < 16; event++) {
			open_ring(packed, 8, 5, true);
			r.ring.signalled_valid = true;
			r.ring.signalled_used = 5;
			r.ring.signalled_wrap = r.ring.used_wrap;
			pop_all(0, 6, 1);
			push(0, 6, 0);
			at = 5 + event;
			if (packed)
				mock_packed_raw_event(&r.pk, at % 8 |
						(at / 8 % 2 ? 0 : MOCK_WRAP),
						MOCK_EVENT_DESC);
			else
				mock_raw_used_event(&r.drv, at);
			CHECK_EQ(rig_need_signal(&r), event < 6);
			rig_close(&r);
		}
}

/* A run that fails is tried again; until then the driver sees nothing of it. */
static void run_with_a_fault_at_every_access(void)
{
	struct vd_used elem[6] = { { 0 } };
	struct mock_done done;
	u32 packed, at, i;

	for (packed = 0; packed < 2; packed++)
		for (at = 0; at < 2; at++) {
			open_ring(packed, 8, 5, false);
			pop_all(0, 6, 1);
			for (i = 0; i < 6; i++)
				elem[i] = vd_used_elem(&r.ring,
						r.burst.chain[i].head,
						i == 3 ? 1003 : 0);
			r.watch.fail_at = at;
			CHECK_EQ(rig_push(&r, elem, 6), -VD_FAULT);
			CHECK_EQ(rig_reap(&r, &done), 0);
			CHECK_EQ(rig_push(&r, elem, 6), 0);
			reaps(0, 6, 8);
			rig_close(&r);
		}
}

/* Without the feature each buffer has an element. */
static void not_negotiated(void)
{
	u32 packed;

	for (packed = 0; packed < 2; packed++) {
		rig_open(&r, &(struct mock_layout){ .num = 8, .packed = packed,
						    .le = true });
		pop_all(0, 8, 1);
		push(0, 8, 0);
		CHECK_EQ(reaps(0, 8, 0), 0);
		rig_close(&r);
	}
}

static const struct ktap_test tests[] = {
	TEST(run_of_nothing_is_one_element),
	TEST(every_pattern_of_lengths),
	TEST(runs_of_several_pushes),
	TEST(event_inside_a_run),
	TEST(run_with_a_fault_at_every_access),
	TEST(not_negotiated),
};

KTAP_MAIN(tests)

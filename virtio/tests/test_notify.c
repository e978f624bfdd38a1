// SPDX-License-Identifier: GPL-2.0-only
/* Who wakes whom, and when not. Sections 2.7.7 and 2.7.10. */
#include "rig.h"

static struct rig r;

static void open_ring(u32 num, u16 start, bool event_idx)
{
	rig_open(&r, &(struct mock_layout){ .num = num, .start = start,
					    .event_idx = event_idx,
					    .le = true });
}

/* Gives back @n elements that no driver looks at. */
static void push(u32 n)
{
	static struct vd_used elem[32768];

	CHECK_EQ(vd_split_push(&r.ring, &vd_watch_ops, &r.watch, elem, n), 0);
	CHECK_EQ(r.watch.outside, 0);
	watch_reset(&r.watch);
}

/* The definition, counted out: is index @event among those just written? */
static bool passes(u16 event, u16 old, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		if ((u16)(old + i) == event)
			return true;
	return false;
}

static void used_event_truth_table(void)
{
	static const u16 old[] = { 0, 1, 100, 32767, 32768, 65530, 65535 };
	u32 i, n, e;

	for (i = 0; i < ARRAY_SIZE(old); i++)
		for (n = 0; n <= 8; n++)
			for (e = 0; e < 24; e++) {
				u16 event = old[i] - 8 + e;

				open_ring(8, old[i], true);
				r.ring.signalled_used = old[i];
				r.ring.signalled_valid = true;
				push(n);
				mock_raw_used_event(&r.drv, event);
				CHECK_EQ(rig_need_signal(&r),
					 passes(event, old[i], n));
				/* Told once, it is not told again. */
				CHECK_EQ(rig_need_signal(&r), 0);
				rig_close(&r);
			}
}

/* Several pushes, one decision: what counts is since the last decision. */
static void signal_covers_all_pushes_since_the_last(void)
{
	open_ring(8, 65534, true);
	r.ring.signalled_used = 65534;
	r.ring.signalled_valid = true;
	mock_raw_used_event(&r.drv, 65534);
	push(1);
	push(3);
	push(2);
	CHECK_EQ(rig_need_signal(&r), 1);
	mock_raw_used_event(&r.drv, 5);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 0);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 1);
	rig_close(&r);
}

static void first_signal_is_never_suppressed(void)
{
	open_ring(8, 0, true);
	mock_raw_used_event(&r.drv, 1000);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 1);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 0);
	rig_close(&r);
}

/*
 * 2^16 elements without a decision: the distance to the last one is lost, and
 * with it the right to stay silent.
 */
static void signalled_index_is_dropped_on_wrap(void)
{
	open_ring(32768, 0, true);
	r.ring.signalled_valid = true;
	mock_raw_used_event(&r.drv, 65535);
	push(32768);
	push(32767);
	CHECK(r.ring.signalled_valid);
	CHECK_EQ(rig_need_signal(&r), 0);
	mock_raw_used_event(&r.drv, 10);
	push(32768);
	push(32768);
	push(5);
	/* Index 65540: 10 was passed long ago, though not in the last 5. */
	CHECK(!r.ring.signalled_valid);
	CHECK_EQ(rig_need_signal(&r), 1);
	CHECK(r.ring.signalled_valid);
	rig_close(&r);
}

static void signalled_index_is_dropped_at_exactly_2_to_the_16(void)
{
	open_ring(32768, 77, true);
	r.ring.signalled_valid = true;
	r.ring.signalled_used = 77;
	push(32768);
	CHECK(r.ring.signalled_valid);
	push(32768);
	CHECK(!r.ring.signalled_valid);
	mock_raw_used_event(&r.drv, 76);
	CHECK_EQ(rig_need_signal(&r), 1);
	rig_close(&r);
}

static void interrupt_flag_without_event_idx(void)
{
	open_ring(8, 0, false);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 1);
	mock_raw_avail_flags(&r.drv, 1);
	CHECK_EQ(rig_need_signal(&r), 0);
	/* Only bit 0 means anything. */
	mock_raw_avail_flags(&r.drv, 0xfffe);
	CHECK_EQ(rig_need_signal(&r), 1);
	rig_close(&r);
}

/* Section 2.7.7.2: with event indices the device ignores the flag. */
static void interrupt_flag_is_ignored_with_event_idx(void)
{
	open_ring(8, 0, true);
	r.ring.signalled_valid = true;
	mock_raw_avail_flags(&r.drv, 1);
	mock_raw_used_event(&r.drv, 0);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 1);
	rig_close(&r);
}

static void notify_on_empty(void)
{
	int event_idx;

	for (event_idx = 0; event_idx < 2; event_idx++) {
		open_ring(8, 0, event_idx);
		r.ring.notify_on_empty = true;
		r.ring.signalled_valid = true;
		rig_add(&r, 0, 1, 0, 1);
		rig_add(&r, 1, 1, 0, 1);
		mock_publish(&r.drv);
		mock_raw_avail_flags(&r.drv, 1);
		if (event_idx)
			mock_raw_used_event(&r.drv, 1000);
		CHECK_EQ(rig_pop(&r, 1), 1);
		rig_return_all(&r);
		CHECK_EQ(rig_need_signal(&r), 0);
		CHECK_EQ(rig_pop(&r, 1), 1);
		rig_return_all(&r);
		CHECK_EQ(rig_need_signal(&r), 1);
		rig_close(&r);
	}
}

static void kicks_by_flag(void)
{
	open_ring(8, 0, false);
	CHECK_EQ(rig_no_notify(&r), 0);
	CHECK_EQ(mock_raw_used_flags(&r.drv), 1);
	rig_add(&r, 0, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK(!mock_need_kick(&r.drv));
	CHECK_EQ(rig_notify(&r), 1);
	CHECK_EQ(mock_raw_used_flags(&r.drv), 0);
	CHECK_EQ(rig_pop(&r, VD_BURST), 1);
	CHECK_EQ(rig_notify(&r), 0);
	rig_add(&r, 1, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK(mock_need_kick(&r.drv));
	rig_close(&r);
}

static void no_notify_writes_only_what_changes(void)
{
	open_ring(8, 0, false);
	CHECK_EQ(rig_no_notify(&r), 0);
	r.watch.fail_at = 0;
	CHECK_EQ(rig_no_notify(&r), 0);
	CHECK_EQ(rig_notify(&r), 0);
	CHECK_EQ(rig_no_notify(&r), 0);
	CHECK_EQ(mock_raw_used_flags(&r.drv), 1);
	rig_close(&r);
}

/* Section 2.7.10.2: with event indices used->flags stays 0. */
static void kicks_by_event(void)
{
	struct mock_split *d = &r.drv;
	u32 i;

	open_ring(8, 65533, true);
	CHECK_EQ(rig_notify(&r), 0);
	CHECK_EQ(mock_raw_avail_event(d), 65533);
	for (i = 0; i < 8; i++) {
		rig_add(&r, i, 1, 0, 1);
		mock_publish(d);
		/* Nobody asked again: only the first passes the event. */
		CHECK_EQ(mock_need_kick(d), i == 0);
	}
	CHECK_EQ(rig_no_notify(&r), 0);
	CHECK_EQ(mock_raw_used_flags(d), 0);
	CHECK_EQ(mock_raw_avail_event(d), 65533);
	CHECK_EQ(rig_pop(&r, VD_BURST), 8);
	rig_return_all(&r);
	rig_reaps(&r, 0, 8);
	CHECK_EQ(rig_notify(&r), 0);
	CHECK_EQ(mock_raw_avail_event(d), 5);
	rig_add(&r, 9, 1, 0, 1);
	mock_publish(d);
	CHECK(mock_need_kick(d));
	rig_close(&r);
}

/*
 * A receiver puts back what does not hold its packet and sleeps until there is
 * more: that the ring is not empty must not keep it awake.
 */
static void changed_is_not_the_same_as_not_empty(void)
{
	int event_idx;

	for (event_idx = 0; event_idx < 2; event_idx++) {
		open_ring(16, 65535, event_idx);
		rig_add(&r, 0, 0, 1, 1);
		rig_add(&r, 1, 0, 1, 1);
		mock_publish(&r.drv);
		mock_need_kick(&r.drv);
		CHECK_EQ(rig_pop(&r, VD_BURST), 2);
		vd_split_rewind(&r.ring, 2);
		CHECK_EQ(rig_notify(&r), 0);
		rig_add(&r, 2, 0, 1, 1);
		mock_publish(&r.drv);
		CHECK(mock_need_kick(&r.drv));
		CHECK_EQ(rig_notify(&r), 1);
		CHECK_EQ(rig_notify(&r), 0);
		CHECK_EQ(rig_pop(&r, VD_BURST), 3);
		rig_chain_is(&r, 0, 0, 0, 1);
		rig_chain_is(&r, 2, 2, 0, 1);
		rig_close(&r);
	}
}

/* What appears between the last pop and the wish for a kick is not slept on. */
static void published_before_notify_is_seen_by_notify(void)
{
	int event_idx;

	for (event_idx = 0; event_idx < 2; event_idx++) {
		open_ring(16, 0, event_idx);
		CHECK_EQ(rig_no_notify(&r), 0);
		CHECK_EQ(rig_pop(&r, VD_BURST), 0);
		rig_add(&r, 0, 1, 0, 1);
		mock_publish(&r.drv);
		CHECK_EQ(rig_notify(&r), 1);
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		rig_close(&r);
	}
}

static const struct ktap_test tests[] = {
	TEST(used_event_truth_table),
	TEST(signal_covers_all_pushes_since_the_last),
	TEST(first_signal_is_never_suppressed),
	TEST(signalled_index_is_dropped_on_wrap),
	TEST(signalled_index_is_dropped_at_exactly_2_to_the_16),
	TEST(interrupt_flag_without_event_idx),
	TEST(interrupt_flag_is_ignored_with_event_idx),
	TEST(notify_on_empty),
	TEST(kicks_by_flag),
	TEST(no_notify_writes_only_what_changes),
	TEST(kicks_by_event),
	TEST(changed_is_not_the_same_as_not_empty),
	TEST(published_before_notify_is_seen_by_notify),
};

KTAP_MAIN(tests)

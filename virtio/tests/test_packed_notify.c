// SPDX-License-Identifier: GPL-2.0-only
/* Who wakes whom on a packed ring, and when not. Section 2.8.10. */
#include "rig.h"

static struct rig r;

static void open_ring(u32 num, u16 start, bool event_idx)
{
	rig_open(&r, &(struct mock_layout){ .num = num, .start = start,
					    .event_idx = event_idx,
					    .packed = true, .le = true });
}

/* Gives back chains of @slots slots in all, that no driver looks at. */
static void push(u32 slots)
{
	static struct vd_used elem[32768];

	r.slots[0] = slots;
	CHECK_EQ(rig_push(&r, elem, 1), 0);
}

/* A place, counted from the start of the first round. */
static u16 word_at(u32 at)
{
	u32 num = r.ring.num;

	return at % num | (at / num % 2 ? 0 : MOCK_WRAP);
}

/*
 * The definition, counted out: is the place @event among the @n slots from @old
 * on? A driver asks at most one round ahead.
 */
static bool passes(u32 event, u32 old, u32 n)
{
	return event >= old && event < old + n;
}

static void off_wrap_truth_table(void)
{
	u32 num, old, n, event;

	for (num = 1; num <= 9; num++)
		for (old = num; old < 3 * num; old++)
			for (n = 1; n <= num; n++)
				for (event = old + n - num;
				     event <= old + n + num - 1; event++) {
					open_ring(num, 0, true);
					r.ring.last_used = old % num;
					r.ring.used_wrap = !(old / num % 2);
					r.ring.signalled_used = old % num;
					r.ring.signalled_wrap =
						r.ring.used_wrap;
					r.ring.signalled_valid = true;
					push(n);
					mock_packed_raw_event(&r.pk,
							      word_at(event),
							      MOCK_EVENT_DESC);
					CHECK_EQ(rig_need_signal(&r),
						 passes(event, old, n));
					/* Told once, it is not told again. */
					CHECK_EQ(rig_need_signal(&r), 0);
					rig_close(&r);
				}
}

/* The largest ring: a round more is all of 16 bits. */
static void largest_ring_truth_table(void)
{
	static const u32 step[] = { 1, 2, 100, 32767, 32768 };
	u32 i, at = 32768, n;
	int off;

	open_ring(32768, 0, true);
	r.ring.used_wrap = false;
	r.watch.poison = false;
	for (i = 0; i < 4 * ARRAY_SIZE(step); i++) {
		n = step[i % ARRAY_SIZE(step)];
		for (off = -2; off < 2; off++) {
			u32 event = (i % 2 ? at : at + n) + off;

			r.ring.last_used = at % 32768;
			r.ring.used_wrap = !(at / 32768 % 2);
			r.ring.signalled_used = r.ring.last_used;
			r.ring.signalled_wrap = r.ring.used_wrap;
			r.ring.signalled_valid = true;
			push(n);
			mock_packed_raw_event(&r.pk, word_at(event),
					      MOCK_EVENT_DESC);
			/* Beyond a round back, a place is one ahead. */
			if (event + 32768 >= at + n)
				CHECK_EQ(rig_need_signal(&r),
					 passes(event, at, n));
		}
		at += n;
	}
	rig_close(&r);
}

/* All of the ring in one push: the slot is the same, the round is not. */
static void full_ring_push_signals(void)
{
	u32 num, slot;

	for (num = 1; num <= 5; num++)
		for (slot = 0; slot < num; slot++) {
			open_ring(num, 0, true);
			r.ring.signalled_valid = true;
			r.ring.signalled_wrap = true;
			mock_packed_raw_event(&r.pk, word_at(slot),
					      MOCK_EVENT_DESC);
			push(num);
			CHECK_EQ(r.ring.last_used, 0);
			CHECK(!r.ring.used_wrap);
			CHECK_EQ(rig_need_signal(&r), 1);
			CHECK_EQ(rig_need_signal(&r), 0);
			rig_close(&r);
		}
}

/* Several pushes, one decision: what counts is since the last decision. */
static void signal_covers_all_pushes_since_the_last(void)
{
	open_ring(8, 0, true);
	r.ring.signalled_valid = true;
	r.ring.signalled_wrap = true;
	mock_packed_raw_event(&r.pk, word_at(0), MOCK_EVENT_DESC);
	push(1);
	push(3);
	push(2);
	CHECK_EQ(rig_need_signal(&r), 1);
	mock_packed_raw_event(&r.pk, word_at(9), MOCK_EVENT_DESC);
	push(3);
	CHECK_EQ(rig_need_signal(&r), 0);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 1);
	rig_close(&r);
}

/*
 * Two rounds without a decision: the distance to the last one is lost, and
 * with it the right to stay silent. More than one round, it is not.
 */
static void signalled_place_is_dropped_after_two_rounds(void)
{
	u32 num, start, first, step, sum;

	for (num = 1; num <= 6; num++)
		for (start = 0; start < 2 * num; start++)
			for (first = 1; first <= num; first++)
				for (step = 1; step <= num; step++) {
					open_ring(num, 0, true);
					r.ring.last_used = start % num;
					r.ring.used_wrap = start < num;
					r.ring.signalled_used = start % num;
					r.ring.signalled_wrap = start < num;
					r.ring.signalled_valid = true;
					push(first);
					for (sum = first; sum < 2 * num;
					     sum += step) {
						CHECK(r.ring.signalled_valid);
						push(step);
					}
					CHECK(!r.ring.signalled_valid);
					/* Whatever it asks for. */
					mock_packed_raw_event(&r.pk,
						word_at(start + sum),
						MOCK_EVENT_DESC);
					CHECK_EQ(rig_need_signal(&r), 1);
					CHECK_EQ(rig_need_signal(&r), 0);
					rig_close(&r);
				}
}

static void first_signal_is_never_suppressed(void)
{
	open_ring(8, 0, true);
	mock_packed_raw_event(&r.pk, word_at(7), MOCK_EVENT_DESC);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 1);
	push(1);
	CHECK_EQ(rig_need_signal(&r), 0);
	rig_close(&r);
}

static void interrupts_by_flag(void)
{
	/* Place and reserved bits are no matter; 3 is none of the three. */
	static const struct { u16 flags; bool event_idx, signal; } row[] = {
		{ MOCK_EVENT_ENABLE, false, true },
		{ MOCK_EVENT_ENABLE, true, true },
		{ MOCK_EVENT_DISABLE, false, false },
		{ MOCK_EVENT_DISABLE, true, false },
		/* Not negotiated, it can't mean a place: rather too many. */
		{ MOCK_EVENT_DESC, false, true },
		{ MOCK_EVENT_DESC, true, false },
		{ 3, false, true },
		{ 3, true, true },
		{ 0xfffc | MOCK_EVENT_ENABLE, true, true },
		{ 0xfffc | MOCK_EVENT_DISABLE, true, false },
		{ 0xfffc | MOCK_EVENT_DESC, true, false },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(row); i++) {
		open_ring(8, 0, row[i].event_idx);
		r.ring.signalled_valid = true;
		r.ring.signalled_wrap = true;
		mock_packed_raw_event(&r.pk, word_at(5), row[i].flags);
		push(1);
		CHECK_EQ(rig_need_signal(&r), row[i].signal);
		rig_close(&r);
	}
}

static void suppression_with_a_fault_at_every_access(void)
{
	int event_idx, at;

	for (event_idx = 0; event_idx < 2; event_idx++) {
		open_ring(8, 0, event_idx);
		r.ring.signalled_valid = true;
		r.ring.signalled_wrap = true;
		mock_packed_raw_event(&r.pk, word_at(5), event_idx ?
				      MOCK_EVENT_DESC : MOCK_EVENT_DISABLE);
		CHECK_EQ(rig_need_signal(&r), 0);
		/* An interrupt too many rather than one too few. */
		for (at = 0; at <= event_idx; at++) {
			r.watch.fail_at = at;
			CHECK_EQ(rig_need_signal(&r), 1);
		}
		for (at = 0; at < 2 + event_idx; at++) {
			r.watch.fail_at = at;
			CHECK_EQ(rig_notify(&r), -VD_FAULT);
		}
		CHECK_EQ(rig_notify(&r), 0);
		r.watch.fail_at = 0;
		CHECK_EQ(rig_moved(&r), -VD_FAULT);
		r.watch.fail_at = 0;
		CHECK_EQ(rig_no_notify(&r), -VD_FAULT);
		CHECK_EQ(mock_packed_raw_flags(&r.pk), event_idx ?
			 MOCK_EVENT_DESC : MOCK_EVENT_ENABLE);
		/* What failed is done at the next call. */
		CHECK_EQ(rig_no_notify(&r), 0);
		CHECK_EQ(mock_packed_raw_flags(&r.pk), MOCK_EVENT_DISABLE);
		rig_close(&r);
	}
}

static void kicks(void)
{
	int event_idx;

	for (event_idx = 0; event_idx < 2; event_idx++) {
		open_ring(5, 4, event_idx);
		CHECK_EQ(rig_no_notify(&r), 0);
		rig_offer(&r, 0, 1, 2);
		CHECK(!rig_need_kick(&r));
		CHECK_EQ(rig_pop(&r, VD_BURST), 1);
		CHECK_EQ(rig_notify(&r), 0);
		CHECK_EQ(mock_packed_raw_flags(&r.pk), event_idx ?
			 MOCK_EVENT_DESC : MOCK_EVENT_ENABLE);
		/* Slot 1 of the round that has just begun. */
		CHECK_EQ(mock_packed_raw_off_wrap(&r.pk), event_idx ? 1 : 0);
		rig_offer(&r, 1, 1, 1);
		CHECK(rig_need_kick(&r));
		/* With a place, the next is beyond it; the flag stays. */
		rig_offer(&r, 2, 1, 1);
		CHECK_EQ(rig_need_kick(&r), !event_idx);
		CHECK_EQ(rig_no_notify(&r), 0);
		CHECK_EQ(mock_packed_raw_flags(&r.pk), MOCK_EVENT_DISABLE);
		rig_close(&r);
	}
}

/* What notify looks at is what pop looks at: section 2.8.1. */
static void notify_truth_table(void)
{
	u32 wrap, bits;

	for (wrap = 0; wrap < 2; wrap++)
		for (bits = 0; bits < 4; bits++) {
			u16 flags = (bits & 1 ? MOCK_F_AVAIL : 0) |
				    (bits & 2 ? MOCK_F_USED : 0) | 0x7f78;

			open_ring(4, wrap ? 0 : MOCK_WRAP, false);
			word_store16(mock_packed_desc(&r.pk, 0) + 14, flags);
			CHECK_EQ(rig_notify(&r), bits == (wrap ? 1 : 2));
			rig_close(&r);
		}
}

/* The place that is asked for, at each slot and in both rounds. */
static void place_of_the_kick(void)
{
	u32 num, i, at;

	for (num = 1; num <= 9; num++) {
		open_ring(num, 0, true);
		for (i = 0, at = 0; i < 40; i++) {
			u32 segs = 1 + i % min_t(u32, num, 3);

			CHECK_EQ(rig_notify(&r), 0);
			CHECK_EQ(mock_packed_raw_off_wrap(&r.pk), word_at(at));
			rig_offer(&r, i, 1, segs);
			CHECK(rig_need_kick(&r));
			CHECK_EQ(rig_pop(&r, VD_BURST), 1);
			rig_return_all(&r);
			rig_reaps(&r, i, 1);
			at += segs;
		}
		rig_close(&r);
	}
}

/*
 * A receiver that has too few chains for its packet puts them back and sleeps
 * until there are more: what it has seen must not wake it.
 */
static void rewound_is_not_the_same_as_new(void)
{
	u32 num = 7, start, segs, n;

	for (start = 0; start < num; start++)
		for (segs = 1; segs <= 3; segs++)
			for (n = 1; n * segs <= num; n++) {
				open_ring(num, start, segs % 2);
				rig_offer(&r, 0, n, segs);
				CHECK_EQ(rig_notify(&r), 1);
				CHECK_EQ(rig_pop(&r, VD_BURST), n);
				rig_rewind(&r, n);
				CHECK_EQ(r.ring.last_avail, start);
				CHECK_EQ(rig_notify(&r), 0);
				CHECK_EQ(rig_notify(&r), 0);
				if ((n + 1) * segs <= num) {
					rig_offer(&r, n, 1, segs);
					CHECK(rig_need_kick(&r));
					CHECK_EQ(rig_notify(&r), 1);
					n++;
				}
				CHECK_EQ(rig_pop(&r, VD_BURST), n);
				rig_chain_is(&r, 0, 0, segs - 1, 1);
				rig_chain_is(&r, n - 1, n - 1, segs - 1, 1);
				CHECK_EQ(rig_notify(&r), 0);
				rig_close(&r);
			}
}

/* What was seen stays seen though only some of it is popped again. */
static void rewound_and_popped_in_part(void)
{
	u32 max;

	for (max = 0; max <= 5; max++) {
		open_ring(7, 5, true);
		rig_offer(&r, 0, 5, 1);
		CHECK_EQ(rig_pop(&r, VD_BURST), 5);
		rig_rewind(&r, 5);
		CHECK_EQ(rig_pop(&r, max), max);
		CHECK_EQ(rig_notify(&r), 0);
		rig_rewind(&r, max);
		CHECK_EQ(rig_notify(&r), 0);
		CHECK_EQ(mock_packed_raw_off_wrap(&r.pk), 3);
		rig_close(&r);
	}
}

/* Left alone because fewer were wanted: they were not looked at. */
static void more_than_was_wanted_is_new(void)
{
	open_ring(7, 0, true);
	rig_offer(&r, 0, 5, 1);
	CHECK_EQ(rig_pop(&r, 3), 3);
	CHECK_EQ(rig_notify(&r), 1);
	CHECK_EQ(rig_pop(&r, VD_BURST), 2);
	CHECK_EQ(rig_notify(&r), 0);
	rig_close(&r);
}

/* Seen with the look that it ended, a long chain is behind, not ahead. */
static void long_chain_beyond_the_look(void)
{
	open_ring(7, 3, true);
	rig_offer(&r, 0, 1, 5);
	CHECK_EQ(rig_pop(&r, 1), 1);
	CHECK_EQ(rig_notify(&r), 0);
	CHECK_EQ(mock_packed_raw_off_wrap(&r.pk), 1);
	rig_close(&r);
}

/*
 * A chain that can't be used, @behind of them behind it: the device looks at
 * all, sleeps, and is woken by the next.
 */
static void rests(u32 num, u32 start, u32 behind)
{
	open_ring(num, start, behind % 2);
	rig_offer(&r, 0, behind + 1, 1);
	CHECK_EQ(rig_pop(&r, 1), 1);
	rig_rewind(&r, 1);
	CHECK_EQ(rig_notify(&r), behind > 0);
	rig_look_on(&r);
	CHECK_EQ(r.ring.last_avail, start);
	CHECK_EQ(rig_notify(&r), 0);
	CHECK_EQ(rig_look_on(&r), 0);
	CHECK_EQ(rig_notify(&r), 0);
	if (behind + 1 < num) {
		rig_offer(&r, behind + 1, 1, 1);
		CHECK(rig_need_kick(&r));
		CHECK_EQ(rig_notify(&r), 1);
	}
	rig_close(&r);
}

static void what_stops_sees_all(void)
{
	static const u32 nums[] = { 1, 2, 63, 64, 65, 128, 130, 256 };
	u32 i, n, start;

	for (i = 0; i < ARRAY_SIZE(nums); i++)
		for (n = 0; n < nums[i]; n++)
			for (start = 0; start < nums[i]; start += 1 + nums[i] / 5)
				rests(nums[i], start, n);
}

/* A driver that makes slots available again as they are looked at. */
static void look_on_ends(void)
{
	u32 i;

	open_ring(100, 3, false);
	for (i = 3; i < 103; i++)
		mock_packed_raw_desc(&r.pk, i % 100, i < 100, 0, 0, i, 0);
	CHECK_EQ(rig_look_on(&r), 36);
	CHECK_EQ(r.ring.avail_idx, 3);
	CHECK(!r.ring.seen_wrap);
	for (i = 3; i < 10; i++)
		mock_packed_raw_desc(&r.pk, i, false, 0, 0, i, 0);
	CHECK_EQ(rig_look_on(&r), 0);
	CHECK_EQ(r.ring.avail_idx, 3);
	/* More was popped than there is. */
	r.ring.avail_idx = 5;
	CHECK_EQ(rig_look_on(&r), 0);
	CHECK_EQ(r.ring.avail_idx, 5);
	rig_close(&r);
}

static void look_on_with_a_fault(void)
{
	open_ring(200, 0, true);
	rig_offer(&r, 0, 150, 1);
	r.watch.fail_at = 0;
	CHECK_EQ(vd_packed_look_on(&r.ring, &vd_watch_ops, &r.watch),
		 -VD_FAULT);
	CHECK_EQ(r.ring.avail_idx, 0);
	watch_reset(&r.watch);
	/* What was seen before it counts. */
	r.watch.fail_at = 70;
	CHECK_EQ(vd_packed_look_on(&r.ring, &vd_watch_ops, &r.watch), VD_BURST);
	CHECK_EQ(vd_packed_look_on(&r.ring, &vd_watch_ops, &r.watch), 6);
	CHECK_EQ(r.ring.avail_idx, 70);
	watch_reset(&r.watch);
	CHECK_EQ(rig_notify(&r), 1);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(off_wrap_truth_table),
	TEST(largest_ring_truth_table),
	TEST(full_ring_push_signals),
	TEST(signal_covers_all_pushes_since_the_last),
	TEST(signalled_place_is_dropped_after_two_rounds),
	TEST(first_signal_is_never_suppressed),
	TEST(interrupts_by_flag),
	TEST(suppression_with_a_fault_at_every_access),
	TEST(kicks),
	TEST(notify_truth_table),
	TEST(place_of_the_kick),
	TEST(rewound_is_not_the_same_as_new),
	TEST(rewound_and_popped_in_part),
	TEST(more_than_was_wanted_is_new),
	TEST(long_chain_beyond_the_look),
	TEST(what_stops_sees_all),
	TEST(look_on_ends),
	TEST(look_on_with_a_fault),
};

KTAP_MAIN(tests)

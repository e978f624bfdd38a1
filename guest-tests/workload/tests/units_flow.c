// SPDX-License-Identifier: GPL-2.0-only
/* What a receiver concludes from the numbers that come. */
#include <stdlib.h>
#include <string.h>

#include "intake.h"
#include "test.h"
#include "tracker.h"
#include "units.h"

#define WINDOW	128

static uint64_t lost(const struct tracker *t, uint64_t total)
{
	return tracker_expected(t, total) - t->unique;
}

static void take_all(struct tracker *t, const uint32_t *numbers, size_t count)
{
	while (count--)
		tracker_take(t, *numbers++);
}

#define TAKE(t, ...) take_all(t, (const uint32_t[]){ __VA_ARGS__ }, \
			      sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void crafted_windows(void)
{
	struct tracker t;

	t_begin("the window: its last number counts, the one before is stale");
	tracker_init(&t, WINDOW);
	TAKE(&t, WINDOW + 9);
	CHECK_EQ(tracker_take(&t, 10), TRACK_REORDERED);
	CHECK_EQ(tracker_take(&t, 10), TRACK_DUPLICATED);
	CHECK_EQ(tracker_take(&t, 9), TRACK_STALE);
	CHECK_EQ(t.reach, WINDOW - 1);
	CHECK_EQ(lost(&t, UINT64_MAX), WINDOW + 8);
	tracker_free(&t);
	t_end();

	t_begin("a jump of many windows forgets what stood there");
	tracker_init(&t, WINDOW);
	TAKE(&t, 0, 1, 2, 3, 7 * WINDOW + 5);
	CHECK_EQ(tracker_take(&t, 7 * WINDOW + 2), TRACK_REORDERED);
	CHECK_EQ(tracker_take(&t, 6 * WINDOW + 7), TRACK_REORDERED);
	CHECK_EQ(t.unique, 7);
	tracker_free(&t);
	t_end();
}

static void crafted(void)
{
	struct tracker t;

	t_begin("loss: a gap, at the beginning and at the end");
	tracker_init(&t, WINDOW);
	TAKE(&t, 2, 3, 5, 6);
	CHECK_EQ(lost(&t, UINT64_MAX), 3);
	CHECK_EQ(lost(&t, 10), 6);
	CHECK_EQ(t.reordered + t.duplicated + t.stale, 0);
	tracker_free(&t);
	t_end();

	t_begin("duplicates are no loss, and don't make one good");
	tracker_init(&t, WINDOW);
	TAKE(&t, 0, 0, 1, 3, 3, 3, 1);
	CHECK_EQ(t.duplicated, 4);
	CHECK_EQ(t.unique, 3);
	CHECK_EQ(lost(&t, 4), 1);
	CHECK_EQ(t.reordered, 0);
	tracker_free(&t);
	t_end();

	t_begin("reordered ones are counted once, with their distance");
	tracker_init(&t, WINDOW);
	TAKE(&t, 0, 4, 1, 2, 3, 5);
	CHECK_EQ(t.reordered, 3);
	CHECK_EQ(t.reach, 3);
	CHECK_EQ(lost(&t, 6), 0);
	CHECK_EQ(tracker_take(&t, 1), TRACK_DUPLICATED);
	tracker_free(&t);
	t_end();

	t_begin("nothing below the first one when joining");
	tracker_init(&t, WINDOW);
	tracker_join(&t, 1000);
	TAKE(&t, 1000, 1002);
	CHECK_EQ(lost(&t, UINT64_MAX), 1);
	CHECK_EQ(tracker_take(&t, 999), TRACK_STALE);
	tracker_free(&t);
	t_end();

	t_begin("who joins behind 2^32 numbers misses none of those before");
	tracker_init(&t, WINDOW);
	tracker_join(&t, 1000);
	TAKE(&t, 1000, 1001);
	CHECK_EQ(lost(&t, (5ull << 32) + 1002), 0);
	CHECK_EQ(lost(&t, (5ull << 32) + 1004), 2);
	CHECK_EQ(lost(&t, (5ull << 32) + 990), 0);
	tracker_free(&t);
	t_end();
}

static void wrapping(void)
{
	struct tracker t;
	uint64_t full;

	t_begin("numbers wrap at 2^32: loss, duplicates and order go on");
	tracker_init(&t, WINDOW);
	/* As far as it takes: by steps that are below half of the numbers. */
	for (full = 0; full < (1ull << 32) - 4; full += 1u << 30)
		tracker_take(&t, full);
	TAKE(&t, UINT32_MAX - 3, UINT32_MAX - 1, 0, 2);
	CHECK_EQ(t.next, (1ull << 32) + 3);
	CHECK_EQ(tracker_take(&t, UINT32_MAX), TRACK_REORDERED);
	CHECK_EQ(tracker_take(&t, UINT32_MAX), TRACK_DUPLICATED);
	CHECK_EQ(tracker_take(&t, 0), TRACK_DUPLICATED);
	CHECK_EQ(tracker_take(&t, 1), TRACK_REORDERED);
	CHECK_EQ(tracker_take(&t, UINT32_MAX - 2), TRACK_REORDERED);
	CHECK_EQ(t.unique, 4 + 4 + 3);
	CHECK_EQ(tracker_expected(&t, UINT64_MAX), (1ull << 32) + 3);
	tracker_free(&t);
	t_end();
}

/* A network that loses, doubles, and delays; every number's fate is known. */
static void against_model(void)
{
	enum { N = 20000, AHEAD = WINDOW / 2 };
	static uint8_t came[N];
	uint64_t unique = 0, again = 0, late = 0, i, at, copies;
	static uint32_t order[2 * N];
	struct tracker t;
	int64_t top = -1;
	size_t count = 0;

	t_begin("20,000 numbers lost, doubled and shuffled at random: as a plain list says");
	for (i = 0; i < N; i++)
		for (copies = rnd() % 10 == 0 ? 0 : rnd() % 10 == 0 ? 2 : 1; copies; copies--)
			order[count++] = i;
	for (i = 0; i < count; i++)
		if (rnd() % 5 == 0) {
			uint32_t hold = order[i];

			at = i + rnd() % (AHEAD / 2);
			at = at < count ? at : count - 1;
			order[i] = order[at];
			order[at] = hold;
		}
	tracker_init(&t, 4 * WINDOW);
	for (i = 0; i < count; i++) {
		again += came[order[i]];
		late += !came[order[i]] && (int64_t)order[i] < top;
		unique += !came[order[i]];
		came[order[i]] = 1;
		top = (int64_t)order[i] > top ? order[i] : top;
		tracker_take(&t, order[i]);
	}
	CHECK_EQ(t.unique, unique);
	CHECK_EQ(t.duplicated, again);
	CHECK_EQ(t.reordered, late);
	CHECK_EQ(t.stale, 0);
	CHECK_EQ(lost(&t, N), N - unique);
	CHECK(late > 1000 && again > 500);
	tracker_free(&t);
	t_end();
}

void test_trackers(void)
{
	crafted();
	crafted_windows();
	wrapping();
	against_model();
}

static enum intake_verdict give(struct intake *in, enum payload_kind kind, unsigned int flow,
				uint64_t session, uint64_t value)
{
	struct payload p = {
		.kind = kind, .flow = flow, .session = session, .id = session, .number = value, .total = value,
		.flows = 2, .clock = 99,
	};

	return intake_take(in, &p);
}

static void sessions(void)
{
	struct options o = { .reorder_window = WINDOW };
	struct intake_totals sum;
	struct intake in;

	t_begin("a session ends when each flow has; what is missing at the end is lost");
	intake_init(&in, &o);
	give(&in, PAYLOAD_HELLO, 0, 1, UINT64_MAX);
	CHECK_EQ(intake_flows(&in), 2);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, 0), INTAKE_NEW);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, 0), INTAKE_AGAIN);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 7, 1), INTAKE_FOREIGN);
	give(&in, PAYLOAD_END, 0, 1, 3);
	give(&in, PAYLOAD_END, 0, 1, 3);
	CHECK(!intake_ended(&in));
	/* Nothing of the second flow came. */
	give(&in, PAYLOAD_END, 1, 1, 5);
	CHECK(intake_ended(&in));
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, 2), INTAKE_NEW);
	sum = intake_totals(&in);
	CHECK_EQ(sum.expected, 8);
	CHECK_EQ(sum.unique, 2);
	CHECK_EQ(sum.duplicated, 1);
	CHECK_EQ(sum.flows, 2);
	t_end();

	t_begin("the next session begins with hello, or after the end; sums go on");
	give(&in, PAYLOAD_HELLO, 0, 2, UINT64_MAX);
	CHECK(!intake_ended(&in));
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 2, 0), INTAKE_NEW);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, 1), INTAKE_FOREIGN);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 1, 2, 4), INTAKE_NEW);
	sum = intake_totals(&in);
	CHECK_EQ(sum.expected, 8 + 1 + 5);
	CHECK_EQ(sum.unique, 4);
	CHECK_EQ(sum.flows, 4);
	intake_free(&in);
	t_end();
}

static void late_words(void)
{
	struct options o = { .reorder_window = WINDOW };
	struct intake_totals sum;
	struct intake in;
	uint64_t i;

	t_begin("a word that comes late begins no session anew, nor ends another one");
	intake_init(&in, &o);
	give(&in, PAYLOAD_HELLO, 0, 1, UINT64_MAX);
	for (i = 0; i < 3; i++)
		CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, i), INTAKE_NEW);
	give(&in, PAYLOAD_END, 0, 1, 3);
	give(&in, PAYLOAD_HELLO, 0, 1, UINT64_MAX);
	give(&in, PAYLOAD_END, 0, 1, 3);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, 2), INTAKE_AGAIN);
	give(&in, PAYLOAD_END, 1, 1, 0);
	CHECK(intake_ended(&in));
	CHECK_EQ(intake_totals(&in).expected, 3);
	give(&in, PAYLOAD_HELLO, 0, 2, UINT64_MAX);
	CHECK_EQ(give(&in, PAYLOAD_HELLO, 0, 1, UINT64_MAX), INTAKE_FOREIGN);
	CHECK_EQ(give(&in, PAYLOAD_END, 0, 1, 3), INTAKE_FOREIGN);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 2, 0), INTAKE_NEW);
	give(&in, PAYLOAD_END, 0, 2, 1);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 1, 0), INTAKE_FOREIGN);
	sum = intake_totals(&in);
	CHECK_EQ(sum.expected, 4);
	CHECK_EQ(sum.unique, 4);
	t_end();

	t_begin("two sessions whose data has one number are two");
	give(&in, PAYLOAD_HELLO, 0, 0x102, UINT64_MAX);
	CHECK_EQ(give(&in, PAYLOAD_DATA, 0, 0x102, 0), INTAKE_NEW);
	give(&in, PAYLOAD_END, 0, 0x102, 1);
	/* Of the next one nothing but the end comes. */
	give(&in, PAYLOAD_END, 0, 0x202, 5);
	sum = intake_totals(&in);
	CHECK_EQ(sum.expected, 10);
	CHECK_EQ(sum.unique, 5);
	intake_free(&in);
	t_end();
}

static enum intake_verdict give_of(struct intake *in, unsigned int flows, enum payload_kind kind,
				   unsigned int flow, uint64_t session, uint64_t value)
{
	struct payload p = {
		.kind = kind, .flow = flow, .session = session, .id = session, .number = value,
		.total = value, .flows = flows,
	};

	return intake_take(in, &p);
}

/* All flows of a session say that they have ended. */
static void end_of(struct intake *in, unsigned int flows, uint64_t session)
{
	unsigned int i;

	for (i = 0; i < flows; i++)
		give_of(in, flows, PAYLOAD_END, i, session, 1);
}

static void fewer_flows(void)
{
	struct options o = { .reorder_window = WINDOW };
	struct intake in;
	unsigned int i;

	t_begin("a session of fewer flows than the one before has ended when its own have");
	intake_init(&in, &o);
	end_of(&in, 4, 1);
	CHECK(intake_ended(&in));
	give_of(&in, 2, PAYLOAD_HELLO, 0, 2, UINT64_MAX);
	CHECK(!intake_ended(&in));
	give_of(&in, 2, PAYLOAD_HELLO, 1, 2, UINT64_MAX);
	CHECK(!intake_ended(&in));
	CHECK_EQ(intake_flows(&in), 2);
	/* The former one's flows are still there: its words come once more. */
	for (i = 0; i < 4; i++)
		give_of(&in, 4, PAYLOAD_END, i, 1, 1);
	CHECK_EQ(intake_flows(&in), 2);
	CHECK(!intake_ended(&in));
	give_of(&in, 2, PAYLOAD_END, 0, 2, 1);
	CHECK(!intake_ended(&in));
	give_of(&in, 4, PAYLOAD_END, 3, 1, 1);
	give_of(&in, 2, PAYLOAD_END, 1, 2, 1);
	CHECK(intake_ended(&in));
	CHECK_EQ(intake_totals(&in).expected, 6);
	t_end();

	t_begin("also one whose first words were lost, or that begins before the other has ended");
	CHECK_EQ(give_of(&in, 1, PAYLOAD_DATA, 0, 3, 0), INTAKE_NEW);
	CHECK(!intake_ended(&in));
	end_of(&in, 1, 3);
	CHECK(intake_ended(&in));
	for (i = 0; i < 4; i++)
		give_of(&in, 4, PAYLOAD_HELLO, i, 4, UINT64_MAX);
	give_of(&in, 4, PAYLOAD_END, 2, 4, 1);
	give_of(&in, 2, PAYLOAD_HELLO, 0, 5, UINT64_MAX);
	give_of(&in, 2, PAYLOAD_HELLO, 1, 5, UINT64_MAX);
	give_of(&in, 4, PAYLOAD_END, 3, 4, 1);
	give_of(&in, 2, PAYLOAD_END, 0, 5, 1);
	CHECK(!intake_ended(&in));
	give_of(&in, 2, PAYLOAD_END, 1, 5, 1);
	CHECK(intake_ended(&in));
	CHECK_EQ(intake_flows(&in), 2);
	intake_free(&in);
	t_end();
}

static void clocks(void)
{
	struct options o = { .reorder_window = WINDOW };
	struct intake in;

	t_begin("clocks are comparable where the sender's is this kernel's, or somebody says so");
	intake_init(&in, &o);
	CHECK_EQ(intake_clocks(&in), CLOCKS_UNKNOWN);
	give(&in, PAYLOAD_HELLO, 0, 1, 0);
	CHECK_EQ(intake_clocks(&in), CLOCKS_DIFFER);
	intake_free(&in);
	intake_init(&in, &o);
	in.clock = 99;
	give(&in, PAYLOAD_HELLO, 0, 1, 0);
	CHECK_EQ(intake_clocks(&in), CLOCKS_SAME);
	/* Another sender's isn't; a third one's would be. */
	in.clock = 98;
	give(&in, PAYLOAD_HELLO, 0, 2, 0);
	CHECK_EQ(intake_clocks(&in), CLOCKS_DIFFER);
	in.clock = 99;
	give(&in, PAYLOAD_HELLO, 0, 3, 0);
	CHECK_EQ(intake_clocks(&in), CLOCKS_DIFFER);
	intake_free(&in);
	o.same_clock = true;
	intake_init(&in, &o);
	give(&in, PAYLOAD_HELLO, 0, 1, 0);
	CHECK_EQ(intake_clocks(&in), CLOCKS_SAME);
	CHECK_EQ(intake_clock(), intake_clock());
	intake_free(&in);
	t_end();
}

void test_intake(void)
{
	sessions();
	late_words();
	fewer_flows();
	clocks();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order of accesses, barriers and speculation masks, as a sentence.
 *
 * On a strongly ordered machine a missing barrier shows in no result, and a
 * missing mask shows on none. So both are made to leave a mark between the
 * accesses that they stand between.
 */
enum order_mark { ORDER_RMB, ORDER_WMB, ORDER_MB, ORDER_NOSPEC };

static void order_note(enum order_mark mark);

#undef smp_rmb
#undef smp_wmb
#undef smp_mb
#undef array_index_nospec
#define smp_rmb()	order_note(ORDER_RMB)
#define smp_wmb()	order_note(ORDER_WMB)
#define smp_mb()	order_note(ORDER_MB)
#define array_index_nospec(i, n) ({		\
	order_note(ORDER_NOSPEC);		\
	(i) < (n) ? (i) : 0; })

#include "rig.h"

static struct rig r;
static bool noting;

static void order_note(enum order_mark mark)
{
	static const enum watch_event event[] = {
		[ORDER_RMB] = WATCH_RMB, [ORDER_WMB] = WATCH_WMB,
		[ORDER_MB] = WATCH_MB, [ORDER_NOSPEC] = WATCH_NOSPEC,
	};

	/* The driver's own barriers are not of interest. */
	if (noting)
		watch_log(&r.watch, event[mark], VD_PARTS, 0);
}

/* A packed ring's words; slots are told apart where they are written. */
static const char *packed_word(const struct watch_entry *e)
{
	static char slot[16];

	switch (e->what) {
	case WATCH_READ16:
		if (e->part == VD_PART_DESC)
			return e->off % 16 == 14 ? "poll?" : "stray?";
		return e->part == VD_PART_USED ? "stray?" :
			e->off ? "flags?" : "place?";
	case WATCH_WRITE16:
		return e->part != VD_PART_USED ? "stray!" :
			e->off ? "flags!" : "place!";
	case WATCH_WRITE64:
		snprintf(slot, sizeof(slot), e->off % 16 == 8 ? "used%u!" :
			 "stray%u!", e->off / 16);
		return slot;
	case WATCH_READ_DESC:
		return "desc?";
	default:
		return "stray";
	}
}

static const char *word(const struct watch_entry *e)
{
	u32 num = r.ring.num;

	if (r.ring.packed && e->part != VD_PARTS)
		return packed_word(e);
	switch (e->what) {
	case WATCH_READ64:
	case WATCH_WRITE64:
		return "stray";
	case WATCH_READ16:
		return e->off == 0 ? "flags?" : e->off == 2 ? "idx?" :
			e->off == 4 + 2 * num ? "event?" : "stray?";
	case WATCH_WRITE16:
		return e->off == 0 ? "flags!" : e->off == 2 ? "idx!" :
			e->off == 4 + 8 * num ? "event!" : "stray!";
	case WATCH_READ_RUN:
		return "heads?";
	case WATCH_READ_DESC:
		return "desc?";
	case WATCH_WRITE_USED:
		return "used!";
	case WATCH_RMB:
		return "rmb";
	case WATCH_WMB:
		return "wmb";
	case WATCH_MB:
		return "mb";
	case WATCH_NOSPEC:
		return "mask";
	}
	return "unknown";
}

/* What happened since begin() reads like this. */
static void was(const char *sentence)
{
	char said[4096] = "";
	u32 i;

	noting = false;
	for (i = 0; i < r.watch.nlog && i < 100; i++) {
		if (i)
			strcat(said, " ");
		strcat(said, word(&r.watch.log[i]));
	}
	if (!CHECK(!strcmp(said, sentence)))
		printf("# said: %s\n# not:  %s\n", said, sentence);
	watch_reset(&r.watch);
}

static void begin(void)
{
	watch_reset(&r.watch);
	noting = true;
}

static int pop(u32 max)
{
	begin();
	if (r.ring.packed)
		return vd_packed_pop(&r.ring, &vd_watch_ops, &r.watch,
				     &r.burst, max);
	return vd_split_pop(&r.ring, &vd_watch_ops, &r.watch, &r.burst, max);
}

static void open_ring(u16 start, bool event_idx)
{
	rig_open(&r, &(struct mock_layout){ .num = 8, .start = start,
					    .event_idx = event_idx,
					    .tables = 64, .le = true });
}

static void pop_reads_index_barrier_heads_descriptors(void)
{
	u32 i;

	open_ring(5, false);
	CHECK_EQ(pop(VD_BURST), 0);
	was("idx?");
	for (i = 0; i < 2; i++)
		rig_add(&r, i, 1, 1, 2);
	mock_publish(&r.drv);
	CHECK_EQ(pop(VD_BURST), 2);
	was("idx? rmb heads? mask desc? mask desc? mask desc? mask desc?");
	rig_close(&r);
}

static void pop_wraps_in_two_reads(void)
{
	u32 i;

	open_ring(6, false);
	for (i = 0; i < 3; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(pop(VD_BURST), 3);
	was("idx? rmb heads? heads? mask desc? mask desc? mask desc?");
	rig_close(&r);
}

/* Enough is known of: the index costs a miss that is not needed. */
static void pop_reads_the_index_only_if_it_must(void)
{
	u32 i;

	open_ring(0, false);
	for (i = 0; i < 4; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(pop(1), 1);
	was("idx? rmb heads? mask desc?");
	CHECK_EQ(pop(2), 2);
	was("heads? mask desc? mask desc?");
	CHECK_EQ(pop(1), 1);
	was("heads? mask desc?");
	CHECK_EQ(pop(1), 0);
	was("idx?");
	/* One known of was ordered when it was learnt. */
	for (i = 0; i < 2; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_publish(&r.drv);
	CHECK_EQ(pop(1), 1);
	was("idx? rmb heads? mask desc?");
	CHECK_EQ(pop(2), 1);
	was("idx? heads? mask desc?");
	rig_close(&r);
}

/* One pair of barriers a burst, not one a chain. */
static void push_writes_elements_barrier_index(void)
{
	struct vd_used elem[8] = { 0 };

	open_ring(6, false);
	begin();
	CHECK_EQ(vd_split_push(&r.ring, &vd_watch_ops, &r.watch, elem, 2), 0);
	was("used! wmb idx!");
	r.ring.last_used = 6;
	begin();
	CHECK_EQ(vd_split_push(&r.ring, &vd_watch_ops, &r.watch, elem, 3), 0);
	was("used! used! wmb idx!");
	rig_close(&r);
}

static void need_signal_reads_after_a_full_barrier(void)
{
	open_ring(0, false);
	begin();
	vd_split_need_signal(&r.ring, &vd_watch_ops, &r.watch);
	was("mb flags?");
	rig_close(&r);
	open_ring(0, true);
	r.ring.signalled_valid = true;
	begin();
	vd_split_need_signal(&r.ring, &vd_watch_ops, &r.watch);
	was("mb event?");
	rig_close(&r);
}

static void notify_asks_barrier_looks(void)
{
	int event_idx;

	for (event_idx = 0; event_idx < 2; event_idx++) {
		open_ring(0, event_idx);
		begin();
		CHECK_EQ(vd_split_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
		was(event_idx ? "event! mb idx?" : "flags! mb idx?");
		rig_add(&r, 0, 1, 0, 1);
		mock_publish(&r.drv);
		begin();
		CHECK_EQ(vd_split_notify(&r.ring, &vd_watch_ops, &r.watch), 1);
		/* The index advanced here too: heads may be read at once. */
		was(event_idx ? "event! mb idx? rmb" : "flags! mb idx? rmb");
		rig_close(&r);
	}
}

static void no_notify_needs_no_barrier(void)
{
	open_ring(0, false);
	begin();
	CHECK_EQ(vd_split_no_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
	was("flags!");
	rig_close(&r);
	open_ring(0, true);
	begin();
	CHECK_EQ(vd_split_no_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
	was("");
	rig_close(&r);
}

static void table_entries_are_masked(void)
{
	open_ring(0, false);
	rig_add(&r, 9, 3, 0, 0);
	mock_publish(&r.drv);
	CHECK_EQ(pop(VD_BURST), 1);
	was("idx? rmb heads? mask desc?");
	begin();
	CHECK_EQ(rig_expand(&r, 0), 0);
	was("mask mask mask");
	rig_close(&r);
}

static void open_packed(u32 num, u16 start, bool event_idx)
{
	rig_open(&r, &(struct mock_layout){ .num = num, .start = start,
					    .event_idx = event_idx,
					    .packed = true, .le = true });
}

/* One barrier a burst; flags are polled before it, the rest read behind it. */
static void packed_pop_polls_barrier_reads(void)
{
	u32 i;

	open_packed(5, 4, false);
	CHECK_EQ(pop(VD_BURST), 0);
	was("poll?");
	for (i = 0; i < 3; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_packed_publish(&r.pk);
	CHECK_EQ(pop(VD_BURST), 3);
	was("poll? poll? poll? poll? rmb desc? desc? desc?");
	rig_close(&r);
	/* As many as are wanted, and no more. */
	open_packed(5, 4, false);
	for (i = 0; i < 3; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_packed_publish(&r.pk);
	CHECK_EQ(pop(2), 2);
	was("poll? poll? rmb desc? desc?");
	rig_close(&r);
}

/* All of the ring is out: no slot is asked for twice. */
static void packed_pop_of_all_polls_each_once(void)
{
	u32 i;

	open_packed(3, 1, false);
	for (i = 0; i < 3; i++)
		rig_add(&r, i, 1, 0, 1);
	mock_packed_publish(&r.pk);
	CHECK_EQ(pop(VD_BURST), 3);
	was("poll? poll? poll? rmb desc? desc? desc?");
	rig_close(&r);
}

/* The slots of one chain count as one: the next are looked at in turn. */
static void packed_pop_goes_on_behind_long_chains(void)
{
	u32 i;

	open_packed(9, 0, false);
	for (i = 0; i < 3; i++)
		rig_add(&r, i, 2, 0, 2);
	mock_packed_publish(&r.pk);
	CHECK_EQ(pop(3), 3);
	was("poll? poll? poll? rmb desc? desc? desc? desc? "
	    "poll? rmb desc? desc?");
	rig_close(&r);
}

/* The first, which the driver waits for, is written last: all at once. */
static void packed_push_writes_the_first_last(void)
{
	struct vd_used elem[4] = { { 0 } };
	u16 slots[4] = { 1, 2, 1, 1 };

	open_packed(6, 4, false);
	begin();
	CHECK_EQ(vd_packed_push(&r.ring, &vd_watch_ops, &r.watch, elem, slots,
				1), 0);
	was("wmb used4!");
	r.ring.last_used = 4;
	begin();
	CHECK_EQ(vd_packed_push(&r.ring, &vd_watch_ops, &r.watch, elem, slots,
				4), 0);
	was("used5! used1! used2! wmb used4!");
	rig_close(&r);
}

/* Those that are passed over are not written. Section 2.8.8. */
static void packed_push_in_order_writes_the_last_of_a_run(void)
{
	struct vd_used elem[6] = { { 1, 0 }, { 2, 0 }, { 3, 7 }, { 4, 0 },
				   { 5, 0 }, { 6, 0 } };
	u16 slots[6] = { 1, 2, 1, 1, 1, 1 };

	open_packed(8, 5, false);
	r.ring.in_order = true;
	begin();
	CHECK_EQ(vd_packed_push(&r.ring, &vd_watch_ops, &r.watch, elem, slots,
				6), 0);
	was("used0! used1! wmb used5!");
	CHECK_EQ(r.ring.last_used, 4);
	rig_close(&r);
}

static void split_push_in_order_writes_the_last_of_a_run(void)
{
	struct vd_used elem[6] = { { 1, 0 }, { 2, 0 }, { 3, 7 }, { 4, 0 },
				   { 5, 0 }, { 6, 0 } };

	open_ring(7, false);
	r.ring.in_order = true;
	begin();
	/* A run at 7, its only element; the others, which are written out. */
	CHECK_EQ(vd_split_push(&r.ring, &vd_watch_ops, &r.watch, elem, 3), 0);
	was("used! used! wmb idx!");
	begin();
	CHECK_EQ(vd_split_push(&r.ring, &vd_watch_ops, &r.watch, elem + 3, 3),
		 0);
	was("used! wmb idx!");
	rig_close(&r);
}

static void packed_need_signal_reads_flags_then_place(void)
{
	open_packed(5, 0, true);
	r.ring.signalled_valid = true;
	begin();
	vd_packed_need_signal(&r.ring, &vd_watch_ops, &r.watch);
	was("mb flags?");
	mock_packed_raw_event(&r.pk, 0, MOCK_EVENT_DESC);
	begin();
	vd_packed_need_signal(&r.ring, &vd_watch_ops, &r.watch);
	was("mb flags? rmb place?");
	rig_close(&r);
}

static void packed_notify_asks_barrier_polls(void)
{
	open_packed(5, 0, false);
	begin();
	CHECK_EQ(vd_packed_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
	was("flags! mb poll?");
	rig_close(&r);
	open_packed(5, 0, true);
	begin();
	CHECK_EQ(vd_packed_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
	was("place! wmb flags! mb poll?");
	begin();
	CHECK_EQ(vd_packed_no_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
	was("flags!");
	begin();
	CHECK_EQ(vd_packed_no_notify(&r.ring, &vd_watch_ops, &r.watch), 0);
	was("");
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(pop_reads_index_barrier_heads_descriptors),
	TEST(pop_wraps_in_two_reads),
	TEST(pop_reads_the_index_only_if_it_must),
	TEST(push_writes_elements_barrier_index),
	TEST(need_signal_reads_after_a_full_barrier),
	TEST(notify_asks_barrier_looks),
	TEST(no_notify_needs_no_barrier),
	TEST(table_entries_are_masked),
	TEST(packed_pop_polls_barrier_reads),
	TEST(packed_pop_of_all_polls_each_once),
	TEST(packed_pop_goes_on_behind_long_chains),
	TEST(packed_push_writes_the_first_last),
	TEST(packed_push_in_order_writes_the_last_of_a_run),
	TEST(split_push_in_order_writes_the_last_of_a_run),
	TEST(packed_need_signal_reads_flags_then_place),
	TEST(packed_notify_asks_barrier_polls),
};

KTAP_MAIN(tests)

// SPDX-License-Identifier: GPL-2.0-only
/* Illegal ring content, and memory that isn't there: one case a line. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bad.h"

#define BUF_END		(GPA_B + CHUNK_SIZE)	/* nothing is mapped behind B */
#define LONG_RING	2048			/* more than a chain may be long */

/**
 * struct bad_case - what a driver puts into the ring
 * @name: for the report
 * @reason: for which the queue must stop, as the kernel's message names it
 * @fault: counted as a fault, else as malformed
 * @without: features left out
 * @head: what the avail ring names
 * @jump: how much too far the avail index goes
 * @num: ring size if it matters
 * @make: for what a few descriptors can't say
 * @d: descriptors
 * @t: entries of the indirect table
 */
struct bad_case {
	const char *name;
	const char *reason;
	bool fault;
	uint64_t without;
	uint16_t head;
	uint16_t jump;
	unsigned int num;
	void (*make)(struct bad *b);
	struct vring_desc d[4];
	struct vring_desc t[4];
};

static void whole_ring_loop(struct bad *b)
{
	struct ring *q = &b->r.q[Q_TX];
	unsigned int i;

	for (i = 0; i < q->num; i++)
		desc_set(q->desc, i, bad_addr(b, Q_TX, 0), 1, D_NEXT, (i + 1) % q->num);
}

static void chain_1100(struct bad *b)
{
	struct ring *q = &b->r.q[Q_TX];
	unsigned int i;

	for (i = 0; i < 1100; i++)
		desc_set(q->desc, i, bad_addr(b, Q_TX, 0), 1, i < 1099 ? D_NEXT : 0, i + 1);
}

static void table_1100(struct bad *b)
{
	struct vring_desc *t = (void *)(b->r.buf + TABLE);
	unsigned int i;

	for (i = 0; i < 1100; i++)
		desc_set(t, i, bad_addr(b, Q_TX, 0), 1, i < 1099 ? D_NEXT : 0, i + 1);
	desc_set(b->r.q[Q_TX].desc, 0, bad_addr(b, Q_TX, TABLE), 16 * 1100, D_IND, 0);
}

/* Entries without length leave no trace but the time it takes to look. */
static void table_of_nothing(struct bad *b)
{
	struct vring_desc *t = (void *)(b->r.buf + TABLE);
	unsigned int i;

	for (i = 0; i < 1100; i++)
		desc_set(t, i, GPA_HOLE, 0, D_NEXT, (i + 1) % 1100);
	desc_set(b->r.q[Q_TX].desc, 0, bad_addr(b, Q_TX, TABLE), 16 * 1100, D_IND, 0);
}

static const struct bad_case tx_cases[] = {
	{ "avail index jumps by more than the ring", "avail index jumps ahead", .jump = RIG_NUM },
	{ "avail index jumps by 2^15", "avail index jumps ahead", .jump = 0x8000 },
	{ "avail index goes back", "avail index jumps ahead", .jump = 0xfffe },
	{ "head just outside the ring", "head outside the ring", .head = RIG_NUM },
	{ "head 65535 (CVE-2020-10723)", "head outside the ring", .head = 0xffff },
	{ "next just outside the ring", "next outside its table",
	  .d = { { 0, 64, D_NEXT, RIG_NUM } } },
	{ "next 65535 (CVE-2020-10723)", "next outside its table",
	  .d = { { 0, 64, D_NEXT, 0xffff } } },
	{ "a descriptor that names itself (CVE-2019-3900)", "descriptor loop",
	  .d = { { 0, 64, D_NEXT, 0 } } },
	{ "two descriptors that name each other", "descriptor loop",
	  .d = { { 0, 64, D_NEXT, 1 }, { 64, 64, D_NEXT, 0 } } },
	{ "the whole ring is one loop", "descriptor loop", .make = whole_ring_loop },
	{ "a loop of zero-length descriptors", "descriptor loop",
	  .d = { { 0, 0, D_NEXT, 1 }, { GPA_HOLE, 0, D_NEXT, 0 } } },
	{ "readable after writable", "readable after writable",
	  .d = { { 0, 64, D_NEXT | D_WRITE, 1 }, { 64, 64, 0, 0 } } },
	{ "a chain of 1100 descriptors", "chain too long", .num = LONG_RING, .make = chain_1100 },
	{ "an indirect table of 1100 entries in one chain", "chain too long",
	  .make = table_1100 },
	{ "an indirect table of nothing, 1100 times (CVE-2019-14835)", "chain too long",
	  .make = table_of_nothing },
	{ "three descriptors of 1 GiB", "chain too long", .d = {
	  { GPA_TOP, 0x40000000, D_NEXT, 1 }, { GPA_TOP, 0x40000000, D_NEXT, 2 },
	  { GPA_TOP, 0x40000000, 0, 0 } } },
	{ "length 2^32 - 1", "chain too long", .d = { { 0, 0xffffffff, 0, 0 } } },
	{ "indirect, never negotiated", "indirect not negotiated", .without = F_INDIRECT,
	  .d = { { TABLE, 16, D_IND, 0 } }, .t = { { 0, 76, 0, 0 } } },
	{ "indirect with next", "indirect with next",
	  .d = { { TABLE, 16, D_IND | D_NEXT, 1 }, { 0, 64, 0, 0 } },
	  .t = { { 0, 76, 0, 0 } } },
	{ "indirect table of 0 bytes (CVE-2020-10725)", "indirect table length",
	  .d = { { TABLE, 0, D_IND, 0 } } },
	{ "indirect table of 0 bytes at a wild address", "indirect table length",
	  .d = { { GPA_HOLE, 0, D_IND, 0 } } },
	{ "indirect table of 8 bytes", "indirect table length",
	  .d = { { TABLE, 8, D_IND, 0 } } },
	{ "indirect table of 17 bytes", "indirect table length",
	  .d = { { TABLE, 17, D_IND, 0 } } },
	{ "indirect table of 65537 entries", "indirect table length",
	  .d = { { TABLE, 16 * 65537, D_IND, 0 } } },
	{ "indirect inside an indirect table", "nested indirect",
	  .d = { { TABLE, 32, D_IND, 0 } },
	  .t = { { 0, 12, D_NEXT, 1 }, { TABLE, 32, D_IND, 0 } } },
	{ "next just outside an indirect table", "next outside its table",
	  .d = { { TABLE, 32, D_IND, 0 } },
	  .t = { { 0, 12, D_NEXT, 2 }, { 12, 64, 0, 0 }, { 12, 64, 0, 0 } } },
	{ "an indirect entry that names itself", "descriptor loop",
	  .d = { { TABLE, 32, D_IND, 0 } }, .t = { { 0, 12, D_NEXT, 0 } } },
	{ "readable after writable in an indirect table", "readable after writable",
	  .d = { { TABLE, 32, D_IND, 0 } },
	  .t = { { 0, 12, D_NEXT | D_WRITE, 1 }, { 12, 64, 0, 0 } } },
	{ "indirect table at an unmapped address", "indirect table not accessible", true,
	  .d = { { GPA_HOLE, 32, D_IND, 0 } } },
	{ "indirect table that ends past its region (CVE-2018-1059)",
	  "indirect table not accessible", true, .d = { { BUF_END - 16, 32, D_IND, 0 } } },
	{ "indirect table that wraps at 2^64", "indirect table not accessible", true,
	  .d = { { 0ull - 16, 32, D_IND, 0 } } },
	{ "long indirect table that wraps at 2^64", "indirect table not accessible", true,
	  .d = { { 0ull - 16, 16 * 1024, D_IND, 0 } } },
	{ "writable on transmit", "wrong direction", .d = { { 0, 76, D_WRITE, 0 } } },
	{ "readable, then writable on transmit", "wrong direction",
	  .d = { { 0, 76, D_NEXT, 1 }, { 128, 64, D_WRITE, 0 } } },
	{ "writable in an indirect table on transmit", "wrong direction",
	  .d = { { TABLE, 16, D_IND, 0 } }, .t = { { 0, 76, D_WRITE, 0 } } },
	{ "buffer at an unmapped address", "buffer not accessible", true,
	  .d = { { GPA_HOLE, 76, 0, 0 } } },
	{ "second buffer at an unmapped address", "buffer not accessible", true,
	  .d = { { 0, 12, D_NEXT, 1 }, { GPA_HOLE, 64, 0, 0 } } },
	{ "buffer at a kernel address", "buffer not accessible", true,
	  .d = { { 0xffff888000000000ull, 76, 0, 0 } } },
	{ "buffer that ends past its region (CVE-2018-1059)", "buffer not accessible", true,
	  .d = { { BUF_END - 75, 76, 0, 0 } } },
	{ "buffer that wraps at 2^64 (CVE-2018-1059)", "buffer not accessible", true,
	  .d = { { 0ull - 75, 76, 0, 0 } } },
	{ "buffer of 2 GiB less one that leaves its region", "buffer not accessible", true,
	  .d = { { 0, 0x7fffffff, 0, 0 } } },
};

static const struct bad_case rx_cases[] = {
	{ "readable on receive", "wrong direction", .d = { { 0, 2048, 0, 0 } } },
	{ "readable, then writable on receive", "wrong direction",
	  .d = { { 0, 64, D_NEXT, 1 }, { 0x1000, 2048, D_WRITE, 0 } } },
	{ "a receive chain without length", "wrong direction", .d = { { 0, 0, D_WRITE, 0 } } },
	{ "receive: writable, then readable", "readable after writable",
	  .d = { { 0, 64, D_WRITE | D_NEXT, 1 }, { 0x1000, 64, 0, 0 } } },
	{ "receive: head outside the ring", "head outside the ring", .head = RIG_NUM },
	{ "receive: avail index jumps ahead", "avail index jumps ahead", .jump = RIG_NUM },
	{ "receive: descriptor loop", "descriptor loop", .d = { { 0, 64, D_WRITE | D_NEXT, 0 } } },
	{ "receive: next outside the ring", "next outside its table",
	  .d = { { 0, 64, D_WRITE | D_NEXT, RIG_NUM } } },
	{ "receive: nested indirect", "nested indirect",
	  .d = { { TABLE, 16, D_IND, 0 } }, .t = { { TABLE, 16, D_IND, 0 } } },
	{ "receive: indirect table at an unmapped address", "indirect table not accessible",
	  true, .d = { { GPA_HOLE, 16, D_IND, 0 } } },
	{ "receive: readable in an indirect table", "wrong direction",
	  .d = { { TABLE, 16, D_IND, 0 } }, .t = { { 0, 2048, 0, 0 } } },
	{ "receive: buffer at an unmapped address", "buffer not accessible", true,
	  .d = { { GPA_HOLE, 2048, D_WRITE, 0 } } },
	{ "receive: buffer that ends past its region", "buffer not accessible", true,
	  .d = { { BUF_END - 2047, 2048, D_WRITE, 0 } } },
	{ "receive: buffer that wraps at 2^64", "buffer not accessible", true,
	  .d = { { 0ull - 16, 2048, D_WRITE, 0 } } },
	{ "receive: buffer of 2^32 - 1", "buffer not accessible", true,
	  .d = { { 0, 0xffffffff, D_WRITE, 0 } } },
};

static void case_make(struct bad *b, unsigned int qi, const struct bad_case *c)
{
	struct ring *q = &b->r.q[qi];

	bad_descs(b, qi, q->desc, c->d, ARRAY_SIZE(c->d));
	bad_descs(b, qi, (void *)(b->r.buf + TABLE), c->t, ARRAY_SIZE(c->t));
	if (c->make)
		c->make(b);
	ring_offer(q, c->head);
	__atomic_store_n(&q->avail->idx, q->pub + c->jump, __ATOMIC_RELEASE);
}

/* The same chain, as it should have been: it passes with the next kick. */
static void case_mend(struct bad *b, unsigned int qi)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[qi];
	size_t len;

	q->avail->ring[(q->pub - 1) & (q->num - 1)] = 0;
	if (qi == Q_TX) {
		len = rig_frame(r, r->buf, RIG_FRAME);
		desc_set(q->desc, 0, mem_gpa(&r->mem, r->buf), len, 0, 0);
	} else {
		desc_set(q->desc, 0, mem_gpa(&r->mem, b->rx[0]), RX_SIZE, D_WRITE, 0);
	}
	ring_publish(q, q->pub);
	mem_seal(&r->mem);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	if (qi == Q_TX)
		rig_arrives(r, r->seq, RIG_FRAME);
	else
		CHECK(frame_is(b->rx[0] + r->hdr, RIG_FRAME, r->seq));
	rig_silent(r);
	CHECK_EQ(event_wait(q->err, 0), 0);
	mem_check(&r->mem);
}

static void case_run(struct bad *b, unsigned int qi, const struct bad_case *c)
{
	bool own = c->without || c->num;
	struct bad other = *b;

	t_begin("%s", c->name);
	if (own) {
		bad_close(b);
		other.opts.features &= ~c->without;
		other.opts.num = c->num;
		bad_open(&other);
	}
	case_make(own ? &other : b, qi, c);
	expect_stop(own ? &other : b, qi, c->reason, c->fault);
	mem_check(own ? &other.r.mem : &b->r.mem);
	case_mend(own ? &other : b, qi);
	if (own) {
		bad_close(&other);
		bad_open(b);
	}
	t_end();
}

/* A part of a ring, out of reach for a while, in each way; what ends it then: a kick, or time. */
static void protect_run(struct bad *b, unsigned int qi, unsigned int part, int prot, bool kick)
{
	static const char *const names[] = { "descriptors", "avail ring", "used ring" };
	struct rig *r = &b->r;
	struct ring *q = &r->q[qi];
	void *at[] = { q->desc, q->avail, q->used };

	t_begin("%s: %s %s for a while%s", qi == Q_TX ? "transmit" : "receive", names[part],
		prot ? "read-only" : "out of reach", kick ? "" : ", and the driver doesn't kick");
	if (qi == Q_TX)
		desc_set(q->desc, 0, mem_gpa(&r->mem, r->buf), rig_frame(r, r->buf, RIG_FRAME),
			 0, 0);
	else
		desc_set(q->desc, 0, mem_gpa(&r->mem, b->rx[0]), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	mem_seal(&r->mem);
	CHECK_EQ(mprotect(at[part], PAGE, prot), 0);
	/* The shadow is made of what can be read: it is made before. */
	if (qi == Q_TX) {
		ring_kick(q);
	} else {
		uint8_t f[RIG_FRAME];

		frame_make(f, sizeof(f), ++r->seq);
		CHECK(tap_feed(&r->tap, f, sizeof(f)));
	}
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	expect_rest(b);
	CHECK_EQ(event_wait(q->err, 0), 0);
	CHECK_EQ(mprotect(at[part], PAGE, PROT_READ | PROT_WRITE), 0);
	if (kick)
		ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	if (qi == Q_TX)
		rig_arrives(r, r->seq, RIG_FRAME);
	else
		CHECK(frame_is(b->rx[0] + r->hdr, RIG_FRAME, r->seq));
	/* Once, and not again. */
	rig_silent(r);
	CHECK_EQ(ring_used_idx(q), q->reaped);
	CHECK_EQ(event_wait(q->err, 0), 0);
	mem_check(&r->mem);
	t_end();
}

/* Frames that went out before their chains could be given back. */
static void used_many(struct bad *b, bool event_idx)
{
	struct bad own = *b;
	struct rig *r = &own.r;
	struct ring *q = &r->q[Q_TX];
	uint32_t first;
	size_t len;
	unsigned int i;

	t_begin("used ring read-only with 10 chains under way, %s event index",
		event_idx ? "with" : "without");
	own.opts.features = event_idx ? RIG_FEATURES : RIG_FEATURES & ~F_EVENT;
	bad_open(&own);
	first = r->seq + 1;
	for (i = 0; i < 10; i++) {
		len = rig_frame(r, r->buf + 256 * i, RIG_FRAME);
		desc_set(q->desc, i, mem_gpa(&r->mem, r->buf + 256 * i), len, 0, 0);
		ring_offer(q, i);
	}
	CHECK_EQ(mprotect(q->used, PAGE, PROT_READ), 0);
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_EQ(node_stat(r->node, Q_TX, "faults"), 1);
	/* Still not: the same once more, and still nothing is lost. */
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_EQ(mprotect(q->used, PAGE, PROT_READ | PROT_WRITE), 0);
	ring_kick(q);
	for (i = 0; i < 10; i++) {
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
		rig_arrives(r, first + i, RIG_FRAME);
	}
	rig_silent(r);
	CHECK_EQ(ring_used_idx(q), 10);
	bad_close(&own);
	t_end();
}

/* Nobody kicks before the queue is stopped, or given another socket. */
static void used_stop(struct bad *b, bool swap)
{
	struct bad own = *b;
	struct rig *r = &own.r;
	struct ring *q = &r->q[Q_TX];
	int other = -1;

	t_begin("used ring read-only, mended, then %s: no completion is lost",
		swap ? "another socket" : "stopped");
	bad_open(&own);
	desc_set(q->desc, 0, mem_gpa(&r->mem, r->buf), rig_frame(r, r->buf, RIG_FRAME), 0, 0);
	ring_offer(q, 0);
	CHECK_EQ(mprotect(q->used, PAGE, PROT_READ), 0);
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	rig_arrives(r, r->seq, RIG_FRAME);
	CHECK_EQ(mprotect(q->used, PAGE, PROT_READ | PROT_WRITE), 0);
	if (swap)
		other = tap_bare(0x5002 /* tap, no packet info, virtio header */);
	CHECK_EQ(node_backend(r->node, Q_TX, other), 0);
	/* What was taken has been given back. */
	if (!swap)
		CHECK_EQ(node_get_base(r->node, Q_TX), ring_used_idx(q));
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	bad_close(&own);
	if (swap)
		close(other);
	t_end();
}

void bad_ring(const struct bad *like)
{
	struct bad b = *like;
	unsigned int i, part;

	bad_open(&b);
	t_begin("frames pass before any harm is done");
	rig_tx_good(&b.r, 0);
	rig_rx_good(&b.r, 0, b.rx[0]);
	t_end();
	for (i = 0; i < ARRAY_SIZE(tx_cases); i++)
		case_run(&b, Q_TX, &tx_cases[i]);
	for (i = 0; i < ARRAY_SIZE(rx_cases); i++)
		case_run(&b, Q_RX, &rx_cases[i]);
	for (i = 0; i < 2; i++) {
		for (part = 0; part < 3; part++) {
			protect_run(&b, Q_TX, part, PROT_NONE, i);
			protect_run(&b, Q_RX, part, PROT_NONE, i);
		}
		protect_run(&b, Q_RX, 2, PROT_READ, i);
		protect_run(&b, Q_TX, 2, PROT_READ, i);
	}
	bad_close(&b);
	used_many(&b, true);
	used_many(&b, false);
	used_stop(&b, false);
	used_stop(&b, true);
}

/* Of its illegal rings, one that stock's node is told of and that makes its worker look long. */
void stock_ring(const struct bad *like)
{
	struct bad b = *like;
	struct ring *q = &b.r.q[Q_TX];
	struct rig *r = &b.r;

	bad_open(&b);
	t_begin("an indirect table of nothing, 1100 times (CVE-2019-14835)");
	table_of_nothing(&b);
	ring_offer(q, 0);
	ring_kick(q);
	/* Stock says two things about it. */
	CHECK(event_wait(q->err, WAIT_MS) > 0);
	CHECK_EQ(ring_used_idx(q), 0);
	expect_rest(&b);
	desc_set(q->desc, 0, mem_gpa(&r->mem, r->buf), rig_frame(r, r->buf, RIG_FRAME), 0, 0);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	rig_arrives(r, r->seq, RIG_FRAME);
	t_end();
	bad_close(&b);
}

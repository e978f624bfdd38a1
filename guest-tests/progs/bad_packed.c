// SPDX-License-Identifier: GPL-2.0-only
/*
 * Illegal content of packed rings: one case a line, each alone and with good
 * chains behind it, which a device must leave alone, and not take for new.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bad.h"
#include "vq.h"

#define SLOT_BYTES 128
#define HDR 12

/**
 * struct side - a device with packed rings
 * @buf: %SLOT_BYTES for each slot of the ring under test
 * @sent: the frame of each slot
 */
struct side {
	struct mem mem;
	struct tap tap;
	struct vq q[2];
	int node;
	pid_t worker;
	uint8_t *buf;
	uint32_t seq;
	uint32_t sent[VQ_NUM];
};

/**
 * struct packed_case - what stands at the head of the ring
 * @reason: for which the queue stops, as the kernel's message names it
 * @fault: counted as a fault, else as malformed
 * @without: features left out
 * @n: descriptors, or %VQ_NUM for a ring that is full of the first
 * @d: an address below 64 KiB is an offset into the frames
 */
struct packed_case {
	const char *name;
	const char *reason;
	bool fault;
	uint64_t without;
	unsigned int n;
	struct { uint64_t addr; uint32_t len; uint16_t flags; } d[3];
};

static const struct packed_case tx_cases[] = {
	{ "all slots are one chain", "descriptor loop", .n = VQ_NUM, .d = { { 0, 64, D_NEXT } } },
	{ "readable after writable", "readable after writable", .n = 2,
	  .d = { { 0, 64, D_NEXT | D_WRITE }, { 64, 64, 0 } } },
	{ "three descriptors of 1 GiB", "chain too long", .n = 3, .d = {
	  { GPA_TOP, 1 << 30, D_NEXT }, { GPA_TOP, 1 << 30, D_NEXT }, { GPA_TOP, 1 << 30, 0 } } },
	{ "indirect, never negotiated", "indirect not negotiated", .without = F_INDIRECT, .n = 1,
	  .d = { { 0, 16, D_IND } } },
	{ "indirect with next", "indirect with next", .n = 2,
	  .d = { { 0, 16, D_IND | D_NEXT }, { 0, 64, 0 } } },
	{ "indirect table of 0 bytes", "indirect table length", .n = 1, .d = { { 0, 0, D_IND } } },
	{ "indirect table of 17 bytes", "indirect table length", .n = 1, .d = { { 0, 17, D_IND } } },
	{ "indirect table at an unmapped address", "indirect table not accessible", true, .n = 1,
	  .d = { { GPA_HOLE, 32, D_IND } } },
	{ "indirect table that wraps at 2^64", "indirect table not accessible", true, .n = 1,
	  .d = { { 0ull - 16, 32, D_IND } } },
	{ "writable on transmit", "wrong direction", .n = 1, .d = { { 0, 76, D_WRITE } } },
	{ "readable, then writable on transmit", "wrong direction", .n = 2,
	  .d = { { 0, 76, D_NEXT }, { 76, 8, D_WRITE } } },
	{ "a buffer at an unmapped address", "buffer not accessible", true, .n = 1,
	  .d = { { GPA_HOLE, 76, 0 } } },
};

static const struct packed_case rx_cases[] = {
	{ "readable on receive", "wrong direction", .n = 1, .d = { { 0, SLOT_BYTES, 0 } } },
	{ "all slots are one chain", "descriptor loop", .n = VQ_NUM,
	  .d = { { 0, 64, D_NEXT | D_WRITE } } },
	{ "indirect table of 17 bytes on receive", "indirect table length", .n = 1,
	  .d = { { 0, 17, D_IND } } },
	{ "indirect table at an unmapped address, on receive", "indirect table not accessible", true,
	  .n = 1, .d = { { GPA_HOLE, 32, D_IND } } },
};

static void side_open(struct side *s, const struct bad *like, uint64_t features)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	mem_init(&s->mem, false);
	tap_open(&s->tap, HDR, like->opts.batch);
	s->node = node_open(like->opts.node);
	MUST(!node_owner(s->node), "VHOST_SET_OWNER");
	CHECK_EQ(node_features(s->node, features), 0);
	CHECK_EQ(mem_announce(&s->mem, s->node), 0);
	s->buf = mem_take(&s->mem, CHUNK_A, VQ_NUM * SLOT_BYTES, PAGE);
	for (i = 0; i < 2; i++) {
		uint8_t *desc = mem_take(&s->mem, CHUNK_B, VQ_DESC_BYTES, PAGE);
		uint8_t *events = mem_take(&s->mem, CHUNK_B, 8, 64);
		const struct vq_told told = {
			(uintptr_t)desc, (uintptr_t)events, (uintptr_t)(events + 4),
		};

		memset(desc, 0, VQ_DESC_BYTES);
		memset(events, 0, 8);
		mem_device_writes(&s->mem, desc, VQ_DESC_BYTES);
		mem_device_writes(&s->mem, events + 4, 4);
		vq_init(&s->q[i], i, features, desc, events, events + 4);
		CHECK_EQ(vq_setup(&s->q[i], s->node, &told), 0);
		CHECK_EQ(node_backend(s->node, i, s->tap.fd), 0);
	}
	s->worker = worker_find(getpid());
	worker_rest(s->worker);
}

static void side_close(struct side *s)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(node_backend(s->node, i, -1), 0);
		vq_close(&s->q[i]);
	}
	close(s->node);
	tap_close(&s->tap);
	mem_exit(&s->mem);
}

static uint8_t *slot_buf(struct side *s, unsigned int slot)
{
	return s->buf + slot * SLOT_BYTES;
}

/* A good chain at the next slot: a frame to be sent, or room for one. */
static void offer_good(struct side *s, unsigned int q)
{
	unsigned int slot = s->q[q].next % VQ_NUM;
	uint8_t *at = slot_buf(s, slot);

	if (q == Q_TX) {
		memset(at, 0, HDR);
		s->sent[slot] = ++s->seq;
		frame_make(at + HDR, RIG_FRAME, s->sent[slot]);
		vq_offer(&s->q[q], mem_gpa(&s->mem, at), HDR + RIG_FRAME, 0);
	} else {
		mem_device_writes(&s->mem, at, SLOT_BYTES);
		vq_offer(&s->q[q], mem_gpa(&s->mem, at), SLOT_BYTES, D_WRITE);
	}
}

static void offer_bad(struct side *s, unsigned int q, const struct packed_case *c)
{
	unsigned int i, of = c->n == VQ_NUM ? 0 : 1;
	uint64_t addr;

	for (i = 0; i < c->n; i++) {
		addr = c->d[i * of].addr;
		if (addr < 1 << 16)
			addr += mem_gpa(&s->mem, s->buf);
		vq_offer(&s->q[q], addr, c->d[i * of].len, c->d[i * of].flags);
	}
}

static bool feed_one(struct side *s)
{
	uint8_t f[RIG_FRAME];

	frame_make(f, sizeof(f), ++s->seq);
	return CHECK(tap_feed(&s->tap, f, sizeof(f)));
}

/* The queue stops, once: told once, counted once, then the worker is at rest. */
static void stops(struct side *s, unsigned int q, const struct packed_case *c)
{
	const char *name = c->fault ? "faults" : "malformed";
	uint64_t before = node_stat(s->node, q, name);

	/* Only the first frame: until it has a buffer no other is looked at. */
	if (q == Q_TX || s->seq || !feed_one(s))
		vq_kick(&s->q[q]);
	CHECK_EQ(event_wait(s->q[q].err, WAIT_MS), 1);
	expect_worker_rest(s->worker);
	CHECK_EQ(event_wait(s->q[q].err, 0), 0);
	CHECK_EQ(node_stat(s->node, q, name), before + 1);
	CHECK_EQ(vq_take(&s->q[q]), -1);
	mem_check(&s->mem);
}

static void mend(struct side *s, unsigned int q, unsigned int bad)
{
	uint32_t all = s->q[q].next;

	for (s->q[q].next = 0; s->q[q].next < bad;)
		offer_good(s, q);
	s->q[q].next = all;
	mem_seal(&s->mem);
	vq_kick(&s->q[q]);
}

/* All frames leave, in the order of their slots, and nothing else is written. */
static void sends_all(struct side *s)
{
	uint32_t all = s->q[Q_TX].next, i;
	uint8_t f[2048];

	for (i = 0; i < all; i++)
		if (!CHECK_EQ(tap_take(&s->tap, f, sizeof(f), WAIT_MS), RIG_FRAME) ||
		    !CHECK(frame_is(f, RIG_FRAME, s->sent[i])))
			break;
	CHECK(vq_wait(&s->q[Q_TX], all, WAIT_MS));
	mem_check(&s->mem);
}

/* The frame that waited arrives, and as many more as there is room for, up to two. */
static void receives(struct side *s)
{
	uint32_t i;

	while (s->seq < s->q[Q_RX].next && s->seq < 3 && feed_one(s))
		;
	CHECK(vq_wait(&s->q[Q_RX], s->seq, WAIT_MS));
	for (i = 0; i < s->seq; i++)
		CHECK(frame_is(slot_buf(s, i) + HDR, RIG_FRAME, i + 1));
	mem_check(&s->mem);
}

/* A table that can't be reached is looked at again every now and then. */
static bool attempted(const struct packed_case *c)
{
	return !strcmp(c->reason, "indirect table not accessible");
}

static void one_case(const struct bad *like, unsigned int q, const struct packed_case *c,
		     unsigned int behind)
{
	uint64_t features = F_V1 | F_MRG | F_INDIRECT | F_PACKED | (behind % 2 ? F_EVENT : 0);
	struct side s;
	unsigned int i;
	uint32_t next;

	t_begin("packed: %s, %u good behind", c->name, behind);
	side_open(&s, like, features & ~c->without);
	offer_bad(&s, q, c);
	for (i = 0; i < behind; i++)
		offer_good(&s, q);
	mem_seal(&s.mem);
	klog_mark();
	stops(&s, q, c);
	expect_log(q, "stopped", c->reason);
	if (s.q[q].next < VQ_NUM) {
		/* A kick is asked for at what comes next, not at what was there. */
		next = s.q[q].next;
		offer_good(&s, q);
		mem_seal(&s.mem);
		/* Unless it was looked at already, by an attempt without a kick. */
		if (!attempted(c)) {
			CHECK(vq_kick_wanted(&s.q[q], next));
			CHECK(!(features & F_EVENT) || !behind ||
			      !vq_kick_wanted(&s.q[q], next + 1));
		}
		stops(&s, q, c);
	}
	/* A tap's packet socket has no room for a ring full of frames. */
	if (q == Q_RX || c->n < VQ_NUM) {
		mend(&s, q, c->n);
		q == Q_TX ? sends_all(&s) : receives(&s);
	}
	side_close(&s);
	t_end();
}

/* Places of avail, in the lower half, and used: each a slot with its wrap counter. */
static void places(const struct bad *like)
{
	static const struct { uint32_t told, kept; } p[] = {
		{ 0x80008000, 0x80008000 },
		{ 0x80018003, 0x80018003 },
		{ 3, 3 },
		{ 0x8001, 0x8001 },
		{ 0x80000001, 0x80000001 },
		/* DPDK's new ring. */
		{ 0x8000, 0x80008000 },
	};
	static const uint32_t none[] = { VQ_NUM, VQ_NUM << 16, 0x80008000 | VQ_NUM };
	struct vhost_vring_state s = { .index = Q_TX };
	int node = node_open(like->opts.node);
	unsigned int i;

	t_begin("packed: places are kept as they were told");
	MUST(!node_owner(node), "VHOST_SET_OWNER");
	CHECK_EQ(node_features(node, F_V1 | F_PACKED), 0);
	CHECK_EQ(node_num(node, Q_TX, VQ_NUM), 0);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		CHECK_EQ(node_base(node, Q_TX, p[i].told), 0);
		CHECK_EQ(node_call(node, VHOST_GET_VRING_BASE, &s), 0);
		CHECK_EQ(s.num, p[i].kept);
	}
	for (i = 0; i < ARRAY_SIZE(none); i++)
		CHECK_EQ(node_base(node, Q_TX, none[i]), -EINVAL);
	close(node);
	t_end();
}

void bad_packed(const struct bad *like)
{
	/* Pops look at 64 at a time. */
	static const unsigned int behind[] = { 0, 63, 101 };
	const struct bad quiet = { .opts = like->opts };
	unsigned int i, j;

	/* How frames are sent has nothing to do with what the ring may hold. */
	if (!like->opts.batch)
		return;
	places(like);
	for (i = 0; i < ARRAY_SIZE(behind); i++) {
		/* Messages of a kind are limited in number: those of the first will do. */
		const struct bad *b = i ? &quiet : like;

		for (j = 0; j < ARRAY_SIZE(tx_cases); j++)
			if (!behind[i] || tx_cases[j].n < VQ_NUM)
				one_case(b, Q_TX, &tx_cases[j], behind[i]);
		for (j = 0; j < ARRAY_SIZE(rx_cases); j++)
			if (!behind[i] || rx_cases[j].n < VQ_NUM)
				one_case(b, Q_RX, &rx_cases[j], behind[i]);
	}
}

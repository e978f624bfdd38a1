// SPDX-License-Identifier: GPL-2.0-only
/*
 * turns: what a queue does at a time. When its driver is told, frames taken ahead of their
 * buffers, frames handed to the socket at once, and how many until others have their turn.
 *
 *	turns NODE signal|told|wish|long|ahead|batch|share|share-rx|shown...
 *
 * Three count calls: batch those of the socket's sendmsg, share and share-rx those of the functions
 * that a kick of either queue runs. The caller has vd_inject look at it first; for shown, at the
 * function that polls a socket. Stock's node passes all of them, but for long, which goes by our
 * statistics, and shown.
 */
#include <linux/userfaultfd.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "away.h"
#include "inject.h"
#include "rig.h"
#include "test.h"

#define F_NOTIFY	(1ull << VIRTIO_F_NOTIFY_ON_EMPTY)
#define ROOM		128	/* of a short frame in the rig's buffer */
#define MANY		200u	/* in four bursts */
#define AHEAD		10u
#define BATCH		64u	/* taken from the tap at once */
#define ROOM_OF_TAP	256u
#define RX_SIZE		2048u
#define LONGEST		(1u << 16)
#define JUMBO		(1u << 13)
/* A queue's share, as stock has it; eight of the longest are one, or 64 of the jumbo frames. */
#define WEIGHT_PACKETS	256
#define WEIGHT_BYTES	0x80000

/* Offers @n frames at once, the next numbers, kicks, and waits for the chains. */
static void send_at_once(struct rig *r, unsigned int n)
{
	struct ring *q = &r->q[Q_TX];
	unsigned int i, head;

	for (i = 0; i < n; i++) {
		head = (q->pub + i) % q->num;
		desc_set(q->desc, head, mem_gpa(&r->mem, r->buf + i * ROOM),
			 rig_frame(r, r->buf + i * ROOM, RIG_FRAME), 0, 0);
		q->avail->ring[head] = head;
	}
	ring_publish(q, q->pub + n);
	ring_kick(q);
	for (i = 0; i < n; i++)
		if (!CHECK(ring_reap(q, NULL, WAIT_MS) >= 0))
			break;
	worker_rest(r->worker);
}

/*
 * The driver wants no interrupts. With the feature it gets one each time that its ring has become
 * empty: not for the bursts before the last.
 */
static void signal_on_empty(const char *node, bool on, bool event_idx)
{
	const struct rig_opts o = {
		.node = node,
		.features = F_MRG | (on ? F_NOTIFY : 0) | (event_idx ? F_EVENT : 0),
		.batch = true,
	};
	struct rig r;

	t_begin("%s NOTIFY_ON_EMPTY%s a ring that becomes empty is %s", on ? "with" : "without",
		event_idx ? ", with EVENT_IDX" : "",
		on ? "told once, unwanted interrupts or not" : "not told where no interrupt is wanted");
	rig_open(&r, &o);
	r.q[Q_TX].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	/* The event index: far away. */
	r.q[Q_TX].avail->ring[r.q[Q_TX].num] = 30000;
	/* With EVENT_IDX the first burst that leaves something is always told. */
	send_at_once(&r, MANY);
	event_wait(r.q[Q_TX].call, 0);
	send_at_once(&r, MANY);
	CHECK_EQ(event_wait(r.q[Q_TX].call, 0), on);
	send_at_once(&r, 1);
	CHECK_EQ(event_wait(r.q[Q_TX].call, 0), on);
	rig_close(&r);
	t_end();
}

static void test_signal(const char *node)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		signal_on_empty(node, i & 1, i & 2);
}

/* CHECKs that @n of the buffers at @at, from slot @first on, get the frames from number @seq on. */
static void collect(struct rig *r, const uint8_t *at, unsigned int first, unsigned int n, uint32_t seq)
{
	uint32_t len;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!CHECK_EQ(ring_reap(&r->q[Q_RX], &len, WAIT_MS), first + i))
			break;
		CHECK_EQ(len, r->hdr + RIG_FRAME);
		CHECK(frame_is(at + (first + i) * RX_SIZE + r->hdr, RIG_FRAME, seq + i));
	}
}

/* Offers @n buffers from @at on, of which @full get the frames from number @seq on. */
static void receive(struct rig *r, uint8_t *at, unsigned int n, unsigned int full, uint32_t seq)
{
	struct ring *q = &r->q[Q_RX];
	unsigned int i;

	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r->mem, at + i * RX_SIZE), RX_SIZE, D_WRITE, 0);
		ring_offer(q, i);
	}
	ring_kick(q);
	collect(r, at, 0, full, seq);
}

static void feed(struct rig *r, struct tap *tap, unsigned int n)
{
	uint8_t f[RIG_FRAME];

	while (n--) {
		frame_make(f, sizeof(f), ++r->seq);
		CHECK(tap_feed(tap, f, sizeof(f)));
	}
	worker_rest(r->worker);
}

/*
 * Of many frames that wait for buffers the driver hears as they are moved, not when all are: after
 * 64 (of stock after 65), and at the end. Without EVENT_IDX each time is one signal.
 */
static void told(const char *node, unsigned int n, unsigned int want)
{
	const struct rig_opts o = { .node = node, .features = F_V1 | F_MRG, .batch = true };
	struct rig r;
	uint8_t *at;

	t_begin("of %u frames that wait for buffers the driver is told %u time%s", n, want,
		want == 1 ? "" : "s");
	rig_open(&r, &o);
	at = mem_take(&r.mem, CHUNK_B, n * RX_SIZE, 64);
	feed(&r, &r.tap, n);
	CHECK_EQ(tap_dropped(&r.tap), 0);
	CHECK_EQ(event_wait(r.q[Q_RX].call, 0), 0);
	receive(&r, at, n, n, 1);
	worker_rest(r.worker);
	CHECK_EQ(event_wait(r.q[Q_RX].call, 0), want);
	if (strcmp(node, "/dev/vhost-net"))
		CHECK_EQ(node_stat(r.node, Q_RX, "signals"), want);
	rig_close(&r);
	t_end();
}

static void test_told(const char *node)
{
	told(node, AHEAD, 1);
	told(node, MANY, 4);
}

static void by_stop(struct rig *r, uint8_t *at)
{
	ring_restart(&r->q[Q_RX], r->node, r->tap.fd);
}

static void by_reset(struct rig *r, uint8_t *at)
{
	unsigned int i;

	CHECK_EQ(node_call(r->node, VHOST_RESET_OWNER, NULL), 0);
	CHECK_EQ(node_owner(r->node), 0);
	CHECK_EQ(node_features(r->node, r->features), 0);
	CHECK_EQ(mem_announce(&r->mem, r->node), 0);
	for (i = 0; i < 2; i++) {
		ring_close(&r->q[i]);
		ring_start(&r->q[i], r->node, r->tap.fd);
	}
	r->worker = worker_find(getpid());
}

/* The other tap's frames are not mixed with them. */
static void by_other(struct rig *r, uint8_t *at)
{
	struct tap other;

	tap_open(&other, r->hdr, true);
	CHECK_EQ(node_backend(r->node, Q_RX, other.fd), 0);
	feed(r, &other, 1);
	receive(r, at, 1, 1, AHEAD + 1);
	CHECK_EQ(node_backend(r->node, Q_RX, r->tap.fd), 0);
	worker_rest(r->worker);
	tap_close(&other);
}

/*
 * The tap has room for 256. Of 200 frames the queue takes a batch, without a buffer for any; then
 * 130 more find room but for ten.
 */
static void ahead_full(const char *node)
{
	const struct rig_opts o = { .node = node, .features = RIG_FEATURES, .batch = true };
	unsigned int i;
	struct rig r;
	uint8_t f[RIG_FRAME];

	t_begin("%u of %u frames are taken ahead of their buffers", BATCH, MANY);
	rig_open(&r, &o);
	CHECK_EQ(node_backend(r.node, Q_RX, -1), 0);
	tap_room(&r.tap, ROOM_OF_TAP);
	for (i = 0; i < MANY; i++) {
		frame_make(f, sizeof(f), ++r.seq);
		tap_feed(&r.tap, f, sizeof(f));
	}
	CHECK_EQ(tap_dropped(&r.tap), 0);
	CHECK_EQ(node_backend(r.node, Q_RX, r.tap.fd), 0);
	worker_rest(r.worker);
	/* What is dropped is told to who sends it. */
	for (i = 0; i < ROOM_OF_TAP - MANY + BATCH + 10; i++) {
		frame_make(f, sizeof(f), ++r.seq);
		tap_feed(&r.tap, f, sizeof(f));
	}
	CHECK_EQ(tap_dropped(&r.tap), 10);
	rig_close(&r);
	t_end();
}

/* A batch is taken out of the tap before it is known whether there are buffers for it. */
static void test_ahead(const char *node)
{
	static const struct {
		const char *name;
		void (*by)(struct rig *r, uint8_t *at);
	} ways[] = {
		{ "SET_BACKEND of -1", by_stop },
		{ "SET_BACKEND of another tap", by_other },
		{ "RESET_OWNER", by_reset },
	};
	const struct rig_opts o = { .node = node, .features = RIG_FEATURES, .batch = true };
	unsigned int i;
	struct rig r;
	uint8_t *at;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		t_begin("frames that no buffer was there for are the tap's again after %s, in order",
			ways[i].name);
		rig_open(&r, &o);
		at = mem_take(&r.mem, CHUNK_B, AHEAD * RX_SIZE, 64);
		feed(&r, &r.tap, AHEAD);
		ways[i].by(&r, at);
		receive(&r, at, AHEAD, AHEAD, 1);
		rig_close(&r);
		t_end();
	}
	ahead_full(node);
}

/* Does the device want a kick for the next chain? */
static bool wished(const struct rig *r, const struct ring *q)
{
	if (r->features & F_EVENT)
		return __atomic_load_n((const uint16_t *)&q->used->ring[q->num], __ATOMIC_ACQUIRE) == q->pub;
	return !(__atomic_load_n(&q->used->flags, __ATOMIC_ACQUIRE) & VRING_USED_F_NO_NOTIFY);
}

/* The worker is made to stand in the first frame's copy, whose page isn't there. */
static void wish_sending(const char *node, uint64_t features)
{
	const struct rig_opts o = { .node = node, .features = features, .batch = true };
	struct pollfd p = { .events = POLLIN };
	uint8_t frame[PAGE] = { 0 };
	struct uffd_msg m;
	unsigned int i;
	struct ring *q;
	struct rig r;

	t_begin("%s a kick for frames is wanted by a worker at rest, not by one at work",
		features & F_EVENT ? "EVENT_IDX:" : "flags:");
	p.fd = away_open();
	if (p.fd < 0) {
		t_skip("this kernel has no userfaultfd");
		t_end();
		return;
	}
	rig_open(&r, &o);
	q = &r.q[Q_TX];
	CHECK(wished(&r, q));
	for (i = 0; i < 3; i++)
		desc_set(q->desc, i, mem_gpa(&r.mem, r.buf + i * PAGE),
			 rig_frame(&r, r.buf + i * PAGE, RIG_FRAME), 0, 0);
	memcpy(frame, r.buf, sizeof(frame));
	away_keep(p.fd, r.buf, PAGE);
	ring_offer(q, 0);
	ring_kick(q);
	CHECK_EQ(poll_ms(&p, 1, WAIT_MS), 1);
	CHECK_EQ(read(p.fd, &m, sizeof(m)), sizeof(m));
	CHECK(!wished(&r, q));
	ring_offer(q, 1);
	CHECK(!wished(&r, q));
	ring_offer(q, 2);
	CHECK(!wished(&r, q));
	away_bring(p.fd, r.buf, frame);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
		rig_arrives(&r, i + 1, RIG_FRAME);
	}
	worker_rest(r.worker);
	CHECK(wished(&r, q));
	close(p.fd);
	rig_close(&r);
	t_end();
}

static void wish_receiving(const char *node, uint64_t features)
{
	const struct rig_opts o = { .node = node, .features = features, .batch = true };
	struct ring *q;
	struct rig r;
	uint8_t *at;

	t_begin("%s a kick for buffers is wanted once frames have none, not before",
		features & F_EVENT ? "EVENT_IDX:" : "flags:");
	rig_open(&r, &o);
	q = &r.q[Q_RX];
	at = mem_take(&r.mem, CHUNK_B, AHEAD * RX_SIZE, 64);
	/* One frame first: a ring that was never looked at may want anything. */
	feed(&r, &r.tap, 1);
	receive(&r, at, 4, 1, 1);
	worker_rest(r.worker);
	CHECK(!wished(&r, q));
	feed(&r, &r.tap, 3);
	collect(&r, at, 1, 3, 2);
	worker_rest(r.worker);
	CHECK(!wished(&r, q));
	feed(&r, &r.tap, 2);
	CHECK(wished(&r, q));
	receive(&r, at, 4, 2, 5);
	worker_rest(r.worker);
	CHECK(!wished(&r, q));
	rig_close(&r);
	t_end();
}

static void test_wish(const char *node)
{
	static const uint64_t features[] = { F_V1 | F_MRG, RIG_FEATURES };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		wish_sending(node, features[i]);
		wish_receiving(node, features[i]);
	}
}

/* Has one frame come, into the next @n buffers, which wait for it; returns its bursts. */
static uint64_t alone(struct rig *r, uint8_t *at, uint32_t len, unsigned int n)
{
	uint64_t before = node_stat(r->node, Q_RX, "bursts_direct") +
			  node_stat(r->node, Q_RX, "bursts_user");
	static uint8_t f[JUMBO];
	uint32_t used, sum = 0;
	unsigned int i;

	frame_make(f, len, ++r->seq);
	CHECK(tap_feed(&r->tap, f, len));
	for (i = 0; i < n && !t_errors(); i++) {
		CHECK(ring_reap(&r->q[Q_RX], &used, WAIT_MS) >= 0);
		sum += used;
	}
	CHECK_EQ(sum, r->hdr + len);
	/* Buffers lie as they are used: the frame is in one piece. */
	CHECK(frame_is(at + r->hdr, len, r->seq));
	worker_rest(r->worker);
	return node_stat(r->node, Q_RX, "bursts_direct") +
	       node_stat(r->node, Q_RX, "bursts_user") - before;
}

/* The second of the long frames: the first found out what a buffer holds. */
static void test_long(const char *node)
{
	const struct rig_opts o = { .node = node, .features = F_V1 | F_MRG, .batch = true };
	const unsigned int of_one = JUMBO / RX_SIZE + 1, n = 1 + 2 * of_one;
	unsigned int i;
	uint64_t brief, first, second;
	struct ring *q;
	struct rig r;
	uint8_t *at;

	t_begin("a frame in %u buffers takes no more bursts than one in one", of_one);
	rig_open(&r, &o);
	q = &r.q[Q_RX];
	at = mem_take(&r.mem, CHUNK_B, n * RX_SIZE, PAGE);
	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r.mem, at + i * RX_SIZE), RX_SIZE, D_WRITE, 0);
		ring_offer(q, i);
	}
	ring_kick(q);
	worker_rest(r.worker);
	brief = alone(&r, at, RIG_FRAME, 1);
	first = alone(&r, at + RX_SIZE, JUMBO, of_one);
	second = alone(&r, at + (1 + of_one) * RX_SIZE, JUMBO, of_one);
	CHECK(first <= brief + 1);
	CHECK_EQ(second, brief);
	rig_close(&r);
	t_end();
}

/*
 * What was received its driver sees before the socket is polled, which takes locks of the device's:
 * the worker is held up there.
 */
static void test_shown(const char *node)
{
	const struct rig_opts o = { .node = node, .features = F_V1 | F_MRG };
	unsigned int looks;
	struct rig r;
	uint8_t *at;

	t_begin("a frame is shown before its socket is polled");
	rig_open(&r, &o);
	at = mem_take(&r.mem, CHUNK_B, RX_SIZE, PAGE);
	receive(&r, at, 1, 0, 0);
	worker_rest(r.worker);
	inject_hold(INJECT_LONG);
	frame_make(r.buf, RIG_FRAME, 1);
	CHECK(tap_feed(&r.tap, r.buf, RIG_FRAME));
	for (looks = 0; looks < WAIT_MS && !inject_held(); looks++)
		usleep(1000);
	CHECK_EQ(ring_used_idx(&r.q[Q_RX]), 1);
	/* It was there then, not since. */
	CHECK(inject_held());
	inject_hold("0");
	collect(&r, at, 0, 1, 1);
	rig_close(&r);
	t_end();
}

static void test_batch(const char *node)
{
	static const unsigned int frames[] = { 64, MANY };
	unsigned int i, n, want, j;
	struct rig r;
	long before;

	for (i = 0; i < 4; i++) {
		const struct rig_opts o = { .node = node, .features = RIG_FEATURES, .batch = !(i & 1) };

		n = frames[i / 2];
		want = o.batch ? (n + 63) / 64 : n;
		t_begin("%u frames at once, sndbuf %s: handed over %u at a time", n,
			o.batch ? "without limit" : "of 1 MiB", o.batch ? 64 : 1);
		rig_open(&r, &o);
		before = inject_hits();
		send_at_once(&r, n);
		CHECK_EQ(inject_hits() - before, want);
		for (j = 1; j <= n; j++)
			rig_arrives(&r, j, RIG_FRAME);
		rig_close(&r);
		t_end();
	}
}

/* The queue goes on by itself: each visit is a call, and the last finds nothing. */
static void visits(const char *node, unsigned int num, unsigned int n, uint32_t len, unsigned int want)
{
	const struct rig_opts o = { .node = node, .features = RIG_FEATURES, .num = num, .batch = true };
	struct ring *q;
	unsigned int i;
	struct rig r;
	long before;

	t_begin("%u frames of %u bytes at once take %u turns", n, len, want);
	rig_open(&r, &o);
	q = &r.q[Q_TX];
	CHECK_EQ(rig_frame(&r, r.buf, len - r.hdr), len);
	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r.mem, r.buf), len, 0, 0);
		q->avail->ring[i] = i;
	}
	before = inject_hits();
	ring_publish(q, n);
	ring_kick(q);
	for (i = 0; i < n; i++)
		CHECK_EQ(ring_reap(q, NULL, 10 * WAIT_MS), i);
	worker_rest(r.worker);
	CHECK_EQ(inject_hits() - before, want + 1);
	for (i = 0; i < n && !t_errors(); i++)
		rig_arrives(&r, 1, len - r.hdr);
	rig_close(&r);
	t_end();
}

static void test_share(const char *node)
{
	visits(node, 1024, 1024, 64, 1024 / WEIGHT_PACKETS);
	visits(node, 256, 64, LONGEST, 64 / (WEIGHT_BYTES / LONGEST));
}

/* As visits(), of frames that wait when their buffers come, all of them at once. */
static void visits_rx(const char *node, unsigned int num, unsigned int n, uint32_t len,
		      unsigned int want)
{
	const struct rig_opts o = {
		.node = node, .features = RIG_FEATURES, .num = num, .batch = true,
	};
	static uint8_t f[JUMBO];
	struct ring *q;
	unsigned int i;
	uint32_t used;
	struct rig r;
	uint8_t *at;
	long before;

	t_begin("%u frames of %u bytes that wait for buffers take %u turns", n, len, want);
	rig_open(&r, &o);
	q = &r.q[Q_RX];
	at = mem_take(&r.mem, CHUNK_B, r.hdr + len, PAGE);
	tap_room(&r.tap, n);
	frame_make(f, len, 1);
	for (i = 0; i < n; i++)
		CHECK(tap_feed(&r.tap, f, len));
	CHECK_EQ(tap_dropped(&r.tap), 0);
	worker_rest(r.worker);
	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r.mem, at), r.hdr + len, D_WRITE, 0);
		q->avail->ring[i] = i;
	}
	before = inject_hits();
	ring_publish(q, n);
	ring_kick(q);
	for (i = 0; i < n && !t_errors(); i++) {
		CHECK_EQ(ring_reap(q, &used, 10 * WAIT_MS), i);
		CHECK_EQ(used, r.hdr + len);
	}
	worker_rest(r.worker);
	CHECK_EQ(inject_hits() - before, want + 1);
	CHECK(frame_is(at + r.hdr, len, 1));
	rig_close(&r);
	t_end();
}

static void test_share_rx(const char *node)
{
	visits_rx(node, 1024, 1024, RIG_FRAME, 1024 / WEIGHT_PACKETS);
	visits_rx(node, 256, 128, JUMBO, 128 / (WEIGHT_BYTES / JUMBO));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*test)(const char *node);
	} parts[] = {
		{ "signal", test_signal }, { "told", test_told }, { "wish", test_wish },
		{ "long", test_long }, { "ahead", test_ahead }, { "batch", test_batch }, { "share", test_share },
		{ "share-rx", test_share_rx }, { "shown", test_shown },
	};
	unsigned int i;
	int a;

	if (argc < 3) {
		fprintf(stderr, "usage: turns NODE signal|told|wish|long|ahead|batch|share|share-rx|shown...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (a = 2; a < argc; a++)
		for (i = 0; i < ARRAY_SIZE(parts); i++)
			if (!strcmp(argv[a], parts[i].name))
				parts[i].test(argv[1]);
	return t_done();
}

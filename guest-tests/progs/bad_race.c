// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that rewrites its ring while the device reads it (CVE-2020-14374 to
 * 14378), and one that never ends (CVE-2019-3900).
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad.h"

#define RACE_MS		1500
/* "Within a second" of a machine that is emulated on two busy cores: so many looks. */
#define SOON_MS		1000
#define SLOT		1024
#define SLOTS		(TABLE / SLOT)
#define LONGEST		900

enum { RACE_DESC = 1, RACE_AVAIL = 2, RACE_TABLE = 4 };

struct race {
	struct bad *b;
	struct ring *q;
	unsigned int what;
	volatile bool stop;
};

/* The bytes of which all memory is made that a frame may be taken from. */
static bool ours(uint8_t byte)
{
	return !byte || byte == 'f' || byte == 'g' || byte == 0x88 || byte == 0xb5 ||
	       byte == CANARY;
}

static void fill_slots(struct bad *b)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		uint8_t *at = b->r.buf + i * SLOT;

		memset(at, 'g', SLOT);
		memset(at, 0, b->r.hdr);
		at[b->r.hdr] = 'f';
		at[b->r.hdr + 12] = 0x88;
		at[b->r.hdr + 13] = 0xb5;
	}
}

static uint32_t dice(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Mostly memory that is there, in bounds whatever length comes with it. */
static uint64_t any_addr(const struct race *c, uint32_t *seed)
{
	static const uint64_t wild[] = {
		GPA_HOLE, ~0ull - 15, GPA_B + CHUNK_SIZE - 1, GPA_A - 1,
		0xffff888000000000ull, 0,
	};
	unsigned int n = dice(seed) % 16;

	if (n < ARRAY_SIZE(wild))
		return wild[n];
	if (c->q->index == Q_RX)
		return mem_gpa(&c->b->r.mem, c->b->rx[n % RX_BUFS] + dice(seed) % 512);
	return mem_gpa(&c->b->r.mem, c->b->r.buf + dice(seed) % (SLOTS - 1) * SLOT +
		       (n & 1 ? dice(seed) % 64 : 0));
}

static void any_desc(const struct race *c, struct vring_desc *d, unsigned int room,
		     uint32_t *seed)
{
	unsigned int n = dice(seed) % 16;
	uint16_t flags = c->q->index == Q_RX ? D_WRITE : 0;
	volatile struct vring_desc *v = d;

	/* Word by word, so that the device may meet half of it. */
	v->addr = any_addr(c, seed);
	/* Either it ends in its buffer, or in nothing at all. */
	v->len = n ? dice(seed) % LONGEST : 2 * CHUNK_SIZE << (dice(seed) % 11);
	v->next = n == 1 ? dice(seed) : dice(seed) % room;
	if (n == 2)
		flags = dice(seed) & 7;
	else if (n < 6)
		flags |= D_NEXT;
	v->flags = flags;
}

static void good_desc(const struct race *c, unsigned int i)
{
	if (c->q->index == Q_RX)
		desc_set(c->q->desc, i, mem_gpa(&c->b->r.mem, c->b->rx[i % RX_BUFS]), RX_SIZE,
			 D_WRITE, 0);
	else
		desc_set(c->q->desc, i, mem_gpa(&c->b->r.mem, c->b->r.buf + i % SLOTS * SLOT),
			 RIG_FRAME, 0, 0);
}

/*
 * With tables, every other descriptor always names the one there is: one that
 * did so only at times could be met half written, and send the table itself.
 */
static void any_ring_desc(const struct race *c, unsigned int i, uint32_t *seed)
{
	volatile struct vring_desc *v = &c->q->desc[i];

	if (!(c->what & RACE_TABLE) || !(i & 1)) {
		if (c->what & RACE_DESC)
			any_desc(c, &c->q->desc[i], c->q->num, seed);
		else
			/* A bad one would hold up the queue for good. */
			good_desc(c, i);
		return;
	}
	v->addr = bad_addr(c->b, Q_TX, TABLE);
	v->len = 16 * (dice(seed) % 65);
	v->flags = D_IND;
}

static void *rewrite(void *arg)
{
	struct race *c = arg;
	struct ring *q = c->q;
	struct vring_desc *t = (void *)(c->b->r.buf + TABLE);
	uint32_t seed = 7, n;

	while (!c->stop) {
		if (c->what & RACE_DESC)
			any_ring_desc(c, dice(&seed) % q->num, &seed);
		if (c->what & RACE_TABLE)
			any_desc(c, &t[dice(&seed) % 64], 64, &seed);
		n = dice(&seed);
		if (c->what & RACE_AVAIL) {
			*(volatile uint16_t *)&q->avail->ring[n % q->num] =
				n & 0x1f00 ? dice(&seed) % q->num : dice(&seed);
			if (!(n & 0xffff0))
				ring_publish(q, dice(&seed));
		}
		/* As much as there may be, by the book. */
		if (!(n & 0xf))
			ring_publish(q, ring_used_idx(q) + (n & 0x10 ? q->num : 1));
	}
	return NULL;
}

static void *kick_on(void *arg)
{
	struct race *c = arg;

	while (!c->stop) {
		ring_kick(c->q);
		usleep(100);
	}
	return NULL;
}

static void race_prepare(struct race *c)
{
	struct ring *q = c->q;
	struct vring_desc *t = (void *)(c->b->r.buf + TABLE);
	uint32_t seed = 3;
	unsigned int i;

	fill_slots(c->b);
	for (i = 0; i < 64; i++)
		any_desc(c, &t[i], 64, &seed);
	for (i = 0; i < q->num; i++) {
		q->avail->ring[i] = i;
		any_ring_desc(c, i, &seed);
	}
	mem_device_writes(&c->b->r.mem, q->desc, 16 * q->num);
	mem_device_writes(&c->b->r.mem, q->avail, 6 + 2 * q->num);
	mem_device_writes(&c->b->r.mem, t, 16 * 64);
	/* What any_addr() may name at the ends of chunks. */
	mem_device_writes(&c->b->r.mem, mem_end(&c->b->r.mem, CHUNK_TOP) - 16, 16);
	mem_device_writes(&c->b->r.mem, mem_end(&c->b->r.mem, CHUNK_B) - 1, 1);
}

/*
 * Looks at what comes out of the tap, or puts frames in, until time is up. If it was too
 * short for the first to pass, there are some more looks.
 */
static unsigned int race_traffic(struct race *c)
{
	struct rig *r = &c->b->r;
	uint64_t until = now_ns() + RACE_MS * NS_PER_MS;
	unsigned int frames = 0, late = 0;
	uint8_t f[1 << 16];
	size_t len, i;

	memset(f, 'g', RIG_FRAME);
	f[0] = 'f';
	while (now_ns() < until || (!frames && late++ < SOON_MS)) {
		if (c->q->index == Q_RX) {
			tap_feed(&r->tap, f, RIG_FRAME);
			frames = ring_used_idx(c->q) ?: frames;
			if (late)
				sleep_ms(1);
			continue;
		}
		len = tap_take(&r->tap, f, sizeof(f), 10);
		for (i = 0; i < len; i++)
			if (!CHECK(ours(f[i]))) {
				t_diag("frame of %zu bytes: %02x at %zu", len, f[i], i);
				break;
			}
		frames += !!len;
	}
	return frames;
}

/* After all that: a new start, and a frame passes. */
static void race_restart(struct bad *b, unsigned int qi)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[qi];

	q->avail->flags = 0;
	ring_restart(q, r->node, r->tap.fd);
	sleep_ms(50);
	tap_drain(&r->tap);
}

static void race_run(struct bad *b, unsigned int qi, unsigned int what, const char *name)
{
	struct race c = { .b = b, .q = &b->r.q[qi], .what = what };
	unsigned int frames;
	pthread_t t[2];

	t_begin("%s: %s rewritten while they are read (CVE-2020-14374 to CVE-2020-14378)",
		qi == Q_TX ? "transmit" : "receive", name);
	race_prepare(&c);
	mem_seal(&b->r.mem);
	MUST(!pthread_create(&t[0], NULL, rewrite, &c), "thread");
	MUST(!pthread_create(&t[1], NULL, kick_on, &c), "thread");
	frames = race_traffic(&c);
	c.stop = true;
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	t_diag("%u frames, stopped %llu times", frames,
	       (unsigned long long)(bad_stat(b, qi, "malformed") + bad_stat(b, qi, "faults")));
	/* Else the race was none. */
	CHECK(frames > 0);
	race_restart(b, qi);
	mem_check(&b->r.mem);
	if (qi == Q_TX) {
		rig_tx_good(&b->r, 0);
	} else {
		/* What waited in the tap comes first. */
		while (event_wait(c.q->err, 20))
			;
		CHECK_EQ(node_backend(b->r.node, qi, -1), 0);
		CHECK_EQ(node_backend(b->r.node, qi, b->r.tap.fd), 0);
		rig_tx_good(&b->r, 0);
	}
	t_end();
}

/* Chains without end: nothing in them, a frame in each, or a loop. */
static const struct {
	const char *name;
	uint32_t len;
	uint16_t flags;
} endless[] = {
	{ "chains of nothing", 0, 0 },
	{ "chains too short", 5, 0 },
	{ "frames", 76, 0 },
	{ "descriptor loops", 76, D_NEXT },
};

static void *never_end(void *arg)
{
	struct race *c = arg;

	for (;;)
		ring_publish(c->q, ring_used_idx(c->q) + c->q->num);
	return NULL;
}

/* The child: tells when the other queue has worked, then waits to be killed. */
static void endless_child(struct bad *b, unsigned int kind, int tell)
{
	struct race c = { .b = b };
	struct rig *r = &b->r;
	pthread_t t[2];

	bad_open(b);
	c.q = &r->q[Q_TX];
	rig_frame(r, r->buf, RIG_FRAME);
	desc_set(c.q->desc, 0, mem_gpa(&r->mem, r->buf), endless[kind].len,
		 endless[kind].flags, 0);
	MUST(!pthread_create(&t[0], NULL, never_end, &c), "thread");
	MUST(!pthread_create(&t[1], NULL, kick_on, &c), "thread");
	sleep_ms(100);
	rig_rx_soon(r, 0, b->rx[0], SOON_MS);
	MUST(write(tell, t_errors() ? "n" : "y", 1) == 1, "pipe");
	pause();
}

static void endless_run(struct bad *b, unsigned int kind)
{
	unsigned int looks;
	char told = 0;
	pid_t child;
	int tell[2];

	t_begin("%s without end: the other queue works and SIGKILL is obeyed (CVE-2019-3900)",
		endless[kind].name);
	fflush(stdout);
	MUST(!pipe(tell), "pipe");
	child = fork();
	if (!child) {
		endless_child(b, kind, tell[1]);
		_exit(0);
	}
	close(tell[1]);
	CHECK(read(tell[0], &told, 1) == 1);
	CHECK_EQ(told, 'y');
	close(tell[0]);
	kill(child, SIGKILL);
	for (looks = 0; looks < SOON_MS && !waitpid(child, NULL, WNOHANG); looks++)
		sleep_ms(1);
	if (!CHECK(looks < SOON_MS))
		waitpid(child, NULL, 0);
	CHECK(worker_gone(child));
	t_end();
}

void bad_race(const struct bad *like)
{
	static const struct { unsigned int what; const char *name; } kinds[] = {
		{ RACE_DESC, "descriptors" },
		{ RACE_AVAIL, "avail entries and index" },
		{ RACE_TABLE, "indirect tables" },
		{ RACE_DESC | RACE_AVAIL | RACE_TABLE, "all words" },
	};
	struct bad b = *like;
	unsigned int i, q;

	for (q = 0; q < 2; q++)
		for (i = 0; i < ARRAY_SIZE(kinds); i++) {
			bad_open(&b);
			race_run(&b, q, kinds[i].what, kinds[i].name);
			bad_close(&b);
		}
	for (i = 0; i < ARRAY_SIZE(endless); i++)
		endless_run(&b, i);
}

void stock_race(const struct bad *like)
{
	struct bad b = *like;

	bad_open(&b);
	race_run(&b, Q_TX, RACE_DESC, "descriptors");
	bad_close(&b);
	endless_run(&b, 2);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures the engine beside DPDK's vhost library: TSC ticks that the back end
 * takes for a packet, in one process on one core.
 *
 * For each kind of ring both sides serve a guest of their own, whose driver is
 * the tests' mock driver. A round is a slice of each side at each burst size,
 * one after the other, the order changing; in a slice the driver makes a burst
 * available, the back end is timed, the driver takes the burst back and both
 * ends check the numbers written in the frames.
 *
 * One descriptor a packet, header and frame together, which is what a driver
 * does that may (section 5.1.6) and what lets DPDK take its batched path. The
 * driver never waits and wants no interrupt.
 *
 * Prints lines "sample KIND BYTES rx|tx SIDE BURST TICKS", one a slice, after
 * lines "fact NAME VALUE"; the script beside this makes the report.
 */
#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../virtio/mock_driver.h"
#include "../../virtio/mock_packed.h"
#include "side.h"

#define SIDES	2u
#define BURSTS	2u	/* DPDK takes 32 in a call: 64 are two of them */
/* Bursts that warm the caches for the side whose turn it is, untimed. */
#define WARMUP	16u

struct options {
	u32 rounds;
	u32 bursts;
	u32 num;
	int cpu;
	const char *only;
};

/* The driver's side of a ring; buffers made available and taken back so far. */
struct driver {
	struct mock_split split;
	struct mock_packed packed;
	u32 added;
	u32 reaped;
};

/* A side with the guest it serves. */
struct lane {
	const struct side *side;
	struct guest guest;
	struct mock_arena rings;
	struct driver drv[GUEST_QUEUES];
	void *port;
	u32 seq;
};

static const u32 burst_size[BURSTS] = { 32, BURST_MAX };
static const struct side *const sides[SIDES] = { &side_ours, &side_dpdk };
static const char *const kind_name[KINDS] = {
	"split", "split-in-order", "packed", "packed-in-order"
};

static inline u64 tsc_begin(void)
{
	u32 lo, hi;

	asm volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	return lo | (u64)hi << 32;
}

static inline u64 tsc_end(void)
{
	u32 lo, hi;

	asm volatile("rdtscp\n\tlfence" : "=a"(lo), "=d"(hi) :: "rcx",
		     "memory");
	return lo | (u64)hi << 32;
}

static void fail(const struct lane *l, enum kind kind, const char *what)
{
	errx(1, "%s, %s: %s", l->side->name, kind_name[kind], what);
}

static void driver_init(struct lane *l, u32 queue, enum kind kind)
{
	struct driver *d = &l->drv[queue];
	const struct mock_layout lay = {
		.num = l->guest.num, .packed = kind_packed(kind),
		.in_order = kind_in_order(kind), .cyclic = true, .le = true,
	};
	u64 size = sizeof(l->guest.part[queue]);

	if (kind_packed(kind)) {
		mock_packed_init(&d->packed, &l->rings, &lay);
		mock_packed_no_interrupt(&d->packed);
		memcpy(l->guest.part[queue], d->packed.gpa, size);
	} else {
		mock_split_init(&d->split, &l->rings, &lay);
		mock_no_interrupt(&d->split);
		memcpy(l->guest.part[queue], d->split.gpa, size);
	}
}

static void driver_exit(struct driver *d, enum kind kind)
{
	if (kind_packed(kind))
		mock_packed_exit(&d->packed);
	else
		mock_split_exit(&d->split);
}

static u64 driver_gpa(const struct lane *l, u32 queue, u32 i)
{
	return guest_buf(&l->guest, queue, i % l->guest.num);
}

static u8 *driver_buf(const struct lane *l, u32 queue, u32 i)
{
	return guest_at(&l->guest, GUEST_BUFS, driver_gpa(l, queue, i));
}

/* Makes the next @n buffers, of @len bytes each, available. */
static void driver_add(struct lane *l, enum kind kind, u32 queue, u32 n,
		       u32 len)
{
	struct driver *d = &l->drv[queue];
	bool rx = queue == GUEST_RX;
	struct vd_seg seg = { .len = len };
	struct mock_chain c = { .seg = &seg, .nr_out = !rx, .nr_in = rx,
				.direct = 1 };
	u32 i;

	for (i = 0; i < n; i++) {
		seg.addr = driver_gpa(l, queue, d->added);
		c.cookie = d->added++;
		if ((kind_packed(kind) ? mock_packed_add(&d->packed, &c) :
					 mock_add(&d->split, &c)) < 0)
			fail(l, kind, "the ring is full");
	}
	if (kind_packed(kind))
		mock_packed_publish(&d->packed);
	else
		mock_publish(&d->split);
}

/*
 * Takes the next @n buffers back: in the order in which they were added, and
 * with what the device must have written to them.
 */
static void driver_reap(struct lane *l, enum kind kind, u32 queue, u32 n,
			u32 len)
{
	struct driver *d = &l->drv[queue];
	struct mock_done done;
	u32 i;

	for (i = 0; i < n; i++) {
		if ((kind_packed(kind) ? mock_packed_reap(&d->packed, &done) :
					 mock_reap(&d->split, &done)) != 1)
			fail(l, kind, "buffers are missing");
		if (done.cookie != d->reaped++ ||
		    (queue == GUEST_RX && done.len != len))
			fail(l, kind, "a buffer came back wrong");
	}
}

/* The number of a frame is in its first bytes and in its last. */
static inline void frame_mark(u8 *frame, u32 len, u32 seq)
{
	word_store32(frame, seq);
	word_store32(frame + len - 4, ~seq);
}

static inline bool frame_is(const u8 *frame, u32 len, u32 seq)
{
	return word_load32(frame) == seq && word_load32(frame + len - 4) == ~seq;
}

static u64 burst_tx(struct lane *l, enum kind kind, u32 n, u32 len)
{
	u32 i, got, bytes, at = l->drv[GUEST_TX].added;
	const u8 *frame;
	u64 begin, end;

	for (i = 0; i < n; i++) {
		u8 *buf = driver_buf(l, GUEST_TX, at + i);

		memset(buf, 0, HDR_SIZE);
		frame_mark(buf + HDR_SIZE, len, l->seq + i);
	}
	driver_add(l, kind, GUEST_TX, n, HDR_SIZE + len);
	begin = tsc_begin();
	got = l->side->tx(l->port, n);
	end = tsc_end();
	if (got != n)
		fail(l, kind, "frames are missing");
	driver_reap(l, kind, GUEST_TX, n, 0);
	for (i = 0; i < n; i++) {
		frame = l->side->frame(l->port, i, &bytes);
		if (bytes != len || !frame_is(frame, len, l->seq + i))
			fail(l, kind, "a frame is wrong");
	}
	l->side->release(l->port, n);
	l->seq += n;
	return end - begin;
}

static u64 burst_rx(struct lane *l, enum kind kind, u32 n, u32 len)
{
	u32 i, got, at = l->drv[GUEST_RX].added;
	u64 begin, end;

	for (i = 0; i < n; i++)
		frame_mark(l->side->blank(l->port, i, len), len, l->seq + i);
	driver_add(l, kind, GUEST_RX, n, BUF_SIZE);
	begin = tsc_begin();
	got = l->side->rx(l->port, n, len);
	end = tsc_end();
	if (got != n)
		fail(l, kind, "frames are missing");
	driver_reap(l, kind, GUEST_RX, n, HDR_SIZE + len);
	for (i = 0; i < n; i++)
		if (!frame_is(driver_buf(l, GUEST_RX, at + i) + HDR_SIZE, len,
			      l->seq + i))
			fail(l, kind, "a frame is wrong");
	l->seq += n;
	return end - begin;
}

static double slice(struct lane *l, enum kind kind, u32 queue, u32 len,
		    u32 burst, u32 bursts)
{
	u64 sum = 0, ticks;
	u32 i;

	for (i = 0; i < WARMUP + bursts; i++) {
		ticks = queue == GUEST_TX ? burst_tx(l, kind, burst, len) :
					    burst_rx(l, kind, burst, len);
		if (i >= WARMUP)
			sum += ticks;
	}
	return (double)sum / bursts / burst;
}

static void measure(struct lane *lane, enum kind kind, u32 queue, u32 len,
		    const struct options *o)
{
	u32 round, turn, i, burst;

	for (round = 0; round < o->rounds; round++) {
		for (turn = 0; turn < SIDES * BURSTS; turn++) {
			i = (round + turn) % (SIDES * BURSTS);
			burst = burst_size[i / SIDES];
			printf("sample %s %u %s %s %u %.3f\n", kind_name[kind],
			       len, queue == GUEST_TX ? "tx" : "rx",
			       lane[i % SIDES].side->name, burst,
			       slice(&lane[i % SIDES], kind, queue, len, burst,
				     o->bursts));
		}
	}
}

static void measure_kind(enum kind kind, const struct options *o)
{
	static const u32 bytes[] = { 64, 1500 };
	struct lane lane[SIDES] = {};
	const struct vu_region *rings;
	u32 i, q, b;

	for (i = 0; i < SIDES; i++) {
		struct lane *l = &lane[i];

		l->side = sides[i];
		guest_init(&l->guest, o->num);
		rings = &l->guest.table.region[GUEST_RINGS];
		mock_arena_init(&l->rings, rings->base, rings->map_len,
				rings->start);
		for (q = 0; q < GUEST_QUEUES; q++)
			driver_init(l, q, kind);
		l->port = l->side->open(&l->guest, kind);
	}
	for (b = 0; b < sizeof(bytes) / sizeof(*bytes); b++)
		for (q = 0; q < GUEST_QUEUES; q++)
			measure(lane, kind, q, bytes[b], o);
	for (i = 0; i < SIDES; i++) {
		lane[i].side->close(lane[i].port);
		for (q = 0; q < GUEST_QUEUES; q++)
			driver_exit(&lane[i].drv[q], kind);
		mock_arena_exit(&lane[i].rings);
		guest_exit(&lane[i].guest);
	}
}

/* TSC ticks of a nanosecond. */
static double tsc_per_ns(void)
{
	struct timespec a, b, wait = { .tv_nsec = 50000000 };
	u64 begin, end;

	clock_gettime(CLOCK_MONOTONIC_RAW, &a);
	begin = tsc_begin();
	nanosleep(&wait, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &b);
	end = tsc_end();
	return (double)(end - begin) / ((double)(b.tv_sec - a.tv_sec) * 1e9 +
					(double)(b.tv_nsec - a.tv_nsec));
}

/* What the clock itself adds to a timed call; not subtracted. */
static u64 tsc_cost(void)
{
	u64 best = ~0ull, begin, end;
	u32 i;

	for (i = 0; i < 1000; i++) {
		begin = tsc_begin();
		end = tsc_end();
		best = min(best, end - begin);
	}
	return best;
}

static u32 number(const char *word, u32 low, u32 high)
{
	char *end;
	unsigned long n = strtoul(word, &end, 10);

	if (*end || end == word || n < low || n > high)
		errx(2, "%s: not a number from %u to %u", word, low, high);
	return (u32)n;
}

static void options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "bursts", required_argument, NULL, 'n' },
		{ "ring", required_argument, NULL, 's' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "only", required_argument, NULL, 'k' },
		{}
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'r')
			o->rounds = number(optarg, 1, 100000);
		else if (c == 'n')
			o->bursts = number(optarg, 1, 1000000);
		else if (c == 's')
			o->num = number(optarg, BURST_MAX, 32768);
		else if (c == 'c')
			o->cpu = (int)number(optarg, 0, CPU_SETSIZE - 1);
		else if (c == 'k')
			o->only = optarg;
		else
			exit(2);
	}
	if (o->num & (o->num - 1))
		errx(2, "--ring: not a power of two");
}

int main(int argc, char **argv)
{
	struct options o = { .rounds = 51, .bursts = 200, .num = 1024 };
	cpu_set_t set;
	enum kind kind;

	options(&o, argc, argv);
	CPU_ZERO(&set);
	CPU_SET((size_t)o.cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "--cpu %d", o.cpu);
	dpdk_start(o.cpu);
	printf("fact peer %s\n", dpdk_version());
	printf("fact tsc_ghz %.6f\n", tsc_per_ns());
	printf("fact clock_ticks %llu\n", (unsigned long long)tsc_cost());
	printf("fact ring %u\nfact bursts %u\nfact cpu %d\n", o.num, o.bursts,
	       o.cpu);
	for (kind = 0; kind < KINDS; kind++)
		if (!o.only || !strcmp(o.only, kind_name[kind]))
			measure_kind(kind, &o);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures the engine beside DPDK's vhost library: TSC ticks that the back end
 * takes for a packet, in one process on one core.
 *
 * For each kind of ring both sides serve a guest of their own. A round is a
 * slice of one, then a slice of the other, the order alternating; in a slice
 * the driver makes a burst available, the back end is timed, the driver takes
 * the burst back and both ends check the numbers written in the frames.
 *
 * Prints lines "sample KIND BYTES rx|tx SIDE TICKS", one a slice, after lines
 * "fact NAME VALUE"; the script beside this makes the report.
 */
#include <err.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "side.h"

#define SIDES	2u
/* Bursts that warm the caches for the side whose turn it is, untimed. */
#define WARMUP	16u

struct options {
	u32 rounds;
	u32 bursts;
	u32 burst;
	u32 num;
	int cpu;
	const char *only;
};

/* A side with the guest it serves. */
struct lane {
	const struct side *side;
	struct guest guest;
	struct driver drv[GUEST_QUEUES];
	void *port;
	u32 seq;
};

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
	struct driver *d = &l->drv[GUEST_TX];
	u32 i, got, bytes;
	const u8 *frame;
	u64 begin, end;

	for (i = 0; i < n; i++) {
		memset(driver_buf(d, d->added + i), 0, HDR_SIZE);
		frame_mark(driver_buf(d, d->added + i) + HDR_SIZE, len,
			   l->seq + i);
	}
	driver_add(d, n, HDR_SIZE + len);
	begin = tsc_begin();
	got = l->side->tx(l->port, n);
	end = tsc_end();
	if (got != n || driver_reap(d, n, 0))
		fail(l, kind, "frames are missing");
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
	struct driver *d = &l->drv[GUEST_RX];
	u32 i, got, at = d->added;
	u64 begin, end;

	for (i = 0; i < n; i++)
		frame_mark(l->side->blank(l->port, i, len), len, l->seq + i);
	driver_add(d, n, BUF_SIZE);
	begin = tsc_begin();
	got = l->side->rx(l->port, n, len);
	end = tsc_end();
	if (got != n || driver_reap(d, n, HDR_SIZE + len))
		fail(l, kind, "frames are missing");
	for (i = 0; i < n; i++)
		if (!frame_is(driver_buf(d, at + i) + HDR_SIZE, len,
			      l->seq + i))
			fail(l, kind, "a frame is wrong");
	l->seq += n;
	return end - begin;
}

static double slice(struct lane *l, enum kind kind, u32 queue, u32 len,
		    const struct options *o)
{
	u64 sum = 0, ticks;
	u32 i;

	for (i = 0; i < WARMUP + o->bursts; i++) {
		ticks = queue == GUEST_TX ?
			burst_tx(l, kind, o->burst, len) :
			burst_rx(l, kind, o->burst, len);
		if (i >= WARMUP)
			sum += ticks;
	}
	return (double)sum / o->bursts / o->burst;
}

static void measure(struct lane *lane, enum kind kind, u32 queue, u32 len,
		    const struct options *o)
{
	u32 round, turn;

	for (round = 0; round < o->rounds; round++) {
		for (turn = 0; turn < SIDES; turn++) {
			struct lane *l = &lane[(round + turn) % SIDES];

			printf("sample %s %u %s %s %.3f\n", kind_name[kind],
			       len, queue == GUEST_TX ? "tx" : "rx",
			       l->side->name,
			       slice(l, kind, queue, len, o));
		}
	}
}

static void measure_kind(enum kind kind, const struct options *o)
{
	static const u32 bytes[] = { 64, 1500 };
	struct lane lane[SIDES] = {};
	u32 i, q, b;

	for (i = 0; i < SIDES; i++) {
		struct lane *l = &lane[i];

		l->side = sides[i];
		guest_init(&l->guest, o->num);
		for (q = 0; q < GUEST_QUEUES; q++)
			driver_init(&l->drv[q], &l->guest, q, kind);
		l->port = l->side->open(&l->guest, kind);
	}
	for (b = 0; b < sizeof(bytes) / sizeof(*bytes); b++)
		for (q = 0; q < GUEST_QUEUES; q++)
			measure(lane, kind, q, bytes[b], o);
	for (i = 0; i < SIDES; i++) {
		lane[i].side->close(lane[i].port);
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
		{ "burst", required_argument, NULL, 'b' },
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
		else if (c == 'b')
			o->burst = number(optarg, 1, BURST_MAX);
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
	struct options o = { .rounds = 51, .bursts = 200, .burst = 32,
			     .num = 1024 };
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
	printf("fact burst %u\nfact ring %u\nfact bursts %u\nfact cpu %d\n",
	       o.burst, o.num, o.bursts, o.cpu);
	for (kind = 0; kind < KINDS; kind++)
		if (!o.only || !strcmp(o.only, kind_name[kind]))
			measure_kind(kind, &o);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * bad-input: a hostile driver. Whatever it writes, a queue stops and says so,
 * the rest goes on, and no byte moves that should not.
 *
 *	bad-input NODE batch|single [PART...]
 *	bad-input NODE batch|single stock	what stock's node passes
 *	bad-input NODE batch|single stuck	what it doesn't
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bad.h"

void bad_open(struct bad *b)
{
	unsigned int i;

	rig_open(&b->r, &b->opts);
	for (i = 0; i < RX_BUFS; i++) {
		b->rx[i] = mem_take(&b->r.mem, CHUNK_B, RX_SIZE, 64);
		mem_device_writes(&b->r.mem, b->rx[i], RX_SIZE);
	}
	/* A queue says the same once a minute: what counts is what it said since. */
	klog_mark();
}

void bad_close(struct bad *b)
{
	rig_close(&b->r);
}

uint64_t bad_addr(const struct bad *b, unsigned int q, uint64_t addr)
{
	if (addr >= 0x10000)
		return addr;
	if (q == Q_TX || addr >= TABLE)
		return mem_gpa(&b->r.mem, b->r.buf + addr);
	return mem_gpa(&b->r.mem, b->rx[addr >> 12] + (addr & 0xfff));
}

void bad_descs(const struct bad *b, unsigned int q, struct vring_desc *to,
	       const struct vring_desc *from, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		to[i] = from[i];
		to[i].addr = bad_addr(b, q, from[i].addr);
	}
}

void expect_worker_rest(pid_t worker)
{
	CHECK(worker_rests(worker));
}

void expect_rest(struct bad *b)
{
	expect_worker_rest(b->r.worker);
}

void expect_log(unsigned int q, const char *what, const char *reason)
{
	char text[96];

	snprintf(text, sizeof(text), "queue %s %s: ", q == Q_TX ? "tx" : "rx", what);
	if (!CHECK(klog_has(text, reason)))
		t_diag("no kernel message with \"%s%s\"", text, reason);
}

void expect_stop(struct bad *b, unsigned int q, const char *reason, bool fault)
{
	static const char *const name[] = { "malformed", "faults" };
	struct rig *r = &b->r;
	uint64_t stat = node_stat(r->node, q, name[fault]);
	uint64_t other = node_stat(r->node, q, name[!fault]);
	uint16_t used = ring_used_idx(&r->q[q]);
	uint8_t f[RIG_FRAME];

	mem_seal(&r->mem);
	if (q == Q_TX) {
		ring_kick(&r->q[q]);
	} else {
		frame_make(f, sizeof(f), ++r->seq);
		CHECK(tap_feed(&r->tap, f, sizeof(f)));
	}
	CHECK_EQ(event_wait(r->q[q].err, WAIT_MS), 1);
	CHECK_EQ(node_stat(r->node, q, name[fault]), stat + 1);
	CHECK_EQ(node_stat(r->node, q, name[!fault]), other);
	expect_rest(b);
	CHECK_EQ(event_wait(r->q[q].err, 0), 0);
	CHECK_EQ(ring_used_idx(&r->q[q]), used);
	expect_log(q, "stopped", reason);
}

uint64_t bad_stat(const struct bad *b, unsigned int q, const char *name)
{
	return b->stock ? 0 : node_stat(b->r.node, q, name);
}

static int run_stock(struct bad *b, bool stuck)
{
	b->stock = true;
	if (stuck) {
		stock_stuck(b);
	} else {
		stock_ring(b);
		stock_tx(b);
		stock_rx(b);
		stock_race(b);
	}
	return t_done();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(const struct bad *b);
	} parts[] = {
		{ "ring", bad_ring }, { "tx", bad_tx }, { "rx", bad_rx },
		{ "race", bad_race }, { "packed", bad_packed }, { "told", bad_told },
		{ "swap", bad_swap },
		/* Uses up what an owner may say for a while. */
		{ "said", bad_said },
	};
	struct bad b = { .opts = { .features = RIG_FEATURES } };
	unsigned int i;
	int a;

	if (argc < 3) {
		fprintf(stderr,
			"usage: bad-input NODE batch|single stock|stuck|[ring|tx|rx|race|packed|told|swap|said...]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	b.opts.node = argv[1];
	b.opts.batch = !strcmp(argv[2], "batch");
	if (argc == 4 && !strcmp(argv[3], "stock"))
		return run_stock(&b, false);
	if (argc == 4 && !strcmp(argv[3], "stuck"))
		return run_stock(&b, true);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		bool run = argc == 3;

		for (a = 3; a < argc; a++)
			run |= !strcmp(argv[a], parts[i].name);
		if (run)
			parts[i].run(&b);
	}
	return t_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* Receive: buffers too small, too many, of the wrong kind. */
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bad.h"
#include "xdp.h"

#define BIG_FRAME 1514

static bool feed(struct rig *r, uint8_t *f, size_t len)
{
	frame_make(f, len, ++r->seq);
	return CHECK(tap_feed(&r->tap, f, len));
}

/* The frame as it lies in consecutive memory at @at behind a header. */
static void landed(struct rig *r, const uint8_t *at, size_t len, unsigned int buffers)
{
	CHECK(frame_is(at + r->hdr, len, r->seq));
	if (r->hdr == 12)
		CHECK_EQ(at[10] | at[11] << 8, buffers);
}

/* @n buffers of @size bytes, one after the other in memory from @at. */
static void offer_tiny(struct rig *r, uint8_t *at, unsigned int n, unsigned int size)
{
	struct ring *q = &r->q[Q_RX];
	unsigned int i;

	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r->mem, at + i * size), size, D_WRITE, 0);
		ring_offer(q, i);
	}
}

static void rx_tiny(struct bad *b)
{
	static const unsigned int size[] = { 16, 12, 13, 6 };
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_B, 2 * RX_SIZE, 64), f[BIG_FRAME];
	unsigned int i, j, n;
	uint32_t len, sum;

	mem_device_writes(&r->mem, at, 2 * RX_SIZE);
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		n = (BIG_FRAME + r->hdr + size[i] - 1) / size[i];
		t_begin("a frame of %u bytes in %u buffers of %u", BIG_FRAME, n, size[i]);
		offer_tiny(r, at, n, size[i]);
		mem_seal(&r->mem);
		ring_kick(q);
		feed(r, f, BIG_FRAME);
		for (j = 0, sum = 0; j < n; j++, sum += len)
			if (!CHECK_EQ(ring_reap(q, &len, WAIT_MS), j))
				break;
		CHECK_EQ(sum, BIG_FRAME + r->hdr);
		landed(r, at, BIG_FRAME, n);
		mem_check(&r->mem);
		t_end();
	}
}

/* Waits until @n frames in all were dropped, and the worker rests; stock's node doesn't count. */
static void expect_dropped(struct bad *b, uint64_t n)
{
	unsigned int looks, most = b->stock ? 100 : WAIT_MS;

	for (looks = 0; looks < most && bad_stat(b, Q_RX, "dropped") < n; looks++)
		sleep_ms(1);
	expect_rest(b);
	CHECK_STAT(b, Q_RX, "dropped", n);
}

static void rx_too_many(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_B, RX_SIZE, 64), f[BIG_FRAME];
	uint64_t before = bad_stat(b, Q_RX, "dropped");
	unsigned int j;

	t_begin("a frame that needs more chains than the ring has is dropped, no chain lost");
	mem_device_writes(&r->mem, at, RX_SIZE);
	offer_tiny(r, at, q->num, 1);
	mem_seal(&r->mem);
	ring_kick(q);
	feed(r, f, BIG_FRAME);
	expect_dropped(b, before + 1);
	CHECK_EQ(ring_used_idx(q), 0);
	CHECK_EQ(event_wait(q->err, 0), 0);
	feed(r, f, RIG_FRAME);
	for (j = 0; j < RIG_FRAME + r->hdr; j++)
		if (!CHECK_EQ(ring_reap(q, NULL, WAIT_MS), j))
			break;
	landed(r, at, RIG_FRAME, RIG_FRAME + r->hdr);
	mem_check(&r->mem);
	t_end();
}

/* CVE-2014-0055: an error in the middle of a packet gives all of it back. */
static void rx_middle(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_B, 256, 64);

	t_begin("a bad descriptor in the middle of a mergeable packet (CVE-2014-0055)");
	mem_device_writes(&r->mem, at, 256);
	offer_tiny(r, at, 3, 32);
	q->desc[1].addr = GPA_HOLE;
	ring_kick(q);
	expect_stop(b, Q_RX, "buffer not accessible", true);
	mem_check(&r->mem);
	q->desc[1].addr = mem_gpa(&r->mem, at + 32);
	mem_seal(&r->mem);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 1);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 2);
	landed(r, at, RIG_FRAME, 3);
	mem_check(&r->mem);
	t_end();
}

/* CVE-2014-0077, and what stock does with num_buffers of such a device. */
static void rx_larger(struct bad *b, bool v1)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint64_t before;
	uint8_t f[BIG_FRAME];
	uint32_t len;

	t_begin("a frame larger than the buffer, not mergeable, %s (CVE-2014-0077)",
		v1 ? "VERSION_1" : "legacy");
	before = bad_stat(b, Q_RX, "dropped");
	desc_set(q->desc, 0, mem_gpa(&r->mem, b->rx[0]), r->hdr + RIG_FRAME, D_WRITE, 0);
	ring_offer(q, 0);
	mem_seal(&r->mem);
	ring_kick(q);
	feed(r, f, RIG_FRAME + 1);
	feed(r, f, BIG_FRAME);
	expect_dropped(b, before + 2);
	CHECK_EQ(ring_used_idx(q), 0);
	feed(r, f, RIG_FRAME);
	CHECK_EQ(ring_reap(q, &len, WAIT_MS), 0);
	CHECK_EQ(len, r->hdr + RIG_FRAME);
	landed(r, b->rx[0], RIG_FRAME, 1);
	mem_check(&r->mem);
	t_end();
}

static void rx_pieces(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	unsigned int i, n = r->hdr + RIG_FRAME;
	uint8_t *at = b->rx[1], f[RIG_FRAME];
	uint32_t len;

	t_begin("header and frame in one chain of 1-byte descriptors");
	for (i = 0; i < n; i++)
		desc_set(q->desc, i, mem_gpa(&r->mem, at + i), 1,
			 D_WRITE | (i + 1 < n ? D_NEXT : 0), i + 1);
	ring_offer(q, 0);
	mem_seal(&r->mem);
	ring_kick(q);
	feed(r, f, RIG_FRAME);
	CHECK_EQ(ring_reap(q, &len, WAIT_MS), 0);
	CHECK_EQ(len, n);
	landed(r, at, RIG_FRAME, 1);
	mem_check(&r->mem);
	t_end();
}

static void rx_border(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint32_t cut, len = r->hdr + RIG_FRAME;
	uint8_t *end = mem_end(&r->mem, CHUNK_A), *start = r->mem.chunk[CHUNK_B].base;
	uint8_t got[256], f[RIG_FRAME];

	t_begin("a buffer split by a region border, at every byte (CVE-2013-0311)");
	mem_device_writes(&r->mem, end - 128, 128);
	/* Behind them is the first receive buffer, not in use here. */
	mem_device_writes(&r->mem, start, 64);
	for (cut = 1; cut < len; cut++) {
		desc_set(q->desc, 0, mem_gpa(&r->mem, end - cut), len, D_WRITE, 0);
		ring_offer(q, 0);
		mem_seal(&r->mem);
		ring_kick(q);
		feed(r, f, RIG_FRAME);
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
		memcpy(got, end - cut, cut);
		memcpy(got + cut, start, len - cut);
		landed(r, got, RIG_FRAME, 1);
		mem_check(&r->mem);
	}
	t_end();
}

/* The frame is lost, as it has left the socket; the chain is not. */
static void rx_read_only(struct bad *b, int prot)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_B, PAGE, PAGE), f[RIG_FRAME];

	t_begin("a receive buffer that is %s for its owner",
		prot ? "read-only" : "out of reach");
	desc_set(q->desc, 0, mem_gpa(&r->mem, at), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	CHECK_EQ(mprotect(at, PAGE, prot), 0);
	ring_kick(q);
	feed(r, f, RIG_FRAME);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	expect_log(Q_RX, "lost a frame", "buffer not accessible");
	CHECK_EQ(node_stat(r->node, Q_RX, "faults"), 1);
	expect_rest(b);
	CHECK_EQ(ring_used_idx(q), 0);
	CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	/* That frame is lost; the next comes, though the driver had no reason to kick. */
	feed(r, f, RIG_FRAME);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	landed(r, at, RIG_FRAME, 1);
	t_end();
}

/* As it comes from a program on another tap. */
static void redirect(struct rig *r, const struct tap *from)
{
	uint8_t f[RIG_FRAME];

	frame_make(f, sizeof(f), ++r->seq);
	CHECK_EQ(write(from->fd, f, sizeof(f)), sizeof(f));
}

/*
 * Of a frame that isn't an skb the tap says in such a case how much it has copied, not that it met
 * a fault: the header has a page that is there, what is behind it hasn't.
 */
static void rx_redirected(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *page = mem_take(&r->mem, CHUNK_B, 2 * PAGE, PAGE) + PAGE, *at = page - r->hdr;
	struct tap from;
	int link;

	t_begin("a frame that XDP redirects to the tap, with its buffer out of reach from amid it on");
	tap_open_alone(&from, 0, INT_MAX);
	link = xdp_redirect(from.ifindex, r->tap.ifindex);
	desc_set(q->desc, 0, mem_gpa(&r->mem, at), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	CHECK_EQ(mprotect(page, PAGE, PROT_NONE), 0);
	ring_kick(q);
	redirect(r, &from);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	expect_log(Q_RX, "lost a frame", "buffer not accessible");
	CHECK_EQ(node_stat(r->node, Q_RX, "faults"), 1);
	CHECK_EQ(node_stat(r->node, Q_RX, "dropped"), 1);
	expect_rest(b);
	CHECK_EQ(ring_used_idx(q), 0);
	CHECK_EQ(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
	redirect(r, &from);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	landed(r, at, RIG_FRAME, 1);
	CHECK_EQ(event_wait(q->err, 0), 0);
	close(link);
	tap_close(&from);
	t_end();
}

/*
 * Two frames are in the batch when the first buffer comes, which can't be written: each costs its
 * frame, the second without anything new from the driver or the network.
 */
static void rx_batch_lost(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_B, PAGE, PAGE), f[RIG_FRAME];
	uint64_t before = node_stat(r->node, Q_RX, "dropped");

	t_begin("frames taken from the tap before a fault don't wait for the next");
	feed(r, f, RIG_FRAME);
	feed(r, f, RIG_FRAME);
	worker_rest(r->worker);
	desc_set(q->desc, 0, mem_gpa(&r->mem, at), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	CHECK_EQ(mprotect(at, PAGE, PROT_NONE), 0);
	ring_kick(q);
	expect_dropped(b, before + 2);
	CHECK(event_wait(q->err, WAIT_MS) > 0);
	CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	feed(r, f, RIG_FRAME);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	landed(r, at, RIG_FRAME, 1);
	t_end();
}

/* tun says nothing of a fault behind the header: the frame must not pass for a whole one. */
static void rx_second_page(struct bad *b, bool whole)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *page = mem_take(&r->mem, CHUNK_B, 2 * PAGE, PAGE), *at;
	/* The fault is in the middle of the frame, or at its first byte. */
	size_t first = whole ? r->hdr : 700;
	uint8_t f[BIG_FRAME];

	t_begin("a receive buffer whose second page is out of reach, from byte %zu on", first);
	at = page + PAGE - first;
	desc_set(q->desc, 0, mem_gpa(&r->mem, at), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	CHECK_EQ(mprotect(page + PAGE, PAGE, PROT_NONE), 0);
	ring_kick(q);
	feed(r, f, BIG_FRAME);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	expect_log(Q_RX, "lost a frame", "buffer not accessible");
	CHECK_EQ(node_stat(r->node, Q_RX, "faults"), 1);
	CHECK_EQ(node_stat(r->node, Q_RX, "dropped"), 1);
	CHECK_EQ(node_stat(r->node, Q_RX, "packets"), 0);
	expect_rest(b);
	CHECK_EQ(ring_used_idx(q), 0);
	CHECK_EQ(mprotect(page + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	feed(r, f, BIG_FRAME);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	landed(r, at, BIG_FRAME, 1);
	t_end();
}

/* All memory, or all but what receive buffers lie in. */
static void announce(struct rig *r, bool all)
{
	struct node_region region[CHUNKS];
	unsigned int i, n = 0;

	for (i = 0; i < CHUNKS; i++)
		if (all || i != CHUNK_B)
			region[n++] = (struct node_region){
				r->mem.chunk[i].gpa, CHUNK_SIZE,
				(uintptr_t)r->mem.chunk[i].base,
			};
	CHECK_EQ(node_table(r->node, region, n), 0);
}

/* As while memory is plugged, or a migration's target sets its tables. */
static void rx_region_away(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];

	t_begin("a buffer that the memory table hasn't: the queue goes on with a table that has it");
	announce(r, false);
	desc_set(q->desc, 0, mem_gpa(&r->mem, b->rx[0]), RX_SIZE, D_WRITE, 0);
	ring_offer(q, 0);
	ring_kick(q);
	worker_rest(r->worker);
	expect_stop(b, Q_RX, "buffer not accessible", true);
	announce(r, true);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	landed(r, b->rx[0], RIG_FRAME, 1);
	CHECK_EQ(event_wait(q->err, 0), 0);
	t_end();
}

/* A driver that has offered all its buffers doesn't kick. */
static void rx_table_away(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t *at = mem_take(&r->mem, CHUNK_A, PAGE, PAGE), f[RIG_FRAME];

	t_begin("an indirect table out of reach for a while, and the driver doesn't kick");
	desc_set((struct vring_desc *)at, 0, mem_gpa(&r->mem, b->rx[0]), RX_SIZE, D_WRITE, 0);
	desc_set(q->desc, 0, mem_gpa(&r->mem, at), sizeof(struct vring_desc), D_IND, 0);
	ring_offer(q, 0);
	ring_kick(q);
	CHECK_EQ(mprotect(at, PAGE, PROT_NONE), 0);
	feed(r, f, RIG_FRAME);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	expect_log(Q_RX, "stopped", "indirect table not accessible");
	CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	landed(r, b->rx[0], RIG_FRAME, 1);
	CHECK_EQ(event_wait(q->err, 0), 0);
	t_end();
}

/* CVE-2016-5403: who never gives a buffer costs the tap's queue and no more. */
static void rx_never(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_RX];
	uint8_t f[BIG_FRAME];
	long before, after;
	unsigned int i;

	t_begin("a driver that offers no buffers costs no memory (CVE-2016-5403)");
	frame_make(f, sizeof(f), 0);
	for (i = 0; i < 2000; i++)
		tap_feed(&r->tap, f, sizeof(f));
	before = free_kb();
	for (i = 0; i < 20000; i++)
		tap_feed(&r->tap, f, sizeof(f));
	after = free_kb();
	if (!CHECK(before - after < slack_kb()))
		t_diag("%ld KiB free before, %ld after", before, after);
	expect_rest(b);
	CHECK_EQ(event_wait(q->err, 0), 0);
	t_end();
}

void bad_rx(const struct bad *like)
{
	struct bad b = *like;
	void (*const part[])(struct bad *b) = {
		rx_tiny, rx_too_many, rx_middle, rx_pieces, rx_border, rx_table_away,
		rx_region_away, rx_never,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		bad_open(&b);
		part[i](&b);
		bad_close(&b);
	}
	for (i = 0; i < 2; i++) {
		bad_open(&b);
		rx_read_only(&b, i ? PROT_READ : PROT_NONE);
		bad_close(&b);
	}
	for (i = 0; i < 2; i++) {
		bad_open(&b);
		rx_second_page(&b, i);
		bad_close(&b);
	}
	bad_open(&b);
	rx_redirected(&b);
	bad_close(&b);
	bad_open(&b);
	rx_batch_lost(&b);
	bad_close(&b);
	for (i = 0; i < 2; i++) {
		b.opts.features = i ? F_V1 : 0;
		bad_open(&b);
		rx_larger(&b, i);
		bad_close(&b);
	}
	b.opts.features = F_V1 | F_MRG | F_OWN_HDR;
	bad_open(&b);
	rx_pieces(&b);
	bad_close(&b);
}

void stock_rx(const struct bad *like)
{
	struct bad b = *like;

	bad_open(&b);
	rx_border(&b);
	rx_never(&b);
	bad_close(&b);
	b.opts.features = 0;
	bad_open(&b);
	rx_larger(&b, false);
	bad_close(&b);
}

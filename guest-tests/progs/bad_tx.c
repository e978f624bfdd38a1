// SPDX-License-Identifier: GPL-2.0-only
/* Transmit: frames that are odd but legal pass, frames that can't be are dropped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bad.h"

/* Frames enough that a page lost for each would be seen: 80 MB. */
#define LEAK_FRAMES 20000
#define GONE_FRAMES 8
#define LEAK_LIMIT_KB (8 << 10)

/* The chain of n descriptors at 0 passes, and frame r->seq comes out. */
static void passes(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];

	ring_offer(q, 0);
	mem_seal(&r->mem);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	rig_arrives(r, r->seq, RIG_FRAME);
	mem_check(&r->mem);
}

/* The chain at 0 is done with but no frame comes out, and the next one does. */
static void dropped(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint64_t before = bad_stat(b, Q_TX, "dropped");

	ring_offer(q, 0);
	mem_seal(&r->mem);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	rig_silent(r);
	CHECK_STAT(b, Q_TX, "dropped", before + 1);
	CHECK_EQ(event_wait(q->err, 0), 0);
	mem_check(&r->mem);
	rig_tx_good(r, 1);
}

static void one(struct bad *b, const void *at, uint32_t len)
{
	desc_set(b->r.q[Q_TX].desc, 0, mem_gpa(&b->r.mem, at), len, 0, 0);
}

/* The frame in pieces of @piece bytes up to @until, the rest in one. */
static void in_pieces(struct bad *b, uint32_t piece, uint32_t until, bool empty)
{
	struct rig *r = &b->r;
	struct vring_desc *d = r->q[Q_TX].desc;
	uint64_t gpa = mem_gpa(&r->mem, r->buf);
	uint32_t len = rig_frame(r, r->buf, RIG_FRAME), at = 0, n = 0, part;

	while (at < len) {
		part = at >= until || piece > len - at ? len - at : piece;
		if (empty) {
			/* Of no length, so where it points is nobody's business. */
			desc_set(d, n, n & 1 ? GPA_HOLE : ~0ull, 0, D_NEXT, n + 1);
			n++;
		}
		desc_set(d, n, gpa + at, part, at + part < len ? D_NEXT : 0, n + 1);
		at += part;
		n++;
	}
}

static void tx_pieces(struct bad *b)
{
	t_begin("header over three descriptors (CVE-2022-2132)");
	in_pieces(b, 5, b->r.hdr, false);
	passes(b);
	t_end();
	t_begin("header in descriptors of 1 byte (CVE-2022-2132)");
	in_pieces(b, 1, b->r.hdr, false);
	passes(b);
	t_end();
	t_begin("header and frame in descriptors of 1 byte");
	in_pieces(b, 1, 1000, false);
	passes(b);
	t_end();
	t_begin("zero-length descriptors at wild addresses between the pieces (CVE-2020-10725)");
	in_pieces(b, 7, 1000, true);
	passes(b);
	t_end();
}

static void shorter_than_header(struct bad *b, unsigned int last)
{
	struct rig *r = &b->r;
	unsigned int len;

	for (len = 0; len <= last; len++) {
		t_begin("chain of %u bytes, header %u (CVE-2022-2132)", len, r->hdr);
		memset(r->buf, 0, RX_SIZE);
		one(b, r->buf, len);
		dropped(b);
		t_end();
	}
}

static void tx_shorter_than_header(struct bad *b)
{
	shorter_than_header(b, b->r.hdr);
}

static void tx_short(struct bad *b)
{
	struct rig *r = &b->r;
	unsigned int len;

	for (len = 1; len < ETH_HEAD; len++) {
		t_begin("frame of %u bytes (CVE-2024-41090, CVE-2024-41091)", len);
		one(b, r->buf, rig_frame(r, r->buf, len));
		dropped(b);
		t_end();
	}
	t_begin("frame of 14 bytes passes");
	one(b, r->buf, rig_frame(r, r->buf, ETH_HEAD));
	ring_offer(&r->q[Q_TX], 0);
	ring_kick(&r->q[Q_TX]);
	CHECK_EQ(ring_reap(&r->q[Q_TX], NULL, WAIT_MS), 0);
	rig_arrives(r, r->seq, ETH_HEAD);
	t_end();
}

/* The last test of a rig: its tap is deleted, under a device that has it still. */
static void tx_gone(struct bad *b)
{
	const uint64_t packets = bad_stat(b, Q_TX, "packets"), bytes = bad_stat(b, Q_TX, "bytes");
	const uint64_t before = bad_stat(b, Q_TX, "dropped");
	struct ring *q = &b->r.q[Q_TX];
	char command[64];
	unsigned int i;

	t_begin("frames for a tap that was deleted come back, and count as dropped alone");
	snprintf(command, sizeof(command), "ip link del %s", b->r.tap.name);
	MUST(!system(command), "%s", command);
	one(b, b->r.buf, rig_frame(&b->r, b->r.buf, RIG_FRAME));
	for (i = 0; i < GONE_FRAMES; i++)
		ring_offer(q, 0);
	ring_kick(q);
	for (i = 0; i < GONE_FRAMES; i++)
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	CHECK_STAT(b, Q_TX, "packets", packets);
	CHECK_STAT(b, Q_TX, "bytes", bytes);
	CHECK_STAT(b, Q_TX, "dropped", before + GONE_FRAMES);
	t_end();
}

/* Sends @n chains, head 0 all of them, and takes them back. */
static void flood(struct bad *b, unsigned int n)
{
	struct ring *q = &b->r.q[Q_TX];
	uint16_t sent = 0;
	unsigned int done = 0;
	uint64_t until = now_ns() + 60000 * NS_PER_MS;

	while (done < n && now_ns() < until) {
		while (sent < q->num / 2 && done + sent < n) {
			ring_offer(q, 0);
			sent++;
		}
		ring_kick(q);
		while (sent && ring_reap(q, NULL, 10) >= 0) {
			sent--;
			done++;
		}
	}
	CHECK_EQ(done, n);
}

static void tx_leak(struct bad *b)
{
	struct rig *r = &b->r;
	long before, after;

	t_begin("%u frames of 9 bytes cost no memory (CVE-2026-46320, CVE-2026-46321)", LEAK_FRAMES);
	one(b, r->buf, rig_frame(r, r->buf, 9));
	flood(b, 1000);
	before = free_kb();
	flood(b, LEAK_FRAMES);
	after = free_kb();
	if (!CHECK(before - after < LEAK_LIMIT_KB))
		t_diag("%ld KiB free before, %ld after", before, after);
	rig_tx_good(r, 1);
	t_end();
}

static void tx_checksum(struct bad *b, unsigned int cases)
{
	/* flags NEEDS_CSUM; start and offset beyond the frame in several ways. */
	static const struct { uint16_t start, offset; } csum[] = {
		{ 5000, 0 }, { 0, 5000 }, { 63, 0 }, { 0xffff, 0xffff }, { 64, 0xfffe },
	};
	struct rig *r = &b->r;
	unsigned int i;
	uint32_t len;

	for (i = 0; i < ARRAY_SIZE(csum) && i < cases; i++) {
		t_begin("checksum at %u + %u of a 64-byte frame (CVE-2024-11614)",
			csum[i].start, csum[i].offset);
		len = rig_frame(r, r->buf, RIG_FRAME);
		r->buf[0] = 1;
		memcpy(r->buf + 6, &csum[i].start, 2);
		memcpy(r->buf + 8, &csum[i].offset, 2);
		one(b, r->buf, len);
		dropped(b);
		t_end();
	}
}

static void tx_header(struct bad *b)
{
	struct rig *r = &b->r;
	uint32_t len;

	tx_checksum(b, ~0u);
	t_begin("an unknown kind of segmentation");
	len = rig_frame(r, r->buf, RIG_FRAME);
	r->buf[1] = 0x7e;
	one(b, r->buf, len);
	ring_offer(&r->q[Q_TX], 0);
	ring_kick(&r->q[Q_TX]);
	CHECK_EQ(ring_reap(&r->q[Q_TX], NULL, WAIT_MS), 0);
	sleep_ms(20);
	tap_drain(&r->tap);
	rig_tx_good(r, 1);
	t_end();
}

/* Headers at random: whatever the socket makes of them, chains come back. */
static void tx_header_fuzz(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	unsigned int n, i, j;
	uint32_t seed = 1;

	t_begin("3200 frames with random headers");
	for (n = 0; n < 50; n++) {
		for (i = 0; i < 64; i++) {
			uint8_t *at = r->buf + 512 * i;
			uint32_t len = rig_frame(r, at, 32 + i);

			for (j = 0; j < 10; j++) {
				seed = seed * 1664525 + 1013904223;
				/* Mostly small numbers, which are the ones that get far. */
				at[j] = seed >> 24 & (j & 1 && seed & 0x100 ? 1 : 0x7f);
			}
			desc_set(q->desc, i, mem_gpa(&r->mem, at), len, 0, 0);
			ring_offer(q, i);
		}
		ring_kick(q);
		for (i = 0; i < 64; i++)
			CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
		tap_drain(&r->tap);
	}
	CHECK_EQ(event_wait(q->err, 0), 0);
	sleep_ms(50);
	tap_drain(&r->tap);
	rig_tx_good(r, 0);
	t_end();
}

static void tx_border(struct bad *b)
{
	struct rig *r = &b->r;
	uint32_t cut, len = r->hdr + RIG_FRAME;
	uint8_t *at;

	t_begin("a frame split by a region border, at every byte (CVE-2013-0311)");
	for (cut = 1; cut < len; cut++) {
		uint8_t f[256];

		rig_frame(r, f, RIG_FRAME);
		at = mem_end(&r->mem, CHUNK_A) - cut;
		memcpy(at, f, cut);
		memcpy(r->mem.chunk[CHUNK_B].base, f + cut, len - cut);
		one(b, at, len);
		passes(b);
	}
	t_end();
	t_begin("a frame that ends with its region");
	at = mem_end(&r->mem, CHUNK_B) - len;
	one(b, at, rig_frame(r, at, RIG_FRAME));
	passes(b);
	t_end();
	t_begin("a frame that ends at 2^64");
	at = mem_end(&r->mem, CHUNK_TOP) - len;
	one(b, at, rig_frame(r, at, RIG_FRAME));
	passes(b);
	t_end();
}

/* @n entries, the table @before bytes ahead of the border of A and B. */
static void border_table(struct bad *b, unsigned int n, unsigned int before)
{
	struct rig *r = &b->r;
	struct vring_desc t[64];
	uint32_t len = rig_frame(r, r->buf, RIG_FRAME), i, part = len / n;
	uint8_t *at = mem_end(&r->mem, CHUNK_A) - before;
	size_t size = n * sizeof(t[0]);

	for (i = 0; i < n; i++)
		desc_set(t, i, mem_gpa(&r->mem, r->buf + i * part),
			 i + 1 < n ? part : len - i * part, i + 1 < n ? D_NEXT : 0, i + 1);
	memcpy(at, t, before);
	memcpy(r->mem.chunk[CHUNK_B].base, (uint8_t *)t + before, size - before);
	desc_set(r->q[Q_TX].desc, 0, mem_gpa(&r->mem, at), size, D_IND, 0);
	passes(b);
}

static void tx_indirect(struct bad *b)
{
	struct rig *r = &b->r;
	struct vring_desc *t = (void *)(r->buf + TABLE);
	unsigned int before;
	uint32_t len;

	t_begin("an indirect table split by a region border, at every byte (CVE-2013-0311)");
	for (before = 1; before < 64; before++)
		border_table(b, 4, before);
	t_end();
	t_begin("a long indirect table, read entry by entry, split likewise");
	for (before = 1; before < 48 * 16; before += 5)
		border_table(b, 48, before);
	t_end();
	t_begin("an indirect table after a direct descriptor");
	len = rig_frame(r, r->buf, RIG_FRAME);
	desc_set(t, 0, mem_gpa(&r->mem, r->buf + r->hdr), len - r->hdr, 0, 0);
	desc_set(r->q[Q_TX].desc, 0, mem_gpa(&r->mem, r->buf), r->hdr, D_NEXT, 1);
	desc_set(r->q[Q_TX].desc, 1, mem_gpa(&r->mem, t), 16, D_IND, 0);
	passes(b);
	t_end();
}

static void tx_memory(struct bad *b)
{
	struct rig *r = &b->r;
	uint8_t *at = mem_take(&r->mem, CHUNK_A, PAGE, PAGE);

	t_begin("a frame in memory that is read-only for its owner");
	one(b, at, rig_frame(r, at, RIG_FRAME));
	mem_seal(&r->mem);
	CHECK_EQ(mprotect(at, PAGE, PROT_READ), 0);
	passes(b);
	CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	t_end();
}

/* As a page that went bad: it would be unreadable for ever, and all behind it would wait. */
static void tx_unreadable(struct bad *b)
{
	static const uint32_t size[] = { RIG_FRAME, 1514, 2 * PAGE + RIG_FRAME, 15 * PAGE };
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint8_t *at = mem_take(&r->mem, CHUNK_A, 16 * PAGE, PAGE), *page;
	unsigned int i, j;
	uint32_t len;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		t_begin("a frame of %u bytes that nobody may read costs itself alone", size[i]);
		page = at + (r->hdr + size[i] - 1) / PAGE * PAGE;
		for (j = 0; j < 3; j += 2) {
			len = rig_frame(r, r->buf + 512 * j, RIG_FRAME);
			desc_set(q->desc, j, mem_gpa(&r->mem, r->buf + 512 * j), len, 0, 0);
		}
		memset(at, 0, 16 * PAGE);
		desc_set(q->desc, 1, mem_gpa(&r->mem, at), r->hdr + size[i], 0, 0);
		for (j = 0; j < 3; j++)
			ring_offer(q, j);
		mem_seal(&r->mem);
		CHECK_EQ(mprotect(page, PAGE, PROT_NONE), 0);
		ring_kick(q);
		for (j = 0; j < 3; j++)
			CHECK_EQ(ring_reap(q, NULL, WAIT_MS), j);
		rig_arrives(r, r->seq - 1, RIG_FRAME);
		rig_arrives(r, r->seq, RIG_FRAME);
		rig_silent(r);
		CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
		CHECK_EQ(bad_stat(b, Q_TX, "faults"), i + 1);
		CHECK_EQ(bad_stat(b, Q_TX, "dropped"), i + 1);
		expect_rest(b);
		CHECK_EQ(event_wait(q->err, 0), 0);
		expect_log(Q_TX, "lost a frame", "buffer not accessible");
		CHECK_EQ(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
		t_end();
	}
}

/* Told once, however many; and that the queue stops is said though it lost some before. */
static void tx_unreadable_many(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint8_t *at = mem_take(&r->mem, CHUNK_A, PAGE, PAGE);
	unsigned int i, n = 48;

	t_begin("%u frames at once that nobody may read are told of once", n);
	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r->mem, at), r->hdr + RIG_FRAME, 0, 0);
		ring_offer(q, i);
	}
	CHECK_EQ(mprotect(at, PAGE, PROT_NONE), 0);
	ring_kick(q);
	for (i = 0; i < n; i++)
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
	expect_rest(b);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_STAT(b, Q_TX, "faults", 1);
	CHECK_STAT(b, Q_TX, "dropped", n);
	CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	t_end();
	t_begin("a frame lost before doesn't hide that the queue stops");
	desc_set(q->desc, 0, 1ull << 60, r->hdr + RIG_FRAME, 0, 0);
	ring_offer(q, 0);
	expect_stop(b, Q_TX, "buffer not accessible", true);
	t_end();
}

/* The chain in front of a bad one has passed, what is behind it waits. */
static void tx_between(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint32_t first = r->seq + 1, i, len;

	t_begin("a bad chain between good ones: those before pass, those behind follow");
	for (i = 0; i < 3; i++) {
		len = rig_frame(r, r->buf + 512 * i, RIG_FRAME);
		desc_set(q->desc, i, mem_gpa(&r->mem, r->buf + 512 * i), len, 0, 0);
		ring_offer(q, i);
	}
	q->desc[1].addr = GPA_HOLE;
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	rig_arrives(r, first, RIG_FRAME);
	rig_silent(r);
	CHECK_EQ(ring_used_idx(q), q->reaped);
	q->desc[1].addr = mem_gpa(&r->mem, r->buf + 512);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 1);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 2);
	rig_arrives(r, first + 1, RIG_FRAME);
	rig_arrives(r, first + 2, RIG_FRAME);
	t_end();
}

static void tx_huge(struct bad *b)
{
	struct rig *r = &b->r;
	static const uint32_t size[] = { 9100, 70000, 300000, 1000000 };
	struct ring *q = &r->q[Q_TX];
	unsigned int i;

	/* Most of chunk B, whatever is in it. The tap may take it or not. */
	for (i = 0; i < ARRAY_SIZE(size); i++) {
		t_begin("a frame of %u bytes holds nothing up", size[i]);
		memset(r->mem.chunk[CHUNK_B].base, 0, 16);
		desc_set(q->desc, 0, GPA_B, size[i], 0, 0);
		ring_offer(q, 0);
		ring_kick(q);
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
		sleep_ms(20);
		tap_drain(&r->tap);
		expect_rest(b);
		rig_tx_good(r, 1);
		t_end();
	}
}

/* No kernel gives as much in one piece: what can't be sent isn't tried for ever. */
static void tx_larger(struct bad *b)
{
	struct rig *r = &b->r;
	struct ring *q = &r->q[Q_TX];
	uint64_t before = bad_stat(b, Q_TX, "dropped");
	unsigned int i, n = 8, part = 1000000;

	t_begin("a chain of %u bytes holds nothing up", n * part);
	memset(r->mem.chunk[CHUNK_B].base, 0, 16);
	for (i = 0; i < n; i++)
		desc_set(q->desc, i, GPA_B, part, i < n - 1 ? D_NEXT : 0, i + 1);
	ring_offer(q, 0);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	CHECK_STAT(b, Q_TX, "dropped", before + 1);
	expect_rest(b);
	rig_tx_good(r, 1);
	t_end();
}

void bad_tx(const struct bad *like)
{
	struct bad b = *like;
	void (*const part[])(struct bad *b) = {
		tx_pieces, tx_shorter_than_header, tx_short, tx_leak, tx_header, tx_header_fuzz, tx_border,
		tx_indirect, tx_memory, tx_unreadable, tx_unreadable_many, tx_between,
		tx_huge, tx_larger,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		bad_open(&b);
		part[i](&b);
		bad_close(&b);
	}
	/* The same with a header that the device strips. */
	b.opts.features = F_V1 | F_OWN_HDR | F_INDIRECT;
	bad_open(&b);
	tx_pieces(&b);
	tx_shorter_than_header(&b);
	tx_short(&b);
	bad_close(&b);
	/* And a legacy driver's. */
	b.opts.features = F_INDIRECT;
	bad_open(&b);
	tx_pieces(&b);
	tx_shorter_than_header(&b);
	tx_short(&b);
	tx_gone(&b);
	bad_close(&b);
}

void stock_tx(const struct bad *like)
{
	struct bad b = *like;

	bad_open(&b);
	tx_pieces(&b);
	tx_short(&b);
	tx_leak(&b);
	tx_border(&b);
	tx_indirect(&b);
	bad_close(&b);
}

void stock_stuck(const struct bad *like)
{
	struct bad b = *like;

	bad_open(&b);
	shorter_than_header(&b, 0);
	bad_close(&b);
	bad_open(&b);
	tx_checksum(&b, 1);
	bad_close(&b);
}

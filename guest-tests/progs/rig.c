// SPDX-License-Identifier: GPL-2.0-only
/* A whole device: node, guest memory, both rings, a tap. */
#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "test.h"

void rig_open(struct rig *r, const struct rig_opts *o)
{
	unsigned int i;

	memset(r, 0, sizeof(*r));
	mem_init(&r->mem, o->shared);
	r->features = o->features;
	r->hdr = o->features & (F_V1 | F_MRG) ? 12 : 10;
	for (i = 0; i < 2; i++)
		ring_place(&r->q[i], &r->mem, i, o->num ?: RIG_NUM);
	r->buf = mem_take(&r->mem, CHUNK_A, 1 << 16, PAGE);
	if (o->link)
		r->tap = *o->link;
	else
		tap_open(&r->tap, o->features & F_OWN_HDR ? 0 : r->hdr, o->batch);
	r->node = o->fd ?: node_open(o->node);
	MUST(!node_owner(r->node), "VHOST_SET_OWNER");
	CHECK_EQ(node_features(r->node, o->features), 0);
	CHECK_EQ(mem_announce(&r->mem, r->node), 0);
	for (i = 0; i < 2; i++)
		ring_start(&r->q[i], r->node, r->tap.fd);
	r->worker = worker_find(getpid());
	CHECK(r->worker > 0);
	/* The worker looks at each new socket once: not while tests write the ring. */
	sleep_ms(20);
	while (r->worker && worker_state(r->worker) == 'R')
		sleep_ms(1);
}

void rig_close(struct rig *r)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(node_backend(r->node, i, -1), 0);
		ring_close(&r->q[i]);
	}
	close(r->node);
	tap_close(&r->tap);
	mem_exit(&r->mem);
}

void frame_make(uint8_t *f, size_t len, uint32_t seq)
{
	uint8_t head[ETH_HEAD + 4];
	size_t i;

	memset(head, 'g', 12);
	head[0] = 2;
	head[12] = ETHERTYPE >> 8;
	head[13] = ETHERTYPE & 0xff;
	for (i = 0; i < 4; i++)
		head[ETH_HEAD + i] = seq >> (24 - 8 * i);
	for (i = 0; i < len; i++)
		f[i] = i < sizeof(head) ? head[i] : (uint8_t)(seq * 31 + i);
}

bool frame_is(const uint8_t *f, size_t len, uint32_t seq)
{
	uint8_t want[1 << 16];

	if (len > sizeof(want))
		return false;
	frame_make(want, len, seq);
	return !memcmp(want, f, len);
}

size_t rig_frame(struct rig *r, uint8_t *at, size_t len)
{
	memset(at, 0, r->hdr);
	frame_make(at + r->hdr, len, ++r->seq);
	return r->hdr + len;
}

void rig_arrives(struct rig *r, uint32_t seq, size_t len)
{
	uint8_t f[1 << 16];
	size_t got = tap_take(&r->tap, f, sizeof(f), WAIT_MS);

	if (CHECK_EQ(got, len) && !CHECK(frame_is(f, len, seq)))
		t_diag("frame %u wanted, %02x%02x%02x%02x found", seq, f[14], f[15], f[16],
		       f[17]);
}

void rig_silent(struct rig *r)
{
	uint8_t f[2048];
	size_t got = tap_take(&r->tap, f, sizeof(f), 20);

	if (!CHECK_EQ(got, 0))
		t_diag("unwanted frame: %02x%02x%02x%02x at 14", f[14], f[15], f[16], f[17]);
}

void rig_tx_good(struct rig *r, unsigned int i)
{
	struct ring *q = &r->q[Q_TX];
	size_t len = rig_frame(r, r->buf, RIG_FRAME);

	desc_set(q->desc, i, mem_gpa(&r->mem, r->buf), len, 0, 0);
	ring_offer(q, i);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
	rig_arrives(r, r->seq, RIG_FRAME);
}

int rig_addr(const struct rig *r, unsigned int q)
{
	const struct ring *at = &r->q[q];

	return node_addr(r->node, q, (uintptr_t)at->desc, (uintptr_t)at->avail, (uintptr_t)at->used);
}

void rig_tx_direct(struct rig *r)
{
	const uint64_t before = node_stat(r->node, Q_TX, "bursts_direct");
	unsigned int i;

	for (i = 0; i < 200 && node_stat(r->node, Q_TX, "bursts_direct") == before; i++) {
		rig_tx_good(r, i % RIG_NUM);
		sleep_ms(5);
	}
	if (!CHECK(i < 200))
		t_diag("no window serves the transmit ring");
}

void rig_rx_soon(struct rig *r, unsigned int i, uint8_t *at, unsigned int ms)
{
	struct ring *q = &r->q[Q_RX];
	uint8_t f[RIG_FRAME];
	uint32_t len = 0;

	desc_set(q->desc, i, mem_gpa(&r->mem, at), 2048, D_WRITE, 0);
	ring_offer(q, i);
	ring_kick(q);
	frame_make(f, sizeof(f), ++r->seq);
	CHECK(tap_feed(&r->tap, f, sizeof(f)));
	CHECK_EQ(ring_reap(q, &len, ms), i);
	CHECK_EQ(len, r->hdr + RIG_FRAME);
	CHECK(frame_is(at + r->hdr, RIG_FRAME, r->seq));
}

void rig_rx_good(struct rig *r, unsigned int i, uint8_t *at)
{
	rig_rx_soon(r, i, at, WAIT_MS);
}

// SPDX-License-Identifier: GPL-2.0-only
/* busy: a driver that kicks only when it is asked to. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "busy.h"

#define GPA		0x100000000ull
#define RING_BYTES	0x8000ul
#define BUF_BYTES	(SLOT * VQ_NUM)
#define BYTES		(2 * (RING_BYTES + BUF_BYTES))

static void start(struct guest *g, unsigned int i)
{
	uint8_t *ring = g->memory + i * RING_BYTES;
	struct vq_told told = {
		.desc = (uintptr_t)ring,
		.avail = (uintptr_t)ring + 0x3000,
		.used = (uintptr_t)ring + 0x5000,
	};

	g->buf[i] = g->memory + 2 * RING_BYTES + i * BUF_BYTES;
	vq_init(&g->q[i], i, g->features, ring, ring + 0x3000, ring + 0x5000);
	CHECK_EQ(vq_setup(&g->q[i], g->node, &told), 0);
	CHECK_EQ(node_backend(g->node, i, g->tap.fd), 0);
}

void guest_open(struct guest *g, const char *node, uint64_t features)
{
	struct node_region r = { GPA, BYTES };
	unsigned int i;

	memset(g, 0, sizeof(*g));
	g->features = features;
	g->memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(g->memory != MAP_FAILED, "mmap");
	r.user = (uintptr_t)g->memory;
	tap_open(&g->tap, HDR, true);
	g->node = node_open(node);
	MUST(!node_owner(g->node), "VHOST_SET_OWNER");
	CHECK_EQ(node_features(g->node, features), 0);
	CHECK_EQ(node_table(g->node, &r, 1), 0);
	for (i = 0; i < 2; i++)
		start(g, i);
}

void guest_forget(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		vq_close(&g->q[i]);
	tap_close(&g->tap);
	munmap(g->memory, BYTES);
}

void guest_close(struct guest *g)
{
	close(g->node);
	guest_forget(g);
}

int guest_busy(struct guest *g, unsigned int q, unsigned int us)
{
	struct vhost_vring_state s = { q, us };

	return node_call(g->node, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &s);
}

uint64_t guest_stat(struct guest *g, unsigned int q, const char *name)
{
	return node_stat(g->node, q, name);
}

static uint64_t gpa(struct guest *g, const uint8_t *at)
{
	return GPA + (at - g->memory);
}

void guest_offer(struct guest *g, unsigned int i)
{
	struct vq *q = &g->q[i];
	uint32_t old = q->next;
	uint8_t *at = g->buf[i] + old % VQ_NUM * SLOT;

	memset(at, 0, SLOT);
	if (i == Q_TX)
		frame_make(at + HDR, FRAME, ++g->seq);
	vq_offer(q, gpa(g, at), i == Q_TX ? HDR + FRAME : SLOT,
		 i == Q_TX ? 0 : VRING_DESC_F_WRITE);
	g->kicks[i] += vq_kick_if(q, old);
}

void guest_sent(struct guest *g)
{
	uint8_t frame[2 * FRAME];

	CHECK(vq_wait(&g->q[Q_TX], g->q[Q_TX].next, SOON_MS));
	CHECK_EQ(tap_take(&g->tap, frame, sizeof(frame), SOON_MS), FRAME);
	CHECK(frame_is(frame, FRAME, g->seq));
}

void guest_feed(struct guest *g)
{
	uint8_t frame[FRAME];

	frame_make(frame, FRAME, ++g->seq);
	CHECK(tap_feed(&g->tap, frame, FRAME));
}

void guest_got(struct guest *g)
{
	struct vq *q = &g->q[Q_RX];
	const uint8_t *at = g->buf[Q_RX] + (q->next - 1) % VQ_NUM * SLOT;

	CHECK(vq_wait(q, q->next, SOON_MS));
	CHECK(frame_is(at + HDR, FRAME, g->seq));
}

void guest_tx(struct guest *g)
{
	guest_offer(g, Q_TX);
	guest_sent(g);
}

void guest_rx(struct guest *g)
{
	guest_offer(g, Q_RX);
	guest_feed(g);
	guest_got(g);
}

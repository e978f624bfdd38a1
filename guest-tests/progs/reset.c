// SPDX-License-Identifier: GPL-2.0-only
/*
 * reset: one queue is reset and made another size, while its sibling works
 * (VIRTIO_F_RING_RESET, virtio 1.3 section 2.6.1), in QEMU's order of calls. And a
 * call that failed is made again: an eventfd for kicks that could not be polled.
 *
 *	reset NODE
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "test.h"

#define F_RESET	(1ull << 40)
#define OFFERED	8
#define ROUNDS	20

static const unsigned int sizes[] = { RIG_NUM, 8, 1024, 64 };

struct state {
	struct rig r;
	struct ring spare[2][ARRAY_SIZE(sizes)];
	uint8_t *old;		/* buffers of a ring that was reset */
	uint8_t *fresh;
};

static void works(struct state *s, unsigned int q)
{
	if (q == Q_TX)
		rig_tx_good(&s->r, 1);
	else
		rig_rx_good(&s->r, 1, s->fresh);
}

/* Buffers that the device has when the reset comes. */
static void offer(struct state *s, unsigned int q)
{
	struct ring *ring = &s->r.q[q];
	unsigned int i;

	memset(s->old, CANARY, OFFERED * 2048);
	for (i = 0; i < OFFERED && q == Q_RX; i++) {
		desc_set(ring->desc, i, mem_gpa(&s->r.mem, s->old + i * 2048), 2048, D_WRITE, 0);
		ring_offer(ring, i);
	}
	ring_kick(ring);
}

static void untouched(struct state *s, const struct ring *ring, uint16_t used)
{
	unsigned int i, bad = 0;

	for (i = 0; i < OFFERED * 2048; i++)
		bad += s->old[i] != CANARY;
	CHECK_EQ(bad, 0);
	CHECK_EQ(ring_used_idx(ring), used);
}

static void stop(struct state *s, unsigned int q)
{
	CHECK_EQ(node_backend(s->r.node, q, -1), 0);
	CHECK(node_get_base(s->r.node, q) >= 0);
}

/* A ring as a driver has it after a reset: all zero, indexes too. */
static void start(struct state *s, unsigned int q, unsigned int size)
{
	struct ring *ring = &s->r.q[q];

	ring_close(ring);
	*ring = s->spare[q][size];
	memset(ring->desc, 0, 16 * ring->num);
	memset(ring->avail, 0, 6 + 2 * ring->num);
	memset(ring->used, 0, 6 + 8 * ring->num);
	ring_start(ring, s->r.node, s->r.tap.fd);
}

static void reset(struct state *s, unsigned int q, unsigned int size)
{
	struct ring old = s->r.q[q];
	unsigned int i;
	uint16_t used;

	offer(s, q);
	stop(s, q);
	used = ring_used_idx(&old);
	ring_kick(&old);
	for (i = 0; i < 4; i++)
		works(s, !q);
	untouched(s, &old, used);
	start(s, q, size);
	for (i = 0; i < 2 * s->r.q[q].num && i < 40; i++)
		works(s, q);
	works(s, !q);
	untouched(s, &old, used);
}

static void run(const struct rig_opts *o, unsigned int q)
{
	static struct state s;
	unsigned int i;

	memset(&s, 0, sizeof(s));
	rig_open(&s.r, o);
	s.old = mem_take(&s.r.mem, CHUNK_B, OFFERED * 2048, PAGE);
	s.fresh = mem_take(&s.r.mem, CHUNK_B, 2048, PAGE);
	mem_device_writes(&s.r.mem, s.fresh, 2048);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		ring_place(&s.spare[q][i], &s.r.mem, q, sizes[i]);
	for (i = 0; i < ROUNDS; i++)
		reset(&s, q, (i + 1) % ARRAY_SIZE(sizes));
	rig_close(&s.r);
}

/* Full to the brim, which no program can make it, an eventfd has an error to be polled for. */
static void refused(const struct rig_opts *o)
{
	const uint64_t most = UINT64_MAX - 1;
	struct ring *ring;
	struct rig r;
	int brim;

	t_begin("an eventfd for kicks that is refused is taken once it can be polled");
	rig_open(&r, o);
	ring = &r.q[Q_TX];
	brim = event_new();
	MUST(write(brim, &most, sizeof(most)) == sizeof(most), "eventfd");
	CHECK_EQ(node_file(r.node, VHOST_SET_VRING_CALL, Q_TX, brim), 0);
	rig_tx_good(&r, 1);
	CHECK_EQ(node_file(r.node, VHOST_SET_VRING_CALL, Q_TX, ring->call), 0);
	CHECK_EQ(node_file(r.node, VHOST_SET_VRING_KICK, Q_TX, brim), -EINVAL);
	CHECK_EQ(event_wait(brim, WAIT_MS), UINT64_MAX);
	CHECK_EQ(node_file(r.node, VHOST_SET_VRING_KICK, Q_TX, brim), 0);
	close(ring->kick);
	ring->kick = brim;
	rig_tx_good(&r, 1);
	rig_close(&r);
	t_end();
}

int main(int argc, char **argv)
{
	struct rig_opts o = { .features = RIG_FEATURES | F_RESET };

	if (argc != 2) {
		fprintf(stderr, "usage: reset NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	o.node = argv[1];
	t_begin("VIRTIO_F_RING_RESET is offered");
	CHECK(node_offered(o.node) & F_RESET);
	t_end();
	t_begin("the transmit queue is reset, %u times, and the other goes on", ROUNDS);
	run(&o, Q_TX);
	t_end();
	t_begin("the receive queue is reset, %u times, and the other goes on", ROUNDS);
	run(&o, Q_RX);
	t_end();
	refused(&o);
	return t_done();
}

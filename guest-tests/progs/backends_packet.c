// SPDX-License-Identifier: GPL-2.0-only
/* What packet sockets alone have: limits by sysctl, errors to tell, timestamps. */
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends.h"
#include "test.h"

#define WMEM_DEFAULT	"/proc/sys/net/core/wmem_default"
#define NO_LIMIT	0x7fffffff

/* Returns where the guest has AT_ONCE buffers, of which none is offered yet. */
static uint8_t *start(struct rig *r, const char *node)
{
	struct rig_opts o = { .node = node, .features = F_V1 | F_OWN_HDR };
	struct tap link;
	uint8_t *at;

	link_open(&link, o.features, false);
	o.link = &link;
	rig_open(r, &o);
	at = mem_take(&r->mem, CHUNK_B, AT_ONCE * SLOT, PAGE);
	mem_device_writes(&r->mem, at, AT_ONCE * SLOT);
	return at;
}

static int wmem_default(void)
{
	FILE *f = fopen(WMEM_DEFAULT, "r");
	int bytes = 0;

	MUST(f && fscanf(f, "%d", &bytes) == 1, WMEM_DEFAULT);
	fclose(f);
	return bytes;
}

static void set_wmem_default(int bytes)
{
	FILE *f = fopen(WMEM_DEFAULT, "w");

	MUST(f && fprintf(f, "%d", bytes) > 0 && !fclose(f), WMEM_DEFAULT);
}

/* As a tap that takes batches says of itself. */
static void unlimited(const char *node, const char *kind)
{
	int before = wmem_default();
	static struct rig r;
	unsigned int i;

	t_begin("%s: frames go one by one through one whose room has no limit", kind);
	set_wmem_default(NO_LIMIT);
	start(&r, node);
	set_wmem_default(before);
	for (i = 0; i < 64 && !t_errors(); i += AT_ONCE)
		send_some(&r, AT_ONCE);
	CHECK_EQ(node_stat(r.node, Q_TX, "packets"), 64);
	CHECK_EQ(node_stat(r.node, Q_TX, "dropped"), 0);
	rig_close(&r);
	t_end();
}

/*
 * A frame waits for buffers while the link goes down: who receives next is told of that instead,
 * and the frame comes after it.
 */
static void down_meanwhile(const char *node, const char *kind)
{
	static struct rig r;
	uint8_t *at;

	t_begin("%s: a frame that waits while the link is down comes, and counts as such", kind);
	at = start(&r, node);
	feed_next(&r);
	worker_rest(r.worker);
	flap();
	offer_buffers(&r, at, AT_ONCE);
	comes_next(&r, at);
	CHECK_EQ(node_stat(r.node, Q_RX, "dropped"), 0);
	rig_close(&r);
	t_end();
}

/* Frames that the socket had; a neighbour's chatter is among them. */
static unsigned int frames_had(const struct rig *r)
{
	struct tpacket_stats s = { 0 };
	socklen_t len = sizeof(s);

	MUST(!getsockopt(r->tap.fd, SOL_PACKET, PACKET_STATISTICS, &s, &len), "PACKET_STATISTICS");
	return s.tp_packets;
}

/* The same with a buffer that no frame fits in. */
static void thrown_after_down(const char *node, const char *kind)
{
	static struct rig r;
	struct ring *q = &r.q[Q_RX];
	unsigned int i;
	uint8_t *at;

	t_begin("%s: a frame that fits no buffer, after the link was down, is dropped once", kind);
	at = start(&r, node);
	feed_next(&r);
	worker_rest(r.worker);
	flap();
	desc_set(q->desc, 0, mem_gpa(&r.mem, at), r.hdr + 1, D_WRITE, 0);
	ring_offer(q, 0);
	ring_kick(q);
	for (i = 0; i < WAIT_MS && !node_stat(r.node, Q_RX, "dropped"); i++)
		sleep_ms(1);
	worker_rest(r.worker);
	CHECK_EQ(node_stat(r.node, Q_RX, "dropped"), frames_had(&r));
	CHECK_EQ(ring_used_idx(q), 0);
	rig_close(&r);
	t_end();
}

/* Timestamps are the owner's to take: until then polling the socket tells of an error. */
static void sent_stamped(struct rig *r)
{
	int stamps = SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE |
		     SOF_TIMESTAMPING_SOFTWARE;
	struct pollfd p = { .fd = r->tap.fd };

	MUST(!setsockopt(p.fd, SOL_SOCKET, SO_TIMESTAMPING, &stamps, sizeof(stamps)),
	     "SO_TIMESTAMPING");
	send_some(r, 1);
	CHECK_EQ(poll_ms(&p, 1, WAIT_MS), 1);
	CHECK_EQ(p.revents, POLLERR);
}

static void timestamps(const char *node, const char *kind, unsigned int busy_us)
{
	struct vhost_vring_state busy = { .index = Q_RX, .num = busy_us };
	static struct rig r;
	unsigned int i;
	uint8_t *at;

	t_begin("%s, busy polling for %u us: frames come beside timestamps that nobody takes", kind,
		busy_us);
	at = start(&r, node);
	CHECK_EQ(node_call(r.node, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &busy), 0);
	sent_stamped(&r);
	offer_buffers(&r, at, AT_ONCE);
	for (i = 0; i < 3; i++) {
		/* What is polled has been, and what waits does. */
		sleep_ms(10);
		feed_next(&r);
		comes_next(&r, at);
	}
	CHECK(worker_rests(r.worker));
	send_some(&r, 4);
	rig_close(&r);
	t_end();
}

void test_packet(const char *node, const char *kind)
{
	timestamps(node, kind, 0);
	timestamps(node, kind, 200);
	unlimited(node, kind);
	down_meanwhile(node, kind);
	thrown_after_down(node, kind);
}

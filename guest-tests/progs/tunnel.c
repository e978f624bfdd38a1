// SPDX-License-Identifier: GPL-2.0-only
/*
 * tunnel: frames to be cut up inside a UDP tunnel, from one guest to another
 * through a bridge, whole, as their headers say how to cut them.
 *
 *	tunnel NODE
 *
 * As KTAP. Skipped where the node doesn't offer it, as its tun can't.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "rig.h"
#include "test.h"

/* What only newer headers know. */
#define GUEST_TUNNEL	(1ull << (65 - 64))
#define HOST_TUNNEL	(1ull << (67 - 64))
#define OFFLOAD_TUNNEL	0x80
#define GSO_TUNNEL_V4	0x20
#define HDR_TUNNEL	24

/* The layers of a frame: Ethernet, IPv4, UDP, VXLAN, Ethernet, IPv4, TCP. */
#define OUTER_TH	34u
#define INNER_NH	64u
#define INNER_TH	84u
#define DATA		104u
#define SEGMENT		1000u
#define LARGEST		(DATA + 20000u)

static const char *path;

static bool offered(void)
{
	struct { struct vhost_features_array h; uint64_t word[2]; } a = { .h.count = 2 };
	int fd = node_open(path), ret = node_call(fd, VHOST_GET_FEATURES_ARRAY, &a);

	close(fd);
	return !ret && (a.word[1] & GUEST_TUNNEL) && (a.word[1] & HOST_TUNNEL);
}

static int accept_tunnels(int fd, uint64_t second)
{
	struct { struct vhost_features_array h; uint64_t word[2]; } a = {
		.h.count = 2, .word = { RIG_FEATURES, second },
	};

	return node_call(fd, VHOST_SET_FEATURES_ARRAY, &a);
}

static void dev_open(struct rig *r, bool batch, bool tunnel)
{
	struct tap link;
	const struct rig_opts o = {
		.node = path, .features = RIG_FEATURES, .batch = batch, .link = &link,
	};
	unsigned long offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

	tap_open(&link, tunnel ? HDR_TUNNEL : 12, batch);
	MUST(!ioctl(link.fd, TUNSETOFFLOAD, offload | (tunnel ? OFFLOAD_TUNNEL : 0)),
	     "TUNSETOFFLOAD");
	rig_open(r, &o);
	if (!tunnel)
		return;
	CHECK_EQ(accept_tunnels(r->node, GUEST_TUNNEL | HOST_TUNNEL), 0);
	r->hdr = HDR_TUNNEL;
}

static void put16(uint8_t *at, unsigned int v, bool big)
{
	at[!big] = v >> 8;
	at[big] = v & 0xff;
}

static unsigned int get16(const uint8_t *at)
{
	return at[0] | at[1] << 8;
}

static void ip_head(uint8_t *at, unsigned int len, uint8_t protocol)
{
	memcpy(at, (const uint8_t[20]){ 0x45, [8] = 64, [9] = protocol, [12] = 10, 9, 9, 1,
					10, 9, 9, 2 }, 20);
	put16(at + 2, len, true);
}

/* Returns its length; the bytes of the data follow from @seq. */
static size_t frame(uint8_t *f, size_t data, uint32_t seq)
{
	/* A bridge takes nothing from a sender that is a group. */
	static const uint8_t mac[12] = { 2, [5] = 2, [6] = 2, [11] = 1 };
	size_t len = DATA + data, i;

	memset(f, 0, DATA);
	memcpy(f, mac, 12);
	put16(f + 12, 0x0800, true);
	ip_head(f + 14, len - 14, 17);
	put16(f + OUTER_TH, 4789, true);
	put16(f + OUTER_TH + 2, 4789, true);
	put16(f + OUTER_TH + 4, len - OUTER_TH, true);
	f[OUTER_TH + 8] = 8;
	memcpy(f + 50, mac, 12);
	put16(f + 62, 0x0800, true);
	ip_head(f + INNER_NH, len - INNER_NH, 6);
	f[INNER_TH + 12] = 0x50;
	f[INNER_TH + 13] = 0x10;
	for (i = DATA; i < len; i++)
		f[i] = seq * 31 + i;
	return len;
}

static void header(uint8_t *h)
{
	memset(h, 0, HDR_TUNNEL);
	h[0] = 1;			/* the inner checksum is to be made */
	h[1] = 1 | GSO_TUNNEL_V4;	/* TCP over IPv4, in a tunnel over IPv4 */
	put16(h + 2, DATA, false);
	put16(h + 4, SEGMENT, false);
	put16(h + 6, INNER_TH, false);
	put16(h + 8, 16, false);
	put16(h + 20, OUTER_TH, false);
	put16(h + 22, INNER_NH, false);
}

static void send_frame(struct rig *r, size_t data, uint32_t seq)
{
	struct ring *q = &r->q[Q_TX];
	size_t len;

	header(r->buf);
	len = frame(r->buf + r->hdr, data, seq);
	desc_set(q->desc, 0, mem_gpa(&r->mem, r->buf), r->hdr + len, 0, 0);
	ring_offer(q, 0);
	ring_kick(q);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
}

static void receive_frame(struct rig *r, uint8_t *at, size_t data, uint32_t seq)
{
	static const uint8_t port[] = { 4789 >> 8, 4789 & 0xff };
	static uint8_t want[LARGEST];
	struct ring *q = &r->q[Q_RX];
	uint32_t len = 0;

	for (;;) {
		if (!CHECK_EQ(ring_reap(q, &len, WAIT_MS), 0))
			return;
		if (get16(at + HDR_TUNNEL + OUTER_TH) == get16(port))
			break;
		/* The bridge itself says something: not for us. */
		ring_offer(q, 0);
		ring_kick(q);
	}
	CHECK_EQ(len, HDR_TUNNEL + frame(want, data, seq));
	CHECK_EQ(at[0] & 1, 1);
	CHECK_EQ(at[1], 1 | GSO_TUNNEL_V4);
	CHECK_EQ(get16(at + 4), SEGMENT);
	CHECK_EQ(get16(at + 6), INNER_TH);
	CHECK_EQ(get16(at + 8), 16);
	CHECK_EQ(get16(at + 10), 1);
	CHECK_EQ(get16(at + 20), OUTER_TH);
	CHECK_EQ(get16(at + 22), INNER_NH);
	CHECK(!memcmp(at + HDR_TUNNEL, want, DATA + data));
}

static void shell(const char *words)
{
	MUST(!system(words), "%s", words);
}

static void bridge(const struct rig *a, const struct rig *b)
{
	char words[256];

	shell("ip link add vd-br type bridge");
	shell("echo 1 >/proc/sys/net/ipv6/conf/vd-br/disable_ipv6");
	snprintf(words, sizeof(words),
		 "ip link set vd-br up && ip link set %s master vd-br && ip link set %s master vd-br",
		 a->tap.name, b->tap.name);
	shell(words);
}

static void through(bool batch)
{
	static const size_t data[] = { 2800, 20000, 1001 };
	static struct rig a, b;
	unsigned int i;
	uint8_t *at;

	t_begin("UDP tunnel, %s: frames to be cut pass whole, with all of their header",
		batch ? "batches" : "one by one");
	dev_open(&a, batch, true);
	dev_open(&b, batch, true);
	bridge(&a, &b);
	at = mem_take(&b.mem, CHUNK_B, LARGEST + PAGE, PAGE);
	mem_device_writes(&b.mem, at, LARGEST + PAGE);
	for (i = 0; i < ARRAY_SIZE(data); i++) {
		desc_set(b.q[Q_RX].desc, 0, mem_gpa(&b.mem, at), LARGEST + PAGE, D_WRITE, 0);
		ring_offer(&b.q[Q_RX], 0);
		ring_kick(&b.q[Q_RX]);
		send_frame(&a, data[i], i + 1);
		receive_frame(&b, at, data[i], i + 1);
	}
	shell("ip link del vd-br");
	tap_drain(&a.tap);
	rig_tx_good(&a, 1);
	rig_close(&a);
	rig_close(&b);
	t_end();
}

/* What wasn't negotiated isn't done: the frame goes nowhere, its chain comes back. */
static void refused(void)
{
	static struct rig r;

	t_begin("UDP tunnel, not negotiated: the frame is dropped");
	dev_open(&r, true, false);
	CHECK_EQ(accept_tunnels(r.node, 1ull << 2), -EOPNOTSUPP);
	CHECK_EQ(accept_tunnels(r.node, 1ull << 4), -EOPNOTSUPP);
	send_frame(&r, 2800, 1);
	rig_silent(&r);
	rig_tx_good(&r, 1);
	rig_close(&r);
	t_end();
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: tunnel NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	path = argv[1];
	if (!offered()) {
		t_begin("UDP tunnel");
		t_skip("not offered: this kernel's tun can't");
		t_end();
		return t_done();
	}
	through(true);
	through(false);
	refused();
	return t_done();
}

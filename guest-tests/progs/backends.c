// SPDX-License-Identifier: GPL-2.0-only
/*
 * backends: frames both ways through a back end that isn't a tap, and tagged ones to the guest,
 * through a tap as well.
 *
 *	backends NODE KIND LOWER PEER [FILE]
 *	backends NODE tap
 *
 * KIND is for the report; LOWER is the interface that the back end is on, PEER the other end of its
 * cable, FILE the character device of macvtap and ipvtap. As KTAP.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends.h"
#include "rig.h"
#include "test.h"

#define FRAMES		48
/* Frames enough that a page lost for each would be seen: 40 MB. */
#define LEAK_FRAMES	10000
#define LEAK_LIMIT_KB	(8 << 10)

static const char *kind, *lower, *peer, *file;
static int lower_index, peer_index;
static uint8_t lower_mac[6], peer_mac[6];

static void look_up(const char *name, int *index, uint8_t *mac)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	MUST(s >= 0, "socket");
	*index = if_nametoindex(name);
	MUST(*index, "%s", name);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	MUST(!ioctl(s, SIOCGIFHWADDR, &ifr), "SIOCGIFHWADDR");
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	close(s);
}

/*
 * Frame @seq: IPv4, as an ipvtap knows its frames by their IP address, which
 * is 10.9.9.2; of a protocol that nobody speaks. Its bytes follow from @seq.
 */
void make(uint8_t *f, size_t len, uint32_t seq, bool to_guest)
{
	const uint8_t ip[IP_HEAD] = {
		0x45, 0, (len - ETH_HEAD) >> 8, (len - ETH_HEAD) & 0xff, seq >> 8, seq & 0xff,
		0, 0, 64, IP_PROTOCOL, 0, 0, 10, 9, 9, to_guest ? 1 : 2, 10, 9, 9, to_guest ? 2 : 1,
	};
	size_t i;

	memcpy(f, to_guest ? lower_mac : peer_mac, 6);
	memcpy(f + 6, to_guest ? peer_mac : lower_mac, 6);
	f[12] = IP_TYPE_0;
	f[13] = IP_TYPE_1;
	memcpy(f + ETH_HEAD, ip, IP_HEAD);
	for (i = SHORTEST; i < len; i++)
		f[i] = seq * 31 + i;
}

bool is_ours(const uint8_t *f, size_t tag)
{
	return f[12 + tag] == IP_TYPE_0 && f[13 + tag] == IP_TYPE_1 &&
	       f[ETH_HEAD + tag + 9] == IP_PROTOCOL;
}

static bool same(const uint8_t *f, size_t len, uint32_t seq, bool to_guest)
{
	uint8_t want[SLOT];

	make(want, len, seq, to_guest);
	return !memcmp(want, f, len);
}

/* From the smallest to the largest, odd ones too. */
static size_t size_of(uint32_t seq)
{
	return 60 + seq * 487 % (1514 - 60 + 1);
}

static int char_device(unsigned int hdr, bool batch)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | (hdr ? IFF_VNET_HDR : 0) };
	int fd = open(file, O_RDWR | O_CLOEXEC | O_NONBLOCK), len = hdr;
	int room = batch ? INT_MAX : 1 << 20;

	MUST(fd >= 0, "%s", file);
	MUST(!ioctl(fd, TUNSETIFF, &ifr), "TUNSETIFF");
	MUST(!hdr || !ioctl(fd, TUNSETVNETHDRSZ, &len), "TUNSETVNETHDRSZ");
	MUST(!ioctl(fd, TUNSETSNDBUF, &room), "TUNSETSNDBUF");
	return fd;
}

static int packet_socket(bool header)
{
	int fd = tap_peer(lower_index), one = 1;

	MUST(!header || !setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)),
	     "PACKET_VNET_HDR");
	return fd;
}

void link_open(struct tap *t, uint64_t features, bool batch)
{
	unsigned int hdr = features & F_OWN_HDR ? 0 : features & (F_V1 | F_MRG) ? 12 : 10;

	if (!lower) {
		tap_open(t, hdr, batch);
		return;
	}
	memset(t, 0, sizeof(*t));
	if (file)
		t->fd = char_device(hdr, batch);
	else
		t->fd = packet_socket(hdr);
	t->peer = tap_peer(peer_index);
	t->ifindex = peer_index;
	snprintf(t->name, sizeof(t->name), "%s", peer);
}

/* Takes frames at the far end until the next of ours; others may pass by. */
static size_t take(struct rig *r, uint8_t *f)
{
	size_t len;

	do {
		len = tap_take(&r->tap, f, SLOT, WAIT_MS);
	} while (len && (len < SHORTEST || !is_ours(f, 0)));
	return len;
}

void send_some(struct rig *r, unsigned int n)
{
	struct ring *q = &r->q[Q_TX];
	uint32_t first = r->seq + 1;
	uint8_t f[SLOT];
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint8_t *at = r->buf + SLOT * i;
		size_t len = size_of(++r->seq);

		memset(at, 0, r->hdr);
		make(at + r->hdr, len, r->seq, false);
		desc_set(q->desc, i, mem_gpa(&r->mem, at), r->hdr + len, 0, 0);
		ring_offer(q, i);
	}
	ring_kick(q);
	for (i = 0; i < n; i++) {
		CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
		if (CHECK_EQ(take(r, f), size_of(first + i)))
			CHECK(same(f, size_of(first + i), first + i, false));
	}
}

/* The next used element with one of our frames; others' frames are not looked at. */
static int next_frame(struct rig *r, uint8_t *at, uint32_t *len)
{
	const uint8_t *f;
	int id;

	do {
		id = ring_reap(&r->q[Q_RX], len, WAIT_MS);
		f = at + SLOT * (id < 0 ? 0 : id) + r->hdr;
	} while (id >= 0 && !is_ours(f, 0));
	return id;
}

static void receive_some(struct rig *r, uint8_t *at, unsigned int n)
{
	struct ring *q = &r->q[Q_RX];
	uint32_t first = r->seq + 1, len = 0;
	uint8_t f[SLOT];
	unsigned int i;
	int id;

	/* Twice as many as needed: a neighbour's chatter takes some. */
	for (i = 0; i < 2 * n; i++) {
		desc_set(q->desc, i, mem_gpa(&r->mem, at + SLOT * i), SLOT, D_WRITE, 0);
		ring_offer(q, i);
	}
	ring_kick(q);
	for (i = 0; i < n; i++) {
		r->seq++;
		make(f, size_of(r->seq), r->seq, true);
		CHECK(tap_feed(&r->tap, f, size_of(r->seq)));
	}
	for (i = 0; i < n; i++) {
		id = next_frame(r, at, &len);
		if (!CHECK(id >= 0))
			return;
		CHECK_EQ(len, r->hdr + size_of(first + i));
		CHECK(same(at + SLOT * id + r->hdr, size_of(first + i), first + i, true));
	}
}

void offer_buffers(struct rig *r, uint8_t *at, unsigned int n)
{
	struct ring *q = &r->q[Q_RX];
	unsigned int i;

	for (i = 0; i < n; i++) {
		desc_set(q->desc, i, mem_gpa(&r->mem, at + SLOT * i), SLOT, D_WRITE, 0);
		ring_offer(q, i);
	}
	ring_kick(q);
}

void feed_next(struct rig *r)
{
	uint8_t f[SLOT];

	r->seq++;
	make(f, size_of(r->seq), r->seq, true);
	CHECK(tap_feed(&r->tap, f, size_of(r->seq)));
}

void comes_next(struct rig *r, uint8_t *at)
{
	uint32_t len = 0;
	int id = next_frame(r, at, &len);

	if (!CHECK(id >= 0))
		return;
	CHECK_EQ(len, r->hdr + size_of(r->seq));
	CHECK(same(at + SLOT * id + r->hdr, size_of(r->seq), r->seq, true));
}

static void both_ways(const char *node, uint64_t features, bool batch, const char *how)
{
	struct tap link;
	struct rig_opts o = { .node = node, .features = features, .batch = batch, .link = &link };
	static struct rig r;
	uint8_t *at;
	unsigned int i;

	t_begin("%s, %s: frames both ways", kind, how);
	link_open(&link, features, batch);
	rig_open(&r, &o);
	at = mem_take(&r.mem, CHUNK_B, 2 * AT_ONCE * SLOT, PAGE);
	mem_device_writes(&r.mem, at, 2 * AT_ONCE * SLOT);
	for (i = 0; i < FRAMES && !t_errors(); i += AT_ONCE) {
		send_some(&r, AT_ONCE);
		receive_some(&r, at, AT_ONCE);
		/* Buffers that are still offered must not be met by what follows. */
		ring_restart(&r.q[Q_RX], r.node, r.tap.fd);
	}
	rig_close(&r);
	t_end();
}

static void peer_mtu(int mtu)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_mtu = mtu };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", peer);
	MUST(s >= 0 && !ioctl(s, SIOCSIFMTU, &ifr), "SIOCSIFMTU");
	close(s);
}

/*
 * A cable takes no frame that its far end couldn't, which the sender hears as if memory were
 * wanting: as of a frame that a filter or a full queue drops. Stock sends it again for ever.
 */
static void refused(const char *node)
{
	static const size_t len[] = { 1400, 64 };
	struct tap link;
	struct rig_opts o = { .node = node, .features = F_V1 | F_OWN_HDR, .link = &link };
	static struct rig r;
	unsigned int i;
	uint8_t f[SLOT];

	t_begin("%s: a frame that the network refuses is dropped, and keeps none behind it", kind);
	link_open(&link, o.features, false);
	rig_open(&r, &o);
	peer_mtu(1000);
	for (i = 0; i < ARRAY_SIZE(len); i++) {
		uint8_t *at = r.buf + SLOT * i;

		memset(at, 0, r.hdr);
		make(at + r.hdr, len[i], i, false);
		desc_set(r.q[Q_TX].desc, i, mem_gpa(&r.mem, at), r.hdr + len[i], 0, 0);
		ring_offer(&r.q[Q_TX], i);
	}
	ring_kick(&r.q[Q_TX]);
	for (i = 0; i < ARRAY_SIZE(len); i++)
		CHECK_EQ(ring_reap(&r.q[Q_TX], NULL, WAIT_MS), i);
	CHECK_EQ(take(&r, f), len[1]);
	CHECK(same(f, len[1], 1, false));
	CHECK_EQ(node_stat(r.node, Q_TX, "dropped"), 1);
	CHECK_EQ(node_stat(r.node, Q_TX, "retries"), 0);
	peer_mtu(1600);
	rig_close(&r);
	t_end();
}

void flap(void)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", lower);
	MUST(s >= 0 && !ioctl(s, SIOCGIFFLAGS, &ifr), "SIOCGIFFLAGS");
	ifr.ifr_flags &= ~IFF_UP;
	MUST(!ioctl(s, SIOCSIFFLAGS, &ifr), "SIOCSIFFLAGS");
	ifr.ifr_flags |= IFF_UP;
	MUST(!ioctl(s, SIOCSIFFLAGS, &ifr), "SIOCSIFFLAGS");
	close(s);
}

/* With nothing sent or received meanwhile. Stock's queue stands still until the next kick. */
static void after_flap(const char *node, unsigned int busy_us)
{
	struct vhost_vring_state busy = { .index = Q_RX, .num = busy_us };
	struct tap link;
	struct rig_opts o = { .node = node, .features = F_V1 | F_OWN_HDR, .link = &link };
	static struct rig r;
	uint8_t *at;

	t_begin("%s, busy polling for %u us: frames come after the link was down", kind, busy_us);
	link_open(&link, o.features, false);
	rig_open(&r, &o);
	at = mem_take(&r.mem, CHUNK_B, AT_ONCE * SLOT, PAGE);
	mem_device_writes(&r.mem, at, AT_ONCE * SLOT);
	CHECK_EQ(node_call(r.node, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &busy), 0);
	worker_rest(r.worker);
	flap();
	worker_rest(r.worker);
	offer_buffers(&r, at, AT_ONCE);
	worker_rest(r.worker);
	/* Who sends first is told in place of a frame, unless the receiver was. */
	send_some(&r, 1);
	feed_next(&r);
	comes_next(&r, at);
	rig_close(&r);
	t_end();
}

/* Frames without a whole Ethernet header, which tap once took as they came. */
static void short_frames(const char *node)
{
	struct tap link;
	struct rig_opts o = {
		.node = node, .features = RIG_FEATURES, .batch = true, .link = &link,
	};
	static struct rig r;
	struct ring *q = &r.q[Q_TX];
	long before = 0, after;
	unsigned int i;

	t_begin("%s: %u frames of 1 to 13 bytes are dropped and cost no memory (CVE-2024-41090, CVE-2024-41091, CVE-2026-46320, CVE-2026-46321)",
		kind, LEAK_FRAMES);
	link_open(&link, o.features, true);
	rig_open(&r, &o);
	memset(r.buf, 0, SLOT);
	for (i = 0; i < LEAK_FRAMES + 500 && !t_errors(); i++) {
		if (i == 500)
			before = free_kb();
		desc_set(q->desc, i % RIG_NUM, mem_gpa(&r.mem, r.buf), r.hdr + 1 + i % 13, 0, 0);
		ring_offer(q, i % RIG_NUM);
		if (i % AT_ONCE != AT_ONCE - 1)
			continue;
		ring_kick(q);
		while (q->reaped != q->pub)
			if (!CHECK(ring_reap(q, NULL, WAIT_MS) >= 0))
				break;
	}
	after = free_kb();
	if (!CHECK(before - after < LEAK_LIMIT_KB))
		t_diag("%ld KiB free before, %ld after", before, after);
	send_some(&r, 4);
	rig_close(&r);
	t_end();
}

static void through_device(const char *node)
{
	both_ways(node, RIG_FEATURES, true, "batches");
	both_ways(node, RIG_FEATURES, false, "one by one");
	both_ways(node, 0, true, "legacy");
	/*
	 * In batches stock's queue of 6.1 stops amid such frames: it
	 * looks into a header that nobody has written.
	 */
	both_ways(node, F_V1 | F_OWN_HDR, strcmp(node, "/dev/vhost-net"), "no header of its own");
	short_frames(node);
}

static void through_socket(const char *node)
{
	both_ways(node, F_V1 | F_OWN_HDR, false, "no header of its own");
	both_ways(node, F_OWN_HDR, false, "legacy, no header of its own");
	both_ways(node, 0, false, "PACKET_VNET_HDR");
	if (strcmp(node, "/dev/vhost-net")) {
		after_flap(node, 0);
		after_flap(node, 200);
		refused(node);
		test_packet(node, kind);
	}
	test_vlan(node, kind, "no header of its own", F_V1 | F_OWN_HDR, false);
	test_vlan(node, kind, "PACKET_VNET_HDR", 0, false);
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 5 && argc != 6) {
		fprintf(stderr, "usage: backends NODE tap|KIND LOWER PEER [FILE]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	kind = argv[2];
	if (argc > 3) {
		lower = argv[3];
		peer = argv[4];
		file = argv[5];
		look_up(lower, &lower_index, lower_mac);
		look_up(peer, &peer_index, peer_mac);
	}
	if (file)
		through_device(argv[1]);
	else if (lower)
		through_socket(argv[1]);
	if (file || !lower) {
		test_vlan(argv[1], kind, "batches", RIG_FEATURES, true);
		test_vlan(argv[1], kind, "no header of its own", F_V1 | F_OWN_HDR, true);
		if (strcmp(argv[1], "/dev/vhost-net"))
			test_vlan_fault(argv[1], kind);
	}
	return t_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames with a VLAN tag. The network keeps the tag beside the frame's bytes and doesn't count
 * it. A tap writes it among them: the frame takes 4 bytes more than its length says. A packet
 * socket writes none; then the frame must not come at all, as one of another VLAN.
 */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends.h"
#include "rig.h"
#include "test.h"

#define DEVICE		"vd-vlan"
#define VLAN_ID		0x123
#define PRIORITY	3
/* Where in a frame it stands: behind both addresses. */
#define TAG_AT		12
#define TAG		4

static const uint8_t tag[TAG] = { 0x81, 0x00, PRIORITY << 5 | VLAN_ID >> 8, VLAN_ID & 0xff };

static void shell(const char *words)
{
	MUST(!system(words), "%s", words);
}

/* What is sent through it leaves @on with the tag. */
static void vlan_open(struct tap *t, const char *on)
{
	char words[128];

	snprintf(words, sizeof(words),
		 "ip link add link %s name " DEVICE " type vlan id %d egress-qos-map 0:%d",
		 on, VLAN_ID, PRIORITY);
	shell(words);
	/* Silent but for our frames. */
	shell("! [ -e /proc/sys/net/ipv6 ] ||"
	      " echo 1 >/proc/sys/net/ipv6/conf/" DEVICE "/disable_ipv6");
	shell("ip link set " DEVICE " up");
	memset(t, 0, sizeof(*t));
	t->peer = tap_peer(if_nametoindex(DEVICE));
}

static void vlan_close(struct tap *t)
{
	close(t->peer);
	shell("ip link del " DEVICE);
}

static void feed(struct tap *t, size_t len, uint32_t seq)
{
	uint8_t f[SLOT];

	make(f, len, seq, true);
	CHECK(tap_feed(t, f, len));
}

/* CHECKs that the next frame for the guest is @seq; others' frames are passed over. */
static void arrives(struct rig *r, uint8_t *at, size_t len, uint32_t seq, bool tagged)
{
	const uint8_t *f = at + r->hdr;
	struct ring *q = &r->q[Q_RX];
	uint8_t want[SLOT + TAG];
	uint32_t used = 0;

	do {
		memset(at, CANARY, SLOT);
		ring_offer(q, 0);
		ring_kick(q);
		if (!CHECK_EQ(ring_reap(q, &used, WAIT_MS), 0))
			return;
	} while (!is_ours(f, memcmp(f + TAG_AT, tag, 2) ? 0 : TAG));
	make(want, len, seq, true);
	if (tagged) {
		memmove(want + TAG_AT + TAG, want + TAG_AT, len - TAG_AT);
		memcpy(want + TAG_AT, tag, TAG);
		len += TAG;
	}
	CHECK_EQ(used, r->hdr + len);
	if (!CHECK(!memcmp(f, want, len)))
		t_diag("at 12: %02x%02x %02x%02x %02x%02x", f[12], f[13], f[14], f[15], f[16],
		       f[17]);
	CHECK_EQ(f[len], CANARY);
}

void test_vlan(const char *node, const char *kind, const char *how, uint64_t features, bool kept)
{
	static const size_t len[] = { 60, 1514, 61, 777 };
	struct tap link, vlan;
	struct rig_opts o = { .node = node, .features = features, .batch = true, .link = &link };
	static struct rig r;
	unsigned int i;
	uint8_t *at;

	t_begin("%s, %s: a frame with a VLAN tag %s", kind, how,
		kept ? "comes with it, 4 bytes longer" : "is dropped, it doesn't come without");
	if (access("/proc/net/vlan", F_OK)) {
		t_skip("this kernel has no VLAN devices");
		t_end();
		return;
	}
	link_open(&link, features, true);
	rig_open(&r, &o);
	vlan_open(&vlan, link.name);
	at = mem_take(&r.mem, CHUNK_B, SLOT, PAGE);
	desc_set(r.q[Q_RX].desc, 0, mem_gpa(&r.mem, at), SLOT, D_WRITE, 0);
	/* Untagged ones between them: each has its own length. */
	for (i = 0; i < ARRAY_SIZE(len) && !t_errors(); i++) {
		feed(&vlan, len[i], 2 * i + 1);
		if (kept)
			arrives(&r, at, len[i], 2 * i + 1, true);
		feed(&r.tap, len[i], 2 * i + 2);
		arrives(&r, at, len[i], 2 * i + 2, false);
	}
	vlan_close(&vlan);
	rig_close(&r);
	t_end();
}

void test_vlan_fault(const char *node, const char *kind)
{
	const size_t len = 777;
	struct tap link, vlan;
	struct rig_opts o = {
		.node = node, .features = RIG_FEATURES, .batch = true, .link = &link,
	};
	static struct rig r;
	struct ring *q = &r.q[Q_RX];
	uint8_t *page, *at;

	t_begin("%s: a buffer that is out of reach from amid a frame's VLAN tag on", kind);
	if (access("/proc/net/vlan", F_OK)) {
		t_skip("this kernel has no VLAN devices");
		t_end();
		return;
	}
	link_open(&link, o.features, true);
	rig_open(&r, &o);
	vlan_open(&vlan, link.name);
	page = (uint8_t *)mem_take(&r.mem, CHUNK_B, 2 * PAGE, PAGE) + PAGE;
	at = page - r.hdr - TAG_AT - TAG / 2;
	desc_set(q->desc, 0, mem_gpa(&r.mem, at), SLOT, D_WRITE, 0);
	CHECK_EQ(mprotect(page, PAGE, PROT_NONE), 0);
	ring_offer(q, 0);
	ring_kick(q);
	feed(&vlan, len, 1);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_EQ(node_stat(r.node, Q_RX, "faults"), 1);
	CHECK_EQ(node_stat(r.node, Q_RX, "dropped"), 1);
	CHECK_EQ(ring_used_idx(q), 0);
	CHECK_EQ(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
	feed(&vlan, len, 2);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 0);
	CHECK(!memcmp(at + r.hdr + TAG_AT, tag, TAG));
	vlan_close(&vlan);
	rig_close(&r);
	t_end();
}

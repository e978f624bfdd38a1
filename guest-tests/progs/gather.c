// SPDX-License-Identifier: GPL-2.0-only
/*
 * gather: a tap that gathers frames before it passes them on, to whom a sender may promise more,
 * keeps none of those that were sent.
 *
 *	gather NODE
 *
 * As KTAP. Two ways to gather: ethtool's rx-frames, and IFF_NAPI. Both look at what is promised
 * (MSG_MORE) where frames are sent one by one: where the tap's send buffer has a limit.
 */
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "test.h"

#define LEN		1514
#define SLOT		2048
/* What a tap gathers at most; with such frames more than the smaller of the limits below. */
#define FRAMES		64
#define SMALL		40000
#define LARGE		(1 << 20)

struct way {
	const char *name;
	int flags;
	unsigned int frames;
};

static void gather_frames(const struct tap *t, unsigned int n)
{
	struct ethtool_coalesce c = { .cmd = ETHTOOL_SCOALESCE, .rx_max_coalesced_frames = n };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_data = (void *)&c };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", t->name);
	MUST(s >= 0 && !ioctl(s, SIOCETHTOOL, &ifr), "ETHTOOL_SCOALESCE");
	close(s);
}

static void open_gathering(struct tap *t, const struct way *w, int sndbuf)
{
	tap_open_with(t, 12, w->flags);
	MUST(!ioctl(t->fd, TUNSETSNDBUF, &sndbuf), "TUNSETSNDBUF");
	if (w->frames)
		gather_frames(t, w->frames);
}

static void offer(struct rig *r, unsigned int i, size_t len)
{
	uint8_t *at = r->buf + i % (64 * 1024 / SLOT) * SLOT;

	memset(at, 0, r->hdr);
	if (len)
		frame_make(at + r->hdr, len, 1);
	desc_set(r->q[Q_TX].desc, i, mem_gpa(&r->mem, at), len ? r->hdr + len : r->hdr / 2, 0, 0);
	ring_offer(&r->q[Q_TX], i);
}

/* @n frames at once, and then, with @cut, one that is no whole header; nothing else is sent. */
static void pass(const char *node, const struct way *w, int sndbuf, unsigned int n, bool cut)
{
	struct tap link;
	struct rig_opts o = { .node = node, .features = RIG_FEATURES, .link = &link };
	static struct rig r;
	static uint8_t f[SLOT];
	unsigned int i;

	t_begin("a tap that gathers by %s, %d bytes of send buffer: %u frames%s pass", w->name,
		sndbuf, n, cut ? " before one that can't be sent" : "");
	open_gathering(&link, w, sndbuf);
	rig_open(&r, &o);
	for (i = 0; i < n; i++)
		offer(&r, i, LEN);
	if (cut)
		offer(&r, n, 0);
	ring_kick(&r.q[Q_TX]);
	for (i = 0; i < n && !t_errors(); i++) {
		CHECK_EQ(tap_take(&r.tap, f, SLOT, WAIT_MS), LEN);
		CHECK(frame_is(f, LEN, 1));
	}
	for (i = 0; i < n + cut && !t_errors(); i++)
		CHECK_EQ(ring_reap(&r.q[Q_TX], NULL, WAIT_MS), i);
	rig_close(&r);
	t_end();
}

int main(int argc, char **argv)
{
	static const struct way ways[] = {
		{ "rx-frames", 0, FRAMES },
		{ "NAPI", IFF_NAPI, 0 },
	};
	unsigned int i;

	if (argc != 2) {
		fprintf(stderr, "usage: gather NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		pass(argv[1], &ways[i], SMALL, FRAMES, false);
		pass(argv[1], &ways[i], LARGE, 3, true);
	}
	return t_done();
}

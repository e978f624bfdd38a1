// SPDX-License-Identifier: GPL-2.0-only
/*
 * backpressure: a tap that holds its senders back (IFF_BACKPRESSURE, since 7.3) goes on when the
 * guest takes frames again, and drops none.
 *
 *	backpressure NODE
 *
 * As KTAP. Skipped where the kernel's tun can't.
 */
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "test.h"

#ifndef IFF_BACKPRESSURE
#define IFF_BACKPRESSURE 0x0080
#endif

/* The tap's own ring, and many times that, which the queue discipline has to keep. */
#define RING		8
#define FRAMES		128
#define SLOT		256

static bool possible(void)
{
	unsigned int flags = 0;
	int fd = tap_bare(IFF_TAP | IFF_NO_PI);

	MUST(!ioctl(fd, TUNGETFEATURES, &flags), "TUNGETFEATURES");
	close(fd);
	return flags & IFF_BACKPRESSURE;
}

/* Its ring is short, and what it sends goes through the queue discipline, which has room. */
static void tap_short(struct tap *t)
{
	int big = 4 << 20, no = 0;
	char words[128];

	tap_open_with(t, 12, IFF_BACKPRESSURE);
	tap_room(t, RING);
	/* The default one would be as short as the ring. */
	snprintf(words, sizeof(words), "tc qdisc replace dev %s root pfifo limit 1000", t->name);
	MUST(!system(words), "%s", words);
	MUST(!setsockopt(t->peer, SOL_PACKET, PACKET_QDISC_BYPASS, &no, sizeof(no)),
	     "PACKET_QDISC_BYPASS");
	MUST(!setsockopt(t->peer, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big)),
	     "SO_SNDBUFFORCE");
}

/* Frames @first to @first + @n - 1 come, in order, each into its buffer. */
static void arrive(struct rig *r, uint8_t *at, uint32_t first, unsigned int n)
{
	struct ring *q = &r->q[Q_RX];
	unsigned int i, id;
	uint32_t len = 0;

	for (i = 0; i < n; i++) {
		id = (first - 1 + i) % RIG_NUM;
		desc_set(q->desc, id, mem_gpa(&r->mem, at + SLOT * id), SLOT, D_WRITE, 0);
		ring_offer(q, id);
	}
	ring_kick(q);
	for (i = 0; i < n && !t_errors(); i++) {
		id = (first - 1 + i) % RIG_NUM;
		if (!CHECK_EQ(ring_reap(q, &len, WAIT_MS), id))
			t_diag("frame %u of %u", i + 1, n);
		CHECK_EQ(len, r->hdr + RIG_FRAME);
		CHECK(frame_is(at + SLOT * id + r->hdr, RIG_FRAME, first + i));
	}
}

/* The queue fills up while the guest has no buffers, then gives them a few or all at once. */
static void held_back(const char *node, unsigned int step, const char *how)
{
	struct tap link;
	struct rig_opts o = { .node = node, .features = RIG_FEATURES, .link = &link };
	uint8_t f[RIG_FRAME], *at;
	static struct rig r;
	unsigned int i, turn;

	t_begin("backpressure, %s: %u frames wait for a tap with room for %u, none is dropped",
		how, FRAMES, RING);
	tap_short(&link);
	rig_open(&r, &o);
	at = mem_take(&r.mem, CHUNK_B, SLOT * RIG_NUM, PAGE);
	mem_device_writes(&r.mem, at, SLOT * RIG_NUM);
	for (turn = 0; turn < 3 && !t_errors(); turn++) {
		for (i = 0; i < FRAMES; i++) {
			frame_make(f, sizeof(f), ++r.seq);
			CHECK(tap_feed(&r.tap, f, sizeof(f)));
		}
		for (i = 0; i < FRAMES && !t_errors(); i += step)
			arrive(&r, at, r.seq - FRAMES + 1 + i, step);
	}
	CHECK_EQ(tap_dropped(&r.tap), 0);
	rig_close(&r);
	t_end();
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: backpressure NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!possible()) {
		t_begin("backpressure");
		t_skip("this kernel's tun has no IFF_BACKPRESSURE");
		t_end();
		return t_done();
	}
	held_back(argv[1], FRAMES, "buffers at once");
	held_back(argv[1], 4, "buffers by fours");
	return t_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/* zerocopy: through a bridge with a delay to another tap; XDP; macvtap. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proc.h"
#include "xdp.h"
#include "zerocopy.h"

#define FRAMES	4000u
#define AHEAD	300u	/* as many may be on their way: fewer than the far tap has room for */

static const struct guest_opts usual;

__attribute__((format(printf, 1, 2)))
static bool run(const char *fmt, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return !system(line);
}

/**
 * struct far_end - what arrived there
 * @late: frames that a later one had overtaken
 */
struct far_end {
	int fd;
	unsigned int n;
	unsigned int late;
	unsigned int wrong;
	uint32_t newest;
	bool seen[FRAMES + 1];
};

static void arrive(struct far_end *e, uint8_t *f, ssize_t len)
{
	uint32_t seq = (uint32_t)f[14] << 24 | f[15] << 16 | f[16] << 8 | f[17];

	f[6] = 'g';
	if (len != LONG || seq > FRAMES || e->seen[seq] || !frame_is(f, len, seq)) {
		e->wrong++;
		return;
	}
	e->seen[seq] = true;
	e->n++;
	e->late += seq < e->newest;
	if (seq > e->newest)
		e->newest = seq;
}

static void arrivals(struct far_end *e)
{
	uint8_t f[2 * LONG];
	ssize_t n;

	while ((n = read(e->fd, f, sizeof(f))) > 0)
		/* Not the kernel's own, as of the bridge. */
		if (f[12] == ETHERTYPE >> 8 && f[13] == (ETHERTYPE & 0xff))
			arrive(e, f, n);
}

static void through(struct guest *g, struct far_end *e)
{
	uint64_t until = now_ns() + 2 * SOON_MS * NS_PER_MS;

	while ((e->n < FRAMES || g->taken < FRAMES) && now_ns() < until) {
		while (g->offered < FRAMES && g->offered - e->n < AHEAD &&
		       g->offered - g->taken < AHEAD)
			guest_send(g, 1, LONG);
		arrivals(e);
		guest_take(g);
	}
}

void test_bridge(const char *node, const struct format *f)
{
	struct far_end *e = calloc(1, sizeof(*e));
	struct tap far;
	struct guest g;

	MUST(e, "calloc");
	t_begin("%s: through a bridge, delayed and overtaking, to another tap", f->name);
	/* The keeper would take what is the bridge's. */
	tap_open_alone(&far, 0, INT_MAX);
	e->fd = far.fd;
	guest_open(&g, node, f, &usual);
	keep_say("off", "");
	if (!run("ip link add vd-br type bridge mcast_snooping 0 && ip link set vd-br up && "
		 "ip link set %s master vd-br && ip link set %s master vd-br && "
		 "tc qdisc add dev %s root netem delay 20ms 15ms limit 10000",
		 g.tap.name, far.name, far.name)) {
		t_skip("this kernel has no bridge or no netem");
	} else {
		through(&g, e);
		CHECK_EQ(e->n, FRAMES);
		CHECK_EQ(e->wrong, 0);
		CHECK_EQ(g.taken, FRAMES);
		CHECK(e->late > 0);
		/* tun copies them at the far end, so most are copied here. */
		CHECK(guest_stat(&g, "zerocopy") > 0);
		t_diag("%u frames, %u overtaken, %u uncopied", e->n, e->late,
		       (unsigned int)guest_stat(&g, "zerocopy"));
	}
	guest_close(&g);
	tap_close(&far);
	run("ip link del vd-br 2>/dev/null");
	free(e);
	t_end();
}

static int stop(void *arg)
{
	struct guest *g = arg;

	return node_backend(g->node, Q_TX, -1);
}

/* A chain of more pages than a frame has room for, by an indirect table. */
static void send_pieces(struct guest *g, unsigned int pages, size_t each)
{
	uint8_t *area = g->buf + 8 * ROOM, *at;
	struct vring_desc *table = (void *)(g->buf + 4 * ROOM);
	unsigned int i;

	for (i = 0; i < pages; i++) {
		at = area + i * 4096 + 1024;
		memset(at, 0, each);
		table[i] = (struct vring_desc){ guest_gpa(g, at), each,
						i + 1 < pages ? VRING_DESC_F_NEXT : 0, i + 1 };
	}
	g->number++;
	guest_offer(g, guest_gpa(g, table), pages * sizeof(*table), VRING_DESC_F_INDIRECT);
	vq_kick(&g->tx);
}

void test_xdp(const char *node, const struct format *f)
{
	static const unsigned int pages[] = { 17, 18, 20 };
	struct format indirect = *f;
	unsigned int i;
	struct guest g;
	struct call c;
	int link;

	indirect.features |= F_INDIRECT;
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		t_begin("%s: a frame in %u pieces that XDP drops: its buffer comes back", f->name,
			pages[i]);
		guest_open(&g, node, &indirect, &usual);
		link = xdp_drop(g.tap.ifindex);
		send_pieces(&g, pages[i], 3000 / pages[i]);
		guest_back(&g, 1);
		CHECK_EQ(guest_stat(&g, "zerocopy"), pages[i] <= 17);
		call_start(&c, stop, &g);
		CHECK_EQ(call_end(&c), 0);
		close(link);
		guest_close(&g);
		t_end();
	}
}

static int macvtap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int ifindex = 0, len = HDR, many = INT_MAX, fd;
	char path[64];
	FILE *file;

	if (!run("ip link add vd-dummy type dummy && ip link set vd-dummy mtu 9000 up && "
		 "ip link add link vd-dummy name vd-mvt type macvtap mode passthru && "
		 "ip link set vd-mvt up"))
		return -1;
	file = fopen("/sys/class/net/vd-mvt/ifindex", "r");
	MUST(file && fscanf(file, "%d", &ifindex) == 1, "vd-mvt");
	fclose(file);
	snprintf(path, sizeof(path), "/dev/tap%d", ifindex);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	MUST(fd >= 0, "%s", path);
	MUST(!ioctl(fd, TUNSETIFF, &ifr) && !ioctl(fd, TUNSETVNETHDRSZ, &len) &&
	     !ioctl(fd, TUNSETSNDBUF, &many), "%s: TUNSETIFF, TUNSETVNETHDRSZ, TUNSETSNDBUF", path);
	return fd;
}

void test_macvtap(const char *node, const struct format *f)
{
	int fd = macvtap();
	struct guest g;
	struct call c;

	t_begin("%s: macvtap: uncopied to the end, also when its device is deleted", f->name);
	CHECK(fd >= 0);
	if (fd >= 0) {
		guest_open(&g, node, f, &(struct guest_opts){ .back = fd });
		guest_send(&g, 50, LONG);
		guest_rests(&g, 50);
		CHECK_EQ(guest_stat(&g, "zerocopy"), 50);
		CHECK_EQ(guest_stat(&g, "zerocopy_done"), 50);
		CHECK_EQ(guest_stat(&g, "zerocopy_copied"), 0);
		CHECK(run("ip link del vd-mvt"));
		guest_send(&g, 300, LONG);
		guest_rests(&g, 350);
		CHECK_EQ(guest_stat(&g, "zerocopy"), 50);
		call_start(&c, stop, &g);
		CHECK_EQ(call_end(&c), 0);
		guest_close(&g);
		close(fd);
	}
	run("ip link del vd-mvt 2>/dev/null; ip link del vd-dummy 2>/dev/null");
	t_end();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost-user-net: a net device behind a vhost-user socket that checks every
 * frame. Serves one connection, says "ready" when it listens and "done" when
 * it has checked enough, and ends with the connection. Its own frames it sends
 * from the first line on its input on: DPDK's driver throws away what comes
 * before its port has started. The last lines are "fact NAME VALUE"; the status
 * is 0 if every frame was right.
 */
#include <err.h>
#include <getopt.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "frames.h"
#include "net.h"

#define IDLE_MS		20

static const u64 offer = 1ull << VIRTIO_F_VERSION_1 |
			 1ull << VIRTIO_F_RING_PACKED |
			 1ull << VIRTIO_F_IN_ORDER |
			 1ull << VIRTIO_RING_F_EVENT_IDX |
			 1ull << VIRTIO_RING_F_INDIRECT_DESC |
			 1ull << VIRTIO_NET_F_MRG_RXBUF;

static struct net net = { .low = 64, .high = 64, .total = 10000,
			  .window = 64 };
static const char *path;
static bool may_send;

static u32 number(const char *word, u32 low, u32 high)
{
	char *end;
	unsigned long n = strtoul(word, &end, 10);

	if (*end || end == word || n < low || n > high)
		errx(2, "%s: not a number from %u to %u", word, low, high);
	return (u32)n;
}

static enum net_mode mode(const char *word)
{
	static const char *const name[] = {
		[NET_UDP] = "udp", [NET_ECHO] = "echo", [NET_SWAP] = "swap",
	};
	u32 i;

	for (i = 0; i < sizeof(name) / sizeof(*name); i++)
		if (!strcmp(word, name[i]))
			return (enum net_mode)i;
	errx(2, "%s: not a mode: udp, echo, swap", word);
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "mode", required_argument, NULL, 'm' },
		{ "frames", required_argument, NULL, 'n' },
		{ "low", required_argument, NULL, 'l' },
		{ "high", required_argument, NULL, 'h' },
		{ "window", required_argument, NULL, 'w' },
		{}
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 's')
			path = optarg;
		else if (c == 'm')
			net.mode = mode(optarg);
		else if (c == 'n')
			net.total = number(optarg, 1, 1u << 30);
		else if (c == 'l')
			net.low = number(optarg, FRAME_MIN, FRAME_MAX);
		else if (c == 'h')
			net.high = number(optarg, FRAME_MIN, FRAME_MAX);
		else if (c == 'w')
			net.window = number(optarg, 1, 32768);
		else
			exit(2);
	}
	if (!path || net.low > net.high)
		errx(2, "--socket PATH, and --low not above --high");
}

static int serve_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int lsock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), sock;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (lsock < 0 || bind(lsock, (void *)&addr, sizeof(addr)) ||
	    listen(lsock, 1))
		err(1, "%s", path);
	puts("ready");
	sock = accept4(lsock, NULL, NULL, SOCK_CLOEXEC);
	if (sock < 0)
		err(1, "accept");
	close(lsock);
	return sock;
}

static bool live(const struct vu_queue *q)
{
	return q->running && q->enabled;
}

/* Moves what there is to be moved. Returns how much. */
static u32 serve_rings(void)
{
	u32 work = 0;

	if (live(&net.s.q[VU_TX]))
		work += net_tx(&net);
	if (may_send && live(&net.s.q[VU_RX]))
		work += net_rx(&net);
	return work;
}

/* Asks for kicks. Returns how many queues have something new after all. */
static u32 serve_notify(void)
{
	u32 i, more = 0;
	int ret;

	for (i = 0; i < VU_QUEUES; i++) {
		if (!net.s.q[i].running)
			continue;
		ret = vu_queue_notify(&net.s.q[i]);
		if (ret < 0)
			net.reason = ret;
		more += ret > 0;
	}
	return more;
}

static void serve_kicks(const struct pollfd *fd)
{
	u64 count;
	u32 i;

	for (i = 0; i < VU_QUEUES; i++) {
		struct vu_queue *q = &net.s.q[i];

		if (fd[i].revents & POLLIN &&
		    read(q->kick, &count, sizeof(count)) == sizeof(count))
			q->kicks++;
		if (q->running)
			vu_queue_no_notify(q);
	}
}

/* Any word, or the end of the input, will do. */
static void serve_input(const struct pollfd *fd)
{
	char word[16];

	if (fd->revents && read(fd->fd, word, sizeof(word)) >= 0)
		may_send = true;
}

static int serve(void)
{
	struct pollfd fd[VU_QUEUES + 2] = {};
	bool said = false;
	u32 i, work;
	int ret;

	for (;;) {
		work = serve_rings();
		if (net.reason)
			return -1;
		if (!said && net.seen >= net.total) {
			puts("done");
			said = true;
		}
		if (!work)
			work = serve_notify();
		fd[VU_QUEUES] = (struct pollfd){ net.s.sock, POLLIN, 0 };
		fd[VU_QUEUES + 1] = (struct pollfd){ may_send ? -1 : 0, POLLIN,
						     0 };
		for (i = 0; i < VU_QUEUES; i++)
			fd[i] = (struct pollfd){ net.s.q[i].kick, POLLIN, 0 };
		if (poll(fd, VU_QUEUES + 2, work ? 0 : IDLE_MS) < 0)
			return -1;
		serve_kicks(fd);
		serve_input(&fd[VU_QUEUES + 1]);
		if (!fd[VU_QUEUES].revents)
			continue;
		ret = vu_server_message(&net.s);
		if (ret <= 0)
			return ret;
	}
}

static void fact(const char *name, u64 value)
{
	printf("fact %s %llu\n", name, (unsigned long long)value);
}

int main(int argc, char **argv)
{
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	options(argc, argv);
	vu_server_init(&net.s, serve_socket(), offer);
	ret = serve();
	fact("features", net.s.features);
	fact("ring", net.s.q[VU_TX].num);
	fact("sent", net.sent);
	fact("seen", net.seen);
	fact("bad", net.bad);
	fact("tables", net.tables);
	fact("long_chains", net.long_chains);
	fact("merged", net.merged);
	fact("bursts", net.bursts);
	fact("chains", net.chains);
	fact("kicks", net.s.q[VU_RX].kicks + net.s.q[VU_TX].kicks);
	fact("signals", net.s.q[VU_RX].signals + net.s.q[VU_TX].signals);
	vu_server_exit(&net.s);
	return ret || net.bad || net.seen < net.total;
}

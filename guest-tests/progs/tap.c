// SPDX-License-Identifier: GPL-2.0-only
/* A tap, and a packet socket on it that is the network behind it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc.h"
#include "tap.h"
#include "test.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

int tap_bare(int flags)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = { .ifr_flags = flags };

	MUST(fd >= 0, "/dev/net/tun");
	MUST(!ioctl(fd, TUNSETIFF, &ifr), "TUNSETIFF");
	return fd;
}

/* Silent but for our frames. */
static void tap_up(struct tap *t, struct ifreq *ifr)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd;
	char path[128];

	MUST(s >= 0, "socket");
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", t->name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		MUST(write(fd, "1", 1) == 1, "%s", path);
		close(fd);
	}
	ifr->ifr_mtu = 9000;
	MUST(!ioctl(s, SIOCSIFMTU, ifr), "SIOCSIFMTU");
	ifr->ifr_flags = IFF_UP | IFF_NOARP | IFF_PROMISC;
	MUST(!ioctl(s, SIOCSIFFLAGS, ifr), "SIOCSIFFLAGS");
	MUST(!ioctl(s, SIOCGIFINDEX, ifr), "SIOCGIFINDEX");
	t->ifindex = ifr->ifr_ifindex;
	close(s);
}

int tap_peer(int ifindex)
{
	struct sockaddr_ll a = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(0x0003 /* all */),
		.sll_ifindex = ifindex,
	};
	int one = 1, big = 8 << 20;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	MUST(fd >= 0, "packet socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	MUST(!setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)),
	     "PACKET_IGNORE_OUTGOING");
	MUST(!setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)),
	     "PACKET_QDISC_BYPASS");
	MUST(!bind(fd, (struct sockaddr *)&a, sizeof(a)), "bind");
	return fd;
}

static void tap_make(struct tap *t, unsigned int hdr_len, int sndbuf, int flags)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | flags };
	int len = hdr_len;

	if (hdr_len)
		ifr.ifr_flags |= IFF_VNET_HDR;
	t->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	MUST(t->fd >= 0, "/dev/net/tun");
	MUST(!ioctl(t->fd, TUNSETIFF, &ifr), "TUNSETIFF");
	memcpy(t->name, ifr.ifr_name, sizeof(t->name));
	if (hdr_len)
		MUST(!ioctl(t->fd, TUNSETVNETHDRSZ, &len), "TUNSETVNETHDRSZ");
	MUST(!ioctl(t->fd, TUNSETSNDBUF, &sndbuf), "TUNSETSNDBUF");
	tap_up(t, &ifr);
	t->peer = -1;
}

void tap_open_alone(struct tap *t, unsigned int hdr_len, int sndbuf)
{
	tap_make(t, hdr_len, sndbuf, 0);
}

void tap_open_with(struct tap *t, unsigned int hdr_len, int flags)
{
	tap_make(t, hdr_len, INT_MAX, flags);
	t->peer = tap_peer(t->ifindex);
}

void tap_open(struct tap *t, unsigned int hdr_len, bool batch)
{
	tap_open_alone(t, hdr_len, batch ? INT_MAX : 1 << 20);
	t->peer = tap_peer(t->ifindex);
}

void tap_close(struct tap *t)
{
	if (t->peer >= 0)
		close(t->peer);
	close(t->fd);
}

void tap_room(const struct tap *t, unsigned int frames)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_qlen = frames };

	MUST(s >= 0, "socket");
	memcpy(ifr.ifr_name, t->name, sizeof(t->name));
	MUST(!ioctl(s, SIOCSIFTXQLEN, &ifr), "SIOCSIFTXQLEN");
	close(s);
}

unsigned long tap_dropped(const struct tap *t)
{
	unsigned long n = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_dropped", t->name);
	f = fopen(path, "r");
	MUST(f && fscanf(f, "%lu", &n) == 1, "%s", path);
	fclose(f);
	return n;
}

bool tap_feed(struct tap *t, const void *frame, size_t len)
{
	return send(t->peer, frame, len, 0) == (ssize_t)len;
}

size_t tap_take(struct tap *t, void *frame, size_t room, unsigned int ms)
{
	struct pollfd p = { .fd = t->peer, .events = POLLIN };
	ssize_t n;

	if (poll_ms(&p, 1, ms) != 1)
		return 0;
	n = recv(t->peer, frame, room, MSG_DONTWAIT);
	return n > 0 ? n : 0;
}

void tap_drain(struct tap *t)
{
	char frame[64];

	while (recv(t->peer, frame, sizeof(frame), MSG_DONTWAIT) >= 0)
		;
}

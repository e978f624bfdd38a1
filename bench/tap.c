// SPDX-License-Identifier: GPL-2.0-only
/* The tap: made for the run, silent but for our frames, gone with its files. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vring.h"

/* Room for what a feeder may have under way; the default is 1000. */
#define TAP_QUEUE_LEN 4096

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* A kernel without IPv6 has no such file, and no stray packets. */
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		vr_die_errno("%s", path);
	close(fd);
}

static void link_ioctl(int s, unsigned long req, struct ifreq *ifr, const char *what)
{
	if (ioctl(s, req, ifr))
		vr_die_errno("%s: %s", ifr->ifr_name, what);
}

static void link_up(struct vr_pair *p, const struct vr_opts *o)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned char mac[6] = { 0x02, 'v', 'r', 'i', 'n', p->index };
	struct ifreq ifr = { 0 };
	char path[128];

	if (s < 0)
		vr_die_errno("socket");
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", p->ifname);
	write_text(path, "1");
	memcpy(ifr.ifr_name, p->ifname, sizeof(p->ifname));
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, sizeof(mac));
	link_ioctl(s, SIOCSIFHWADDR, &ifr, "address");
	ifr.ifr_qlen = TAP_QUEUE_LEN;
	link_ioctl(s, SIOCSIFTXQLEN, &ifr, "queue length");
	if (o->size_max > 1514 && !o->gso) {
		ifr.ifr_mtu = o->size_max - 14;
		link_ioctl(s, SIOCSIFMTU, &ifr, "MTU");
	}
	ifr.ifr_flags = IFF_UP | IFF_NOARP;
	link_ioctl(s, SIOCSIFFLAGS, &ifr, "up");
	link_ioctl(s, SIOCGIFINDEX, &ifr, "index");
	p->ifindex = ifr.ifr_ifindex;
	close(s);
}

/* Pair 0 makes a multi-queue tap, the others join it; --separate: one tap each. */
void vr_tap_open(struct vr_run *r, struct vr_pair *p)
{
	const struct vr_opts *o = r->o;
	bool joins = p->index && !o->separate;
	struct ifreq ifr = { 0 };
	int sndbuf = INT_MAX, hdr = r->hdr_len;

	p->tap_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (p->tap_fd < 0)
		vr_die_errno("/dev/net/tun");
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (o->queues > 1 && !o->separate)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	if (joins)
		memcpy(ifr.ifr_name, r->pairs[0].ifname, IFNAMSIZ);
	else if (o->tap)
		snprintf(ifr.ifr_name, IFNAMSIZ, p->index ? "%.12s-%u" : "%.15s", o->tap, p->index);
	else
		snprintf(ifr.ifr_name, IFNAMSIZ, "vring%u-%u", getpid() % 1000000, p->index);
	if (ioctl(p->tap_fd, TUNSETIFF, &ifr))
		vr_die_errno("tap %s: TUNSETIFF", ifr.ifr_name);
	memcpy(p->ifname, ifr.ifr_name, IFNAMSIZ);
	if (ioctl(p->tap_fd, TUNSETVNETHDRSZ, &hdr))
		vr_die_errno("tap %s: TUNSETVNETHDRSZ", p->ifname);
	/* QEMU's default, and vhost-net's condition for batching through XDP. */
	if (ioctl(p->tap_fd, TUNSETSNDBUF, &sndbuf))
		vr_die_errno("tap %s: TUNSETSNDBUF", p->ifname);
	if (o->gso && ioctl(p->tap_fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4))
		vr_die_errno("tap %s: TUNSETOFFLOAD", p->ifname);
	if (joins)
		p->ifindex = r->pairs[0].ifindex;
	else
		link_up(p, o);
}

uint64_t vr_tap_stat(const char *ifname, const char *name)
{
	unsigned long long v = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", ifname, name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llu", &v) != 1)
		vr_die("can't read %s", path);
	fclose(f);
	return v;
}

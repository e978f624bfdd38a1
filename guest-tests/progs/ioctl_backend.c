// SPDX-License-Identifier: GPL-2.0-only
/* VHOST_NET_SET_BACKEND with everything that has a descriptor (CVE-2020-10942). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ioctl.h"
#include "tap.h"

#define TAP_FLAGS (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)

/* A family that this kernel lacks gives no socket, on either node. */
static int sock(int family, int type, int protocol)
{
	return socket(family, type | SOCK_CLOEXEC, protocol);
}

struct kind {
	const char *name;
	int fd;
};

static void with_file(const char *name, int file)
{
	int fd = dev_ready();
	unsigned int q;

	if (file < -1) {
		say(file, "SET_BACKEND, %s can't be made", name);
		close(fd);
		return;
	}
	for (q = 0; q < 2; q++) {
		say(node_backend(fd, q, file), "SET_BACKEND, queue %u, %s", q, name);
		say(node_backend(fd, q, file), "SET_BACKEND, queue %u, %s, again", q, name);
		say(node_num(fd, q, 32), "queue %u with %s, VRING_NUM", q, name);
		say(node_backend(fd, q, -1), "SET_BACKEND, queue %u, -1 after %s", q, name);
		say(node_num(fd, q, 32), "queue %u without %s, VRING_NUM", q, name);
	}
	close(fd);
}

static int or_errno(int fd)
{
	return fd < 0 ? -1000 - errno : fd;
}

static void kinds(void)
{
	int pipes[2], pair[2], i;

	MUST(!pipe2(pipes, O_CLOEXEC), "pipe");
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
	const struct kind all[] = {
		{ "-1", -1 }, { "a closed descriptor", 999 },
		{ "a file", open("/proc/self/exe", O_RDONLY | O_CLOEXEC) },
		{ "a folder", open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) },
		{ "an O_PATH descriptor", open("/dev/net/tun", O_PATH | O_CLOEXEC) },
		{ "a pipe", pipes[0] }, { "/dev/null", open("/dev/null", O_RDWR | O_CLOEXEC) },
		{ "an eventfd", event_new() }, { "an epoll", epoll_create1(EPOLL_CLOEXEC) },
		{ "a memfd", memfd_create("x", MFD_CLOEXEC) },
		{ "another node", node_open(node_path) },
		{ "UDP", sock(AF_INET, SOCK_DGRAM, 0) }, { "TCP", sock(AF_INET, SOCK_STREAM, 0) },
		{ "raw IP", sock(AF_INET, SOCK_RAW, IPPROTO_ICMP) },
		{ "UDP over IPv6", or_errno(sock(AF_INET6, SOCK_DGRAM, 0)) },
		{ "raw IPv6", or_errno(sock(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)) },
		{ "a unix stream", pair[0] }, { "a unix datagram", sock(AF_UNIX, SOCK_DGRAM, 0) },
		{ "netlink", sock(AF_NETLINK, SOCK_RAW, 0) },
		{ "AF_PACKET SOCK_DGRAM", or_errno(sock(AF_PACKET, SOCK_DGRAM, htons(3))) },
		{ "AF_PACKET SOCK_RAW", or_errno(sock(AF_PACKET, SOCK_RAW, htons(3))) },
		{ "an unattached tun", open("/dev/net/tun", O_RDWR | O_CLOEXEC) },
		{ "a tap", tap_bare(TAP_FLAGS) },
		{ "a tap without virtio header", tap_bare(IFF_TAP | IFF_NO_PI) },
		{ "a tun", tap_bare(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR) },
		{ "a queue of a tap", tap_bare(TAP_FLAGS | IFF_MULTI_QUEUE) },
		{ "a macvtap", macvtap_path ? or_errno(open(macvtap_path, O_RDWR | O_CLOEXEC)) : -1000 },
	};
	for (i = 0; i < (int)ARRAY_SIZE(all); i++) {
		with_file(all[i].name, all[i].fd);
		if (all[i].fd >= 0 && all[i].fd != 999)
			close(all[i].fd);
	}
	close(pipes[1]);
	close(pair[1]);
}

/* What must be there before a queue starts. */
static void order(void)
{
	int tap = tap_bare(TAP_FLAGS), fd;

	fd = node_open(node_path);
	say(node_backend(fd, 0, tap), "SET_BACKEND without an owner");
	say(node_backend(fd, 9, tap), "SET_BACKEND without an owner, queue 9");
	close(fd);
	fd = dev_owned();
	say(node_backend(fd, 0, tap), "SET_BACKEND without memory table");
	say(node_backend(fd, 0, -1), "SET_BACKEND -1 without memory table");
	say(node_backend(fd, 0, 999), "SET_BACKEND of nothing without memory table");
	say(dev_memory(fd), "memory table");
	say(node_backend(fd, 0, tap), "SET_BACKEND without a ring");
	say(node_backend(fd, 0, -1), "SET_BACKEND -1 without a ring");
	say(dev_rings(fd), "rings");
	say(node_addr(fd, 0, KERNEL_ADDR, KERNEL_ADDR, KERNEL_ADDR), "rings in the kernel");
	say(node_backend(fd, 0, tap), "SET_BACKEND with a ring in the kernel");
	say(node_addr(fd, 0, (uintptr_t)at.good, (uintptr_t)at.good, (uintptr_t)at.gone),
	    "used ring in a hole");
	say(node_backend(fd, 0, tap), "SET_BACKEND with the used ring in a hole");
	say(node_addr(fd, 0, (uintptr_t)at.good, (uintptr_t)at.good, (uintptr_t)at.read_only),
	    "used ring read-only");
	say(node_backend(fd, 0, tap), "SET_BACKEND with the used ring read-only");
	say(node_addr(fd, 0, (uintptr_t)at.gone, (uintptr_t)at.gone, (uintptr_t)at.good),
	    "descriptors and avail ring in a hole");
	say(node_backend(fd, 0, tap), "SET_BACKEND with descriptors and avail ring in a hole");
	close(tap);
	close(fd);
}

static void swapping(void)
{
	int tap = tap_bare(TAP_FLAGS), other = tap_bare(TAP_FLAGS), i, fd = dev_ready();
	int packet = sock(AF_PACKET, SOCK_RAW, htons(3));

	for (i = 0; i < 2; i++) {
		say(node_backend(fd, i, tap), "swap, queue %d: a tap", i);
		say(node_backend(fd, i, other), "swap, queue %d: another tap", i);
		say(node_backend(fd, i, 999), "swap, queue %d: a closed descriptor", i);
		say(node_num(fd, i, 16), "swap, queue %d: still running, VRING_NUM", i);
		say(node_backend(fd, i, packet), "swap, queue %d: a packet socket", i);
		say(node_backend(fd, i, tap), "swap, queue %d: the tap again", i);
		say(node_backend(fd, i, -1), "swap, queue %d: -1", i);
		say(node_backend(fd, i, -1), "swap, queue %d: -1 again", i);
	}
	say(node_backend(fd, 0, tap), "one tap, receive");
	say(node_backend(fd, 1, tap), "one tap, transmit");
	/* The node keeps the socket: its descriptor may go. */
	close(tap);
	say(node_backend(fd, 0, other), "swap after the descriptor was closed");
	close(fd);
	close(other);
	close(packet);
}

void ioctl_backend(void)
{
	order();
	kinds();
	swapping();
}

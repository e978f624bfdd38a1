// SPDX-License-Identifier: GPL-2.0-only
/* The virtqueues: size, base, addresses, eventfds; stopped and running. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ioctl.h"
#include "tap.h"

static void indices(int fd)
{
	static const unsigned int index[] = { 0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(index); i++) {
		say(node_num(fd, index[i], 16), "VRING_NUM, index %u", index[i]);
		say(node_base(fd, index[i], 0), "VRING_BASE, index %u", index[i]);
		say(node_get_base(fd, index[i]), "GET_VRING_BASE, index %u", index[i]);
		say(node_addr(fd, index[i], 0, 0, 0), "VRING_ADDR, index %u", index[i]);
		say(node_file(fd, VHOST_SET_VRING_KICK, index[i], -1), "VRING_KICK, index %u",
		    index[i]);
		say(node_file(fd, VHOST_SET_VRING_CALL, index[i], -1), "VRING_CALL, index %u",
		    index[i]);
		say(node_file(fd, VHOST_SET_VRING_ERR, index[i], -1), "VRING_ERR, index %u",
		    index[i]);
		say(node_backend(fd, index[i], 999), "SET_BACKEND, index %u", index[i]);
	}
}

static void numbers(const char *state, int fd)
{
	static const unsigned int num[] = {
		0, 1, 2, 3, 255, 256, 1000, 32768, 32769, 65535, 65536, 0x80000000, ~0u,
	};
	static const unsigned int base[] = { 0, 1, 65535, 65536, 0x7fffffff, ~0u };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(num); i++)
		say(node_num(fd, 0, num[i]), "%s, VRING_NUM %u", state, num[i]);
	for (i = 0; i < ARRAY_SIZE(base); i++) {
		say(node_base(fd, 0, base[i]), "%s, VRING_BASE %u", state, base[i]);
		say(node_get_base(fd, 0), "%s, GET_VRING_BASE after it", state);
	}
}

static void addresses(const char *state, int fd)
{
	static uint8_t ring[4 * PAGE] __attribute__((aligned(4096)));
	const uint64_t u = (uintptr_t)ring, v = u + PAGE, w = u + 2 * PAGE;
	const struct { const char *name; uint64_t desc, avail, used, log; unsigned int flags; } a[] = {
		{ "by the book", u, v, w },
		{ "all 0", 0, 0, 0 },
		{ "descriptors off by 1", u + 1, v, w },
		{ "descriptors off by 8", u + 8, v, w },
		{ "avail off by 1", u, v + 1, w },
		{ "avail off by 2", u, v + 2, w },
		{ "used off by 1", u, v, w + 1 },
		{ "used off by 2", u, v, w + 2 },
		{ "used off by 4", u, v, w + 4 },
		{ "all in one place", u, u, u },
		{ "descriptors in the kernel", KERNEL_ADDR, v, w },
		{ "avail in the kernel", u, KERNEL_ADDR, w },
		{ "used in the kernel", u, v, KERNEL_ADDR },
		{ "descriptors wrap", 0ull - 16, v, w },
		{ "used ends in the kernel", u, v, (1ull << 47) - 16 },
		{ "used at the end of user memory", u, v, (1ull << 47) - PAGE - 8192 },
		{ "log by the book", u, v, w, PAGE, 0 },
		{ "log off by 2", u, v, w, 2, 0 },
		{ "log flag", u, v, w, 0, 1 },
		{ "flag 1", u, v, w, 0, 2 },
		{ "all flags", u, v, w, 0, ~0u },
		{ "by the book again", u, v, w },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(a); i++) {
		struct vhost_vring_addr v = {
			.flags = a[i].flags,
			.desc_user_addr = a[i].desc,
			.avail_user_addr = a[i].avail,
			.used_user_addr = a[i].used,
			.log_guest_addr = a[i].log,
		};

		say(node_call(fd, VHOST_SET_VRING_ADDR, &v), "%s, VRING_ADDR %s", state,
		    a[i].name);
	}
}

static void events(const char *state, int fd)
{
	static const struct { unsigned long cmd; const char *name; } calls[] = {
		{ VHOST_SET_VRING_KICK, "VRING_KICK" }, { VHOST_SET_VRING_CALL, "VRING_CALL" },
		{ VHOST_SET_VRING_ERR, "VRING_ERR" },
	};
	int event = event_new(), full = event_new(), pipes[2];
	uint64_t most = ~0ull - 1;
	unsigned int i, j;

	MUST(!pipe2(pipes, O_CLOEXEC), "pipe");
	MUST(write(full, &most, sizeof(most)) == sizeof(most), "eventfd");
	const struct { const char *name; int fd; } files[] = {
		{ "an eventfd", event }, { "the same again", event }, { "another", full },
		{ "-1", -1 }, { "-1 again", -1 }, { "-2", -2 },
		{ "a closed descriptor", 999 }, { "a pipe", pipes[0] },
		{ "the node itself", fd }, { "an eventfd once more", event },
	};
	for (i = 0; i < ARRAY_SIZE(calls); i++)
		for (j = 0; j < ARRAY_SIZE(files); j++)
			say(node_file(fd, calls[i].cmd, 0, files[j].fd), "%s, %s, %s", state,
			    calls[i].name, files[j].name);
	close(event);
	close(full);
	close(pipes[0]);
	close(pipes[1]);
}

/* The memory table of a running device. */
static void running_memory(int fd)
{
	const uint64_t u = (uintptr_t)at.good;
	const struct { const char *name; struct node_region r; } t[] = {
		{ "another", { 0x5000, PAGE, u } },
		{ "kernel memory", { 0x1000, PAGE, KERNEL_ADDR } },
		{ "user address wraps", { 0x1000, 2 * PAGE, 0ull - PAGE } },
		{ "size 0", { 0x1000, 0, u } },
		{ "unmapped user memory", { 0x1000, PAGE, 0x10000 } },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		say(node_table(fd, &t[i].r, 1), "running, memory table: %s", t[i].name);
	say(node_table(fd, NULL, 0), "running, memory table: no region");
	say(dev_memory(fd), "running, memory table: as before");
}

static void running(void)
{
	int fd = dev_ready(), tap = tap_bare(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);

	say(node_features(fd, RING_USUAL), "features before the start");
	say(node_backend(fd, 0, tap), "start");
	numbers("running", fd);
	addresses("running", fd);
	events("running", fd);
	running_memory(fd);
	say(node_features(fd, RING_USUAL & ~F_EVENT), "running, VHOST_SET_FEATURES without event idx");
	say(node_features(fd, ~0ull), "running, VHOST_SET_FEATURES all bits");
	say(node_owner(fd), "running, VHOST_SET_OWNER");
	say(node_num(fd, 1, 32), "the other queue, VRING_NUM 32");
	say(node_base(fd, 1, 5), "the other queue, VRING_BASE 5");
	say(node_backend(fd, 0, -1), "stop");
	say(node_num(fd, 0, 32), "stopped again, VRING_NUM 32");
	say(node_get_base(fd, 0), "stopped again, GET_VRING_BASE");
	say(node_backend(fd, 0, tap), "start again");
	say(node_call(fd, VHOST_RESET_OWNER, NULL), "running, VHOST_RESET_OWNER");
	say(node_owner(fd), "after it, VHOST_SET_OWNER");
	say(node_get_base(fd, 1), "after it, GET_VRING_BASE of the other queue");
	say(node_backend(fd, 0, tap), "after it, start without a memory table");
	close(tap);
	close(fd);
}

void ioctl_ring(void)
{
	int fd = dev_owned();

	indices(fd);
	numbers("stopped", fd);
	addresses("stopped", fd);
	events("stopped", fd);
	close(fd);
	running();
}

// SPDX-License-Identifier: GPL-2.0-only
/* The device: owner, features, memory table, log. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ioctl.h"

#define NAMED(cmd) { cmd, #cmd }

static const struct {
	unsigned long cmd;
	const char *name;
} every[] = {
	NAMED(VHOST_GET_FEATURES), NAMED(VHOST_SET_FEATURES), NAMED(VHOST_GET_BACKEND_FEATURES),
	NAMED(VHOST_SET_BACKEND_FEATURES), NAMED(VHOST_SET_MEM_TABLE), NAMED(VHOST_SET_LOG_BASE),
	NAMED(VHOST_SET_LOG_FD), NAMED(VHOST_SET_VRING_NUM), NAMED(VHOST_SET_VRING_ADDR),
	NAMED(VHOST_SET_VRING_BASE), NAMED(VHOST_GET_VRING_BASE), NAMED(VHOST_SET_VRING_KICK),
	NAMED(VHOST_SET_VRING_CALL), NAMED(VHOST_SET_VRING_ERR), NAMED(VHOST_SET_VRING_ENDIAN),
	NAMED(VHOST_GET_VRING_ENDIAN), NAMED(VHOST_SET_VRING_BUSYLOOP_TIMEOUT),
	NAMED(VHOST_GET_VRING_BUSYLOOP_TIMEOUT), NAMED(VHOST_NET_SET_BACKEND),
	NAMED(VHOST_SCSI_GET_ABI_VERSION), NAMED(VHOST_VSOCK_SET_RUNNING),
	NAMED(VHOST_VDPA_GET_DEVICE_ID), NAMED(VHOST_UNKNOWN),
};

/* Every ioctl with each kind of argument memory. */
static void each_memory(int fd, const char *who)
{
	const struct { const char *name; void *at; } places[] = {
		{ "zeros", at.good }, { "NULL", NULL }, { "unmapped", at.gone },
		{ "a kernel address", (void *)KERNEL_ADDR }, { "the end of a page", at.end },
		{ "read-only zeros", at.read_only },
	};
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(every); i++)
		for (j = 0; j < ARRAY_SIZE(places); j++) {
			memset(at.good, 0, PAGE);
			memset(at.end, 0, 4);
			say(node_call(fd, every[i].cmd, places[j].at), "%s, %s, %s", who,
			    every[i].name, places[j].name);
		}
}

static void owner(void)
{
	int fd = node_open(node_path), status;
	pid_t child;

	each_memory(fd, "no owner");
	say(node_call(fd, VHOST_RESET_OWNER, NULL), "no owner, VHOST_RESET_OWNER");
	say(node_owner(fd), "VHOST_SET_OWNER");
	say(node_owner(fd), "VHOST_SET_OWNER, again");
	say(node_backend(fd, 0, -1), "no back end, nor a memory table");
	fflush(stdout);
	child = fork();
	if (!child) {
		each_memory(fd, "not the owner");
		say(node_owner(fd), "not the owner, VHOST_SET_OWNER");
		say(node_call(fd, VHOST_RESET_OWNER, NULL), "not the owner, VHOST_RESET_OWNER");
		_exit(0);
	}
	MUST(child > 0 && waitpid(child, &status, 0) == child && !status, "child");
	each_memory(fd, "owner");
	say(node_call(fd, VHOST_RESET_OWNER, NULL), "VHOST_RESET_OWNER");
	say(node_call(fd, VHOST_RESET_OWNER, NULL), "VHOST_RESET_OWNER, again");
	say(dev_memory(fd), "memory table after VHOST_RESET_OWNER");
	say(node_owner(fd), "VHOST_SET_OWNER after VHOST_RESET_OWNER");
	for (unsigned int q = 0; q < 3; q++)
		say(node_backend(fd, q, -1), "no back end after VHOST_RESET_OWNER, queue %u", q);
	say(dev_memory(fd), "memory table after another VHOST_SET_OWNER");
	close(fd);
}

void say_poisoned(int fd, unsigned long cmd, size_t size, const char *name)
{
	unsigned int i, same = 0;

	memset(at.good, 0xaa, PAGE);
	memset(at.good, 0, 4);
	say(node_call(fd, cmd, at.good), "%s into poison", name);
	for (i = size; i < PAGE; i++)
		same += at.good[i] == 0xaa;
	say(PAGE - size - same, "%s: bytes written behind its end", name);
	for (i = 0, same = 0; i < size; i++)
		same += at.good[i] == 0xaa;
	say(same, "%s: bytes left as they were", name);
}

static void features(void)
{
	int fd = dev_owned();
	uint64_t offered = 0, backend = 0;
	unsigned int bit;

	say(node_call(fd, VHOST_GET_FEATURES, &offered), "VHOST_GET_FEATURES");
	for (bit = 0; bit < 64; bit++)
		say(offered >> bit & 1, "features offered, bit %u", bit);
	say(node_call(fd, VHOST_GET_BACKEND_FEATURES, &backend), "VHOST_GET_BACKEND_FEATURES");
	for (bit = 0; bit < 64; bit++)
		say(backend >> bit & 1, "backend features offered, bit %u", bit);
	for (bit = 0; bit < 64; bit++)
		say(node_features(fd, 1ull << bit), "VHOST_SET_FEATURES, bit %u", bit);
	say(node_features(fd, ~0ull), "VHOST_SET_FEATURES, all bits");
	say(node_features(fd, 0), "VHOST_SET_FEATURES, none");
	say(node_features(fd, RING_USUAL), "VHOST_SET_FEATURES, the usual");
	for (bit = 0; bit < 4; bit++) {
		uint64_t f = 1ull << bit;

		say(node_call(fd, VHOST_SET_BACKEND_FEATURES, &f),
		    "VHOST_SET_BACKEND_FEATURES, bit %u", bit);
	}
	say_poisoned(fd, VHOST_GET_FEATURES, 8, "VHOST_GET_FEATURES");
	say_poisoned(fd, VHOST_GET_BACKEND_FEATURES, 8, "VHOST_GET_BACKEND_FEATURES");
	say_poisoned(fd, VHOST_GET_VRING_BASE, sizeof(struct vhost_vring_state),
		     "VHOST_GET_VRING_BASE");
	say_poisoned(fd, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, sizeof(struct vhost_vring_state),
		     "VHOST_GET_VRING_BUSYLOOP_TIMEOUT");
	close(fd);
}

static void table(int fd, const char *name, const struct node_region *r, unsigned int n)
{
	say(node_table(fd, r, n), "memory table: %s", name);
}

static void many_regions(int fd, unsigned int n)
{
	struct node_region r[80];
	unsigned int i;

	for (i = 0; i < n; i++)
		r[i] = (struct node_region){ i * PAGE, PAGE, (uintptr_t)at.good };
	say(node_table(fd, r, n), "memory table: %u regions", n);
}

/* Tables that are refused as soon as they are seen, whatever is running. */
static void memory(const char *state, int fd)
{
	const uint64_t u = (uintptr_t)at.good;
	const struct { const char *name; struct node_region r[2]; unsigned int n; } t[] = {
		{ "no region", { }, 0 },
		{ "one region", { { 0x1000, PAGE, u } }, 1 },
		{ "one at 0", { { 0, PAGE, u } }, 1 },
		{ "of odd size and addresses", { { 0x1001, 77, u + 3 } }, 1 },
		{ "two that overlap", { { 0x1000, 2 * PAGE, u }, { 0x2000, PAGE, u } }, 2 },
		{ "twice the same", { { 0x1000, PAGE, u }, { 0x1000, PAGE, u } }, 2 },
		{ "out of order", { { 0x9000, PAGE, u }, { 0x1000, PAGE, u } }, 2 },
		{ "size 0", { { 0x1000, 0, u } }, 1 },
		{ "size 0 at 0", { { 0, 0, u } }, 1 },
		{ "the second of size 0", { { 0x1000, PAGE, u }, { 0x9000, 0, u } }, 2 },
		{ "ends at 2^64", { { 0ull - PAGE, PAGE, u } }, 1 },
		{ "wraps at 2^64", { { 0ull - PAGE, 2 * PAGE, u } }, 1 },
		{ "size 2^64 - 1", { { 0x1000, ~0ull, u } }, 1 },
		{ "unmapped user memory", { { 0x1000, PAGE, 0x10000 } }, 1 },
		{ "user address 0", { { 0x1000, PAGE, 0 } }, 1 },
		{ "kernel memory", { { 0x1000, PAGE, KERNEL_ADDR } }, 1 },
		{ "ends in kernel memory", { { 0x1000, 1ull << 62, u } }, 1 },
		{ "user address wraps", { { 0x1000, 2 * PAGE, 0ull - PAGE } }, 1 },
		{ "the last user page and more", { { 0x1000, 2 * PAGE, (1ull << 47) - PAGE } }, 1 },
		{ "the second in kernel memory",
		  { { 0x1000, PAGE, u }, { 0x9000, PAGE, KERNEL_ADDR } }, 2 },
	};
	unsigned int i;
	char name[128];

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		snprintf(name, sizeof(name), "%s, %s", state, t[i].name);
		table(fd, name, t[i].r, t[i].n);
	}
}

static void memory_header(int fd)
{
	struct vhost_memory *m = (void *)at.good;

	memset(at.good, 0, PAGE);
	m->padding = 1;
	say(node_call(fd, VHOST_SET_MEM_TABLE, m), "memory table: padding set");
	m->padding = 0;
	m->nregions = ~0u;
	say(node_call(fd, VHOST_SET_MEM_TABLE, m), "memory table: 2^32 - 1 regions");
	m->nregions = 65;
	m->padding = 1;
	say(node_call(fd, VHOST_SET_MEM_TABLE, m), "memory table: 65 regions, padding set");
	m = (void *)(at.gone - sizeof(*m));
	memset(m, 0, sizeof(*m));
	say(node_call(fd, VHOST_SET_MEM_TABLE, m), "memory table: none, before a hole");
	m->nregions = 1;
	say(node_call(fd, VHOST_SET_MEM_TABLE, m), "memory table: the region in a hole");
}

static void log_calls(void)
{
	static const uint64_t base[] = { 0, 0x1000, 1, KERNEL_ADDR, ~0ull };
	int fd = dev_owned(), event = event_new(), file = open("/proc/self/exe", O_RDONLY), n;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(base); i++)
		say(node_call(fd, VHOST_SET_LOG_BASE, (void *)&base[i]),
		    "VHOST_SET_LOG_BASE, 0x%llx (CVE-2020-10722)", (unsigned long long)base[i]);
	n = event;
	say(node_call(fd, VHOST_SET_LOG_FD, &n), "VHOST_SET_LOG_FD, an eventfd");
	say(node_call(fd, VHOST_SET_LOG_FD, &n), "VHOST_SET_LOG_FD, the same again");
	n = -1;
	say(node_call(fd, VHOST_SET_LOG_FD, &n), "VHOST_SET_LOG_FD, -1");
	n = -2;
	say(node_call(fd, VHOST_SET_LOG_FD, &n), "VHOST_SET_LOG_FD, -2");
	n = 999;
	say(node_call(fd, VHOST_SET_LOG_FD, &n), "VHOST_SET_LOG_FD, a closed descriptor");
	n = file;
	say(node_call(fd, VHOST_SET_LOG_FD, &n), "VHOST_SET_LOG_FD, a file");
	close(event);
	close(file);
	close(fd);
}

/* The device IOTLB speaks through these; without it they have nothing to say. */
static void file_calls(void)
{
	int fd = open(node_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char message[128] = { 0 };

	MUST(fd >= 0, "%s", node_path);
	say(lseek(fd, 10, SEEK_SET) < 0 ? -errno : 0, "lseek");
	say(read(fd, message, sizeof(message)) < 0 ? -errno : 0, "read, no owner");
	say(write(fd, message, 3) < 0 ? -errno : 0, "write of 3 bytes, no owner");
	close(fd);
}

void ioctl_dev(void)
{
	int fd;

	owner();
	features();
	fd = dev_owned();
	memory("stopped", fd);
	many_regions(fd, 64);
	many_regions(fd, 65);
	memory_header(fd);
	close(fd);
	log_calls();
	file_calls();
}

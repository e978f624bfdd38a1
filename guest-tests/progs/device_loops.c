// SPDX-License-Identifier: GPL-2.0-only
/* device: the same call many thousand times leaves nothing behind. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "device.h"
#include "mem.h"
#include "node.h"
#include "proc.h"
#include "tap.h"
#include "test.h"
#include "vq.h"

/* A new eventfd each time, of which only the device keeps the last. */
static void fd_loops(unsigned int times)
{
	static const struct { unsigned long cmd; const char *name; } calls[] = {
		{ VHOST_SET_VRING_KICK, "SET_VRING_KICK" },
		{ VHOST_SET_VRING_CALL, "SET_VRING_CALL" },
		{ VHOST_SET_VRING_ERR, "SET_VRING_ERR" },
		{ VHOST_SET_LOG_FD, "SET_LOG_FD" },
	};
	unsigned int c, i;

	for (c = 0; c < ARRAY_SIZE(calls); c++) {
		int fd = opened_with_memory(), e, ret = 0;
		long files = files_of_system(), slab = meminfo_kb("SUnreclaim");

		t_begin("%s %u times: files and slab flat "
			"(CVE-2015-6252, CVE-2019-14818, CVE-2020-10726)", calls[c].name, times);
		for (i = 0; i < times && !ret; i++) {
			e = event_new();
			ret = calls[c].cmd == VHOST_SET_LOG_FD ?
			      node_call(fd, calls[c].cmd, &e) :
			      node_file(fd, calls[c].cmd, i & 1, e);
			close(e);
		}
		CHECK_EQ(ret, 0);
		sleep_ms(200);
		if (!CHECK(files_of_system() - files < slack_files()) ||
		    !CHECK(meminfo_kb("SUnreclaim") - slab < slack_kb()))
			t_diag("%ld files, %ld KiB of slab", files_of_system() - files,
			       meminfo_kb("SUnreclaim") - slab);
		close(fd);
		t_end();
	}
}

static void table_loop(unsigned int times)
{
	struct node_region r[64];
	int fd = opened_with_memory(), ret = 0;
	long slab;
	unsigned int i;

	t_begin("SET_MEM_TABLE of 64 regions %u times: slab flat (CVE-2019-14818)", times);
	for (i = 0; i < 64; i++)
		r[i] = (struct node_region){ i << 20, PAGE, PAGE };
	slab = meminfo_kb("SUnreclaim");
	for (i = 0; i < times && !ret; i++)
		ret = node_table(fd, r, 64);
	CHECK_EQ(ret, 0);
	/* A refused table is let go too. */
	r[63].size = 0;
	for (i = 0; i < times && ret != 1; i++)
		ret = node_table(fd, r, 64) == -EFAULT ? 0 : 1;
	CHECK_EQ(ret, 0);
	CHECK(meminfo_kb("SUnreclaim") - slab < slack_kb());
	close(fd);
	t_end();
}

/* The rings of a loop, each of them in two places. */
static uint8_t ring[2][4 * PAGE] __attribute__((aligned(4096)));
static uint8_t dirty[1 << 16];

static int place(int fd, unsigned int at)
{
	struct vhost_vring_addr a = {
		.index = Q_TX,
		.flags = 1 << VHOST_VRING_F_LOG,
		.desc_user_addr = (uintptr_t)ring[at],
		.avail_user_addr = (uintptr_t)ring[at] + PAGE,
		.used_user_addr = (uintptr_t)ring[at] + 2 * PAGE,
		.log_guest_addr = 0x100000,
	};

	return node_call(fd, VHOST_SET_VRING_ADDR, &a);
}

static int log_base(int fd, uint64_t base)
{
	return node_call(fd, VHOST_SET_LOG_BASE, &base);
}

/* A queue that runs and logs. */
static void run(int fd)
{
	int tap = tap_bare(0x5002 /* tap, no packet info, virtio header */);

	memset(ring, 0, sizeof(ring));
	CHECK_EQ(log_base(fd, (uintptr_t)dirty), 0);
	CHECK_EQ(node_features(fd, F_V1 | F_MRG | F_LOG), 0);
	CHECK_EQ(node_num(fd, Q_TX, 16), 0);
	CHECK_EQ(place(fd, 0), 0);
	CHECK_EQ(node_backend(fd, Q_TX, tap), 0);
	close(tap);
}

static int set_addr(int fd, unsigned int i)
{
	return place(fd, i & 1);
}

static int set_log_base(int fd, unsigned int i)
{
	/* A refused one, too. */
	return i & 1 ? log_base(fd, (uintptr_t)dirty + (i & 2)) :
		       log_base(fd, ~0ull) == -EFAULT ? 0 : 1;
}

/* Each time a new table, which holds a translation when the next one comes. */
static int set_iotlb(int fd, unsigned int i)
{
	struct vhost_msg m = {
		.type = VHOST_IOTLB_MSG,
		.iotlb = { i * PAGE, PAGE, (uintptr_t)ring, VHOST_ACCESS_RW, VHOST_IOTLB_UPDATE },
	};
	int ret = node_features(fd, F_V1 | F_MRG | (i % 8 ? F_PLATFORM : 0));

	return ret ?: i % 8 && write(fd, &m, sizeof(m)) != sizeof(m) ? -errno : 0;
}

static int worker(int fd, unsigned int i)
{
	struct vhost_worker_state s = { 0 };

	return node_call(fd, VHOST_NEW_WORKER, &s) ?: node_call(fd, VHOST_FREE_WORKER, &s);
}

/* @share: a thread takes ten milliseconds, and is large: fewer of them show. */
static const struct loop {
	const char *name;
	void (*prepare)(int fd);
	int (*once)(int fd, unsigned int i);
	unsigned int share;
} others[] = {
	{ "SET_VRING_ADDR of a running ring", run, set_addr, 1 },
	{ "SET_FEATURES with an IOTLB", NULL, set_iotlb, 1 },
	{ "SET_LOG_BASE under a running ring", run, set_log_base, 1 },
	{ "NEW_WORKER and FREE_WORKER", NULL, worker, 50 },
};

/* Slab that comes and goes by itself; a call that keeps 64 bytes makes twice of it in 20,000. */
#define NOISE_KB 640
#define ROUNDS	3

/* Calls, and how much more slab, and memory of all kinds, the kernel has after them. */
static int count(const struct loop *l, int fd, unsigned int times, long *slab, long *all)
{
	uint64_t start = now_ns();
	unsigned int i;
	int ret = 0;

	*slab = meminfo_kb("SUnreclaim");
	*all = kernel_kb();
	for (i = 0; i < times && !ret; i++)
		ret = l->once(fd, i);
	start = now_ns() - start;
	sleep_ms(200);
	*slab = meminfo_kb("SUnreclaim") - *slab;
	*all = kernel_kb() - *all;
	t_diag("%ld KiB more of slab, %ld KiB of all; %llu us each", *slab, *all,
	       (unsigned long long)start / 1000 / times);
	return ret;
}

static void other_loop(const struct loop *l, unsigned int times)
{
	long most = getenv("VD_SANITIZER") ? slack_kb() : NOISE_KB, slab, all;
	int fd = opened_with_memory(), ret;
	unsigned int i;

	t_begin("%s %u times: slab, stacks and tables flat (CVE-2019-14818)", l->name, times);
	if (l->prepare)
		l->prepare(fd);
	/* Whatever is made once and kept, first. */
	ret = count(l, fd, 100, &slab, &all);
	/* What is left behind each time is so in each round; others' memory comes and goes. */
	for (i = 0; i < ROUNDS && !ret; i++) {
		ret = count(l, fd, times, &slab, &all);
		if (slab < most && all < slack_kb())
			break;
	}
	/* Stock's vhost-net has no ioctls of workers. */
	if (ret == -ENOTTY && !strcmp(path, "/dev/vhost-net")) {
		t_skip("this node doesn't know them");
	} else {
		CHECK_EQ(ret, 0);
		CHECK(i < ROUNDS);
	}
	close(fd);
	t_end();
}

void loops(unsigned int times)
{
	unsigned int i;

	fd_loops(times);
	table_loop(times);
	for (i = 0; i < ARRAY_SIZE(others); i++)
		other_loop(&others[i], times / others[i].share);
}

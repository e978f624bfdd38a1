// SPDX-License-Identifier: GPL-2.0-only
/*
 * device: the life of our node.
 *
 *	device check NODE      owner, worker, statistics, cost: as KTAP
 *	device leaks NODE      the same calls many thousand times: as KTAP
 *	device loops NODE      the last part, a fifth of it, which stock's node passes: as KTAP
 *	device cycles NODE     the first part of that, $VD_CYCLES times: as KTAP
 *	device children NODE   $VD_CHILDREN processes that own one, for a moment: as KTAP
 *	device regions NODE    how many a memory table may have, which stock's node passes: as KTAP
 *	device open NODE       hold it open until killed
 *	device own NODE        hold it open and owned until killed
 *	device traffic NODE    send frames until killed
 *
 * The last three print "ready" when they are.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_direct.h"
#include "device.h"
#include "rig.h"
#include "test.h"

#define MANY		300
#define IDLE_LIMIT_KB	256
#define CHARGED_KB	100	/* most of it: the worker's arrays */
#define CGROUPS		"/sys/fs/cgroup"
#define GROUP		CGROUPS "/vd-charged"
#define CYCLES		2000	/* or $VD_CYCLES */
#define CHILDREN	8
#define WAVE		50
#define OWN_CYCLES	200
#define LOOPS		20000
/* What may come and go by itself over a few thousand calls. */
#define STATS_MAX	64

const char *path;

int opened_with_memory(void)
{
	static uint8_t memory[1 << 16] __attribute__((aligned(4096)));
	struct node_region r = { 0x100000, sizeof(memory), (uintptr_t)memory };
	int fd = node_open(path);

	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(node_table(fd, &r, 1), 0);
	return fd;
}

static void worker(void)
{
	pid_t me = getpid();
	int fd;

	t_begin("worker vhost-<pid> is there while the device has an owner");
	fd = node_open(path);
	CHECK(worker_gone(me));
	CHECK_EQ(node_owner(fd), 0);
	CHECK(worker_find(me) > 0);
	CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	CHECK(worker_gone(me));
	CHECK_EQ(node_owner(fd), 0);
	CHECK(worker_find(me) > 0);
	close(fd);
	CHECK(worker_gone(me));
	t_end();
}

/* Exit status of a child: 0 if every call on the inherited device was refused. */
static int calls_as_stranger(int fd, int tap)
{
	uint64_t room[512] = { 0 };
	struct vd_stats *stats = (void *)room;

	stats->count = 1;
	if (node_owner(fd) != -EBUSY)
		return 1;
	if (node_call(fd, VHOST_RESET_OWNER, NULL) != -EPERM ||
	    node_call(fd, VHOST_SET_MEM_TABLE, room) != -EPERM ||
	    node_backend(fd, Q_TX, tap) != -EPERM)
		return 2;
	if (node_num(fd, 0, 16) != -EPERM || node_get_base(fd, 0) != -EPERM ||
	    node_file(fd, VHOST_SET_VRING_KICK, 0, -1) != -EPERM)
		return 3;
	return node_call(fd, VD_GET_STATS, stats) != -EPERM ? 4 : 0;
}

static void stranger(void)
{
	struct rig r;
	const struct rig_opts o = { path, RIG_FEATURES, 0, true };
	int status = -1;
	pid_t child;

	t_begin("a child that inherits the device gets EPERM, and may close it");
	rig_open(&r, &o);
	rig_tx_good(&r, 0);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(calls_as_stranger(r.node, r.tap.fd));
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_EQ(WEXITSTATUS(status), 0);
	rig_tx_good(&r, 0);
	rig_close(&r);
	t_end();
}

static void stats_names(const struct vd_stats *s)
{
	unsigned int i, j;

	for (i = 0; i < s->count; i++) {
		const char *name = s->entry[i].name;
		size_t len = strnlen(name, VD_STAT_NAME);

		CHECK(len > 0 && len < VD_STAT_NAME);
		/* CVE-2018-1118, CVE-2024-0340: no byte of somebody else's. */
		for (j = len; j < VD_STAT_NAME; j++)
			CHECK_EQ(name[j], 0);
		for (j = 0; j < i; j++)
			CHECK(strcmp(name, s->entry[j].name));
	}
}

static void stats(void)
{
	static uint64_t room[(sizeof(struct vd_stats) + STATS_MAX * sizeof(struct vd_stat)) / 8 + 8];
	struct vd_stats *s = (void *)room;
	uint8_t *behind, *end = (uint8_t *)room + sizeof(room);
	unsigned int all;
	struct rig r;
	const struct rig_opts o = { path, RIG_FEATURES, 0, true };

	t_begin("VD_GET_STATS: names, values, no byte too many (CVE-2018-1118, CVE-2024-0340)");
	rig_open(&r, &o);
	rig_tx_good(&r, 0);
	rig_tx_good(&r, 1);
	memset(room, 0xaa, sizeof(room));
	s->index = Q_TX;
	s->count = STATS_MAX;
	CHECK_EQ(node_call(r.node, VD_GET_STATS, s), 0);
	all = s->count;
	CHECK(all > 8 && all < STATS_MAX);
	stats_names(s);
	for (behind = (uint8_t *)&s->entry[all]; behind < end; behind++)
		CHECK_EQ(*behind, 0xaa);
	CHECK_EQ(node_stat(r.node, Q_TX, "packets"), 2);
	CHECK_EQ(node_stat(r.node, Q_TX, "bytes"), 2 * RIG_FRAME);
	CHECK_EQ(node_stat(r.node, Q_RX, "packets"), 0);
	CHECK(node_stat(r.node, Q_TX, "kicks") >= 1);
	CHECK_EQ(node_stat(r.node, Q_TX, "malformed"), 0);
	memset(room, 0xaa, sizeof(room));
	s->index = Q_TX;
	s->count = 1;
	CHECK_EQ(node_call(r.node, VD_GET_STATS, s), 0);
	CHECK_EQ(s->count, all);
	CHECK_EQ(*(uint8_t *)&s->entry[1], 0xaa);
	s->count = 0;
	CHECK_EQ(node_call(r.node, VD_GET_STATS, s), 0);
	CHECK_EQ(s->count, all);
	s->index = 2;
	CHECK_EQ(node_call(r.node, VD_GET_STATS, s), -ENOBUFS);
	CHECK_EQ(node_call(r.node, VD_GET_STATS, NULL), -EFAULT);
	rig_close(&r);
	t_end();
}

static void idle_cost(void)
{
	struct rlimit lim = { 4096, 4096 };
	long before, after, kernel_before, kernel_after;
	int fd[MANY], i;

	t_begin("an idle device, owned, with a memory table, costs less than %u KiB",
		IDLE_LIMIT_KB);
	setrlimit(RLIMIT_NOFILE, &lim);
	/* The first ones pay for caches that stay. */
	for (i = 0; i < 20; i++)
		fd[i] = opened_with_memory();
	for (i = 0; i < 20; i++)
		close(fd[i]);
	sleep_ms(300);
	before = free_kb();
	kernel_before = kernel_kb();
	for (i = 0; i < MANY; i++)
		fd[i] = opened_with_memory();
	after = free_kb();
	kernel_after = kernel_kb();
	t_diag("per device: %ld KiB of free memory; %ld KiB of slab, vmalloc, stacks and tables",
	       (before - after) / MANY, (kernel_after - kernel_before) / MANY);
	CHECK((before - after) / MANY < IDLE_LIMIT_KB);
	CHECK((kernel_after - kernel_before) / MANY < IDLE_LIMIT_KB);
	/* Else nothing was measured. */
	CHECK(before - after > 4 * MANY);
	for (i = 0; i < MANY; i++)
		close(fd[i]);
	sleep_ms(500);
	after = free_kb();
	if (!CHECK(before - after < slack_kb()))
		t_diag("%ld KiB not given back", before - after);
	t_end();
}

static bool tells(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) > 0;

	close(fd);
	return ok;
}

/* The kernel's memory that is charged to the group, of all kinds but what processes have. */
static long charged_kb(void)
{
	FILE *f = fopen(GROUP "/memory.stat", "r");
	char name[32];
	long n = -1;

	while (f && fscanf(f, "%31s %ld", name, &n) == 2 && strcmp(name, "kernel"))
		;
	MUST(f && !strcmp(name, "kernel"), GROUP "/memory.stat");
	fclose(f);
	return n / 1024;
}

static void charged(void)
{
	long before, after;
	int fd[MANY], i;

	t_begin("of what an idle device costs %u KiB and more are charged to its opener's memory cgroup",
		CHARGED_KB);
	if (!tells(CGROUPS "/cgroup.subtree_control", "+memory") || mkdir(GROUP, 0755)) {
		t_skip("this kernel has no memory cgroups");
		t_end();
		return;
	}
	MUST(tells(GROUP "/cgroup.procs", "0"), GROUP);
	before = charged_kb();
	for (i = 0; i < MANY; i++)
		fd[i] = opened_with_memory();
	after = charged_kb();
	t_diag("%ld KiB a device", (after - before) / MANY);
	CHECK((after - before) / MANY >= CHARGED_KB);
	for (i = 0; i < MANY; i++)
		close(fd[i]);
	MUST(tells(CGROUPS "/cgroup.procs", "0"), CGROUPS);
	CHECK(!rmdir(GROUP));
	t_end();
}

static void regions(void)
{
	const char *param = strcmp(path, "/dev/vhost-net") ?
			    "/sys/module/vhost_direct/parameters/max_mem_regions" :
			    "/sys/module/vhost/parameters/max_mem_regions";
	static uint8_t memory[PAGE] __attribute__((aligned(4096)));
	struct node_region r[1024];
	FILE *f = fopen(param, "r");
	unsigned int most, i;
	int fd = node_open(path);

	MUST(f && fscanf(f, "%u", &most) == 1 && most < ARRAY_SIZE(r), "%s", param);
	fclose(f);
	t_begin("a memory table of %u regions is taken, one of %u is not", most, most + 1);
	for (i = 0; i <= most; i++)
		r[i] = (struct node_region){ 2 * PAGE * i, PAGE, (uintptr_t)memory };
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(node_table(fd, r, most), 0);
	CHECK_EQ(node_table(fd, r, most + 1), -E2BIG);
	close(fd);
	t_end();
}

/* A frame of zeros, for nobody. */
static void offer(uint8_t *ring)
{
	struct vring_avail *avail = (void *)(ring + PAGE);
	struct vring_desc *desc = (void *)ring;

	desc->addr = 0x100000;
	desc->len = 12 + 60;
	avail->idx = 1;
}

/* Until the worker has served it: the rings are mapped by then. */
static void served(const uint8_t *ring)
{
	const struct vring_used *used = (const void *)(ring + 2 * PAGE);
	unsigned int looks;

	for (looks = 0; !__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) && looks < 50000; looks++)
		usleep(50);
	CHECK_EQ(used->idx, 1);
}

/* With or without something to do: then a close may come before a look at the rings. */
static int set_up(int tap, bool busy)
{
	static uint8_t ring[2][4 * PAGE] __attribute__((aligned(4096)));
	int fd = opened_with_memory(), i, e[3];

	memset(ring, 0, sizeof(ring));
	if (busy)
		offer(ring[Q_TX]);
	CHECK_EQ(node_features(fd, RIG_FEATURES), 0);
	for (i = 0; i < 3; i++)
		e[i] = event_new();
	for (i = 0; i < 2; i++) {
		CHECK_EQ(node_num(fd, i, 16), 0);
		CHECK_EQ(node_addr(fd, i, (uintptr_t)ring[i], (uintptr_t)ring[i] + PAGE,
				   (uintptr_t)ring[i] + 2 * PAGE), 0);
		CHECK_EQ(node_file(fd, VHOST_SET_VRING_KICK, i, e[0]), 0);
		CHECK_EQ(node_file(fd, VHOST_SET_VRING_CALL, i, e[1]), 0);
		CHECK_EQ(node_file(fd, VHOST_SET_VRING_ERR, i, e[2]), 0);
		CHECK_EQ(node_backend(fd, i, tap), 0);
	}
	CHECK_EQ(node_call(fd, VHOST_SET_LOG_FD, &e[0]), 0);
	event_post(e[0]);
	if (busy)
		served(ring[Q_TX]);
	for (i = 0; i < 3; i++)
		close(e[i]);
	return fd;
}

static void one_cycle(int tap, unsigned int number)
{
	int fd = set_up(tap, number & 2);

	if (number & 1)
		CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	close(fd);
}

/* Many at a time: a close mostly waits for a grace period of RCU. */
static void cycles_of_children(int tap, unsigned int count)
{
	unsigned int i, j;
	int status;

	fflush(stdout);
	for (i = 0; i < CHILDREN; i++) {
		if (fork())
			continue;
		for (j = 0; j < count / CHILDREN; j++)
			one_cycle(tap, j);
		_exit(t_errors() > 0);
	}
	for (i = 0; i < CHILDREN; i++) {
		CHECK(wait(&status) > 0);
		CHECK_EQ(status, 0);
	}
}

static void cycles(void)
{
	const char *wanted = getenv("VD_CYCLES");
	const unsigned int count = wanted ? atoi(wanted) : CYCLES;
	long slab, fds, files, free_before, slab_after, free_after;
	uint64_t start;
	int tap = tap_bare(0x5002 /* tap, no packet info, virtio header */);
	unsigned int i;

	t_begin("open, set up and close %u times leaves nothing behind", count + OWN_CYCLES);
	/* Whatever is made once and kept, first. */
	cycles_of_children(tap, count < CYCLES ? count : CYCLES);
	for (i = 0; i < 10; i++)
		one_cycle(tap, i);
	sleep_ms(500);
	free_before = free_kb();
	slab = meminfo_kb("SUnreclaim");
	fds = fds_of_self();
	files = files_of_system();
	start = now_ns();
	for (i = 0; i < OWN_CYCLES; i++)
		one_cycle(tap, i);
	t_diag("%llu us each", (unsigned long long)(now_ns() - start) / 1000 / OWN_CYCLES);
	cycles_of_children(tap, count);
	sleep_ms(500);
	free_after = free_kb();
	slab_after = meminfo_kb("SUnreclaim");
	t_diag("%ld KiB of slab, %ld KiB of free memory, %ld files gone",
	       slab_after - slab, free_before - free_after, files_of_system() - files);
	CHECK(slab_after - slab < slack_kb());
	CHECK(free_before - free_after < slack_kb());
	CHECK_EQ(fds_of_self(), fds);
	CHECK(files_of_system() - files < slack_files());
	close(tap);
	t_end();
}

/* What is made once a process shows by their number only. */
static void children(void)
{
	const char *wanted = getenv("VD_CHILDREN");
	const unsigned int count = wanted ? atoi(wanted) : CYCLES;
	int tap = tap_bare(0x5002 /* tap, no packet info, virtio header */);
	unsigned int i, j;
	int status;

	t_begin("%u processes, %u at a time, own a device and end", count, WAVE);
	fflush(stdout);
	for (i = 0; i < count; i += WAVE) {
		for (j = 0; j < WAVE; j++) {
			pid_t pid = fork();

			MUST(pid >= 0, "fork");
			if (pid)
				continue;
			/* Each other leaves it to its own end, which comes after its memory's. */
			if (j & 1)
				set_up(tap, j & 1);
			else
				one_cycle(tap, 0);
			_exit(t_errors() > 0);
		}
		for (j = 0; j < WAVE; j++) {
			CHECK(wait(&status) > 0);
			CHECK_EQ(status, 0);
		}
	}
	close(tap);
	t_end();
}

static void traffic(void)
{
	const struct rig_opts o = { path, RIG_FEATURES, 0, true };
	struct rig r;
	struct ring *q = &r.q[Q_TX];

	rig_open(&r, &o);
	desc_set(q->desc, 0, mem_gpa(&r.mem, r.buf), rig_frame(&r, r.buf, RIG_FRAME), 0, 0);
	printf("ready\n");
	for (;;) {
		ring_publish(q, ring_used_idx(q) + q->num / 2);
		ring_kick(q);
	}
}

static void hold(bool own)
{
	int fd = node_open(path);

	MUST(!own || !node_owner(fd), "VHOST_SET_OWNER");
	printf("ready\n");
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: device check|leaks|loops|cycles|children|regions|"
			"open|own|traffic NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	path = argv[2];
	if (!strcmp(argv[1], "traffic"))
		traffic();
	if (!strcmp(argv[1], "open") || !strcmp(argv[1], "own"))
		hold(!strcmp(argv[1], "own"));
	if (!strcmp(argv[1], "leaks") || !strcmp(argv[1], "cycles"))
		cycles();
	if (!strcmp(argv[1], "leaks")) {
		loops(LOOPS);
	} else if (!strcmp(argv[1], "loops")) {
		loops(LOOPS / 5);
	} else if (!strcmp(argv[1], "children")) {
		children();
	} else if (!strcmp(argv[1], "regions")) {
		regions();
	} else if (strcmp(argv[1], "cycles")) {
		worker();
		stranger();
		stats();
		idle_cost();
		charged();
	}
	return t_done();
}

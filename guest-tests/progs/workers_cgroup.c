// SPDX-License-Identifier: GPL-2.0-only
/*
 * workers: the time of a worker is counted in its owner's cgroup.
 *
 * The cgroup's time is read around that of the worker and that of the owner:
 * so it has grown by no less than both, to the nanosecond, however slow the
 * machine is; without the worker's it would lack all that the worker used.
 * The same for a worker that VHOST_NEW_WORKER made.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "rig.h"
#include "test.h"
#include "workers.h"

#define MOUNT	"/tmp/vd-cgroup"
#define GROUP	MOUNT "/owner"
#define OTHER	MOUNT "/other"
#define USED_NS	(50 * NS_PER_MS)
#define ROUNDS	2000

static uint64_t group_ns(void)
{
	unsigned long long us = 0;
	FILE *f = fopen(GROUP "/cpu.stat", "r");

	MUST(f && fscanf(f, "usage_usec %llu", &us) == 1, GROUP "/cpu.stat");
	fclose(f);
	return us * 1000;
}

static uint64_t own_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void join(const char *procs)
{
	int fd = open(procs, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0 && write(fd, "0", 1) == 1, procs);
	close(fd);
}

/* The worker is in the group by name, too: a kernel thread or one of ours. */
static bool listed(pid_t worker, const char *threads)
{
	FILE *f = fopen(threads, "r");
	bool found = false;
	int pid;

	MUST(f, threads);
	while (fscanf(f, "%d", &pid) == 1)
		found |= pid == worker;
	fclose(f);
	return found;
}

static void measure(struct rig *r)
{
	struct vhost_vring_state busy = { Q_TX, 20000 };
	uint64_t group, worker, own, used = 0;
	unsigned int i;

	/* A worker that polls uses the processor while the owner sleeps. */
	CHECK_EQ(node_call(r->node, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &busy), 0);
	CHECK(listed(r->worker, GROUP "/cgroup.threads"));
	group = group_ns();
	worker = worker_cpu_ns(r->worker);
	own = own_ns();
	for (i = 0; i < ROUNDS && used < USED_NS && !t_errors(); i++) {
		rig_tx_good(r, i % 16);
		sleep_ms(5);
		used = worker_cpu_ns(r->worker) - worker;
	}
	own = own_ns() - own;
	worker = worker_cpu_ns(r->worker) - worker;
	group = group_ns() - group;
	CHECK(used >= USED_NS);
	/* Microseconds are cut off, at both ends. */
	CHECK(group + 2000 >= worker + own);
	t_diag("the cgroup used %" PRIu64 " us, its owner's thread %" PRIu64 ", the worker %" PRIu64,
	       group / 1000, own / 1000, worker / 1000);
}

/* Queues move to a worker that is made for them; the device's first one goes. */
static void another_worker(struct rig *r)
{
	int q, id = node_worker_new(r->node);
	pid_t first = r->worker;

	MUST(id > 0, "VHOST_NEW_WORKER");
	for (q = 0; q < 2; q++)
		CHECK_EQ(node_attach(r->node, q, id), 0);
	CHECK_EQ(node_worker_free(r->node, 0), 0);
	/* It may be listed a moment longer. */
	for (q = 0; q < 1000 && (r->worker == first || !r->worker); q++) {
		sleep_ms(2);
		r->worker = worker_find(getpid());
	}
	CHECK(r->worker && r->worker != first);
}

static int owner(unsigned int mode)
{
	struct rig_opts o = { path, RIG_FEATURES, 0, true };
	struct rig r;

	join(GROUP "/cgroup.procs");
	o.fd = mode == VHOST_FORK_OWNER_TASK ? forking() : node_open(path);
	rig_open(&r, &o);
	measure(&r);
	another_worker(&r);
	measure(&r);
	/* An owner that moves takes its own threads along; the kernel's stay, as stock's. */
	join(OTHER "/cgroup.procs");
	CHECK_EQ(listed(r.worker, OTHER "/cgroup.threads"), mode == VHOST_FORK_OWNER_TASK);
	CHECK_EQ(listed(r.worker, GROUP "/cgroup.threads"), mode != VHOST_FORK_OWNER_TASK);
	rig_tx_good(&r, 1);
	rig_close(&r);
	return t_errors() ? 1 : 0;
}

static void account(unsigned int mode)
{
	int status = -1;
	pid_t child;

	MUST(!mkdir(MOUNT, 0700) || errno == EEXIST, MOUNT);
	MUST(!mount("none", MOUNT, "cgroup2", 0, NULL), "cgroup2");
	MUST(!mkdir(GROUP, 0700) && !mkdir(OTHER, 0700), MOUNT);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(owner(mode));
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK(!rmdir(GROUP));
	CHECK(!rmdir(OTHER));
	MUST(!umount(MOUNT), MOUNT);
}

void cgroup_accounting(void)
{
	t_begin("a worker's time, the first's and another's, is its owner's cgroup's");
	account(VHOST_FORK_OWNER_KTHREAD);
	t_end();
	t_begin("so is that of a thread of the owner's own");
	if (can_fork())
		account(VHOST_FORK_OWNER_TASK);
	else
		t_skip("no threads of the owner on this kernel");
	t_end();
}

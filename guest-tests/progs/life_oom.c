// SPDX-License-Identifier: GPL-2.0-only
/*
 * The OOM killer takes the owner while another process holds the device: the
 * memory stays, as the worker uses it, and so the OOM reaper comes for it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "life.h"
#include "test.h"

/* The reaper waits for two seconds first. */
#define REAPER_MS	8000
#define STEP		(1ul << 20)
#define ENOUGH		(1ul << 34)

static void write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0 && write(fd, text, strlen(text)) > 0, "%s", path);
	close(fd);
}

/* Joins the group and grows until it is killed, with traffic all the while. */
static void grow(int sock, const char *group)
{
	static struct rig r;
	pthread_t t;
	size_t got;
	int fd[3];

	write_to(group, "0");
	life_open(&r, false);
	rig_tx_good(&r, 0);
	fd[0] = r.node;
	fd[1] = r.q[Q_TX].kick;
	fd[2] = r.q[Q_TX].err;
	life_send(sock, fd, 3);
	MUST(!pthread_create(&t, NULL, life_pump, &r), "thread");
	sleep_ms(200);
	for (got = 0; got < ENOUGH; got += STEP) {
		void *p = mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		MUST(p != MAP_FAILED, "mmap");
		memset(p, 1, STEP);
	}
	_exit(0);
}

/* Kicks until the device says that its memory is gone. */
static bool starve(int kick, int err)
{
	unsigned int ms;

	for (ms = 0; ms < REAPER_MS; ms += 10) {
		event_post(kick);
		if (event_wait(err, 10))
			return true;
	}
	return false;
}

static void oom(void)
{
	const char *group = getenv("VD_CGROUP_PROCS");
	int s[2], fd[3], status = 0;
	bool reaped = false;
	unsigned int ms;
	pid_t owner;

	t_begin("OOM kill of the owner under traffic, the device held by another: the reaper takes the rings");
	MUST(group, "VD_CGROUP_PROCS");
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), "socketpair");
	klog_mark();
	fflush(NULL);
	owner = fork();
	MUST(owner >= 0, "fork");
	if (!owner)
		grow(s[1], group);
	MUST(life_receive(s[0], fd, 3), "descriptors");
	CHECK(waitpid(owner, &status, 0) == owner);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == 9);
	CHECK(worker_find(owner) > 0);
	/* What it holds of the owner's memory is the reaper's all the same. */
	CHECK(starve(fd[1], fd[2]));
	/* It says so when it is done: the device may have noticed before. */
	for (ms = 0; ms < REAPER_MS && !reaped; ms += 20) {
		reaped = klog_has("oom_reaper: reaped process", "");
		if (!reaped)
			sleep_ms(20);
	}
	CHECK(reaped);
	CHECK(worker_find(owner) > 0);
	event_post(fd[1]);
	close(fd[0]);
	CHECK(worker_gone(owner));
	close(fd[1]);
	close(fd[2]);
	close(s[0]);
	close(s[1]);
	t_end();
}

const struct life_case life_oom_cases[] = {
	{ "oom", oom, "OOM kill and reaper; $VD_CGROUP_PROCS: cgroup.procs of a small group" },
	{ 0 }
};

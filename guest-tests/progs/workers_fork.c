// SPDX-License-Identifier: GPL-2.0-only
/* workers: threads of the owner's own (VHOST_SET_FORK_FROM_OWNER). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "rig.h"
#include "test.h"
#include "workers.h"

int fork_mode(int fd, unsigned int mode)
{
	uint8_t m = mode;

	return node_call(fd, VHOST_SET_FORK_FROM_OWNER, &m);
}

static int forks(int fd)
{
	uint8_t mode[2] = { 0xaa, 0xaa };
	int ret = node_call(fd, VHOST_GET_FORK_FROM_OWNER, mode);

	CHECK_EQ(mode[1], 0xaa);
	return ret ?: mode[0];
}

/* A kernel that can't lend a thread says so; from 6.12 on it must. */
bool can_fork(void)
{
	unsigned int major = 0, minor = 0;
	int fd = node_open(path), ret = fork_mode(fd, VHOST_FORK_OWNER_TASK);
	struct utsname u;

	MUST(!uname(&u) && sscanf(u.release, "%u.%u", &major, &minor) == 2, "uname");
	close(fd);
	CHECK_EQ(ret, major > 6 || (major == 6 && minor >= 12) ? 0 : -EINVAL);
	return !ret;
}

static void fork_answers(bool can)
{
	int fd = node_open(path);

	CHECK_EQ(forks(fd), VHOST_FORK_OWNER_KTHREAD);
	CHECK_EQ(fork_mode(fd, 2), -EINVAL);
	CHECK_EQ(fork_mode(fd, 0xff), -EINVAL);
	CHECK_EQ(node_call(fd, VHOST_SET_FORK_FROM_OWNER, NULL), -EFAULT);
	CHECK_EQ(node_call(fd, VHOST_GET_FORK_FROM_OWNER, NULL), -EFAULT);
	CHECK_EQ(fork_mode(fd, VHOST_FORK_OWNER_KTHREAD), 0);
	CHECK_EQ(fork_mode(fd, VHOST_FORK_OWNER_TASK), can ? 0 : -EINVAL);
	CHECK_EQ(forks(fd), can ? VHOST_FORK_OWNER_TASK : VHOST_FORK_OWNER_KTHREAD);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(threads_are(can ? 0 : 1), true);
	CHECK(worker_find(getpid()) > 0);
	CHECK_EQ(fork_mode(fd, VHOST_FORK_OWNER_KTHREAD), -EBUSY);
	CHECK_EQ(node_call(fd, VHOST_SET_FORK_FROM_OWNER, NULL), -EBUSY);
	CHECK_EQ(forks(fd), can ? VHOST_FORK_OWNER_TASK : VHOST_FORK_OWNER_KTHREAD);
	CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	CHECK_EQ(forks(fd), VHOST_FORK_OWNER_KTHREAD);
	CHECK(worker_gone(getpid()));
	close(fd);
}

/* The module was loaded with fork_from_owner_default. */
void fork_default(void)
{
	bool can;
	int fd;

	t_begin("nobody says whose threads workers are: the parameter does, again after a reset");
	can = can_fork();
	fd = node_open(path);
	CHECK_EQ(forks(fd), can ? VHOST_FORK_OWNER_TASK : VHOST_FORK_OWNER_KTHREAD);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(threads_are(can ? 0 : 1), true);
	CHECK(worker_find(getpid()) > 0);
	CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	CHECK_EQ(fork_mode(fd, VHOST_FORK_OWNER_KTHREAD), 0);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(threads_are(1), true);
	CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	CHECK_EQ(forks(fd), can ? VHOST_FORK_OWNER_TASK : VHOST_FORK_OWNER_KTHREAD);
	CHECK(worker_gone(getpid()));
	close(fd);
	t_end();
}

int forking(void)
{
	int fd = node_open(path);

	CHECK_EQ(fork_mode(fd, VHOST_FORK_OWNER_TASK), 0);
	return fd;
}

static void forked_serve(void)
{
	struct rig_opts o = { path, RIG_FEATURES, 0, true };
	unsigned int i;
	struct rig r;
	int id;

	o.fd = forking();
	rig_open(&r, &o);
	CHECK_EQ(threads_are(0), true);
	id = node_worker_new(r.node);
	CHECK_EQ(id, 1);
	for (i = 0; i < 60 && !t_errors(); i++) {
		CHECK_EQ(node_attach(r.node, i & 1, i & 2 ? id : 0), 0);
		rig_tx_good(&r, i % 16);
		rig_rx_good(&r, i % 16, r.buf + 0x4000 + i % 8 * 4096);
	}
	CHECK_EQ(node_attach(r.node, 0, 0), 0);
	CHECK_EQ(node_attach(r.node, 1, 0), 0);
	CHECK_EQ(node_worker_free(r.node, id), 0);
	rig_close(&r);
	CHECK(worker_gone(getpid()));
}

/* The owner is killed; whoever still has the device finds a dead worker, and may close it. */
static void forked_killed(void)
{
	struct rig_opts o = { path, RIG_FEATURES, 0, true };
	int ready[2], status = 0;
	pid_t child;
	char ok = 0;

	MUST(!pipe(ready), "pipe");
	o.fd = forking();
	fflush(stdout);
	child = fork();
	if (!child) {
		struct vhost_vring_state busy = { Q_TX, 1000000 };
		struct rig r;

		rig_open(&r, &o);
		node_call(r.node, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &busy);
		rig_tx_good(&r, 1);
		ok = !t_errors();
		if (write(ready[1], &ok, 1) == 1)
			pause();
		_exit(1);
	}
	CHECK(read(ready[0], &ok, 1) == 1 && ok);
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(!worker_find(child));
	CHECK_EQ(node_backend(o.fd, Q_TX, -1), -EPERM);
	close(o.fd);
	close(ready[0]);
	close(ready[1]);
}

static int owns(void *at)
{
	struct rig *r = at;
	struct rig_opts o = { path, RIG_FEATURES, 0, true };

	o.fd = forking();
	rig_open(r, &o);
	worker_rest(r->worker);
	/* All of its threads: it has one more, which serves the device. */
	_exit(0);
}

/*
 * The owner ends, and his threads with him. Another process in the same memory gives the queue a
 * worker of its own: the kick that went to the dead one counts.
 */
static void forked_replaced(void)
{
	struct rig r = { .node = -1 };
	struct ring *q = &r.q[Q_TX];
	int status = -1, id;
	pid_t owner;

	owner = sibling_start(owns, &r);
	CHECK(waitpid(owner, &status, 0) == owner);
	CHECK_EQ(status, 0);
	CHECK(worker_gone(owner));
	desc_set(q->desc, 2, mem_gpa(&r.mem, r.buf), rig_frame(&r, r.buf, RIG_FRAME), 0, 0);
	ring_offer(q, 2);
	ring_kick(q);
	rig_silent(&r);
	id = node_worker_new(r.node);
	CHECK(id > 0);
	CHECK_EQ(node_attach(r.node, Q_TX, id), 0);
	CHECK_EQ(ring_reap(q, NULL, WAIT_MS), 2);
	rig_arrives(&r, r.seq, RIG_FRAME);
	CHECK_EQ(node_attach(r.node, Q_RX, id), 0);
	rig_close(&r);
}

void fork_from_owner(void)
{
	bool can;

	t_begin("VHOST_SET_FORK_FROM_OWNER, VHOST_GET_FORK_FROM_OWNER");
	can = can_fork();
	fork_answers(can);
	t_end();
	t_begin("the owner's own threads serve it");
	if (can)
		forked_serve();
	else
		t_skip("no threads of the owner on this kernel");
	t_end();
	t_begin("a queue that gets another worker than a dead one hears the kick that was lost");
	if (can)
		forked_replaced();
	else
		t_skip("no threads of the owner on this kernel");
	t_end();
	t_begin("a device outlives the owner whose threads served it");
	if (can)
		forked_killed();
	else
		t_skip("no threads of the owner on this kernel");
	t_end();
}

// SPDX-License-Identifier: GPL-2.0-only
/* A device in other hands: inherited, passed on, left behind, handed over. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "life.h"
#include "test.h"

#define GOOD	'g'
#define BAD	'b'

/* 0 if every call of somebody who isn't the owner is refused. */
static int refused(int fd)
{
	uint64_t room[64] = { 0 };

	if (node_owner(fd) != -EBUSY)
		return 1;
	if (node_call(fd, VHOST_RESET_OWNER, NULL) != -EPERM ||
	    node_call(fd, VHOST_SET_MEM_TABLE, room) != -EPERM)
		return 2;
	if (node_num(fd, 0, 16) != -EPERM || node_get_base(fd, 0) != -EPERM ||
	    node_addr(fd, 0, 0, 0, 0) != -EPERM || node_backend(fd, Q_TX, -1) != -EPERM ||
	    node_file(fd, VHOST_SET_VRING_KICK, 0, -1) != -EPERM)
		return 3;
	return 0;
}

/* Tells the other side that all is well so far, or not. */
static void tell(int sock)
{
	char c = t_errors() ? BAD : GOOD;

	CHECK_EQ(write(sock, &c, 1), 1);
}

/* Waits for that; nothing comes from somebody who died. */
static void hear(int sock)
{
	char c = 0;

	CHECK_EQ(read(sock, &c, 1), 1);
	CHECK_EQ(c, GOOD);
}

/* A process that runs @fn with one end of a socket, the other is in @sock. */
static pid_t start(void (*fn)(int sock), int *sock)
{
	int s[2];
	pid_t pid;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), "socketpair");
	fflush(NULL);
	pid = fork();
	MUST(pid >= 0, "fork");
	if (!pid) {
		close(s[0]);
		fn(s[1]);
		_exit(t_errors() > 0);
	}
	close(s[1]);
	*sock = s[0];
	return pid;
}

static void end_well(pid_t pid)
{
	int status = -1;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

static void kill_it(pid_t pid)
{
	int status = -1;

	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void heir(int sock, struct rig *r, pid_t owner)
{
	CHECK_EQ(refused(r->node), 0);
	rig_tx_good(r, 1);
	tell(sock);
	/* The owner is killed meanwhile. */
	hear(sock);
	CHECK_EQ(refused(r->node), 0);
	CHECK(worker_find(owner) > 0);
	rig_tx_good(r, 2);
	rig_rx_good(r, 0, mem_take(&r->mem, CHUNK_B, 2048, 64));
	CHECK_EQ(close(r->node), 0);
	CHECK(worker_gone(owner));
	tell(sock);
	_exit(0);
}

static void ancestor(int sock)
{
	const pid_t owner = getpid();
	static struct rig r;
	pid_t pid;

	life_open(&r, true);
	rig_tx_good(&r, 0);
	fflush(NULL);
	pid = fork();
	MUST(pid >= 0, "fork");
	if (!pid)
		heir(sock, &r, owner);
	for (;;)
		pause();
}

/*
 * The child isn't the owner and never will be, but the device lives as long as
 * its file does: the worker serves the owner's memory, which the child shares.
 */
static void inherited(void)
{
	pid_t owner;
	int sock;

	t_begin("fork, then SIGKILL of the owner: the rings serve on for the child, calls don't");
	owner = start(ancestor, &sock);
	hear(sock);
	kill_it(owner);
	tell(sock);
	hear(sock);
	CHECK(worker_gone(owner));
	close(sock);
	t_end();
}

static void passing_owner(int sock)
{
	static struct rig r;
	int fd[3];

	life_open(&r, false);
	rig_tx_good(&r, 0);
	fd[0] = r.node;
	fd[1] = r.q[Q_TX].kick;
	fd[2] = r.q[Q_TX].err;
	life_send(sock, fd, 3);
	life_pump(&r);
}

/* A process that inherited nothing: what it has came over a socket. */
static void receiver(int sock)
{
	pid_t owner;
	int fd[3], i;

	MUST(read(sock, &owner, sizeof(owner)) == sizeof(owner), "owner");
	MUST(life_receive(sock, fd, 3), "descriptors");
	CHECK_EQ(refused(fd[0]), 0);
	tell(sock);
	hear(sock);
	/* The owner is gone, and its memory is there as long as the device. */
	CHECK_EQ(refused(fd[0]), 0);
	CHECK(worker_find(owner) > 0);
	for (i = 0; i < 50; i++) {
		event_post(fd[1]);
		sleep_ms(1);
	}
	CHECK_EQ(event_wait(fd[2], 0), 0);
	CHECK(worker_find(owner) > 0);
	CHECK_EQ(close(fd[0]), 0);
	CHECK(worker_gone(owner));
}

static void passed(void)
{
	int to_owner, to_other, fd[3];
	pid_t owner, other;

	t_begin("SCM_RIGHTS, then SIGKILL of the owner under traffic: the other closes last");
	other = start(receiver, &to_other);
	owner = start(passing_owner, &to_owner);
	MUST(life_receive(to_owner, fd, 3), "descriptors");
	MUST(write(to_other, &owner, sizeof(owner)) == sizeof(owner), "owner");
	life_send(to_other, fd, 3);
	close(fd[0]);
	hear(to_other);
	kill_it(owner);
	CHECK(worker_find(owner) > 0);
	tell(to_other);
	end_well(other);
	CHECK(worker_gone(owner));
	close(fd[1]);
	close(fd[2]);
	close(to_owner);
	close(to_other);
	t_end();
}

/* Becomes the owner of a device that somebody else opened and gave up. */
static void successor(int sock)
{
	struct rig_opts o = { .features = RIG_FEATURES, .batch = true };
	static struct rig r;

	MUST(life_receive(sock, &o.fd, 1), "descriptor");
	rig_open(&r, &o);
	rig_tx_good(&r, 0);
	rig_rx_good(&r, 0, mem_take(&r.mem, CHUNK_B, 2048, 64));
	tell(sock);
	hear(sock);
	rig_tx_good(&r, 1);
	rig_close(&r);
}

static void handed_over(void)
{
	static struct rig r;
	pid_t other;
	int sock;

	t_begin("VHOST_RESET_OWNER, SCM_RIGHTS: the receiver becomes the owner");
	other = start(successor, &sock);
	life_open(&r, false);
	rig_tx_good(&r, 0);
	CHECK_EQ(node_call(r.node, VHOST_RESET_OWNER, NULL), 0);
	CHECK(worker_gone(getpid()));
	life_send(sock, &r.node, 1);
	hear(sock);
	CHECK_EQ(refused(r.node), 0);
	CHECK(worker_find(other) > 0);
	tell(sock);
	end_well(other);
	/* It has ended, but not the device, which we hold. */
	CHECK_EQ(refused(r.node), 0);
	CHECK_EQ(close(r.node), 0);
	CHECK(worker_gone(other));
	close(sock);
	t_end();
}

const struct life_case life_pass_cases[] = {
	{ "inherited", inherited, "fork, the owner is killed" },
	{ "passed", passed, "SCM_RIGHTS, the owner is killed" },
	{ "handed-over", handed_over, "SCM_RIGHTS to the next owner" },
	{ 0 }
};

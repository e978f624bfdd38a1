// SPDX-License-Identifier: GPL-2.0-only
/*
 * life: who owns a device, and when that ends.
 *
 *	life CASE NODE		as KTAP
 *	life			the list of cases
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "life.h"
#include "test.h"

#define OWNERS		300
#define DEVICES		6
#define PROTECTIONS	100
#define CLOSES		30
#define MOVES		60

const char *life_node;

void life_open(struct rig *r, bool shared)
{
	const struct rig_opts o = {
		.node = life_node, .features = RIG_FEATURES, .batch = true, .shared = shared,
	};

	rig_open(r, &o);
}

void life_send(int sock, const int *fd, unsigned int n)
{
	char room[CMSG_SPACE(8 * sizeof(int))] = { 0 }, byte = 'x';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fd, n * sizeof(int));
	MUST(sendmsg(sock, &msg, 0) == 1, "SCM_RIGHTS");
}

bool life_receive(int sock, int *fd, unsigned int n)
{
	char room[CMSG_SPACE(8 * sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *c;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_len != CMSG_LEN(n * sizeof(int)))
		return false;
	memcpy(fd, CMSG_DATA(c), n * sizeof(int));
	return true;
}

void *life_pump(void *rig)
{
	struct rig *r = rig;
	struct ring *q = &r->q[Q_TX];

	desc_set(q->desc, 0, mem_gpa(&r->mem, r->buf), rig_frame(r, r->buf, RIG_FRAME), 0, 0);
	for (;;) {
		ring_publish(q, ring_used_idx(q) + q->num / 2);
		ring_kick(q);
		pthread_testcancel();
	}
}

static volatile unsigned int signals;

static void on_signal(int sig)
{
	signals++;
}

static volatile bool over;

/* SIGUSR1 for the thread that is told, all the time. */
static void *signaller(void *arg)
{
	const pid_t target = *(pid_t *)arg;

	while (!over) {
		syscall(SYS_tgkill, getpid(), target, SIGUSR1);
		usleep(300);
	}
	return NULL;
}

/*
 * Without SA_RESTART: a call that the kernel doesn't restart by itself would
 * show as EINTR here. The suite counts how often registration was interrupted.
 */
static void interrupted(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pid_t me = getpid();
	unsigned int i;
	pthread_t t;
	struct rig r;

	t_begin("VHOST_SET_OWNER under signals: never EINTR, never half an owner");
	MUST(!sigaction(SIGUSR1, &sa, NULL), "sigaction");
	MUST(!pthread_create(&t, NULL, signaller, &me), "thread");
	for (i = 0; i < OWNERS; i++) {
		int fd = node_open(life_node);

		CHECK_EQ(node_call(fd, VHOST_SET_VRING_NUM, NULL), -EPERM);
		CHECK_EQ(node_owner(fd), 0);
		CHECK_EQ(node_owner(fd), -EBUSY);
		if (i & 1)
			CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
		close(fd);
	}
	over = true;
	pthread_join(t, NULL);
	t_diag("%u signals", signals);
	CHECK(signals > OWNERS / 4);
	life_open(&r, false);
	rig_tx_good(&r, 0);
	rig_close(&r);
	CHECK(worker_gone(me));
	t_end();
}

static void protect_ring(const struct rig *r)
{
	CHECK_EQ(mprotect(r->q[Q_TX].desc, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	CHECK_EQ(mprotect(r->q[Q_TX].desc, PAGE, PROT_READ | PROT_WRITE), 0);
}

/* The suite counts the callbacks. */
static void notifier(void)
{
	static struct rig r[DEVICES];
	unsigned int i;

	t_begin("%u devices of one process, %u changes of protection", DEVICES,
		2 * PROTECTIONS);
	for (i = 0; i < DEVICES; i++) {
		life_open(&r[i], false);
		rig_tx_good(&r[i], 0);
	}
	prctl(PR_SET_NAME, "life-counted");
	for (i = 0; i < PROTECTIONS; i++)
		protect_ring(&r[0]);
	prctl(PR_SET_NAME, "life");
	for (i = 0; i < DEVICES; i++) {
		rig_tx_good(&r[i], 1);
		rig_close(&r[i]);
	}
	t_end();
}

static void *protector(void *arg)
{
	while (!over)
		protect_ring(arg);
	return NULL;
}

/* Only under the mmap lock for reading: two of them overlap. */
static void *dropper(void *arg)
{
	const struct rig *r = arg;

	while (!over)
		CHECK_EQ(madvise(r->q[Q_TX].desc, PAGE, MADV_DONTNEED), 0);
	return NULL;
}

/* Shared memory keeps its contents: just the mapping goes. */
static void overlaps(void)
{
	static struct rig r;
	pthread_t t[2];
	unsigned int i;

	t_begin("two threads unmap a running ring's pages, %u frames", MOVES);
	life_open(&r, true);
	for (i = 0; i < 2; i++)
		MUST(!pthread_create(&t[i], NULL, dropper, &r), "thread");
	for (i = 0; i < MOVES; i++)
		rig_tx_good(&r, i % RIG_NUM);
	over = true;
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	rig_tx_direct(&r);
	rig_close(&r);
	t_end();
}

/* The transmit ring goes to another place and, the next time, back. */
static void move_ring(struct rig *r, struct ring *other)
{
	struct ring *q = &r->q[Q_TX], was = *q;

	memcpy(other->desc, q->desc, 16 * RIG_NUM);
	memcpy(other->avail, q->avail, 4 + 2 * RIG_NUM + 2);
	memcpy(other->used, q->used, 4 + 8 * RIG_NUM + 2);
	q->desc = other->desc;
	q->avail = other->avail;
	q->used = other->used;
	CHECK_EQ(rig_addr(r, Q_TX), 0);
	other->desc = was.desc;
	other->avail = was.avail;
	other->used = was.used;
}

static void moves(void)
{
	static struct rig r;
	struct ring other;
	unsigned int i;
	pthread_t t;

	t_begin("a running ring moves %u times while its pages are invalidated", MOVES);
	life_open(&r, false);
	ring_place(&other, &r.mem, Q_TX, RIG_NUM);
	MUST(!pthread_create(&t, NULL, protector, &r), "thread");
	for (i = 0; i < MOVES; i++) {
		rig_tx_good(&r, i % RIG_NUM);
		move_ring(&r, &other);
	}
	over = true;
	pthread_join(t, NULL);
	/* What began while it was elsewhere, and ended since, must not count as under way still. */
	rig_tx_direct(&r);
	rig_close(&r);
	t_end();
}

/* Every second time the file is just closed, with the queues running. */
static void closes(void)
{
	unsigned int i;

	t_begin("devices close while their ring's pages are invalidated, %u times", CLOSES);
	for (i = 0; i < CLOSES; i++) {
		static struct rig r;
		pthread_t t;

		life_open(&r, false);
		rig_tx_good(&r, 0);
		over = false;
		MUST(!pthread_create(&t, NULL, protector, &r), "thread");
		rig_tx_good(&r, 1);
		if (i & 1)
			CHECK_EQ(node_backend(r.node, Q_TX, -1), 0);
		CHECK_EQ(close(r.node), 0);
		over = true;
		pthread_join(t, NULL);
		ring_close(&r.q[0]);
		ring_close(&r.q[1]);
		tap_close(&r.tap);
		mem_exit(&r.mem);
	}
	CHECK(worker_gone(getpid()));
	t_end();
}

/* Tries to unload the modules as fast as it can, until they go. */
static int unloader(int go)
{
	unsigned int refused = 0;
	char c;

	MUST(read(go, &c, 1) == 1, "go");
	while (syscall(SYS_delete_module, "vhost_direct_net", O_NONBLOCK)) {
		if (errno != EWOULDBLOCK)
			return 1;
		refused++;
	}
	if (syscall(SYS_delete_module, "vhost_direct", O_NONBLOCK))
		return 1;
	printf("gone, refused %u times\n", refused);
	return 0;
}

/* Traffic until this process ends, and with it the devices. */
static void leave(void)
{
	static struct rig r[2];
	unsigned int i;
	pthread_t t;
	int go[2];
	pid_t pid;

	MUST(!pipe(go), "pipe");
	pid = fork();
	MUST(pid >= 0, "fork");
	if (!pid)
		_exit(unloader(go[0]) || fflush(stdout));
	for (i = 0; i < 2; i++) {
		life_open(&r[i], false);
		MUST(!pthread_create(&t, NULL, life_pump, &r[i]), "thread");
	}
	MUST(write(go[1], "x", 1) == 1, "go");
	sleep_ms(50);
	_exit(0);
}

static const struct life_case own_cases[] = {
	{ "interrupted", interrupted, "signals during VHOST_SET_OWNER" },
	{ "notifier", notifier, "several devices, one notifier" },
	{ "overlaps", overlaps, "invalidations that overlap" },
	{ "moves", moves, "SET_VRING_ADDR under invalidations" },
	{ "closes", closes, "close under invalidations" },
	{ "leave", leave, "traffic, exit, modules unloaded meanwhile (no KTAP)" },
	{ 0 }
};

int main(int argc, char **argv)
{
	static const struct life_case *const groups[] = {
		own_cases, life_pass_cases, life_slow_cases, life_haste_cases,
		life_oom_cases,
	};
	const struct life_case *c;
	unsigned int i;

	life_node = argc > 2 ? argv[2] : "/dev/vhost-direct-net";
	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		for (c = groups[i]; c->name; c++) {
			if (argc < 2) {
				printf("%-14s %s\n", c->name, c->help);
			} else if (!strcmp(argv[1], c->name)) {
				c->fn();
				return t_done();
			}
		}
	}
	if (argc < 2)
		return 0;
	fprintf(stderr, "life: no case '%s'\n", argv[1]);
	return 2;
}

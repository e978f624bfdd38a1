// SPDX-License-Identifier: GPL-2.0-only
/*
 * life: pages that don't come. A stranger that has the device open is slow on purpose: the argument
 * of its call lies in a page that is kept away (userfaultfd) until the owner
 * says that it is done: so the owner's calls must not wait for the stranger's.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "away.h"
#include "life.h"
#include "test.h"

/* What a stranger ends with. */
enum { RELEASED, NO_USERFAULTFD, NOT_SLOW, TIMED_OUT };

struct slow {
	const char *name;
	unsigned long cmd;
};

static const struct slow calls[] = {
	{ "VHOST_GET_FEATURES", VHOST_GET_FEATURES },
	{ "VHOST_SET_FEATURES", VHOST_SET_FEATURES },
	{ "VHOST_GET_FEATURES_ARRAY", VHOST_GET_FEATURES_ARRAY },
	{ "VHOST_SET_FEATURES_ARRAY", VHOST_SET_FEATURES_ARRAY },
	{ "VHOST_GET_BACKEND_FEATURES", VHOST_GET_BACKEND_FEATURES },
	{ "VHOST_SET_BACKEND_FEATURES", VHOST_SET_BACKEND_FEATURES },
	{ "VHOST_NET_SET_BACKEND", VHOST_NET_SET_BACKEND },
	{ "VHOST_GET_FORK_FROM_OWNER", VHOST_GET_FORK_FROM_OWNER },
	{ "VHOST_SET_FORK_FROM_OWNER", VHOST_SET_FORK_FROM_OWNER },
};

struct call {
	int node;
	unsigned long cmd;
	void *arg;
};

static void *make_call(void *at)
{
	struct call *c = at;

	node_call(c->node, c->cmd, c->arg);
	return NULL;
}

/* A page that isn't there, and stays away until asked for from the descriptor. */
static int keep_away(void **page)
{
	int fd = away_open();

	if (fd < 0)
		return -1;
	*page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(*page != MAP_FAILED, "mmap");
	away_keep(fd, *page, PAGE);
	return fd;
}

bool life_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll_ms(&p, 1, LIFE_SOON_MS) == 1 && p.revents & (POLLIN | POLLHUP);
}

/* @tell: gets a byte when the call waits for its page; @wait: ends when the owner is done. */
static int stranger(int node, unsigned long cmd, int tell, int wait)
{
	struct call c = { node, cmd };
	int fd = keep_away(&c.arg), how = RELEASED;
	pthread_t thread;
	char byte = 0;

	if (fd < 0)
		return NO_USERFAULTFD;
	MUST(!pthread_create(&thread, NULL, make_call, &c), "pthread_create");
	if (!life_readable(fd))
		return NOT_SLOW;
	MUST(write(tell, &byte, 1) == 1, "write");
	if (!life_readable(wait))
		how = TIMED_OUT;
	away_bring(fd, c.arg, NULL);
	pthread_join(thread, NULL);
	return how;
}

static void one_call(const struct slow *call)
{
	int tell[2], wait[2], status = -1;
	struct rig r;
	pid_t child;
	char byte;

	t_begin("a stranger's slow %s keeps no owner waiting", call->name);
	life_open(&r, false);
	MUST(!pipe(tell) && !pipe(wait), "pipe");
	fflush(stdout);
	child = fork();
	if (!child) {
		close(wait[1]);
		_exit(stranger(r.node, call->cmd, tell[1], wait[0]));
	}
	close(tell[1]);
	if (read(tell[0], &byte, 1) == 1) {
		CHECK_EQ(node_features(r.node, RIG_FEATURES), 0);
		CHECK(node_get_base(r.node, Q_TX) >= 0);
	}
	close(wait[1]);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
	close(wait[0]);
	close(tell[0]);
	rig_close(&r);
	if (WEXITSTATUS(status) == NO_USERFAULTFD)
		t_skip("this kernel has no userfaultfd");
	else
		CHECK_EQ(WEXITSTATUS(status), RELEASED);
	t_end();
}

static void slow(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++)
		one_call(&calls[i]);
}

static long get_base(struct rig *r)
{
	return node_get_base(r->node, Q_TX);
}

/* Of the other queue, whose mutex is free: it's the worker that is waited for. */
static long set_kick(struct rig *r)
{
	struct vhost_vring_file f = { .index = Q_RX, .fd = r->q[Q_RX].kick };

	return node_call(r->node, VHOST_SET_VRING_KICK, &f);
}

static struct vhost_worker_state other;

/* From the worker that both queues have to the other one. */
static long attach(struct rig *r)
{
	struct vhost_vring_worker v = { .index = Q_RX, .worker_id = other.worker_id };

	return node_call(r->node, VHOST_ATTACH_VRING_WORKER, &v);
}

static const struct life_wait waits[] = {
	{ "", NULL },
	{ " and a thread for a queue", get_base },
	{ " and a thread for the worker", set_kick },
	{ " and a thread for one that waits for a second", attach, .second = true },
	{ ", a thread of its own with more to do,", .forked = true },
};

static void *make_wait(void *at)
{
	struct life_caller *c = at;

	__atomic_store_n(&c->tid, gettid(), __ATOMIC_RELEASE);
	c->in->call(c->r);
	return NULL;
}

/* Is the thread, or process, in the kernel, where no signal but the last reaches it? */
static bool stuck(pid_t tid)
{
	char path[64], text[256], *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "r");
	state = f && fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
	if (f)
		fclose(f);
	return state && state[2] == 'D';
}

bool life_stuck(pid_t *tid)
{
	unsigned int looks = 0;
	pid_t found;

	do {
		sleep_ms(10);
		found = __atomic_load_n(tid, __ATOMIC_ACQUIRE);
	} while (!(found && stuck(found)) && ++looks < LIFE_SOON_MS / 10);
	return stuck(found);
}

static bool begin_wait(struct life_caller *c)
{
	pthread_t thread;

	MUST(!pthread_create(&thread, NULL, make_wait, c), "pthread_create");
	return life_stuck(&c->tid);
}

/* The node, whose worker will be a thread of the owner's; 0: this kernel can't. */
static int open_forking(void)
{
	uint8_t mode = VHOST_FORK_OWNER_TASK;
	int fd = node_open(life_node);

	if (!node_call(fd, VHOST_SET_FORK_FROM_OWNER, &mode))
		return fd;
	close(fd);
	return 0;
}

int life_without(struct rig *r, int node, uint8_t **page, unsigned int pages)
{
	const struct rig_opts o = {
		.node = life_node, .features = RIG_FEATURES, .batch = true, .fd = node,
	};
	int fd = away_open();

	if (fd < 0)
		return -1;
	rig_open(r, &o);
	*page = mem_take(&r->mem, CHUNK_B, pages * PAGE, PAGE);
	away_keep(fd, *page, pages * PAGE);
	return fd;
}

void life_offer(struct rig *r, unsigned int i, const uint8_t *at)
{
	desc_set(r->q[Q_TX].desc, i, mem_gpa(&r->mem, at), r->hdr + RIG_FRAME, 0, 0);
	ring_offer(&r->q[Q_TX], i);
	ring_kick(&r->q[Q_TX]);
}

/* Another worker, and a buffer for a frame, in a page that isn't there: the tap is watched. */
static void offer_room(struct rig *r, uint8_t *at)
{
	MUST(!node_call(r->node, VHOST_NEW_WORKER, &other), "VHOST_NEW_WORKER");
	desc_set(r->q[Q_RX].desc, 0, mem_gpa(&r->mem, at), PAGE, D_WRITE, 0);
	ring_offer(&r->q[Q_RX], 0);
	ring_kick(&r->q[Q_RX]);
	sleep_ms(100);
}

/* The second worker has the queue that the first is about to want, and waits for a page, too. */
static bool second_waits(struct rig *r, int fd)
{
	uint8_t f[RIG_FRAME];
	struct uffd_msg msg;

	frame_make(f, sizeof(f), ++r->seq);
	return read(fd, &msg, sizeof(msg)) == sizeof(msg) && tap_feed(&r->tap, f, sizeof(f)) &&
	       life_readable(fd);
}

/* The owner: its worker waits for a page for ever, a descriptor of which others hold. */
static void wait_to_be_killed(int sock, const struct life_wait *in)
{
	struct life_caller c = { .in = in };
	struct rig r;
	uint8_t *page;
	int fd = life_without(&r, in->forked ? open_forking() : 0, &page, 2);

	if (fd < 0)
		_exit(1);
	if (in->second)
		offer_room(&r, page + PAGE);
	life_offer(&r, 0, page);
	c.r = &r;
	/* Its end, before it has told anything, is the test's. */
	if ((in->call || in->forked) && !life_readable(fd))
		_exit(1);
	if (in->forked)
		ring_kick(&r.q[Q_TX]);
	if (in->second)
		ring_kick(&r.q[Q_RX]);
	if (in->call && !begin_wait(&c))
		_exit(1);
	if (in->second && !second_waits(&r, fd))
		_exit(1);
	/* Not before it is set up: until then it has an error to tell, at once. */
	life_send(sock, &fd, 1);
	for (;;)
		pause();
}

bool life_ends(pid_t child, int *status)
{
	unsigned int looks;

	for (looks = 0; looks < LIFE_SOON_MS / 10; looks++) {
		if (waitpid(child, status, WNOHANG) == child)
			return true;
		sleep_ms(10);
	}
	return false;
}

static void kill_in(const struct life_wait *in)
{
	int sock[2], fd = -1, probe;
	pid_t child;
	bool ended;

	t_begin("an owner whose worker waits for a page for ever%s can be killed", in->name);
	probe = syscall(SYS_userfaultfd, O_CLOEXEC);
	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, sock), "socketpair");
	fflush(stdout);
	child = fork();
	if (!child) {
		close(sock[0]);
		wait_to_be_killed(sock[1], in);
	}
	close(sock[1]);
	if (probe < 0) {
		t_skip("this kernel has no userfaultfd");
		CHECK(life_ends(child, NULL));
	} else if (CHECK(life_receive(sock[0], &fd, 1) && fd >= 0)) {
		CHECK(life_readable(fd));
		kill(child, SIGKILL);
		ended = CHECK(life_ends(child, NULL));
		/* Whoever still waits goes on. */
		close(fd);
		CHECK(ended || life_ends(child, NULL));
		CHECK(worker_gone(child));
	}
	close(sock[0]);
	if (probe >= 0)
		close(probe);
	t_end();
}

static void killed(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(waits); i++)
		kill_in(&waits[i]);
}

int life_sibling(void *at)
{
	struct life_caller *c = at;

	c->in->call(c->r);
	return 0;
}

bool life_comes(struct rig *r)
{
	uint8_t f[PAGE];
	size_t len;

	do {
		len = tap_take(&r->tap, f, sizeof(f), WAIT_MS);
	} while (len && !frame_is(f, len, r->seq));
	return len;
}

void life_bring(struct rig *r, int fd, uint8_t *page)
{
	uint8_t frame[PAGE] = { 0 };

	rig_frame(r, frame, RIG_FRAME);
	away_bring(fd, page, frame);
}

/*
 * Who is killed need not take the device with him. What the worker gave up for him it tries again,
 * though the driver has nothing more to kick for; and for what comes later it waits as ever.
 */
static void sibling_killed_in(const struct life_wait *in)
{
	struct life_caller c = { .in = in };
	struct uffd_msg msg;
	uint8_t *page;
	struct rig r;
	pid_t child;
	int fd;

	t_begin("a process in the owner's memory%s is killed: the device serves on", in->name);
	fd = life_without(&r, 0, &page, 2);
	if (fd < 0) {
		t_skip("this kernel has no userfaultfd");
		t_end();
		return;
	}
	c.r = &r;
	life_offer(&r, 0, page);
	CHECK(life_readable(fd) && read(fd, &msg, sizeof(msg)) == sizeof(msg));
	/* Inside of a call that waits for the worker. */
	child = sibling_start(life_sibling, &c);
	CHECK(life_stuck(&child));
	kill(child, SIGKILL);
	if (CHECK(life_ends(child, NULL))) {
		life_bring(&r, fd, page);
		CHECK(life_comes(&r));
		while (read(fd, &msg, sizeof(msg)) == sizeof(msg))
			;
		life_offer(&r, 1, page + PAGE);
		CHECK(life_readable(fd));
		life_bring(&r, fd, page + PAGE);
		CHECK(life_comes(&r));
	}
	close(fd);
	rig_close(&r);
	t_end();
}

long life_get_base_rx(struct rig *r)
{
	return node_get_base(r->node, Q_RX);
}

/* Reaps @n buffers, one a page from @at on, and CHECKs that they have the frames from @seq on. */
static void received(struct rig *r, const uint8_t *at, unsigned int n, uint32_t seq)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!CHECK_EQ(ring_reap(&r->q[Q_RX], NULL, WAIT_MS), i))
			return;
		CHECK(frame_is(at + i * PAGE + r->hdr, RIG_FRAME, seq + i));
	}
}

/* The frame that was on its way to the page is lost, having left the tap; others are not. */
static void sibling_receives(void)
{
	static const struct life_wait in = { "", life_get_base_rx };
	enum { FRAMES = 24 };
	struct life_caller c = { .in = &in };
	uint8_t *page, f[RIG_FRAME];
	struct uffd_msg msg;
	unsigned int i;
	struct rig r;
	pid_t child;
	int fd;

	t_begin("a process in the owner's memory is killed: one frame is lost, and no more");
	fd = life_without(&r, 0, &page, FRAMES);
	if (fd < 0) {
		t_skip("this kernel has no userfaultfd");
		t_end();
		return;
	}
	c.r = &r;
	for (i = 0; i < FRAMES; i++) {
		desc_set(r.q[Q_RX].desc, i, mem_gpa(&r.mem, page + i * PAGE), PAGE, D_WRITE, 0);
		ring_offer(&r.q[Q_RX], i);
		frame_make(f, sizeof(f), i);
		CHECK(tap_feed(&r.tap, f, sizeof(f)));
	}
	ring_kick(&r.q[Q_RX]);
	CHECK(life_readable(fd) && read(fd, &msg, sizeof(msg)) == sizeof(msg));
	child = sibling_start(life_sibling, &c);
	CHECK(life_stuck(&child));
	kill(child, SIGKILL);
	if (CHECK(life_ends(child, NULL))) {
		for (i = 0; i < FRAMES; i++)
			away_bring(fd, page + i * PAGE, NULL);
		received(&r, page, FRAMES - 1, 1);
		CHECK_EQ(node_stat(r.node, Q_RX, "dropped"), 1);
	}
	close(fd);
	rig_close(&r);
	t_end();
}

static void sibling_killed(void)
{
	sibling_receives();
	sibling_killed_in(&waits[1]);
	sibling_killed_in(&waits[2]);
}

struct meddling {
	const char *name;
	void (*call)(int node);
};

static void set_features(int node)
{
	node_features(node, RIG_FEATURES);
}

/* The device has no IOTLB: it says so when it has looked, with its queues' mutexes. */
static void invalidate(int node)
{
	struct vhost_msg_v2 m = { .type = VHOST_IOTLB_MSG_V2, .iotlb.type = VHOST_IOTLB_INVALIDATE };

	if (write(node, &m, sizeof(m)) < 0)
		return;
}

static const struct meddling meddlings[] = {
	{ "VHOST_SET_FEATURES", set_features },
	{ "an IOTLB message", invalidate },
};

/* Another process is killed, which waits for a worker that waits for a page: only it ends. */
static void stranger_killed_in(const struct meddling *m)
{
	uint8_t *page;
	struct rig r;
	pid_t child;
	int fd;

	t_begin("a stranger that waits for the owner's worker in %s can be killed", m->name);
	fd = life_without(&r, 0, &page, 1);
	if (fd < 0) {
		t_skip("this kernel has no userfaultfd");
		t_end();
		return;
	}
	life_offer(&r, 0, page);
	CHECK(life_readable(fd));
	fflush(stdout);
	child = fork();
	if (!child) {
		m->call(r.node);
		_exit(0);
	}
	CHECK(life_stuck(&child));
	kill(child, SIGKILL);
	CHECK(life_ends(child, NULL));
	life_bring(&r, fd, page);
	CHECK(life_comes(&r));
	close(fd);
	rig_close(&r);
	t_end();
}

static void stranger_killed(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(meddlings); i++)
		stranger_killed_in(&meddlings[i]);
}

/* Has the device and the page's descriptor from an owner that is gone; closes one of them first. */
static void close_at_last(int node, int fd, int tell)
{
	pid_t self = getpid();

	MUST(write(tell, &self, sizeof(self)) == sizeof(self), "write");
	/* The worker waits. */
	if (life_readable(fd))
		close(node);
	pause();
	_exit(0);
}

/* An owner that leaves all it has to another process. */
static void leave(int tell)
{
	uint8_t *page;
	struct rig r;
	int fd = life_without(&r, 0, &page, 1);

	if (fd < 0)
		_exit(1);
	life_offer(&r, 0, page);
	MUST(life_readable(fd), "the worker wants no page");
	if (!fork())
		close_at_last(r.node, fd, tell);
	_exit(0);
}

static void closer_killed(void)
{
	pid_t child, closer = 0;
	int tell[2];

	t_begin("who closes the device last, and has the page that the worker waits for, can be killed");
	MUST(!pipe(tell), "pipe");
	fflush(stdout);
	child = fork();
	if (!child)
		leave(tell[1]);
	close(tell[1]);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	if (read(tell[0], &closer, sizeof(closer)) != sizeof(closer)) {
		t_skip("this kernel has no userfaultfd");
	} else {
		/* It waits, unless the worker was a thread of the owner's. */
		life_stuck(&closer);
		kill(closer, SIGKILL);
		/* Its end of the pipe is closed after the device. */
		CHECK(life_readable(tell[0]));
		CHECK(worker_gone(child));
	}
	close(tell[0]);
	t_end();
}

/*
 * Of files that one call closes, as execve() does, the last is released first: the device, before
 * what would give the worker its page.
 */
static void close_both(void)
{
	uint8_t *page;
	struct rig r;
	int node, fd = life_without(&r, 0, &page, 1);

	if (fd < 0)
		_exit(NO_USERFAULTFD);
	life_offer(&r, 0, page);
	MUST(life_readable(fd), "the worker wants no page");
	node = fcntl(r.node, F_DUPFD, fd + 1);
	MUST(node >= 0, "F_DUPFD");
	close(r.node);
	MUST(!syscall(SYS_close_range, fd, node, 0), "close_range");
	_exit(RELEASED);
}

static void both_closed(void)
{
	int status = -1;
	pid_t child;

	t_begin("who closes the device and the pages that the worker waits for, in one call, goes on");
	fflush(stdout);
	child = fork();
	if (!child)
		close_both();
	if (!CHECK(life_ends(child, &status))) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	} else if (WIFEXITED(status) && WEXITSTATUS(status) == NO_USERFAULTFD) {
		t_skip("this kernel has no userfaultfd");
	} else {
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == RELEASED);
	}
	t_end();
}

const struct life_case life_slow_cases[] = {
	{ "both", both_closed, "a device and its pages, closed at once" },
	{ "stranger", stranger_killed, "SIGKILL for another process that waits for the worker" },
	{ "closer", closer_killed, "SIGKILL for another process that closes the device" },
	{ "sibling", sibling_killed, "SIGKILL for a process that shares the memory" },
	{ "killed", killed, "SIGKILL while the worker waits for a page" },
	{ "slow", slow, "a stranger whose arguments are slow to come" },
	{ 0 }
};

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
#include <sched.h>
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
#include "life.h"
#include "test.h"

#define SOON_MS 5000
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
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	*page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(*page != MAP_FAILED, "mmap");
	MUST(!ioctl(fd, UFFDIO_API, &api), "UFFDIO_API");
	reg.range.start = (uintptr_t)*page;
	reg.range.len = PAGE;
	MUST(!ioctl(fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
	return fd;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, SOON_MS) == 1 && p.revents & (POLLIN | POLLHUP);
}

/* @tell: gets a byte when the call waits for its page; @wait: ends when the owner is done. */
static int stranger(int node, unsigned long cmd, int tell, int wait)
{
	struct call c = { node, cmd };
	int fd = keep_away(&c.arg), how = RELEASED;
	struct uffdio_zeropage zero = { .range = { 0, PAGE } };
	pthread_t thread;
	char byte = 0;

	if (fd < 0)
		return NO_USERFAULTFD;
	MUST(!pthread_create(&thread, NULL, make_call, &c), "pthread_create");
	if (!readable(fd))
		return NOT_SLOW;
	MUST(write(tell, &byte, 1) == 1, "write");
	if (!readable(wait))
		how = TIMED_OUT;
	zero.range.start = (uintptr_t)c.arg;
	MUST(!ioctl(fd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
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

/* What a thread of the owner waits in, uninterruptibly but for its end. */
struct wait_in {
	const char *name;
	long (*call)(struct rig *r);
};

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

static const struct wait_in waits[] = {
	{ "", NULL },
	{ " and a thread for a queue", get_base },
	{ " and a thread for the worker", set_kick },
};

struct caller {
	const struct wait_in *in;
	struct rig *r;
	pid_t tid;
};

static void *make_wait(void *at)
{
	struct caller *c = at;

	__atomic_store_n(&c->tid, gettid(), __ATOMIC_RELEASE);
	c->in->call(c->r);
	return NULL;
}

/* Is the thread in the kernel, where no signal but the last reaches it? */
static bool stuck(pid_t tid)
{
	char path[64], text[256], *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "r");
	state = f && fgets(text, sizeof(text), f) ? strrchr(text, ')') : NULL;
	if (f)
		fclose(f);
	return state && state[2] == 'D';
}

static bool begin_wait(struct caller *c)
{
	uint64_t end = now_ns() + SOON_MS * NS_PER_MS;
	pthread_t thread;
	pid_t tid;

	MUST(!pthread_create(&thread, NULL, make_wait, c), "pthread_create");
	do {
		sleep_ms(10);
		tid = __atomic_load_n(&c->tid, __ATOMIC_ACQUIRE);
	} while (!(tid && stuck(tid)) && now_ns() < end);
	return stuck(tid);
}

/* A device, pages of its memory that aren't there, and the descriptor by which they come; or -1. */
static int open_without(struct rig *r, uint8_t **page, unsigned int pages)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	life_open(r, false);
	*page = mem_take(&r->mem, CHUNK_B, pages * PAGE, PAGE);
	reg.range.start = (uintptr_t)*page;
	reg.range.len = pages * PAGE;
	MUST(!ioctl(fd, UFFDIO_API, &api), "UFFDIO_API");
	MUST(!ioctl(fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
	MUST(!madvise(*page, pages * PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	return fd;
}

/* Offers the frame that is to lie at @at. */
static void offer(struct rig *r, unsigned int i, const uint8_t *at)
{
	desc_set(r->q[Q_TX].desc, i, mem_gpa(&r->mem, at), r->hdr + RIG_FRAME, 0, 0);
	ring_offer(&r->q[Q_TX], i);
	ring_kick(&r->q[Q_TX]);
}

/* The owner: its worker waits for a page for ever, a descriptor of which others hold. */
static void wait_to_be_killed(int sock, const struct wait_in *in)
{
	struct caller c = { .in = in };
	struct rig r;
	uint8_t *page;
	int fd = open_without(&r, &page, 1);

	if (fd < 0)
		_exit(1);
	offer(&r, 0, page);
	c.r = &r;
	/* Its end, before it has told anything, is the test's. */
	if (in->call && !(readable(fd) && begin_wait(&c)))
		_exit(1);
	/* Not before it is set up: until then it has an error to tell, at once. */
	life_send(sock, &fd, 1);
	for (;;)
		pause();
}

static bool ends(pid_t child)
{
	uint64_t end = now_ns() + SOON_MS * NS_PER_MS;

	do {
		if (waitpid(child, NULL, WNOHANG) == child)
			return true;
		sleep_ms(10);
	} while (now_ns() < end);
	return false;
}

static void kill_in(const struct wait_in *in)
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
		CHECK(ends(child));
	} else if (CHECK(life_receive(sock[0], &fd, 1) && fd >= 0)) {
		CHECK(readable(fd));
		kill(child, SIGKILL);
		ended = CHECK(ends(child));
		/* Whoever still waits goes on. */
		close(fd);
		CHECK(ended || ends(child));
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

static int call_as_sibling(void *at)
{
	get_base(at);
	return 0;
}

/* A process of its own in our memory, inside of a call that waits for the worker. */
static pid_t sibling(struct rig *r)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = clone(call_as_sibling, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, r);

	MUST(pid > 0, "clone");
	sleep_ms(200);
	return pid;
}

/* The last frame made, perhaps behind the one before. */
static bool comes(struct rig *r)
{
	uint8_t f[PAGE];
	size_t len;

	do {
		len = tap_take(&r->tap, f, sizeof(f), WAIT_MS);
	} while (len && !frame_is(f, len, r->seq));
	return len;
}

/*
 * Who is killed need not take the device with him: what the worker waited for then it does
 * without, and for what comes later it waits as ever.
 */
static void sibling_killed(void)
{
	uint8_t frame[PAGE] = { 0 }, *page;
	struct uffd_msg msg;
	struct rig r;
	pid_t child;
	int fd;

	t_begin("a process that shares the owner's memory is killed: the device serves on");
	fd = open_without(&r, &page, 2);
	if (fd < 0) {
		t_skip("this kernel has no userfaultfd");
		t_end();
		return;
	}
	offer(&r, 0, page);
	CHECK(readable(fd) && read(fd, &msg, sizeof(msg)) == sizeof(msg));
	child = sibling(&r);
	kill(child, SIGKILL);
	if (CHECK(ends(child))) {
		struct uffdio_copy copy = { .src = (uintptr_t)frame, .len = PAGE };

		rig_frame(&r, frame, RIG_FRAME);
		copy.dst = (uintptr_t)page;
		MUST(!ioctl(fd, UFFDIO_COPY, &copy), "UFFDIO_COPY");
		offer(&r, 1, page + PAGE);
		CHECK(readable(fd));
		rig_frame(&r, frame, RIG_FRAME);
		copy.dst = (uintptr_t)(page + PAGE);
		MUST(!ioctl(fd, UFFDIO_COPY, &copy), "UFFDIO_COPY");
		CHECK(comes(&r));
	}
	close(fd);
	rig_close(&r);
	t_end();
}

const struct life_case life_slow_cases[] = {
	{ "sibling", sibling_killed, "SIGKILL for a process that shares the memory" },
	{ "killed", killed, "SIGKILL while the worker waits for a page" },
	{ "slow", slow, "a stranger whose arguments are slow to come" },
	{ 0 }
};

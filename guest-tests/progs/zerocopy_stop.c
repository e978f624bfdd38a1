// SPDX-License-Identifier: GPL-2.0-only
/* zerocopy: who takes the device away while frames are under way. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vhost.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "zerocopy.h"

#define HELD 30u

static const struct guest_opts usual;

/* A device with frames that the keeper has. */
static void under_way(struct guest *g, const char *node, const struct format *f)
{
	guest_open(g, node, f, &usual);
	guest_send(g, HELD, LONG);
	keep_has(HELD);
	guest_rests(g, 0);
}

static void let_go(unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		CHECK_EQ(keep_read(LONG), first + i);
}

static int stop(void *arg)
{
	struct guest *g = arg;

	return node_backend(g->node, Q_TX, -1);
}

void test_backend(const char *node, const struct format *f)
{
	struct guest g;
	struct call c;

	t_begin("%s: SET_BACKEND of -1 waits for frames; new ones are copied meanwhile", f->name);
	under_way(&g, node, f);
	call_start(&c, stop, &g);
	CHECK(call_waits(&c));
	guest_send(&g, 20, LONG);
	guest_rests(&g, 20);
	keep_has(HELD + 20);
	let_go(1, HELD - 1);
	CHECK(call_waits(&c));
	let_go(HELD, 1);
	CHECK_EQ(call_end(&c), 0);
	guest_back(&g, HELD + 20);
	CHECK_EQ(guest_stat(&g, "zerocopy"), HELD);
	CHECK_EQ((uint32_t)node_get_base(g.node, Q_TX), guest_base(&g, HELD + 20));
	let_go(HELD + 1, 20);
	guest_close(&g);
	t_end();
}

static int get_base(void *arg)
{
	struct guest *g = arg;

	return node_get_base(g->node, Q_TX);
}

void test_base(const char *node, const struct format *f)
{
	struct guest g;
	struct call c;

	t_begin("%s: GET_VRING_BASE of a running ring waits for frames", f->name);
	under_way(&g, node, f);
	call_start(&c, get_base, &g);
	CHECK(call_waits(&c));
	let_go(1, HELD);
	CHECK_EQ((uint32_t)call_end(&c), guest_base(&g, HELD));
	guest_back(&g, HELD);
	guest_send(&g, 10, LONG);
	keep_has(10);
	guest_rests(&g, HELD);
	CHECK_EQ(guest_stat(&g, "zerocopy"), HELD + 10);
	guest_close(&g);
	t_end();
}

static int in_order(void *arg)
{
	struct guest *g = arg;

	return node_features(g->node, g->format->features | F_IN_ORDER);
}

void test_features(const char *node, const struct format *f)
{
	struct guest g;
	struct call c;

	t_begin("%s: SET_FEATURES with IN_ORDER waits for frames; then all is copied", f->name);
	under_way(&g, node, f);
	call_start(&c, in_order, &g);
	CHECK(call_waits(&c));
	let_go(1, HELD);
	CHECK_EQ(call_end(&c), 0);
	guest_back(&g, HELD);
	guest_send(&g, 1, LONG);
	guest_back(&g, HELD + 1);
	CHECK_EQ(guest_stat(&g, "zerocopy"), HELD);
	guest_close(&g);
	t_end();
}

/* Nobody but the owner has the ring in his memory to write it. */
void test_stranger(const char *node, const struct format *f)
{
	struct guest g;
	pid_t child;
	int status;

	t_begin("%s: SET_FEATURES with IN_ORDER by another process is refused", f->name);
	under_way(&g, node, f);
	let_go(1, HELD);
	keep_has(0);
	child = fork();
	MUST(child >= 0, "fork");
	if (!child)
		_exit(in_order(&g) != -EPERM);
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK_EQ(WEXITSTATUS(status), 0);
	guest_back(&g, HELD);
	guest_send(&g, 1, LONG);
	keep_has(1);
	guest_rests(&g, HELD);
	guest_close(&g);
	t_end();
}

struct swap {
	struct guest *g;
	struct tap to;
};

static int swap_socket(void *arg)
{
	struct swap *s = arg;

	return node_backend(s->g->node, Q_TX, s->to.fd);
}

void test_swap(const char *node, const struct format *f)
{
	struct guest g;
	struct swap s = { &g };
	struct call c;

	t_begin("%s: SET_BACKEND of another tap waits for the frames of the first", f->name);
	under_way(&g, node, f);
	tap_open_alone(&s.to, HDR, INT_MAX);
	keep_say("on", s.to.name);
	/* What isn't a socket is refused at once. */
	CHECK_EQ(node_backend(g.node, Q_TX, INT_MAX), -ENOTSOCK);
	call_start(&c, swap_socket, &s);
	CHECK(call_waits(&c));
	let_go(1, HELD);
	CHECK_EQ(call_end(&c), 0);
	guest_back(&g, HELD);
	tap_close(&g.tap);
	g.tap = s.to;
	guest_send(&g, HELD, LONG);
	keep_has(HELD);
	guest_rests(&g, HELD);
	guest_close(&g);
	t_end();
}

static int reset_owner(void *arg)
{
	struct guest *g = arg;

	return node_call(g->node, VHOST_RESET_OWNER, NULL);
}

void test_reset(const char *node, const struct format *f)
{
	struct guest g;
	struct call c;

	t_begin("%s: RESET_OWNER waits for frames", f->name);
	under_way(&g, node, f);
	call_start(&c, reset_owner, &g);
	CHECK(call_waits(&c));
	let_go(1, HELD);
	CHECK_EQ(call_end(&c), 0);
	guest_back(&g, HELD);
	CHECK_EQ(node_owner(g.node), 0);
	guest_close(&g);
	t_end();
}

void test_reset_killed(const char *node, const struct format *f)
{
	struct guest g;
	pid_t pid;

	t_begin("%s: RESET_OWNER that is killed while it waits: frames go uncopied again", f->name);
	under_way(&g, node, f);
	/* In our memory, and so the owner. */
	pid = sibling_start(reset_owner, &g);
	sleep_ms(NEVER_MS);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	guest_send(&g, 10, LONG);
	keep_has(HELD + 10);
	CHECK_EQ(guest_stat(&g, "zerocopy"), HELD + 10);
	let_go(1, HELD + 10);
	guest_back(&g, HELD + 10);
	guest_close(&g);
	t_end();
}

static int close_node(void *arg)
{
	struct guest *g = arg;

	return close(g->node);
}

void test_close(const char *node, const struct format *f)
{
	struct guest g;
	struct call c;

	t_begin("%s: close waits for frames", f->name);
	under_way(&g, node, f);
	call_start(&c, close_node, &g);
	CHECK(call_waits(&c));
	let_go(1, HELD);
	CHECK_EQ(call_end(&c), 0);
	CHECK(worker_gone(getpid()));
	guest_forget(&g);
	t_end();
}

/* A process with frames under way, perhaps inside a call that waits for them. */
static pid_t victim(const char *node, const struct format *f, bool waits)
{
	struct guest g;
	struct call c;
	pid_t pid = fork();

	MUST(pid >= 0, "fork");
	if (pid)
		return pid;
	guest_open(&g, node, f, &usual);
	guest_send(&g, HELD, LONG);
	if (waits) {
		keep_has(HELD);
		call_start(&c, stop, &g);
	}
	for (;;)
		pause();
}

static bool dies(pid_t pid)
{
	uint64_t until = now_ns() + SOON_MS * NS_PER_MS;

	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, WNOHANG) != pid) {
		if (now_ns() > until)
			return false;
		sleep_ms(1);
	}
	return worker_gone(pid);
}

static int unload(void)
{
	return syscall(SYS_delete_module, "vhost_direct_net", O_NONBLOCK) ? -errno : 0;
}

static void kill_one(const char *node, const struct format *f, bool waits)
{
	pid_t pid;

	t_begin("%s: SIGKILL with frames under way%s: it dies, they live on", f->name,
		waits ? ", in SET_BACKEND" : "");
	pid = victim(node, f, waits);
	keep_has(HELD);
	if (waits)
		sleep_ms(NEVER_MS);
	MUST(dies(pid), "a process with frames under way doesn't die");
	CHECK_EQ(keep_count(), HELD);
	/* Their completion is a function of the module's. */
	CHECK_EQ(unload(), -EAGAIN);
	let_go(1, HELD);
	t_end();
}

void test_kill(const char *node, const struct format *f)
{
	kill_one(node, f, false);
	kill_one(node, f, true);
}

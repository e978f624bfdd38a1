// SPDX-License-Identifier: GPL-2.0-only
/*
 * busy: queues that are polled (VHOST_SET_VRING_BUSYLOOP_TIMEOUT).
 *
 *	busy NODE
 *
 * As KTAP; for our node, as statistics say what happened. A poll ends early
 * when another task wants the worker's processor, so what is asked for is a
 * number of polls that did not, however many rounds it takes; nothing depends
 * on how long anything takes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "busy.h"

#define ENOUGH	5
#define ROUNDS	30
#define MOST	20000

static const char *path;
/* On all of them what concerns the ring, on some the rest. */
static const struct { const char *name; uint64_t features; bool rest; } kinds[] = {
	{ "split", F_V1 | F_MRG },
	{ "split, event idx", F_V1 | F_MRG | F_EVENT, true },
	{ "packed", F_V1 | F_MRG | F_PACKED },
	{ "packed, event idx, in order", F_V1 | F_MRG | F_PACKED | F_EVENT | F_IN_ORDER, true },
};

static long busy_get(int fd, unsigned int q)
{
	struct vhost_vring_state s = { q, 0xaaaa };
	int ret = node_call(fd, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, &s);

	CHECK(ret || s.index == q);
	return ret ?: (long)s.num;
}

static void answers(void)
{
	static const unsigned int us[] = { 50, 1, 0x80000000, LONG, 0 };
	int fd = node_open(path), status = -1;
	struct vhost_vring_state s = { 0, 7 };
	struct guest g = { .node = fd };
	unsigned int i;
	pid_t child;

	t_begin("VHOST_SET_VRING_BUSYLOOP_TIMEOUT, VHOST_GET_VRING_BUSYLOOP_TIMEOUT");
	CHECK_EQ(guest_busy(&g, 0, 1), -EPERM);
	CHECK_EQ(busy_get(fd, 0), -EPERM);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(busy_get(fd, 0), 0);
	CHECK_EQ(busy_get(fd, 1), 0);
	for (i = 0; i < ARRAY_SIZE(us); i++) {
		CHECK_EQ(guest_busy(&g, i % 2, us[i]), 0);
		CHECK_EQ(busy_get(fd, i % 2), us[i]);
	}
	CHECK_EQ(guest_busy(&g, 1, 9), 0);
	CHECK_EQ(busy_get(fd, 0), 0);
	CHECK_EQ(guest_busy(&g, 2, 1), -ENOBUFS);
	CHECK_EQ(busy_get(fd, 2), -ENOBUFS);
	CHECK_EQ(guest_busy(&g, ~0u, 1), -ENOBUFS);
	CHECK_EQ(node_call(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, NULL), -EFAULT);
	CHECK_EQ(node_call(fd, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, NULL), -EFAULT);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(node_call(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &s) == -EPERM ? 0 : 1);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	/* As new after a reset. */
	CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(busy_get(fd, 1), 0);
	close(fd);
	t_end();
}

/*
 * The driver may be asked for a kick once at the start, once by each rest, and once
 * each time that the queue is about to leave the worker that visits it.
 */
static void kicks_are_asked_for(struct guest *g, unsigned int q, unsigned int left)
{
	uint64_t kicks = g->kicks[q], rests = guest_stat(g, q, "poll_rests");

	if (!CHECK(kicks <= 1 + rests + left))
		t_diag("queue %u: %" PRIu64 " kicks, %" PRIu64 " rests", q, kicks, rests);
}

/* A frame before its buffer: a receiver that waits for the ring. */
static void starve(struct guest *g)
{
	guest_feed(g);
	guest_offer(g, Q_RX);
	guest_got(g);
}

static void traffic(uint64_t features)
{
	unsigned int i, q;
	struct guest g;

	guest_open(&g, path, features);
	for (q = 0; q < 2; q++)
		CHECK_EQ(guest_busy(&g, q, LONG), 0);
	for (i = 0; i < MOST && !t_errors(); i++) {
		guest_tx(&g);
		guest_rx(&g);
		if (i % 3 == 0)
			starve(&g);
		if (i >= ROUNDS && guest_stat(&g, Q_TX, "poll_hits") >= ENOUGH &&
		    guest_stat(&g, Q_RX, "poll_hits") >= ENOUGH)
			break;
	}
	CHECK(i < MOST);
	for (q = 0; q < 2; q++) {
		kicks_are_asked_for(&g, q, 0);
		CHECK(guest_stat(&g, q, "poll_hits") <= guest_stat(&g, q, "polls"));
		t_diag("queue %u: %u rounds, %" PRIu64 " polls, %" PRIu64 " hits, %" PRIu64
		       " rests, %" PRIu64 " looks, %" PRIu64 " kicks", q, i,
		       guest_stat(&g, q, "polls"), guest_stat(&g, q, "poll_hits"),
		       guest_stat(&g, q, "poll_rests"), guest_stat(&g, q, "poll_looks"),
		       g.kicks[q]);
	}
	guest_close(&g);
}

/* Without a timeout nothing of this happens. */
static void off(uint64_t features)
{
	unsigned int i, q;
	struct guest g;

	guest_open(&g, path, features);
	for (i = 0; i < ENOUGH; i++) {
		guest_tx(&g);
		guest_rx(&g);
		starve(&g);
	}
	for (q = 0; q < 2; q++) {
		CHECK_EQ(guest_stat(&g, q, "polls"), 0);
		CHECK_EQ(guest_stat(&g, q, "poll_looks"), 0);
	}
	guest_close(&g);
}

/* The poll of a queue goes on: it was looked at and nothing else happened to it. */
static bool polled_on(struct guest *g, unsigned int q)
{
	uint64_t polls = guest_stat(g, q, "polls"), rests = guest_stat(g, q, "poll_rests");
	uint64_t hits = guest_stat(g, q, "poll_hits"), looks = guest_stat(g, q, "poll_looks");
	unsigned int i;

	for (i = 0; i < 100; i++) {
		if (guest_stat(g, q, "polls") != polls || guest_stat(g, q, "poll_hits") != hits ||
		    guest_stat(g, q, "poll_rests") != rests)
			return false;
		if (guest_stat(g, q, "poll_looks") > looks + 10)
			return true;
	}
	return false;
}

/* Has the transmit queue polled without an end of its own. */
static bool polling(struct guest *g, unsigned int us)
{
	unsigned int i;

	CHECK_EQ(guest_busy(g, Q_TX, us), 0);
	for (i = 0; i < MOST && !t_errors(); i++) {
		guest_tx(g);
		if (polled_on(g, Q_TX))
			return true;
	}
	return CHECK(!"the queue was polled at last");
}

/*
 * While transmit waits, to be polled for an hour, receive is woken and served,
 * and transmit goes on waiting: the same poll, looked at before and after.
 */
static void sibling(uint64_t features)
{
	unsigned int i, served = 0;
	struct guest g;

	guest_open(&g, path, features);
	for (i = 0; i < MOST && served < ENOUGH && !t_errors(); i++) {
		uint64_t polls, rests, looks;

		if (!polling(&g, LONG))
			break;
		polls = guest_stat(&g, Q_TX, "polls");
		rests = guest_stat(&g, Q_TX, "poll_rests");
		looks = guest_stat(&g, Q_TX, "poll_looks");
		guest_rx(&g);
		if (polled_on(&g, Q_TX) && guest_stat(&g, Q_TX, "polls") == polls &&
		    guest_stat(&g, Q_TX, "poll_rests") == rests &&
		    guest_stat(&g, Q_TX, "poll_looks") > looks)
			served++;
	}
	CHECK_EQ(served, ENOUGH);
	t_diag("%u of %u frames received while transmit was polled all the time", served, i);
	CHECK_EQ(guest_stat(&g, Q_RX, "polls"), 0);
	guest_close(&g);
}

struct feeder {
	struct guest *g;
	atomic_bool stop;
};

static void *feeding(void *arg)
{
	struct feeder *f = arg;
	uint8_t frame[FRAME];

	frame_make(frame, FRAME, 1);
	while (!atomic_load(&f->stop))
		send(f->g->tap.peer, frame, FRAME, 0);
	return NULL;
}

/* A polled queue has its turns though its sibling never runs dry. */
static void busy_sibling(uint64_t features)
{
	struct guest g;
	struct feeder f = { .g = &g };
	unsigned int i, j;
	pthread_t thread;

	guest_open(&g, path, features);
	CHECK_EQ(guest_busy(&g, Q_TX, LONG), 0);
	MUST(!pthread_create(&thread, NULL, feeding, &f), "thread");
	for (i = 0; i < ROUNDS && !t_errors(); i++) {
		/* All that has come back is offered again. */
		for (j = vq_returned(&g.q[Q_RX]) + VQ_NUM - g.q[Q_RX].next; j; j--)
			guest_offer(&g, Q_RX);
		guest_tx(&g);
	}
	atomic_store(&f.stop, true);
	pthread_join(thread, NULL);
	CHECK(vq_returned(&g.q[Q_RX]) > 0);
	kicks_are_asked_for(&g, Q_TX, 0);
	guest_close(&g);
}

static enum held between_once(struct guest *g)
{
	enum held held = HELD_RESTED;
	int fd = guest_keep(g);

	if (fd < 0)
		return HELD_NOT;
	if (polling(g, LONG))
		held = guest_held(g, fd);
	/* Whoever still waits for a page goes on. */
	close(fd);
	return held;
}

/* A frame is found between two works of a worker that is never without. */
static void between(uint64_t features)
{
	enum held held = HELD_RESTED;
	unsigned int i;
	struct guest g;

	for (i = 0; i < MOST && held == HELD_RESTED && !t_errors(); i++) {
		guest_open(&g, path, features);
		held = between_once(&g);
		guest_close(&g);
	}
	if (held == HELD_NOT)
		t_skip("this kernel has no userfaultfd");
	else
		CHECK_EQ(held, HELD_POLLED);
}

/* Polls that ended for no other task's sake. */
static uint64_t expired(struct guest *g)
{
	/* One that ends between the two reads isn't counted. */
	uint64_t rests = guest_stat(g, Q_TX, "poll_rests");

	return rests - guest_stat(g, Q_TX, "poll_yields");
}

/* Has a poll end by itself, or by the time being cut. */
static bool expires(struct guest *g, bool cut)
{
	uint64_t before, rests;
	unsigned int i, j;

	for (i = 0; i < MOST && !t_errors(); i++) {
		before = expired(g);
		if (cut) {
			if (!polling(g, LONG))
				return false;
			rests = guest_stat(g, Q_TX, "poll_rests");
			CHECK_EQ(guest_busy(g, Q_TX, 0), 0);
		} else {
			CHECK_EQ(guest_busy(g, Q_TX, 100), 0);
			rests = guest_stat(g, Q_TX, "poll_rests");
			guest_tx(g);
		}
		for (j = 0; j < 500 && guest_stat(g, Q_TX, "poll_rests") == rests; j++)
			sleep_ms(1);
		if (expired(g) > before)
			return true;
	}
	return CHECK(!"a poll has ended by itself");
}

static bool onto(pid_t task, unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(task, sizeof(set), &set);
}

/* Wants a processor, always; not for longer than its parent lives. */
static pid_t spinner(unsigned int cpu)
{
	pid_t child = fork();

	MUST(child >= 0, "fork");
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	MUST(onto(0, cpu), "sched_setaffinity");
	for (;;)
		__asm__ volatile("" ::: "memory");
}

/* Polls of which none has ended since so many had; whoever shares the processor ends some. */
static bool polling_since(struct guest *g, uint64_t *yields)
{
	unsigned int i;

	for (i = 0; i < MOST && polling(g, LONG); i++) {
		*yields = guest_stat(g, Q_TX, "poll_yields");
		if (polled_on(g, Q_TX))
			return true;
	}
	CHECK(!"a poll outlasts what counts it");
	return false;
}

/* Another task on the worker's processor ends a poll that has an hour. */
static void yields(uint64_t features)
{
	uint64_t before;
	struct guest g;
	unsigned int i;
	pid_t child;

	guest_open(&g, path, features);
	CHECK(onto(worker_find(getpid()), 0));
	if (polling_since(&g, &before)) {
		child = spinner(0);
		for (i = 0; i < SOON_MS && guest_stat(&g, Q_TX, "poll_yields") == before; i++)
			sleep_ms(1);
		CHECK(guest_stat(&g, Q_TX, "poll_yields") > before);
		kill(child, SIGKILL);
		CHECK(waitpid(child, NULL, 0) == child);
		guest_tx(&g);
	}
	guest_close(&g);
}

/*
 * The kick of a frame that was found without it comes late, and has the queue
 * polled once more. Replacing an eventfd, here by itself, waits for all that.
 */
static void settle(struct guest *g)
{
	CHECK_EQ(node_file(g->node, VHOST_SET_VRING_KICK, Q_TX, g->q[Q_TX].kick), 0);
}

/* A poll ends by itself, or when its time is cut: then a kick is wanted, and counts. */
static void ends(uint64_t features)
{
	struct guest g;
	uint64_t looks, kicks;
	unsigned int cut;

	guest_open(&g, path, features);
	for (cut = 0; cut < 2; cut++) {
		if (!expires(&g, cut))
			break;
		settle(&g);
		looks = guest_stat(&g, Q_TX, "poll_looks");
		kicks = g.kicks[Q_TX];
		sleep_ms(2);
		CHECK_EQ(guest_stat(&g, Q_TX, "poll_looks"), looks);
		guest_tx(&g);
		CHECK_EQ(g.kicks[Q_TX], kicks + 1);
	}
	guest_close(&g);
}

static void stops(uint64_t features)
{
	struct vhost_vring_state base = { Q_TX };
	uint64_t looks;
	struct guest g;

	guest_open(&g, path, features);
	CHECK_EQ(guest_busy(&g, Q_RX, LONG), 0);
	if (polling(&g, LONG)) {
		CHECK_EQ(node_backend(g.node, Q_TX, -1), 0);
		looks = guest_stat(&g, Q_TX, "poll_looks");
		CHECK_EQ(node_call(g.node, VHOST_GET_VRING_BASE, &base), 0);
		guest_rx(&g);
		CHECK_EQ(guest_stat(&g, Q_TX, "poll_looks"), looks);
		CHECK_EQ(node_backend(g.node, Q_TX, g.tap.fd), 0);
		guest_tx(&g);
	}
	if (polling(&g, LONG))
		CHECK_EQ(node_call(g.node, VHOST_RESET_OWNER, NULL), 0);
	CHECK(worker_gone(getpid()));
	guest_close(&g);
	guest_open(&g, path, features);
	CHECK_EQ(guest_busy(&g, Q_RX, LONG), 0);
	polling(&g, LONG);
	guest_close(&g);
	CHECK(worker_gone(getpid()));
}

/* The owner of queues that are polled is killed. */
static void killed(uint64_t features)
{
	int ready[2], status = 0;
	struct guest g;
	pid_t child;
	char ok = 0;

	MUST(!pipe(ready), "pipe");
	fflush(stdout);
	child = fork();
	if (!child) {
		guest_open(&g, path, features);
		guest_busy(&g, Q_RX, LONG);
		ok = polling(&g, LONG);
		if (write(ready[1], &ok, 1) == 1)
			pause();
		_exit(1);
	}
	CHECK(read(ready[0], &ok, 1) == 1 && ok);
	CHECK(worker_find(child) > 0);
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(worker_gone(child));
	close(ready[0]);
	close(ready[1]);
}

/* A worker that a queue leaves polls it no longer: the next frame needs a kick. */
static void leaves(struct guest *g, unsigned int fresh)
{
	unsigned int i;

	for (i = 0; i < ENOUGH && polling(g, LONG); i++) {
		struct vhost_vring_worker w = { Q_TX, i % 2 ? 0 : fresh };
		uint64_t kicks = g->kicks[Q_TX];

		CHECK_EQ(node_call(g->node, VHOST_ATTACH_VRING_WORKER, &w), 0);
		guest_tx(g);
		CHECK_EQ(g->kicks[Q_TX], kicks + 1);
	}
	CHECK_EQ(i, ENOUGH);
}

/* Each queue moves between workers while it is polled. */
static void moves(uint64_t features)
{
	struct vhost_worker_state fresh = { 0 }, first = { 0 };
	unsigned int i, q, left[2] = { 0 };
	struct guest g;

	guest_open(&g, path, features);
	for (q = 0; q < 2; q++)
		CHECK_EQ(guest_busy(&g, q, LONG), 0);
	CHECK_EQ(node_call(g.node, VHOST_NEW_WORKER, &fresh), 0);
	for (i = 0; i < ROUNDS && !t_errors(); i++) {
		struct vhost_vring_worker w = { i % 2, i % 3 ? fresh.worker_id : 0 };

		guest_tx(&g);
		guest_rx(&g);
		CHECK_EQ(node_call(g.node, VHOST_ATTACH_VRING_WORKER, &w), 0);
		left[i % 2]++;
	}
	for (q = 0; q < 2; q++) {
		struct vhost_vring_worker w = { q, 0 };

		kicks_are_asked_for(&g, q, left[q]);
		CHECK_EQ(node_call(g.node, VHOST_ATTACH_VRING_WORKER, &w), 0);
	}
	leaves(&g, fresh.worker_id);
	for (q = 0; q < 2; q++) {
		struct vhost_vring_worker w = { q, fresh.worker_id };

		CHECK_EQ(node_call(g.node, VHOST_ATTACH_VRING_WORKER, &w), 0);
	}
	CHECK_EQ(node_call(g.node, VHOST_FREE_WORKER, &first), 0);
	guest_tx(&g);
	guest_close(&g);
}

static const struct { const char *name; void (*run)(uint64_t features); bool ring; } tests[] = {
	{ "without a timeout nothing is polled", off },
	{ "frames pass, and the driver kicks only when it is asked to", traffic, true },
	{ "a queue that is polled for an hour leaves its sibling the worker", sibling },
	{ "it has its own turns while the sibling never runs dry", busy_sibling },
	{ "it is looked at after each work of a sibling that has always more", between },
	{ "the time over or cut, a kick is asked for and heard", ends, true },
	{ "a task that wants the worker's processor ends it at once", yields },
	{ "queues stop, reset and close while they are polled", stops },
	{ "the owner of polled queues is killed", killed },
	{ "polled queues move between workers", moves },
};

int main(int argc, char **argv)
{
	unsigned int i, k;

	if (argc != 2) {
		fprintf(stderr, "usage: busy NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	path = argv[1];
	answers();
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (i = 0; i < ARRAY_SIZE(tests); i++) {
			if (!tests[i].ring && !kinds[k].rest)
				continue;
			t_begin("%s: %s", kinds[k].name, tests[i].name);
			tests[i].run(kinds[k].features);
			t_end();
		}
	}
	return t_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * storm: calls that race each other, the worker, and the tables of open files.
 *
 *	storm NODE [SECONDS [backend]]
 *
 * With "backend" just SET_BACKEND and close, which stock's node can be asked.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "test.h"

/* A descriptor number that nothing else in the process uses. */
#define RACED_FD	700
#define MAX_THREADS	4
/* Frames under way at a time. */
#define PUMP		32
#define RESETS		30
#define CLOSES		200
#define CLOSES_FEW	20

static const char *node_path;
static unsigned int storm_ms = 3000, close_count = CLOSES;

/**
 * struct storm - what the threads share
 * @alias: rings and buffers, as two mappings of the same memory
 * @other: a tap beside the device's own
 * @calls: made by all threads
 * @refused: of these, by any error
 */
struct storm {
	struct rig r;
	uint8_t *alias[2];
	struct tap other;
	volatile bool stop;
	uint64_t calls;
	uint64_t refused;
};

static void count(struct storm *s, int ret)
{
	__atomic_add_fetch(&s->calls, 1, __ATOMIC_RELAXED);
	if (ret < 0)
		__atomic_add_fetch(&s->refused, 1, __ATOMIC_RELAXED);
}

static void run_threads(struct storm *s, void *(*const fn[])(void *), unsigned int n,
			void (*meanwhile)(struct storm *s))
{
	pthread_t t[MAX_THREADS];
	unsigned int i;

	s->stop = false;
	for (i = 0; i < n; i++)
		MUST(!pthread_create(&t[i], NULL, fn[i], s), "thread");
	meanwhile(s);
	s->stop = true;
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	t_diag("%llu calls, %llu refused", (unsigned long long)s->calls,
	       (unsigned long long)s->refused);
	CHECK(s->calls > 100);
}

static void wait_out(struct storm *s)
{
	sleep_ms(storm_ms);
}

static void open_usual(struct rig *r)
{
	const struct rig_opts o = {
		.node = node_path, .features = RIG_FEATURES, .batch = true,
	};

	rig_open(r, &o);
}

static void *set_backend(void *arg)
{
	struct storm *s = arg;
	unsigned int n;

	for (n = 0; !s->stop; n++)
		count(s, node_backend(s->r.node, n & 1, n % 7 ? RACED_FD : -1));
	return NULL;
}

/* The number means a tap, something else, another tap, nothing. */
static void *replace_fd(void *arg)
{
	struct storm *s = arg;
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), taps[2];
	unsigned int n;

	taps[0] = s->r.tap.fd;
	taps[1] = tap_bare(0x5002 /* tap, no packet info, virtio header */);
	for (n = 0; !s->stop; n++) {
		dup2(taps[n & 1], RACED_FD);
		if (n % 3 == 0)
			close(RACED_FD);
		if (n % 5 == 0)
			dup2(udp, RACED_FD);
	}
	close(RACED_FD);
	close(taps[1]);
	close(udp);
	return NULL;
}

static void *kick(void *arg)
{
	struct storm *s = arg;
	uint64_t one = 1;

	while (!s->stop) {
		/* Either may be closed already, in the test of that. */
		if (write(s->r.q[Q_TX].kick, &one, sizeof(one)) < 0 ||
		    write(s->r.q[Q_RX].kick, &one, sizeof(one)) < 0)
			usleep(10);
	}
	return NULL;
}

/* A new start for both queues, whatever state they are in. */
static void restart(struct rig *r)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		ring_restart(&r->q[i], r->node, r->tap.fd);
	tap_drain(&r->tap);
}

static void works(struct rig *r)
{
	uint8_t *at = mem_take(&r->mem, CHUNK_B, 2048, 64);

	rig_tx_good(r, 0);
	rig_rx_good(r, 0, at);
}

static void storm_backend(void)
{
	static struct storm s;
	void *(*const threads[])(void *) = { set_backend, set_backend, replace_fd, kick };
	long files;

	t_begin("SET_BACKEND races close and dup2 (CVE-2013-4127, CVE-2023-1838)");
	files = files_of_system();
	open_usual(&s.r);
	run_threads(&s, threads, ARRAY_SIZE(threads), wait_out);
	restart(&s.r);
	works(&s.r);
	rig_close(&s.r);
	sleep_ms(100);
	CHECK(files_of_system() - files < slack_files());
	t_end();
}

static uint8_t *moved(struct storm *s, unsigned int to, const void *at)
{
	return s->alias[to] + ((const uint8_t *)at - s->alias[0]);
}

static void *set_addr(void *arg)
{
	struct storm *s = arg;
	struct ring *q = &s->r.q[Q_TX];
	unsigned int n;

	for (n = 0; !s->stop; n++) {
		int ret = node_addr(s->r.node, Q_TX, (uintptr_t)moved(s, n & 1, q->desc),
				    (uintptr_t)moved(s, n & 1, q->avail),
				    (uintptr_t)moved(s, n & 1, q->used));

		if (ret)
			CHECK_EQ(ret, 0);
		count(s, ret);
	}
	return NULL;
}

static void *set_num(void *arg)
{
	struct storm *s = arg;

	while (!s->stop) {
		int ret = node_num(s->r.node, Q_TX, 512);

		/* EBUSY: the ring runs. */
		if (ret != -16)
			CHECK_EQ(ret, -16);
		count(s, ret);
	}
	return NULL;
}

static void *set_table(void *arg)
{
	struct storm *s = arg;
	unsigned int n;

	for (n = 0; !s->stop; n++) {
		struct node_region r = { GPA_A, CHUNK_SIZE, (uintptr_t)s->alias[n & 1] };
		int ret = node_table(s->r.node, &r, 1);

		if (ret)
			CHECK_EQ(ret, 0);
		count(s, ret);
	}
	return NULL;
}

/* Offers the next frames, from the buffer at @gpa; returns the first's number. */
static uint32_t offer_some(struct rig *r, uint64_t gpa)
{
	struct ring *q = &r->q[Q_TX];
	uint32_t first = r->seq + 1, len;
	unsigned int i;

	for (i = 0; i < PUMP; i++) {
		len = rig_frame(r, r->buf + 512 * i, RIG_FRAME);
		desc_set(q->desc, i, gpa + 512 * i, len, 0, 0);
		ring_offer(q, i);
	}
	ring_kick(q);
	return first;
}

/* Frames all the while: none lost, none wrong, none twice. */
static void pump(struct storm *s)
{
	struct rig *r = &s->r;
	struct ring *q = &r->q[Q_TX];
	uint64_t until = now_ns() + storm_ms * NS_PER_MS;
	unsigned int sent = 0, i;
	uint32_t first;

	while (now_ns() < until && t_errors() < 8) {
		first = offer_some(r, GPA_A + (r->buf - s->alias[0]));
		for (i = 0; i < PUMP; i++) {
			CHECK_EQ(ring_reap(q, NULL, WAIT_MS), i);
			rig_arrives(r, first + i, RIG_FRAME);
		}
		sent += PUMP;
	}
	rig_silent(r);
	CHECK_EQ(event_wait(q->err, 0), 0);
	t_diag("%u frames", sent);
	CHECK(sent > PUMP);
}

static void *swap_taps(void *arg)
{
	struct storm *s = arg;
	unsigned int n;

	for (n = 0; !s->stop; n++) {
		int ret = node_backend(s->r.node, Q_TX, n & 1 ? s->r.tap.fd : s->other.fd);

		if (ret)
			CHECK_EQ(ret, 0);
		count(s, ret);
	}
	return NULL;
}

/* CHECKs that the frames from @first on come, each at one of two taps; counts those of each. */
static void take_each(struct storm *s, uint32_t first, unsigned int *got)
{
	const struct tap *taps[] = { &s->r.tap, &s->other };
	struct pollfd p[] = { { taps[0]->peer, POLLIN }, { taps[1]->peer, POLLIN } };
	bool seen[PUMP] = { 0 };
	unsigned int n, i, at;
	uint8_t f[2048];
	ssize_t len;

	for (n = 0; n < PUMP && poll_ms(p, 2, WAIT_MS) > 0; n++) {
		at = !p[0].revents;
		len = recv(taps[at]->peer, f, sizeof(f), MSG_DONTWAIT);
		for (i = 0; i < PUMP; i++)
			if (len == RIG_FRAME && frame_is(f, RIG_FRAME, first + i))
				break;
		if (!CHECK(i < PUMP && !seen[i]))
			return;
		seen[i] = true;
		got[at]++;
	}
	CHECK_EQ(n, PUMP);
}

static void pump_two(struct storm *s)
{
	struct rig *r = &s->r;
	uint64_t until = now_ns() + storm_ms * NS_PER_MS;
	unsigned int got[2] = { 0 }, i;
	uint8_t f[RIG_FRAME];
	uint32_t first;

	while (now_ns() < until && t_errors() < 8) {
		first = offer_some(r, mem_gpa(&r->mem, r->buf));
		for (i = 0; i < PUMP; i++)
			CHECK_EQ(ring_reap(&r->q[Q_TX], NULL, WAIT_MS), i);
		take_each(s, first, got);
	}
	rig_silent(r);
	CHECK_EQ(tap_take(&s->other, f, sizeof(f), 0), 0);
	t_diag("%u frames at one tap, %u at the other", got[0], got[1]);
	CHECK(got[0] > PUMP && got[1] > PUMP);
}

/* What was sent while a tap was the queue's, is its. */
static void storm_taps(void)
{
	static struct storm s;
	void *(*const threads[])(void *) = { swap_taps };

	t_begin("SET_BACKEND to and fro between two taps while frames are sent");
	open_usual(&s.r);
	tap_open(&s.other, s.r.hdr, true);
	run_threads(&s, threads, ARRAY_SIZE(threads), pump_two);
	CHECK_EQ(node_backend(s.r.node, Q_TX, s.r.tap.fd), 0);
	tap_close(&s.other);
	rig_close(&s.r);
	t_end();
}

/* The transmit ring and the buffers move to memory that is mapped twice. */
static void open_twice(struct storm *s)
{
	struct node_region region = { GPA_A, CHUNK_SIZE };
	struct rig *r = &s->r;
	struct ring *q = &r->q[Q_TX];
	uint8_t *p;

	open_usual(r);
	p = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(p != MAP_FAILED, "mmap");
	s->alias[0] = p;
	s->alias[1] = mremap(p, 0, CHUNK_SIZE, MREMAP_MAYMOVE);
	MUST(s->alias[1] != MAP_FAILED, "mremap");
	CHECK_EQ(node_backend(r->node, Q_TX, -1), 0);
	ring_close(q);
	q->desc = (void *)p;
	q->avail = (void *)(p + PAGE);
	q->used = (void *)(p + 2 * PAGE);
	r->buf = p + 16 * PAGE;
	region.user = (uintptr_t)p;
	CHECK_EQ(node_table(r->node, &region, 1), 0);
	ring_start(q, r->node, r->tap.fd);
}

static void storm_moving(const char *name, void *(*const threads[])(void *), unsigned int n)
{
	struct storm *s = calloc(1, sizeof(*s));

	MUST(s, "calloc");
	t_begin("%s while frames are sent", name);
	open_twice(s);
	run_threads(s, threads, n, pump);
	rig_close(&s->r);
	munmap(s->alias[0], CHUNK_SIZE);
	munmap(s->alias[1], CHUNK_SIZE);
	free(s);
	t_end();
}

/* Keeps the ring full, without a look at what comes back. */
static void *flood(void *arg)
{
	struct storm *s = arg;
	struct ring *q = &s->r.q[Q_TX];

	while (!s->stop) {
		ring_publish(q, ring_used_idx(q) + PUMP);
		usleep(50);
	}
	return NULL;
}

static void flood_prepare(struct rig *r)
{
	uint32_t len = rig_frame(r, r->buf, RIG_FRAME);

	/* Every slot of the avail ring is 0 as it was made. */
	desc_set(r->q[Q_TX].desc, 0, mem_gpa(&r->mem, r->buf), len, 0, 0);
}

static void setup_again(struct rig *r)
{
	unsigned int i;

	CHECK_EQ(node_owner(r->node), 0);
	CHECK_EQ(node_features(r->node, r->features), 0);
	CHECK_EQ(mem_announce(&r->mem, r->node), 0);
	for (i = 0; i < 2; i++) {
		struct ring *q = &r->q[i];

		CHECK_EQ(node_num(r->node, i, q->num), 0);
		CHECK_EQ(node_base(r->node, i, ring_used_idx(q)), 0);
		CHECK_EQ(node_addr(r->node, i, (uintptr_t)q->desc, (uintptr_t)q->avail,
				   (uintptr_t)q->used), 0);
		CHECK_EQ(node_file(r->node, VHOST_SET_VRING_KICK, i, q->kick), 0);
		CHECK_EQ(node_file(r->node, VHOST_SET_VRING_CALL, i, q->call), 0);
		CHECK_EQ(node_file(r->node, VHOST_SET_VRING_ERR, i, q->err), 0);
		CHECK_EQ(node_backend(r->node, i, r->tap.fd), 0);
	}
}

static void resets(struct storm *s)
{
	unsigned int i, moved = 0;
	uint16_t before;

	for (i = 0; i < RESETS; i++) {
		before = ring_used_idx(&s->r.q[Q_TX]);
		sleep_ms(20);
		moved += ring_used_idx(&s->r.q[Q_TX]) != before;
		CHECK_EQ(node_call(s->r.node, VHOST_RESET_OWNER, NULL), 0);
		CHECK(worker_gone(getpid()));
		count(s, 0);
		setup_again(&s->r);
		count(s, 0);
	}
	/* Else there was no traffic under which to reset. */
	CHECK(moved > RESETS / 2);
	s->calls += 100;
}

static void storm_reset(void)
{
	static struct storm s;
	void *(*const threads[])(void *) = { flood, kick };

	t_begin("RESET_OWNER while frames are sent, %u times", RESETS);
	open_usual(&s.r);
	flood_prepare(&s.r);
	run_threads(&s, threads, ARRAY_SIZE(threads), resets);
	restart(&s.r);
	sleep_ms(50);
	tap_drain(&s.r.tap);
	works(&s.r);
	rig_close(&s.r);
	t_end();
}

static void closes(struct storm *s)
{
	unsigned int i;

	for (i = 0; i < close_count; i++) {
		CHECK_EQ(close(s->r.node), 0);
		s->r.node = node_open(node_path);
		setup_again(&s->r);
		count(s, 0);
	}
	s->calls += 100;
}

static void storm_close(void)
{
	static struct storm s;
	void *(*const threads[])(void *) = { flood, kick };

	t_begin("close during kicks, %u times (CVE-2018-14625)", close_count);
	open_usual(&s.r);
	flood_prepare(&s.r);
	run_threads(&s, threads, ARRAY_SIZE(threads), closes);
	restart(&s.r);
	sleep_ms(50);
	tap_drain(&s.r.tap);
	works(&s.r);
	rig_close(&s.r);
	t_end();
}

int main(int argc, char **argv)
{
	void *(*const addr[])(void *) = { set_addr };
	void *(*const num[])(void *) = { set_num };
	void *(*const table[])(void *) = { set_table };
	void *(*const all[])(void *) = { set_addr, set_num, set_table };

	if (argc < 2) {
		fprintf(stderr, "usage: storm NODE [SECONDS [backend]]\n");
		return 2;
	}
	node_path = argv[1];
	if (argc > 2)
		storm_ms = atoi(argv[2]) * 1000;
	storm_backend();
	storm_taps();
	if (argc > 3) {
		close_count = CLOSES_FEW;
		storm_close();
		return t_done();
	}
	storm_moving("SET_VRING_ADDR to and fro", addr, 1);
	storm_moving("SET_VRING_NUM", num, 1);
	storm_moving("SET_MEM_TABLE to and fro", table, 1);
	storm_moving("all three", all, 3);
	storm_reset();
	storm_close();
	return t_done();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * faults: every allocation and every copy of a call fails once, one after the
 * other (/proc/thread-self/fail-nth). A call that failed has changed nothing
 * that matters: made again it succeeds, and the device works.
 *
 *	faults setup NODE	each call of a device's life: as KTAP
 *	faults move NODE	a ring that runs is told another place: as KTAP
 *	faults inflight NODE	the worker's own, under traffic: as KTAP
 *	faults iotlb NODE	both, with a device IOTLB: as KTAP
 *	faults log NODE		both, with a dirty log: as KTAP
 *	faults owner NODE ERRNO	VHOST_SET_OWNER fails with that first: as KTAP
 *	faults moves NODE ERRNO	a call that moves a ring that runs answers that: as KTAP
 *	faults map NODE		traffic that must take windows in the end: as KTAP
 *	faults flush NODE	a used ring that fails once: as KTAP
 *	faults iotlb-map NODE	the same, with a device IOTLB: as KTAP
 *	faults log-map NODE	the same, with a dirty log: as KTAP
 *	faults iotlb-pieces NODE	a ring that there is no memory to find, for a while: as KTAP
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_direct.h"
#include "faults.h"
#include "movable.h"
#include "rig.h"
#include "test.h"

/* Frames that wait for buffers, and a buffer's size. */
#define BACKLOG		100
#define BACKLOG_ROOM	256
/* After an error the module tries again by itself, not sooner. */
#define RETRY_MS	100

const char *node_path;
static struct rig r;
static int spare;	/* an eventfd */

static int do_open(void)
{
	int fd = open(node_path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r.node = fd;
	return 0;
}

static int do_owner(void)
{
	return node_owner(r.node);
}

static int do_features(void)
{
	return node_features(r.node, RIG_FEATURES);
}

static int do_table(void)
{
	return mem_announce(&r.mem, r.node);
}

static int q_num(unsigned int q)
{
	return node_num(r.node, q, r.q[q].num);
}

static int q_base(unsigned int q)
{
	return node_base(r.node, q, r.q[q].pub);
}

static int q_addr(unsigned int q)
{
	return node_addr(r.node, q, (uintptr_t)r.q[q].desc, (uintptr_t)r.q[q].avail,
			 (uintptr_t)r.q[q].used);
}

static int q_kick(unsigned int q)
{
	return node_file(r.node, VHOST_SET_VRING_KICK, q, r.q[q].kick);
}

static int q_call(unsigned int q)
{
	return node_file(r.node, VHOST_SET_VRING_CALL, q, r.q[q].call);
}

static int q_err(unsigned int q)
{
	return node_file(r.node, VHOST_SET_VRING_ERR, q, r.q[q].err);
}

static int q_backend(unsigned int q)
{
	return node_backend(r.node, q, r.tap.fd);
}

static int q_stop(unsigned int q)
{
	return node_backend(r.node, q, -1);
}

/* Another eventfd, then the one that is used again. */
static int q_other_kick(unsigned int q)
{
	int ret = node_file(r.node, VHOST_SET_VRING_KICK, q, spare);

	return ret ?: q_kick(q);
}

static int q_get_base(unsigned int q)
{
	int ret = node_get_base(r.node, q);

	return ret < 0 ? ret : 0;
}

static int q_stats(unsigned int q)
{
	static uint64_t room[(sizeof(struct vd_stats) + 64 * sizeof(struct vd_stat)) / 8];
	struct vd_stats *s = (void *)room;

	s->index = q;
	s->count = 64;
	return node_call(r.node, VD_GET_STATS, s);
}

static int do_log(void)
{
	return node_call(r.node, VHOST_SET_LOG_FD, &spare);
}

/* A whole number of rounds of this is a device with traffic. */
static const struct step {
	const char *name;
	int (*dev)(void);
	int (*queue)(unsigned int q);
	unsigned int q;
} steps[] = {
	{ "open", do_open },
	{ "VHOST_SET_OWNER", do_owner },
	{ "VHOST_SET_FEATURES", do_features },
	{ "VHOST_SET_MEM_TABLE", do_table },
#define QUEUE(q)							\
	{ "VHOST_SET_VRING_NUM, queue " #q, NULL, q_num, q },		\
	{ "VHOST_SET_VRING_BASE, queue " #q, NULL, q_base, q },		\
	{ "VHOST_SET_VRING_ADDR, queue " #q, NULL, q_addr, q },		\
	{ "VHOST_SET_VRING_KICK, queue " #q, NULL, q_kick, q },		\
	{ "VHOST_SET_VRING_CALL, queue " #q, NULL, q_call, q },		\
	{ "VHOST_SET_VRING_ERR, queue " #q, NULL, q_err, q },		\
	{ "VHOST_NET_SET_BACKEND, queue " #q, NULL, q_backend, q }
	QUEUE(0),
	QUEUE(1),
	{ "running: VHOST_SET_VRING_ADDR", NULL, q_addr, Q_TX },
	{ "running: VHOST_SET_MEM_TABLE", do_table },
	{ "running: VHOST_SET_FEATURES", do_features },
	{ "running: VHOST_SET_VRING_KICK", NULL, q_other_kick, Q_TX },
	{ "running: VHOST_SET_LOG_FD", do_log },
	{ "running: VHOST_GET_VRING_BASE", NULL, q_get_base, Q_RX },
	{ "running: VD_GET_STATS", NULL, q_stats, Q_RX },
	{ "running: VHOST_NET_SET_BACKEND, detach", NULL, q_stop, Q_RX },
	{ "running: VHOST_NET_SET_BACKEND, attach again", NULL, q_backend, Q_RX },
};

static int take(const struct step *s)
{
	return s->dev ? s->dev() : s->queue(s->q);
}

static void prepare(void)
{
	unsigned int i;

	mem_init(&r.mem, false);
	r.features = RIG_FEATURES;
	r.hdr = 12;
	spare = event_new();
	for (i = 0; i < 2; i++) {
		ring_place(&r.q[i], &r.mem, i, RIG_NUM);
		r.q[i].kick = event_new();
		r.q[i].call = event_new();
		r.q[i].err = event_new();
	}
	r.buf = mem_take(&r.mem, CHUNK_A, 1 << 16, PAGE);
	tap_open(&r.tap, r.hdr, true);
}

static void fresh_rings(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		r.q[i].avail->idx = 0;
		r.q[i].used->idx = 0;
		r.q[i].pub = 0;
		r.q[i].reaped = 0;
		event_wait(r.q[i].err, 0);
	}
	tap_drain(&r.tap);
}

/*
 * A device's life in which call @k meets failure @n. False if it has fewer
 * than @n places that can fail.
 */
static bool one_life(int nth, unsigned int k, unsigned int n)
{
	static uint8_t *into;
	unsigned int i;
	bool hit = true;
	int ret;

	if (!into)
		into = mem_take(&r.mem, CHUNK_B, 2048, 64);
	fresh_rings();
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (i == k) {
			nth_set(nth, n);
			ret = take(&steps[i]);
			hit = !nth_end(nth);
			if (!CHECK(plausible(ret)))
				t_diag("failure %u: %d", n, ret);
			if (!ret)
				continue;
		}
		CHECK_EQ(take(&steps[i]), 0);
	}
	rig_tx_good(&r, 0);
	rig_rx_good(&r, 0, into);
	CHECK_EQ(close(r.node), 0);
	if (!CHECK(worker_gone(getpid())))
		t_diag("failure %u", n);
	return hit;
}

static void setup(void)
{
	int nth = nth_open(0);
	unsigned int k, n;

	prepare();
	for (k = 0; k < ARRAY_SIZE(steps); k++) {
		t_begin("%s: each allocation and copy fails once", steps[k].name);
		for (n = 1; n < MOST && one_life(nth, k, n); n++)
			;
		CHECK(n < MOST);
		t_diag("%s: %u places", steps[k].name, n - 1);
		t_end();
	}
}

/* Takes the windows away, so that the worker has to look for the pages again. */
static void unmap_rings(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(mprotect(r.q[i].used, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
		CHECK_EQ(mprotect(r.q[i].used, PAGE, PROT_READ | PROT_WRITE), 0);
	}
}

/* Frames fed in place of one that a fault may have cost: each is lost or arrives late. */
static unsigned int fed_again;

/*
 * Until what was offered comes back. Either it does by itself, or the device
 * says that it stopped, and goes on with the next kick.
 */
static bool comes_back(struct ring *q, bool feed)
{
	uint8_t f[RIG_FRAME];
	unsigned int ms;

	for (ms = 0; ms < PATIENCE_MS; ms += 20) {
		if (ring_reap(q, NULL, 20) >= 0)
			return true;
		/* A frame that met a fault is lost, as on any network. */
		if (event_wait(q->err, 0) || (feed && ms % 200 == 180)) {
			if (feed) {
				frame_make(f, sizeof(f), ++r.seq);
				CHECK(tap_feed(&r.tap, f, sizeof(f)));
				fed_again++;
			}
			ring_kick(q);
		}
	}
	return false;
}

static void one_round(unsigned int n, uint8_t *into)
{
	struct ring *tx = &r.q[Q_TX], *rx = &r.q[Q_RX];
	uint8_t f[RIG_FRAME];

	desc_set(tx->desc, n % RIG_NUM, mem_gpa(&r.mem, r.buf),
		 rig_frame(&r, r.buf, RIG_FRAME), 0, 0);
	ring_offer(tx, n % RIG_NUM);
	ring_kick(tx);
	if (!CHECK(comes_back(tx, false)))
		t_diag("failure %u: tx is stuck", n);
	desc_set(rx->desc, n % RIG_NUM, mem_gpa(&r.mem, into), 2048, D_WRITE, 0);
	ring_offer(rx, n % RIG_NUM);
	ring_kick(rx);
	frame_make(f, sizeof(f), ++r.seq);
	CHECK(tap_feed(&r.tap, f, sizeof(f)));
	if (!CHECK(comes_back(rx, true)))
		t_diag("failure %u: rx is stuck", n);
}

/* The frame fed now arrives whole, behind at most those that were fed again. */
static void rx_recovers(uint8_t *into)
{
	struct ring *rx = &r.q[Q_RX];
	uint8_t f[RIG_FRAME];
	unsigned int late;
	bool found = false;

	frame_make(f, sizeof(f), ++r.seq);
	CHECK(tap_feed(&r.tap, f, sizeof(f)));
	for (late = 0; !found && late <= fed_again; late++) {
		desc_set(rx->desc, 0, mem_gpa(&r.mem, into), 2048, D_WRITE, 0);
		ring_offer(rx, 0);
		ring_kick(rx);
		if (!CHECK_EQ(ring_reap(rx, NULL, WAIT_MS), 0))
			return;
		found = frame_is(into + r.hdr, RIG_FRAME, r.seq);
	}
	if (!CHECK(found))
		t_diag("%u frames arrived, none of them the last", late);
}

void nobody_holds(void *part, size_t len)
{
	uintptr_t first = (uintptr_t)part / PAGE, last = ((uintptr_t)part + len - 1) / PAGE;
	int held = mv_held((void *)(first * PAGE), last - first + 1);

	if (held < 0)
		t_diag("move_pages to another node: %s (numa=2?)", strerror(errno));
	CHECK_EQ(held, 0);
}

static void nobody_holds_rings(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		nobody_holds(r.q[i].desc, 16 * r.q[i].num);
		nobody_holds(r.q[i].avail, 6 + 2 * r.q[i].num);
		nobody_holds(r.q[i].used, 6 + 8 * r.q[i].num);
	}
}

/* Another place for the ring, which holds what the first does. */
static void place_twin(struct ring *twin, struct ring *q)
{
	ring_place(twin, &r.mem, q->index, q->num);
	twin->kick = q->kick;
	twin->call = q->call;
	twin->err = q->err;
}

static void copy_ring(struct ring *to, const struct ring *from)
{
	memcpy(to->desc, from->desc, 16 * from->num);
	memcpy(to->avail, from->avail, 4 + 2 * from->num + 2);
	memcpy(to->used, from->used, 4 + 8 * from->num + 2);
	to->pub = from->pub;
	to->reaped = from->reaped;
}

/* Windows serve the ring, whatever user access it takes until they do. */
static void direct_again(void)
{
	uint64_t before = node_stat(r.node, Q_TX, "bursts_direct");
	unsigned int i;

	for (i = 0; i < 200 && node_stat(r.node, Q_TX, "bursts_direct") == before; i++) {
		rig_tx_good(&r, i % RIG_NUM);
		sleep_ms(5);
	}
	CHECK(i < 200);
}

static bool goes_with(uint8_t *page)
{
	uint64_t hits;

	direct_again();
	hits = node_stat(r.node, Q_TX, "inval_hit");
	CHECK_EQ(mprotect(page, PAGE, PROT_READ), 0);
	CHECK_EQ(mprotect(page, PAGE, PROT_READ | PROT_WRITE), 0);
	return node_stat(r.node, Q_TX, "inval_hit") > hits;
}

/* Windows serve the ring, and no page of it could go without them. */
static void guarded(const struct ring *q)
{
	const struct { void *at; size_t len; } part[] = {
		{ q->desc, 16 * q->num }, { q->avail, 6 + 2 * q->num }, { q->used, 6 + 8 * q->num },
	};
	unsigned int i, tries;
	size_t at;

	for (i = 0; i < ARRAY_SIZE(part); i++) {
		for (at = 0; at < part[i].len; at += PAGE) {
			/* Something else may take them away first, now and then. */
			for (tries = 0; tries < 3 && !goes_with(part[i].at + at); tries++)
				;
			if (!CHECK(tries < 3))
				t_diag("page %zu of part %u went, the windows stayed",
				       at / PAGE, i);
		}
	}
	direct_again();
}

/*
 * A running ring moves, or it doesn't: traffic goes on where the answer says
 * that it is, by windows, without any further call, and that is where the
 * notifier looks for it.
 */
static void move(void)
{
	const struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = true };
	struct ring *q = &r.q[Q_TX], twin, was;
	unsigned int n, moved = 0, refused = 0;
	bool hit = true;
	int nth, ret;

	t_begin("running: VHOST_SET_VRING_ADDR to another place: all or nothing");
	rig_open(&r, &o);
	nth = nth_open(0);
	place_twin(&twin, q);
	for (n = 1; hit && n < MOST; n++) {
		rig_tx_good(&r, n % RIG_NUM);
		copy_ring(&twin, q);
		was = *q;
		*q = twin;
		nth_set(nth, n);
		ret = q_addr(Q_TX);
		hit = !nth_end(nth);
		CHECK(plausible(ret));
		moved += !ret;
		refused += ret == -ENOMEM;
		if (ret)
			*q = was;
		else
			twin = was;
		guarded(q);
	}
	t_diag("%u failures: moved %u times, no memory %u times", n - 2, moved, refused);
	/* Eight allocations may fail; others, now and then, are before them in number. */
	CHECK(n < MOST && moved > 0 && refused > 2);
	close(nth);
	rig_close(&r);
	CHECK(worker_gone(getpid()));
	t_end();
}

/* One such call, by a name of its own, so that the suite can have it fail where it likes. */
static void moves(int expected)
{
	const struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = true };
	struct ring *q = &r.q[Q_TX], twin, was;
	int ret;

	t_begin("running: VHOST_SET_VRING_ADDR answers %d: windows are where it is", expected);
	rig_open(&r, &o);
	place_twin(&twin, q);
	direct_again();
	copy_ring(&twin, q);
	was = *q;
	*q = twin;
	prctl(PR_SET_NAME, "faults-moves");
	ret = q_addr(Q_TX);
	prctl(PR_SET_NAME, "faults");
	CHECK_EQ(ret, expected);
	if (ret)
		*q = was;
	guarded(q);
	rig_close(&r);
	CHECK(worker_gone(getpid()));
	t_end();
}

static void inflight(bool batch, bool mapped)
{
	const struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = batch };
	unsigned int n = 0, left = 0;
	uint8_t *into;
	int nth;

	t_begin("worker, %s, %s: each allocation and copy fails once under traffic",
		batch ? "batches" : "one by one", mapped ? "windows mapped" : "windows to be mapped");
	rig_open(&r, &o);
	fed_again = 0;
	nth = nth_open(r.worker);
	into = mem_take(&r.mem, CHUNK_B, 2048, 64);
	rig_tx_good(&r, 0);
	while (!left && ++n < MOST) {
		if (!mapped)
			unmap_rings();
		nth_set(nth, n);
		one_round(n, into);
		left = nth_end(nth);
		/* What was fed more than once may still be on its way. */
		sleep_ms(5);
		tap_drain(&r.tap);
		while (ring_reap(&r.q[Q_RX], NULL, 1) >= 0)
			;
		rig_tx_good(&r, (n + 1) % RIG_NUM);
	}
	CHECK(n < MOST);
	CHECK(n > 3);
	t_diag("%u places, %u frames fed again", n - 1, fed_again);
	close(nth);
	rx_recovers(into);
	nobody_holds_rings();
	rig_close(&r);
	CHECK(worker_gone(getpid()));
	t_end();
}

/* What fails is up to the suite; it must fail cleanly, and once. */
static void owner(int expected)
{
	struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = true };

	t_begin("VHOST_SET_OWNER answers %d, then succeeds", expected);
	o.fd = node_open(node_path);
	CHECK_EQ(node_owner(o.fd), expected);
	CHECK_EQ(node_call(o.fd, VHOST_RESET_OWNER, NULL), -EPERM);
	CHECK_EQ(node_num(o.fd, 0, 16), -EPERM);
	CHECK(worker_gone(getpid()));
	rig_open(&r, &o);
	rig_tx_good(&r, 0);
	rig_rx_good(&r, 0, mem_take(&r.mem, CHUNK_B, 2048, 64));
	rig_close(&r);
	CHECK(worker_gone(getpid()));
	t_end();
}

static void map(void)
{
	const struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = true };
	uint64_t user, direct;
	unsigned int i;

	t_begin("mapping fails for a while: by user access meanwhile, then by windows");
	rig_open(&r, &o);
	for (i = 0; i < 40; i++) {
		rig_tx_good(&r, i);
		sleep_ms(10);
	}
	user = node_stat(r.node, Q_TX, "bursts_user");
	direct = node_stat(r.node, Q_TX, "bursts_direct");
	t_diag("%llu by user access, %llu direct, %llu failures to map",
	       (unsigned long long)user, (unsigned long long)direct,
	       (unsigned long long)node_stat(r.node, Q_TX, "map_failures"));
	CHECK(user >= 2 && direct >= 2);
	CHECK(node_stat(r.node, Q_TX, "map_failures") >= 2);
	user = node_stat(r.node, Q_TX, "bursts_user");
	rig_tx_good(&r, 0);
	CHECK_EQ(node_stat(r.node, Q_TX, "bursts_user"), user);
	nobody_holds_rings();
	rig_close(&r);
	t_end();
}

/*
 * A receiver's visit hands back 64 chains at a time. The first hand-over fails,
 * though nothing is wrong with the ring: the queue stops, the owner is told, and
 * the next kick brings all frames, in their order.
 */
static void flush(void)
{
	const struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = true };
	uint8_t *into, f[RIG_FRAME];
	unsigned int i;
	uint64_t start;

	t_begin("a used ring that can't be written amid a receiver's visit costs no frame");
	rig_open(&r, &o);
	into = mem_take(&r.mem, CHUNK_B, BACKLOG * BACKLOG_ROOM, 64);
	for (i = 0; i < BACKLOG; i++) {
		frame_make(f, sizeof(f), i);
		CHECK(tap_feed(&r.tap, f, sizeof(f)));
		desc_set(r.q[Q_RX].desc, i, mem_gpa(&r.mem, into + i * BACKLOG_ROOM), BACKLOG_ROOM,
			 D_WRITE, 0);
	}
	worker_rest(r.worker);
	for (i = 0; i < BACKLOG; i++)
		ring_offer(&r.q[Q_RX], i);
	start = now_ns();
	ring_kick(&r.q[Q_RX]);
	CHECK_EQ(event_wait(r.q[Q_RX].err, WAIT_MS), 1);
	CHECK_EQ(node_stat(r.node, Q_RX, "faults"), 1);
	worker_rest(r.worker);
	/* Unless we come so late that the module has tried again by itself. */
	CHECK(!ring_used_idx(&r.q[Q_RX]) || now_ns() - start >= RETRY_MS * NS_PER_MS);
	ring_kick(&r.q[Q_RX]);
	for (i = 0; i < BACKLOG; i++)
		if (!CHECK_EQ(ring_reap(&r.q[Q_RX], NULL, WAIT_MS), i) ||
		    !CHECK(frame_is(into + i * BACKLOG_ROOM + r.hdr, RIG_FRAME, i)))
			break;
	CHECK_EQ(event_wait(r.q[Q_RX].err, 0), 0);
	rig_close(&r);
	t_end();
}

static void inflight_all(void)
{
	inflight(true, true);
	inflight(true, false);
	inflight(false, true);
	inflight(false, false);
}

static const struct mode {
	const char *name;
	void (*run)(void);
} modes[] = {
	{ "setup", setup },
	{ "move", move },
	{ "inflight", inflight_all },
	{ "map", map },
	{ "flush", flush },
	{ "iotlb", faults_iotlb },
	{ "iotlb-map", faults_iotlb_map },
	{ "iotlb-pieces", faults_iotlb_pieces },
	{ "log", faults_log },
	{ "log-map", faults_log_map },
};

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc < 3) {
		fprintf(stderr, "usage: faults MODE NODE: see the source\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	node_path = argv[2];
	if (!strcmp(argv[1], "owner") && argc > 3) {
		owner(atoi(argv[3]));
		return t_done();
	}
	if (!strcmp(argv[1], "moves") && argc > 3) {
		moves(atoi(argv[3]));
		return t_done();
	}
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(argv[1], modes[i].name)) {
			modes[i].run();
			return t_done();
		}
	}
	fprintf(stderr, "faults: no mode '%s'\n", argv[1]);
	return 2;
}

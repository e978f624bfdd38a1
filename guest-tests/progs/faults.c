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
 *	faults worker NODE ERRNO	VHOST_NEW_WORKER fails with that first: as KTAP
 *	faults zcopy NODE	TX is given a socket that takes memory uncopied: as KTAP
 *	faults owner NODE ERRNO	VHOST_SET_OWNER fails with that first: as KTAP
 *	faults moves NODE ERRNO	a call that moves a ring that runs answers that: as KTAP
 *	faults map NODE		traffic that must take windows in the end: as KTAP
 *	faults flush NODE	a used ring that fails once: as KTAP
 *	faults iotlb-map NODE	the same, with a device IOTLB: as KTAP
 *	faults log-map NODE	the same, with a dirty log: as KTAP
 *	faults iotlb-pieces NODE	a ring that there is no memory to find, for a while: as KTAP
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

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

static bool goes_with(uint8_t *page)
{
	uint64_t hits;

	rig_tx_direct(&r);
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
	rig_tx_direct(&r);
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
		ret = rig_addr(&r, Q_TX);
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
	rig_tx_direct(&r);
	copy_ring(&twin, q);
	was = *q;
	*q = twin;
	prctl(PR_SET_NAME, "faults-moves");
	ret = rig_addr(&r, Q_TX);
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

static void worker(int expected)
{
	const struct rig_opts o = { .node = node_path, .features = RIG_FEATURES, .batch = true };

	t_begin("VHOST_NEW_WORKER answers %d, then succeeds", expected);
	rig_open(&r, &o);
	rig_tx_good(&r, 0);
	MUST(!prctl(PR_SET_NAME, "faults-worker"), "name");
	CHECK_EQ(node_worker_new(r.node), expected);
	CHECK_EQ(node_attach(r.node, Q_TX, 1), -ENODEV);
	CHECK_EQ(node_worker_free(r.node, 1), -ENODEV);
	rig_tx_good(&r, 1);
	CHECK_EQ(node_worker_new(r.node), 1);
	MUST(!prctl(PR_SET_NAME, "faults"), "name");
	CHECK_EQ(node_attach(r.node, Q_TX, 1), 0);
	rig_tx_good(&r, 2);
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
	{ "setup", faults_setup },
	{ "zcopy", faults_zcopy },
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
	if (!strcmp(argv[1], "worker") && argc > 3) {
		worker(atoi(argv[3]));
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * faults: the device IOTLB. Its calls and messages fail once at each place that
 * can; then the worker does, which has to find rings and buffers again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "iotlb.h"

static struct io io;

static int do_open(void)
{
	int fd = open(node_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	io.node = fd;
	return 0;
}

static int do_owner(void)
{
	return node_owner(io.node);
}

static int do_kind(void)
{
	return io_kind(&io);
}

static int do_features(void)
{
	return node_features(io.node, io.features);
}

static int do_table(void)
{
	return io_table(&io);
}

/* What is known to fail cleanly without an IOTLB: see setup of faults.c. */
static int do_rings(void)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < 2 && !ret; i++) {
		const struct vq_told told = io_told(i);

		ret = vq_setup(&io.q[i], io.node, &told);
	}
	return ret;
}

static int do_update(void)
{
	return io_answer(&io, AT_USED);
}

static int rx_start(void)
{
	io_tell_ring(&io, Q_RX);
	return io_start(&io, Q_RX);
}

static int rx_attach(void)
{
	return node_backend(io.node, Q_RX, io.tap.fd);
}

static int tx_start(void)
{
	io_tell_ring(&io, Q_TX);
	return io_start(&io, Q_TX);
}

static int do_invalidate(void)
{
	return io_message(&io, VHOST_IOTLB_INVALIDATE, AT_RING + AT_DESC, PAGE, 0, 0);
}

static int tx_moved(void)
{
	const struct vq_told told = io_told(Q_TX);

	return vq_told(&io.q[Q_TX], io.node, &told);
}

/* The worker looks at a queue whose ring it doesn't know any more, and asks. */
static int do_ask(void)
{
	struct pollfd p = { .fd = io.node, .events = POLLIN };

	vq_kick(&io.q[Q_TX]);
	return poll(&p, 1, PATIENCE_MS) == 1 ? 0 : -ETIME;
}

static struct vhost_iotlb_msg asked;

static int do_read(void)
{
	return io_read(&io, &asked);
}

static int do_answer(void)
{
	return io_answer(&io, asked.iova);
}

static const struct step {
	const char *name;
	int (*take)(void);
	bool safe;	/* not failed */
} steps[] = {
	{ "open", do_open, true },
	{ "VHOST_SET_OWNER", do_owner, true },
	{ "VHOST_SET_BACKEND_FEATURES", do_kind },
	{ "VHOST_SET_FEATURES", do_features },
	{ "VHOST_SET_MEM_TABLE", do_table },
	{ "rings", do_rings, true },
	{ "VHOST_IOTLB_UPDATE", do_update },
	{ "queue 0", rx_start, true },
	{ "detached", NULL, true },
	{ "VHOST_NET_SET_BACKEND", rx_attach },
	{ "queue 1", tx_start, true },
	{ "running: VHOST_IOTLB_UPDATE, of a ring", do_update },
	{ "running: VHOST_IOTLB_INVALIDATE, of a ring", do_invalidate },
	{ "a queue asks", do_ask, true },
	{ "running: read of a miss", do_read },
	{ "running: VHOST_IOTLB_UPDATE, an answer", do_answer },
	{ "running: VHOST_SET_VRING_ADDR", tx_moved },
	{ "running: VHOST_SET_MEM_TABLE", do_table },
	{ "running: VHOST_SET_FEATURES", do_features },
};

static int take(const struct step *s)
{
	return s->take ? s->take() : node_backend(io.node, Q_RX, -1);
}

/* A message that can't be copied is no message. */
static bool answers(int ret)
{
	return plausible(ret) || ret == -EINVAL;
}

static void fresh_rings(void)
{
	unsigned int i;

	memset(io.view, 0, 2 * AT_RING);
	for (i = 0; i < 2; i++) {
		io.q[i].next = 0;
		io.q[i].seen = 0;
		event_wait(io.q[i].kick, 0);
		event_wait(io.q[i].err, 0);
	}
	io.rx_offered = 0;
	io.tx_sent = 0;
	tap_drain(&io.tap);
}

/* As in faults.c: false if call @k has fewer than @n places that can fail. */
static bool one_life(int nth, unsigned int k, unsigned int n)
{
	bool hit = true;
	unsigned int i;
	int ret;

	fresh_rings();
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (i == k) {
			nth_set(nth, n);
			ret = take(&steps[i]);
			hit = !nth_end(nth);
			if (!CHECK(answers(ret)))
				t_diag("failure %u: %d", n, ret);
			if (!ret)
				continue;
		}
		if (!CHECK_EQ(take(&steps[i]), 0))
			t_diag("%s, after failure %u", steps[i].name, n);
	}
	io_iommu(&io, true);
	io_send(&io, 2);
	io_receive(&io, 2);
	io_iommu(&io, false);
	CHECK_EQ(close(io.node), 0);
	CHECK(worker_gone(getpid()));
	return hit;
}

static void setup(void)
{
	int nth = nth_open(0);
	unsigned int k, n;

	io_prepare(&io, F_V1 | F_MRG | F_EVENT, true);
	for (k = 0; k < ARRAY_SIZE(steps); k++) {
		if (steps[k].safe)
			continue;
		t_begin("IOTLB, %s: each allocation and copy fails once", steps[k].name);
		for (n = 1; n < MOST && t_errors() < 8 && one_life(nth, k, n); n++)
			;
		CHECK(n > 1 && n < MOST);
		t_diag("%s: %u places", steps[k].name, n - 1);
		t_end();
	}
	close(nth);
	io.node = -1;
	io_close(&io);
}

static uint8_t *rx_at(uint32_t i)
{
	return io.view + AT_RX + i % RX_BUFS * RX_SIZE + HDR;
}

static void rx_offer(void)
{
	vq_offer(&io.q[Q_RX], AT_RX + io.rx_offered++ % RX_BUFS * RX_SIZE, RX_SIZE,
		 VRING_DESC_F_WRITE);
	vq_kick(&io.q[Q_RX]);
}

static void rx_feed(void *arg)
{
	uint8_t frame[RIG_FRAME];

	frame_make(frame, sizeof(frame), ++io.seq);
	CHECK(tap_feed(&io.tap, frame, sizeof(frame)));
}

/* Frames that were fed again may be on their way: up to one that is known. */
static void rx_catch_up(unsigned int n)
{
	unsigned int late;
	bool found = false;

	rx_feed(NULL);
	for (late = 0; !found && late < RX_BUFS; late++) {
		rx_offer();
		if (!CHECK(vq_wait(&io.q[Q_RX], io.rx_offered, PATIENCE_MS)))
			break;
		found = frame_is(rx_at(io.rx_offered - 1), RIG_FRAME, io.seq);
	}
	if (!CHECK(found))
		t_diag("failure %u: the frame fed last didn't arrive, %u others did", n, late);
}

/* Pages of both rings and of buffers are elsewhere; then one frame each way. */
static unsigned int one_round(int nth, unsigned int n)
{
	static const unsigned int pages[] = {
		AT_DESC / PAGE, AT_USED / PAGE, (AT_RING + AT_AVAIL) / PAGE,
		(AT_RING + AT_USED) / PAGE, AT_TX / PAGE, AT_RX / PAGE,
	};
	unsigned int old[ARRAY_SIZE(pages)], i, left;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		old[i] = io_move(&io, pages[i]);
	nth_set(nth, n);
	memset(io.view + AT_TX, 0, HDR);
	frame_make(io.view + AT_TX + HDR, 300, 0);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	io.tx_sent++;
	vq_kick(&io.q[Q_TX]);
	if (!CHECK(vq_comes_back(&io.q[Q_TX], io.tx_sent, NULL, NULL) >= 0))
		t_diag("failure %u: tx is stuck", n);
	rx_offer();
	rx_feed(NULL);
	if (!CHECK(vq_comes_back(&io.q[Q_RX], io.rx_offered, rx_feed, NULL) >= 0))
		t_diag("failure %u: rx is stuck", n);
	left = nth_end(nth);
	io_rest(&io);
	for (i = 0; i < ARRAY_SIZE(pages); i++)
		io_release(&io, old[i]);
	return left;
}

static void inflight(uint64_t features, const char *kind)
{
	unsigned int n = 0, left = 0;
	int nth;

	t_begin("worker, IOTLB, %s: each allocation and copy fails once under traffic", kind);
	io_open(&io, features, true);
	io_iommu(&io, true);
	nth = nth_open(io.worker);
	io_send(&io, 2);
	while (!left && ++n < MOST && t_errors() < 8) {
		left = one_round(nth, n);
		tap_drain(&io.tap);
		rx_catch_up(n);
		io_send(&io, 1);
	}
	/* Three parts of two rings are found, mapped and published. */
	CHECK(n > 10 && n < MOST);
	t_diag("%u places, %llu misses", n - 1,
	       (unsigned long long)node_stat(io.node, Q_TX, "iotlb_misses"));
	close(nth);
	io_close(&io);
	CHECK(worker_gone(getpid()));
	t_end();
}

void faults_iotlb(void)
{
	setup();
	inflight(F_V1 | F_MRG | F_EVENT, "split");
	inflight(F_V1 | F_MRG | F_PACKED, "packed");
}

/* As map of faults.c: pages of rings that are found through the IOTLB. */
void faults_iotlb_map(void)
{
	uint64_t user;
	unsigned int i;

	t_begin("IOTLB, mapping fails for a while: by user access meanwhile, then by windows");
	io_open(&io, F_V1 | F_MRG | F_EVENT, true);
	io_iommu(&io, true);
	for (i = 0; i < 40; i++) {
		io_send(&io, 1);
		io_receive(&io, 1);
		sleep_ms(10);
	}
	CHECK(node_stat(io.node, Q_TX, "bursts_user") >= 2);
	CHECK(node_stat(io.node, Q_TX, "bursts_direct") >= 2);
	CHECK(node_stat(io.node, Q_TX, "map_failures") >= 2);
	user = node_stat(io.node, Q_TX, "bursts_user");
	io_send(&io, 1);
	CHECK_EQ(node_stat(io.node, Q_TX, "bursts_user"), user);
	for (i = 0; i < 2; i++) {
		nobody_holds(io.q[i].desc, VQ_DESC_BYTES);
		nobody_holds(io.q[i].avail, VQ_AVAIL_BYTES);
		nobody_holds(io.q[i].used, VQ_USED_BYTES);
	}
	io_close(&io);
	CHECK(worker_gone(getpid()));
	t_end();
}

/*
 * No memory for where the pieces of a ring are, in the first visits: the suite has them fail. The
 * frame was offered before the queue started, so no kick comes for it.
 */
void faults_iotlb_pieces(void)
{
	const struct vq_told told = io_told(Q_TX);
	struct vq *q = &io.q[Q_TX];
	uint8_t frame[2048];

	t_begin("IOTLB, no memory for a ring's pieces for a while: told once, goes on without a kick");
	io_device(&io, F_V1 | F_MRG | F_EVENT, true);
	CHECK_EQ(vq_setup(q, io.node, &told), 0);
	io_tell_ring(&io, Q_TX);
	CHECK_EQ(io_answer(&io, AT_TX), 0);
	CHECK_EQ(io_answer(&io, AT_TX + PAGE), 0);
	memset(io.view + AT_TX, 0, HDR);
	frame_make(io.view + AT_TX + HDR, 300, ++io.seq);
	vq_offer(q, AT_TX, HDR + 300, 0);
	CHECK_EQ(io_start(&io, Q_TX), 0);
	CHECK_EQ(tap_take(&io.tap, frame, sizeof(frame), PATIENCE_MS), 300);
	CHECK(frame_is(frame, 300, io.seq));
	CHECK(vq_wait(q, 1, WAIT_MS));
	CHECK_EQ(event_wait(q->err, 0), 1);
	CHECK_EQ(node_stat(io.node, Q_TX, "faults"), 1);
	CHECK_EQ(node_stat(io.node, Q_TX, "kicks"), 0);
	CHECK_EQ(node_stat(io.node, Q_TX, "iotlb_misses"), 0);
	io_close(&io);
	CHECK(worker_gone(getpid()));
	t_end();
}

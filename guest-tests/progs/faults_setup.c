// SPDX-License-Identifier: GPL-2.0-only
/* faults: each call of a device's life. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_direct.h"
#include "faults.h"
#include "rig.h"
#include "test.h"

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
	return rig_addr(&r, q);
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

static int extra;	/* a worker's number */

static int do_worker(void)
{
	extra = node_worker_new(r.node);
	if (extra < 0)
		return extra;
	/* The next after that which each device has: none is left that nobody knows of. */
	CHECK_EQ(extra, 1);
	return 0;
}

static int q_attach(unsigned int q)
{
	return node_attach(r.node, q, extra);
}

static int q_attach_back(unsigned int q)
{
	return node_attach(r.node, q, 0);
}

static int do_worker_free(void)
{
	return node_worker_free(r.node, extra);
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
	{ "running: VHOST_NEW_WORKER", do_worker },
	{ "running: VHOST_ATTACH_VRING_WORKER", NULL, q_attach, Q_RX },
	{ "running: VHOST_ATTACH_VRING_WORKER, back", NULL, q_attach_back, Q_RX },
	{ "running: VHOST_FREE_WORKER", do_worker_free },
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

static void fail_each(int nth, unsigned int k, const char *with)
{
	unsigned int n;

	t_begin("%s%s: each allocation and copy fails once", with, steps[k].name);
	for (n = 1; n < MOST && one_life(nth, k, n); n++)
		;
	CHECK(n < MOST);
	t_diag("%s%s: %u places", with, steps[k].name, n - 1);
	t_end();
}

void faults_setup(void)
{
	int nth = nth_open(0);
	unsigned int k;

	prepare();
	for (k = 0; k < ARRAY_SIZE(steps); k++)
		fail_each(nth, k, "");
}

/* The modules were loaded with experimental_zcopytx: the transmit queue's socket needs more. */
void faults_zcopy(void)
{
	int nth = nth_open(0);
	unsigned int k;

	prepare();
	for (k = 0; k < ARRAY_SIZE(steps); k++)
		if (steps[k].queue == q_backend && steps[k].q == Q_TX)
			fail_each(nth, k, "uncopied, ");
}

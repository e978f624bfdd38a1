// SPDX-License-Identifier: GPL-2.0-only
/*
 * The peer: DPDK's vhost library, in the configuration that is its best for
 * this work. Bursts of 32, the most that a call of its takes; a pool with a
 * cache, of one thread; no mergeable buffers and no offload, so that it parses
 * no header; offload flags by the specification, its cheaper choice. Freeing
 * the packets is not timed.
 */
#include <err.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_version.h>
#include <rte_vhost.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "frontend.h"
#include "side.h"

#define DPDK_BURST	32u
#define POOL_SIZE	1023u	/* the best size of a pool is 2^n - 1 */
#define POOL_CACHE	250u
#define READY_MS	5000

struct port {
	char dir[32];
	char path[64];
	int sock;
	int vid;
	struct rte_mempool *pool;
	struct rte_mbuf *out[BURST_MAX];
	struct rte_mbuf *in[BURST_MAX];
};

/* The device that is ready, or -1: there is one at a time. */
static atomic_int ready = -1;

static int device_new(int vid)
{
	atomic_store(&ready, vid);
	return 0;
}

static void device_gone(int vid)
{
	(void)vid;
	atomic_store(&ready, -1);
}

static const struct rte_vhost_device_ops device_ops = {
	.new_device = device_new,
	.destroy_device = device_gone,
};

/* Waits until the device is there, or is gone. */
static void device_wait(bool there)
{
	int ms;

	for (ms = 0; (atomic_load(&ready) >= 0) != there; ms++) {
		if (ms == READY_MS)
			errx(1, "dpdk: the device is not %s",
			     there ? "ready" : "gone");
		usleep(1000);
	}
}

/**
 * dpdk_start - start DPDK's environment, without huge pages
 * @cpu: where its only lcore runs
 */
void dpdk_start(int cpu)
{
	char core[16], *argv[] = { "bench-ring", "--no-huge", "-m", "128",
		"--no-pci", "--no-shconf", "--no-telemetry", "--lcores", core,
		"--log-level=error", "--log-level=lib.vhost.*:error", NULL };

	snprintf(core, sizeof(core), "0@%d", cpu);
	if (rte_eal_init((int)(sizeof(argv) / sizeof(*argv)) - 1, argv) < 0)
		errx(1, "rte_eal_init: %s", rte_strerror(rte_errno));
}

const char *dpdk_version(void)
{
	return rte_version();
}

static void port_packets(struct port *p)
{
	u32 i;

	p->pool = rte_pktmbuf_pool_create("bench", POOL_SIZE, POOL_CACHE, 0,
					  RTE_MBUF_DEFAULT_BUF_SIZE,
					  SOCKET_ID_ANY);
	if (!p->pool)
		errx(1, "rte_pktmbuf_pool_create: %s", rte_strerror(rte_errno));
	for (i = 0; i < BURST_MAX; i++) {
		p->in[i] = rte_pktmbuf_alloc(p->pool);
		if (!p->in[i])
			errx(1, "rte_pktmbuf_alloc");
	}
}

static void *dpdk_open(const struct guest *g, enum kind kind)
{
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		err(1, "calloc");
	strcpy(p->dir, "/tmp/bench-ring-XXXXXX");
	if (!mkdtemp(p->dir))
		err(1, "mkdtemp");
	snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	port_packets(p);
	if (rte_vhost_driver_register(p->path,
				      RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS) ||
	    rte_vhost_driver_callback_register(p->path, &device_ops) ||
	    rte_vhost_driver_start(p->path))
		errx(1, "dpdk: no vhost-user socket at %s", p->path);
	p->sock = frontend_connect(p->path, g, kind);
	device_wait(true);
	p->vid = atomic_load(&ready);
	return p;
}

static void dpdk_close(void *arg)
{
	struct port *p = arg;

	close(p->sock);
	device_wait(false);
	rte_vhost_driver_unregister(p->path);
	rte_mempool_free(p->pool);
	unlink(p->path);
	rmdir(p->dir);
	free(p);
}

static u32 dpdk_tx(void *arg, u32 max)
{
	struct port *p = arg;
	u32 n = 0, want, got;

	do {
		want = RTE_MIN(max - n, DPDK_BURST);
		got = rte_vhost_dequeue_burst(p->vid, GUEST_TX, p->pool,
					      p->out + n, (u16)want);
		n += got;
	} while (n < max && got == want);
	return n;
}

static u32 dpdk_rx(void *arg, u32 max, u32 len)
{
	struct port *p = arg;
	u32 n = 0, want, got;

	(void)len;
	do {
		want = RTE_MIN(max - n, DPDK_BURST);
		got = rte_vhost_enqueue_burst(p->vid, GUEST_RX, p->in + n,
					      (u16)want);
		n += got;
	} while (n < max && got == want);
	return n;
}

static const u8 *dpdk_frame(void *arg, u32 i, u32 *len)
{
	const struct port *p = arg;

	*len = p->out[i]->nb_segs == 1 ? p->out[i]->data_len : 0;
	return rte_pktmbuf_mtod(p->out[i], const u8 *);
}

static void dpdk_release(void *arg, u32 n)
{
	struct port *p = arg;

	rte_pktmbuf_free_bulk(p->out, n);
}

static u8 *dpdk_blank(void *arg, u32 i, u32 len)
{
	struct port *p = arg;

	p->in[i]->data_len = (u16)len;
	p->in[i]->pkt_len = len;
	return rte_pktmbuf_mtod(p->in[i], u8 *);
}

const struct side side_dpdk = {
	.name = "dpdk",
	.open = dpdk_open,
	.close = dpdk_close,
	.tx = dpdk_tx,
	.frame = dpdk_frame,
	.release = dpdk_release,
	.blank = dpdk_blank,
	.rx = dpdk_rx,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * faults: the dirty log. The calls that turn it on fail once at each place that
 * can; then the worker does, which writes it. A page that could not be logged
 * is told of, by VRING_ERR and a count; no other page is missing.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dirty.h"
#include "faults.h"

/* A device that never had a log is tried with so many failures. */
#define FRESH	12
#define FEATURES (F_V1 | F_MRG | F_EVENT)

static struct guest g;
static int event;

static int do_base(void)
{
	uint64_t base = (uintptr_t)g.log;

	return node_call(g.node, VHOST_SET_LOG_BASE, &base);
}

static int do_fd(void)
{
	return node_call(g.node, VHOST_SET_LOG_FD, &event);
}

static int do_features(void)
{
	return node_features(g.node, g.features | F_LOG);
}

static int rx_logged(void)
{
	return guest_ring_log(&g, Q_RX, 1, GPA + AT_USED);
}

static int tx_logged(void)
{
	return guest_ring_log(&g, Q_TX, 1, GPA + AT_RING + AT_USED);
}

static int do_table(void)
{
	struct node_region r[REGIONS];
	unsigned int i;

	for (i = 0; i < REGIONS; i++)
		r[i] = (struct node_region){ GPA + i * REGION, REGION, (uintptr_t)g.region[i] };
	return node_table(g.node, r, REGIONS);
}

static const struct step {
	const char *name;
	int (*take)(void);
} steps[] = {
	{ "VHOST_SET_LOG_BASE", do_base },
	{ "VHOST_SET_LOG_FD", do_fd },
	{ "VHOST_SET_FEATURES", do_features },
	{ "VHOST_SET_VRING_ADDR, queue 0", rx_logged },
	{ "VHOST_SET_VRING_ADDR, queue 1", tx_logged },
	{ "VHOST_SET_MEM_TABLE", do_table },
	{ "VHOST_SET_LOG_BASE again", do_base },
};

/* Both queues write; the log has it all, and the eventfd tells. */
static void logged_traffic(void)
{
	guest_rest(&g);
	guest_offer(&g, 4);
	guest_send(&g, 4);
	guest_rest(&g);
	guest_mark(&g);
	event_wait(event, 0);
	vq_kick(&g.q[Q_RX]);
	vq_kick(&g.q[Q_TX]);
	CHECK(vq_wait(&g.q[Q_RX], g.q[Q_RX].seen + guest_feed(&g, 1500), PATIENCE_MS));
	CHECK(vq_wait(&g.q[Q_TX], g.tx_sent, PATIENCE_MS));
	guest_rest(&g);
	guest_compare(&g, 3);
	CHECK(event_wait(event, 0) > 0);
}

static void done(void)
{
	guest_close(&g);
	CHECK(worker_gone(getpid()));
}

/* The log off, on with a failure, off again: the device may be one that had a log before. */
static bool one_life(int nth, unsigned int k, unsigned int n)
{
	bool hit = true;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (i == k) {
			nth_set(nth, n);
			ret = steps[i].take();
			hit = !nth_end(nth);
			if (!CHECK(plausible(ret)))
				t_diag("failure %u: %d", n, ret);
			if (!ret)
				continue;
		}
		CHECK_EQ(steps[i].take(), 0);
	}
	logged_traffic();
	CHECK_EQ(guest_log(&g, false), 0);
	if (t_errors())
		t_diag("failure %u", n);
	return hit;
}

static void setup(void)
{
	int nth = nth_open(0);
	unsigned int k, n;

	for (k = 0; k < ARRAY_SIZE(steps); k++) {
		t_begin("dirty log, %s: each allocation and copy fails once", steps[k].name);
		guest_open(&g, FEATURES, 8);
		for (n = 1; n < MOST && !t_errors() && one_life(nth, k, n); n++) {
			/* Memory for the log is had once a device. */
			if (n < FRESH && steps[k].take == do_features) {
				done();
				guest_open(&g, FEATURES, 8);
			}
		}
		done();
		CHECK(n > 1 && n < MOST);
		t_diag("%s: %u places", steps[k].name, n - 1);
		t_end();
	}
	close(nth);
}

static void rx_feed(void *arg)
{
	guest_feed(&g, 1500);
}

static uint64_t failures(void)
{
	return node_stat(g.node, Q_RX, "log_failures") + node_stat(g.node, Q_TX, "log_failures");
}

/* Without its pages the log is written by way of a fault; windows are gone, too. */
static void forget(void)
{
	unsigned int i;

	guest_mark(&g);
	CHECK_EQ(madvise(g.log_map, LOG_BYTES, MADV_DONTNEED), 0);
	for (i = 0; i < 2; i++) {
		uint8_t *page = guest_at(&g, (AT_RING * i + AT_USED) & ~(PAGE - 1));

		CHECK_EQ(mprotect(page, 2 * PAGE, PROT_READ), 0);
		CHECK_EQ(mprotect(page, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	}
}

/* One frame each way. Returns what nth_end() says then. */
static unsigned int one_round(int nth, unsigned int n, bool *lost)
{
	uint64_t before = failures();
	unsigned int left;
	int tx, rx, late;

	nth_set(nth, n);
	vq_kick(&g.q[Q_TX]);
	tx = vq_comes_back(&g.q[Q_TX], g.tx_sent, NULL, NULL);
	if (!CHECK(tx >= 0))
		t_diag("failure %u: tx is stuck", n);
	guest_feed(&g, 1500);
	rx = vq_comes_back(&g.q[Q_RX], g.rx_offered, rx_feed, NULL);
	if (!CHECK(rx >= 0))
		t_diag("failure %u: rx is stuck", n);
	guest_rest(&g);
	left = nth_end(nth);
	/* The log comes after what it is of. */
	late = event_wait(g.q[Q_TX].err, 0) + event_wait(g.q[Q_RX].err, 0);
	*lost = failures() != before;
	if (*lost)
		CHECK(tx + rx + late > 0);
	return left;
}

static void inflight(uint64_t features, const char *kind)
{
	unsigned int n = 0, left = 0, told = 0;
	bool lost;
	int nth;

	t_begin("worker, dirty log, %s: what fails is told, all else is logged", kind);
	guest_open(&g, features, 8);
	CHECK_EQ(guest_log(&g, true), 0);
	/* Of a frame that met a failure all is logged, whatever was written of it. */
	memset(g.may + AT_RX / PAGE, true, sizeof(g.may) - AT_RX / PAGE);
	nth = nth_open(g.worker);
	while (!left && ++n < MOST && t_errors() < 8) {
		guest_rest(&g);
		guest_offer(&g, 1);
		guest_send(&g, 1);
		forget();
		left = one_round(nth, n, &lost);
		told += lost;
		if (!lost)
			guest_compare(&g, 3);
	}
	t_diag("%u places, %u of them in the log", n - 1, told);
	/* Data and two used rings: the first write of a page of the log may fail. */
	CHECK(n < MOST && told > 0);
	close(nth);
	done();
	t_end();
}

void faults_log(void)
{
	event = event_new();
	setup();
	inflight(FEATURES, "split");
	inflight(F_V1 | F_MRG | F_PACKED, "packed");
	close(event);
}

/* The ring's pages can't be found for a while: what is written is logged all the same. */
void faults_log_map(void)
{
	unsigned int i;

	event = event_new();
	t_begin("dirty log, mapping fails for a while: all is logged, by user access and by windows");
	guest_open(&g, FEATURES, 8);
	for (i = 0; i < ARRAY_SIZE(steps); i++)
		CHECK_EQ(steps[i].take(), 0);
	for (i = 0; i < 20; i++)
		logged_traffic();
	CHECK(node_stat(g.node, Q_TX, "bursts_user") >= 2);
	CHECK(node_stat(g.node, Q_TX, "bursts_direct") >= 2);
	CHECK(node_stat(g.node, Q_TX, "map_failures") >= 2);
	done();
	t_end();
	close(event);
}

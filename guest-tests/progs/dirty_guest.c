// SPDX-License-Identifier: GPL-2.0-only
/* dirty-log: a guest whose pages are compared with the log. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dirty.h"

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED, "mmap");
	return p;
}

uint8_t *guest_at(struct guest *g, uint64_t off)
{
	return g->region[off / REGION] + off % REGION;
}

static uint64_t user_addr(struct guest *g, uint64_t off)
{
	return (uintptr_t)guest_at(g, off);
}

int guest_ring_log(struct guest *g, unsigned int q, unsigned int flags, uint64_t addr)
{
	uint64_t ring = AT_RING * q;
	struct vq_told told = {
		.desc = user_addr(g, ring + AT_DESC),
		.avail = user_addr(g, ring + AT_AVAIL),
		.used = user_addr(g, ring + AT_USED),
		.log = addr,
		.flags = flags,
	};

	return vq_told(&g->q[q], g->node, &told);
}

int guest_log(struct guest *g, bool on)
{
	uint64_t base = (uintptr_t)g->log;
	unsigned int i;
	int ret;

	ret = node_call(g->node, VHOST_SET_LOG_BASE, &base) ?:
	      node_features(g->node, g->features | (on ? F_LOG : 0));
	for (i = 0; i < 2 && !ret; i++)
		ret = guest_ring_log(g, i, on, GPA + AT_RING * i + AT_USED);
	return ret;
}

static void start_queue(struct guest *g, unsigned int i)
{
	uint64_t ring = AT_RING * i;
	struct vq_told told = {
		.desc = user_addr(g, ring + AT_DESC),
		.avail = user_addr(g, ring + AT_AVAIL),
		.used = user_addr(g, ring + AT_USED),
	};

	vq_init(&g->q[i], i, g->features, guest_at(g, ring + AT_DESC),
		guest_at(g, ring + AT_AVAIL), guest_at(g, ring + AT_USED));
	CHECK_EQ(vq_setup(&g->q[i], g->node, &told), 0);
	CHECK_EQ(node_backend(g->node, i, g->tap.fd), 0);
	/* Flags and the event index may be written without a change. */
	g->may[(ring + AT_USED) / PAGE] = true;
	g->may[(ring + AT_USED + (g->q[i].packed ? 0 : 4 + 8 * VQ_NUM)) / PAGE] = true;
}

void guest_open(struct guest *g, uint64_t features, unsigned int log_offset)
{
	struct node_region r[REGIONS];
	unsigned int i;

	memset(g, 0, sizeof(*g));
	g->features = features;
	g->log_map = map(LOG_BYTES);
	g->log = g->log_map + log_offset;
	g->before = malloc(REGIONS * REGION);
	MUST(g->before, "malloc");
	for (i = 0; i < REGIONS; i++) {
		/* A page between, so that the regions aren't one mapping. */
		g->region[i] = (uint8_t *)map(REGION + PAGE);
		munmap(g->region[i] + REGION, PAGE);
		r[i] = (struct node_region){ GPA + i * REGION, REGION,
					     (uintptr_t)g->region[i] };
	}
	tap_open(&g->tap, HDR, true);
	g->node = node_open(node_path);
	MUST(!node_owner(g->node), "VHOST_SET_OWNER");
	CHECK_EQ(node_features(g->node, features), 0);
	CHECK_EQ(node_table(g->node, r, REGIONS), 0);
	for (i = 0; i < 2; i++)
		start_queue(g, i);
	g->worker = worker_find(getpid());
	guest_rest(g);
}

void guest_close(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		vq_close(&g->q[i]);
	close(g->node);
	tap_close(&g->tap);
	for (i = 0; i < REGIONS; i++)
		munmap(g->region[i], REGION);
	munmap(g->log_map, LOG_BYTES);
	free(g->before);
}

void guest_rest(struct guest *g)
{
	worker_rest(g->worker);
}

void guest_offer(struct guest *g, unsigned int n)
{
	while (n--) {
		uint64_t off = AT_RX + g->rx_offered++ % RX_BUFS * RX_SIZE;

		vq_offer(&g->q[Q_RX], GPA + off, RX_SIZE, VRING_DESC_F_WRITE);
	}
}

unsigned int guest_feed(struct guest *g, size_t len)
{
	static uint8_t frame[1 << 16];

	frame_make(frame, len, ++g->seq);
	CHECK(tap_feed(&g->tap, frame, len));
	return (len + HDR + RX_SIZE - 1) / RX_SIZE;
}

void guest_send(struct guest *g, unsigned int n)
{
	uint8_t *at = guest_at(g, AT_TX);

	memset(at, 0, HDR);
	frame_make(at + HDR, 64, 1);
	g->tx_sent += n;
	while (n--)
		vq_offer(&g->q[Q_TX], GPA + AT_TX, HDR + 64, 0);
}

void guest_mark(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++)
		memcpy(g->before + i * REGION, g->region[i], REGION);
	memset(g->log_map, 0, LOG_BYTES);
}

/* No bit stands for memory that isn't the guest's, no byte around is touched. */
static void log_elsewhere(struct guest *g)
{
	uint8_t *first = g->log + LOG_FIRST, *end = first + PAGES / 8, *p;

	for (p = g->log_map; p < g->log_map + LOG_BYTES; p++)
		if ((p < first || p >= end) && !CHECK_EQ(*p, 0))
			t_diag("byte %ld of the log", (long)(p - g->log));
}

void guest_compare(struct guest *g, unsigned int at_least)
{
	unsigned int page, count = 0, missing = 0, extra = 0;

	for (page = 0; page < PAGES; page++) {
		bool bit = g->log[LOG_FIRST + page / 8] >> page % 8 & 1;
		bool changed = memcmp(guest_at(g, page * PAGE), g->before + page * PAGE, PAGE);

		count += bit;
		if (changed && !bit && !missing++)
			t_diag("page 0x%lx changed and isn't in the log", page * PAGE);
		if (bit && !changed && !g->may[page] && !extra++)
			t_diag("page 0x%lx is in the log and didn't change", page * PAGE);
	}
	CHECK_EQ(missing, 0);
	/* Stock of 7.2, in order, logs elements it left out: too much, which does no harm. */
	if (strcmp(node_path, "/dev/vhost-net"))
		CHECK_EQ(extra, 0);
	if (!CHECK(count >= at_least))
		t_diag("%u pages in the log, at least %u expected", count, at_least);
	log_elsewhere(g);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * iotlb: the device IOTLB under traffic.
 *
 *	iotlb NODE [v2]		v2: no messages of the first kind
 *	iotlb NODE none		max_iotlb_entries is 0
 *
 * As KTAP. What a node doesn't offer is skipped, so stock's runs too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iotlb.h"

#define ROUNDS	150
#define MOVES	4

const char *node_path;

static const struct kind {
	const char *name;
	uint64_t features;
	bool v2;
} kinds[] = {
	{ "split", F_V1 | F_MRG, true },
	{ "split, event idx, messages v1", F_V1 | F_MRG | F_EVENT, false },
	{ "packed", F_V1 | F_MRG | F_PACKED, true },
	{ "packed, event idx, in order", F_V1 | F_MRG | F_EVENT | F_PACKED | F_IN_ORDER, true },
};

static void traffic(struct io *io, const char *kind)
{
	unsigned int i;

	t_begin("%s: frames both ways, each page elsewhere", kind);
	io_iommu(io, true);
	for (i = 0; i < 30; i++) {
		io_receive(io, 4);
		io_send(io, 4);
	}
	CHECK(atomic_load(&io->answers) > RX_BUFS / 2);
	t_diag("%u translations asked for", atomic_load(&io->answers));
	if (!io->stock) {
		CHECK(node_stat(io->node, Q_RX, "iotlb_misses") > 0);
		t_diag("rx: %llu bursts direct, %llu by user access",
		       (unsigned long long)node_stat(io->node, Q_RX, "bursts_direct"),
		       (unsigned long long)node_stat(io->node, Q_RX, "bursts_user"));
	}
	t_end();
}

/* A ring whose pages lie anywhere is mapped by windows, too. */
static void windows(struct io *io, const char *kind)
{
	uint64_t before;

	if (!io_direct(io))
		return;
	t_begin("%s: the scattered ring is read through windows", kind);
	io_rest(io);
	before = node_stat(io->node, Q_TX, "bursts_user");
	io_send(io, 8);
	sleep_ms(20);
	io_send(io, 8);
	CHECK(node_stat(io->node, Q_TX, "bursts_direct") > 0);
	/* Now and then a page moves by itself; but not all the time. */
	CHECK(node_stat(io->node, Q_TX, "bursts_user") - before < 8);
	t_end();
}

/* Each page that a part of a ring lies on is the ring's, wherever it lies. */
static void every_piece(struct io *io, const char *kind)
{
	static const unsigned int pages[] = {
		(AT_RING + AT_DESC) / PAGE, (AT_RING + AT_DESC) / PAGE + 1,
		(AT_RING + AT_AVAIL) / PAGE, (AT_RING + AT_USED) / PAGE,
		(AT_RING + AT_USED) / PAGE + 1,
	};
	unsigned int i;
	uint64_t hits;

	if (!io_direct(io))
		return;
	t_begin("%s: an event on any page of the scattered ring takes its windows away", kind);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		uint8_t *at = io_file(io, io->page[pages[i]]);

		/* Of a packed ring the rest is eight bytes. */
		if (io->q[Q_TX].packed && i > 1)
			break;
		if (!CHECK(io_mapped(io)))
			break;
		hits = node_stat(io->node, Q_TX, "inval_hit");
		CHECK_EQ(mprotect(at, PAGE, PROT_READ), 0);
		if (!CHECK(node_stat(io->node, Q_TX, "inval_hit") > hits))
			t_diag("page 0x%x of the ring", pages[i] * (unsigned int)PAGE);
		CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	}
	io_send(io, 2);
	t_end();
}

static void moving(struct io *io, const char *kind)
{
	unsigned int round, i, old[MOVES];

	t_begin("%s: pages taken away under traffic: nothing lost, nothing written behind", kind);
	for (round = 0; round < ROUNDS && t_errors() < 8; round++) {
		/* Idle rings one time, busy ones the other. */
		if (round & 1)
			io_rest(io);
		for (i = 0; i < MOVES; i++)
			old[i] = io_move(io, rand() % (i ? IO_PAGES : 16));
		io_receive(io, 3);
		io_send(io, 3);
		for (i = 0; i < MOVES; i++)
			io_release(io, old[i]);
	}
	t_end();
}

/*
 * The page that a queue used last is taken away, and the next thing that it needs
 * lies there: the last hit, which it remembers, is no translation any more.
 */
static void last_used(struct io *io, const char *kind)
{
	unsigned int round, old[2], tested = 0;

	t_begin("%s: the pages used last are taken away before they are used next", kind);
	for (round = 0; round < 16 && t_errors() < 8; round++) {
		uint64_t rx = AT_RX + io->rx_offered % RX_BUFS * RX_SIZE;
		uint64_t tx = AT_TX + io->tx_sent % TX_BUFS * 512;

		io_receive(io, 1);
		io_send(io, 1);
		io_rest(io);
		/* At its end a page is done with. */
		if ((rx + RX_SIZE) % PAGE < HDR || (tx + 512) % PAGE < 512)
			continue;
		old[0] = io_move(io, (rx + RX_SIZE) / PAGE);
		old[1] = io_move(io, tx / PAGE);
		io_receive(io, 1);
		io_send(io, 1);
		io_rest(io);
		io_release(io, old[0]);
		io_release(io, old[1]);
		tested++;
	}
	CHECK(tested > 4);
	t_end();
}

/* What the storm leaves time for: half rounds of traffic. */
static atomic_uint rounds;

/*
 * A thread that takes pages away while the device is at them. On a machine so
 * slow that all are gone again before a frame had its own, it slows down, too.
 */
static void *mover(void *arg)
{
	unsigned int i, rest = 3, round, last = 0;
	struct io *io = arg;

	while (!atomic_load(&io->stop)) {
		for (i = 0; i < IO_PAGES; i++)
			io_message(io, VHOST_IOTLB_INVALIDATE, i * PAGE, PAGE, 0, 0);
		round = atomic_load(&rounds);
		rest = round != last ? 3 : rest < 200 ? rest * 2 : rest;
		last = round;
		sleep_ms(rest);
	}
	return NULL;
}

static void storm(struct io *io, const char *kind)
{
	pthread_t thread;
	unsigned int i;

	t_begin("%s: a storm of invalidations", kind);
	MUST(!pthread_create(&thread, NULL, mover, io), "thread");
	for (i = 0; i < 40; i++) {
		io_receive(io, 4);
		atomic_fetch_add(&rounds, 1);
		io_send(io, 4);
		atomic_fetch_add(&rounds, 1);
	}
	io_iommu(io, false);
	pthread_join(thread, NULL);
	t_end();
}

static void one_kind(const struct kind *k, uint64_t offered)
{
	struct io io;

	if ((k->features | F_PLATFORM) & ~offered) {
		t_begin("%s", k->name);
		t_skip("not offered");
		t_end();
		return;
	}
	io_open(&io, k->features, k->v2);
	traffic(&io, k->name);
	windows(&io, k->name);
	every_piece(&io, k->name);
	moving(&io, k->name);
	last_used(&io, k->name);
	storm(&io, k->name);
	io_close(&io);
	iotlb_log(k->features, k->name);
}

int main(int argc, char **argv)
{
	bool v2_alone = argc == 3 && !strcmp(argv[2], "v2");
	bool none = argc == 3 && !strcmp(argv[2], "none");
	uint64_t offered;
	unsigned int i;

	if (argc != 2 && !v2_alone && !none) {
		fprintf(stderr, "usage: iotlb NODE [v2|none]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	node_path = argv[1];
	if (none) {
		iotlb_none();
		return t_done();
	}
	offered = node_offered(node_path);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].v2 || !v2_alone)
			one_kind(&kinds[i], offered);
	iotlb_messages(!strcmp(node_path, "/dev/vhost-net"), v2_alone);
	iotlb_places();
	iotlb_age();
	return t_done();
}

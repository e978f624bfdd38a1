// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty-log: what the device says it wrote, against what it wrote.
 *
 *	dirty-log NODE
 *
 * As KTAP. What a node doesn't offer is skipped, so stock's runs too.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dirty.h"

const char *node_path;

static const struct kind {
	const char *name;
	uint64_t features;
	unsigned int log_offset;
} kinds[] = {
	{ "split", F_V1 | F_MRG, 0 },
	{ "split, event idx, odd log address", F_V1 | F_MRG | F_EVENT, 3 },
	{ "split, in order", F_V1 | F_MRG | F_EVENT | F_IN_ORDER, 0 },
	{ "packed", F_V1 | F_MRG | F_PACKED, 1 },
	{ "packed, event idx, in order", F_V1 | F_MRG | F_EVENT | F_PACKED | F_IN_ORDER, 0 },
};

static void received(struct guest *g, const char *kind)
{
	static const size_t len[] = { 60, 64, 1500, 4000, 4980, 5000, 9000, 60 };
	unsigned int round, i, buffers;

	for (round = 0; round < 3; round++) {
		t_begin("%s: received frames, round %u: the log has what changed, no more",
			kind, round);
		guest_rest(g);
		/* The last rounds come to the border of the regions, and round. */
		guest_offer(g, round == 1 ? 340 : 70);
		guest_rest(g);
		guest_mark(g);
		buffers = g->q[Q_RX].seen;
		for (i = 0; i < (round == 1 ? 300 : 50); i++)
			buffers += guest_feed(g, round == 1 ? 1500 : len[i % ARRAY_SIZE(len)]);
		CHECK(vq_wait(&g->q[Q_RX], buffers, WAIT_MS));
		guest_rest(g);
		guest_compare(g, 50);
		t_end();
		/* Those left over, so that each round begins with the same. */
		while (vq_returned(&g->q[Q_RX]) != g->rx_offered) {
			buffers = g->q[Q_RX].seen + guest_feed(g, 60);
			if (!vq_wait(&g->q[Q_RX], buffers, WAIT_MS))
				break;
		}
	}
}

static void sent(struct guest *g, const char *kind)
{
	unsigned int round;

	for (round = 0; round < 2; round++) {
		t_begin("%s: sent frames, round %u: the used ring is in the log, nothing else",
			kind, round);
		guest_rest(g);
		guest_send(g, 300);
		guest_mark(g);
		vq_kick(&g->q[Q_TX]);
		CHECK(vq_wait(&g->q[Q_TX], g->tx_sent, WAIT_MS));
		guest_rest(g);
		/* In order a single element may stand for all. */
		guest_compare(g, 1);
		t_end();
	}
}

static void forked(struct guest *g, const char *kind)
{
	pid_t child;

	t_begin("%s: the log after a fork: the owner's copy has it", kind);
	guest_rest(g);
	guest_offer(g, 8);
	guest_rest(g);
	guest_mark(g);
	fflush(stdout);
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	CHECK(vq_wait(&g->q[Q_RX], g->q[Q_RX].seen + guest_feed(g, 9000), WAIT_MS));
	guest_rest(g);
	guest_compare(g, 3);
	kill(child, SIGKILL);
	CHECK(waitpid(child, NULL, 0) == child);
	t_end();
}

static void told(struct guest *g, const char *kind)
{
	int event = event_new(), none = -1;

	t_begin("%s: VHOST_SET_LOG_FD is signalled", kind);
	CHECK_EQ(node_call(g->node, VHOST_SET_LOG_FD, &event), 0);
	guest_offer(g, 4);
	CHECK(vq_wait(&g->q[Q_RX], g->q[Q_RX].seen + guest_feed(g, 60), WAIT_MS));
	CHECK(event_wait(event, WAIT_MS) > 0);
	CHECK_EQ(node_call(g->node, VHOST_SET_LOG_FD, &none), 0);
	close(event);
	t_end();
}

static void silent(struct guest *g, const char *kind, const char *when)
{
	static uint8_t zero[LOG_BYTES];

	t_begin("%s: nothing is logged %s", kind, when);
	guest_rest(g);
	guest_mark(g);
	guest_offer(g, 10);
	CHECK(vq_wait(&g->q[Q_RX], g->q[Q_RX].seen + guest_feed(g, 60), WAIT_MS));
	guest_send(g, 10);
	vq_kick(&g->q[Q_TX]);
	CHECK(vq_wait(&g->q[Q_TX], g->tx_sent, WAIT_MS));
	guest_rest(g);
	CHECK(!memcmp(g->log_map, zero, LOG_BYTES));
	t_end();
}

static void one_kind(const struct kind *k, uint64_t offered)
{
	struct guest g;

	if ((k->features | F_LOG) & ~offered) {
		t_begin("%s", k->name);
		t_skip("not offered");
		t_end();
		return;
	}
	guest_open(&g, k->features, k->log_offset);
	silent(&g, k->name, "unless asked for");
	t_begin("%s: the log can be turned on under a running device", k->name);
	CHECK_EQ(guest_log(&g, true), 0);
	t_end();
	received(&g, k->name);
	sent(&g, k->name);
	forked(&g, k->name);
	told(&g, k->name);
	t_begin("%s: and off", k->name);
	CHECK_EQ(guest_log(&g, false), 0);
	t_end();
	silent(&g, k->name, "after that");
	t_begin("%s: a copy of memory by the log, under traffic, is complete", k->name);
	dirty_copy(&g);
	t_end();
	guest_close(&g);
}

int main(int argc, char **argv)
{
	uint64_t offered;
	unsigned int i;

	if (argc != 2) {
		fprintf(stderr, "usage: dirty-log NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	node_path = argv[1];
	offered = node_offered(node_path);
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		one_kind(&kinds[i], offered);
	dirty_bad();
	return t_done();
}

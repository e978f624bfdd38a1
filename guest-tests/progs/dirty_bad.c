// SPDX-License-Identifier: GPL-2.0-only
/* dirty-log: addresses beyond all bounds, a log that isn't there, empty buffers. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "dirty.h"

#define USER_END (1ull << 47)
#define KERNEL 0xffff888000000000ull

static void still_logs(struct guest *g)
{
	guest_rest(g);
	guest_offer(g, 4);
	guest_rest(g);
	guest_mark(g);
	CHECK(vq_wait(&g->q[Q_RX], g->q[Q_RX].seen + guest_feed(g, 9000), WAIT_MS));
	guest_rest(g);
	guest_compare(g, 3);
}

/* What a running queue is told and can't do is refused, and leaves the old. */
static void bounds(void)
{
	static const uint64_t base[] = { USER_END - PAGE, KERNEL, ~0ull, 0ull - LOG_FIRST };
	static const uint64_t used[] = { 0ull - 8, ~0ull & ~3ull, 1ull << 63 };
	struct node_region far = { 1ull << 62, PAGE, 0 };
	uint64_t edge = USER_END - PAGE;
	struct guest g;
	unsigned int i;

	t_begin("log and ring addresses out of bounds are refused (CVE-2020-10722, CVE-2019-14835)");
	guest_open(&g, F_V1 | F_MRG, 0);
	far.user = (uintptr_t)g.region[0];
	CHECK_EQ(guest_log(&g, true), 0);
	for (i = 0; i < ARRAY_SIZE(base); i++)
		CHECK_EQ(node_call(g.node, VHOST_SET_LOG_BASE, (void *)&base[i]), -EFAULT);
	for (i = 0; i < ARRAY_SIZE(used); i++)
		CHECK_EQ(guest_ring_log(&g, Q_RX, 1, used[i]), -EINVAL);
	CHECK_EQ(node_table(g.node, &far, 1), -EFAULT);
	CHECK_EQ(guest_ring_log(&g, Q_RX, 2, GPA), -EOPNOTSUPP);
	still_logs(&g);
	/* Without logging any base will do, but then logging can't be had. */
	CHECK_EQ(guest_log(&g, false), 0);
	CHECK_EQ(node_call(g.node, VHOST_SET_LOG_BASE, &edge), 0);
	CHECK_EQ(node_features(g.node, g.features | F_LOG), -EFAULT);
	CHECK_EQ(guest_ring_log(&g, Q_RX, 1, GPA + AT_USED), -EINVAL);
	CHECK_EQ(guest_log(&g, true), 0);
	still_logs(&g);
	guest_close(&g);
	t_end();
}

/* The log's memory is gone: the guest is served, and our owner hears of it. */
static void gone(bool stock)
{
	struct guest g;
	unsigned int i;

	t_begin("a log that can't be written: traffic goes on%s",
		stock ? "" : ", VRING_ERR tells, the kernel's log once");
	klog_mark();
	guest_open(&g, F_V1 | F_MRG, 0);
	CHECK_EQ(guest_log(&g, true), 0);
	guest_offer(&g, 8);
	guest_rest(&g);
	MUST(!mprotect(g.log_map, LOG_BYTES, PROT_NONE), "mprotect");
	CHECK(vq_wait(&g.q[Q_RX], g.q[Q_RX].seen + guest_feed(&g, 1500), WAIT_MS));
	if (!stock) {
		CHECK(event_wait(g.q[Q_RX].err, WAIT_MS) > 0);
		for (i = 0; i < 20; i++) {
			guest_offer(&g, 1);
			CHECK(vq_wait(&g.q[Q_RX], g.q[Q_RX].seen + guest_feed(&g, 1500), WAIT_MS));
		}
		CHECK(node_stat(g.node, Q_RX, "log_failures") > 20);
		CHECK_EQ(klog_count("queue rx: ", "can't write the dirty log"), 1);
	}
	guest_rest(&g);
	MUST(!mprotect(g.log_map, LOG_BYTES, PROT_READ | PROT_WRITE), "mprotect");
	still_logs(&g);
	guest_close(&g);
	t_end();
}

/* An indirect table of empty descriptors with one that counts among them. */
static void empties(void)
{
	struct vring_desc *d;
	struct guest g;
	uint64_t table = AT_TX;
	unsigned int i;

	t_begin("indirect and empty descriptors: logged what is written (CVE-2019-14835)");
	guest_open(&g, F_V1 | F_MRG | F_INDIRECT, 0);
	CHECK_EQ(guest_log(&g, true), 0);
	d = (struct vring_desc *)guest_at(&g, table);
	for (i = 0; i < 64; i++) {
		d[i] = (struct vring_desc){ GPA + AT_RX + i * PAGE, 0,
					    VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, i + 1 };
		if (i % 16 == 5)
			d[i].len = 100;
	}
	d[63].flags = VRING_DESC_F_WRITE;
	d[63].len = 8000;
	for (i = 0; i < 4; i++)
		vq_offer(&g.q[Q_RX], GPA + table, 64 * 16, VRING_DESC_F_INDIRECT);
	guest_rest(&g);
	guest_mark(&g);
	guest_feed(&g, 300);
	guest_feed(&g, 3000);
	CHECK(vq_wait(&g.q[Q_RX], 2, WAIT_MS));
	guest_rest(&g);
	guest_compare(&g, 5);
	guest_close(&g);
	t_end();
}

void dirty_bad(void)
{
	bool stock = !strcmp(node_path, "/dev/vhost-net");

	bounds();
	gone(stock);
	empties();
}

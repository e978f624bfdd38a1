// SPDX-License-Identifier: GPL-2.0-only
/* iotlb: what is counted, and how often. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iotlb.h"

/* With all of the guest's pages told, and nothing beyond them. */
static void open_near(struct io *io, uint64_t features)
{
	const struct vq_told told = io_told(Q_TX);

	io_device(io, F_V1 | F_MRG | features, true);
	io->worker = worker_find(getpid());
	CHECK_EQ(io_tell_near(io), 0);
	CHECK_EQ(vq_setup(&io->q[Q_TX], io->node, &told), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), 0);
	io_rest(io);
}

static void offer(struct io *io, uint8_t *at, uint64_t addr)
{
	memset(at, 0, HDR);
	frame_make(at + HDR, 300, ++io->seq);
	vq_offer(&io->q[Q_TX], addr, HDR + 300, 0);
}

static void arrives(struct io *io, uint32_t seq)
{
	uint8_t frame[2048];

	CHECK_EQ(tap_take(&io->tap, frame, sizeof(frame), WAIT_MS), 300);
	CHECK(frame_is(frame, 300, seq));
}

/* In one burst with a frame that can go: the owner is asked when the burst is, and no more. */
static void asked_once(void)
{
	struct vhost_iotlb_msg m = { 0 };
	struct io io;

	t_begin("a miss behind a frame of the same burst is asked for, and counted, once");
	open_near(&io, 0);
	offer(&io, io.view + AT_RX, AT_RX);
	offer(&io, io.view + AT_RX + PAGE, AT_FAR);
	vq_kick(&io.q[Q_TX]);
	arrives(&io, 1);
	io_rest(&io);
	CHECK_EQ(node_stat(io.node, Q_TX, "iotlb_misses"), 1);
	CHECK_EQ(io_read(&io, &m), 0);
	CHECK_EQ(m.iova, AT_FAR);
	CHECK(io_read(&io, &m));
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, AT_FAR, PAGE,
			    (uintptr_t)io.view + AT_RX + PAGE, VHOST_ACCESS_RW), 0);
	arrives(&io, 2);
	io_close(&io);
	t_end();
}

static void changes_are(struct io *io, uint64_t updates, uint64_t invals)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		CHECK_EQ(node_stat(io->node, i, "iotlb_updates"), updates);
		CHECK_EQ(node_stat(io->node, i, "iotlb_invals"), invals);
	}
}

static void refused(void)
{
	const uintptr_t user = 0x10000;
	struct io io;

	t_begin("translations that were refused aren't counted");
	open_near(&io, 0);
	changes_are(&io, 1, 0);
	/* Beyond all there is, and where no program's memory is. */
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, 0ull - PAGE, 2 * PAGE, user, 3), -EFAULT);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, AT_FAR, PAGE, 1ull << 63, 3), -EFAULT);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_INVALIDATE, AT_FAR, 0, 0, 0), -EFAULT);
	changes_are(&io, 1, 0);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, AT_FAR, PAGE, user, 3), 0);
	changes_are(&io, 2, 0);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_INVALIDATE, AT_FAR, PAGE, 0, 0), 0);
	changes_are(&io, 2, 1);
	io_close(&io);
	t_end();
}

/* The driver can't be told of what was sent before the miss. The owner's answer mends nothing. */
static void told_beside(void)
{
	const uint64_t used = io_told(Q_TX).used & ~(PAGE - 1ul);
	struct io io;

	t_begin("a used ring that can't be written, behind a frame of a burst that ends with a miss, is told of");
	/* With it the worker at work writes nothing there before. */
	open_near(&io, F_EVENT);
	offer(&io, io.view + AT_RX, AT_RX);
	offer(&io, io.view + AT_RX + PAGE, AT_FAR);
	CHECK_EQ(mprotect(io.view + used, 2 * PAGE, PROT_READ), 0);
	vq_kick(&io.q[Q_TX]);
	arrives(&io, 1);
	CHECK_EQ(event_wait(io.q[Q_TX].err, WAIT_MS), 1);
	CHECK_EQ(mprotect(io.view + used, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
	/* By an attempt: nobody kicks, nobody answers. */
	CHECK(vq_wait(&io.q[Q_TX], 1, 2 * WAIT_MS));
	CHECK_EQ(node_stat(io.node, Q_TX, "faults"), 1);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, AT_FAR, PAGE,
			    (uintptr_t)io.view + AT_RX + PAGE, VHOST_ACCESS_RW), 0);
	arrives(&io, 2);
	io_close(&io);
	t_end();
}

void iotlb_counts(void)
{
	refused();
	asked_once();
	told_beside();
}

// SPDX-License-Identifier: GPL-2.0-only
/* iotlb: what is told anew: a ring that was forbidden, a page of a larger translation. */
#include <string.h>
#include <unistd.h>

#include "iotlb.h"

/* A place of the device's memory that nothing else is at, for a used ring. */
#define AT_FREE	0xe000ul

/* What lets a queue go on. */
enum permit { ALLOWED, ALLOWED_OF_TWO, UNKNOWN, MOVED, PERMITS };

static const char *const permits[PERMITS] = {
	[ALLOWED] = "that page is allowed",
	[ALLOWED_OF_TWO] = "that page is allowed, of two that one translation forbade",
	[UNKNOWN] = "that page is unknown",
	[MOVED] = "its used ring is elsewhere",
};

static void permit(struct io *io, enum permit how, uint64_t page)
{
	struct vq_told told = io_told(Q_TX);
	struct vq *q = &io->q[Q_TX];

	if (how == MOVED) {
		memcpy(io->view + AT_FREE, q->used, VQ_USED_BYTES);
		q->used = io->view + AT_FREE;
		told.used = AT_FREE;
		CHECK_EQ(vq_told(q, io->node, &told), 0);
		return;
	}
	io->perm[page] = VHOST_ACCESS_RW;
	if (how == UNKNOWN)
		CHECK_EQ(io_message(io, VHOST_IOTLB_INVALIDATE, page * PAGE, PAGE, 0, 0), 0);
	else
		CHECK_EQ(io_answer(io, page * PAGE), 0);
}

/*
 * A page of the ring is forbidden, not its first: granting it alone lets the queue go on, and so
 * does taking the translation back, after which it asks for another, and so does another place.
 */
static void forbidden(enum permit how)
{
	uint64_t page = (AT_RING + AT_USED) / PAGE + 1;
	uint8_t frame[2048];
	unsigned int i;
	struct io io;

	t_begin("a ring of which one page is forbidden goes on once %s, without a kick", permits[how]);
	io_open(&io, F_V1 | F_MRG, true);
	io.perm[page] = VHOST_ACCESS_RO;
	if (how == ALLOWED_OF_TWO)
		CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, page * PAGE, 2 * PAGE,
				    (uintptr_t)io_file(&io, io.page[page]), VHOST_ACCESS_RO), 0);
	io_iommu(&io, true);
	memset(io.view + AT_TX, 0, HDR);
	frame_make(io.view + AT_TX + HDR, 300, 7);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	vq_kick(&io.q[Q_TX]);
	CHECK(event_wait(io.q[Q_TX].err, WAIT_MS) > 0);
	io_rest(&io);
	/* The owner knows. */
	for (i = 0; i < 3; i++) {
		vq_kick(&io.q[Q_TX]);
		CHECK_EQ(tap_take(&io.tap, frame, sizeof(frame), 30), 0);
		io_rest(&io);
	}
	CHECK_EQ(event_wait(io.q[Q_TX].err, 0), 0);
	permit(&io, how, page);
	CHECK_EQ(tap_take(&io.tap, frame, sizeof(frame), WAIT_MS), 300);
	CHECK(frame_is(frame, 300, 7));
	io_close(&io);
	t_end();
}

/* Of four pages in one translation one is told anew, @which: the others stay what they were. */
static void carved(unsigned int which)
{
	const struct vq_told told = io_told(Q_TX);
	uint8_t frame[2048], *at;
	struct vhost_iotlb_msg m;
	unsigned int i;
	struct io io;

	t_begin("page %u of 4 in one translation is told anew, the others stay", which);
	io_device(&io, F_V1 | F_MRG, true);
	io.worker = worker_find(getpid());
	CHECK_EQ(io_tell_near(&io), 0);
	CHECK_EQ(vq_setup(&io.q[Q_TX], io.node, &told), 0);
	CHECK_EQ(node_backend(io.node, Q_TX, io.tap.fd), 0);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, AT_FAR, 4 * PAGE, (uintptr_t)io.view + AT_RX,
			    VHOST_ACCESS_RW), 0);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, AT_FAR + which * PAGE, PAGE,
			    (uintptr_t)io.view + AT_RX + 4 * PAGE, VHOST_ACCESS_RW), 0);
	/* Where the told page was, too: a frame that must not come. */
	for (i = 0; i < 5; i++) {
		at = io.view + AT_RX + i * PAGE;
		memset(at, 0, HDR);
		frame_make(at + HDR, 300, 10 + i);
	}
	for (i = 0; i < 4; i++) {
		vq_offer(&io.q[Q_TX], AT_FAR + i * PAGE, HDR + 300, 0);
		vq_kick(&io.q[Q_TX]);
		CHECK_EQ(tap_take(&io.tap, frame, sizeof(frame), WAIT_MS), 300);
		CHECK(frame_is(frame, 300, i == which ? 14 : 10 + i));
	}
	CHECK(io_read(&io, &m));
	io_close(&io);
	t_end();
}

void iotlb_anew(void)
{
	unsigned int i;

	for (i = 0; i < PERMITS; i++)
		forbidden(i);
	for (i = 0; i < 4; i++)
		carved(i);
}

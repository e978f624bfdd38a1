// SPDX-License-Identifier: GPL-2.0-only
/*
 * life: workers that hurry for a thread that is killed. The haste is over when that thread has what
 * it waited for, of one worker, and another may not have asked yet why its access failed: it is
 * held up before it asks, by the module vd_inject, which the suite has loaded.
 */
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "away.h"
#include "inject.h"
#include "life.h"
#include "test.h"

/* One shows the window unless a worker is so late that the page isn't missed until it is over. */
#define HASTES 10

struct hasty {
	struct rig r;
	int fd;
	uint8_t *rx;
	uint8_t *tx;
	unsigned int sent;
};

/* The next of the pages is wanted. */
static bool wanted(int fd)
{
	struct uffd_msg msg;

	return life_readable(fd) && read(fd, &msg, sizeof(msg)) == sizeof(msg);
}

/* The sender's worker is held up, or, if it was too late for that, waits for its page again. */
static bool sender_held(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned int looks;

	for (looks = 0; looks < LIFE_SOON_MS && !inject_held() && !poll(&p, 1, 1); looks++)
		;
	return inject_held();
}

/* A worker for each queue, and a buffer for a frame that isn't there. */
static bool hasty_open(struct hasty *h)
{
	struct vhost_worker_state worker;
	struct vhost_vring_worker v = { .index = Q_RX };
	struct rig *r = &h->r;

	h->fd = life_without(r, 0, &h->rx, HASTES + 1);
	if (h->fd < 0)
		return false;
	h->tx = h->rx + PAGE;
	h->sent = 0;
	MUST(!node_call(r->node, VHOST_NEW_WORKER, &worker), "VHOST_NEW_WORKER");
	v.worker_id = worker.worker_id;
	MUST(!node_call(r->node, VHOST_ATTACH_VRING_WORKER, &v), "VHOST_ATTACH_VRING_WORKER");
	desc_set(r->q[Q_RX].desc, 0, mem_gpa(&r->mem, h->rx), PAGE, D_WRITE, 0);
	ring_offer(&r->q[Q_RX], 0);
	return true;
}

/* Both workers wait for a page. */
static bool both_wait(struct hasty *h, const uint8_t *at)
{
	struct rig *r = &h->r;
	uint8_t f[RIG_FRAME];

	life_offer(r, h->sent++, at);
	if (!CHECK(wanted(h->fd)))
		return false;
	frame_make(f, sizeof(f), ++r->seq);
	return CHECK(tap_feed(&r->tap, f, sizeof(f))) && CHECK(wanted(h->fd));
}

/*
 * A sibling that waits for the receiver's worker is killed, and ends. Returns whether the sender's
 * was held up then: what it has given up, the frame, comes with its page.
 */
static bool one_haste(struct hasty *h)
{
	static const struct life_wait in = { "", life_get_base_rx };
	struct life_caller c = { .in = &in, .r = &h->r };
	uint8_t *at = h->tx + h->sent * PAGE;
	bool open;
	pid_t child;

	if (!both_wait(h, at))
		return false;
	inject_hold(INJECT_LONG);
	child = sibling_start(life_sibling, &c);
	CHECK(life_stuck(&child));
	kill(child, SIGKILL);
	CHECK(life_ends(child, NULL));
	open = sender_held(h->fd);
	inject_hold("0");
	if (!CHECK(wanted(h->fd)))
		return open;
	life_bring(&h->r, h->fd, at);
	CHECK(life_comes(&h->r));
	return open;
}

static void haste_over(void)
{
	struct hasty h;
	bool open = false;

	t_begin("a worker that asks whether it had to hurry when that is over loses no frame");
	if (!inject_there()) {
		t_skip("the module vd_inject isn't loaded");
	} else if (!hasty_open(&h)) {
		t_skip("this kernel has no userfaultfd");
	} else {
		while (!open && h.sent < HASTES && !t_errors())
			open = one_haste(&h);
		t_diag("%u hastes", h.sent);
		CHECK(open);
		CHECK_EQ(node_stat(h.r.node, Q_TX, "dropped"), 0);
		CHECK_EQ(node_stat(h.r.node, Q_RX, "dropped"), h.sent);
		close(h.fd);
		rig_close(&h.r);
	}
	t_end();
}

const struct life_case life_haste_cases[] = {
	{ "haste", haste_over, "SIGKILL for a sibling, a worker held up by vd_inject" },
	{ 0 }
};

// SPDX-License-Identifier: GPL-2.0-only
/* The run: warm-up, the measured window, and coming to rest. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "mark.h"
#include "vring.h"

#define NSEC 1000000000ULL
/*
 * How long frames may take from the used ring to the far side's socket: a fifth of
 * the patience asked for, by default 2 s.
 */
#define REST_SHARE 5
/* What a pause between two looks counts for at most. */
#define MAX_PAUSE (NSEC / 10)

bool vr_over(const struct vr_run *r)
{
	return vr_stop || r->failure;
}

/*
 * The run's own time, for its patience. A machine may stand still for seconds, and
 * all that it runs with it: that the clock went on then isn't the back end's doing.
 */
static uint64_t own_time(struct vr_run *r)
{
	uint64_t now = vr_now(), pause = now - r->looked;

	r->own_ns += pause < MAX_PAUSE ? pause : MAX_PAUSE;
	r->looked = now;
	return r->own_ns;
}

static unsigned int each_vq(struct vr_run *r, struct vr_vq *out[])
{
	unsigned int i, n = 0;

	for (i = 0; i < r->npairs; i++) {
		if (r->o->dir & VR_DIR_TX)
			out[n++] = &r->pairs[i].tx;
		if (r->o->dir & VR_DIR_RX)
			out[n++] = &r->pairs[i].rx;
	}
	return n;
}

/* Sleeps until a queue calls, but not for long: frames come by other ways too. */
static void wait_calls(struct vr_run *r)
{
	struct vr_vq *vqs[2 * VR_MAX_QUEUES];
	struct pollfd p[2 * VR_MAX_QUEUES];
	unsigned int i, n = each_vq(r, vqs);
	bool waiting = false;

	for (i = 0; i < n; i++) {
		p[i] = (struct pollfd){ .fd = vqs[i]->call_fd, .events = POLLIN };
		waiting |= vr_ring_arm(vqs[i]);
	}
	if (!waiting)
		poll(p, n, 1);
	for (i = 0; i < n; i++)
		vr_ring_count_calls(vqs[i]);
}

static void stalled(struct vr_run *r)
{
	struct vr_vq *vqs[2 * VR_MAX_QUEUES];
	unsigned int i, n = each_vq(r, vqs);

	for (i = 0; i < n; i++)
		fprintf(stderr, "vring: %s queue %u: %u made available, %u reaped, %u wait, %u of %u slots free\n",
			vqs[i]->tx ? "tx" : "rx", i * r->npairs / n, vqs[i]->pub_idx, vqs[i]->last_used,
			vr_ring_waiting(vqs[i]), vqs[i]->free_count, vqs[i]->slots);
	vr_worker_tell(r);
	vr_fail(r, "nothing moved for %u s", r->o->timeout);
}

static void give_way(struct vr_run *r)
{
	switch (r->o->wait) {
	case VR_WAIT_CALL:
		wait_calls(r);
		break;
	case VR_WAIT_NAP:
		/* On the worker's own processor, which it has for itself meanwhile. */
		usleep(1000);
		break;
	default:
		sched_yield();
	}
}

/*
 * To be called after each look at the queues. Gives way when nothing @moved,
 * notices when nothing has for too long. @since is the caller's, at first 0: since
 * when, by the run's own time.
 */
void vr_idle(struct vr_run *r, uint64_t *since, bool moved)
{
	uint64_t now;

	r->steps++;
	if (moved) {
		*since = 0;
		return;
	}
	r->idle_steps++;
	give_way(r);
	now = own_time(r);
	if (!*since)
		*since = now;
	else if (now - *since > r->o->timeout * NSEC)
		stalled(r);
}

static bool step(struct vr_run *r, bool more)
{
	bool moved = false;
	unsigned int i;

	for (i = 0; i < r->npairs; i++) {
		if (r->o->dir & VR_DIR_TX)
			moved |= vr_tx_step(r, &r->pairs[i], more);
		if (r->o->dir & VR_DIR_RX)
			moved |= vr_rx_step(r, &r->pairs[i], more);
	}
	return moved;
}

/* Whether all that was handed over came back, and, if @far, what was sent has arrived. */
static bool resting(const struct vr_run *r, bool far)
{
	unsigned int i;

	for (i = 0; i < r->npairs; i++) {
		const struct vr_pair *p = &r->pairs[i];

		if ((r->o->dir & VR_DIR_TX) &&
		    !(far ? vr_tx_resting(r, p) : p->tx.free_count == p->tx.slots))
			return false;
		if ((r->o->dir & VR_DIR_RX) && !vr_rx_resting(r, p))
			return false;
	}
	return true;
}

/*
 * Lets everything under way arrive. What doesn't in time is reported as lost: the
 * back end has all the patience that it has while there is traffic.
 */
static void come_to_rest(struct vr_run *r)
{
	const uint64_t limit = r->o->timeout * NSEC;
	uint64_t quiet = own_time(r), looks = 0;

	while (!resting(r, true)) {
		if (step(r, false)) {
			quiet = own_time(r);
			looks = 0;
			continue;
		}
		looks++;
		sched_yield();
		if (own_time(r) - quiet < limit / (resting(r, false) ? REST_SHARE : 1))
			continue;
		fprintf(stderr, "vring: not all arrives: %" PRIu64 " looks in %.3f s saw nothing move\n",
			looks, (double)(own_time(r) - quiet) / NSEC);
		vr_worker_tell(r);
		return;
	}
}

static uint64_t count_tx(const struct vr_run *r)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < r->npairs && (r->o->dir & VR_DIR_TX); i++) {
		struct vr_vq *q = &r->pairs[i].tx;

		n += q->completed + vr_ring_waiting(q);
	}
	return n;
}

static uint64_t count_rx(const struct vr_run *r)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < r->npairs; i++)
		n += r->pairs[i].rx_got;
	return n;
}

/* Whether a window that started at @t0 with these counts has run its length. */
static bool window_done(const struct vr_run *r, uint64_t t0, uint64_t tx0, uint64_t rx0)
{
	if (!r->o->packets)
		return vr_now() - t0 >= r->o->seconds * NSEC;
	if ((r->o->dir & VR_DIR_TX) && count_tx(r) - tx0 < r->o->packets)
		return false;
	return !(r->o->dir & VR_DIR_RX) || count_rx(r) - rx0 >= r->o->packets;
}

static void quiet_events(struct vr_run *r)
{
	if (!vr_events_quiet_due())
		return;
	come_to_rest(r);
	vr_events_quiet(r);
}

/* All that was sent has arrived, or is lost. */
static void account(struct vr_run *r)
{
	static uint64_t next;

	if (!r->o->account_ms || vr_now() < next)
		return;
	if (next) {
		come_to_rest(r);
		vr_account(r);
	}
	next = vr_now() + r->o->account_ms * 1000000ULL;
}

static void stream(struct vr_run *r, double warmup)
{
	uint64_t t0 = vr_now(), w0, tx0, rx0, ns, since = 0;

	while (vr_now() - t0 < warmup * NSEC && !vr_over(r))
		vr_idle(r, &since, step(r, true));
	w0 = vr_worker_ns(r);
	mark_open(r->o->mark && !r->o->storm);
	tx0 = count_tx(r);
	rx0 = count_rx(r);
	t0 = vr_now();
	while (!window_done(r, t0, tx0, rx0) && !vr_over(r)) {
		vr_idle(r, &since, step(r, true));
		quiet_events(r);
		account(r);
		if (r->o->storm)
			vr_storm_step(count_tx(r) + count_rx(r));
	}
	ns = vr_now() - t0;
	r->tx_win.packets = count_tx(r) - tx0;
	r->rx_win.packets = count_rx(r) - rx0;
	mark_close(r->o->mark && !r->o->storm);
	r->tx_win.ns = ns;
	r->rx_win.ns = ns;
	r->worker_ns = vr_worker_ns(r) - w0;
}

static void burst(struct vr_run *r, struct vr_window *w)
{
	unsigned int i;

	if (r->o->dir == (VR_DIR_TX | VR_DIR_RX))
		vr_both_burst(r, w);
	else if (r->o->dir == VR_DIR_RX)
		vr_rx_burst(r, w);
	else
		for (i = 0; i < r->npairs; i++)
			vr_tx_burst(r, &r->pairs[i], w);
}

static void bursts(struct vr_run *r, double warmup)
{
	struct vr_window *w = r->o->dir & VR_DIR_TX ? &r->tx_win : &r->rx_win;
	uint64_t t0 = vr_now(), w0;

	while (vr_now() - t0 < warmup * NSEC && !vr_over(r))
		burst(r, NULL);
	w0 = vr_worker_ns(r);
	t0 = vr_now();
	while (!vr_over(r) && (r->o->packets ? w->packets < r->o->packets :
						vr_now() - t0 < r->o->seconds * NSEC)) {
		burst(r, w);
		quiet_events(r);
	}
	r->worker_ns = vr_worker_ns(r) - w0;
}

/* Whether both directions, if there are two, have moved on from these counts. */
static bool moved_on(const struct vr_run *r, uint64_t tx, uint64_t rx)
{
	const uint64_t enough = 256;

	return (!(r->o->dir & VR_DIR_TX) || count_tx(r) - tx >= enough) &&
	       (!(r->o->dir & VR_DIR_RX) || count_rx(r) - rx >= enough);
}

/*
 * Some traffic after the events: by then a back end should have recovered. On a
 * machine that is busy with other things a fixed time may see none.
 */
static void tail(struct vr_run *r)
{
	const double settle = 0.15, length = 0.15, limit = 5;
	uint64_t t0 = vr_now(), since = 0, tx = 0, rx = 0;
	bool marked = false;

	while (!vr_over(r)) {
		double t = (double)(vr_now() - t0) / NSEC;

		if (!marked && t >= settle) {
			vr_stats_mark(r);
			tx = count_tx(r);
			rx = count_rx(r);
			marked = true;
		}
		if (marked && t >= settle + length && (moved_on(r, tx, rx) || t >= limit))
			break;
		vr_idle(r, &since, step(r, true));
	}
}

/* No traffic: only what else was asked for. */
static void idle(struct vr_run *r)
{
	uint64_t t0 = vr_now();

	if (r->o->misses) {
		vr_misses(r);
		return;
	}
	while (vr_now() - t0 < r->o->seconds * NSEC && !vr_over(r))
		usleep(10000);
}

static void begin(struct vr_run *r)
{
	vr_events_start(r);
	if (r->o->storm)
		vr_storm_start(r);
	if (r->o->latency_us)
		vr_latency_start(r);
}

static void end(struct vr_run *r)
{
	vr_events_stop();
	vr_storm_stop();
	vr_latency_stop();
}

void vr_drive(struct vr_run *r)
{
	unsigned int i;

	for (i = 0; i < r->npairs && (r->o->dir & VR_DIR_TX); i++)
		vr_tx_prepare(r, &r->pairs[i]);
	begin(r);
	if (r->o->idle)
		idle(r);
	else if (r->o->mode == VR_MODE_RTT)
		vr_trips(r);
	else if (r->o->mode == VR_MODE_BURST)
		bursts(r, r->o->warmup);
	else
		stream(r, r->o->warmup);
	mark_dump(r->o->mark && !r->o->storm);
	end(r);
	if (r->o->events && r->o->mode == VR_MODE_STREAM)
		tail(r);
	if (!r->failure && r->o->mode != VR_MODE_RTT)
		come_to_rest(r);
}

// SPDX-License-Identifier: GPL-2.0-only
/* Both directions at once: bursts each way, and frames that go out and come back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "mark.h"
#include "vring.h"

#define NSEC 1000000000ULL
#define MAX_TRIPS (1U << 20)

static uint32_t *trip;
static unsigned int ntrips;

/* What is still to come of a burst each way. */
struct left {
	uint64_t sent, fed;
};

static unsigned int take_both(struct vr_run *r, struct left *left)
{
	unsigned int i, sent = 0, got = 0;

	for (i = 0; i < r->npairs; i++) {
		sent += vr_ring_reap(&r->pairs[i].tx, r->pairs[i].tx.slots);
		got += vr_rx_take(r, &r->pairs[i], r->pairs[i].rx.slots);
	}
	left->sent -= sent;
	left->fed -= got;
	return sent + got;
}

/* Contents of what was sent are looked at when the time is taken. */
static void far_side(struct vr_run *r)
{
	uint64_t since = 0;
	unsigned int i;

	for (i = 0; i < r->npairs; i++)
		while (r->o->check && r->pairs[i].tx_got < r->pairs[i].tx_sent && !vr_over(r))
			vr_idle(r, &since, vr_peer_recv(r));
}

/*
 * A burst each way of each queue pair: the taps are filled while the rings have no
 * buffer, as for RX alone; then frames and buffers are handed over together, and
 * timed until all is done. @timed is false in warm-up.
 */
void vr_both_burst(struct vr_run *r, bool timed)
{
	unsigned int bufs[VR_MAX_QUEUES], i;
	struct left left = { 0 }, all;
	uint64_t t0, since = 0;

	for (i = 0; i < r->npairs; i++) {
		left.fed -= r->pairs[i].rx_got;
		bufs[i] = vr_rx_feed(r, &r->pairs[i]);
		left.fed += r->pairs[i].rx_fed;
	}
	mark_open(timed && r->o->mark);
	t0 = vr_now();
	for (i = 0; i < r->npairs; i++) {
		left.sent += vr_tx_submit(r, &r->pairs[i], r->o->burst);
		vr_rx_post(&r->pairs[i].rx, bufs[i]);
	}
	all = left;
	while ((left.sent || left.fed) && !vr_over(r))
		vr_idle(r, &since, take_both(r, &left));
	mark_close(timed && r->o->mark);
	if (timed) {
		r->tx_win.ns += vr_now() - t0;
		r->rx_win.ns = r->tx_win.ns;
		r->tx_win.packets += all.sent - left.sent;
		r->rx_win.packets += all.fed - left.fed;
	}
	far_side(r);
}

/* XDP chooses the queue by which a frame comes back: any may have it. */
static bool returned(struct vr_run *r)
{
	unsigned int i;

	for (i = 0; i < r->npairs; i++)
		if (vr_ring_returned(&r->pairs[i].rx))
			return true;
	return false;
}

static unsigned int take(struct vr_run *r)
{
	unsigned int i, n = 0;

	for (i = 0; i < r->npairs; i++)
		n += vr_rx_take(r, &r->pairs[i], r->pairs[i].rx.slots);
	return n;
}

/*
 * One frame, there and back; returns the nanoseconds that took until it was seen. To
 * take it out of its buffers isn't in it: that is our work, and another for each layout.
 */
static uint64_t one_trip(struct vr_run *r, struct vr_pair *p)
{
	uint64_t t0, ns, since = 0;
	unsigned int i;

	mark_open(r->o->mark);
	t0 = vr_now();
	p->rx_fed += vr_tx_submit(r, p, 1);
	while (!returned(r) && !vr_over(r))
		vr_idle(r, &since, false);
	ns = vr_now() - t0;
	mark_close(r->o->mark);
	while (!take(r) && !vr_over(r))
		vr_idle(r, &since, false);
	p->tx_got++;
	for (i = 0; i < r->npairs; i++)
		vr_rx_post(&r->pairs[i].rx, r->pairs[i].rx.slots);
	since = 0;
	/* The frame may be back before the ring says that it was sent. */
	while (p->tx.free_count < p->tx.slots && !vr_over(r))
		vr_idle(r, &since, vr_ring_reap(&p->tx, p->tx.slots));
	return ns;
}

/* Round trips, one at a time, the pairs taking turns. */
void vr_trips(struct vr_run *r)
{
	uint64_t t0 = vr_now(), w0, ns;
	unsigned int i, turn = 0;

	trip = calloc(MAX_TRIPS, sizeof(*trip));
	if (!trip)
		vr_die("out of memory");
	for (i = 0; i < r->npairs; i++)
		vr_rx_post(&r->pairs[i].rx, r->pairs[i].rx.slots);
	while (vr_now() - t0 < r->o->warmup * NSEC && !vr_over(r))
		one_trip(r, &r->pairs[turn++ % r->npairs]);
	w0 = vr_worker_ns(r);
	t0 = vr_now();
	while (ntrips < MAX_TRIPS && !vr_over(r) &&
	       (r->o->packets ? ntrips < r->o->packets :
				vr_now() - t0 < r->o->seconds * NSEC)) {
		ns = one_trip(r, &r->pairs[turn++ % r->npairs]);
		if (vr_over(r))
			break;
		trip[ntrips++] = ns < UINT32_MAX ? ns : UINT32_MAX;
		r->tx_win.ns += ns;
		r->rx_win.ns += ns;
	}
	r->tx_win.packets = r->rx_win.packets = ntrips;
	r->worker_ns = vr_worker_ns(r) - w0;
}

static int by_length(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The shortest time that so many of a thousand took no longer than. */
static uint32_t permille(unsigned int share)
{
	unsigned int at = ((uint64_t)ntrips * share + 999) / 1000;

	return trip[at ? at - 1 : 0];
}

void vr_trips_print(void)
{
	uint64_t sum = 0;
	unsigned int i;

	if (!ntrips)
		return;
	qsort(trip, ntrips, sizeof(*trip), by_length);
	for (i = 0; i < ntrips; i++)
		sum += trip[i];
	printf(",\"rtt\":{\"n\":%u,\"mean\":%" PRIu64 ",\"min\":%u,\"p50\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u}",
	       ntrips, sum / ntrips, trip[0], permille(500), permille(990), permille(999),
	       trip[ntrips - 1]);
}

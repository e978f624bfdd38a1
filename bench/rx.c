// SPDX-License-Identifier: GPL-2.0-only
/* Tap to guest. */
#include <stdlib.h>
#include <string.h>

#include "mark.h"
#include "vring.h"

/* Frames that may wait in the tap: its queue holds 4096. */
#define TAP_CREDIT 1024

static uint8_t scratch[2 * VR_MAX_FRAME];

static bool mergeable(const struct vr_run *r)
{
	return r->o->mergeable;
}

/* How many buffers the frame in the next used one spans; 0: header nonsense. */
static unsigned int span(const struct vr_run *r, const struct vr_vq *q, int slot)
{
	uint8_t hdr[sizeof(struct virtio_net_hdr_mrg_rxbuf)];
	struct virtio_net_hdr_mrg_rxbuf h;

	if (!mergeable(r))
		return 1;
	if (!vr_ring_gather(q, slot, hdr, sizeof(hdr)))
		return 0;
	memcpy(&h, hdr, sizeof(h));
	return h.num_buffers <= q->slots ? h.num_buffers : 0;
}

/* Puts the frame together from its buffers; 0 if it makes no sense. */
static unsigned int gather(const struct vr_vq *q, unsigned int nbufs)
{
	unsigned int i, len, total = 0;

	for (i = 0; i < nbufs; i++) {
		int slot = vr_ring_used_slot(q, i, &len);

		if (slot < 0 || total + len > sizeof(scratch) ||
		    !vr_ring_gather(q, slot, scratch + total, len) || !vr_ring_guards_ok(q, slot))
			return 0;
		total += len;
	}
	return total;
}

static void check(struct vr_run *r, struct vr_pair *p, unsigned int nbufs)
{
	/* XDP sends a frame back by the queue of the processor that it runs on. */
	bool trips = r->o->mode == VR_MODE_RTT;
	unsigned int total = gather(&p->rx, nbufs), queue;
	uint64_t seq;

	if (total <= r->hdr_len || !vr_frame_header_ok(scratch) ||
	    !vr_frame_ok(scratch + r->hdr_len, total - r->hdr_len, &queue, &seq) ||
	    (queue != p->index && !trips) || queue >= r->npairs ||
	    vr_frame_len(r->o, seq) != total - r->hdr_len)
		p->rx_seq.corrupt++;
	else
		vr_seq_take(&r->pairs[queue].rx_seq, seq);
}

/* Takes the frames that wait in the used ring, up to @max; returns the count. */
unsigned int vr_rx_take(struct vr_run *r, struct vr_pair *p, unsigned int max)
{
	bool spans = mergeable(r) && (r->o->check || r->o->size_max + r->hdr_len > r->o->buf);
	struct vr_vq *q = &p->rx;
	unsigned int n, waiting = vr_ring_waiting(q);

	if (!spans && !r->o->check) {
		n = vr_ring_reap(q, max);
		p->rx_got += n;
		return n;
	}
	for (n = 0; n < max && waiting; n++) {
		unsigned int len, nbufs;
		int slot = vr_ring_used_slot(q, 0, &len);

		nbufs = slot < 0 ? 0 : span(r, q, slot);
		if (nbufs > waiting || (!nbufs && slot >= 0)) {
			p->rx_seq.corrupt++;
			nbufs = 1;
		} else if (nbufs && r->o->check) {
			check(r, p, nbufs);
		}
		waiting -= vr_ring_reap(q, nbufs ? nbufs : 1);
	}
	p->rx_got += n;
	return n;
}

/* Gives the device up to @max empty buffers. */
void vr_rx_post(struct vr_vq *q, unsigned int max)
{
	while (max-- && q->free_count)
		vr_ring_add(q, vr_slot_take(q));
	vr_ring_publish(q);
}

/* Is it this direction's turn? A frame of its own may cost as much as many of the other. */
static bool due(const struct vr_run *r, const struct vr_pair *p)
{
	return !r->o->tx_share || !(r->o->dir & VR_DIR_TX) ||
	       p->rx_fed * r->o->tx_share <= p->tx_sent;
}

bool vr_rx_step(struct vr_run *r, struct vr_pair *p, bool more)
{
	unsigned int moved = vr_rx_take(r, p, p->rx.slots);

	vr_rx_post(&p->rx, p->rx.slots);
	if (more && due(r, p) && p->rx_fed - p->rx_got < TAP_CREDIT)
		moved += vr_peer_feed(r, p, VR_BATCH);
	return moved;
}

bool vr_rx_resting(const struct vr_run *r, const struct vr_pair *p)
{
	(void)r;
	return p->rx_got >= p->rx_fed;
}

/* Feeds one burst into the tap and says how many buffers it will take. */
unsigned int vr_rx_feed(struct vr_run *r, struct vr_pair *p)
{
	uint64_t end = p->rx_fed + r->o->burst, seq = p->rx_fed, since = 0;
	unsigned int bufs = 0;

	for (; seq < end; seq++) {
		unsigned int need = (vr_frame_len(r->o, seq) + r->hdr_len + r->o->buf - 1) /
				    r->o->buf;

		if (bufs + need > p->rx.slots)
			break;
		bufs += need;
	}
	if (r->o->feeder == VR_FEED_PKTGEN) {
		vr_pktgen_feed(r, seq - p->rx_fed);
		p->rx_fed = seq;
	}
	while (p->rx_fed < seq && !vr_over(r))
		vr_idle(r, &since, vr_peer_feed(r, p, seq - p->rx_fed));
	return bufs;
}

/*
 * One burst of each queue: the taps are filled while the rings have no buffer, so
 * that what is timed, from the kicks to the last frame, is the back end's work alone
 * and not the feeder's, which costs about as much. @w is NULL in warm-up.
 */
void vr_rx_burst(struct vr_run *r, struct vr_window *w)
{
	unsigned int bufs[VR_MAX_QUEUES], i;
	uint64_t t0, got = 0, fed = 0, since = 0;

	for (i = 0; i < r->npairs; i++) {
		fed -= r->pairs[i].rx_got;
		bufs[i] = vr_rx_feed(r, &r->pairs[i]);
		fed += r->pairs[i].rx_fed;
	}
	mark_open(w && r->o->mark);
	t0 = vr_now();
	for (i = 0; i < r->npairs; i++)
		vr_rx_post(&r->pairs[i].rx, bufs[i]);
	while (got < fed && !vr_over(r)) {
		unsigned int moved = 0;

		for (i = 0; i < r->npairs; i++)
			moved += vr_rx_take(r, &r->pairs[i], r->pairs[i].rx.slots);
		got += moved;
		vr_idle(r, &since, moved);
	}
	mark_close(w && r->o->mark);
	if (w) {
		w->ns += vr_now() - t0;
		w->packets += got;
	}
	if (r->o->feeder == VR_FEED_PKTGEN)
		vr_pktgen_end(r);
}

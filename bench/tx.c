// SPDX-License-Identifier: GPL-2.0-only
/* Guest to tap. */
#include <stdlib.h>
#include <string.h>

#include "mark.h"
#include "vring.h"

/* Bytes that may wait on the far side: well within its socket's buffer. */
#define FAR_BYTES (32U << 20)

static uint8_t scratch[VR_MAX_FRAME + sizeof(struct virtio_net_hdr_mrg_rxbuf)];

static void fill(struct vr_run *r, struct vr_pair *p, unsigned int slot, uint64_t seq)
{
	unsigned int len = vr_frame_len(r->o, seq);
	struct vr_vq *q = &p->tx;

	vr_ring_set_len(q, slot, len);
	if (q->chain == 1) {
		vr_frame_header(vr_seg(q, slot, 0), r->hdr_len);
		vr_frame_build(vr_seg(q, slot, 0) + r->hdr_len, len, p->index, seq);
		return;
	}
	vr_frame_header(scratch, r->hdr_len);
	vr_frame_build(scratch + r->hdr_len, len, p->index, seq);
	vr_ring_scatter(q, slot, scratch);
}

/*
 * Spoils a few frames of a thousand, in ways that the far side must tell apart:
 * a byte torn, the sum torn, no such queue, and a frame of before once more.
 */
static void spoil(struct vr_run *r, struct vr_pair *p, unsigned int slot, uint64_t seq)
{
	uint8_t *frame = vr_seg(&p->tx, slot, 0) + r->hdr_len;
	unsigned int len = vr_frame_len(r->o, seq), at = seq / 1000;

	switch (seq % 1000) {
	case 107:
		frame[VR_FRAME_MIN_CHECK + at % (len - VR_FRAME_MIN_CHECK)] ^= 1;
		break;
	case 207:
		frame[VR_FRAME_MIN_CHECK - 1 - at % 8] ^= 4;
		break;
	case 307:
		frame[VR_FRAME_QUEUE] = VR_MAX_QUEUES + 1;
		break;
	case 407:
		vr_frame_build(frame, len, p->index, seq - 20);
		break;
	}
}

/* Without --check a slot's frame never changes: the driver must be cheap. */
void vr_tx_prepare(struct vr_run *r, struct vr_pair *p)
{
	unsigned int slot;

	for (slot = 0; slot < p->tx.slots; slot++)
		fill(r, p, slot, slot);
}

static uint64_t credit(const struct vr_run *r, const struct vr_pair *p)
{
	uint64_t limit, waiting;

	if (!r->o->check)
		return UINT64_MAX;
	/* An skb costs its frame and about as much again in overhead. */
	limit = FAR_BYTES / (2 * r->o->size_max + 2048);
	/* Others' frames of our type count, too. */
	waiting = p->tx_sent > p->tx_got ? p->tx_sent - p->tx_got : 0;
	return waiting < limit ? limit - waiting : 0;
}

/* Puts the next frames, up to @max, into the ring; returns how many there was room for. */
unsigned int vr_tx_submit(struct vr_run *r, struct vr_pair *p, unsigned int max)
{
	bool check = r->o->check;
	struct vr_vq *q = &p->tx;
	unsigned int n;

	for (n = 0; n < max && q->free_count; n++) {
		unsigned int slot = vr_slot_take(q);

		if (check)
			fill(r, p, slot, p->tx_sent + n);
		if (r->o->spoil)
			spoil(r, p, slot, p->tx_sent + n);
		vr_ring_add(q, slot);
	}
	p->tx_sent += n;
	vr_ring_publish(q);
	return n;
}

/* Takes back what was used and refills the ring; @more: with new frames too. */
bool vr_tx_step(struct vr_run *r, struct vr_pair *p, bool more)
{
	unsigned int moved = vr_ring_reap(&p->tx, p->tx.vr.num);
	uint64_t room;

	if (r->o->check)
		moved += vr_peer_recv(r);
	room = more ? credit(r, p) : 0;
	if (room)
		moved += vr_tx_submit(r, p, room < p->tx.slots ? room : p->tx.slots);
	return moved;
}

bool vr_tx_resting(const struct vr_run *r, const struct vr_pair *p)
{
	return p->tx.free_count == p->tx.slots && (!r->o->check || p->tx_got >= p->tx_sent);
}

/* One burst: all at once, one kick, until all came back. @w is NULL in warm-up. */
void vr_tx_burst(struct vr_run *r, struct vr_pair *p, struct vr_window *w)
{
	unsigned int n = r->o->burst, left;
	struct vr_vq *q = &p->tx;
	uint64_t t0, since = 0;

	mark_open(w && r->o->mark);
	t0 = vr_now();
	n = vr_tx_submit(r, p, n);
	for (left = n; left && !vr_over(r);) {
		unsigned int got = vr_ring_reap(q, left);

		left -= got;
		vr_idle(r, &since, got);
	}
	mark_close(w && r->o->mark);
	if (w) {
		w->ns += vr_now() - t0;
		w->packets += n - left;
	}
	since = 0;
	while (r->o->check && p->tx_got < p->tx_sent && !vr_over(r))
		vr_idle(r, &since, vr_peer_recv(r));
}

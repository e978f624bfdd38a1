// SPDX-License-Identifier: GPL-2.0-only
/*
 * Busy polling of the net queues: what a dry queue waits for, and how it goes
 * to sleep. Transmit, and a receiver without buffers, wait for the ring; a
 * receiver with buffers waits for the socket and needs no kick of the driver.
 */
#include <linux/module.h>
#include <linux/ptr_ring.h>
#include <linux/skbuff.h>
#include <net/sock.h>

#include "net.h"

static bool vd_net_waits_for_ring(const struct vd_net_queue *q)
{
	return q->vq.index == VD_NET_TX || q->starved;
}

/* What was taken from the tap's ring is gone before a receiver waits. */
static bool vd_net_has_frame(const struct vd_net_queue *q)
{
	const struct socket *sock = q->vq.backend;

	/*
	 * The kernel's inline reads the slot plainly while the tap fills it: of
	 * the pointer only whether it is there matters, and none comes too late
	 * for good, as vd_net_rest() polls the socket at the end.
	 */
	return q->rx_ring ? !data_race(ptr_ring_empty(q->rx_ring)) :
	       !skb_queue_empty_lockless(&sock->sk->sk_receive_queue);
}

static bool vd_net_look(struct vd_virtqueue *vq)
{
	struct vd_net_queue *q = vd_net_queue_of(vq);

	/* A fault counts as work, too: the visit that follows meets it, and tells. */
	if (vd_net_waits_for_ring(q))
		return vd_vq_moved(vq);
	vd_stat_inc(&vq->counters, poll_looks);
	return vd_net_has_frame(q);
}

static void vd_net_busy_again(struct vd_virtqueue *vq)
{
	vd_net_again(vd_net_queue_of(vq));
}

static void vd_net_rest(struct vd_virtqueue *vq)
{
	struct vd_net_queue *q = vd_net_queue_of(vq);
	int more;

	if (!vd_net_waits_for_ring(q)) {
		vd_net_poll(q);
		return;
	}
	more = vd_vq_notify(vq);
	if (more < 0)
		vd_vq_error(vq, more);
	else if (more)
		vd_net_again(q);
}

/**
 * vd_net_busy_init - how a queue is polled
 * @q: the queue
 *
 * Context: nobody else has the device yet.
 */
void vd_net_busy_init(struct vd_net_queue *q)
{
	q->vq.busy.look = vd_net_look;
	q->vq.busy.rest = vd_net_rest;
	q->vq.busy.again = vd_net_busy_again;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive: from the socket to the guest's ring.
 *
 * A tap queues frames in a ring, of which a batch is taken at a time. Chains
 * are popped by the number of frames that wait and of what the next of them
 * takes, not more: those left over must be given back and read again. A frame
 * may take several chains (mergeable buffers), and those may come from several
 * pops.
 */
#include <linux/if_tun.h>
#include <linux/if_vlan.h>
#include <linux/module.h>
#include <linux/ptr_ring.h>
#include <linux/skb_array.h>
#include <linux/skbuff.h>
#include <linux/uaccess.h>
#include <linux/virtio_net.h>
#include <net/sock.h>
#include <net/xdp.h>

#include "compat/compat.h"
#include "compat/tun_wake.h"
#include "net.h"

/* Where num_buffers stands in the header of a frame. Section 5.1.6. */
#define VD_RX_NUM_BUFFERS \
	offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers)

/* Reasons to stop for now that are no fault of the ring; above any reason. */
enum {
	VD_RX_NO_BUFFERS = VD_DEV_REASONS,	/* the driver must add some */
	VD_RX_TOO_LONG,			/* the frame fits no buffer: drop it */
	VD_RX_LOST,			/* a fault cost the frame */
};

/**
 * struct vd_rx - the state of one visit to a queue
 * @q: the queue
 * @sock: its socket
 * @next: next chain of the burst that isn't used
 * @taken: chains taken for the current frame, noted as used from @mark on
 * @slots: their slots
 * @mark: vq->nused before the current frame
 * @niov: user-memory segments of the current frame
 * @room: bytes in them
 * @log: what is written is logged
 * @vain: chains taken for frames that no buffer fits
 * @msg: for the socket; all but what changes with each frame is set once
 */
struct vd_rx {
	struct vd_net_queue *q;
	struct socket *sock;
	u32 next;
	u32 taken;
	u32 slots;
	u32 mark;
	u32 niov;
	u64 room;
	bool log;
	u32 vain;
	struct msghdr msg;
};

/**
 * vd_net_rx_unbatch - give frames taken from the tap's ring back to it
 * @q: the receive queue
 *
 * Context: queue mutex.
 */
void vd_net_rx_unbatch(struct vd_net_queue *q)
{
	if (q->rx_ring && q->rx_head != q->rx_tail)
		ptr_ring_unconsume(q->rx_ring, q->rx_batch + q->rx_head,
				   q->rx_tail - q->rx_head, tun_ptr_free);
	q->rx_head = 0;
	q->rx_tail = 0;
}

static int vd_rx_ptr_len(void *ptr)
{
	return tun_is_xdp_frame(ptr) ? tun_ptr_to_xdp(ptr)->len :
	       __skb_array_len_with_tag(ptr);
}

/*
 * Length of the next frame of a socket without a ring, 0 for none. A packet
 * socket will leave the tag out: such a frame is shorter than it should be
 * then, and dropped. Without the tag it would be another network's.
 */
static int vd_rx_peek_sock(struct sock *sk)
{
	unsigned long flags;
	struct sk_buff *skb;
	int len = 0;

	spin_lock_irqsave(&sk->sk_receive_queue.lock, flags);
	skb = skb_peek(&sk->sk_receive_queue);
	if (skb) {
		len = skb->len;
		if (skb_vlan_tag_present(skb))
			len += VLAN_HLEN;
	}
	spin_unlock_irqrestore(&sk->sk_receive_queue.lock, flags);
	return len;
}

/* Length of the next frame without any virtio header, 0 for none. */
static int vd_rx_peek(struct vd_net_queue *q, struct socket *sock)
{
	if (!q->rx_ring)
		return vd_rx_peek_sock(sock->sk);
	if (q->rx_head == q->rx_tail) {
		q->rx_head = 0;
		q->rx_tail = vd_tun_consume(sock->file, q->rx_ring,
					    q->rx_batch, VD_BURST);
		if (!q->rx_tail)
			return 0;
	}
	return vd_rx_ptr_len(q->rx_batch[q->rx_head]);
}

/* Gives back the chains of the current frame. */
static void vd_rx_untake(struct vd_rx *rx)
{
	struct vd_virtqueue *vq = &rx->q->vq;

	vd_vq_rewind_burst(vq, rx->next);
	vd_vq_rewind(vq, rx->slots);
	vq->nused = rx->mark;
	vq->burst->count = 0;
	rx->next = 0;
	rx->taken = 0;
	rx->slots = 0;
}

/*
 * Chains for the frames that wait: one each, but as many for the @left bytes of the
 * first as it takes if they are like the one before.
 */
static u32 vd_rx_want(const struct vd_net_queue *q, u32 left)
{
	u32 want = q->rx_ring ? q->rx_tail - q->rx_head : 1;

	if (likely(left <= q->rx_room) || unlikely(!q->rx_room))
		return want;
	return want + (left - 1) / q->rx_room;
}

/* Has a chain at hand, of those that @left bytes take. Returns 0 or why not. */
static int vd_rx_pop(struct vd_rx *rx, u32 left)
{
	struct vd_net_queue *q = rx->q;
	int n;

	if (likely(rx->next < q->vq.burst->count))
		return 0;
	rx->next = 0;
	n = vd_vq_pop(&q->vq, vd_rx_want(q, left));
	if (n > 0)
		return 0;
	q->vq.burst->count = 0;
	return n ?: -VD_RX_NO_BUFFERS;
}

/*
 * Takes the next chain for the current frame, of which @left bytes have no room yet.
 * Returns 0 or why not.
 */
static int vd_rx_take(struct vd_rx *rx, u32 left)
{
	struct vd_virtqueue *vq = &rx->q->vq;
	const struct vd_seg *seg;
	struct vd_chain *c;
	u64 len;
	int n;

	n = vd_rx_pop(rx, left);
	if (unlikely(n))
		return n;
	c = &vq->burst->chain[rx->next];
	seg = &vq->burst->seg[c->first];
	if (unlikely(c->indirect)) {
		/* Of this frame or, if it is given back, of no more use. */
		n = vd_vq_expand(vq, c);
		if (n)
			return n;
		seg = vq->xseg;
	}
	if (unlikely(c->nr_out || !c->nr_in))
		return -VD_BAD_DIRECTION;
	n = vd_vq_translate(vq, seg, c->nr_in, vq->iov + rx->niov,
			    VD_IOV - rx->niov, VHOST_ACCESS_WO);
	if (unlikely(n < 0))
		return n == -VD_BURST_FULL ? -VD_RX_TOO_LONG : n;
	if (unlikely(rx->log))
		vd_log_take(vq, seg, c->nr_in);
	rx->next++;
	rx->taken++;
	rx->slots += c->slots;
	rx->niov += n;
	len = vd_chain_in_len(c, seg);
	rx->room += len;
	rx->q->rx_room = min_t(u64, len, U32_MAX);
	vd_vq_add_used(vq, c->head, c->slots, min_t(u64, len, U32_MAX));
	return 0;
}

/*
 * Takes chains for a frame of @len bytes with its header. Returns 0 or why
 * not; then the chains taken are still to be given back.
 */
static int vd_rx_reserve(struct vd_rx *rx, u32 len)
{
	struct vd_virtqueue *vq = &rx->q->vq;
	bool mergeable = vd_vq_has(vq, VIRTIO_NET_F_MRG_RXBUF);
	u32 most = mergeable ? min_t(u32, vq->ring.num, VD_CHAIN_SEGS) : 1;
	u64 before = 0;
	int err;

	rx->mark = vq->nused;
	rx->taken = 0;
	rx->slots = 0;
	rx->niov = 0;
	rx->room = 0;
	if (unlikely(rx->log))
		vq->log.nsegs = 0;
	while (rx->room < len) {
		if (unlikely(rx->taken == most))
			return -VD_RX_TOO_LONG;
		before = rx->room;
		err = vd_rx_take(rx, len - before);
		if (unlikely(err))
			return err;
	}
	/* All chains are full but the last. */
	vq->used[vq->nused - 1].len =
		vd_used_elem(&vq->ring, 0, len - before).len;
	return 0;
}

/* Writes to the frame's header, which may lie in pieces. */
static bool vd_rx_write(const struct iovec *iov, u32 niov, u32 off,
			const void *from, u32 len)
{
	u32 i, part;

	for (i = 0; i < niov && len; i++) {
		if (off >= iov[i].iov_len) {
			off -= iov[i].iov_len;
			continue;
		}
		part = min_t(size_t, len, iov[i].iov_len - off);
		if (copy_to_user(iov[i].iov_base + off, from, part))
			return false;
		from += part;
		len -= part;
		off = 0;
	}
	return !len;
}

/* The parts of the header that the socket doesn't write. Section 5.1.6. */
static bool vd_rx_header(const struct vd_rx *rx)
{
	static const struct virtio_net_hdr none;
	const struct vd_virtqueue *vq = &rx->q->vq;
	u16 num = vd_ring16(&vq->ring, rx->taken);

	if (rx->q->own_header &&
	    !vd_rx_write(vq->iov, rx->niov, 0, &none, sizeof(none)))
		return false;
	/* A VERSION_1 driver reads it even without mergeable buffers. */
	if (likely(rx->q->hlen >= VD_RX_NUM_BUFFERS + sizeof(num))) {
		const struct iovec *iov = vq->iov;

		if (likely(iov->iov_len >= VD_RX_NUM_BUFFERS + sizeof(num)))
			return !put_user(num, (u16 __user *)(iov->iov_base +
							VD_RX_NUM_BUFFERS));
		return vd_rx_write(iov, rx->niov, VD_RX_NUM_BUFFERS, &num,
				   sizeof(num));
	}
	return true;
}

/*
 * What the socket answered when it wasn't an error: the frame's length, if all is
 * well. tun says that of a frame, too, that met a fault, of which it has taken
 * back all but the header. Of one that XDP sent there it says how much there was
 * room for; and a macvtap, of a fault amid a VLAN tag, how much of the tag. Any
 * other short answer is of another frame, or another header.
 */
static int vd_rx_received(const struct vd_rx *rx, u32 want, int ret)
{
	if (likely(ret == want))
		return likely(!iov_iter_count(&rx->msg.msg_iter)) ? 0 : -EFAULT;
	if (!rx->q->rx_ring || ret > want)
		return -EIO;
	return ret < VLAN_HLEN || tun_is_xdp_frame(rx->msg.msg_control) ?
	       -EFAULT : -EIO;
}

/* Takes the next frame off the socket into the chains. 0 or an error. */
static int vd_rx_receive(struct vd_rx *rx, u32 len)
{
	struct vd_net_queue *q = rx->q;
	u32 skip = q->own_header ? q->hlen : 0;
	int ret;

	if (likely(q->rx_ring))
		rx->msg.msg_control = q->rx_batch[q->rx_head++];
	vd_net_iter(&rx->msg.msg_iter, ITER_DEST, q->vq.iov, rx->niov, len, skip);
	ret = rx->sock->ops->recvmsg(rx->sock, &rx->msg, len - skip,
				     MSG_DONTWAIT | MSG_TRUNC);
	return unlikely(ret < 0) ? ret : vd_rx_received(rx, len - skip, ret);
}

/*
 * Did a socket without a ring answer so before it took a frame? It says first that
 * its link was down; or another reader had the frame.
 */
static bool vd_rx_took_none(const struct vd_rx *rx, int err)
{
	return !rx->q->rx_ring && (err == -ENETDOWN || err == -EAGAIN);
}

/* Throws the next frame away. */
static void vd_rx_drop(struct vd_rx *rx)
{
	struct vd_net_queue *q = rx->q;
	struct iovec none = {};
	int ret = 0;

	if (q->rx_ring) {
		tun_ptr_free(q->rx_batch[q->rx_head++]);
	} else {
		iov_iter_init(&rx->msg.msg_iter, ITER_DEST, &none, 1, 0);
		ret = rx->sock->ops->recvmsg(rx->sock, &rx->msg, 0,
					     MSG_DONTWAIT | MSG_TRUNC);
	}
	if (!vd_rx_took_none(rx, ret))
		vd_stat_inc(&q->vq.counters, dropped);
}

/* Moves a frame of @len bytes with header. 0 or why not. */
static int vd_rx_frame(struct vd_rx *rx, u32 len)
{
	struct vd_virtqueue *vq = &rx->q->vq;
	int err;

	err = vd_rx_reserve(rx, len);
	if (unlikely(err)) {
		rx->vain += rx->taken;
		vd_rx_untake(rx);
		if (err != -VD_RX_TOO_LONG)
			return err;
		vd_rx_drop(rx);
		return 0;
	}
	err = vd_rx_receive(rx, len);
	if (likely(!err) && unlikely(!vd_rx_header(rx)))
		err = -EFAULT;
	/* Also after a failure: some of it may have been written. */
	if (unlikely(rx->log))
		vd_log_data(vq, vq->iov, rx->niov, len);
	if (unlikely(err)) {
		/* The frame is gone, by a fault say; if one was taken. */
		vd_rx_untake(rx);
		if (!vd_rx_took_none(rx, err))
			vd_stat_inc(&vq->counters, dropped);
		return err == -EFAULT ? -VD_RX_LOST : 0;
	}
	vd_stat_inc(&vq->counters, packets);
	vd_stat_add(&vq->counters, bytes, len - rx->q->hlen);
	return 0;
}

/*
 * A frame could not be moved. Returns true to try it again at once; else the queue
 * waits for a kick, or for vd_vq_error()'s attempt. Where the frame is lost anyhow
 * the next may fare better: a driver whose buffers are all offered has no reason to
 * kick.
 */
static bool vd_rx_stopped(struct vd_rx *rx, int err)
{
	struct vd_virtqueue *vq = &rx->q->vq;
	int more;

	if (err == -VD_RX_NO_BUFFERS) {
		rx->q->starved = true;
		if (vd_busy_enlist(vq))
			return false;
		more = vd_vq_notify(vq);
		if (!more)
			return false;
		if (more > 0) {
			vd_vq_no_notify(vq);
			return true;
		}
		err = more;
	}
	/* The owner is asked for a translation: its answer wakes the queue. */
	if (err == -VD_MISS)
		return false;
	if (err == -VD_RX_LOST) {
		/* Not waited for, the frames behind it would be lost as fast. */
		if (vd_vq_hurried(vq)) {
			vd_vq_error(vq, -VD_BAD_BUFFER);
			return false;
		}
		vd_vq_lost(vq);
		return true;
	}
	/* What the frames before it filled goes first. */
	vd_vq_error(vq, vd_vq_flush(vq) ?: err);
	return false;
}

/* Moves frames until there are none or the turn ends. 0, or the ring's fault. */
static int vd_rx_loop(struct vd_rx *rx)
{
	struct vd_net_queue *q = rx->q;
	struct vd_virtqueue *vq = &q->vq;
	size_t bytes = 0;
	u32 packets = 0;
	int len, err, ret = 0;

	do {
		len = vd_rx_peek(q, rx->sock);
		if (!len) {
			/* The driver need not wait for what is only ours. */
			ret = vd_vq_flush(vq);
			q->starved = false;
			if (!vd_busy_enlist(vq))
				vd_net_poll(q);
			break;
		}
		err = vd_rx_frame(rx, len + q->hlen);
		if (unlikely(err)) {
			if (!vd_rx_stopped(rx, err))
				break;
			/* Costs a turn too: an index may move for ever. */
			packets++;
			continue;
		}
		bytes += len;
		packets++;
		if (vq->nused >= VD_BURST)
			ret = vd_vq_flush(vq);
		if (unlikely(ret))
			break;
	} while (!vd_net_exceeds(q, packets + rx->vain, bytes));
	/* What was popped ahead and not needed goes back. */
	vd_vq_rewind_burst(vq, rx->next);
	vq->burst->count = 0;
	return ret;
}

/* @kicked: by the driver's kick, or by ourselves as if it had. */
static void vd_net_rx(struct vd_net_queue *q, bool kicked)
{
	struct vd_virtqueue *vq = &q->vq;
	struct vd_rx rx = { .q = q, .msg.msg_flags = MSG_DONTWAIT };
	int err;

	mutex_lock(&vq->mutex);
	if (kicked)
		vd_net_count_kick(q);
	rx.sock = vq->backend;
	if (!rx.sock)
		goto out;
	if (!vd_vq_begin(vq, kicked) || !vd_vq_ready(vq))
		goto out;
	vq->busy.armed = false;
	vd_poll_stop(&q->sock_poll);
	vd_net_header(q);
	rx.log = vd_vq_has(vq, VHOST_F_LOG_ALL);
	/* What an earlier fault left over goes first. */
	err = vd_vq_no_notify(vq) ?: vd_vq_flush(vq);
	if (likely(!err)) {
		vq->burst->count = 0;
		/* A fault amid the visit is told even if it has passed by now. */
		err = vd_rx_loop(&rx) ?: vd_vq_flush(vq);
	}
	if (unlikely(err))
		vd_vq_error(vq, err);
out:
	mutex_unlock(&vq->mutex);
}

/**
 * vd_net_rx_kick - the driver has added buffers
 * @work: the virtqueue's poll
 *
 * Context: worker; may sleep.
 */
void vd_net_rx_kick(struct vd_work *work)
{
	struct vd_virtqueue *vq = container_of(work, struct vd_virtqueue,
					       poll.work);

	vd_net_rx(vd_net_queue_of(vq), true);
}

/**
 * vd_net_rx_socket - the socket has a frame
 * @work: the queue's socket poll
 *
 * Context: worker; may sleep.
 */
void vd_net_rx_socket(struct vd_work *work)
{
	vd_net_rx(container_of(work, struct vd_net_queue, sock_poll.work),
		  false);
}

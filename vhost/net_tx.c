// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit: from the guest's ring to the socket.
 *
 * A burst goes through four steps: pop chains, find them in user memory, copy
 * them into frames, hand the frames over and the chains back. Where the socket
 * takes batches of XDP buffers and the frame fits one, frames are gathered;
 * else a frame goes by sendmsg, after those before it; uncopied, if the module
 * was told so (net_zcopy.c).
 */
#include <linux/bitops.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/kasan-checks.h>
#include <linux/module.h>
#include <linux/skbuff.h>
#include <linux/uaccess.h>
#include <linux/virtio_net.h>
#include <net/sock.h>

#include "compat/compat.h"
#include "compat/tun_xdp.h"
#include "net.h"

/* Where in a buffer the frame begins; before it there is room for XDP. */
static u32 vd_tx_pad(const struct vd_net_queue *q, const struct socket *sock)
{
	u32 headroom = sock_flag(sock->sk, SOCK_XDP) ? XDP_PACKET_HEADROOM : 0;

	return SKB_DATA_ALIGN(NET_IP_ALIGN + NET_SKB_PAD + headroom + q->hlen);
}

/*
 * The longest chain whose frame, at that place, leaves room in a page for what
 * the socket makes of it.
 */
static u32 vd_tx_batch_max(const struct vd_net_queue *q)
{
	u32 room = PAGE_SIZE - SKB_DATA_ALIGN(sizeof(struct skb_shared_info));

	return q->pad ? room - q->pad + q->hlen : 0;
}

/* Bytes of a buffer for a frame of @len bytes that starts at @pad. */
static u32 vd_tx_buflen(u32 pad, u32 len)
{
	return SKB_DATA_ALIGN(pad + len) +
	       SKB_DATA_ALIGN(sizeof(struct skb_shared_info));
}

/*
 * Copies a frame with its header, at @to, in one go.
 *
 * The addresses were checked when the memory table was set, and the caller
 * has put a speculation barrier behind their translation: so this is the bare
 * copy, without the checks of copy_from_user().
 */
static __always_inline bool vd_tx_gather(void *to, const struct iovec *iov,
					 u32 niov)
{
	u32 i;

	for (i = 0; i < niov; i++) {
		kasan_check_write(to, iov[i].iov_len);
		if (unlikely(raw_copy_from_user(to, iov[i].iov_base,
						iov[i].iov_len)))
			return false;
		to += iov[i].iov_len;
	}
	return true;
}

/*
 * The header of a frame as the socket wants it. A checksum beyond the frame
 * is refused; a header length that doesn't cover it is stretched, as the
 * stack must have it linear. Section 5.1.6.2.
 */
static bool vd_tx_header(const struct vd_net_queue *q,
			 struct virtio_net_hdr *hdr, u32 len)
{
	const struct vd_ring *r = &q->vq.ring;
	u32 end;

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	end = vd_ring16(r, (__force u16)hdr->csum_start) +
	      vd_ring16(r, (__force u16)hdr->csum_offset) + 2;
	if (end > vd_ring16(r, (__force u16)hdr->hdr_len)) {
		if (end > len || end > U16_MAX)
			return false;
		hdr->hdr_len = (__force __virtio16)vd_ring16(r, end);
	}
	return true;
}

/* Builds a frame in the next slot of the batch. Returns as the caller. */
static __always_inline int vd_tx_build(struct vd_net_queue *q,
				       const struct vd_frame *f)
{
	struct xdp_buff *xdp = &q->xdp[q->nxdp];
	u32 pad = q->pad, len = f->len - q->hlen;
	u32 buflen = vd_tx_buflen(pad, len);
	struct virtio_net_hdr *hdr;
	void *buf;

	/* tun and tap refuse these after the buffer was built. */
	if (unlikely(len < ETH_HLEN))
		return VD_TX_DROP;
	buf = vd_page_frag_alloc(&q->frags, buflen);
	if (unlikely(!buf))
		return VD_TX_AGAIN;
	if (unlikely(!vd_tx_gather(buf + pad - q->hlen,
				   q->vq.iov + f->first, f->niov))) {
		page_frag_free(buf);
		return VD_TX_LOST;
	}
	hdr = vd_xdp_vnet_hdr(buf, buflen);
	if (likely(!q->own_header))
		memcpy(hdr, buf + pad - q->hlen, VD_XDP_VNET_LEN);
	else
		memset(hdr, 0, VD_XDP_VNET_LEN);
	if (unlikely(!vd_tx_header(q, hdr, len))) {
		page_frag_free(buf);
		return VD_TX_DROP;
	}
	xdp_init_buff(xdp, buflen, NULL);
	xdp_prepare_buff(xdp, buf, pad, len, true);
	q->nxdp++;
	q->xdp_bytes += len;
	return 0;
}

/* Hands the batch to the socket, which owns the buffers if it takes them. */
static void vd_tx_send_batch(struct vd_net_queue *q, struct socket *sock)
{
	struct tun_msg_ctl ctl = {
		.type = TUN_MSG_PTR,
		.num = q->nxdp,
		.ptr = q->xdp,
	};
	struct msghdr msg = {
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl),
		.msg_flags = MSG_DONTWAIT,
	};
	u32 i;

	if (!q->nxdp)
		return;
	if (unlikely(sock->ops->sendmsg(sock, &msg, 0) < 0)) {
		/* No device behind it, say: these frames are lost. */
		for (i = 0; i < q->nxdp; i++)
			page_frag_free(q->xdp[i].data_hard_start);
		vd_stat_add(&q->vq.counters, dropped, q->nxdp);
	} else {
		vd_stat_add(&q->vq.counters, packets, q->nxdp);
		vd_stat_add(&q->vq.counters, bytes, q->xdp_bytes);
	}
	q->nxdp = 0;
	q->xdp_bytes = 0;
}

/* A frame that went by itself; those of a batch are counted with it. */
static void vd_tx_sent(struct vd_net_queue *q, const struct vd_frame *f)
{
	vd_stat_inc(&q->vq.counters, packets);
	vd_stat_add(&q->vq.counters, bytes, f->len - q->hlen);
}

/*
 * Sends one frame by itself. Never with MSG_MORE: tun may keep such a frame until
 * another comes, which may be one that can't be sent; or for which there is no
 * room before those that are kept have gone.
 */
static int vd_tx_send_one(struct vd_net_queue *q, struct socket *sock,
			  const struct vd_frame *f)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT };
	u32 skip = q->own_header ? q->hlen : 0;
	int ret;

	vd_net_iter(&msg.msg_iter, ITER_SOURCE, q->vq.iov + f->first, f->niov,
		    f->len, skip);
	ret = vd_net_sent(sock, sock->ops->sendmsg(sock, &msg, f->len - skip),
			  f->len - q->hlen);
	if (likely(!ret))
		vd_tx_sent(q, f);
	return ret;
}

/* Uncopied if it may be. */
static noinline int vd_tx_zcopy(struct vd_net_queue *q, struct socket *sock,
				const struct vd_frame *f)
{
	int ret;

	if (vd_zcopy_wants(q, f)) {
		vd_tx_send_batch(q, sock);
		ret = vd_zcopy_send(q, sock, f);
		if (likely(ret != VD_TX_COPY))
			return ret;
	}
	if (f->len <= vd_tx_batch_max(q))
		return vd_tx_build(q, f);
	vd_tx_send_batch(q, sock);
	return vd_tx_send_one(q, sock, f);
}

static int vd_tx_frame(struct vd_net_queue *q, struct socket *sock,
		       const struct vd_frame *f)
{
	/* A header and nothing behind it, or not even that. */
	if (unlikely(f->len <= q->hlen))
		return VD_TX_DROP;
	if (likely(f->len <= q->batch_max))
		return vd_tx_build(q, f);
	if (unlikely(q->zcopy))
		return vd_tx_zcopy(q, sock, f);
	vd_tx_send_batch(q, sock);
	return vd_tx_send_one(q, sock, f);
}

/*
 * Finds a chain in user memory, its segments behind the @niov that are there.
 * Returns the number of segments, or minus a reason.
 */
static int vd_tx_locate(struct vd_net_queue *q, struct vd_chain *c, u32 niov,
			u32 *len)
{
	struct vd_virtqueue *vq = &q->vq;
	const struct vd_seg *seg = &vq->burst->seg[c->first];
	u64 bytes;
	int err;

	if (unlikely(c->indirect)) {
		err = vd_vq_expand(vq, c);
		if (err)
			return err;
		seg = vq->xseg;
	}
	if (unlikely(c->nr_in))
		return -VD_BAD_DIRECTION;
	/* More than any frame can be: the length must not be cut to 32 bits. */
	bytes = vd_chain_out_len(c, seg);
	if (unlikely(bytes > INT_MAX))
		return -VD_BAD_LONG;
	*len = bytes;
	return vd_vq_translate(vq, seg, c->nr_out, vq->iov + niov,
			       VD_IOV - niov, VHOST_ACCESS_RO);
}

/*
 * Finds chains @first and following in user memory. Returns how many, and in
 * @missed whether it ended at one for which the owner was asked; if the first
 * can't be found, minus the reason.
 */
static int vd_tx_locate_all(struct vd_net_queue *q, u32 first, bool *missed)
{
	struct vd_burst *b = q->vq.burst;
	u32 niov = 0, i;
	int n = 0;

	for (i = first; i < b->count; i++) {
		struct vd_chain c = b->chain[i];
		struct vd_frame *f = &q->frame[i];

		n = vd_tx_locate(q, &c, niov, &f->len);
		if (unlikely(n < 0))
			break;
		f->head = c.head;
		f->slots = c.slots;
		f->first = niov;
		f->niov = n;
		niov += n;
	}
	*missed = unlikely(n == -VD_MISS);
	if (unlikely(i == first))
		return n == -VD_BURST_FULL ? -VD_BAD_LONG : n;
	/* Addresses that guest input chose are not used before this. */
	barrier_nospec();
	return i - first;
}

/*
 * Counts a frame that wasn't simply sent. Returns 0 if it is done with, else why
 * it is to be kept. What can't be read isn't: a page that went bad or beyond its
 * file's end stays so, and all that is behind the frame would wait with it. What
 * was only not waited for may yet come.
 */
static noinline int vd_tx_special(struct vd_net_queue *q,
				  const struct vd_frame *f, int result)
{
	switch (result) {
	case VD_TX_FLYING:
		vd_tx_sent(q, f);
		return 0;
	case VD_TX_LOST:
		if (vd_vq_hurried(&q->vq))
			return -VD_BAD_BUFFER;
		q->lost = true;
		break;
	case VD_TX_DROP:
		break;
	default:
		return result;
	}
	vd_stat_inc(&q->vq.counters, dropped);
	vd_vq_add_used(&q->vq, f->head, f->slots, 0);
	return 0;
}

/*
 * Sends the burst. Returns how many chains are done with, and in @result what
 * stopped at the next: 0, VD_TX_AGAIN or minus a reason.
 */
static u32 vd_tx_burst(struct vd_net_queue *q, struct socket *sock,
		       size_t *bytes, int *result)
{
	u32 count = q->vq.burst->count, i = 0, end = 0;
	const struct vd_frame *f;
	bool missed = false;
	int ret = 0;

	while (i < count) {
		if (i == end) {
			/* Found no more than before, and asked for twice. */
			ret = unlikely(missed) ? -VD_MISS :
			      vd_tx_locate_all(q, i, &missed);
			if (unlikely(ret < 0))
				break;
			end = i + ret;
		}
		f = &q->frame[i];
		ret = vd_tx_frame(q, sock, f);
		if (likely(!ret)) {
			vd_vq_add_used(&q->vq, f->head, f->slots, 0);
		} else {
			ret = vd_tx_special(q, f, ret);
			if (ret)
				break;
		}
		*bytes += f->len;
		i++;
		/* Others wait: a burst of the largest frames is many turns. */
		if (unlikely(*bytes >= VD_NET_WEIGHT_BYTES))
			break;
	}
	vd_tx_send_batch(q, sock);
	*result = ret;
	return i;
}

/* Gives back the chains of frames that have left. Returns 0 or minus a reason. */
static noinline int vd_tx_landed(struct vd_net_queue *q)
{
	vd_zcopy_reap(q);
	return vd_vq_flush(&q->vq);
}

/* One round of the loop. Returns true to go on. */
static bool vd_tx_round(struct vd_net_queue *q, struct socket *sock,
			u32 *packets, size_t *bytes)
{
	struct vd_virtqueue *vq = &q->vq;
	int n, result, err;
	u32 done;

	if (unlikely(q->zcopy)) {
		err = vd_tx_landed(q);
		if (err) {
			vd_vq_error(vq, err);
			return false;
		}
	}
	n = vd_vq_pop(vq, VD_BURST);
	if (!n) {
		if (vd_busy_enlist(vq))
			return false;
		n = vd_vq_notify(vq);
		if (n > 0) {
			vd_vq_no_notify(vq);
			/* Costs a packet's turn: an index may move for ever. */
			++*packets;
			return true;
		}
	}
	if (n <= 0) {
		if (n < 0)
			vd_vq_error(vq, n);
		return false;
	}
	done = vd_tx_burst(q, sock, bytes, &result);
	*packets += done;
	vd_vq_rewind_burst(vq, done);
	err = vd_vq_flush(vq);
	if (unlikely(q->lost)) {
		/* Once for all of them, whatever else there is to say. */
		q->lost = false;
		vd_vq_lost(vq);
	}
	if (result == VD_TX_AGAIN) {
		vd_stat_inc(&vq->counters, retries);
		vd_net_poll(q);
	}
	/*
	 * The ring's own first, whatever else the queue waits for: a wrong chain is met
	 * again, and told of then. Of a miss the owner is asked, nothing is wrong.
	 */
	if (unlikely(err || (result < 0 && result != -VD_MISS)))
		vd_vq_error(vq, err ?: result);
	return !result && !err;
}

/*
 * Does the socket take batches of XDP buffers? tun and tap do, but one that may be
 * blocked for space wants frames one by one. A packet socket has as much room where
 * net.core.wmem_default says so; it would take the batch for control data.
 */
static bool vd_tx_takes_batches(const struct socket *sock)
{
	return sock->sk->sk_sndbuf == INT_MAX &&
	       sock->sk->sk_family != AF_PACKET;
}

/* @kicked: by the driver's kick, or by ourselves as if it had. */
static void vd_net_tx(struct vd_net_queue *q, bool kicked)
{
	struct vd_virtqueue *vq = &q->vq;
	struct socket *sock;
	size_t bytes = 0;
	u32 packets = 0;
	int err;

	mutex_lock(&vq->mutex);
	if (kicked)
		vd_net_count_kick(q);
	sock = vq->backend;
	if (!sock)
		goto out;
	if (!vd_vq_begin(vq, kicked) || !vd_vq_ready(vq))
		goto out;
	vq->busy.armed = false;
	vd_poll_stop(&q->sock_poll);
	vd_net_header(q);
	/* What an earlier fault left over goes first. */
	err = vd_vq_no_notify(vq) ?: vd_vq_flush(vq);
	if (unlikely(err)) {
		vd_vq_error(vq, err);
		goto out;
	}
	q->pad = vd_tx_takes_batches(sock) ? vd_tx_pad(q, sock) : 0;
	q->batch_max = vd_tx_batch_max(q);
	if (unlikely(q->zcopy))
		q->batch_max = min(q->batch_max, q->hlen + VD_ZCOPY_LEN - 1);
	while (vd_tx_round(q, sock, &packets, &bytes))
		if (vd_net_exceeds(q, packets, bytes))
			break;
out:
	mutex_unlock(&vq->mutex);
}

/**
 * vd_net_tx_kick - the driver has something to send
 * @work: the virtqueue's poll
 *
 * Context: worker; may sleep.
 */
void vd_net_tx_kick(struct vd_work *work)
{
	struct vd_virtqueue *vq = container_of(work, struct vd_virtqueue,
					       poll.work);

	vd_net_tx(vd_net_queue_of(vq), true);
}

/**
 * vd_net_tx_socket - the socket has room again
 * @work: the queue's socket poll
 *
 * Context: worker; may sleep.
 */
void vd_net_tx_socket(struct vd_work *work)
{
	vd_net_tx(container_of(work, struct vd_net_queue, sock_poll.work),
		  false);
}

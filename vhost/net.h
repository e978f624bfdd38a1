/* SPDX-License-Identifier: GPL-2.0-only */
/* The net back end: a device with one receive and one transmit queue. */
#ifndef VD_NET_H
#define VD_NET_H

#include <linux/if_vlan.h>
#include <linux/mm_types_task.h>
#include <linux/net.h>
#include <linux/uio.h>
#include <linux/virtio_net.h>
#include <net/sock.h>
#include <net/xdp.h>

#include "compat/tunnel.h"
#include "dev.h"

struct ptr_ring;
struct vd_zcopy;

enum { VD_NET_RX, VD_NET_TX, VD_NET_QUEUES };

/* Stock's fairness: what a queue may move before the other has its turn. */
#define VD_NET_WEIGHT_BYTES	0x80000
#define VD_NET_WEIGHT_PACKETS	256

/* What became of a frame, beside 0 for sent. */
enum {
	VD_TX_DROP = 1,		/* the frame is bad; its chain is done */
	VD_TX_AGAIN,		/* the socket is full; keep the chain */
	VD_TX_FLYING,		/* sent as it lies; its chain goes back later */
	VD_TX_COPY,		/* not sent: to be copied */
	VD_TX_LOST,		/* its memory can't be read */
};

/* A frame that is ready to be sent: a chain's place in user memory. */
struct vd_frame {
	u16 head;
	u16 slots;
	u16 first;
	u16 niov;
	u32 len;
};

/**
 * struct vd_net_queue - what a net queue has beyond its virtqueue
 * @vq: the virtqueue; its backend is a struct socket. Its mutex protects all.
 * @sock_poll: watches the socket
 * @hlen: bytes of virtio header before each frame in the ring; set from the
 *        features at each visit, as are @own_header, @pad and @batch_max
 * @tunnel: headers tell of UDP tunnels; under the queue's mutex
 * @own_header: the socket knows no header: we strip it, or make it
 * @requeued: the next turn was asked for by ourselves, not by a kick
 * @starved: it waits for buffers, not for frames. RX.
 * @lost: a frame of the burst could not be read. TX.
 * @rx_ring: the tap's ring, NULL for a socket without one. RX.
 * @rx_batch: what was taken from it. RX.
 * @rx_head: next of @rx_batch
 * @rx_tail: end of @rx_batch
 * @rx_room: bytes of the chain taken last, by which is guessed how many a long
 *           frame takes; 0: none was. RX.
 * @frame: the burst's frames. TX.
 * @xdp: frames built for the socket. TX.
 * @nxdp: how many
 * @xdp_bytes: of how many bytes together, without their headers
 * @frags: where they are built. TX.
 * @pad: where in its buffer such a frame begins; 0: the socket takes none. TX.
 * @batch_max: chains of up to so many bytes become such frames. TX.
 * @zcopy: sends frames as they lie, NULL: none. Changed with the device's
 *         mutex, too, or by the last user. TX.
 */
struct vd_net_queue {
	struct vd_virtqueue vq;
	struct vd_poll sock_poll;
	u32 hlen;
	bool own_header;
	bool tunnel;
	bool requeued;
	bool starved;
	bool lost;
	struct ptr_ring *rx_ring;
	void **rx_batch;
	u32 rx_head;
	u32 rx_tail;
	u32 rx_room;
	struct vd_frame *frame;
	struct xdp_buff *xdp;
	u32 nxdp;
	u32 xdp_bytes;
	struct page_frag_cache frags;
	u32 pad;
	u32 batch_max;
	struct vd_zcopy *zcopy;
};

/**
 * struct vd_net - an open device
 * @dev: the core's part
 * @queue: receive and transmit
 * @vqs: the same for the core
 */
struct vd_net {
	struct vd_dev dev;
	struct vd_net_queue queue[VD_NET_QUEUES];
	struct vd_virtqueue *vqs[VD_NET_QUEUES];
};

static inline struct vd_net_queue *vd_net_queue_of(struct vd_virtqueue *vq)
{
	return container_of(vq, struct vd_net_queue, vq);
}

/* net_busy.c */
void vd_net_busy_init(struct vd_net_queue *q);

/* net_tx.c */
void vd_net_tx_kick(struct vd_work *work);
void vd_net_tx_socket(struct vd_work *work);

/* net_zcopy.c */
struct vd_zcopy *vd_zcopy_new(struct vd_net_queue *q, struct socket *sock);
void vd_zcopy_end(struct vd_zcopy *zc);
bool vd_zcopy_wants(struct vd_net_queue *q, const struct vd_frame *f);
int vd_zcopy_send(struct vd_net_queue *q, struct socket *sock,
		  const struct vd_frame *f);
void vd_zcopy_reap(struct vd_net_queue *q);
int vd_zcopy_wait(struct vd_net_queue *q);
int vd_zcopy_settle(struct vd_net_queue *q);
void vd_zcopy_resume(struct vd_net_queue *q);
void vd_zcopy_exit(void);

/* Frames shorter than this are copied, as with stock: cheaper than pages. */
#define VD_ZCOPY_LEN	256

/* net_rx.c */
void vd_net_rx_kick(struct vd_work *work);
void vd_net_rx_socket(struct vd_work *work);
void vd_net_rx_unbatch(struct vd_net_queue *q);

/* net_socket.c */
struct socket *vd_net_socket(int fd);
struct ptr_ring *vd_net_ring(struct file *file);

/**
 * vd_net_header - what the features say of the header (section 5.1.6)
 * @q: a queue about to be handled
 *
 * Context: queue mutex.
 */
static inline void vd_net_header(struct vd_net_queue *q)
{
	q->hlen = q->tunnel ? VD_TUNNEL_HLEN :
		  vd_vq_has(&q->vq, VIRTIO_NET_F_MRG_RXBUF) ||
		  vd_vq_has(&q->vq, VIRTIO_F_VERSION_1) ?
		  sizeof(struct virtio_net_hdr_mrg_rxbuf) :
		  sizeof(struct virtio_net_hdr);
	q->own_header = vd_vq_has(&q->vq, VHOST_NET_F_VIRTIO_NET_HDR);
}

/* The longest frame there is: 64 KiB of IP behind a tagged Ethernet header. */
#define VD_FRAME_MOST	(VLAN_ETH_HLEN + 65535)

/**
 * vd_net_sent - what the socket's answer to one frame means
 * @sock: the back end
 * @err: of sendmsg()
 * @len: bytes of the frame without its header
 *
 * For want of memory a frame is tried again, unless it is so long that memory
 * in one piece may never do: all behind it would wait for ever. A packet socket
 * answers the same for a frame that a device, its queue or a filter has refused.
 * That one is gone; sent again it would be refused again, without end.
 *
 * Return: 0, VD_TX_AGAIN, VD_TX_DROP or VD_TX_LOST.
 */
static inline int vd_net_sent(struct socket *sock, int err, u32 len)
{
	if (likely(err >= 0))
		return 0;
	switch (err) {
	case -ENOMEM:
	case -ENOBUFS:
		if (len > VD_FRAME_MOST || sock->sk->sk_family == AF_PACKET)
			return VD_TX_DROP;
		fallthrough;
	case -EAGAIN:
		return VD_TX_AGAIN;
	case -EFAULT:
		return VD_TX_LOST;
	default:
		return VD_TX_DROP;
	}
}

/**
 * vd_net_poll - watch the socket until it is ready again
 * @q: a queue with a back end
 *
 * Context: queue mutex.
 */
static inline void vd_net_poll(struct vd_net_queue *q)
{
	struct socket *sock = q->vq.backend;

	if (!sock)
		return;
	/*
	 * That the link of a packet socket went down is told once, to whoever
	 * receives or sends next, whose frame is lost by it: so it is here. Other
	 * errors stay, as timestamps of sent frames that the owner doesn't take.
	 */
	if (vd_poll_again(&q->sock_poll, sock->file))
		sock_error(sock->sk);
}

/**
 * vd_net_again - have the queue's work queued without a kick
 * @q: the queue
 *
 * Context: queue mutex.
 */
static inline void vd_net_again(struct vd_net_queue *q)
{
	/* A worker that was killed takes none: what comes next is a kick. */
	q->requeued = vd_poll_queue(&q->vq.poll);
}

/**
 * vd_net_exceeds - has a queue had its share?
 * @q: the queue; if so its work is queued again, behind that of others
 * @packets: moved since the worker came here
 * @bytes: their bytes
 */
static inline bool vd_net_exceeds(struct vd_net_queue *q, u32 packets,
				  size_t bytes)
{
	if (likely(packets < VD_NET_WEIGHT_PACKETS &&
		   bytes < VD_NET_WEIGHT_BYTES))
		return false;
	vd_net_again(q);
	return true;
}

/**
 * vd_net_count_kick - count a kick, if it is one
 * @q: the queue whose work runs
 *
 * Context: worker, queue mutex.
 */
static inline void vd_net_count_kick(struct vd_net_queue *q)
{
	if (!q->requeued)
		vd_vq_kicked(&q->vq);
	q->requeued = false;
}

/**
 * vd_net_iter - user memory as the socket wants it described
 * @iter: the description
 * @dir: ITER_SOURCE or ITER_DEST
 * @iov: segments
 * @niov: how many
 * @len: their bytes that count
 * @skip: of these, bytes at the start to be left alone
 *
 * A single segment, the usual case, has a description of its own that costs
 * the copying less.
 */
static inline void vd_net_iter(struct iov_iter *iter, unsigned int dir,
			       const struct iovec *iov, unsigned int niov,
			       size_t len, size_t skip)
{
	if (likely(niov == 1)) {
		iov_iter_ubuf(iter, dir, iov->iov_base + skip, len - skip);
		return;
	}
	iov_iter_init(iter, dir, iov, niov, len);
	iov_iter_advance(iter, skip);
}

#endif /* VD_NET_H */

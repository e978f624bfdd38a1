// SPDX-License-Identifier: GPL-2.0-only
/*
 * The net device: takes frames from the driver and checks them, makes frames
 * for it. Specification: virtio 1.3, section 5.1.6.
 */
#include <linux/virtio_net.h>
#include <stdio.h>

#include "frames.h"
#include "net.h"

#define HDR_SIZE	sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define RX_BURST	32u

static u8 buffer[HDR_SIZE + FRAME_MAX];

static u32 net_fail(struct net *n, const char *what, int reason)
{
	if (!n->reason) {
		n->reason = reason;
		printf("# %s: %s\n", what,
		       vd_reason_name((enum vd_reason)-reason));
	}
	return 0;
}

/* Any header but an empty one asks for what was not offered. */
static bool net_right(const struct net *n, u32 len)
{
	static const u8 none[HDR_SIZE];
	const u8 *frame = buffer + HDR_SIZE;

	if (memcmp(buffer, none, HDR_SIZE - sizeof(__virtio16)))
		return false;
	if (n->mode == NET_UDP)
		return len >= n->low && len <= n->high &&
		       frame_is_udp(frame, len);
	return len == frame_length(n->seen, n->low, n->high) &&
	       frame_is(frame, len, n->seen, n->mode == NET_SWAP);
}

static void net_check(struct net *n, u32 len)
{
	if (len < HDR_SIZE || !net_right(n, len - (u32)HDR_SIZE)) {
		if (!n->bad++)
			printf("# frame %u of %u bytes is wrong\n", n->seen,
			       len);
	}
	n->seen++;
}

/**
 * net_tx - take a burst of frames from the driver
 * @n: the device
 *
 * Return: how many chains.
 */
u32 net_tx(struct net *n)
{
	struct vu_queue *q = &n->s.q[VU_TX];
	int got = vu_queue_pop(q, VD_BURST), i, len;
	const struct vd_seg *seg;

	if (got < 0)
		return net_fail(n, "tx", got);
	for (i = 0; i < got; i++) {
		struct vd_chain c = q->burst.chain[i];

		n->tables += c.indirect;
		len = vu_queue_segs(&n->s, q, &c, &seg);
		if (!len && c.nr_in)
			len = -VD_BAD_DIRECTION;
		if (!len)
			len = vu_mem_gather(&n->s.mem, seg, c.nr_out, buffer,
					    sizeof(buffer));
		if (len < 0)
			return net_fail(n, "tx", len);
		n->long_chains += c.nr_out > 1;
		net_check(n, (u32)len);
		vu_queue_used(q, &c, 0);
	}
	n->bursts += !!got;
	n->chains += (u32)got;
	if (vu_queue_flush(q))
		return net_fail(n, "tx", -VD_FAULT);
	return (u32)got;
}

/*
 * How many chains of the burst, from @at on, a frame of @len bytes takes; 0 if
 * there are too few. Without mergeable buffers one must suffice.
 */
static u32 net_rx_need(const struct net *n, const struct vd_burst *b, u32 at,
		       u32 len)
{
	bool merge = vu_server_has(&n->s, VIRTIO_NET_F_MRG_RXBUF);
	u64 room = 0;
	u32 i;

	for (i = at; i < b->count && room < len; i++) {
		room += vd_chain_in_len(&b->chain[i],
					&b->seg[b->chain[i].first]);
		if (!merge && room < len)
			return 0;
	}
	return room < len ? 0 : i - at;
}

/* Writes a frame to @take chains from @at on. Returns 0 or minus a reason. */
static int net_rx_write(struct net *n, u32 at, u32 take, u32 len)
{
	struct vu_queue *q = &n->s.q[VU_RX];
	const struct vd_seg *seg;
	u32 i, done = 0;
	int put;

	for (i = at; i < at + take; i++) {
		struct vd_chain c = q->burst.chain[i];

		put = vu_queue_segs(&n->s, q, &c, &seg);
		if (!put && c.nr_out)
			put = -VD_BAD_DIRECTION;
		if (!put)
			put = vu_mem_scatter(&n->s.mem, seg, c.nr_in,
					     buffer + done, len - done);
		if (put < 0)
			return put;
		vu_queue_used(q, &c, (u32)put);
		done += (u32)put;
	}
	return done == len ? 0 : -VD_BAD_BUFFER;
}

/* Makes the next frame in the buffer, for @take chains. */
static void net_rx_frame(const struct net *n, u32 len, u32 take)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {
		.num_buffers = htole16((u16)take),
	};

	memcpy(buffer, &hdr, HDR_SIZE);
	frame_make(buffer + HDR_SIZE, len, n->sent);
}

/**
 * net_rx - give frames to the driver, as many as the window allows
 * @n: the device
 *
 * Return: how many frames.
 */
u32 net_rx(struct net *n)
{
	struct vu_queue *q = &n->s.q[VU_RX];
	u32 at = 0, take, len, slots = 0, sent = n->sent, i;
	int got, err = 0;

	if (n->mode == NET_UDP || n->sent == n->total ||
	    n->sent - n->seen >= n->window)
		return 0;
	got = vu_queue_pop(q, RX_BURST);
	if (got < 0)
		return net_fail(n, "rx", got);
	while (n->sent < n->total && n->sent - n->seen < n->window && !err) {
		len = frame_length(n->sent, n->low, n->high);
		take = net_rx_need(n, &q->burst, at, (u32)HDR_SIZE + len);
		if (!take)
			break;
		net_rx_frame(n, len, take);
		err = net_rx_write(n, at, take, (u32)HDR_SIZE + len);
		n->merged += take > 1;
		n->sent++;
		at += take;
	}
	for (i = at; i < (u32)got; i++)
		slots += q->burst.chain[i].slots;
	if (slots)
		vu_queue_rewind(q, slots);
	n->bursts += !!at;
	n->chains += at;
	if (!err)
		err = vu_queue_flush(q);
	return err ? net_fail(n, "rx", err) : n->sent - sent;
}

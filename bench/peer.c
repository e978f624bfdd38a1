// SPDX-License-Identifier: GPL-2.0-only
/* The far side of the tap: packet sockets that feed it and take from it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vring.h"

/* Bytes for a frame and what goes before it. */
#define ROOM (VR_MAX_FRAME + 1 + 64)

static uint8_t *frames;		/* VR_BATCH of them, shared: one thread drives all */
static struct iovec iov[VR_BATCH];
/* What goes before a frame that is fed: with --gso, how it is to be cut up. */
static unsigned int front;
static struct mmsghdr msgs[VR_BATCH];

static int packet_socket(int ifindex, int protocol)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
				  .sll_ifindex = ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		vr_die_errno("packet socket");
	if (bind(fd, (struct sockaddr *)&to, sizeof(to)))
		vr_die_errno("packet socket: bind");
	return fd;
}

static void set(int fd, int level, int name, int value, const char *what)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		vr_die_errno("packet socket: %s", what);
}

/* Protocol 0: it never receives, so feeding costs nothing but the feeding. */
static void open_feed(struct vr_pair *p)
{
	p->feed_fd = packet_socket(p->ifindex, 0);
	set(p->feed_fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
	if (front)
		set(p->feed_fd, SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
	set(p->feed_fd, SOL_SOCKET, SO_SNDBUFFORCE, 64 << 20, "SO_SNDBUFFORCE");
}

/*
 * Bound to our ethertype only. The buffer holds far more than the driver ever
 * has under way, so that what is lost is lost by the back end.
 */
static void open_recv(struct vr_run *r, struct vr_pair *p)
{
	int fd = packet_socket(p->ifindex, vr_frame_ethertype());

	set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20, "SO_RCVBUFFORCE");
	set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING");
	r->recv_fd[r->nrecv++] = fd;
}

/* Where frame @i of a batch is built. */
static uint8_t *frame_at(unsigned int i)
{
	return frames + (size_t)i * ROOM + ROOM - VR_MAX_FRAME - 1;
}

void vr_peer_open(struct vr_run *r)
{
	unsigned int i;

	/* All there at once: its first use would cost a batch 4 MB of page faults. */
	frames = mmap(NULL, VR_BATCH * ROOM, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (frames == MAP_FAILED)
		vr_die("out of memory");
	front = r->o->gso ? sizeof(struct virtio_net_hdr) : 0;
	for (i = 0; i < VR_BATCH; i++) {
		iov[i].iov_base = frame_at(i) - front;
		vr_frame_header(iov[i].iov_base, front);
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (i = 0; i < r->npairs; i++) {
		struct vr_pair *p = &r->pairs[i];

		if (r->o->mode == VR_MODE_RTT)
			continue;
		if (r->o->feeder == VR_FEED_PKTGEN)
			vr_pktgen_open(r, p);
		else if (r->o->dir & VR_DIR_RX)
			open_feed(p);
		if (r->o->check && r->o->xdp != VR_XDP_CHECK && (r->o->dir & VR_DIR_TX) &&
		    (!i || r->o->separate))
			open_recv(r, p);
	}
}

/* Feeds the tap with the next @n frames of this queue, returns how many went. */
unsigned int vr_peer_feed(struct vr_run *r, struct vr_pair *p, unsigned int n)
{
	unsigned int i;
	int sent;

	if (n > VR_BATCH)
		n = VR_BATCH;
	for (i = 0; i < n; i++) {
		unsigned int len = vr_frame_len(r->o, p->rx_fed + i);

		if (r->o->check || iov[i].iov_len != front + len ||
		    frame_at(i)[vr_frame_queue_at()] != p->index)
			vr_frame_build(frame_at(i), len, p->index, p->rx_fed + i);
		iov[i].iov_base = frame_at(i) - front;
		iov[i].iov_len = front + len;
		/* A frame that came in may have been here. */
		if (r->o->check)
			vr_frame_header(iov[i].iov_base, front);
	}
	sent = sendmmsg(p->feed_fd, msgs, n, 0);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (sent < 0)
		vr_fail(r, "queue pair %u: feeding the tap: %s", p->index, strerror(errno));
	else
		p->rx_fed += sent;
	return sent < 0 ? 0 : sent;
}

static void take(struct vr_run *r, uint8_t *f, unsigned int len, unsigned int tap)
{
	struct vr_pair *p = &r->pairs[tap];
	unsigned int queue;
	uint64_t seq;

	if (!vr_frame_ok(f, len, &queue, &seq) || queue >= r->npairs ||
	    len != vr_frame_len(r->o, seq) || (r->o->separate && queue != tap)) {
		p->tx_seq.corrupt++;
		p->tx_got++;
		return;
	}
	p = &r->pairs[queue];
	p->tx_got++;
	vr_seq_take(&p->tx_seq, seq);
}

/* Takes what waits on the far side, a batch a socket; returns how many frames came. */
unsigned int vr_peer_recv(struct vr_run *r)
{
	unsigned int s, total = 0;
	int i, n;

	if (r->o->xdp == VR_XDP_CHECK)
		return vr_xdp_check_recv(r);
	for (s = 0; s < r->nrecv; s++) {
		for (i = 0; i < VR_BATCH; i++)
			iov[i] = (struct iovec){ frame_at(i), VR_MAX_FRAME + 1 };
		n = recvmmsg(r->recv_fd[s], msgs, VR_BATCH, MSG_DONTWAIT, NULL);
		for (i = 0; i < n; i++)
			take(r, iov[i].iov_base, msgs[i].msg_len, s);
		total += n > 0 ? n : 0;
	}
	return total;
}

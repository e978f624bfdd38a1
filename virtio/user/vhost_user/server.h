/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vhost-user back end for one net device with one queue pair, on the ring
 * engine. One thread: it serves the connection and the rings in turn.
 */
#ifndef VD_VHOST_USER_SERVER_H
#define VD_VHOST_USER_SERVER_H

#include "../plain_ops.h"
#include "mem.h"

enum { VU_RX, VU_TX, VU_QUEUES };

/**
 * struct vu_queue - a virtqueue of the server
 * @ring: the engine's state
 * @plain: where the parts are, once it runs
 * @num: ring size that was set
 * @base: index to start from that was set, with the wrap counter
 * @uaddr: parts, in the front end's addresses
 * @kick: eventfd by which the driver asks to be served, or -1
 * @call: eventfd by which it is interrupted, or -1
 * @running: between SET_VRING_KICK and GET_VRING_BASE
 * @enabled: frames may be moved
 * @nused: chains noted as used
 * @used: they
 * @slots: slots of each
 * @burst: what was popped last
 * @xseg: segments of a chain with an indirect table
 * @kicks: kicks that were taken
 * @signals: interrupts that were sent
 */
struct vu_queue {
	struct vd_ring ring;
	struct vd_plain plain;
	u32 num;
	u32 base;
	u64 uaddr[VD_PARTS];
	int kick;
	int call;
	bool running;
	bool enabled;
	u32 nused;
	struct vd_used used[VD_CHAIN_SEGS];
	u16 slots[VD_CHAIN_SEGS];
	struct vd_burst burst;
	struct vd_seg xseg[VD_CHAIN_SEGS];
	u64 kicks;
	u64 signals;
};

/**
 * struct vu_server - the back end
 * @sock: the connection
 * @offer: features it offers
 * @features: features the driver accepted
 * @protocol: protocol features that were accepted
 * @status: the driver's device status, if it sends that
 * @mem: guest memory
 * @q: the queues
 */
struct vu_server {
	int sock;
	u64 offer;
	u64 features;
	u64 protocol;
	u64 status;
	struct vu_mem mem;
	struct vu_queue q[VU_QUEUES];
};

void vu_server_init(struct vu_server *s, int sock, u64 offer);
void vu_server_exit(struct vu_server *s);
int vu_server_message(struct vu_server *s);

static inline bool vu_server_has(const struct vu_server *s, u32 bit)
{
	return s->features >> bit & 1;
}

int vu_queue_start(struct vu_server *s, struct vu_queue *q);
u32 vu_queue_stop(struct vu_queue *q);
int vu_queue_pop(struct vu_queue *q, u32 max);
int vu_queue_segs(struct vu_server *s, struct vu_queue *q, struct vd_chain *c,
		  const struct vd_seg **seg);
void vu_queue_rewind(struct vu_queue *q, u32 slots);
void vu_queue_used(struct vu_queue *q, const struct vd_chain *c, u32 len);
int vu_queue_flush(struct vu_queue *q);
int vu_queue_no_notify(struct vu_queue *q);
int vu_queue_notify(struct vu_queue *q);

#endif /* VD_VHOST_USER_SERVER_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* The net device: what the server does with the frames of its queues. */
#ifndef VD_VHOST_USER_NET_H
#define VD_VHOST_USER_NET_H

#include "server.h"

/* Who makes the frames, and what the driver does with ours. */
enum net_mode {
	NET_UDP,	/* the driver makes UDP frames */
	NET_ECHO,	/* ours come back as they are */
	NET_SWAP,	/* ours come back with their addresses exchanged */
};

/**
 * struct net - the device and what it has seen
 * @s: the back end
 * @mode: what is checked
 * @low: least length of a frame
 * @high: greatest
 * @total: frames to be checked
 * @window: most frames that are on their way at a time
 * @sent: frames given to the driver
 * @seen: frames that came from it
 * @bad: of those, wrong ones
 * @reason: first result below zero, or 0
 * @tables: chains with an indirect table
 * @long_chains: chains of several segments
 * @merged: frames that took several receive buffers
 * @bursts: visits to a ring that found something
 * @chains: chains found
 */
struct net {
	struct vu_server s;
	enum net_mode mode;
	u32 low;
	u32 high;
	u32 total;
	u32 window;
	u32 sent;
	u32 seen;
	u32 bad;
	int reason;
	u64 tables;
	u64 long_chains;
	u64 merged;
	u64 bursts;
	u64 chains;
};

u32 net_tx(struct net *n);
u32 net_rx(struct net *n);

#endif /* VD_VHOST_USER_NET_H */

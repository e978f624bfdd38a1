/* SPDX-License-Identifier: GPL-2.0-only */
/* XDP programs on interfaces of ours. Each lives as long as the descriptor that is returned. */
#ifndef GT_XDP_H
#define GT_XDP_H

/* All frames are dropped. */
int xdp_drop(int ifindex);
/* All frames go out by another interface, as they are, without ever being an skb. */
int xdp_redirect(int ifindex, int to);

#endif /* GT_XDP_H */

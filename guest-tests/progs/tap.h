/* SPDX-License-Identifier: GPL-2.0-only */
/* A tap, and a packet socket on it that is the network behind it. */
#ifndef GT_TAP_H
#define GT_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETHERTYPE	0x88b5	/* IEEE: local experimental */
#define ETH_HEAD	14

struct tap {
	int fd;
	int peer;
	int ifindex;
	char name[16];
};

/* @batch: no send-buffer limit, the condition for XDP batches. */
void tap_open(struct tap *t, unsigned int hdr_len, bool batch);
/* Without the packet socket, for which frames would be copied; INT_MAX: no limit. */
void tap_open_alone(struct tap *t, unsigned int hdr_len, int sndbuf);
/* With more of TUNSETIFF's flags; batched. */
void tap_open_with(struct tap *t, unsigned int hdr_len, int flags);
void tap_close(struct tap *t);
/* A tun or tap queue with nothing done to it but TUNSETIFF with @flags. */
int tap_bare(int flags);
/* A packet socket that is the network on an interface; doesn't hear itself. */
int tap_peer(int ifindex);
/* How many frames wait for the guest, before more are dropped. */
void tap_room(const struct tap *t, unsigned int frames);
unsigned long tap_dropped(const struct tap *t);
/* Puts a frame into the tap, to be received by the guest. */
bool tap_feed(struct tap *t, const void *frame, size_t len);
/* Takes a frame that the guest sent; 0 if none came in time. */
size_t tap_take(struct tap *t, void *frame, size_t room, unsigned int ms);
void tap_drain(struct tap *t);

#endif /* GT_TAP_H */

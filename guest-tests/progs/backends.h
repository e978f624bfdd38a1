/* SPDX-License-Identifier: GPL-2.0-only */
/* backends: what its parts share. */
#ifndef GT_BACKENDS_H
#define GT_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rig.h"

#define SLOT		2048
#define IP_HEAD		20
#define AT_ONCE		16
#define SHORTEST	(ETH_HEAD + IP_HEAD)
/* IPv4, and the protocol that nobody speaks but these frames. */
#define IP_TYPE_0	8
#define IP_TYPE_1	0
#define IP_PROTOCOL	253

/* The back end that the command line names, and the network behind it. */
void link_open(struct tap *t, uint64_t features, bool batch);
/* Writes frame @seq. */
void make(uint8_t *f, size_t len, uint32_t seq, bool to_guest);
/* One of ours, by what follows its addresses and a tag of @tag bytes. */
bool is_ours(const uint8_t *f, size_t tag);

/* Frames through queue Q_TX, taken and compared at the far end; at most AT_ONCE. */
void send_some(struct rig *r, unsigned int n);
/* Offers @n buffers from @at on to Q_RX, and kicks. */
void offer_buffers(struct rig *r, uint8_t *at, unsigned int n);
/* Feeds the next frame; then CHECKs that it comes to one of the buffers at @at, without a kick. */
void feed_next(struct rig *r);
void comes_next(struct rig *r, uint8_t *at);
/* The lower interface goes down and comes up: its packet socket has an error to tell. */
void flap(void);

/* What only packet sockets have: on ours. */
void test_packet(const char *node, const char *kind);

/* Tagged frames for the guest; @kept: by a back end that writes the tag. */
void test_vlan(const char *node, const char *kind, const char *how, uint64_t features, bool kept);
/* A fault in the middle of the tag that a back end writes: on ours. */
void test_vlan_fault(const char *node, const char *kind);

#endif /* GT_BACKENDS_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* backends: what its parts share. */
#ifndef GT_BACKENDS_H
#define GT_BACKENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tap.h"

#define SLOT		2048
#define IP_HEAD		20
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

/* Tagged frames for the guest; @kept: by a back end that writes the tag. */
void test_vlan(const char *node, const char *kind, const char *how, uint64_t features, bool kept);

#endif /* GT_BACKENDS_H */

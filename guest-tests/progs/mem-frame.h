/* SPDX-License-Identifier: GPL-2.0-only */
/* The frames of mem-dev.h's traffic: a sequence number and bytes that follow from it. */
#ifndef MEM_FRAME_H
#define MEM_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MD_ETHERTYPE	0x88b6	/* IEEE: local experimental */
#define MD_FRAME	200
#define MD_HDR		12	/* struct virtio_net_hdr_mrg_rxbuf */
#define MD_BUF		2048UL
#define MD_GPA		0x40000000ULL

/* @dir: rings of both directions must not be taken for each other */
static inline void md_frame(uint8_t *f, unsigned int dir, uint64_t seq)
{
	static const uint8_t head[14] = { 2, 'm', 'e', 'm', 0, 1, 2, 'm', 'e', 'm', 0, 2,
					  MD_ETHERTYPE >> 8, MD_ETHERTYPE & 0xff };
	uint64_t x = seq * 2 + dir;
	unsigned int i;

	memcpy(f, head, sizeof(head));
	memcpy(f + 16, &seq, sizeof(seq));
	f[14] = dir;
	f[15] = 0;
	for (i = 24; i < MD_FRAME; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		f[i] = x >> 56;
	}
}

static inline bool md_frame_is(const uint8_t *f, unsigned int dir, uint64_t seq)
{
	uint8_t want[MD_FRAME];

	md_frame(want, dir, seq);
	return !memcmp(f, want, MD_FRAME);
}

#endif

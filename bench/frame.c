// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frames: every byte follows from queue, sequence number and length, and a
 * checksum covers them all, so that a torn, stale or misplaced byte shows.
 *
 *   0 destination, source (12)   12 ethertype   14 queue   15 zero
 *  16 sequence (8)   24 length (4)   28 checksum (8)   36 pattern
 */
#include <string.h>

#include "vring.h"

struct body {
	uint64_t seq;
	uint32_t len;
	uint64_t sum;
} __attribute__((packed));

#define BODY	16
#define PATTERN	36

_Static_assert(BODY + sizeof(struct body) == PATTERN, "frame layout");
_Static_assert(PATTERN == VR_FRAME_MIN_CHECK, "frame layout");

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

/* Lengths vary with the sequence number alone: both sides know what to expect. */
unsigned int vr_frame_len(const struct vr_opts *o, uint64_t seq)
{
	if (o->size == o->size_max)
		return o->size;
	return o->size + mix(seq + 1) % (o->size_max - o->size + 1);
}

static uint64_t checksum(const uint8_t *f, unsigned int len)
{
	uint64_t a = len, b = 0, w;
	unsigned int i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&w, f + i, 8);
		a += w;
		b += a;
	}
	for (w = 0; i < len; i++)
		w = w << 8 | f[i];
	a += w;
	b += a;
	return a ^ (b << 32 | b >> 32);
}

void vr_frame_build(uint8_t *f, unsigned int len, unsigned int queue, uint64_t seq)
{
	static const uint8_t head[14] = { 0x02, 'p', 'e', 'e', 'r', 0, 0x02, 'g', 'u', 'e', 's', 0,
					  VR_ETHERTYPE >> 8, VR_ETHERTYPE & 0xff };
	struct body b = { .seq = seq, .len = len };
	uint64_t w = mix(seq ^ (uint64_t)queue << 56);
	unsigned int i;

	memset(f, 0, len < PATTERN ? len : PATTERN);
	memcpy(f, head, sizeof(head));
	if (len > VR_FRAME_QUEUE)
		f[VR_FRAME_QUEUE] = queue;
	if (len < PATTERN)
		return;
	memcpy(f + BODY, &b, sizeof(b));
	for (i = PATTERN; i + 8 <= len; i += 8, w += 0x9e3779b97f4a7c15ULL)
		memcpy(f + i, &w, 8);
	memcpy(f + i, &w, len - i);
	b.sum = checksum(f, len);
	memcpy(f + BODY, &b, sizeof(b));
}

/* The sum was taken with its own field zero; @f is the caller's to write to. */
bool vr_frame_ok(uint8_t *f, unsigned int len, unsigned int *queue, uint64_t *seq)
{
	const uint64_t zero = 0;
	struct body b;

	if (len < PATTERN)
		return false;
	memcpy(&b, f + BODY, sizeof(b));
	memcpy(f + BODY + offsetof(struct body, sum), &zero, sizeof(zero));
	*queue = f[VR_FRAME_QUEUE];
	*seq = b.seq;
	return b.len == len && b.sum == checksum(f, len);
}

void vr_seq_take(struct vr_seq *s, uint64_t seq)
{
	uint64_t bit = 1ULL << (seq % 64);
	uint64_t *word = &s->map[seq % VR_SEQ_WINDOW / 64];

	bool late = seq < s->next;

	if (!late) {
		/* Those jumped over are not seen yet: forget who had their bits. */
		uint64_t n = seq - s->next;

		for (n = n < VR_SEQ_WINDOW ? n : VR_SEQ_WINDOW; n; n--)
			s->map[(seq - n) % VR_SEQ_WINDOW / 64] &= ~(1ULL << ((seq - n) % 64));
		s->next = seq + 1;
	} else if (s->next - seq > VR_SEQ_WINDOW || (*word & bit)) {
		s->dup++;
		return;
	}
	s->reordered += late;
	*word |= bit;
	s->seen++;
}

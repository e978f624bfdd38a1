// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frames: every byte follows from queue, sequence number and length, and a
 * checksum covers them all, so that a torn, stale or misplaced byte shows.
 *
 *   0 destination, source (12)   12 ethertype   14 queue   15 zero
 *  16 sequence (8)   24 length (4)   28 checksum (8)   36 pattern
 *
 * With --gso the Ethernet header is followed by those of IPv4 and TCP, and the
 * rest by them: 40 bytes later, and not even.
 */
#include <linux/if_ether.h>
#include <netinet/in.h>
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

#define ETH	14
#define IP	20
#define TCP	20
#define MSS	1448

/* How much further back than above everything behind the Ethernet header lies. */
static unsigned int shift;

void vr_frame_init(const struct vr_opts *o)
{
	shift = o->gso ? IP + TCP : 0;
}

unsigned int vr_frame_ethertype(void)
{
	return shift ? ETH_P_IP : VR_ETHERTYPE;
}

unsigned int vr_frame_queue_at(void)
{
	return VR_FRAME_QUEUE + shift;
}

static struct virtio_net_hdr header(void)
{
	return (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = ETH + IP + TCP, .gso_size = MSS, .csum_start = ETH + IP, .csum_offset = 16,
	};
}

/* What the guest puts before a frame: nothing, or how it is to be cut up. */
void vr_frame_header(uint8_t *hdr, unsigned int hdr_len)
{
	struct virtio_net_hdr h = header();

	memset(hdr, 0, hdr_len);
	if (shift)
		memcpy(hdr, &h, sizeof(h));
}

/* Whether the tap says the same of it; the length of headers is its own affair. */
bool vr_frame_header_ok(const uint8_t *hdr)
{
	struct virtio_net_hdr want = header(), h;

	memcpy(&h, hdr, sizeof(h));
	if (!shift)
		return h.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
		       !(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	want.hdr_len = h.hdr_len;
	return !memcmp(&h, &want, sizeof(h));
}

/* Nobody checks their sums: the frames are for another host. */
static void build_tcp(uint8_t *f, unsigned int len)
{
	uint8_t *ip = f + ETH, *tcp = ip + IP;

	ip[0] = 0x45;
	ip[2] = (len - ETH) >> 8;
	ip[3] = len - ETH;
	ip[8] = 64;
	ip[9] = IPPROTO_TCP;
	ip[12] = 10;
	ip[15] = 1;
	ip[16] = 10;
	ip[19] = 2;
	tcp[12] = TCP / 4 << 4;
	tcp[13] = 0x10;
}

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
	const uint8_t head[ETH] = { 0x02, 'p', 'e', 'e', 'r', 0, 0x02, 'g', 'u', 'e', 's', 0,
				    vr_frame_ethertype() >> 8, vr_frame_ethertype() & 0xff };
	const unsigned int pattern = PATTERN + shift;
	struct body b = { .seq = seq, .len = len };
	uint64_t w = mix(seq ^ (uint64_t)queue << 56);
	unsigned int i;

	memset(f, 0, len < pattern ? len : pattern);
	memcpy(f, head, sizeof(head));
	if (shift)
		build_tcp(f, len);
	if (len > vr_frame_queue_at())
		f[vr_frame_queue_at()] = queue;
	if (len < pattern)
		return;
	memcpy(f + shift + BODY, &b, sizeof(b));
	for (i = pattern; i + 8 <= len; i += 8, w += 0x9e3779b97f4a7c15ULL)
		memcpy(f + i, &w, 8);
	memcpy(f + i, &w, len - i);
	b.sum = checksum(f, len);
	memcpy(f + shift + BODY, &b, sizeof(b));
}

/* The sum was taken with its own field zero; @f is the caller's to write to. */
bool vr_frame_ok(uint8_t *f, unsigned int len, unsigned int *queue, uint64_t *seq)
{
	const uint64_t zero = 0;
	struct body b;

	if (len < PATTERN + shift)
		return false;
	memcpy(&b, f + shift + BODY, sizeof(b));
	memcpy(f + shift + BODY + offsetof(struct body, sum), &zero, sizeof(zero));
	*queue = f[vr_frame_queue_at()];
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

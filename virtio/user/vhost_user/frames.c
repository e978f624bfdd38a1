// SPDX-License-Identifier: GPL-2.0-only
/* Frames whose contents can be told: made here, or known from testpmd. */
#include <arpa/inet.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "frames.h"

/* For local experiments, IEEE 802. */
#define ETHERTYPE_EXPERIMENT	0x88b5

static const u8 mac_to[ETH_ALEN] = { 2, 0, 0, 0, 0, 1 };
static const u8 mac_from[ETH_ALEN] = { 2, 0, 0, 0, 0, 2 };

static u32 mix(u32 x)
{
	x ^= x >> 16;
	x *= 0x7feb352d;
	x ^= x >> 15;
	x *= 0x846ca68b;
	return x ^ x >> 16;
}

/**
 * frame_length - how long a frame is
 * @seq: its number
 * @low: least length
 * @high: greatest
 */
u32 frame_length(u32 seq, u32 low, u32 high)
{
	return low + mix(seq) % (high - low + 1);
}

/**
 * frame_make - make a frame, every byte of which depends on its number
 * @frame: receives it
 * @len: its length
 * @seq: its number
 */
void frame_make(u8 *frame, u32 len, u32 seq)
{
	struct ether_header eth = { .ether_type = htons(ETHERTYPE_EXPERIMENT) };
	u32 at, word;

	memcpy(eth.ether_dhost, mac_to, ETH_ALEN);
	memcpy(eth.ether_shost, mac_from, ETH_ALEN);
	memcpy(frame, &eth, sizeof(eth));
	for (at = sizeof(eth); at < len; at += sizeof(word)) {
		word = mix(seq * 4099 + at);
		memcpy(frame + at, &word, min_t(u32, sizeof(word), len - at));
	}
}

/**
 * frame_is - is it the frame that was made?
 * @frame: what came back
 * @len: its length
 * @seq: number of the frame that was to come
 * @swapped: with its addresses exchanged
 */
bool frame_is(const u8 *frame, u32 len, u32 seq, bool swapped)
{
	static u8 want[FRAME_MAX];

	if (len > FRAME_MAX)
		return false;
	frame_make(want, len, seq);
	if (swapped) {
		memcpy(want, mac_from, ETH_ALEN);
		memcpy(want + ETH_ALEN, mac_to, ETH_ALEN);
	}
	return !memcmp(frame, want, len);
}

static u32 sum16(const u8 *data, u32 len)
{
	u32 sum = 0, i;

	for (i = 0; i < len; i += 2)
		sum += (u32)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/**
 * frame_is_udp - is it a frame as testpmd's generator makes them?
 * @frame: the frame
 * @len: its length
 *
 * An IPv4 header with the right checksum, and lengths in it and in the UDP
 * header that fit the frame's. The payload says nothing.
 */
bool frame_is_udp(const u8 *frame, u32 len)
{
	struct ether_header eth;
	struct udphdr udp;
	struct iphdr ip;

	if (len < sizeof(eth) + sizeof(ip) + sizeof(udp))
		return false;
	memcpy(&eth, frame, sizeof(eth));
	memcpy(&ip, frame + sizeof(eth), sizeof(ip));
	memcpy(&udp, frame + sizeof(eth) + sizeof(ip), sizeof(udp));
	return eth.ether_type == htons(ETHERTYPE_IP) && ip.version == 4 &&
	       ip.ihl == 5 && ip.protocol == IPPROTO_UDP &&
	       sum16(frame + sizeof(eth), sizeof(ip)) == 0xffff &&
	       ntohs(ip.tot_len) == len - sizeof(eth) &&
	       ntohs(udp.len) == len - sizeof(eth) - sizeof(ip);
}

// SPDX-License-Identifier: GPL-2.0-only
/* Headers of frames. */
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"

#define AT_IP	14

/* The sum of the internet's checksums, not yet folded; what is odd ends in a byte of zero. */
static uint32_t add_up(uint32_t total, const void *from, size_t length)
{
	const uint8_t *at = from;

	for (; length > 1; at += 2, length -= 2) {
		total += at[0] << 8 | at[1];
		total = (total & 0xffff) + (total >> 16);
	}
	return length ? total + (at[0] << 8) : total;
}

static uint16_t fold(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons(~total);
}

/* IPv6's pseudo header, what is of the UDP header at @udp, and the payload. */
static uint16_t udp_sum(const struct frame_way *way, const void *udp, const uint8_t *payload, size_t length)
{
	uint32_t total = sizeof(struct udphdr) + length + IPPROTO_UDP;

	total = add_up(total, &way->from, sizeof(way->from));
	total = add_up(total, &way->to, sizeof(way->to));
	total = add_up(total, udp, sizeof(struct udphdr));
	return fold(add_up(total, payload, length));
}

static void build_four(uint8_t *at, const struct frame_way *way, size_t datagram)
{
	struct iphdr ip = {
		.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
		.tot_len = htons(sizeof(ip) + datagram), .frag_off = htons(IP_DF),
		.saddr = address_four(&way->from).s_addr, .daddr = address_four(&way->to).s_addr,
	};

	ip.check = fold(add_up(0, &ip, sizeof(ip)));
	memcpy(at + 12, (uint8_t[]){ 8, 0 }, 2);
	memcpy(at + AT_IP, &ip, sizeof(ip));
}

static void build_six(uint8_t *at, const struct frame_way *way, size_t datagram)
{
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6 << 28), .ip6_plen = htons(datagram), .ip6_nxt = IPPROTO_UDP, .ip6_hlim = 64,
		.ip6_src = way->from, .ip6_dst = way->to,
	};

	memcpy(at + 12, (uint8_t[]){ 0x86, 0xdd }, 2);
	memcpy(at + AT_IP, &ip, sizeof(ip));
}

void frame_build(uint8_t *at, const struct frame_way *way, size_t payload, bool sum)
{
	struct udphdr udp = {
		.source = way->from_port, .dest = way->to_port,
		.len = htons(sizeof(udp) + payload),
	};
	bool six = address_six(&way->to);
	uint8_t *behind = at + frame_head(six);

	memcpy(at, way->to_mac, 6);
	memcpy(at + 6, way->from_mac, 6);
	if (six)
		build_six(at, way, sizeof(udp) + payload);
	else
		build_four(at, way, sizeof(udp) + payload);
	if (six && sum) {
		udp.check = udp_sum(way, &udp, behind, payload);
		/* Zero would say that there is none. */
		udp.check = udp.check ? udp.check : 0xffff;
	}
	memcpy(behind - sizeof(udp), &udp, sizeof(udp));
}

/* Both return bytes of the datagram and set where it begins, or return 0. */
static size_t parse_four(const uint8_t *at, size_t length, struct frame_way *way, size_t *begin)
{
	struct iphdr ip;
	size_t head, total;

	if (length < frame_head(false) || at[12] != 8 || at[13])
		return 0;
	memcpy(&ip, at + AT_IP, sizeof(ip));
	head = ip.ihl * 4;
	total = ntohs(ip.tot_len);
	if (ip.version != 4 || head < sizeof(ip) || ip.protocol != IPPROTO_UDP ||
	    ip.frag_off & htons(IP_MF | IP_OFFMASK) ||
	    total < head || AT_IP + total > length || fold(add_up(0, at + AT_IP, head)))
		return 0;
	way->to = address_of((struct in_addr){ ip.daddr });
	way->from = address_of((struct in_addr){ ip.saddr });
	*begin = AT_IP + head;
	return total - head;
}

static size_t parse_six(const uint8_t *at, size_t length, struct frame_way *way, size_t *begin)
{
	struct ip6_hdr ip;

	if (length < frame_head(true) || at[12] != 0x86 || at[13] != 0xdd)
		return 0;
	memcpy(&ip, at + AT_IP, sizeof(ip));
	*begin = AT_IP + sizeof(ip);
	/* What has a header between the two isn't ours. */
	if (ip.ip6_vfc >> 4 != 6 || ip.ip6_nxt != IPPROTO_UDP || *begin + ntohs(ip.ip6_plen) > length)
		return 0;
	way->to = ip.ip6_dst;
	way->from = ip.ip6_src;
	/* IPv4's addresses in an IPv6 header would be taken for what they aren't. */
	return address_six(&way->to) && address_six(&way->from) ? ntohs(ip.ip6_plen) : 0;
}

const uint8_t *frame_parse(const uint8_t *at, size_t length, bool six, struct frame_way *way, size_t *payload)
{
	struct udphdr udp;
	size_t begin = 0, datagram;

	datagram = six ? parse_six(at, length, way, &begin) : parse_four(at, length, way, &begin);
	if (datagram < sizeof(udp))
		return NULL;
	memcpy(&udp, at + begin, sizeof(udp));
	if (ntohs(udp.len) < sizeof(udp) || ntohs(udp.len) > datagram)
		return NULL;
	memcpy(way->to_mac, at, 6);
	memcpy(way->from_mac, at + 6, 6);
	way->to_port = udp.dest;
	way->from_port = udp.source;
	way->scope = 0;
	*payload = ntohs(udp.len) - sizeof(udp);
	return at + begin + sizeof(udp);
}

bool frame_summed(const struct frame_way *way, const uint8_t *payload, size_t length)
{
	struct udphdr udp;

	memcpy(&udp, payload - sizeof(udp), sizeof(udp));
	return !address_six(&way->from) || !udp.check || !udp_sum(way, &udp, payload, length);
}

struct frame_way frame_back(const struct frame_way *way)
{
	struct frame_way back = {
		.to = way->from, .from = way->to,
		.to_port = way->from_port, .from_port = way->to_port,
	};

	memcpy(back.to_mac, way->from_mac, 6);
	memcpy(back.from_mac, way->to_mac, 6);
	return back;
}

bool frame_mac(uint8_t *mac, const char *text)
{
	char end;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", mac, mac + 1, mac + 2, mac + 3,
		      mac + 4, mac + 5, &end) == 6;
}

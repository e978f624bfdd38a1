// SPDX-License-Identifier: GPL-2.0-only
/* Headers of frames. */
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"

#define AT_IP	14

static uint16_t ip_sum(const uint8_t *at, size_t length)
{
	uint32_t total = 0;

	for (; length; at += 2, length -= 2)
		total += at[0] << 8 | at[1];
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return htons(~total);
}

void frame_build(uint8_t *at, const struct frame_way *way, size_t payload)
{
	struct iphdr ip = {
		.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
		.tot_len = htons(sizeof(ip) + sizeof(struct udphdr) + payload),
		.frag_off = htons(IP_DF), .saddr = way->from.s_addr, .daddr = way->to.s_addr,
	};
	struct udphdr udp = {
		.source = way->from_port, .dest = way->to_port,
		.len = htons(sizeof(udp) + payload),
	};

	ip.check = ip_sum((uint8_t *)&ip, sizeof(ip));
	memcpy(at, way->to_mac, 6);
	memcpy(at + 6, way->from_mac, 6);
	memcpy(at + 12, (uint8_t[]){ 8, 0 }, 2);
	memcpy(at + AT_IP, &ip, sizeof(ip));
	memcpy(at + AT_IP + sizeof(ip), &udp, sizeof(udp));
}

const uint8_t *frame_parse(const uint8_t *at, size_t length, struct frame_way *way, size_t *payload)
{
	struct iphdr ip;
	struct udphdr udp;
	size_t head, total;

	if (length < FRAME_HEAD || at[12] != 8 || at[13])
		return NULL;
	memcpy(&ip, at + AT_IP, sizeof(ip));
	head = ip.ihl * 4;
	total = ntohs(ip.tot_len);
	if (ip.version != 4 || head < sizeof(ip) || ip.protocol != IPPROTO_UDP ||
	    ip.frag_off & htons(IP_MF | IP_OFFMASK) ||
	    total < head + sizeof(udp) || AT_IP + total > length || ip_sum(at + AT_IP, head))
		return NULL;
	memcpy(&udp, at + AT_IP + head, sizeof(udp));
	if (ntohs(udp.len) < sizeof(udp) || ntohs(udp.len) > total - head)
		return NULL;
	memcpy(way->to_mac, at, 6);
	memcpy(way->from_mac, at + 6, 6);
	way->to.s_addr = ip.daddr;
	way->from.s_addr = ip.saddr;
	way->to_port = udp.dest;
	way->from_port = udp.source;
	*payload = ntohs(udp.len) - sizeof(udp);
	return at + AT_IP + head + sizeof(udp);
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

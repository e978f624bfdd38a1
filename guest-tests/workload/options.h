/* SPDX-License-Identifier: GPL-2.0-only */
/* What the command line asks for. */
#ifndef WL_OPTIONS_H
#define WL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "sizes.h"

#define THREADS_MAX	64

enum role { ROLE_SEND, ROLE_RECEIVE, ROLE_ECHO, ROLE_PING, ROLE_BOTH, ROLE_PROBE };
enum path { PATH_PACKET, PATH_UDP, PATH_URING };
enum uring_send { URING_SEND_AUTO, URING_SEND_ZC, URING_SEND_FIXED, URING_SEND_PLAIN };
enum uring_receive { URING_RECEIVE_AUTO, URING_RECEIVE_MULTISHOT, URING_RECEIVE_SINGLE };
enum json { JSON_NONE, JSON_STDOUT, JSON_FILE };

extern const char *const role_names[], *const path_names[];

struct options {
	unsigned int role, path;
	struct in6_addr to, source;
	uint32_t scope;			/* the interface of addresses that are of one link alone */
	bool six;			/* IPv6 */
	unsigned int head;		/* bytes before a payload */
	unsigned int port, source_port, addresses;
	const char *dev, *mac, *mix;
	struct sizes sizes;
	unsigned int senders;		/* at once, of one receiver */
	unsigned int burst, flows, threads, window, timeout_ms, reorder_window;
	double rate, duration, max_loss, wait, silence;
	uint64_t count;
	int pins[THREADS_MAX];
	const char *pin;
	bool same_clock, keep, join, udp_checksum, gro, qdisc_bypass, progress, quiet;
	unsigned int linger_ms, tpacket, ring_slots, ring_bytes, block_ms, gso, socket_buffer;
	unsigned int receive_bytes, uring_send, uring_receive;
	enum json json;
	const char *json_file;
};

/**
 * options_parse - read the command line, or explain it and exit
 * @o: the answer
 * @argc: of main()
 * @argv: of main()
 */
void options_parse(struct options *o, int argc, char **argv);

static inline bool sends(const struct options *o)
{
	return o->role == ROLE_SEND || o->role == ROLE_PING || o->role == ROLE_BOTH ||
	       (o->role == ROLE_PROBE && !address_none(&o->to));
}

#endif /* WL_OPTIONS_H */

// SPDX-License-Identifier: GPL-2.0-only
/* Path packet: the ring to receive, by slots (TPACKET_V2) or by blocks (TPACKET_V3). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet.h"
#include "sock.h"
#include "stop.h"

/* Small ones: each counts as full after --block-timeout, and all of them are to last a while. */
#define BLOCK	(1 << 14)
#define SLOTS	(1 << 17)
/* Headers of the ring, and where it aligns frames. */
#define MARGIN	256
#define AT_IP	14
#define ROUND	256

/* A frame in the ring: how long it was, and how much of it is there, which has its head. */
struct caught {
	const uint8_t *frame;
	uint32_t length, there, status;
};

static void give(struct port *port, const struct caught *c, port_take take, void *context)
{
	struct arrival in = { .cut = c->there < c->length };

	in.payload = frame_parse(c->frame, c->length, port->o->six, &in.way, &in.length);
	/* A sum that the card was to make isn't there where no card is passed. */
	in.wrong_sum = in.payload && !in.cut && !(c->status & TP_STATUS_CSUMNOTREADY) &&
		       !frame_summed(&in.way, in.payload, in.length);
	if (in.payload)
		take(context, &in);
	else
		/* The filter lets UDP to our ports through alone: its head is damaged. */
		take(context, &(struct arrival){ .payload = c->frame, .length = 0 });
}

static void take_block(struct packet_rx *r, struct port *port, struct tpacket_block_desc *block,
		       port_take take, void *context)
{
	uint8_t *at = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
	uint32_t i;

	for (i = 0; i < block->hdr.bh1.num_pkts; i++) {
		struct tpacket3_hdr *head = (struct tpacket3_hdr *)at;

		give(port, &(struct caught){ at + head->tp_mac, head->tp_len, head->tp_snaplen, head->tp_status },
		     take, context);
		at += head->tp_next_offset;
	}
}

/* Returns whether there was something. */
static bool take_unit(struct packet_rx *r, struct port *port, port_take take, void *context)
{
	uint8_t *at = r->ring + r->head * r->unit;
	struct tpacket2_hdr *slot = (struct tpacket2_hdr *)at;
	struct tpacket_block_desc *block = (struct tpacket_block_desc *)at;
	uint32_t *status = r->version == 3 ? &block->hdr.bh1.block_status : &slot->tp_status;

	/* Pairs with the kernel's barrier between the frames and this word. */
	if (!(__atomic_load_n(status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
		return false;
	port->now = 0;
	if (r->version == 3)
		take_block(r, port, block, take, context);
	else
		give(port, &(struct caught){ at + slot->tp_mac, slot->tp_len, slot->tp_snaplen, slot->tp_status },
		     take, context);
	__atomic_store_n(status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	r->head = (r->head + 1) % r->units;
	return true;
}

void packet_rx_receive(struct packet_rx *r, struct port *port, uint64_t until, port_take take, void *context)
{
	unsigned int taken = 0;

	while (taken < ROUND && take_unit(r, port, take, context))
		taken++;
	if (taken || !until)
		return;
	sock_wait(r->fd, until);
	while (taken < ROUND && take_unit(r, port, take, context))
		taken++;
}

uint64_t packet_rx_dropped(struct packet_rx *r)
{
	union tpacket_stats_u stats = { 0 };
	socklen_t size = sizeof(stats);

	/* Reading it sets it to zero. */
	if (getsockopt(r->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size))
		return 0;
	return r->version == 3 ? stats.stats3.tp_drops : stats.stats1.tp_drops;
}

void packet_rx_close(struct packet_rx *r)
{
	munmap(r->ring, r->bytes);
	close(r->fd);
}

/*
 * UDP to our port; of answers to a ping, those of this thread's flows. Nothing else is copied
 * into the ring, and of a frame no more than --receive-bytes: a slot of the ring has room for
 * more, but one that an echo answers from hasn't.
 */
static void filter(int fd, const struct port *port)
{
	const struct options *o = port->o;
	struct sock_filter to_port[] = {
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, o->port, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, o->receive_bytes),
	};
	struct sock_filter answers[] = {
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, o->source_port, 0, 4),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, o->source_port + o->flows, 3, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, o->source_port),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, o->threads),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port->thread, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, o->receive_bytes),
	};
	const struct sock_filter udp_six[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 0, 2),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, AT_IP + 6),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, AT_IP + 40 + 2),
	};
	struct sock_filter code[20] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 0, 7),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, AT_IP + 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 5),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, AT_IP + 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 3, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, AT_IP),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, AT_IP + 2),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { 10, code };
	const struct sock_filter *rest = port->tx ? answers : to_port;
	size_t more = port->tx ? sizeof(answers) : sizeof(to_port);

	if (o->six) {
		memcpy(code, udp_six, sizeof(udp_six));
		program.len = sizeof(udp_six) / sizeof(code[0]);
	}
	memcpy(&code[program.len], rest, more);
	program.len += more / sizeof(code[0]);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		die("SO_ATTACH_FILTER: %s", strerror(errno));
}

static void make_ring(struct packet_rx *r, const struct options *o)
{
	struct tpacket_req3 request = { 0 };

	if (r->version == 3) {
		for (r->unit = BLOCK; r->unit < o->receive_bytes + MARGIN;)
			r->unit *= 2;
		request.tp_frame_size = r->unit;
		request.tp_block_size = r->unit;
		request.tp_retire_blk_tov = o->block_ms;
	} else {
		for (r->unit = 256; r->unit < o->receive_bytes + MARGIN;)
			r->unit *= 2;
		request.tp_frame_size = r->unit;
		request.tp_block_size = r->unit > SLOTS ? r->unit : SLOTS;
	}
	r->bytes = (o->ring_bytes + request.tp_block_size - 1) / request.tp_block_size *
		   request.tp_block_size;
	r->units = r->bytes / r->unit;
	request.tp_block_nr = r->bytes / request.tp_block_size;
	request.tp_frame_nr = r->bytes / request.tp_frame_size;
	if (setsockopt(r->fd, SOL_PACKET, PACKET_RX_RING, &request, r->version == 3 ?
		       sizeof(struct tpacket_req3) : sizeof(struct tpacket_req)))
		die("ring to receive: %s", strerror(errno));
	r->ring = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, 0);
	if (r->ring == MAP_FAILED)
		die("mmap of the ring: %s", strerror(errno));
}

/* The threads' ports are opened in turn: the first one gets a group that no other program is in. */
static void share_out(int fd)
{
	int fresh = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	socklen_t size = sizeof(fresh);
	static bool have;
	static int group;

	if (!have) {
		have = true;
		if (!setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &fresh, sizeof(fresh)) &&
		    !getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &fresh, &size)) {
			group = (fresh & 0xffff) | PACKET_FANOUT_HASH << 16;
			return;
		}
		/* Before Linux 4.12 one had to choose. */
		group = (getpid() & 0xffff) | PACKET_FANOUT_HASH << 16;
	}
	if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group)))
		die("PACKET_FANOUT: %s", strerror(errno));
}

void packet_rx_open(struct packet_rx *r, const struct port *port, int ifindex, struct facts *facts)
{
	struct sockaddr_ll from = {
		.sll_family = AF_PACKET, .sll_ifindex = ifindex, .sll_protocol = htons(port->o->six ? ETH_P_IPV6 : ETH_P_IP),
	};
	int one = 1;
	bool many = port_shared(port);

	/* Protocol 0: nothing comes before the filter is there. */
	r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (r->fd < 0)
		die("packet socket: %s%s", strerror(errno), errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
	r->version = packet_version(r->fd, port->o->tpacket);
	make_ring(r, port->o);
	if (many && !sock_deaf(r->fd))
		die("SO_ATTACH_FILTER: %s", strerror(errno));
	if (!many)
		filter(r->fd, port);
	if (setsockopt(r->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)))
		die("PACKET_IGNORE_OUTGOING: %s", strerror(errno));
	if (bind(r->fd, (struct sockaddr *)&from, sizeof(from)))
		die("bind to %s: %s", port->o->dev, strerror(errno));
	if (many)
		share_out(r->fd);
	fact(facts, "receive", "TPACKET_V%u, %zu bytes mapped, %u %s of %zu%s", r->version, r->bytes, r->units,
	     r->version == 3 ? "blocks" : "slots", r->unit, many ? ", flows shared out by PACKET_FANOUT" : "");
}

void packet_rx_begin(struct packet_rx *r, const struct port *port)
{
	if (port_shared(port))
		filter(r->fd, port);
}

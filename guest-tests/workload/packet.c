// SPDX-License-Identifier: GPL-2.0-only
/* Path packet: the ring to send, and its port. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "card.h"
#include "packet.h"
#include "payload.h"
#include "sock.h"
#include "stop.h"

#define PAGE	4096
#define PAUSE_US	50

struct packet {
	struct port port;
	struct packet_rx in;
	struct frame_way *way;		/* of each flow */
	int fd, *hole, holes;
	unsigned int version;
	uint8_t *ring;
	size_t bytes, slot, offset;	/* of the ring; of a slot; of the frame in it */
	size_t longest;			/* frame that a slot has room for */
	size_t before;			/* bytes of the header that has the frame copied */
	unsigned int slots, head, tail;	/* tail: the oldest that the kernel hasn't taken yet */
	uint32_t *length;
};

/* The word by which slots are handed over; what else is in the header belongs to its owner. */
static uint32_t *status_of(struct packet *p, unsigned int at)
{
	uint8_t *slot = p->ring + (at % p->slots) * p->slot;

	return p->version == 3 ? &((struct tpacket3_hdr *)slot)->tp_status :
				 &((struct tpacket2_hdr *)slot)->tp_status;
}

static uint32_t status(struct packet *p, unsigned int at)
{
	/* Pairs with the kernel's barrier after it has read or freed the slot. */
	return __atomic_load_n(status_of(p, at), __ATOMIC_ACQUIRE);
}

/* What the kernel has taken since we looked last is sent. */
static void account(struct packet *p)
{
	uint32_t now;

	for (; p->tail != p->head; p->tail++) {
		now = status(p, p->tail);
		if (now == TP_STATUS_SEND_REQUEST)
			return;
		if (now & TP_STATUS_WRONG_FORMAT) {
			stop_error("the kernel refuses a frame of %u bytes (longer than the MTU?)",
				   p->length[p->tail % p->slots]);
			return;
		}
		count(&p->port.counts.sent, 1);
		count(&p->port.counts.bytes, p->length[p->tail % p->slots]);
	}
}

/*
 * A frame that the kernel couldn't hand on stays in its slot and goes first the next time:
 * nothing is lost, or overtaken, by an error here.
 */
static bool packet_flush(struct port *port)
{
	struct packet *p = (struct packet *)port;

	while (p->tail != p->head) {
		ssize_t n = sendto(p->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
		int error = errno;
		unsigned int tail = p->tail;

		account(p);
		count(&port->counts.calls, p->tail != tail);
		if (p->tail == p->head)
			break;
		if (giving_up() || (n < 0 && !sock_trouble(port, p->fd, error)))
			break;
	}
	port->unsent = p->head - p->tail;
	/* Not to be sent by a later call: the kernel reads the ring in ours alone. */
	while (p->head != p->tail)
		__atomic_store_n(status_of(p, --p->head), TP_STATUS_AVAILABLE, __ATOMIC_RELEASE);
	return !port->unsent;
}

static uint8_t *slot_at(struct packet *p, unsigned int at)
{
	return p->ring + (at % p->slots) * p->slot + p->offset;
}

static uint8_t *packet_room(struct port *port, size_t payload)
{
	struct packet *p = (struct packet *)port;

	if (payload > p->longest - port->o->head) {
		count(&port->counts.too_long, 1);
		return NULL;
	}
	while (status(p, p->head) != TP_STATUS_AVAILABLE) {
		if (p->tail != p->head && !packet_flush(port))
			return NULL;
		if (giving_up())
			return NULL;
		/* All is with the card, and comes back; poll() would call the socket ready. */
		count(&port->counts.full, 1);
		usleep(PAUSE_US);
	}
	return slot_at(p, p->head) + port->o->head;
}

static void commit(struct packet *p, const struct frame_way *way, size_t payload)
{
	uint8_t *slot = p->ring + (p->head % p->slots) * p->slot;
	uint32_t length = p->port.o->head + payload;

	frame_build(slot + p->offset, way, payload, p->port.o->udp_checksum);
	if (length < FRAME_MIN) {
		memset(slot + p->offset + length, 0, FRAME_MIN - length);
		length = FRAME_MIN;
	}
	if (p->before) {
		struct virtio_net_hdr head = { .hdr_len = length };

		memcpy(slot + p->offset - p->before, &head, p->before);
	}
	if (p->version == 3) {
		((struct tpacket3_hdr *)slot)->tp_len = p->before + length;
		((struct tpacket3_hdr *)slot)->tp_next_offset = 0;
	} else {
		((struct tpacket2_hdr *)slot)->tp_len = p->before + length;
	}
	p->length[p->head % p->slots] = length;
	/* Pairs with the kernel's barrier between this word and the frame. */
	__atomic_store_n(status_of(p, p->head), TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
	p->head++;
}

static void packet_commit(struct port *port, unsigned int index, size_t payload)
{
	struct packet *p = (struct packet *)port;

	commit(p, &p->way[index], payload);
}

static void packet_commit_back(struct port *port, const struct arrival *in, size_t payload)
{
	struct frame_way way = frame_back(&in->way);

	commit((struct packet *)port, &way, payload);
}

static void packet_receive(struct port *port, uint64_t until, port_take take, void *context)
{
	packet_rx_receive(&((struct packet *)port)->in, port, until, take, context);
}

static void packet_begin(struct port *port)
{
	if (port->rx)
		packet_rx_begin(&((struct packet *)port)->in, port);
}

static void packet_end(struct port *port)
{
	struct packet *p = (struct packet *)port;

	if (port->rx)
		count(&port->counts.queue_full, packet_rx_dropped(&p->in));
}

static void packet_close(struct port *port)
{
	struct packet *p = (struct packet *)port;

	if (p->ring) {
		munmap(p->ring, p->bytes);
		close(p->fd);
	}
	if (port->rx)
		packet_rx_close(&p->in);
	while (p->holes)
		close(p->hole[--p->holes]);
	free(p->hole);
	free(p->way);
	free(p->length);
	free(p);
}

static const struct port_ops packet_ops = {
	.begin = packet_begin, .room = packet_room, .commit = packet_commit,
	.commit_back = packet_commit_back, .flush = packet_flush, .receive = packet_receive,
	.end = packet_end, .close = packet_close,
};

unsigned int packet_version(int fd, unsigned int wanted)
{
	int versions[] = { TPACKET_V3, TPACKET_V2 }, i = wanted == 3 ? 0 : 1;

	for (; i < 2; i++)
		if (!setsockopt(fd, SOL_PACKET, PACKET_VERSION, &versions[i], sizeof(versions[i])))
			return 3 - i;
	die("PACKET_VERSION: %s", strerror(errno));
}

static bool map_ring(struct packet *p)
{
	const struct options *o = p->port.o;
	size_t longest = p->port.back ? o->receive_bytes : o->sizes.max, block;
	struct tpacket_req3 request = { 0 };
	size_t slots = 1;

	/* Head and tail wrap at 2^32: only with a power of two the next slot follows there. */
	while (slots < o->ring_slots)
		slots *= 2;
	longest = longest < o->head + PAYLOAD_CONTROL ? o->head + PAYLOAD_CONTROL : longest;
	p->offset = (p->version == 3 ? TPACKET3_HDRLEN : TPACKET2_HDRLEN) - sizeof(struct sockaddr_ll) +
		    p->before;
	p->longest = longest;
	for (p->slot = 256; p->slot < p->offset + longest;)
		p->slot *= 2;
	block = slots * p->slot < 16 * PAGE ? PAGE : 16 * PAGE;
	block = p->slot > block ? p->slot : block;
	p->bytes = (slots * p->slot + block - 1) / block * block;
	p->slots = p->bytes / p->slot;
	request.tp_block_size = block;
	request.tp_block_nr = p->bytes / block;
	request.tp_frame_size = p->slot;
	request.tp_frame_nr = p->slots;
	/* The older request is the beginning of the newer one. */
	if (setsockopt(p->fd, SOL_PACKET, PACKET_TX_RING, &request, p->version == 3 ?
		       sizeof(struct tpacket_req3) : sizeof(struct tpacket_req)))
		return false;
	p->ring = mmap(NULL, p->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, p->fd, 0);
	return p->ring != MAP_FAILED;
}

/* A ring of version 3 to send came later than one to receive. */
static bool send_ring(struct packet *p, unsigned int wanted)
{
	int one = 1;

	p->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		die("packet socket: %s%s", strerror(errno), errno == EPERM ? " (CAP_NET_RAW is needed)" : "");
	sock_buffers(p->fd, p->port.o->socket_buffer);
	p->version = packet_version(p->fd, wanted);
	/*
	 * Else packets are sent from the ring's pages, and a slot comes back when somebody lets
	 * go of the socket (netem with a delay does at once), not when the packet was read: it
	 * would be overwritten in a queue. A header that says it is as long as the frame has the
	 * kernel copy that.
	 */
	p->before = setsockopt(p->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) ? 0 :
		    sizeof(struct virtio_net_hdr);
	if (map_ring(p))
		return true;
	close(p->fd);
	return false;
}

static void open_out(struct packet *p, int ifindex, struct facts *facts)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = ifindex };
	const char *bypass = "off";
	int one = 1;

	if (!send_ring(p, p->port.o->tpacket) && !send_ring(p, 2))
		die("ring to send: %s", strerror(errno));
	if (p->port.o->qdisc_bypass)
		bypass = setsockopt(p->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ?
			 "wanted, but the kernel refuses" : "on";
	if (bind(p->fd, (struct sockaddr *)&to, sizeof(to)))
		die("bind to %s: %s", p->port.o->dev, strerror(errno));
	p->length = calloc(p->slots, sizeof(*p->length));
	if (!p->length)
		die("no memory");
	fact(facts, "send", "TPACKET_V%u%s, %zu bytes mapped, %u slots of %zu, %s", p->version,
	     p->version < p->port.o->tpacket ? " (the kernel has no V3 to send)" : "", p->bytes, p->slots, p->slot,
	     p->before ? "copied from" : "NOT copied: may change in queues (no PACKET_VNET_HDR)");
	fact(facts, "qdisc bypass", "%s", bypass);
}

static void find_ways(struct packet *p, struct facts *facts)
{
	const struct options *o = p->port.o;
	struct frame_way way = { .to = o->to, .to_port = htons(o->port) };
	char error[128], text[ADDRESS_TEXT];
	const char *asked = o->six ? "neighbour discovery" : "ARP";
	unsigned int i;

	card_mac(o->dev, way.from_mac);
	if (o->mac) {
		if (!frame_mac(way.to_mac, o->mac))
			die("--mac %s: not an address", o->mac);
	} else if (!card_resolve(o->dev, &o->to, way.to_mac, error, sizeof(error))) {
		die("%s has no answer to %s on %s (%s): give --mac", address_text(text, &o->to, 0), asked, o->dev, error);
	}
	fact(facts, "peer", "%02x:%02x:%02x:%02x:%02x:%02x%s%s", way.to_mac[0], way.to_mac[1], way.to_mac[2],
	     way.to_mac[3], way.to_mac[4], way.to_mac[5], o->mac ? "" : " by ", o->mac ? "" : asked);
	p->way = calloc(p->port.flows, sizeof(*p->way));
	if (!p->way)
		die("no memory");
	for (i = 0; i < p->port.flows; i++) {
		way.from = port_source(&p->port, port_flow(&p->port, i));
		way.from_port = port_source_port(&p->port, port_flow(&p->port, i));
		p->way[i] = way;
	}
}

/* UDP sockets that drop what comes to our ports: the stack would answer that nobody is there. */
static void dig_holes(struct packet *p, struct facts *facts)
{
	unsigned int wanted = p->port.tx ? p->port.flows : p->port.thread == 0, i;

	p->hole = calloc(wanted ? wanted : 1, sizeof(*p->hole));
	for (i = 0; p->hole && i < wanted; i++) {
		p->hole[p->holes] = card_hole(p->port.o->six, p->port.tx ? port_source_port(&p->port, port_flow(&p->port, i)) :
					      htons(p->port.o->port));
		if (p->hole[p->holes] >= 0)
			p->holes++;
	}
	if ((unsigned int)p->holes < wanted)
		fact(facts, "stack", "may answer that nobody listens: a port is in use");
}

struct port *packet_open(const struct port *like, struct facts *facts)
{
	struct packet *p = calloc(1, sizeof(*p));
	int ifindex = if_nametoindex(like->o->dev);

	if (!p)
		die("no memory");
	if (!ifindex)
		die("no interface %s", like->o->dev);
	p->port = *like;
	p->port.ops = &packet_ops;
	if (like->tx)
		find_ways(p, facts);
	if (like->tx || like->back)
		open_out(p, ifindex, facts);
	if (like->rx) {
		dig_holes(p, facts);
		packet_rx_open(&p->in, &p->port, ifindex, facts);
	}
	return &p->port;
}

// SPDX-License-Identifier: GPL-2.0-only
/* Parts of a running ring that grow, or that lie in memory of different kinds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem-dev.h"

/* Of one block; the rings need less. */
#define PACKET_BYTES	(8 * MD_PAGE)

static bool taken_away(struct md *d, uint8_t *at, int prot)
{
	uint64_t hits;

	md_traffic_direct(d);
	hits = md_stats(d, "inval_hit");
	MD_EXPECT(!mprotect(at, MD_PAGE, PROT_NONE) && !mprotect(at, MD_PAGE, prot),
		  "mprotect: %m");
	return md_stats(d, "inval_hit") > hits;
}

void md_guarded(struct md *d, uint8_t *at, int prot, const char *what)
{
	unsigned int tries;

	/* Something else may take them away first, now and then. */
	for (tries = 0; !taken_away(d, at, prot); tries++)
		MD_EXPECT(tries < 3, "%s: its page went, the windows stayed", what);
}

void md_move_used(struct md *d)
{
	uint8_t *used = md_map(MD_RINGS * MD_PAGE, -1);
	unsigned int i;

	for (i = 0; i < MD_RINGS; i++) {
		memcpy(used + i * MD_PAGE, d->ring[i].used, MD_PAGE);
		d->ring[i].used = (void *)(used + i * MD_PAGE);
	}
}

/* Where the device says which frame to tell it of: behind the last element. */
static void event_moves(struct md *d)
{
	const struct md_ring *r = &d->ring[MD_TX];
	const uint16_t *event = (const uint16_t *)&r->used->ring[d->num];
	unsigned int tries;

	for (tries = 0; __atomic_load_n(event, __ATOMIC_RELAXED) != r->added; tries++) {
		MD_EXPECT(tries < 500, "avail_event is %u, not %u", *event, r->added);
		usleep(10000);
	}
}

/*
 * With EVENT_IDX a used ring is two bytes longer: here they begin a page. Its pages are
 * neighbours in memory, too, so that without a window there the word would be right
 * nevertheless, and nobody else's page be written to: but nothing would take it away.
 */
static void features(void)
{
	struct md d = { .num = MD_LARGE, .used_off = MD_PAGE - 4 };
	uint8_t *area = md_thp();
	unsigned int i;

	/* From now on each page may be protected by itself. */
	MD_EXPECT(!mprotect(area + MD_LARGE_AREA, MD_PAGE, PROT_NONE), "mprotect: %m");
	md_open(&d, area);
	md_traffic_direct(&d);
	md_features(&d, 1ULL << VIRTIO_RING_F_EVENT_IDX);
	md_traffic_direct(&d);
	event_moves(&d);
	for (i = 0; i < MD_RINGS; i++)
		md_guarded(&d, md_part(&d, i, MD_USED) + 3 * MD_PAGE, PROT_READ | PROT_WRITE,
			"avail_event");
	md_traffic_direct(&d);
	event_moves(&d);
}

static void *packet_area(void)
{
	struct tpacket_req ring = {
		.tp_block_size = PACKET_BYTES,
		.tp_block_nr = 1,
		.tp_frame_size = MD_PAGE,
		.tp_frame_nr = PACKET_BYTES / MD_PAGE,
	};
	/* Of no protocol: it receives nothing. */
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	void *area;

	if (s < 0 || setsockopt(s, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
		md_skip("PACKET_RX_RING: %m");
	area = mmap(NULL, PACKET_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
	MD_EXPECT(area != MAP_FAILED, "mmap: %m");
	memset(area, 0, PACKET_BYTES);
	return area;
}

/*
 * Pages of a driver's, which are no file's and nobody's anonymous ones: nobody knows who
 * wants to hear of writes to them. They may be read.
 */
static void packet_ring(void)
{
	struct md d = { 0 };

	md_open(&d, packet_area());
	md_traffic(&d, 50);
	MD_EXPECT(!md_stats(&d, "maps") && !md_stats(&d, "bursts_direct"),
		  "a page that is no file's was mapped to be written to");
	MD_EXPECT(md_stats(&d, "map_failures") >= MD_RINGS, "nothing was tried");
	md_move_used(&d);
	md_addr(&d);
	md_guarded(&d, md_part(&d, MD_RX, MD_DESC), PROT_READ | PROT_WRITE, "descriptors");
	md_guarded(&d, md_part(&d, MD_TX, MD_AVAIL), PROT_READ | PROT_WRITE, "avail ring");
	md_traffic_direct(&d);
}

const struct md_case md_part_cases[] = {
	{ "features", features, "a used ring that is longer with a running device's new features" },
	{ "packet-ring", packet_ring, "rings in a packet socket's, whose pages are only read" },
	{ 0 }
};

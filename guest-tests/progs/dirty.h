/* SPDX-License-Identifier: GPL-2.0-only */
/* dirty-log: a guest whose pages are compared with the log. */
#ifndef GT_DIRTY_H
#define GT_DIRTY_H

#include "node.h"
#include "proc.h"
#include "rig.h"
#include "tap.h"
#include "test.h"
#include "vq.h"

#define REGION		(1ul << 21)
#define REGIONS		2
#define PAGES		(REGIONS * REGION / PAGE)
/* The regions are neighbours for the guest, not in this process. */
#define GPA		0x1c0000000ull
#define LOG_FIRST	(GPA / PAGE / 8)
#define LOG_BYTES	(LOG_FIRST + PAGES / 8 + PAGE)
#define HDR		12

/* Guest memory, by offset from GPA. The used rings lie across pages. */
#define AT_RING		0x10000ul
#define AT_DESC		0x1000ul
#define AT_AVAIL	0x4000ul
#define AT_USED		0x6ff4ul
#define AT_TX		0x40000ul
#define AT_RX		0x50000ul
#define RX_SIZE		5000u
#define RX_BUFS		((REGIONS * REGION - AT_RX) / RX_SIZE)

/**
 * struct guest - a device, its memory, its log
 * @log: the bitmap's first byte, of any alignment
 * @before: all memory as it was
 * @may: pages that may be logged though they look the same
 * @rx_offered: buffers given to the device
 * @tx_sent: frames given to it
 */
struct guest {
	int node;
	uint64_t features;
	struct tap tap;
	struct vq q[2];
	uint8_t *region[REGIONS];
	uint8_t *log_map;
	uint8_t *log;
	uint8_t *before;
	bool may[PAGES];
	pid_t worker;
	uint32_t seq;
	uint32_t rx_offered;
	uint32_t tx_sent;
};

extern const char *node_path;

void guest_open(struct guest *g, uint64_t features, unsigned int log_offset);
void guest_close(struct guest *g);
uint8_t *guest_at(struct guest *g, uint64_t off);
/* Turns logging on, as QEMU does on a running device, and off. */
int guest_log(struct guest *g, bool on);
int guest_ring_log(struct guest *g, unsigned int q, unsigned int flags, uint64_t addr);
/* The worker has come to rest. */
void guest_rest(struct guest *g);
void guest_offer(struct guest *g, unsigned int n);
/* Feeds a frame; returns the buffers it will take. */
unsigned int guest_feed(struct guest *g, size_t len);
void guest_send(struct guest *g, unsigned int n);
/* Remembers memory, empties the log. */
void guest_mark(struct guest *g);
/* CHECKs that the log has the pages that changed since; and how many of them. */
void guest_compare(struct guest *g, unsigned int at_least);

void dirty_bad(void);
void dirty_copy(struct guest *g);

#endif /* GT_DIRTY_H */

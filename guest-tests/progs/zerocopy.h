/* SPDX-License-Identifier: GPL-2.0-only */
/* zerocopy: a driver whose frames somebody in the network keeps. */
#ifndef GT_ZEROCOPY_H
#define GT_ZEROCOPY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "node.h"
#include "rig.h"
#include "tap.h"
#include "test.h"
#include "vq.h"

#define HDR	12
#define ROOM	4096u
#define LONG	1000u	/* of a frame that may go uncopied */
#define PENDING	128u	/* most frames under way */
/* Guest memory: the ring, whose used elements begin in another page than their index; frames. */
#define AT_AVAIL	0x3000ul
#define AT_USED		0x5ff4ul
#define RING_BYTES	0x8000ul
#define GUEST_BYTES	(RING_BYTES + ROOM * VQ_NUM)
/* For what must come, on a machine that may be slow; and for what must not. */
#define SOON_MS	30000
#define NEVER_MS 100

/**
 * struct format - a kind of ring
 * @features: of the device
 * @start: what GET_VRING_BASE answers for a ring of which nothing was used
 */
struct format {
	const char *name;
	uint64_t features;
	uint32_t start;
};

/**
 * struct guest - a device with a transmit queue alone
 * @num: entries of its ring; if fewer than VQ_NUM, no more frames may be sent in all
 * @buf: ROOM bytes for each id
 * @seq: of each id that is under way, the frame's number; else 0
 * @offered: frames
 * @taken: frames whose buffers came back and were overwritten
 * @last: number of the frame that came back last
 */
struct guest {
	const struct format *format;
	const char *path;
	int node;
	unsigned int num;
	struct tap tap;
	struct vq tx;
	uint8_t *memory;
	uint8_t *buf;
	uint32_t seq[VQ_NUM];
	uint32_t number;
	unsigned int id;
	unsigned int offered;
	unsigned int taken;
	uint32_t last;
};

/**
 * struct guest_opts - what kind of device, 0 for the usual
 * @num: entries
 * @sndbuf: of the tap
 * @secret: memory that has no pages for others
 * @back: the socket, if it isn't to be a tap of its own
 */
struct guest_opts {
	unsigned int num;
	int sndbuf;
	bool secret;
	int back;
};

/* False if there is no such memory here. */
bool guest_open(struct guest *g, const char *node, const struct format *f,
		const struct guest_opts *o);
/* All but the node, which may be closed already. */
void guest_forget(struct guest *g);
void guest_close(struct guest *g);
/* Where the device has its ring. */
struct vq_told guest_told(const struct guest *g);
uint64_t guest_gpa(struct guest *g, const void *at);
uint64_t guest_stat(struct guest *g, const char *name);
/* Offers frames of @len bytes, the next numbers, and kicks. */
void guest_send(struct guest *g, unsigned int n, size_t len);
/* Offers what was made elsewhere, as frame @g->number. */
unsigned int guest_offer(struct guest *g, uint64_t addr, uint32_t len, uint16_t flags);
/* Takes back what there is, CHECKs that it was offered, and overwrites the buffers. */
void guest_take(struct guest *g);
/* CHECKs that @n in all come back. */
void guest_back(struct guest *g, unsigned int n);
/* CHECKs that it is @n once the worker has nothing more to do. */
void guest_rests(struct guest *g, unsigned int n);
/* What GET_VRING_BASE is to answer when @n frames were offered and all came back. */
uint32_t guest_base(struct guest *g, unsigned int n);

/* The keeper, the module vd_keep. */
void keep_open(void);
void keep_close(void);
void keep_say(const char *what, const char *name);
unsigned int keep_count(void);
/* CHECKs that it has @n, soon. */
void keep_has(unsigned int n);
/* Takes a frame of @len bytes, CHECKs its contents; returns its number. */
uint32_t keep_read(size_t len);

/* Of a call that is expected to wait. */
struct call {
	pthread_t thread;
	int (*fn)(void *arg);
	void *arg;
	int ret;
	bool done;
};

void call_start(struct call *c, int (*fn)(void *arg), void *arg);
/* Does it wait? */
bool call_waits(struct call *c);
/* CHECKs that it ends, and returns what it returned. */
int call_end(struct call *c);

/* zerocopy_stop.c */
void test_backend(const char *node, const struct format *f);
void test_base(const char *node, const struct format *f);
void test_features(const char *node, const struct format *f);
void test_stranger(const char *node, const struct format *f);
void test_swap(const char *node, const struct format *f);
void test_reset(const char *node, const struct format *f);
void test_reset_killed(const char *node, const struct format *f);
void test_close(const char *node, const struct format *f);
void test_kill(const char *node, const struct format *f);

/* zerocopy_log.c */
void test_log_order(const char *node, const struct format *f);
void test_log_disorder(const char *node, const struct format *f);
void test_log_burst(const char *node, const struct format *f);
void test_log_stop(const char *node, const struct format *f);

/* zerocopy_net.c */
void test_bridge(const char *node, const struct format *f);
void test_xdp(const char *node, const struct format *f);
void test_macvtap(const char *node, const struct format *f);

#endif /* GT_ZEROCOPY_H */

// SPDX-License-Identifier: GPL-2.0-only
/* Traffic of mem-dev.h: what is sent has to arrive, once, in order and unchanged. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mem-dev.h"
#include "mem-frame.h"
#include "proc.h"

#define WAIT_MS 5000
#define PAUSE_MS 100
/* Until windows are back: the device waits before it maps again, 104 ms at most. */
#define BACK_MS 2000
#define BACK_PASSES 10

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

void md_kick(struct md *d, unsigned int ring)
{
	const uint64_t one = 1;

	MD_EXPECT(write(d->ring[ring].kick, &one, sizeof(one)) == sizeof(one), "kick: %m");
}

static unsigned int room(const struct md *d, unsigned int ring)
{
	const struct md_ring *r = &d->ring[ring];

	return d->num - (uint16_t)(r->added - r->reaped);
}

#define P_AVAIL	(1u << VRING_PACKED_DESC_F_AVAIL)
#define P_USED	(1u << VRING_PACKED_DESC_F_USED)

static struct vring_packed_desc *slot(const struct md *d, unsigned int ring, uint16_t at)
{
	return (struct vring_packed_desc *)d->ring[ring].desc + at % d->num;
}

/* In even laps the driver sets the bit AVAIL, and the device USED; in odd ones they clear it. */
static bool even_lap(const struct md *d, uint16_t at)
{
	return !(at / d->num % 2);
}

static void offer_packed(struct md *d, unsigned int ring, uint16_t at)
{
	struct vring_packed_desc *p = slot(d, ring, at);
	uint16_t flags = even_lap(d, at) ? P_AVAIL : P_USED;

	p->addr = md_buf_gpa(d, ring, at % d->num);
	p->len = ring == MD_RX ? MD_BUF : MD_HDR + MD_FRAME;
	p->id = at % d->num;
	if (ring == MD_RX)
		flags |= VRING_DESC_F_WRITE;
	__atomic_store_n(&p->flags, flags, __ATOMIC_RELEASE);
}

/* Offers them, and doesn't say so. */
static void offer(struct md *d, unsigned int ring, unsigned int n)
{
	struct md_ring *r = &d->ring[ring];

	if (!d->packed) {
		r->added += n;
		__atomic_store_n(&r->avail->idx, r->added, __ATOMIC_RELEASE);
		return;
	}
	for (; n; n--)
		offer_packed(d, ring, r->added++);
}

bool md_returned_packed(const struct md *d, unsigned int ring, uint16_t at)
{
	const unsigned int flags = __atomic_load_n(&slot(d, ring, at)->flags, __ATOMIC_ACQUIRE) &
				   (P_AVAIL | P_USED);

	return flags == (even_lap(d, at) ? P_AVAIL | P_USED : 0);
}

static void offer_frames(struct md *d, unsigned int n)
{
	struct md_ring *r = &d->ring[MD_TX];
	unsigned int i;

	MD_EXPECT(n <= room(d, MD_TX), "test: no room for %u frames", n);
	for (i = 0; i < n; i++) {
		uint8_t *buf = r->bufs + (uint16_t)(r->added + i) % d->num * MD_BUF;

		memset(buf, 0, MD_HDR);
		md_frame(buf + MD_HDR, MD_TX, d->sent + i);
	}
	d->sent += n;
	offer(d, MD_TX, n);
}

void md_send(struct md *d, unsigned int n)
{
	offer_frames(d, n);
	md_kick(d, MD_TX);
}

void md_feed(struct md *d, unsigned int n)
{
	offer(d, MD_RX, room(d, MD_RX));
	md_kick(d, MD_RX);
	md_feed_tap(d, n);
}

void md_feed_tap(struct md *d, unsigned int n)
{
	uint8_t frame[MD_FRAME];

	for (; n; n--) {
		md_frame(frame, MD_RX, d->fed);
		MD_EXPECT(send(d->peer, frame, sizeof(frame), 0) == sizeof(frame), "feed: %m");
		d->fed++;
	}
}

/* One that came back: they come in the ring's order, each once. */
static void reap_one(struct md *d, unsigned int ring, uint32_t id, uint32_t len)
{
	struct md_ring *r = &d->ring[ring];
	const uint8_t *buf = r->bufs + r->reaped % d->num * MD_BUF;

	MD_CERTAIN(id == r->reaped % d->num, "ring %u: element %u has id %u", ring, r->reaped, id);
	if (ring == MD_RX) {
		MD_CERTAIN(len == MD_HDR + MD_FRAME, "element %u has length %u", r->reaped, len);
		MD_EXPECT(md_frame_is(buf + MD_HDR, MD_RX, r->next),
			  "rx: frame %lu is not as it was fed", (unsigned long)r->next);
		r->next++;
	}
	r->reaped++;
}

static bool reap_packed(struct md *d, unsigned int ring)
{
	struct md_ring *r = &d->ring[ring];
	const uint16_t before = r->reaped;

	while (r->reaped != r->added && md_returned_packed(d, ring, r->reaped)) {
		const struct vring_packed_desc *p = slot(d, ring, r->reaped);

		reap_one(d, ring, p->id, p->len);
	}
	return r->reaped != before;
}

static bool reap(struct md *d, unsigned int ring)
{
	struct md_ring *r = &d->ring[ring];
	uint16_t used;
	bool moved;

	if (d->packed)
		return reap_packed(d, ring);
	used = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	moved = used != r->reaped;
	MD_CERTAIN((uint16_t)(used - r->reaped) <= (uint16_t)(r->added - r->reaped),
		   "ring %u: used index %u, %u reaped of %u added", ring, used, r->reaped, r->added);
	while (r->reaped != used) {
		const struct vring_used_elem *e = &r->used->ring[r->reaped % d->num];

		reap_one(d, ring, e->id, e->len);
	}
	return moved;
}

static bool take_sent(struct md *d)
{
	struct md_ring *r = &d->ring[MD_TX];
	uint8_t frame[2 * MD_FRAME];
	bool moved = false;
	ssize_t n;

	while ((n = recv(d->peer, frame, sizeof(frame), MSG_DONTWAIT)) >= 0) {
		MD_EXPECT(n == MD_FRAME && md_frame_is(frame, MD_TX, r->next),
			  "tx: frame %lu is not as it was sent", (unsigned long)r->next);
		r->next++;
		moved = true;
	}
	return moved;
}

static bool settled(const struct md *d)
{
	return d->ring[MD_TX].next == d->sent && d->ring[MD_TX].reaped == d->ring[MD_TX].added &&
	       d->ring[MD_RX].next == d->fed;
}

void md_settle(struct md *d)
{
	uint64_t quiet = 0, now, last = now_ms();

	while (!settled(d)) {
		bool moved = take_sent(d) | reap(d, MD_TX) | reap(d, MD_RX);

		now = now_ms();
		/* If we stood still, so did the device, perhaps: it needs time to move again. */
		quiet = moved ? 0 : quiet + (now - last < PAUSE_MS ? now - last : PAUSE_MS);
		last = now;
		if (!moved)
			sched_yield();
		MD_EXPECT(quiet < WAIT_MS,
			  "nothing moved: tx %lu sent, %lu arrived, %u of %u used; rx %lu fed, %lu arrived",
			  (unsigned long)d->sent, (unsigned long)d->ring[MD_TX].next,
			  d->ring[MD_TX].reaped, d->ring[MD_TX].added, (unsigned long)d->fed,
			  (unsigned long)d->ring[MD_RX].next);
	}
}

void md_traffic(struct md *d, unsigned int rounds)
{
	while (rounds--) {
		md_feed(d, 40);
		md_send(d, 50);
		md_settle(d);
	}
}

void md_lap(struct md *d)
{
	const unsigned int step = MD_NUM / 2;
	unsigned int n;

	for (n = 0; n < d->num; n += step) {
		md_feed(d, step);
		md_send(d, step);
		md_settle(d);
	}
}

void md_rest(void)
{
	pid_t worker = worker_find(getpid());

	MD_EXPECT(worker > 0, "no worker");
	worker_rest(worker);
}

void md_windows(struct md *d, unsigned int ring)
{
	const uint64_t maps = md_stat(d, ring, "maps");
	unsigned int tries;

	for (tries = 0; md_stat(d, ring, "maps") == maps; tries++) {
		MD_EXPECT(tries < 300, "ring %u: nothing was mapped, map_failures %lu", ring,
			  (unsigned long)md_stat(d, ring, "map_failures"));
		md_kick(d, ring);
		usleep(10000);
	}
	md_rest();
}

void md_ready(struct md *d)
{
	if (!d->packed)
		return;
	/* Else it might find what is offered without being told. */
	md_rest();
	offer(d, MD_RX, room(d, MD_RX));
	offer_frames(d, d->num);
}

void md_go(struct md *d)
{
	if (!d->packed) {
		md_lap(d);
		return;
	}
	md_kick(d, MD_RX);
	md_feed_tap(d, d->num);
	md_kick(d, MD_TX);
	md_settle(d);
}

static bool all_direct(struct md *d)
{
	uint64_t user = md_stats(d, "bursts_user");
	uint64_t rx = md_stat(d, MD_RX, "bursts_direct"), tx = md_stat(d, MD_TX, "bursts_direct");

	md_traffic(d, 8);
	return md_stats(d, "bursts_user") == user && md_stat(d, MD_RX, "bursts_direct") > rx &&
	       md_stat(d, MD_TX, "bursts_direct") > tx;
}

void md_traffic_direct(struct md *d)
{
	uint64_t start = now_ms();
	unsigned int passes;

	/* On a slow machine, or one that stands still meanwhile, one pass may take all the time. */
	for (passes = 1; !all_direct(d); passes++)
		MD_EXPECT(passes < BACK_PASSES || now_ms() - start < BACK_MS,
			  "the windows did not come back: map_failures %lu, maps %lu",
			  (unsigned long)md_stats(d, "map_failures"),
			  (unsigned long)md_stats(d, "maps"));
}

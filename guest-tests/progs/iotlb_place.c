// SPDX-License-Identifier: GPL-2.0-only
/*
 * iotlb: rings in places that no guest would choose, but that an owner may: under
 * translations that overlap, across pages at odd addresses; and nowhere, when the
 * addresses that were told mean something else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "iotlb.h"

#define FEATURES	(F_V1 | F_MRG)
#define PLACES		1000u
/* Of a GIOVA that the others don't use. */
#define AT_ODD		0x100000ul
/* The used ring's first element is then the last byte of a page and three of the next. */
#define ODD		(PAGE - 5)
#define ODD_PAGES	3
#define DECOY_BYTES	(IO_PAGES * PAGE)
/* What buffers lie at, with an IOTLB and without; and a place in the log beside that. */
#define LOW		(64 * PAGE)
#define LOG_AT		(40 * PAGE)
#define PFN_MASK	((1ull << 55) - 1)

static void map(struct io *io, uint64_t iova, uint64_t size, const void *user)
{
	CHECK_EQ(io_message(io, VHOST_IOTLB_UPDATE, iova, size, (uintptr_t)user, VHOST_ACCESS_RW),
		 0);
}

static void queue(struct io *io, unsigned int i, uint64_t desc, uint64_t avail, uint64_t used)
{
	const struct vq_told told = { desc, avail, used };

	CHECK_EQ(vq_setup(&io->q[i], io->node, &told), 0);
	CHECK_EQ(node_backend(io->node, i, io->tap.fd), 0);
	io->worker = worker_find(getpid());
}

static void frame_in(struct io *io)
{
	uint8_t *at = io->view + AT_RX + io->rx_offered++ % RX_BUFS * RX_SIZE, frame[200];

	vq_offer(&io->q[Q_RX], (uintptr_t)at, RX_SIZE, VRING_DESC_F_WRITE);
	vq_kick(&io->q[Q_RX]);
	frame_make(frame, sizeof(frame), ++io->seq);
	CHECK(tap_feed(&io->tap, frame, sizeof(frame)));
	CHECK(vq_wait(&io->q[Q_RX], io->rx_offered, WAIT_MS));
	CHECK(frame_is(at + HDR, sizeof(frame), io->seq));
}

/* Stock's of 6.1 keeps the addresses. */
static bool keeps(void)
{
	struct utsname u;

	return !strcmp(node_path, "/dev/vhost-net") && !uname(&u) &&
	       !strncmp(u.release, "6.1.", 4);
}

/* The ring of Q_TX in memory that begins at @base; its writes are logged at @log. */
static struct vq_told ring_in(const uint8_t *base, uint64_t log)
{
	const uint8_t *ring = base + AT_RING;

	return (struct vq_told){ (uintptr_t)ring + AT_DESC, (uintptr_t)ring + AT_AVAIL,
				 (uintptr_t)ring + AT_USED, log, !!log };
}

static void offer_frame(struct io *io)
{
	memset(io->view + AT_TX, 0, HDR);
	frame_make(io->view + AT_TX + HDR, 300, ++io->seq);
	vq_offer(&io->q[Q_TX], LOW + AT_TX, HDR + 300, 0);
	io->tx_sent++;
}

static void frame_out(struct io *io)
{
	uint8_t frame[2048];

	CHECK_EQ(tap_take(&io->tap, frame, sizeof(frame), WAIT_MS), 300);
	CHECK(frame_is(frame, 300, io->seq));
	CHECK(vq_wait(&io->q[Q_TX], io->tx_sent, WAIT_MS));
}

/**
 * struct decoy - user memory that has the addresses by which a ring is found
 * @at: as large as the guest's; GIOVA are the same as its addresses
 * @before: its contents
 * @log: the bitmap, of which a bit stands for the ring
 */
struct decoy {
	uint8_t *at;
	uint8_t *before;
	uint8_t *log;
};


static void decoy_make(struct decoy *d)
{
	d->before = malloc(DECOY_BYTES);
	d->at = mmap(NULL, DECOY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	d->log = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(d->before && d->at != MAP_FAILED && d->log != MAP_FAILED, "memory");
}

static void decoy_free(struct decoy *d)
{
	free(d->before);
	munmap(d->at, DECOY_BYTES);
	munmap(d->log, PAGE);
}

/* A frame is offered, in the guest's ring and in the decoy: neither is touched, nor looked for. */
static void lies_still(struct io *io, struct decoy *d)
{
	struct vhost_iotlb_msg m;
	uint8_t frame[2048];
	unsigned int i;

	offer_frame(io);
	memcpy(d->at, io->view, DECOY_BYTES);
	memcpy(d->before, io->view, DECOY_BYTES);
	memset(d->log, 0, PAGE);
	vq_kick(&io->q[Q_TX]);
	CHECK_EQ(tap_take(&io->tap, frame, sizeof(frame), 50), 0);
	io_rest(io);
	CHECK(io_read(io, &m));
	CHECK_EQ(event_wait(io->q[Q_TX].err, 0), 0);
	CHECK(!memcmp(d->at, d->before, DECOY_BYTES));
	CHECK(!memcmp(io->view, d->before, DECOY_BYTES));
	for (i = 0; i < PAGE; i++)
		if (!CHECK_EQ(d->log[i], 0))
			break;
}

/* New addresses let it go on: ours at once, stock's with the next kick. */
static void told_anew(struct io *io, const struct vq_told *told)
{
	CHECK_EQ(vq_told(&io->q[Q_TX], io->node, told), 0);
	if (io->stock)
		vq_kick(&io->q[Q_TX]);
	frame_out(io);
	io_rest(io);
}

/* Its addresses, GIOVA, are some user memory's, too, and then those that are GIOVA. */
static void toggled(struct io *io, struct decoy *d)
{
	const struct node_region r = { LOW, DECOY_BYTES, (uintptr_t)io->view };
	const struct vq_told ring = ring_in(io->view, 0), same = ring_in(d->at, 0);
	const struct vq_told told = ring_in(d->at, LOG_AT);
	uint64_t base = (uintptr_t)d->log;

	CHECK_EQ(node_table(io->node, &r, 1), 0);
	CHECK_EQ(node_call(io->node, VHOST_SET_LOG_BASE, &base), 0);
	map(io, LOW, DECOY_BYTES, io->view);
	map(io, (uintptr_t)d->at, DECOY_BYTES, io->view);
	CHECK_EQ(vq_setup(&io->q[Q_TX], io->node, &told), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), 0);
	io->worker = worker_find(getpid());
	offer_frame(io);
	vq_kick(&io->q[Q_TX]);
	frame_out(io);
	io_rest(io);
	CHECK_EQ(node_features(io->node, io->features & ~F_PLATFORM), 0);
	lies_still(io, d);
	told_anew(io, &ring);
	/* No change of the kind: nothing is forgotten. */
	CHECK_EQ(node_features(io->node, io->features & ~F_PLATFORM), 0);
	offer_frame(io);
	vq_kick(&io->q[Q_TX]);
	frame_out(io);
	io_rest(io);
	CHECK_EQ(node_features(io->node, io->features), 0);
	map(io, LOW, DECOY_BYTES, io->view);
	map(io, r.user, DECOY_BYTES, io->view);
	lies_still(io, d);
	map(io, (uintptr_t)d->at, DECOY_BYTES, io->view);
	told_anew(io, &same);
	CHECK_EQ(node_features(io->node, io->features), 0);
	map(io, LOW, DECOY_BYTES, io->view);
	map(io, (uintptr_t)d->at, DECOY_BYTES, io->view);
	offer_frame(io);
	vq_kick(&io->q[Q_TX]);
	frame_out(io);
}

/*
 * Where a ring is said in GIOVA with an IOTLB, in user addresses without one. A queue whose
 * IOTLB goes, or that gets one, must not take the ones for the others, nor use a place in the
 * log that was told when there was no use for it.
 */
static void running(uint64_t features, const char *kind)
{
	struct decoy d;
	struct io io;

	t_begin("%s: an IOTLB that goes, or comes, makes a running queue wait for its addresses",
		kind);
	if (keeps()) {
		t_skip("stock's vhost of 6.1 goes on with the old ones");
	} else if (features & ~node_offered(node_path)) {
		t_skip("not offered");
	} else {
		decoy_make(&d);
		io_device(&io, features, true);
		toggled(&io, &d);
		io_close(&io);
		decoy_free(&d);
	}
	t_end();
}

/* What was told, for an IOTLB, would be refused without one. */
static void goes(struct io *io)
{
	const struct vq_told odd = { 0ull - PAGE, AT_RING + AT_AVAIL, AT_RING + AT_USED,
				     1ull << 62, 1 };
	const struct vq_told ring = ring_in(io->view, 0);
	uint64_t base = (uintptr_t)io->view;

	map(io, 0, DECOY_BYTES, io->view);
	CHECK_EQ(vq_setup(&io->q[Q_TX], io->node, &odd), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), 0);
	CHECK_EQ(node_features(io->node, FEATURES), 0);
	CHECK_EQ(node_call(io->node, VHOST_SET_LOG_BASE, &base), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, -1), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), -EFAULT);
	CHECK_EQ(vq_told(&io->q[Q_TX], io->node, &ring), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, -1), 0);
}

static void comes(struct io *io)
{
	const struct vq_told ring = io_told(Q_TX);

	CHECK_EQ(node_features(io->node, io->features), 0);
	map(io, 0, DECOY_BYTES, io->view);
	map(io, (uintptr_t)io->view, DECOY_BYTES, io->view);
	/* Stock takes none for 0, where there may be memory. */
	if (!io->stock)
		CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), -EFAULT);
	CHECK_EQ(vq_told(&io->q[Q_TX], io->node, &ring), 0);
	CHECK_EQ(node_backend(io->node, Q_TX, io->tap.fd), 0);
}

static void stopped(void)
{
	struct io io;

	t_begin("an IOTLB that goes, or comes: a queue stops, and starts with addresses told since");
	if (keeps()) {
		t_skip("stock's vhost of 6.1 keeps the old ones");
	} else {
		io_device(&io, FEATURES, true);
		goes(&io);
		comes(&io);
		io_close(&io);
	}
	t_end();
}

/*
 * Which of two translations is met depends on where the search comes from: the
 * used ring is first found in two pieces, from the avail ring's, and in three
 * the next time. Had the second more room than the first has made, slub_debug,
 * with which the suite boots, would report it when the queue is closed.
 */
static void overlapping(void)
{
	struct io io;

	t_begin("translations that overlap: the ring's pieces are counted as they are found");
	io_device(&io, FEATURES, true);
	map(&io, 0x0000, 0x3000, io.view + 0x40000);
	map(&io, 0x1000, 0x2f00, io.view + 0x48000);
	map(&io, 0x3f00, 0x2000, io.view + 0x50000);
	map(&io, 0x10000, VQ_DESC_BYTES, io.view + 0x58000);
	queue(&io, Q_TX, 0x10000, 0x3000, 0x2f00);
	vq_kick(&io.q[Q_TX]);
	io_rest(&io);
	CHECK_EQ(node_backend(io.node, Q_TX, -1), 0);
	/* It starts elsewhere as if nothing had been. */
	map(&io, (uintptr_t)io.view, IO_PAGES * PAGE, io.view);
	queue(&io, Q_RX, (uintptr_t)io.q[Q_RX].desc, (uintptr_t)io.q[Q_RX].avail,
	      (uintptr_t)io.q[Q_RX].used);
	frame_in(&io);
	io_close(&io);
	t_end();
}

static uint64_t pfn(int pagemap, const void *at)
{
	uint64_t word;

	MUST(pread(pagemap, &word, 8, (uintptr_t)at / PAGE * 8) == 8, "pagemap");
	return word & PFN_MASK;
}

/**
 * struct odd - three pages in a row, whose first has another neighbour in memory
 * @at: the three
 * @next: the page that follows the first one physically
 */
struct odd {
	uint8_t *pool;
	uint8_t *at;
	uint8_t *next;
	int pagemap;
};

static void move(void *from, void *to)
{
	MUST(mremap(from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap");
}

static void odd_pages(struct odd *o)
{
	static uint64_t frame[PLACES];
	unsigned int i, j, n;

	o->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	o->pool = mmap(NULL, PLACES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	o->at = mmap(NULL, ODD_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(o->pagemap >= 0 && o->pool != MAP_FAILED && o->at != MAP_FAILED, "memory");
	madvise(o->pool, PLACES * PAGE, MADV_NOHUGEPAGE);
	memset(o->pool, 1, PLACES * PAGE);
	memset(o->pool, 0, PLACES * PAGE);
	for (i = 0; i < PLACES; i++)
		frame[i] = pfn(o->pagemap, o->pool + i * PAGE);
	for (i = 0; i < PLACES * PLACES; i++)
		if (frame[i / PLACES] + 1 == frame[i % PLACES])
			break;
	if (i == PLACES * PLACES)
		t_die("no two pages of %u are neighbours in memory", PLACES);
	o->next = o->pool + i % PLACES * PAGE;
	move(o->pool + i / PLACES * PAGE, o->at);
	for (n = 1, j = 0; n < ODD_PAGES; j++)
		if (j != i / PLACES && j != i % PLACES)
			move(o->pool + j * PAGE, o->at + n++ * PAGE);
}

static void odd_free(struct odd *o)
{
	munmap(o->pool, PLACES * PAGE);
	munmap(o->at, ODD_PAGES * PAGE);
	close(o->pagemap);
}

/* A word of the used ring lies on two pages, which aren't neighbours in memory. */
static void straddling(void)
{
	struct odd o;
	struct io io;
	unsigned int i;

	t_begin("a used ring at an odd address: a word across two pages is on both, nowhere else");
	odd_pages(&o);
	io_device(&io, FEATURES, true);
	map(&io, 0, IO_PAGES * PAGE, io.view);
	map(&io, AT_ODD, VQ_USED_BYTES, o.at + ODD);
	io.q[Q_TX].used = o.at + ODD;
	memset(o.at + PAGE, 0x55, 3);
	memset(o.next, POISON, 64);
	queue(&io, Q_TX, AT_RING + AT_DESC, AT_RING + AT_AVAIL, AT_ODD);
	for (i = 0; i < 4 && !t_errors(); i++) {
		io_send(&io, 1);
		io_rest(&io);
		sleep_ms(20);
	}
	for (i = 0; i < 3; i++)
		CHECK_EQ(o.at[PAGE + i], 0);
	for (i = 0; i < 64; i++)
		CHECK_EQ(o.next[i], POISON);
	/* Else it was no test. */
	CHECK_EQ(pfn(o.pagemap, o.next), pfn(o.pagemap, o.at) + 1);
	CHECK(pfn(o.pagemap, o.at + PAGE) != pfn(o.pagemap, o.next));
	io_close(&io);
	odd_free(&o);
	t_end();
}

void iotlb_places(void)
{
	running(FEATURES, "split");
	running(FEATURES | F_PACKED, "packed");
	stopped();
	overlapping();
	straddling();
}

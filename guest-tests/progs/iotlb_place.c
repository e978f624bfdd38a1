// SPDX-License-Identifier: GPL-2.0-only
/*
 * iotlb: rings in places that no guest would choose, but that an owner may: beyond
 * user memory, under translations that overlap, across pages at odd addresses.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iotlb.h"

#define FEATURES	(F_V1 | F_MRG)
#define PLACES		1000u
/* Of a GIOVA that the others don't use. */
#define AT_ODD		0x100000ul
/* The used ring's first element is then the last byte of a page and three of the next. */
#define ODD		(PAGE - 5)
#define ODD_PAGES	3
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

static bool goes_direct(struct io *io)
{
	uint64_t before;
	unsigned int i;

	for (i = 0; i < 200 && !t_errors(); i++) {
		before = node_stat(io->node, Q_RX, "bursts_direct");
		frame_in(io);
		io_rest(io);
		if (node_stat(io->node, Q_RX, "bursts_direct") > before)
			return true;
		sleep_ms(5);
	}
	return false;
}

static void each_page_guarded(struct io *io)
{
	uint64_t hits;
	unsigned int i;

	for (i = 0; i * PAGE < AT_USED + VQ_USED_BYTES; i++) {
		uint8_t *at = io->view + i * PAGE;

		if (!CHECK(goes_direct(io)))
			return;
		hits = node_stat(io->node, Q_RX, "inval_hit");
		CHECK_EQ(mprotect(at, PAGE, PROT_READ), 0);
		if (!CHECK(node_stat(io->node, Q_RX, "inval_hit") > hits))
			t_diag("page %u of the ring", i);
		CHECK_EQ(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	}
}

/*
 * A queue whose ring was accepted with an IOTLB runs on without one, and then
 * part of its ring is at the end of all addresses.
 */
static void beyond(void)
{
	struct node_region r = { .size = IO_PAGES * PAGE };
	uint64_t view;
	struct io io;

	io_device(&io, FEATURES, true);
	if (!io_direct(&io)) {
		io_close(&io);
		return;
	}
	t_begin("a ring that ends up beyond user memory: the other's windows are guarded as before");
	view = (uintptr_t)io.view;
	/* Without an IOTLB its addresses are this process's. */
	r.gpa = r.user = view;
	CHECK_EQ(node_table(io.node, &r, 1), 0);
	map(&io, view, IO_PAGES * PAGE, io.view);
	queue(&io, Q_RX, view + AT_DESC, view + AT_AVAIL, view + AT_USED);
	/* The rest on pages of the other's: of both together one run of pages. */
	queue(&io, Q_TX, 0ull - PAGE, view + AT_AVAIL + 0x700, view + PAGE * 3);
	CHECK_EQ(node_features(io.node, FEATURES), 0);
	each_page_guarded(&io);
	frame_in(&io);
	io_close(&io);
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
	beyond();
	overlapping();
	straddling();
}

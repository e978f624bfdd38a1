// SPDX-License-Identifier: GPL-2.0-only
/* iotlb: messages, good and bad; waiting for them; the dirty log behind an IOTLB. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "away.h"
#include "iotlb.h"

#define KERNEL 0xffff888000000000ull

/* The next miss that is told, waiting for it: its page, or -1. */
static int next_miss(struct io *io)
{
	struct vhost_iotlb_msg m;
	unsigned int i;

	for (i = 0; i < 500; i++) {
		if (!io_read(io, &m))
			return m.iova / PAGE;
		sleep_ms(2);
	}
	return -1;
}

/* Is there a message to be read? */
static bool io_asks(struct io *io)
{
	struct pollfd p = { .fd = io->node, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void drain(struct io *io)
{
	struct vhost_iotlb_msg m;

	while (!io_read(io, &m))
		;
}

/*
 * Answers until nothing more is asked for. From 7.3 on stock's queue has one
 * question at a time, and an answer counts once the question was read.
 */
static void settle(struct io *io)
{
	struct vhost_iotlb_msg m;
	unsigned int quiet;

	for (quiet = 0; quiet < 5; quiet++) {
		while (!io_read(io, &m)) {
			CHECK_EQ(io_answer(io, m.iova / PAGE * PAGE), 0);
			quiet = 0;
		}
		io_rest(io);
		sleep_ms(2);
	}
}

/* What a miss doesn't set is 0: it was once what the kernel had there before. */
static void padding(bool v2)
{
	const size_t body = v2 ? offsetof(struct vhost_msg_v2, iotlb) :
				 offsetof(struct vhost_msg, iotlb);
	uint8_t message[sizeof(struct vhost_msg_v2)], used[sizeof(message)] = { 0 };
	ssize_t len = -1;
	struct io io;
	size_t i;

	t_begin("a message of version %u has no byte of the kernel's own (CVE-2018-1118, CVE-2024-0340)",
		v2 ? 2 : 1);
	io_open(&io, F_V1 | F_MRG, v2);
	io_rest(&io);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	vq_kick(&io.q[Q_TX]);
	for (i = 0; i < 500 && len < 0; i++) {
		memset(message, 0xaa, sizeof(message));
		len = read(io.node, message, sizeof(message));
		sleep_ms(2);
	}
	CHECK_EQ(len, v2 ? sizeof(struct vhost_msg_v2) : sizeof(struct vhost_msg));
	memset(used, 1, sizeof(int));
	memset(used + body + offsetof(struct vhost_iotlb_msg, iova), 1, sizeof(uint64_t));
	memset(used + body + offsetof(struct vhost_iotlb_msg, perm), 1, 2);
	for (i = 0; i < sizeof(message) && (ssize_t)i < len; i++)
		if (!used[i])
			CHECK_EQ(message[i], 0);
	io_close(&io);
	t_end();
}

/* Takes it away and asks for it: the queue goes on by the answer alone. */
static void waiting(void)
{
	uint8_t frame[2048];
	struct io io;
	int page;

	t_begin("a queue waits for a translation, and goes on without a kick");
	io_open(&io, F_V1 | F_MRG, true);
	/* With what the ring needs, not the buffer. */
	vq_kick(&io.q[Q_RX]);
	vq_kick(&io.q[Q_TX]);
	settle(&io);
	memset(io.view + AT_TX, 0, HDR);
	frame_make(io.view + AT_TX + HDR, 300, 7);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	vq_kick(&io.q[Q_TX]);
	/* It crosses a page's end: two are missing, one after the other. */
	page = next_miss(&io);
	CHECK_EQ(page, AT_TX / PAGE);
	CHECK_EQ(tap_take(&io.tap, frame, sizeof(frame), 30), 0);
	CHECK_EQ(io_answer(&io, page * PAGE), 0);
	page = next_miss(&io);
	CHECK_EQ(page, AT_TX / PAGE + 1);
	CHECK_EQ(io_answer(&io, page * PAGE), 0);
	CHECK_EQ(tap_take(&io.tap, frame, sizeof(frame), WAIT_MS), 300);
	CHECK(frame_is(frame, 300, 7));
	io_close(&io);
	t_end();
}

/* The owner reads nothing while the driver kicks on: memory is bounded. */
static void bounded(void)
{
	struct vhost_iotlb_msg m;
	unsigned int i, n = 0;
	struct io io;

	t_begin("unread misses don't pile up");
	io_open(&io, F_V1 | F_MRG, true);
	io_rest(&io);
	drain(&io);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	for (i = 0; i < 2000; i++) {
		vq_kick(&io.q[Q_TX]);
		if (i % 64 == 0)
			sleep_ms(1);
	}
	io_rest(&io);
	while (!io_read(&io, &m))
		n++;
	CHECK(n >= 1 && n <= 2);
	io_close(&io);
	t_end();
}

/* A queue that is stopped has no question any more that nobody has read. */
static void withdrawn(void)
{
	struct vhost_iotlb_msg m;
	struct io io;

	t_begin("a stopped queue asks for nothing");
	io_open(&io, F_V1 | F_MRG, true);
	vq_kick(&io.q[Q_TX]);
	settle(&io);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	vq_kick(&io.q[Q_TX]);
	io_rest(&io);
	CHECK(io_asks(&io));
	CHECK_EQ(node_backend(io.node, Q_TX, -1), 0);
	CHECK(!io_asks(&io));
	CHECK(io_read(&io, &m));
	io_close(&io);
	t_end();
}

struct misreader {
	int node;
	void *to;
	atomic_int tid;
	int error;
};

static void *reads(void *at)
{
	struct misreader *r = at;

	atomic_store(&r->tid, gettid());
	r->error = read(r->node, r->to, sizeof(struct vhost_msg_v2)) < 0 ? -errno : 0;
	return NULL;
}

/* They are woken: what epoll lists it was told of, a look of ours adds nothing. */
static bool woken_all(int others)
{
	struct epoll_event e;
	unsigned int slices;

	/* As poll_ms(). */
	for (slices = 0; slices < WAIT_MS / 50; slices++)
		if (epoll_wait(others, &e, 1, 50) == 1)
			return true;
	return false;
}

/*
 * A reader stands still with the message in its hands, as the page that it reads to is away, and
 * then is no memory at all. Others, who were woken in vain, hear of it.
 */
static void put_back(void)
{
	struct misreader r = { .error = 1 };
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int away = away_open(), others = epoll_create1(EPOLL_CLOEXEC);
	struct pollfd wants = { .fd = away, .events = POLLIN };
	struct vhost_iotlb_msg m;
	pthread_t thread;
	struct io io;

	t_begin("a message that its reader can't take is told to others");
	if (away < 0) {
		close(others);
		t_skip("this kernel has no userfaultfd");
		t_end();
		return;
	}
	io_open(&io, F_V1 | F_MRG, true);
	vq_kick(&io.q[Q_TX]);
	settle(&io);
	r.node = io.node;
	r.to = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(r.to != MAP_FAILED && others >= 0, "a page, epoll");
	away_keep(away, r.to, PAGE);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	vq_kick(&io.q[Q_TX]);
	io_rest(&io);
	MUST(!pthread_create(&thread, NULL, reads, &r), "pthread_create");
	CHECK_EQ(poll_ms(&wants, 1, WAIT_MS), 1);
	MUST(!epoll_ctl(others, EPOLL_CTL_ADD, io.node, &e), "epoll_ctl");
	CHECK_EQ(epoll_wait(others, &e, 1, 0), 0);
	CHECK(io_read(&io, &m));
	munmap(r.to, PAGE);
	away_wake(away, r.to);
	pthread_join(thread, NULL);
	CHECK_EQ(r.error, -EFAULT);
	CHECK(woken_all(others));
	CHECK_EQ(next_miss(&io), AT_TX / PAGE);
	close(others);
	close(away);
	io_close(&io);
	t_end();
}

static void nothing(int signal)
{
}

/* A thread reads a message, and sleeps for want of one. */
static void asleep(struct misreader *r, pthread_t *thread, const struct io *io, void *to)
{
	unsigned int looks;

	*r = (struct misreader){ .node = io->node, .to = to, .error = 1 };
	MUST(!pthread_create(thread, NULL, reads, r), "pthread_create");
	for (looks = 0; !atomic_load(&r->tid) || worker_state(r->tid) != 'S'; looks++) {
		if (!CHECK(looks < WAIT_MS))
			break;
		sleep_ms(1);
	}
	CHECK_EQ(r->error, 1);
}

/* It has been woken in time; else it is ended by a signal. */
static int woken(struct misreader *r, pthread_t thread)
{
	unsigned int looks;
	int busy;

	for (looks = 0; (busy = pthread_tryjoin_np(thread, NULL)) && looks < WAIT_MS; looks++)
		sleep_ms(1);
	if (!CHECK_EQ(busy, 0)) {
		pthread_kill(thread, SIGUSR1);
		pthread_join(thread, NULL);
	}
	return r->error;
}

/* read() waits for a message: until there is one, a signal comes, or there can be none any more. */
static void blocking(bool stock)
{
	const struct sigaction ends = { .sa_handler = nothing };
	struct vhost_msg_v2 m = { 0 };
	struct misreader r;
	pthread_t thread;
	struct io io;

	t_begin("a reader sleeps until there is a message, a signal, or no IOTLB any more");
	sigaction(SIGUSR1, &ends, NULL);
	io_open(&io, F_V1 | F_MRG, true);
	vq_kick(&io.q[Q_TX]);
	settle(&io);
	MUST(!fcntl(io.node, F_SETFL, 0), "fcntl");
	asleep(&r, &thread, &io, &m);
	pthread_kill(thread, SIGUSR1);
	CHECK_EQ(woken(&r, thread), -EINTR);
	asleep(&r, &thread, &io, &m);
	vq_offer(&io.q[Q_TX], AT_TX, HDR + 300, 0);
	vq_kick(&io.q[Q_TX]);
	CHECK_EQ(woken(&r, thread), 0);
	CHECK_EQ(m.type, VHOST_IOTLB_MSG_V2);
	CHECK_EQ(m.iotlb.type, VHOST_IOTLB_MISS);
	CHECK_EQ(m.iotlb.iova / PAGE, AT_TX / PAGE);
	/* Stock leaves it asleep. */
	if (!stock) {
		CHECK_EQ(node_backend(io.node, Q_TX, -1), 0);
		CHECK_EQ(node_backend(io.node, Q_RX, -1), 0);
		asleep(&r, &thread, &io, &m);
		CHECK_EQ(node_features(io.node, F_V1 | F_MRG), 0);
		CHECK_EQ(woken(&r, thread), -EBADFD);
	}
	MUST(!fcntl(io.node, F_SETFL, O_NONBLOCK), "fcntl");
	io_close(&io);
	t_end();
}

/* Reading is allowed, writing isn't: VRING_ERR; then it is, and a kick mends. */
static void denied(void)
{
	uint32_t at = AT_RX / PAGE;
	unsigned int i;
	struct io io;

	t_begin("a buffer that may not be written isn't; with the right it is");
	io_open(&io, F_V1 | F_MRG, true);
	for (i = 0; i < 3; i++)
		io.perm[at + i] = VHOST_ACCESS_RO;
	io_iommu(&io, true);
	for (i = 0; i < 3; i++)
		CHECK_EQ(io_answer(&io, (at + i) * PAGE), 0);
	vq_offer(&io.q[Q_RX], AT_RX, RX_SIZE, VRING_DESC_F_WRITE);
	memset(io.view + AT_RX, POISON, RX_SIZE);
	vq_kick(&io.q[Q_RX]);
	io_rest(&io);
	{
		uint8_t frame[600];

		frame_make(frame, sizeof(frame), ++io.seq);
		CHECK(tap_feed(&io.tap, frame, sizeof(frame)));
	}
	CHECK(event_wait(io.q[Q_RX].err, WAIT_MS) > 0);
	for (i = 0; i < RX_SIZE; i++)
		if (!CHECK_EQ(io.view[AT_RX + i], POISON))
			break;
	for (i = 0; i < 3; i++) {
		io.perm[at + i] = VHOST_ACCESS_RW;
		CHECK_EQ(io_message(&io, VHOST_IOTLB_INVALIDATE, (at + i) * PAGE, PAGE, 0, 0), 0);
	}
	vq_kick(&io.q[Q_RX]);
	CHECK(vq_wait(&io.q[Q_RX], 1, WAIT_MS));
	CHECK(frame_is(io.view + AT_RX + HDR, 600, io.seq));
	io_close(&io);
	t_end();
}

static void hostile(bool stock)
{
	const struct { uint8_t type; uint64_t iova, size, user; uint8_t perm; int want; } t[] = {
		{ VHOST_IOTLB_UPDATE, 0x100000, 0, 0x1000, 3, -EINVAL },
		{ VHOST_IOTLB_UPDATE, 0x100000, PAGE, KERNEL, 3, -EFAULT },
		{ VHOST_IOTLB_UPDATE, 0x100000, 1ull << 62, 0x1000, 3, -EFAULT },
		{ VHOST_IOTLB_UPDATE, 0x100000, 2 * PAGE, 0ull - PAGE, 3, -EFAULT },
		{ VHOST_IOTLB_UPDATE, 0x100000, ~0ull, 0x1000, 1, -EFAULT },
		{ VHOST_IOTLB_UPDATE, 0x100000, 2 * PAGE, (1ull << 47) - PAGE, 2, -EFAULT },
		{ VHOST_IOTLB_UPDATE, 0ull - PAGE, 2 * PAGE, 0x10000, 3, -EFAULT },
		{ VHOST_IOTLB_UPDATE, 0ull - PAGE, PAGE, 0x10000, 3, 0 },
		{ VHOST_IOTLB_UPDATE, 0x100000, PAGE, 0x10000, 0, 0 },
		{ VHOST_IOTLB_UPDATE, 0x100800, PAGE, 0x10001, 3, 0 },
		{ VHOST_IOTLB_UPDATE, 0x100fff, 1, 0x10001, 3, 0 },
		{ VHOST_IOTLB_UPDATE, 0x100000, 1ull << 40, 0x10000, 3, 0 },
		{ VHOST_IOTLB_MISS, 0x100000, PAGE, 0x10000, 3, -EFAULT },
		{ VHOST_IOTLB_ACCESS_FAIL, 0x100000, PAGE, 0x10000, 3, -EFAULT },
		{ VHOST_IOTLB_BATCH_BEGIN, 0, 0, 0, 0, -EFAULT },
		{ VHOST_IOTLB_BATCH_END, 0, 0, 0, 0, -EFAULT },
		{ 99, 0, PAGE, 0x10000, 3, -EFAULT },
		{ VHOST_IOTLB_INVALIDATE, 0x100000, 1ull << 41, 0, 0, 0 },
		{ VHOST_IOTLB_INVALIDATE, 0x900000, PAGE, 0, 0, 0 },
	};
	struct io io;
	unsigned int i;
	char byte[3] = { 1 };
	int ret;

	t_begin("messages that lie are refused, and hurt nobody");
	io_open(&io, F_V1 | F_MRG, true);
	io_iommu(&io, true);
	for (i = 0; i < ARRAY_SIZE(t); i++)
		if (!CHECK_EQ(io_message(&io, t[i].type, t[i].iova, t[i].size, t[i].user,
					 t[i].perm), t[i].want))
			t_diag("message %u", i);
	CHECK(write(io.node, byte, sizeof(byte)) < 0 && errno == EINVAL);
	/* Overlapping ones without number: the oldest go. */
	for (i = 0; i < 5000 && !t_errors(); i++)
		CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, 0x200000 + i * 64, PAGE, 0x10000, 3), 0);
	io_receive(&io, 4);
	io_send(&io, 4);
	if (!stock)	/* takes the empty range for something else */
		CHECK_EQ(io_message(&io, VHOST_IOTLB_INVALIDATE, 0x900000, 0, 0, 0), -EFAULT);
	/* All of it, which can't be said otherwise; stock refuses it from 7.3 on. */
	ret = io_message(&io, VHOST_IOTLB_INVALIDATE, 0, 0, 0, 0);
	CHECK(!ret || (stock && ret == -EFAULT));
	io_receive(&io, 4);
	io_send(&io, 4);
	io_close(&io);
	t_end();
}

/* Messages without ACCESS_PLATFORM, and an IOTLB that goes. */
static void without(void)
{
	struct vhost_iotlb_msg m;
	struct io io = { .v2 = true };

	t_begin("without ACCESS_PLATFORM there is nothing to update, nothing to read");
	io.node = node_open(node_path);
	MUST(!node_owner(io.node), "VHOST_SET_OWNER");
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, 0, PAGE, 0x10000, 3), -EFAULT);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_INVALIDATE, 0, PAGE, 0, 0), -EFAULT);
	CHECK_EQ(io_read(&io, &m), -EBADFD);
	CHECK_EQ(node_features(io.node, F_V1 | F_PLATFORM), 0);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_UPDATE, 0, PAGE, 0x10000, 3), 0);
	CHECK_EQ(node_call(io.node, VHOST_RESET_OWNER, NULL), 0);
	CHECK_EQ(node_owner(io.node), 0);
	close(io.node);
	t_end();
}

/* A ring of which no translation is known can't be started: -EFAULT. */
static void unknown(void)
{
	struct vhost_iotlb_msg m;
	struct io io;

	t_begin("a ring that can't be found isn't started; the owner hears which page");
	io_open(&io, F_V1 | F_MRG, true);
	CHECK_EQ(node_backend(io.node, Q_RX, -1), 0);
	CHECK_EQ(io_message(&io, VHOST_IOTLB_INVALIDATE, 0, IO_PAGES * PAGE, 0, 0), 0);
	drain(&io);
	CHECK_EQ(node_backend(io.node, Q_RX, io.tap.fd), -EFAULT);
	CHECK_EQ(io_read(&io, &m), 0);
	CHECK_EQ(m.type, VHOST_IOTLB_MISS);
	CHECK(m.iova < AT_RING);
	CHECK_EQ(io_start(&io, Q_RX), 0);
	io_iommu(&io, true);
	io_receive(&io, 4);
	io_close(&io);
	t_end();
}

/* Numbered pages, all of them the same one. */
static int tell_far(struct io *io, unsigned int n)
{
	return io_message(io, VHOST_IOTLB_UPDATE, AT_FAR + (uint64_t)n * PAGE, PAGE,
			  (uintptr_t)io->view + AT_RX, VHOST_ACCESS_RW);
}

/* Sends from the first of the far pages; CHECKs that it is asked for, or isn't, and arrives. */
static void send_far(struct io *io, bool asked)
{
	struct vhost_iotlb_msg m;
	uint8_t frame[2048];
	unsigned int i;
	size_t got = 0;

	memset(io->view + AT_RX, 0, HDR);
	frame_make(io->view + AT_RX + HDR, 300, ++io->seq);
	vq_offer(&io->q[Q_TX], AT_FAR, HDR + 300, 0);
	vq_kick(&io->q[Q_TX]);
	if (asked && CHECK_EQ(next_miss(io), AT_FAR / PAGE)) {
		CHECK_EQ(tap_take(&io->tap, frame, sizeof(frame), 30), 0);
		CHECK_EQ(tell_far(io, 0), 0);
	}
	/* That may have cost the ring's. */
	for (i = 0; i < 200 && !got; i++) {
		if (!io_read(io, &m)) {
			CHECK(asked && m.iova < IO_PAGES * PAGE);
			CHECK_EQ(io_tell_near(io), 0);
		}
		got = tap_take(&io->tap, frame, sizeof(frame), 20);
	}
	CHECK_EQ(got, 300);
	CHECK(frame_is(frame, 300, io->seq));
}

/* The frame's page is told first, the ring's second, then others up to the limit, and one more. */
static void oldest(bool stock)
{
	const char *path = stock ? "/sys/module/vhost/parameters/max_iotlb_entries" :
				   "/sys/module/vhost_direct/parameters/max_iotlb_entries";
	const struct vq_told told = io_told(Q_TX);
	FILE *f = fopen(path, "r");
	unsigned int most, n;
	struct io io;

	MUST(f && fscanf(f, "%u", &most) == 1, "%s", path);
	fclose(f);
	t_begin("the oldest translation goes for one more than max_iotlb_entries, and none before");
	io_device(&io, F_V1 | F_MRG, true);
	io.worker = worker_find(getpid());
	CHECK_EQ(tell_far(&io, 0), 0);
	CHECK_EQ(io_tell_near(&io), 0);
	CHECK_EQ(vq_setup(&io.q[Q_TX], io.node, &told), 0);
	CHECK_EQ(node_backend(io.node, Q_TX, io.tap.fd), 0);
	for (n = 2; n < most; n++)
		CHECK_EQ(tell_far(&io, n), 0);
	send_far(&io, false);
	io_rest(&io);
	CHECK_EQ(tell_far(&io, n), 0);
	send_far(&io, true);
	io_close(&io);
	t_end();
}

void iotlb_messages(bool stock, bool v2_alone)
{
	if (!v2_alone)
		padding(false);
	padding(true);
	oldest(stock);
	waiting();
	if (!stock)
		bounded();
	withdrawn();
	if (!stock)
		put_back();
	blocking(stock);
	denied();
	if (!stock) {
		iotlb_anew();
		iotlb_counts();
	}
	hostile(stock);
	without();
	unknown();
}

/* Flags and event index of either ring may be written without a change. */
static bool used_page(const struct io *io, unsigned int file_page)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (io->page[(AT_RING * (i / 2) + AT_USED) / PAGE + i % 2] == file_page)
			return true;
	return false;
}

/* What changed since @before is in the log, which begins at @first. */
static void compare(struct io *io, const uint8_t *log, uint64_t first, const uint8_t *before)
{
	unsigned int i, missing = 0, extra = 0, logged = 0;

	for (i = 0; i < FILE_PAGES; i++) {
		bool bit = log[first + i / 8] >> i % 8 & 1;
		bool changed = memcmp(before + i * PAGE, io_file(io, i), PAGE);

		logged += bit;
		missing += changed && !bit;
		if (bit && !changed && !used_page(io, i) && !extra++)
			t_diag("page %u of the file is logged and didn't change", i);
	}
	for (i = 0; i < first; i++)
		if (!CHECK_EQ(log[i], 0))
			break;
	CHECK_EQ(missing, 0);
	/* Stock marks each piece of a buffer as if the frame began there. */
	if (!io->stock)
		CHECK_EQ(extra, 0);
	CHECK(logged >= 20);
}

static void log_on(struct io *io, uint8_t *log)
{
	uint64_t base = (uintptr_t)log;
	unsigned int i;

	CHECK_EQ(node_call(io->node, VHOST_SET_LOG_BASE, &base), 0);
	CHECK_EQ(node_features(io->node, io->features | F_LOG), 0);
	for (i = 0; i < 2; i++) {
		uint64_t ring = AT_RING * i;
		/* A log address that makes no sense: with an IOTLB it isn't used. */
		const struct vq_told told = { ring + AT_DESC, ring + AT_AVAIL, ring + AT_USED,
					      0x1000, 1 };

		CHECK_EQ(vq_told(&io->q[i], io->node, &told), 0);
	}
}

/*
 * The log is of guest-physical pages, whatever the device calls them. The
 * driver's own writes come before the copy.
 */
void iotlb_log(uint64_t features, const char *kind)
{
	uint64_t first = GPA_FILE / PAGE / 8, log_len = first + FILE_PAGES / 8 + PAGE;
	uint8_t *log, *before = malloc(FILE_PAGES * PAGE), frame[3000];
	struct io io;
	unsigned int i;

	t_begin("%s: the dirty log has guest-physical pages", kind);
	log = mmap(NULL, log_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(before && log != MAP_FAILED, "memory");
	io_open(&io, features, true);
	io_iommu(&io, true);
	io_receive(&io, RX_BUFS);
	log_on(&io, log);
	for (i = 0; i < 20; i++)
		vq_offer(&io.q[Q_RX], AT_RX + io.rx_offered++ % RX_BUFS * RX_SIZE, RX_SIZE,
			 VRING_DESC_F_WRITE);
	io_rest(&io);
	memcpy(before, io.file, FILE_PAGES * PAGE);
	memset(log, 0, log_len);
	vq_kick(&io.q[Q_RX]);
	for (i = 0; i < 20; i++) {
		frame_make(frame, sizeof(frame), ++io.seq + 5);
		CHECK(tap_feed(&io.tap, frame, sizeof(frame)));
	}
	CHECK(vq_wait(&io.q[Q_RX], io.rx_offered, 2 * WAIT_MS));
	io_rest(&io);
	compare(&io, log, first, before);
	io_close(&io);
	munmap(log, log_len);
	free(before);
	t_end();
}

// SPDX-License-Identifier: GPL-2.0-only
/* iotlb: memory in two orders, an IOMMU that answers, frames both ways. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iotlb.h"

uint8_t *io_file(struct io *io, unsigned int file_page)
{
	return io->file + file_page * PAGE;
}

/* Shows @file_page to the driver at @io_page. */
static void show(struct io *io, unsigned int io_page, unsigned int file_page)
{
	void *at = io->view + io_page * PAGE;

	MUST(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, io->memfd,
		  file_page * PAGE) == at, "mmap");
	io->page[io_page] = file_page;
	io->taken[file_page] = true;
}

static void memory(struct io *io)
{
	unsigned int i;

	io->memfd = memfd_create("guest", MFD_CLOEXEC);
	MUST(io->memfd >= 0, "memfd");
	MUST(!ftruncate(io->memfd, FILE_PAGES * PAGE), "ftruncate");
	io->file = mmap(NULL, FILE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, io->memfd, 0);
	io->view = mmap(NULL, IO_PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(io->file != MAP_FAILED && io->view != MAP_FAILED, "mmap");
	for (i = 0; i < IO_PAGES; i++) {
		/* 77 has no factor in common with the number: each page once. */
		show(io, i, (i * 77 + 5) % FILE_PAGES);
		io->perm[i] = VHOST_ACCESS_RW;
	}
}

int io_message(struct io *io, uint8_t type, uint64_t iova, uint64_t size, uint64_t user,
	       uint8_t perm)
{
	const struct vhost_iotlb_msg m = { iova, size, user, perm, type };
	struct vhost_msg one = { .type = VHOST_IOTLB_MSG, .iotlb = m };
	struct vhost_msg_v2 two = { .type = VHOST_IOTLB_MSG_V2, .iotlb = m };
	ssize_t len = io->v2 ? sizeof(two) : sizeof(one);
	ssize_t ret = write(io->node, io->v2 ? (void *)&two : (void *)&one, len);

	return ret < 0 ? -errno : ret == len ? 0 : -EIO;
}

int io_answer(struct io *io, uint64_t iova)
{
	unsigned int page = iova / PAGE;

	if (page >= IO_PAGES || !io->perm[page])
		return -ENOENT;
	return io_message(io, VHOST_IOTLB_UPDATE, page * PAGE, PAGE,
			  (uintptr_t)io_file(io, io->page[page]), io->perm[page]);
}

int io_tell_near(struct io *io)
{
	return io_message(io, VHOST_IOTLB_UPDATE, 0, IO_PAGES * PAGE, (uintptr_t)io->view,
			  VHOST_ACCESS_RW);
}

int io_read(struct io *io, struct vhost_iotlb_msg *m)
{
	union {
		struct vhost_msg one;
		struct vhost_msg_v2 two;
	} u;
	ssize_t ret;

	memset(&u, 0xaa, sizeof(u));
	ret = read(io->node, &u, sizeof(u));
	if (ret < 0)
		return -errno;
	CHECK_EQ(ret, io->v2 ? sizeof(u.two) : sizeof(u.one));
	CHECK_EQ(u.one.type, io->v2 ? VHOST_IOTLB_MSG_V2 : VHOST_IOTLB_MSG);
	*m = io->v2 ? u.two.iotlb : u.one.iotlb;
	return 0;
}

static void *iommu(void *arg)
{
	struct io *io = arg;

	while (!atomic_load(&io->stop)) {
		struct pollfd p = { .fd = io->node, .events = POLLIN };
		struct vhost_iotlb_msg m;

		if (poll(&p, 1, 20) != 1 || io_read(io, &m))
			continue;
		CHECK_EQ(m.type, VHOST_IOTLB_MISS);
		pthread_mutex_lock(&io->lock);
		if (!io_answer(io, m.iova))
			atomic_fetch_add(&io->answers, 1);
		pthread_mutex_unlock(&io->lock);
	}
	return NULL;
}

void io_iommu(struct io *io, bool on)
{
	if (on == io->iommu_runs)
		return;
	io->iommu_runs = on;
	atomic_store(&io->stop, !on);
	if (on)
		MUST(!pthread_create(&io->iommu, NULL, iommu, io), "thread");
	else
		pthread_join(io->iommu, NULL);
}

int io_start(struct io *io, unsigned int i)
{
	/* As QEMU does: where the used ring begins, of the ring no more. */
	io_answer(io, AT_RING * i + AT_USED);
	return node_backend(io->node, i, io->tap.fd);
}

void io_tell_ring(struct io *io, unsigned int i)
{
	io_answer(io, AT_RING * i + AT_USED + PAGE);
	io_answer(io, AT_RING * i + AT_DESC);
	io_answer(io, AT_RING * i + AT_DESC + PAGE);
	io_answer(io, AT_RING * i + AT_AVAIL);
}

void io_prepare(struct io *io, uint64_t features, bool v2)
{
	unsigned int i;

	memset(io, 0, sizeof(*io));
	pthread_mutex_init(&io->lock, NULL);
	io->features = features | F_PLATFORM;
	io->v2 = v2;
	io->stock = !strcmp(node_path, "/dev/vhost-net");
	memory(io);
	tap_open(&io->tap, HDR, true);
	for (i = 0; i < 2; i++)
		vq_init(&io->q[i], i, features, io->view + AT_RING * i + AT_DESC,
			io->view + AT_RING * i + AT_AVAIL, io->view + AT_RING * i + AT_USED);
}

int io_kind(struct io *io)
{
	uint64_t backend = io->v2 ? 1ull << VHOST_BACKEND_F_IOTLB_MSG_V2 : 0;

	return node_call(io->node, VHOST_SET_BACKEND_FEATURES, &backend);
}

int io_table(struct io *io)
{
	struct node_region r = { GPA_FILE, FILE_PAGES * PAGE, (uintptr_t)io->file };

	return node_table(io->node, &r, 1);
}

struct vq_told io_told(unsigned int i)
{
	uint64_t ring = AT_RING * i;

	return (struct vq_told){ ring + AT_DESC, ring + AT_AVAIL, ring + AT_USED };
}

bool io_direct(const struct io *io)
{
	const char *metadata = getenv("VD_METADATA");

	return !io->stock && metadata && !strcmp(metadata, "direct");
}

void io_device(struct io *io, uint64_t features, bool v2)
{
	io_prepare(io, features, v2);
	io->node = node_open(node_path);
	MUST(!fcntl(io->node, F_SETFL, O_NONBLOCK), "fcntl");
	MUST(!node_owner(io->node), "VHOST_SET_OWNER");
	CHECK_EQ(io_kind(io), 0);
	CHECK_EQ(node_features(io->node, io->features), 0);
	CHECK_EQ(io_table(io), 0);
}

void io_open(struct io *io, uint64_t features, bool v2)
{
	unsigned int i;

	io_device(io, features, v2);
	for (i = 0; i < 2; i++) {
		const struct vq_told told = io_told(i);

		CHECK_EQ(vq_setup(&io->q[i], io->node, &told), 0);
		CHECK_EQ(io_start(io, i), 0);
	}
	io->worker = worker_find(getpid());
}

void io_close(struct io *io)
{
	unsigned int i;

	io_iommu(io, false);
	for (i = 0; i < 2; i++)
		vq_close(&io->q[i]);
	close(io->node);
	tap_close(&io->tap);
	munmap(io->file, FILE_PAGES * PAGE);
	munmap(io->view, IO_PAGES * PAGE);
	close(io->memfd);
}

unsigned int io_move(struct io *io, unsigned int io_page)
{
	unsigned int old = io->page[io_page], new = rand() % FILE_PAGES;

	pthread_mutex_lock(&io->lock);
	while (io->taken[new])
		new = (new + 1) % FILE_PAGES;
	CHECK_EQ(io_message(io, VHOST_IOTLB_INVALIDATE, io_page * PAGE, PAGE, 0, 0), 0);
	/* Not the device's any more: what it still wrote would show. */
	memcpy(io_file(io, new), io_file(io, old), PAGE);
	show(io, io_page, new);
	memset(io_file(io, old), POISON, PAGE);
	pthread_mutex_unlock(&io->lock);
	return old;
}

void io_release(struct io *io, unsigned int file_page)
{
	const uint8_t *p = io_file(io, file_page);
	unsigned int i, bad = 0;

	for (i = 0; i < PAGE; i++)
		bad += p[i] != POISON;
	if (!CHECK_EQ(bad, 0))
		t_diag("written after its invalidation: page %u", file_page);
	io->taken[file_page] = false;
}

void io_rest(struct io *io)
{
	worker_rest(io->worker);
}

void io_receive(struct io *io, unsigned int frames)
{
	uint32_t at = io->rx_offered, seq = io->seq;
	uint8_t frame[RX_SIZE];
	unsigned int i, len;

	for (i = 0; i < frames; i++)
		vq_offer(&io->q[Q_RX], AT_RX + io->rx_offered++ % RX_BUFS * RX_SIZE, RX_SIZE,
			 VRING_DESC_F_WRITE);
	vq_kick(&io->q[Q_RX]);
	for (i = 0; i < frames; i++) {
		len = 60 + (io->seq + 1) * 997 % 4800;
		frame_make(frame, len, ++io->seq);
		CHECK(tap_feed(&io->tap, frame, len));
	}
	if (!CHECK(vq_wait(&io->q[Q_RX], io->rx_offered, 20 * WAIT_MS)))
		return;
	for (i = 0; i < frames; i++) {
		len = 60 + ++seq * 997 % 4800;
		CHECK(frame_is(io->view + AT_RX + at++ % RX_BUFS * RX_SIZE + HDR, len, seq));
	}
}

void io_send(struct io *io, unsigned int frames)
{
	uint32_t seq = io->seq;
	uint8_t frame[2048];
	unsigned int i;

	for (i = 0; i < frames; i++) {
		uint64_t off = AT_TX + io->tx_sent++ % TX_BUFS * 512;

		memset(io->view + off, 0, HDR);
		frame_make(io->view + off + HDR, 300, ++io->seq);
		vq_offer(&io->q[Q_TX], off, HDR + 300, 0);
	}
	vq_kick(&io->q[Q_TX]);
	for (i = 0; i < frames; i++) {
		CHECK_EQ(tap_take(&io->tap, frame, sizeof(frame), 20 * WAIT_MS), 300);
		CHECK(frame_is(frame, 300, ++seq));
	}
	CHECK(vq_wait(&io->q[Q_TX], io->tx_sent, 20 * WAIT_MS));
}

bool io_mapped(struct io *io)
{
	uint64_t user, direct;
	unsigned int i;

	for (i = 0; i < 200; i++) {
		io_rest(io);
		user = node_stat(io->node, Q_TX, "bursts_user");
		direct = node_stat(io->node, Q_TX, "bursts_direct");
		io_send(io, 1);
		io_rest(io);
		if (node_stat(io->node, Q_TX, "bursts_user") == user &&
		    node_stat(io->node, Q_TX, "bursts_direct") > direct)
			return true;
		sleep_ms(5);
	}
	return false;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * iotlb: the age of a ring whose pieces lie far apart. The range between its first and its
 * last page has millions of them, and who asks for all holds a lock of the kernel's: it must
 * be told at once, of each page of the ring and of no other.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iotlb.h"

#define ASK		"/sys/module/vd_ask/parameters/"
#define APART		(256ull << 30)
/* To look at each of those pages takes seconds where VMs are emulated, at 64 of them nothing. */
#define AT_ONCE_NS	(100 * NS_PER_MS)
#define TRIES		5
#define RING_PAGE	(AT_RING / PAGE)
#define RING_PAGES	((AT_USED + VQ_USED_BYTES) / PAGE + 1)

static bool ask(const char *how, const void *at, uint64_t bytes)
{
	char path[64], text[64], answer = 0;
	int fd;

	snprintf(path, sizeof(path), ASK "%s", how);
	snprintf(text, sizeof(text), "%lu %llu", (unsigned long)at, (unsigned long long)bytes);
	fd = open(path, O_RDWR | O_CLOEXEC);
	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
	MUST(pread(fd, &answer, 1, 0) == 1, "%s", path);
	close(fd);
	return answer == '1';
}

/* The descriptors' second page as the device is told of it: far before all others. */
static uint8_t *lay_apart(struct io *io)
{
	const unsigned int second = RING_PAGE + AT_DESC / PAGE + 1;
	uint8_t *far = mmap(io->view - APART, PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED_NOREPLACE, io->memfd, io->page[second] * PAGE);

	MUST(far == io->view - APART, "mmap");
	CHECK_EQ(io_message(io, VHOST_IOTLB_UPDATE, second * PAGE, PAGE, (uintptr_t)far,
			    VHOST_ACCESS_RW), 0);
	return far;
}

/* All of the ring is asked for until the answer comes at once. */
static void told_at_once(struct io *io, const uint8_t *far)
{
	const uint64_t bytes = io->view + IO_PAGES * PAGE - far;
	uint64_t took = 0;
	unsigned int i;

	for (i = 0; i < TRIES; i++) {
		io_send(io, 1);
		io_rest(io);
		took = now_ns();
		CHECK(ask("clear", far, bytes));
		took = now_ns() - took;
		if (took < AT_ONCE_NS)
			break;
	}
	if (!CHECK(i < TRIES))
		t_diag("the age of %llu pages took %llu ms", (unsigned long long)(bytes / PAGE),
		       (unsigned long long)(took / NS_PER_MS));
	CHECK(!ask("clear", far, bytes));
}

static unsigned int young_pages(struct io *io, const uint8_t *far)
{
	unsigned int i, young = ask("test", far, PAGE);

	for (i = 0; i < RING_PAGES; i++)
		young += ask("test", io->view + (RING_PAGE + i) * PAGE, PAGE);
	return young;
}

/* Memory between the pieces is the guest's own: a busy ring keeps none of it. */
static void not_of_others(struct io *io, const uint8_t *far)
{
	CHECK(!ask("test", io->view - APART / 2, PAGE));
	CHECK(!ask("clear", io->view - APART / 2, PAGE));
	CHECK(!ask("test", far - PAGE, PAGE));
	CHECK(!ask("test", far + PAGE, PAGE));
	CHECK(!ask("clear", far + PAGE, io->view - far - PAGE));
}

/* Each page of the ring says what happened since it was asked for itself. */
static void told_of_each(struct io *io, const uint8_t *far)
{
	CHECK_EQ(young_pages(io, far), 0);
	io_send(io, 1);
	io_rest(io);
	not_of_others(io, far);
	/* One of them isn't where the others are. */
	CHECK(!ask("test", io->view + (RING_PAGE + AT_DESC / PAGE + 1) * PAGE, PAGE));
	CHECK_EQ(young_pages(io, far), RING_PAGES);
	CHECK(ask("clear", far, PAGE));
	CHECK_EQ(young_pages(io, far), RING_PAGES - 1);
}

/* What happens to memory that has nothing of the ring but lies between its pieces. */
static void untouched(struct io *io)
{
	const uint64_t hits = node_stat(io->node, Q_TX, "inval_hit");
	const uint64_t missed = node_stat(io->node, Q_TX, "inval_missed");
	uint8_t *page = mmap(io->view - APART / 2, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	MUST(page == io->view - APART / 2, "mmap");
	CHECK(io_mapped(io));
	*page = 1;
	CHECK_EQ(madvise(page, PAGE, MADV_DONTNEED), 0);
	munmap(page, PAGE);
	CHECK_EQ(node_stat(io->node, Q_TX, "inval_hit"), hits);
	CHECK_EQ(node_stat(io->node, Q_TX, "inval_missed"), missed);
}

void iotlb_age(void)
{
	const struct vq_told told = io_told(Q_TX);
	uint8_t *far;
	struct io io;

	io_device(&io, F_V1 | F_MRG, true);
	if (!io_direct(&io)) {
		io_close(&io);
		return;
	}
	t_begin("a ring with a page far from the rest: its age is told at once, and of each page");
	if (access(ASK "clear", W_OK)) {
		t_skip("the module vd_ask isn't loaded: nobody can ask as DAMON does");
	} else {
		io.worker = worker_find(getpid());
		CHECK_EQ(io_tell_near(&io), 0);
		far = lay_apart(&io);
		CHECK_EQ(vq_setup(&io.q[Q_TX], io.node, &told), 0);
		CHECK_EQ(node_backend(io.node, Q_TX, io.tap.fd), 0);
		if (CHECK(io_mapped(&io))) {
			told_at_once(&io, far);
			told_of_each(&io, far);
			untouched(&io);
		}
		munmap(far, PAGE);
	}
	io_close(&io);
	t_end();
}

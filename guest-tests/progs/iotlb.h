/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * iotlb: a guest behind a vIOMMU. The program is driver, owner and IOMMU.
 *
 * Memory is a memfd, mapped twice: once in the order of the file, which is what
 * the device is told of, and once, for the driver, in the order of the guest's
 * I/O addresses (GIOVA), which is another, page by page.
 */
#ifndef GT_IOTLB_H
#define GT_IOTLB_H

#include <pthread.h>
#include <stdatomic.h>

#include "node.h"
#include "proc.h"
#include "rig.h"
#include "tap.h"
#include "test.h"
#include "vq.h"

#define IO_PAGES	128u		/* of GIOVA, from 0 on */
#define FILE_PAGES	(2 * IO_PAGES)
#define GPA_FILE	0x340000000ull
#define HDR		12

/* GIOVA of what is where; the first ring's descriptors are at 0. */
#define AT_RING		0x8000ul
#define AT_DESC		0x0000ul
#define AT_AVAIL	0x2100ul
#define AT_USED		0x3ff4ul
#define AT_TX		0x18fa0ul	/* frames across a page's end */
#define TX_BUFS		8u
#define AT_RX		0x20000ul
#define RX_SIZE		5000u
#define RX_BUFS		64u
/* Beyond the guest's pages. */
#define AT_FAR		0x10000000ull

/**
 * struct io - device, memory, IOMMU
 * @file: all memory, in the order of the file
 * @view: the same as the driver sees it
 * @page: of each GIOVA page, its page of the file
 * @perm: what the IOMMU allows there; 0 isn't translated at all
 * @taken: pages of the file in use
 * @lock: of the three
 * @answers: translations given
 * @v2: messages are of the second kind
 */
struct io {
	int node;
	int memfd;
	uint64_t features;
	struct tap tap;
	struct vq q[2];
	uint8_t *file;
	uint8_t *view;
	unsigned int page[IO_PAGES];
	uint8_t perm[IO_PAGES];
	bool taken[FILE_PAGES];
	pthread_mutex_t lock;
	pthread_t iommu;
	bool iommu_runs;
	atomic_bool stop;
	atomic_uint answers;
	bool v2;
	bool stock;
	pid_t worker;
	uint32_t seq;
	uint32_t rx_offered;
	uint32_t tx_sent;
};

extern const char *node_path;

void io_open(struct io *io, uint64_t features, bool v2);
/* The same without its queues. */
void io_device(struct io *io, uint64_t features, bool v2);
/* Are ours read through windows here? */
bool io_direct(const struct io *io);
/* Its parts: all but the device; then calls that return 0 or -errno. */
void io_prepare(struct io *io, uint64_t features, bool v2);
int io_kind(struct io *io);
int io_table(struct io *io);
struct vq_told io_told(unsigned int i);
void io_close(struct io *io);
/* The IOMMU begins, or ceases, to answer. */
void io_iommu(struct io *io, bool on);
/* A message; 0 or -errno. */
int io_message(struct io *io, uint8_t type, uint64_t iova, uint64_t size, uint64_t user,
	       uint8_t perm);
int io_answer(struct io *io, uint64_t iova);
/* All of the guest's pages, in one translation, as the driver sees them. */
int io_tell_near(struct io *io);
/* Reads a message if there is one; 0 or -errno. */
int io_read(struct io *io, struct vhost_iotlb_msg *m);
/* Takes a page away from the device and gives it another; returns the old. */
unsigned int io_move(struct io *io, unsigned int io_page);
void io_release(struct io *io, unsigned int file_page);
uint8_t *io_file(struct io *io, unsigned int file_page);
void io_rest(struct io *io);
/* Sends until a frame went by windows alone, so that all of them are mapped. */
bool io_mapped(struct io *io);
int io_start(struct io *io, unsigned int q);
/* The rest of the ring, which QEMU tells only when it is asked. */
void io_tell_ring(struct io *io, unsigned int i);

/* One frame each way, contents checked. */
void io_receive(struct io *io, unsigned int frames);
void io_send(struct io *io, unsigned int frames);

/* @v2_alone: no messages of the first kind, which a 32-bit program has otherwise. */
void iotlb_messages(bool stock, bool v2_alone);
void iotlb_anew(void);
void iotlb_counts(void);
void iotlb_places(void);
void iotlb_age(void);
/* What there is with a parameter that allows no translation. */
void iotlb_none(void);
void iotlb_log(uint64_t features, const char *kind);

#endif /* GT_IOTLB_H */

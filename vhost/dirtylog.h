/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dirty log: which pages of guest memory the device has written.
 *
 * What a queue wrote to its ring is noted page by page while it writes, in any
 * context, and put into the owner's bitmap afterwards.
 */
#ifndef VD_DIRTYLOG_H
#define VD_DIRTYLOG_H

#include <linux/bitmap.h>
#include <linux/types.h>
#include <linux/vhost.h>

#include "../virtio/ring.h"

struct eventfd_ctx;
struct iovec;
struct vd_dev;
struct vd_memtable;
struct vd_virtqueue;

/* Pages of the largest part of a ring, wherever in a page it begins. */
#define VD_LOG_NOTES	(32768 * 16 / VHOST_PAGE_SIZE + 2)

/* The parts that a device writes: descriptors of a packed ring, and used. */
enum { VD_LOG_DESC, VD_LOG_USED, VD_LOG_PARTS };

/**
 * struct vd_log - what a virtqueue has to do with the log
 * @base: where the bitmap begins in the owner's memory
 * @ring: writes to the ring are logged (VHOST_VRING_F_LOG)
 * @used_addr: guest-physical address of the used part, if there is no IOTLB
 * @direct: the access under way goes through windows
 * @ctx: signalled after something was logged
 * @noted: pages of each part that were written and aren't logged yet
 * @seg: guest memory of the frame under way; NULL when data isn't logged
 * @nsegs: how many
 */
struct vd_log {
	unsigned long base;
	bool ring;
	bool direct;
	u64 used_addr;
	struct eventfd_ctx *ctx;
	DECLARE_BITMAP(noted[VD_LOG_PARTS], VD_LOG_NOTES);
	struct vd_seg *seg;
	unsigned int nsegs;
};

bool vd_log_table_ok(unsigned long base, const struct vd_memtable *mem);
bool vd_log_used_ok(const struct vd_virtqueue *vq, unsigned long base, bool on,
		    u64 addr);
bool vd_log_ok(const struct vd_virtqueue *vq);
long vd_log_set_base(struct vd_dev *dev, void __user *arg);
long vd_log_set_fd(struct vd_dev *dev, void __user *arg);
int vd_log_prepare(struct vd_virtqueue *vq, u64 features);
void vd_log_release(struct vd_virtqueue *vq);
void vd_log_note(struct vd_virtqueue *vq, enum vd_part part, u32 off, u32 len);
void vd_log_ring(struct vd_virtqueue *vq);
void vd_log_head(struct vd_virtqueue *vq, u32 len);
void vd_log_take(struct vd_virtqueue *vq, const struct vd_seg *seg,
		 unsigned int nsegs);
void vd_log_data(struct vd_virtqueue *vq, const struct iovec *iov,
		 unsigned int niov, u64 len);

#endif /* VD_DIRTYLOG_H */

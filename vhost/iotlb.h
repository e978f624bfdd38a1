/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device IOTLB: guest I/O virtual addresses (GIOVA) to user addresses, as
 * the owner tells on request, and rings that are found through it.
 */
#ifndef VD_IOTLB_H
#define VD_IOTLB_H

#include <linux/poll.h>
#include <linux/types.h>
#include <linux/uio.h>
#include <linux/vhost_iotlb.h>

#include "../virtio/ring.h"
#include "window.h"

struct vd_dev;
struct vd_virtqueue;

/* Backend features that the core serves. */
#define VD_BACKEND_FEATURES	BIT_ULL(VHOST_BACKEND_F_IOTLB_MSG_V2)

/* Bytes at the head of the used part, in either kind of ring: flags, index. */
#define VD_USED_HEAD	(2 * sizeof(u16))

enum vd_miss_state {
	VD_MISS_NONE,
	VD_MISS_NEW,		/* the owner hasn't read it */
	VD_MISS_TOLD,		/* it has, and the queue waits for the answer */
};

/* The translation that a queue waits for: one at a time. */
struct vd_miss {
	u64 iova;
	u8 perm;
	u8 state;
};

/* Where a part of a ring lies in user memory, in order of @off. */
struct vd_pieces {
	struct vd_piece *piece;
	u32 count;
};

/**
 * struct vd_giova - a virtqueue's side of the IOTLB
 * @iotlb: the device's, NULL without ACCESS_PLATFORM
 * @map: last hit in it
 * @part: where each part of the ring lies
 * @found: @part and the user addresses of the virtqueue are right
 * @scattered: some part lies in several pieces: vq->part is of no use
 * @missed: a translation was missing
 * @denied: where in the ring the access that it needs was last found forbidden
 * @miss: which; guarded by the device's miss lock, not by the queue's mutex
 */
struct vd_giova {
	struct vhost_iotlb *iotlb;
	const struct vhost_iotlb_map *map;
	struct vd_pieces part[VD_PARTS];
	bool found;
	bool scattered;
	bool missed;
	u64 denied;
	struct vd_miss miss;
};

/* iotlb.c */
bool vd_iotlb_allowed(void);
int vd_iotlb_start(struct vd_dev *dev);
void vd_iotlb_stop(struct vd_dev *dev);
bool vd_iotlb_miss(struct vd_virtqueue *vq, u64 iova, unsigned int perm,
		   bool tell);
void vd_iotlb_withdraw(struct vd_virtqueue *vq);
ssize_t vd_iotlb_read(struct vd_dev *dev, struct iov_iter *to, bool noblock);
ssize_t vd_iotlb_write(struct vd_dev *dev, struct iov_iter *from);
__poll_t vd_iotlb_poll(struct file *file, struct vd_dev *dev,
		       poll_table *wait);

/* giova.c */
int vd_giova_translate(struct vd_virtqueue *vq, const struct vd_seg *seg,
		       unsigned int nsegs, struct iovec *iov,
		       unsigned int room, unsigned int access);
bool vd_giova_find_ring(struct vd_virtqueue *vq);
int vd_giova_find_head(struct vd_virtqueue *vq);
void vd_giova_forget(struct vd_virtqueue *vq);
void vd_giova_changed(struct vd_virtqueue *vq, u64 first, u64 last);
const struct vd_piece *vd_giova_piece(const struct vd_virtqueue *vq,
				      enum vd_part part, u32 off);
int vd_giova_in(const struct vd_virtqueue *vq, enum vd_part part, u32 off,
		void *to, u32 len);
int vd_giova_out(const struct vd_virtqueue *vq, enum vd_part part, u32 off,
		 const void *from, u32 len);

#endif /* VD_IOTLB_H */

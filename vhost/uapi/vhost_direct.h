/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * vhost-direct's own ioctls, beside those of <linux/vhost.h>.
 *
 * They have a magic of their own, so that upstream may number its as it
 * likes. A program that meets ENOTTY is talking to stock vhost-net.
 */
#ifndef VHOST_DIRECT_UAPI_H
#define VHOST_DIRECT_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VD_IOCTL_MAGIC	0xd7
#define VD_STAT_NAME	32

/**
 * struct vd_stat - one statistic
 * @name: NUL-terminated, stable over versions
 * @value: a counter since the device was opened or reset
 */
struct vd_stat {
	char name[VD_STAT_NAME];
	__u64 value;
};

/**
 * struct vd_stats - a virtqueue's statistics
 * @index: in: the virtqueue
 * @count: in: room in @entry; out: statistics there are. If that is more
 *         than the room, as many as fit were copied.
 * @entry: out: the statistics
 */
struct vd_stats {
	__u32 index;
	__u32 count;
	struct vd_stat entry[];
};

/* Errors: EPERM not the owner, ENOBUFS no such virtqueue, EFAULT. */
#define VD_GET_STATS	_IOWR(VD_IOCTL_MAGIC, 0x01, struct vd_stats)

#endif /* VHOST_DIRECT_UAPI_H */

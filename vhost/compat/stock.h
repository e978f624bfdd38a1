/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the vhost_net of the kernel we are built for doesn't offer and we do. A
 * guest that has accepted one of these can't migrate to it.
 */
#ifndef VD_COMPAT_STOCK_H
#define VD_COMPAT_STOCK_H

#include <linux/bits.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#define VD_BEYOND_STOCK	(BIT_ULL(VIRTIO_F_RING_PACKED) |		\
			 BIT_ULL(VIRTIO_F_IN_ORDER) |			\
			 BIT_ULL(VIRTIO_F_RING_RESET))
#elif LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
#define VD_BEYOND_STOCK	(BIT_ULL(VIRTIO_F_RING_PACKED) |		\
			 BIT_ULL(VIRTIO_F_IN_ORDER))
#else
#define VD_BEYOND_STOCK	BIT_ULL(VIRTIO_F_RING_PACKED)
#endif

#endif /* VD_COMPAT_STOCK_H */

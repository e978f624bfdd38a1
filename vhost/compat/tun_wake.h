/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking frames from a tap that holds its senders back.
 *
 * With IFF_BACKPRESSURE, since 7.3, a tap whose ring is full stops its queue
 * instead of dropping, and whoever takes frames from the ring wakes it, under
 * the ring's consumer_lock. Without that call all compiles, and the queue of
 * such a tap stops for good when its ring has been full once.
 */
#ifndef VD_COMPAT_TUN_WAKE_H
#define VD_COMPAT_TUN_WAKE_H

#include <linux/if_tun.h>
#include <linux/ptr_ring.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 3, 0)
static inline int vd_tun_consume(struct file *file, struct ptr_ring *ring,
				 void **frames, int max)
{
	return ptr_ring_consume_batched(ring, frames, max);
}
#else
static inline int vd_tun_consume(struct file *file, struct ptr_ring *ring,
				 void **frames, int max)
{
	int n;

	spin_lock(&ring->consumer_lock);
	n = __ptr_ring_consume_batched(ring, frames, max);
	if (n)
		tun_wake_queue(file, n);
	spin_unlock(&ring->consumer_lock);
	return n;
}
#endif

#endif /* VD_COMPAT_TUN_WAKE_H */

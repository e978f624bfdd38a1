/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whom the network tells that it is done with a frame's pages. Up to 6.9 the
 * function stands in struct ubuf_info itself, then in a table of operations.
 */
#ifndef VD_COMPAT_UBUF_H
#define VD_COMPAT_UBUF_H

#include <linux/refcount.h>
#include <linux/skbuff.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
struct ubuf_info_ops {
	void (*complete)(struct sk_buff *skb, struct ubuf_info *ubuf,
			 bool success);
};

static inline void vd_ubuf_tell(struct ubuf_info *ubuf,
				const struct ubuf_info_ops *ops)
{
	ubuf->callback = ops->complete;
}
#else
static inline void vd_ubuf_tell(struct ubuf_info *ubuf,
				const struct ubuf_info_ops *ops)
{
	ubuf->ops = ops;
}
#endif

#endif /* VD_COMPAT_UBUF_H */

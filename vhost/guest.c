// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory: from guest-physical to user addresses, and indirect tables. */
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "../virtio/ring_desc.h"
#include "dev.h"

/**
 * vd_vq_translate_all - vd_vq_translate() for any segments
 * @vq: the virtqueue
 * @seg: guest-physical segments
 * @nsegs: how many
 * @iov: receives the user-memory segments
 * @room: of @iov
 * @access: VHOST_ACCESS_RO or VHOST_ACCESS_WO, for an IOTLB
 *
 * Return: as vd_vq_translate(). Context: as vd_vq_translate().
 */
int vd_vq_translate_all(struct vd_virtqueue *vq, const struct vd_seg *seg,
			unsigned int nsegs, struct iovec *iov,
			unsigned int room, unsigned int access)
{
	unsigned int n = 0, i;

	if (vq->giova.iotlb)
		return vd_giova_translate(vq, seg, nsegs, iov, room, access);
	for (i = 0; i < nsegs; i++) {
		u64 addr = seg[i].addr, left = seg[i].len;

		while (left) {
			const struct vd_region *r;
			u64 part;

			r = vd_memtable_find(vq->mem, &vq->region, addr);
			if (unlikely(!r))
				return -VD_BAD_BUFFER;
			if (unlikely(n == room))
				return -VD_BURST_FULL;
			/* r->last - addr + 1 may be 2^64: compare without. */
			part = r->last - addr >= left ? left :
			       min(left, r->last - addr + 1);
			iov[n].iov_base = (void __user *)(unsigned long)
					  (r->uaddr + (addr - r->start));
			iov[n++].iov_len = part;
			left -= part;
			addr += part;
			/* A buffer may end at 2^64, not go on behind it. */
			if (unlikely(left && !addr))
				return -VD_BAD_BUFFER;
		}
	}
	return n;
}
EXPORT_SYMBOL_GPL(vd_vq_translate_all);

static int vd_table_read(void *ctx, u64 gpa, void *dst, u32 len)
{
	struct vd_seg seg = { .addr = gpa, .len = len };
	struct vd_virtqueue *vq = ctx;
	/* Behind the burst's: not on the stack, which would be filled with zeros. */
	struct iovec *iov = vq->iov + VD_IOV;
	int i, n;

	n = vd_vq_translate(vq, &seg, 1, iov, VD_TABLE_IOV, VHOST_ACCESS_RO);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		if (copy_from_user(dst, iov[i].iov_base, iov[i].iov_len))
			return -VD_FAULT;
		dst += iov[i].iov_len;
	}
	return 0;
}

/**
 * vd_vq_expand - read the indirect table of a chain
 * @vq: the virtqueue, whose @burst holds the chain
 * @c: the chain; afterwards its segments are in vq->xseg
 *
 * Return: 0 or minus a reason, -VD_MISS among them. Context: worker, queue
 * mutex; may sleep.
 */
int vd_vq_expand(struct vd_virtqueue *vq, struct vd_chain *c)
{
	const struct vd_table_io io = { .read = vd_table_read, .ctx = vq };
	int err;

	vq->giova.missed = false;
	/* A driver's tables may be as long, and as many, as it likes. */
	cond_resched();
	err = vd_chain_expand(&vq->ring, c, vq->burst, vq->xseg, &io);
	return unlikely(err && vq->giova.missed) ? -VD_MISS : err;
}
EXPORT_SYMBOL_GPL(vd_vq_expand);

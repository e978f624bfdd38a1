// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dirty log (VHOST_SET_LOG_BASE): a bitmap in the owner's memory, a bit for
 * each page of guest memory, set by us, fetched and cleared by the owner.
 *
 * Bits are set with an atomic operation on user memory, as futexes know it. So
 * no page has to be looked up, pinned or marked dirty: the processor does with
 * the page tables what it does for a store of the owner's own, be the bitmap
 * shared, swapped out, copied on write by a fork or write-protected by
 * userfaultfd. A fault may sleep: no bit is set under a window lock, where
 * vd_log_note() only keeps what was written, for later.
 *
 * A bit is set after what it stands for was written. The owner clears it and
 * then copies the page: so either the copy has the write, or the bit comes
 * after the owner's look at it and is seen the next time. See vd_log_begin().
 */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/futex.h>

#include "compat/compat.h"
#include "dev.h"
#include "dirtylog.h"

/* An architecture may give up on a word that others keep writing. */
#define VD_LOG_TRIES	16

static int vd_log_or(unsigned long uaddr, u32 mask)
{
	u32 __user *word = (u32 __user *)uaddr;
	int err = -EAGAIN, i, old;

	for (i = 0; i < VD_LOG_TRIES && err == -EAGAIN; i++) {
		err = arch_futex_atomic_op_inuser(FUTEX_OP_OR, mask, &old,
						  word);
		if (err == -EAGAIN)
			cond_resched();
	}
	return err;
}

/*
 * Sets the bits of @len bytes at @gpa, which don't wrap. The words are aligned
 * to their size, whatever the base: one may begin up to three bytes before the
 * bitmap, where the operation changes nothing.
 */
static int vd_log_range(struct vd_virtqueue *vq, u64 gpa, u64 len)
{
	u64 bit = gpa / VHOST_PAGE_SIZE;
	u64 end = (gpa + (len - 1)) / VHOST_PAGE_SIZE + 1;
	unsigned long byte;
	int err;

	while (bit < end) {
		unsigned int at, n;

		if (check_add_overflow(vq->log.base, bit / 8, &byte))
			return -EFAULT;
		at = (byte & 3) * 8 + bit % 8;
		n = min_t(u64, end - bit, 32 - at);
		err = vd_log_or(byte & ~3UL, GENMASK(at + n - 1, at));
		if (unlikely(err))
			return err;
		bit += n;
		vd_stat_add(&vq->counters, logged, n);
	}
	return 0;
}

/*
 * The same for a user address. Guest memory that the owner maps in several
 * places is dirty in each. Returns -EFAULT if part of it is no guest memory.
 */
static int vd_log_uaddr(struct vd_virtqueue *vq, u64 uaddr, u64 len)
{
	const struct vd_memtable *t = vq->mem;
	u64 found = 0;
	u32 i;

	for (i = 0; t && i < t->count; i++) {
		const struct vd_region *r = &t->region[i];
		u64 last = r->uaddr + (r->last - r->start);
		u64 from = max(uaddr, r->uaddr);
		u64 to = min(uaddr + (len - 1), last);
		int err;

		if (from > to)
			continue;
		err = vd_log_range(vq, r->start + (from - r->uaddr),
				   to - from + 1);
		if (err)
			return err;
		found += to - from + 1;
	}
	return found >= len ? 0 : -EFAULT;
}

static void vd_log_begin(void)
{
	/*
	 * What was written comes before its bit. Pairs with the barrier of an
	 * owner that fetches and clears bits before it copies pages.
	 */
	smp_wmb();
}

static void vd_log_end(struct vd_virtqueue *vq, int err)
{
	if (unlikely(err))
		vd_vq_unlogged(vq, err);
	if (vq->log.ctx)
		vd_eventfd_signal(vq->log.ctx);
}

static unsigned int vd_log_part(enum vd_part part)
{
	return part == VD_PART_USED ? VD_LOG_USED : VD_LOG_DESC;
}

/*
 * Of the used part of a split or packed ring the owner has told where the
 * guest sees it, unless there is an IOTLB; then, and of the descriptors of a
 * packed ring, the memory table tells.
 */
static bool vd_log_told(const struct vd_virtqueue *vq, unsigned int part)
{
	return part == VD_LOG_USED && !vq->giova.iotlb;
}

/* The address from whose page on the notes of a part count. */
static u64 vd_log_origin(const struct vd_virtqueue *vq, unsigned int part)
{
	if (vd_log_told(vq, part))
		return vq->log.used_addr;
	return vq->told[part == VD_LOG_USED ? VD_PART_USED : VD_PART_DESC];
}

/**
 * vd_log_note - remember that the device writes to its ring
 * @vq: the virtqueue
 * @part: descriptors or used
 * @off: offset in the part
 * @len: bytes, at least one
 *
 * Context: queue mutex; any otherwise, the window lock may be held.
 */
void vd_log_note(struct vd_virtqueue *vq, enum vd_part part, u32 off, u32 len)
{
	unsigned int p = vd_log_part(part);
	u32 at = vd_log_origin(vq, p) % VHOST_PAGE_SIZE + off;
	u32 first = at / VHOST_PAGE_SIZE;
	u32 last = (at + len - 1) / VHOST_PAGE_SIZE;

	if (WARN_ON_ONCE(last >= VD_LOG_NOTES))
		return;
	for (; first <= last; first++)
		__set_bit(first, vq->log.noted[p]);
}

/* Logs bytes of a part, each by the place where the guest sees them. */
static int vd_log_bytes(struct vd_virtqueue *vq, enum vd_part part, u32 off,
			u32 end)
{
	while (off < end) {
		const struct vd_piece *p;
		u32 n = end - off;
		int err;

		if (!vq->giova.iotlb)
			return vd_log_uaddr(vq, vq->part[part] + off, n);
		p = vd_giova_piece(vq, part, off);
		n = min(n, p->off + p->len - off);
		err = vd_log_uaddr(vq, p->uaddr + (off - p->off), n);
		if (err)
			return err;
		off += n;
	}
	return 0;
}

/* Logs a noted page: the bytes of it that are the ring's. */
static int vd_log_page(struct vd_virtqueue *vq, unsigned int p, u32 page)
{
	enum vd_part part = p == VD_LOG_USED ? VD_PART_USED : VD_PART_DESC;
	u64 origin = vd_log_origin(vq, p);
	u32 skip = origin % VHOST_PAGE_SIZE;
	u32 off = page ? page * VHOST_PAGE_SIZE - skip : 0;
	u32 end = (page + 1) * VHOST_PAGE_SIZE - skip;

	if (vd_log_told(vq, p))
		return vd_log_range(vq, origin + off, 1);
	return vd_log_bytes(vq, part, off, min(end, vd_vq_part_size(vq, part)));
}

/**
 * vd_log_ring - log what was noted
 * @vq: the virtqueue
 *
 * Context: the owner's memory is in use, queue mutex; may sleep.
 */
void vd_log_ring(struct vd_virtqueue *vq)
{
	unsigned int part, page;
	int err = 0;
	bool any = false;

	vd_log_begin();
	for (part = 0; part < VD_LOG_PARTS; part++) {
		for_each_set_bit(page, vq->log.noted[part], VD_LOG_NOTES) {
			err = vd_log_page(vq, part, page) ?: err;
			any = true;
		}
		bitmap_zero(vq->log.noted[part], VD_LOG_NOTES);
	}
	if (any)
		vd_log_end(vq, err);
}

/**
 * vd_log_head - log the first bytes of the used part
 * @vq: the virtqueue; with an IOTLB the rest of its ring may not be found yet
 * @len: how many
 *
 * Context: the owner's memory is in use, queue mutex; may sleep.
 */
void vd_log_head(struct vd_virtqueue *vq, u32 len)
{
	int err;

	vd_log_begin();
	err = vd_log_told(vq, VD_LOG_USED) ?
	      vd_log_range(vq, vq->log.used_addr, len) :
	      vd_log_uaddr(vq, vq->part[VD_PART_USED], len);
	vd_log_end(vq, err);
}

/**
 * vd_log_take - guest memory into which a frame will be written
 * @vq: the virtqueue, with LOG_ALL
 * @seg: guest-physical segments, in the order in which they are written
 * @nsegs: how many; since the count was set to zero, no more than VD_IOV
 *
 * Context: queue mutex.
 */
void vd_log_take(struct vd_virtqueue *vq, const struct vd_seg *seg,
		 unsigned int nsegs)
{
	struct vd_log *log = &vq->log;

	if (WARN_ON_ONCE(log->nsegs + nsegs > VD_IOV))
		return;
	memcpy(log->seg + log->nsegs, seg, nsegs * sizeof(*seg));
	log->nsegs += nsegs;
}
EXPORT_SYMBOL_GPL(vd_log_take);

/* The same where segments are GIOVA: by the user memory they were found in. */
static int vd_log_iov(struct vd_virtqueue *vq, const struct iovec *iov,
		      unsigned int niov, u64 len)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < niov && len; i++) {
		u64 part = min_t(u64, len, iov[i].iov_len);

		err = vd_log_uaddr(vq, (unsigned long)iov[i].iov_base, part) ?:
		      err;
		len -= part;
	}
	return err;
}

static int vd_log_segs(struct vd_virtqueue *vq, u64 len)
{
	const struct vd_log *log = &vq->log;
	unsigned int i;
	int err = 0;

	for (i = 0; i < log->nsegs && len; i++) {
		u64 part = min_t(u64, len, log->seg[i].len);

		err = vd_log_range(vq, log->seg[i].addr, part) ?: err;
		len -= part;
	}
	return err;
}

/**
 * vd_log_data - log a frame that was written
 * @vq: the virtqueue, with LOG_ALL, and the frame's memory noted
 * @iov: the same memory in user space
 * @niov: how many pieces
 * @len: bytes written to it, from the start
 *
 * Context: the owner's memory is in use, queue mutex; may sleep.
 */
void vd_log_data(struct vd_virtqueue *vq, const struct iovec *iov,
		 unsigned int niov, u64 len)
{
	int err;

	vd_log_begin();
	err = vq->giova.iotlb ? vd_log_iov(vq, iov, niov, len) :
				vd_log_segs(vq, len);
	vd_log_end(vq, err);
}
EXPORT_SYMBOL_GPL(vd_log_data);

/* May the bits of @len bytes at @gpa be written? Nothing may wrap on the way. */
static bool vd_log_covers(unsigned long base, u64 gpa, u64 last)
{
	u64 first_byte = gpa / VHOST_PAGE_SIZE / 8, bytes;
	unsigned long from;

	bytes = last / VHOST_PAGE_SIZE / 8 - first_byte + 1;
	return !check_add_overflow(base, first_byte, &from) &&
	       access_ok((void __user *)from, bytes);
}

/**
 * vd_log_table_ok - does the bitmap reach over all guest memory in user space?
 * @base: its address
 * @mem: the memory table
 *
 * Whether there is memory at all shows when it is written.
 * Return: true if so. Context: device and queue mutex.
 */
bool vd_log_table_ok(unsigned long base, const struct vd_memtable *mem)
{
	u32 i;

	for (i = 0; i < mem->count; i++)
		if (!vd_log_covers(base, mem->region[i].start,
				   mem->region[i].last))
			return false;
	return true;
}

/**
 * vd_log_used_ok - can the used ring be logged?
 * @vq: the virtqueue
 * @base: address of the bitmap
 * @on: it is to be logged at all
 * @addr: the used ring's guest-physical address
 *
 * Return: true if so, or if it isn't to be logged. Context: device and queue
 * mutex.
 */
bool vd_log_used_ok(const struct vd_virtqueue *vq, unsigned long base, bool on,
		    u64 addr)
{
	u64 last;

	/* With an IOTLB it is logged by the memory table. */
	if (!on || vq->giova.iotlb)
		return true;
	return !check_add_overflow(addr,
				   (u64)vd_vq_part_size(vq, VD_PART_USED) - 1,
				   &last) &&
	       vd_log_covers(base, addr, last);
}

/* All that is to be checked of a queue, with the bitmap at @base. */
static bool vd_log_base_ok(const struct vd_virtqueue *vq, unsigned long base)
{
	if (vd_vq_has(vq, VHOST_F_LOG_ALL) && !vd_log_table_ok(base, vq->mem))
		return false;
	return vd_log_used_ok(vq, base, vq->log.ring, vq->log.used_addr);
}

/**
 * vd_log_ok - may a queue start, as far as the log is concerned?
 * @vq: the virtqueue, with a memory table
 *
 * Return: true if so. Context: device and queue mutex.
 */
bool vd_log_ok(const struct vd_virtqueue *vq)
{
	return vd_log_base_ok(vq, vq->log.base);
}

/**
 * vd_log_set_base - where the bitmap is from now on (VHOST_SET_LOG_BASE)
 * @dev: the device
 * @arg: points to the address
 *
 * Return: 0, or -EFAULT if it can't be the bitmap of a running queue, which
 * then keeps the old one. Context: device mutex; may sleep.
 */
long vd_log_set_base(struct vd_dev *dev, void __user *arg)
{
	long ret = 0;
	unsigned int i;
	u64 base;

	if (copy_from_user(&base, arg, sizeof(base)))
		return -EFAULT;
	if ((unsigned long)base != base)
		return -EFAULT;
	for (i = 0; i < dev->nvqs; i++) {
		struct vd_virtqueue *vq = dev->vqs[i];

		vd_vq_lock(vq);
		if (vq->backend && !vd_log_base_ok(vq, base))
			ret = -EFAULT;
		else
			vq->log.base = base;
		mutex_unlock(&vq->mutex);
	}
	return ret;
}

/**
 * vd_log_set_fd - whom to tell that something was logged (VHOST_SET_LOG_FD)
 * @dev: the device
 * @arg: points to an eventfd, or -1
 *
 * Return: 0, -EFAULT, or what eventfd_ctx_fdget() answers.
 * Context: device mutex; may sleep.
 */
long vd_log_set_fd(struct vd_dev *dev, void __user *arg)
{
	struct eventfd_ctx *ctx = NULL;
	unsigned int i;
	int fd;

	if (get_user(fd, (int __user *)arg))
		return -EFAULT;
	if (fd != VHOST_FILE_UNBIND)
		ctx = eventfd_ctx_fdget(fd);
	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	swap(ctx, dev->log);
	for (i = 0; i < dev->nvqs; i++) {
		vd_vq_lock(dev->vqs[i]);
		dev->vqs[i]->log.ctx = dev->log;
		mutex_unlock(&dev->vqs[i]->mutex);
	}
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}

/**
 * vd_log_prepare - get the memory that a queue needs to log data
 * @vq: the virtqueue
 * @features: those it is about to have
 *
 * Return: 0 or -ENOMEM. Context: device and queue mutex; may sleep.
 */
int vd_log_prepare(struct vd_virtqueue *vq, u64 features)
{
	if (!(features & BIT_ULL(VHOST_F_LOG_ALL)) || vq->log.seg)
		return 0;
	vq->log.seg = kvmalloc_array(VD_IOV, sizeof(*vq->log.seg),
				     GFP_KERNEL_ACCOUNT);
	return vq->log.seg ? 0 : -ENOMEM;
}

/**
 * vd_log_release - as if there had never been a log
 * @vq: the virtqueue, which doesn't run
 *
 * Context: nobody else uses the queue; may sleep.
 */
void vd_log_release(struct vd_virtqueue *vq)
{
	kvfree(vq->log.seg);
	memset(&vq->log, 0, sizeof(vq->log));
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Through the device IOTLB: buffers for each packet, the ring once, until a
 * translation of it changes. A part of the ring may lie in pieces of user
 * memory; if each page of it is one in user memory, too, windows map it all the
 * same, else it is reached by user access, piece by piece.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat/compat.h"
#include "dev.h"

/*
 * Where @addr lies in user memory, and how many bytes up to @last go with it.
 * Returns 0, -VD_MISS, or -VD_BAD_BUFFER for an access that isn't allowed.
 */
static int vd_giova_find(struct vd_virtqueue *vq, u64 addr, u64 last,
			 unsigned int access, u64 *uaddr, u64 *len)
{
	const struct vhost_iotlb_map *map = vq->giova.map;

	if (!map || addr < map->start || addr > map->last) {
		map = vhost_iotlb_itree_first(vq->giova.iotlb, addr, last);
		if (!map || map->start > addr) {
			vd_iotlb_miss(vq, addr, access, true);
			vq->giova.missed = true;
			return -VD_MISS;
		}
		vq->giova.map = map;
	}
	if ((map->perm & access) != access) {
		vq->giova.denied = addr;
		return -VD_BAD_BUFFER;
	}
	*uaddr = map->addr + (addr - map->start);
	*len = min(last, map->last) - addr + 1;
	return 0;
}

/**
 * vd_giova_translate - vd_vq_translate() with an IOTLB
 * @vq: the virtqueue
 * @seg: segments of GIOVA
 * @nsegs: how many
 * @iov: receives the user-memory segments
 * @room: of @iov
 * @access: VHOST_ACCESS_RO or VHOST_ACCESS_WO
 *
 * Return: as vd_vq_translate(); -VD_MISS if the queue has to rest, for the
 * owner was asked. Context: queue mutex.
 */
int vd_giova_translate(struct vd_virtqueue *vq, const struct vd_seg *seg,
		       unsigned int nsegs, struct iovec *iov,
		       unsigned int room, unsigned int access)
{
	unsigned int n = 0, i;

	for (i = 0; i < nsegs; i++) {
		u64 addr = seg[i].addr, last, uaddr, len;
		int err;

		if (!seg[i].len)
			continue;
		if (check_add_overflow(addr, (u64)seg[i].len - 1, &last))
			return -VD_BAD_BUFFER;
		for (;; addr += len) {
			err = vd_giova_find(vq, addr, last, access, &uaddr,
					    &len);
			if (err)
				return err;
			if (unlikely(n == room))
				return -VD_BURST_FULL;
			iov[n].iov_base = (void __user *)(unsigned long)uaddr;
			iov[n++].iov_len = len;
			if (addr + (len - 1) == last)
				break;
		}
	}
	return n;
}

static unsigned int vd_giova_access(const struct vd_virtqueue *vq,
				    enum vd_part part)
{
	if (part == VD_PART_USED)
		return VHOST_ACCESS_WO;
	return part == VD_PART_DESC && vd_vq_has(vq, VIRTIO_F_RING_PACKED) ?
	       VHOST_ACCESS_RW : VHOST_ACCESS_RO;
}

/*
 * Walks a part; neighbours in both address spaces are one piece. Counts, and
 * puts the pieces into @piece, which has room for @room, if that isn't NULL.
 * Returns how many or a reason.
 */
static int vd_giova_walk(struct vd_virtqueue *vq, enum vd_part part,
			 struct vd_piece *piece, int room)
{
	u32 size = vd_vq_part_size(vq, part), off;
	u64 start = vq->told[part], last, end = 0, uaddr, len;
	int n = 0, err;

	vq->giova.denied = start;
	if (check_add_overflow(start, (u64)size - 1, &last))
		return -VD_BAD_BUFFER;
	/*
	 * Translations may overlap, and the one met last is preferred: from none
	 * on, each walk meets the same.
	 */
	vq->giova.map = NULL;
	for (off = 0; off < size; off += len) {
		err = vd_giova_find(vq, start + off, last,
				    vd_giova_access(vq, part), &uaddr, &len);
		if (err)
			return err;
		if (n && uaddr == end) {
			if (piece)
				piece[n - 1].len += len;
		} else {
			if (piece && n == room)
				return -VD_FAULT;
			if (piece)
				piece[n] = (struct vd_piece){ uaddr, off, len };
			n++;
		}
		end = uaddr + len;
	}
	return n;
}

static int vd_giova_find_part(struct vd_virtqueue *vq, enum vd_part part)
{
	struct vd_pieces *p = &vq->giova.part[part];
	int n = vd_giova_walk(vq, part, NULL, 0), filled;

	if (n < 0)
		return n;
	p->piece = kvmalloc_array(n, sizeof(*p->piece), GFP_KERNEL_ACCOUNT);
	if (!p->piece)
		return -VD_FAULT;
	filled = vd_giova_walk(vq, part, p->piece, n);
	if (filled != n)
		return filled < 0 ? filled : -VD_FAULT;
	p->count = n;
	vq->part[part] = p->piece[0].uaddr;
	if (n > 1)
		vq->giova.scattered = true;
	return 0;
}

/**
 * vd_giova_find_head - find flags and index of the used part, to start a ring
 * @vq: the virtqueue, with an IOTLB
 *
 * QEMU has told the page of these words by now, and no other: it answers for
 * the rest of the ring once the queue runs. A missing one is asked for.
 *
 * Return: 0, with the used part's address set, or -EFAULT. Context: queue mutex.
 */
int vd_giova_find_head(struct vd_virtqueue *vq)
{
	u64 start = vq->told[VD_PART_USED], last, uaddr, len;

	if (check_add_overflow(start, (u64)VD_USED_HEAD - 1, &last) ||
	    vd_giova_find(vq, start, last, vd_giova_access(vq, VD_PART_USED),
			  &uaddr, &len) || len < VD_USED_HEAD)
		return -EFAULT;
	vq->part[VD_PART_USED] = uaddr;
	return 0;
}

/*
 * The owner forbids what the ring needs: it is told, and asked no more. The
 * queue waits for another answer to the address that was met, for the owner
 * may grant that page alone, or take back what it said.
 */
static void vd_giova_denied(struct vd_virtqueue *vq, enum vd_part part)
{
	if (vd_iotlb_miss(vq, vq->giova.denied, vd_giova_access(vq, part),
			  false))
		vd_vq_tell(vq, VD_BAD_BUFFER);
}

/* There was no memory for the pieces, or their number has changed meanwhile. */
static void vd_giova_failed(struct vd_virtqueue *vq)
{
	bool vain = vd_retry_vain(vq, VD_FAULT);

	vd_retry_later(vq, vain);
	if (!vain)
		vd_vq_tell(vq, VD_FAULT);
}

/**
 * vd_giova_find_ring - find the ring in user memory
 * @vq: the virtqueue, with an IOTLB, or without an address
 *
 * Return: false if it can't be found now; the queue rests until the owner's
 * answer, or a kick, or, if it has no address, until it is given one; or for a
 * while, if it was memory of the kernel's that was missing.
 * Context: queue mutex, the owner's memory is in use; may sleep.
 */
bool vd_giova_find_ring(struct vd_virtqueue *vq)
{
	unsigned int i;
	int err;

	if (!vq->placed)
		return false;
	for (i = 0; i < VD_PARTS; i++) {
		err = vd_giova_find_part(vq, i);
		if (!err)
			continue;
		vd_giova_forget(vq);
		if (err == -VD_FAULT)
			vd_giova_failed(vq);
		else if (err != -VD_MISS)
			vd_giova_denied(vq, i);
		return false;
	}
	vq->giova.found = true;
	if (vd_vq_windows(vq))
		vd_vq_windowless(vq);
	return true;
}
EXPORT_SYMBOL_GPL(vd_giova_find_ring);

/**
 * vd_giova_forget - the ring must be looked for again
 * @vq: the virtqueue
 *
 * Context: queue mutex; may sleep.
 */
void vd_giova_forget(struct vd_virtqueue *vq)
{
	unsigned int i;

	/* The windows look at the pieces. */
	vd_winset_clear(&vq->win);
	for (i = 0; i < VD_PARTS; i++) {
		kvfree(vq->giova.part[i].piece);
		vq->giova.part[i] = (struct vd_pieces){};
	}
	vq->giova.found = false;
	vq->giova.scattered = false;
}

/**
 * vd_giova_changed - translations of a range are about to change
 * @vq: the virtqueue
 * @first: first address
 * @last: last address
 *
 * Context: queue mutex; may sleep.
 */
void vd_giova_changed(struct vd_virtqueue *vq, u64 first, u64 last)
{
	unsigned int i;

	vq->giova.map = NULL;
	if (!vq->giova.found)
		return;
	for (i = 0; i < VD_PARTS; i++) {
		u64 start = vq->told[i];
		u64 end = start + vd_vq_part_size(vq, i) - 1;

		if (first <= end && last >= start) {
			vd_giova_forget(vq);
			return;
		}
	}
}

/**
 * vd_giova_piece - the piece that holds an offset in a part
 * @vq: the virtqueue, whose ring is found
 * @part: which part
 * @off: inside it
 *
 * Return: the piece; the ring has one for each offset. Context: queue mutex.
 */
const struct vd_piece *vd_giova_piece(const struct vd_virtqueue *vq,
				      enum vd_part part, u32 off)
{
	const struct vd_pieces *p = &vq->giova.part[part];
	u32 lo = 0, hi = p->count;

	while (hi - lo > 1) {
		u32 mid = lo + (hi - lo) / 2;

		if (p->piece[mid].off <= off)
			lo = mid;
		else
			hi = mid;
	}
	return &p->piece[lo];
}

/* The user address of @off, and in @len no more than its piece holds. */
static void __user *vd_giova_at(const struct vd_virtqueue *vq,
				enum vd_part part, u32 off, u32 *len)
{
	const struct vd_piece *p = vd_giova_piece(vq, part, off);

	*len = min(*len, p->off + p->len - off);
	return (void __user *)(p->uaddr + (off - p->off));
}

/**
 * vd_giova_in - read from a scattered part
 * @vq: the virtqueue, whose ring is found
 * @part: which part
 * @off: where
 * @to: receives it
 * @len: how much; a word of 2 bytes is read at once or not at all
 *
 * Return: 0 or -EFAULT. Context: may sleep.
 */
int vd_giova_in(const struct vd_virtqueue *vq, enum vd_part part, u32 off,
		void *to, u32 len)
{
	u32 n;

	for (; len; off += n, to += n, len -= n) {
		const void __user *at;

		n = len;
		at = vd_giova_at(vq, part, off, &n);
		if (len == sizeof(u16)) {
			if (n != len)
				return -EFAULT;
			return get_user(*(u16 *)to, (u16 __user *)at);
		}
		if (copy_from_user(to, at, n))
			return -EFAULT;
	}
	return 0;
}

/**
 * vd_giova_out - write to a scattered part
 * @vq: the virtqueue, whose ring is found
 * @part: which part
 * @off: where
 * @from: what
 * @len: how much; a word of 2 or 8 bytes is written at once or not at all
 *
 * Return: 0 or -EFAULT. Context: may sleep.
 */
int vd_giova_out(const struct vd_virtqueue *vq, enum vd_part part, u32 off,
		 const void *from, u32 len)
{
	u32 n;

	for (; len; off += n, from += n, len -= n) {
		void __user *at;

		n = len;
		at = vd_giova_at(vq, part, off, &n);
		if (len == sizeof(u16))
			return n == len ?
			       put_user(*(const u16 *)from, (u16 __user *)at) :
			       -EFAULT;
		if (len == sizeof(u64) && part == VD_PART_DESC)
			return n == len ?
			       put_user(*(const u64 *)from, (u64 __user *)at) :
			       -EFAULT;
		if (copy_to_user(at, from, n))
			return -EFAULT;
	}
	return 0;
}

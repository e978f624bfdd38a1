/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ring engine's accessors in the kernel: three of the instances of one
 * interface (access_log.h and access_piece.h have the others).
 *
 * contig: windows contiguous in the direct map
 * paged:  windows page by page, for any alignment
 * user:   user access, when there is no window
 *
 * The first two run under the window lock and can't fail. A word is loaded
 * once: READ_ONCE(), or a copy followed by barrier() so that the compiler
 * can't go back to the guest's memory for it.
 */
#ifndef VD_ACCESS_H
#define VD_ACCESS_H

#include <linux/mm.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "dev.h"

/*
 * Where a ring's parts are, copied for one burst: a local that no store can
 * reach, so that the compiler need not load the pointers again after each.
 */
struct vd_contig {
	u8 *base[VD_PARTS];
};

static __always_inline const void *vd_contig_local(const void *mem,
						   struct vd_contig *at)
{
	const struct vd_winset *ws = mem;
	unsigned int i;

	for (i = 0; i < VD_PARTS; i++)
		at->base[i] = ws->w[i].base;
	return at;
}

static __always_inline void *vd_contig_at(const void *mem, enum vd_part part,
					  size_t off)
{
	const struct vd_contig *at = mem;

	return at->base[part] + off;
}

static __always_inline int vd_contig_read16(const void *mem, enum vd_part part,
					    size_t off, u16 *val)
{
	*val = READ_ONCE(*(u16 *)vd_contig_at(mem, part, off));
	return 0;
}

static __always_inline int vd_contig_read16_run(const void *mem,
						enum vd_part part, size_t off,
						u16 *val, u32 n)
{
	const u16 *p = vd_contig_at(mem, part, off);
	u32 i;

	for (i = 0; i < n; i++)
		val[i] = READ_ONCE(p[i]);
	return 0;
}

static __always_inline int vd_contig_read_desc(const void *mem, size_t off,
					       u64 desc[2])
{
	const u64 *p = vd_contig_at(mem, VD_PART_DESC, off);

	if (IS_ENABLED(CONFIG_X86_64) || IS_ALIGNED((unsigned long)p, 8)) {
		desc[0] = READ_ONCE(p[0]);
		desc[1] = READ_ONCE(p[1]);
		return 0;
	}
	/* Nobody asks where a table begins; READ_ONCE() may want it even. */
	memcpy(desc, p, 2 * sizeof(u64));
	/* What is checked is what is used. */
	barrier();
	return 0;
}

static __always_inline int vd_contig_write64(const void *mem,
					     enum vd_part part, size_t off,
					     u64 val)
{
	WRITE_ONCE(*(u64 *)vd_contig_at(mem, part, off), val);
	return 0;
}

static __always_inline int vd_contig_write16(const void *mem,
					     enum vd_part part, size_t off,
					     u16 val)
{
	WRITE_ONCE(*(u16 *)vd_contig_at(mem, part, off), val);
	return 0;
}

static __always_inline int vd_contig_write_used(const void *mem, size_t off,
						const struct vd_used *elem,
						u32 n)
{
	struct vd_used *p = vd_contig_at(mem, VD_PART_USED, off);
	u32 i;

	for (i = 0; i < n; i++) {
		WRITE_ONCE(p[i].id, elem[i].id);
		WRITE_ONCE(p[i].len, elem[i].len);
	}
	return 0;
}

static const struct vd_mem_ops vd_contig_ops = {
	.read16 = vd_contig_read16,
	.read16_run = vd_contig_read16_run,
	.read_desc = vd_contig_read_desc,
	.write16 = vd_contig_write16,
	.write64 = vd_contig_write64,
	.write_used = vd_contig_write_used,
};

/* The other ways have nothing that is worth a copy. */
#define vd_paged_local(mem, at)		((void)(at), (mem))
#define vd_user_local(mem, at)		((void)(at), (mem))
#define vd_logged_local(mem, at)	((void)(at), (mem))
#define vd_piece_local(mem, at)		((void)(at), (mem))

/* The part may begin inside its first page. */
static __always_inline void *vd_paged_at(const void *mem, enum vd_part part,
					 size_t off)
{
	const struct vd_winset *ws = mem;
	const struct vd_window *w = &ws->w[part];
	u32 at = offset_in_page(w->uaddr) + off;

	return w->page[at >> PAGE_SHIFT] + offset_in_page(at);
}

/* vd_vq_windows() wants two-byte alignment: no word straddles a page. */
static __always_inline int vd_paged_read16(const void *mem, enum vd_part part,
					   size_t off, u16 *val)
{
	*val = READ_ONCE(*(u16 *)vd_paged_at(mem, part, off));
	return 0;
}

static __always_inline int vd_paged_read16_run(const void *mem,
					       enum vd_part part, size_t off,
					       u16 *val, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		val[i] = READ_ONCE(*(u16 *)vd_paged_at(mem, part, off + 2 * i));
	return 0;
}

static __always_inline int vd_paged_read_desc(const void *mem, size_t off,
					      u64 desc[2])
{
	const u8 *p = vd_paged_at(mem, VD_PART_DESC, off);
	u32 room = PAGE_SIZE - offset_in_page(p);

	if (likely(room >= 2 * sizeof(u64))) {
		memcpy(desc, p, 2 * sizeof(u64));
	} else {
		memcpy(desc, p, room);
		memcpy((u8 *)desc + room,
		       vd_paged_at(mem, VD_PART_DESC, off + room),
		       2 * sizeof(u64) - room);
	}
	barrier();
	return 0;
}

/* Of packed rings only, whose descriptors vd_vq_windows() wants aligned. */
static __always_inline int vd_paged_write64(const void *mem, enum vd_part part,
					    size_t off, u64 val)
{
	WRITE_ONCE(*(u64 *)vd_paged_at(mem, part, off), val);
	return 0;
}

static __always_inline int vd_paged_write16(const void *mem, enum vd_part part,
					    size_t off, u16 val)
{
	WRITE_ONCE(*(u16 *)vd_paged_at(mem, part, off), val);
	return 0;
}

/* An element starts on a multiple of four and may straddle two pages. */
static __always_inline int vd_paged_write_used(const void *mem, size_t off,
					       const struct vd_used *elem,
					       u32 n)
{
	u32 i;

	for (i = 0; i < n; i++, off += sizeof(*elem)) {
		__le32 *id = vd_paged_at(mem, VD_PART_USED, off);
		__le32 *len = vd_paged_at(mem, VD_PART_USED, off + 4);

		WRITE_ONCE(*id, elem[i].id);
		WRITE_ONCE(*len, elem[i].len);
	}
	return 0;
}

static const struct vd_mem_ops vd_paged_ops = {
	.read16 = vd_paged_read16,
	.read16_run = vd_paged_read16_run,
	.read_desc = vd_paged_read_desc,
	.write16 = vd_paged_write16,
	.write64 = vd_paged_write64,
	.write_used = vd_paged_write_used,
};

static __always_inline void __user *vd_user_at(const void *mem,
					       enum vd_part part, size_t off)
{
	const struct vd_virtqueue *vq = mem;

	return (void __user *)(vq->part[part] + off);
}

static __always_inline int vd_user_read16(const void *mem, enum vd_part part,
					  size_t off, u16 *val)
{
	return get_user(*val, (u16 __user *)vd_user_at(mem, part, off));
}

static __always_inline int vd_user_read16_run(const void *mem,
					      enum vd_part part, size_t off,
					      u16 *val, u32 n)
{
	if (n == 1)
		return vd_user_read16(mem, part, off, val);
	return copy_from_user(val, vd_user_at(mem, part, off),
			      n * sizeof(*val)) ? -EFAULT : 0;
}

static __always_inline int vd_user_read_desc(const void *mem, size_t off,
					     u64 desc[2])
{
	const u64 __user *p = vd_user_at(mem, VD_PART_DESC, off);

	if (!user_read_access_begin(p, 2 * sizeof(*p)))
		return -EFAULT;
	unsafe_get_user(desc[0], p, fault);
	unsafe_get_user(desc[1], p + 1, fault);
	user_read_access_end();
	return 0;
fault:
	user_read_access_end();
	return -EFAULT;
}

static __always_inline int vd_user_write64(const void *mem, enum vd_part part,
					   size_t off, u64 val)
{
	return put_user(val, (u64 __user *)vd_user_at(mem, part, off));
}

static __always_inline int vd_user_write16(const void *mem, enum vd_part part,
					   size_t off, u16 val)
{
	return put_user(val, (u16 __user *)vd_user_at(mem, part, off));
}

static __always_inline int vd_user_write_used(const void *mem, size_t off,
					      const struct vd_used *elem,
					      u32 n)
{
	return copy_to_user(vd_user_at(mem, VD_PART_USED, off), elem,
			    n * sizeof(*elem)) ? -EFAULT : 0;
}

static const struct vd_mem_ops vd_user_ops = {
	.read16 = vd_user_read16,
	.read16_run = vd_user_read16_run,
	.read_desc = vd_user_read_desc,
	.write16 = vd_user_write16,
	.write64 = vd_user_write64,
	.write_used = vd_user_write_used,
};

#endif /* VD_ACCESS_H */

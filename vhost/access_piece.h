/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accessors for a ring behind an IOTLB that lies in pieces of user memory and
 * isn't mapped by windows. Not made for speed.
 */
#ifndef VD_ACCESS_PIECE_H
#define VD_ACCESS_PIECE_H

#include "dev.h"

static __always_inline int vd_piece_read16(const void *mem, enum vd_part part,
					   size_t off, u16 *val)
{
	return vd_giova_in(mem, part, off, val, sizeof(*val));
}

static __always_inline int vd_piece_read16_run(const void *mem,
					       enum vd_part part, size_t off,
					       u16 *val, u32 n)
{
	return vd_giova_in(mem, part, off, val, n * sizeof(*val));
}

static __always_inline int vd_piece_read_desc(const void *mem, size_t off,
					      u64 desc[2])
{
	return vd_giova_in(mem, VD_PART_DESC, off, desc, 2 * sizeof(*desc));
}

static __always_inline int vd_piece_write16(const void *mem, enum vd_part part,
					    size_t off, u16 val)
{
	return vd_giova_out(mem, part, off, &val, sizeof(val));
}

static __always_inline int vd_piece_write64(const void *mem, enum vd_part part,
					    size_t off, u64 val)
{
	return vd_giova_out(mem, part, off, &val, sizeof(val));
}

static __always_inline int vd_piece_write_used(const void *mem, size_t off,
					       const struct vd_used *elem,
					       u32 n)
{
	return vd_giova_out(mem, VD_PART_USED, off, elem, n * sizeof(*elem));
}

static const struct vd_mem_ops vd_piece_ops = {
	.read16 = vd_piece_read16,
	.read16_run = vd_piece_read16_run,
	.read_desc = vd_piece_read_desc,
	.write16 = vd_piece_write16,
	.write64 = vd_piece_write64,
	.write_used = vd_piece_write_used,
};

#endif /* VD_ACCESS_PIECE_H */

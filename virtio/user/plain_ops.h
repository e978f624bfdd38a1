/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The plain-memory instance of struct vd_mem_ops: the parts of a ring are
 * ordinary pointers. The instances of watch_ops.h that fail on purpose, count
 * and poison are built on it.
 */
#ifndef VD_USER_PLAIN_OPS_H
#define VD_USER_PLAIN_OPS_H

#include "../ring_packed_event.h"
#include "../ring_split.h"
#include "words.h"

/**
 * struct vd_plain - a ring in memory that this process can reach
 * @part: start of each part
 */
struct vd_plain {
	u8 *part[VD_PARTS];
};

static __always_inline int
vd_plain_read16(const void *mem, enum vd_part part, size_t off, u16 *val)
{
	const struct vd_plain *p = mem;

	*val = word_load16_sync(p->part[part] + off);
	return 0;
}

static __always_inline int
vd_plain_read16_run(const void *mem, enum vd_part part, size_t off, u16 *val,
		    u32 n)
{
	const struct vd_plain *p = mem;
	const u8 *from = p->part[part] + off;
	u32 i;

	for (i = 0; i < n; i++)
		val[i] = word_load16(from + 2 * i);
	return 0;
}

static __always_inline int
vd_plain_read_desc(const void *mem, size_t off, u64 desc[2])
{
	const struct vd_plain *p = mem;
	const u8 *from = p->part[VD_PART_DESC] + off;

	desc[0] = word_load64(from);
	desc[1] = word_load64(from + 8);
	return 0;
}

static __always_inline int
vd_plain_write16(const void *mem, enum vd_part part, size_t off, u16 val)
{
	const struct vd_plain *p = mem;

	word_store16_sync(p->part[part] + off, val);
	return 0;
}

static __always_inline int
vd_plain_write64(const void *mem, enum vd_part part, size_t off, u64 val)
{
	const struct vd_plain *p = mem;

	word_store64_sync(p->part[part] + off, val);
	return 0;
}

static __always_inline int
vd_plain_write_used(const void *mem, size_t off, const struct vd_used *elem, u32 n)
{
	const struct vd_plain *p = mem;
	u8 *to = p->part[VD_PART_USED] + off;
	u32 i;

	/* Elements start 4 bytes in: they are 4-byte aligned, not 8. */
	for (i = 0; i < n; i++) {
		word_store32(to + 8 * i, (__force u32)elem[i].id);
		word_store32(to + 8 * i + 4, (__force u32)elem[i].len);
	}
	return 0;
}

static const struct vd_mem_ops vd_plain_ops = {
	.read16 = vd_plain_read16,
	.read16_run = vd_plain_read16_run,
	.read_desc = vd_plain_read_desc,
	.write16 = vd_plain_write16,
	.write64 = vd_plain_write64,
	.write_used = vd_plain_write_used,
};

#endif /* VD_USER_PLAIN_OPS_H */

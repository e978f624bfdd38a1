/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accessors for a ring whose writes are logged: a fourth instance, that takes
 * windows or user access as it finds them and notes what it writes. Only for
 * what is done to a ring while its memory migrates.
 */
#ifndef VD_ACCESS_LOG_H
#define VD_ACCESS_LOG_H

#include "access.h"
#include "access_piece.h"
#include "dirtylog.h"

/* Calls the accessor of the way that is open, by page or by user access. */
#define vd_logged_call(vq, op, ...) ({					\
	const struct vd_virtqueue *_vq = (vq);				\
									\
	_vq->log.direct ? vd_paged_##op(&_vq->win, ##__VA_ARGS__) :	\
	_vq->giova.scattered ? vd_piece_##op(_vq, ##__VA_ARGS__) :	\
			       vd_user_##op(_vq, ##__VA_ARGS__); })

static __always_inline int vd_logged_read16(const void *mem, enum vd_part part,
					    size_t off, u16 *val)
{
	const struct vd_virtqueue *vq = mem;

	return vd_logged_call(vq, read16, part, off, val);
}

static __always_inline int vd_logged_read16_run(const void *mem,
						enum vd_part part, size_t off,
						u16 *val, u32 n)
{
	const struct vd_virtqueue *vq = mem;

	return vd_logged_call(vq, read16_run, part, off, val, n);
}

static __always_inline int vd_logged_read_desc(const void *mem, size_t off,
					       u64 desc[2])
{
	const struct vd_virtqueue *vq = mem;

	return vd_logged_call(vq, read_desc, off, desc);
}

/* A write that faults may have been done in part: it is noted all the same. */
static __always_inline int vd_logged_write16(const void *mem,
					     enum vd_part part, size_t off,
					     u16 val)
{
	struct vd_virtqueue *vq = (void *)mem;

	vd_log_note(vq, part, off, sizeof(val));
	return vd_logged_call(vq, write16, part, off, val);
}

static __always_inline int vd_logged_write64(const void *mem,
					     enum vd_part part, size_t off,
					     u64 val)
{
	struct vd_virtqueue *vq = (void *)mem;

	vd_log_note(vq, part, off, sizeof(val));
	return vd_logged_call(vq, write64, part, off, val);
}

static __always_inline int vd_logged_write_used(const void *mem, size_t off,
						const struct vd_used *elem,
						u32 n)
{
	struct vd_virtqueue *vq = (void *)mem;

	vd_log_note(vq, VD_PART_USED, off, n * sizeof(*elem));
	return vd_logged_call(vq, write_used, off, elem, n);
}

static const struct vd_mem_ops vd_logged_ops = {
	.read16 = vd_logged_read16,
	.read16_run = vd_logged_read16_run,
	.read_desc = vd_logged_read_desc,
	.write16 = vd_logged_write16,
	.write64 = vd_logged_write64,
	.write_used = vd_logged_write_used,
};

#endif /* VD_ACCESS_LOG_H */

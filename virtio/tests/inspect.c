// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not a program: the object that tests/inspect takes apart. Each function is
 * one instance of a body with constant ops; the last one has none, and shows
 * that an indirect call would be seen.
 */
#include "../user/plain_ops.h"

int hot_pop(struct vd_ring *r, const struct vd_plain *p, struct vd_burst *b,
	    u32 max);
int hot_push(struct vd_ring *r, const struct vd_plain *p,
	     const struct vd_used *elem, u32 n);
int hot_need_signal(struct vd_ring *r, const struct vd_plain *p);
int hot_no_notify(struct vd_ring *r, const struct vd_plain *p);
int hot_notify(struct vd_ring *r, const struct vd_plain *p);
int hot_packed_pop(struct vd_ring *r, const struct vd_plain *p,
		   struct vd_burst *b, u32 max);
int hot_packed_push(struct vd_ring *r, const struct vd_plain *p,
		    const struct vd_used *elem, const u16 *slots, u32 n);
int hot_packed_need_signal(struct vd_ring *r, const struct vd_plain *p);
int hot_packed_no_notify(struct vd_ring *r, const struct vd_plain *p);
int hot_packed_notify(struct vd_ring *r, const struct vd_plain *p);
int control_pop(struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_burst *b, u32 max);

int hot_pop(struct vd_ring *r, const struct vd_plain *p, struct vd_burst *b,
	    u32 max)
{
	return vd_split_pop(r, &vd_plain_ops, p, b, max);
}

int hot_push(struct vd_ring *r, const struct vd_plain *p,
	     const struct vd_used *elem, u32 n)
{
	return vd_split_push(r, &vd_plain_ops, p, elem, n);
}

int hot_need_signal(struct vd_ring *r, const struct vd_plain *p)
{
	return vd_split_need_signal(r, &vd_plain_ops, p);
}

int hot_no_notify(struct vd_ring *r, const struct vd_plain *p)
{
	return vd_split_no_notify(r, &vd_plain_ops, p);
}

int hot_notify(struct vd_ring *r, const struct vd_plain *p)
{
	return vd_split_notify(r, &vd_plain_ops, p);
}

int hot_packed_pop(struct vd_ring *r, const struct vd_plain *p,
		   struct vd_burst *b, u32 max)
{
	return vd_packed_pop(r, &vd_plain_ops, p, b, max);
}

int hot_packed_push(struct vd_ring *r, const struct vd_plain *p,
		    const struct vd_used *elem, const u16 *slots, u32 n)
{
	return vd_packed_push(r, &vd_plain_ops, p, elem, slots, n);
}

int hot_packed_need_signal(struct vd_ring *r, const struct vd_plain *p)
{
	return vd_packed_need_signal(r, &vd_plain_ops, p);
}

int hot_packed_no_notify(struct vd_ring *r, const struct vd_plain *p)
{
	return vd_packed_no_notify(r, &vd_plain_ops, p);
}

int hot_packed_notify(struct vd_ring *r, const struct vd_plain *p)
{
	return vd_packed_notify(r, &vd_plain_ops, p);
}

int control_pop(struct vd_ring *r, const struct vd_mem_ops *ops,
		const void *mem, struct vd_burst *b, u32 max)
{
	return vd_split_pop(r, ops, mem, b, max);
}

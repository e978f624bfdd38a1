/* SPDX-License-Identifier: GPL-2.0-only */
/* The memory table: guest-physical ranges and where the owner maps them. */
#ifndef VD_MEMTABLE_H
#define VD_MEMTABLE_H

#include <linux/types.h>

struct vhost_memory;

/* @last is the last address of the range, so that one may end at 2^64. */
struct vd_region {
	u64 start;
	u64 last;
	u64 uaddr;
};

/**
 * struct vd_memtable - an immutable table
 * @count: regions in @region
 * @overlap: some overlap, and a search by start alone may miss
 * @region: sorted by start
 */
struct vd_memtable {
	u32 count;
	bool overlap;
	struct vd_region region[];
};

struct vd_memtable *vd_memtable_empty(void);
struct vd_memtable *vd_memtable_read(struct vhost_memory __user *arg);
const struct vd_region *vd_memtable_search(const struct vd_memtable *t,
					   u64 gpa);

unsigned int vd_memtable_most(void);

/**
 * vd_memtable_find - the region of a guest address
 * @t: the table, or NULL
 * @cache: the caller's last hit in @t
 * @gpa: guest-physical address
 *
 * Return: the region, or NULL. Context: any.
 */
static inline const struct vd_region *
vd_memtable_find(const struct vd_memtable *t, const struct vd_region **cache,
		 u64 gpa)
{
	const struct vd_region *r = *cache;

	if (likely(r && gpa >= r->start && gpa <= r->last))
		return r;
	r = t ? vd_memtable_search(t, gpa) : NULL;
	if (r)
		*cache = r;
	return r;
}

#endif /* VD_MEMTABLE_H */

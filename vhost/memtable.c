// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory table (VHOST_SET_MEM_TABLE).
 *
 * vhost_iotlb would do, as it does for stock; but this look-up stands in the
 * path of every packet, the table never changes once it is made, and a
 * search in a sorted array is a few instructions.
 */
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>
#include <linux/vhost.h>

#include "iotlb.h"
#include "memtable.h"

/* Stock's name and default: QEMU and DPDK look for it. */
static ushort max_mem_regions = 64;
module_param(max_mem_regions, ushort, 0444);
MODULE_PARM_DESC(max_mem_regions,
		 "Most regions of a memory table (default 64)");

/**
 * vd_memtable_most - how many regions a table may have
 *
 * Return: what the parameter says. Context: any.
 */
unsigned int vd_memtable_most(void)
{
	return max_mem_regions;
}
EXPORT_SYMBOL_GPL(vd_memtable_most);

static int vd_region_cmp(const void *a, const void *b)
{
	const struct vd_region *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* A region is usable if it neither wraps nor leaves user space. */
static int vd_region_set(struct vd_region *r,
			 const struct vhost_memory_region *m)
{
	u64 last_uaddr;

	if (!m->memory_size ||
	    check_add_overflow(m->guest_phys_addr, m->memory_size - 1,
			       &r->last) ||
	    check_add_overflow(m->userspace_addr, m->memory_size - 1,
			       &last_uaddr) ||
	    last_uaddr > ULONG_MAX ||
	    !access_ok((void __user *)(unsigned long)m->userspace_addr,
		       m->memory_size))
		return -EFAULT;
	r->start = m->guest_phys_addr;
	r->uaddr = m->userspace_addr;
	return 0;
}

static struct vd_memtable *vd_memtable_make(const struct vhost_memory_region *m,
					    u32 count)
{
	struct vd_memtable *t;
	u32 i;

	t = kvmalloc(struct_size(t, region, count), GFP_KERNEL_ACCOUNT);
	if (!t)
		return ERR_PTR(-ENOMEM);
	t->count = count;
	t->overlap = false;
	for (i = 0; i < count; i++) {
		if (vd_region_set(&t->region[i], &m[i])) {
			kvfree(t);
			return ERR_PTR(-EFAULT);
		}
	}
	sort(t->region, count, sizeof(*t->region), vd_region_cmp, NULL);
	for (i = 1; i < count; i++)
		if (t->region[i].start <= t->region[i - 1].last)
			t->overlap = true;
	return t;
}

/**
 * vd_memtable_read - make a table from a user's struct vhost_memory
 * @arg: in the owner's memory
 *
 * Return: the table, to be given to kvfree(); or ERR_PTR(-EFAULT) for memory
 * that can't be read or a region that is empty, wraps or isn't user memory,
 * -EOPNOTSUPP for padding, -E2BIG for too many regions, -EINVAL if the
 * parameter of the IOTLB allows it no entry, -ENOMEM.
 * Context: may sleep.
 */
struct vd_memtable *vd_memtable_read(struct vhost_memory __user *arg)
{
	struct vhost_memory_region *m;
	struct vd_memtable *t;
	struct vhost_memory head;

	if (copy_from_user(&head, arg, sizeof(head)))
		return ERR_PTR(-EFAULT);
	if (head.padding)
		return ERR_PTR(-EOPNOTSUPP);
	if (head.nregions > max_mem_regions)
		return ERR_PTR(-E2BIG);
	/* Stock keeps the table in one, and refuses it at this place. */
	if (!vd_iotlb_allowed())
		return ERR_PTR(-EINVAL);
	m = kvmalloc_array(head.nregions ?: 1, sizeof(*m), GFP_KERNEL);
	if (!m)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(m, arg->regions, head.nregions * sizeof(*m)))
		t = ERR_PTR(-EFAULT);
	else
		t = vd_memtable_make(m, head.nregions);
	kvfree(m);
	return t;
}

/**
 * vd_memtable_empty - make a table that has no region
 *
 * Return: the table, to be given to kvfree(); NULL without memory.
 * Context: may sleep.
 */
struct vd_memtable *vd_memtable_empty(void)
{
	struct vd_memtable *t = vd_memtable_make(NULL, 0);

	return IS_ERR(t) ? NULL : t;
}
EXPORT_SYMBOL_GPL(vd_memtable_empty);

/**
 * vd_memtable_search - the first region that holds a guest address
 * @t: the table
 * @gpa: guest-physical address
 *
 * Return: the region, or NULL. Context: any.
 */
const struct vd_region *vd_memtable_search(const struct vd_memtable *t,
					   u64 gpa)
{
	u32 lo = 0, hi = t->count;

	/* The number of regions that start at or below the address. */
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (t->region[mid].start <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!t->overlap)
		return lo && gpa <= t->region[lo - 1].last ?
		       &t->region[lo - 1] : NULL;
	for (hi = 0; hi < lo; hi++)
		if (gpa <= t->region[hi].last)
			return &t->region[hi];
	return NULL;
}

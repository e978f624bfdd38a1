// SPDX-License-Identifier: GPL-2.0-only
/*
 * iotlb: with max_iotlb_entries=0. Stock keeps memory tables in an IOTLB, too: a device has
 * neither then, and says so in the same order.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iotlb.h"

/* A table without a region, the rest as given. */
static int table(int fd, struct vhost_memory *at, unsigned int regions, unsigned int padding)
{
	at->nregions = regions;
	at->padding = padding;
	return node_call(fd, VHOST_SET_MEM_TABLE, at);
}

void iotlb_none(void)
{
	uint8_t *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	struct node_region r = { 0x100000, PAGE, (uintptr_t)at };
	struct vhost_memory *whole = (void *)at, *cut;
	int fd = node_open(node_path);

	MUST(at != MAP_FAILED && !mprotect(at + PAGE, PAGE, PROT_NONE), "memory");
	cut = (void *)(at + PAGE - sizeof(*cut));
	t_begin("max_iotlb_entries=0: a memory table is refused, unless its head is wrong first");
	CHECK_EQ(table(fd, whole, 0, 0), -EPERM);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(node_table(fd, &r, 1), -EINVAL);
	CHECK_EQ(table(fd, whole, 0, 0), -EINVAL);
	CHECK_EQ(table(fd, cut, 1, 0), -EINVAL);
	CHECK_EQ(table(fd, cut, 1, 1), -EOPNOTSUPP);
	CHECK_EQ(table(fd, cut, ~0u, 0), -E2BIG);
	CHECK_EQ(node_call(fd, VHOST_SET_MEM_TABLE, at + PAGE), -EFAULT);
	t_end();
	t_begin("max_iotlb_entries=0: a vIOMMU is refused, all else can be set");
	CHECK_EQ(node_features(fd, F_V1 | F_PLATFORM), -EFAULT);
	CHECK_EQ(node_features(fd, F_V1 | F_MRG), 0);
	t_end();
	close(fd);
	munmap(at, 2 * PAGE);
}

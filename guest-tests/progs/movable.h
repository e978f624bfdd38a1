/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is anybody left who holds pages? One that somebody has a reference to can't be moved to
 * another node: whoever has it for a moment is waited for, one who lost it keeps it for ever.
 */
#ifndef GT_MOVABLE_H
#define GT_MOVABLE_H

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MV_PAGE		4096ul
#define MV_PAGES	64
#define MV_TRIES	100

/* How many of the pages did not come to @node, -1 if there is no such node. */
static inline int mv_left(void *at, unsigned int n, int node)
{
	int nodes[MV_PAGES], status[MV_PAGES];
	void *pages[MV_PAGES];
	unsigned int i, left = 0;

	for (i = 0; i < n; i++) {
		pages[i] = (char *)at + i * MV_PAGE;
		nodes[i] = node;
		status[i] = -1;
		/* Each mapping of a file's page finds it anew. */
		(void)*(volatile char *)pages[i];
	}
	if (syscall(SYS_move_pages, 0, n, pages, nodes, status, MPOL_MF_MOVE_ALL) < 0)
		return -1;
	for (i = 0; i < n; i++)
		left += status[i] != node;
	return left;
}

/*
 * There and back, wherever each is now. Returns how many of @n pages, MV_PAGES at most, each of
 * which was written once, stay where they are; -1 if there is no other node. Needs
 * CAP_SYS_NICE: a page may be mapped twice.
 */
static inline int mv_held(void *at, unsigned int n)
{
	int node, left = 0;
	unsigned int tries;

	for (node = 1; node >= 0 && !left; node--) {
		for (tries = 0; tries < MV_TRIES; tries++) {
			left = mv_left(at, n, node);
			if (left <= 0)
				break;
			usleep(20000);
		}
	}
	return left;
}

#endif /* GT_MOVABLE_H */

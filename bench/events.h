/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory events: what the files that hold them share. events.c runs them. */
#ifndef BENCH_EVENTS_H
#define BENCH_EVENTS_H

#include <linux/userfaultfd.h>

#include "vring.h"

#define PAGE		4096UL
#define HUGE_SIZE	(2UL << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25	/* Linux 6.1; not in bookworm's libc headers */
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif
#ifndef UFFDIO_MOVE	/* Linux 6.8 */
#define UFFDIO_MOVE		_IOWR(UFFDIO, 0x05, struct uffdio_move)
#define UFFD_FEATURE_MOVE	(1 << 16)
struct uffdio_move {
	__u64 dst, src, len, mode;
	__s64 move;
};
#endif

/* Callbacks of a kind: over the rings, and beside them. */
struct vr_told_kind {
	char name[16];
	uint64_t over, beside;
};

#define VR_TOLD_KINDS	16

struct vr_told {
	unsigned int n;
	struct vr_told_kind kind[VR_TOLD_KINDS];
};

/*
 * It strikes now the rings, now some place among the buffers. @fn returns 0, or -1
 * and errno if the event could not happen. What must not be, the device's write gone,
 * say, it reports by vr_fail(). @begin is called before the traffic starts, @end after
 * it stopped. @sided: it does strike what it is given; the times that this was
 * the rings are counted by themselves, too.
 */
struct vr_event {
	const char *name;
	bool quiet, sided;
	int (*fn)(struct vr_run *r, struct vr_range w);
	const char *help;
	void (*begin)(struct vr_run *r);
	void (*end)(struct vr_run *r);
	bool on;
	uint64_t done, failed, rings_done, rings_failed, longest_ns;
	int why;
	struct vr_told told;
};

/* Each ends with an entry without name. */
extern struct vr_event vr_map_events[], vr_track_events[], vr_host_events[], vr_swap_events[];

/* events.c */
int vr_file_write(const char *path, const char *text);
struct vr_range vr_whole_pages(struct vr_run *r, struct vr_range w);
int vr_refill(struct vr_run *r, struct vr_range w, int (*how)(struct vr_run *r, struct vr_range w));
int vr_remap(struct vr_run *r, struct vr_range w);
int vr_punch(struct vr_run *r, struct vr_range w);
uint64_t vr_pagemap(const void *at);
int vr_on_huge_page(const uint8_t *at);

/* told.c */
void vr_told_mark(void);
bool vr_told_over(void);
void vr_told_add(struct vr_told *sum);
void vr_told_print(const struct vr_told *t);

#define VR_PM_PFN		((1ULL << 55) - 1)
#define VR_PM_SOFT_DIRTY	(1ULL << 55)
#define VR_PM_PRESENT		(1ULL << 63)

/*
 * The used ring of one queue, which the device alone writes. @page is the first
 * of the whole pages it lies on; with --offset nothing that the driver writes
 * lies on them.
 */
struct vr_used {
	uint8_t *at, *page;
	size_t len, page_len;
};

unsigned int vr_used_rings(struct vr_run *r, struct vr_used out[2 * VR_MAX_QUEUES]);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of one virtqueue. */
#ifndef VD_STATS_H
#define VD_STATS_H

#include <linux/types.h>

struct seq_file;
struct vd_stats;

/*
 * One list gives the structure's fields and the names that users see. They
 * are written under the queue's mutex, those of invalidations under the window
 * lock; readers may be a moment behind.
 */
#define VD_STATS_LIST(X)						\
	X(packets)		/* frames moved */			\
	X(bytes)		/* their bytes, headers excluded */	\
	X(dropped)		/* frames given up: refused, lost, too long */ \
	X(bursts_direct)	/* ring accesses through the windows */	\
	X(bursts_user)		/* the same by user access */		\
	X(kicks)		/* wake-ups by driver or owner */	\
	X(signals)		/* interrupts sent to the driver */	\
	X(retries)		/* frames put back for a full socket */	\
	X(malformed)		/* queue stopped: illegal ring content */ \
	X(faults)		/* stopped, or frames lost: memory not accessible */ \
	X(maps)			/* windows installed */			\
	X(map_failures)		/* pages, or memory for windows, not to be had */ \
	X(map_races)		/* given up: an invalidation was in flight */ \
	X(inval_hit)		/* invalidations that dropped windows */ \
	X(inval_missed)		/* of the ring, with no window mapped */ \
	X(logged)		/* bits set in the dirty log */		\
	X(log_failures)		/* writes of which the log wasn't told */ \
	X(iotlb_misses)		/* translations asked for */		\
	X(polls)		/* times the worker polled, not slept */ \
	X(poll_hits)		/* of these, those that found work */	\
	X(poll_rests)		/* of these, those that ended with the wish for a kick */ \
	X(poll_yields)		/* of these, those for another task's sake */ \
	X(poll_looks)		/* looks at the ring or socket for it */ \
	X(iotlb_updates)	/* translations told to the device */	\
	X(iotlb_invals)		/* ranges of them taken back */		\
	X(zerocopy)		/* frames sent as they lie in memory */	\
	X(zerocopy_done)	/* of these, those that have left it */	\
	X(zerocopy_copied)	/* of these, those that were copied after all */ \
	X(zerocopy_bound)	/* frames copied: too many under way */

struct vd_counters {
#define X(name) u64 name;
	VD_STATS_LIST(X)
#undef X
};

/* Counters are read without a lock: the store must not be torn. */
#define vd_stat_add(c, name, n) \
	WRITE_ONCE((c)->name, (c)->name + (n))
#define vd_stat_inc(c, name) vd_stat_add(c, name, 1)

unsigned int vd_stats_count(void);
int vd_stats_copy(const struct vd_counters *c, struct vd_stats __user *arg);
void vd_stats_show(const struct vd_counters *c, struct seq_file *m);

#endif /* VD_STATS_H */

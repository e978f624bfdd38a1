/* SPDX-License-Identifier: GPL-2.0-only */
/* Pages that aren't there, and whoever wants one waits until the test brings it (userfaultfd). */
#ifndef GT_AWAY_H
#define GT_AWAY_H

#include <stddef.h>

/* A descriptor by which wants are told, and pages come; -1 if this kernel has no userfaultfd. */
int away_open(void);
/* These pages go, and stay away. */
void away_keep(int fd, void *at, size_t len);
/* One comes, with the contents of @page; NULL: zeros. */
void away_bring(int fd, void *at, const void *page);
/* Whoever waits for one looks again, be it there or not. */
void away_wake(int fd, void *at);

#endif /* GT_AWAY_H */

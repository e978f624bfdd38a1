/* SPDX-License-Identifier: GPL-2.0-only */
/* workers: what its files share. */
#ifndef GT_WORKERS_H
#define GT_WORKERS_H

#include <stdbool.h>

extern const char *path;

/* Kernel threads that serve this process; one that has ended is listed for a moment more. */
bool threads_are(unsigned int n);

int fork_mode(int fd, unsigned int mode);
/* Can the kernel lend the owner's threads? CHECKs that it should. */
bool can_fork(void);
/* An open node that will be served by the owner's threads. */
int forking(void);

void fork_from_owner(void);
void fork_default(void);
void cgroup_accounting(void);

#endif /* GT_WORKERS_H */

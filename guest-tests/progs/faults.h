/* SPDX-License-Identifier: GPL-2.0-only */
/* faults: one failure of a task's calls, by number (/proc/PID/task/TID/fail-nth). */
#ifndef GT_FAULTS_H
#define GT_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vq.h"

/* No call allocates as often as that: then something never ends. */
#define MOST	400
#define PATIENCE_MS 10000

extern const char *node_path;

/* Of a task, 0 for the caller. */
int nth_open(pid_t tid);
/* The nth place from now on that can fail does; 0: none. */
void nth_set(int fd, unsigned int n);
/*
 * None from now on. Returns how many places more were to come before the
 * failure; 0: it has happened.
 */
unsigned int nth_end(int fd);
/* What a call may answer that met a failure. */
bool plausible(int ret);

/*
 * Until @n buffers in all have come back. A device that says by VRING_ERR that
 * it stopped goes on with the next kick; @again, if it isn't NULL, replaces a
 * frame that a failure may have cost. Returns how often it said so, -1 if the
 * buffers don't come.
 */
int vq_comes_back(struct vq *q, uint32_t n, void (*again)(void *), void *arg);

/* CHECKs that nobody keeps a reference to the pages of a part of a ring. */
void nobody_holds(void *part, size_t len);

void faults_setup(void);
void faults_zcopy(void);
void faults_iotlb(void);
void faults_iotlb_map(void);
void faults_iotlb_pieces(void);
void faults_log(void);
void faults_log_map(void);

#endif /* GT_FAULTS_H */

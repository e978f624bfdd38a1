/* SPDX-License-Identifier: GPL-2.0-only */
/* Processes, and what the kernel tells about itself: log, threads, memory. */
#ifndef GT_PROC_H
#define GT_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define NS_PER_MS 1000000ull

uint64_t now_ns(void);
void sleep_ms(unsigned int ms);

/*
 * A wait for what comes counts its looks, as @ms sleeps of a millisecond, and not time: if all of
 * the VM stood still, whoever waits is the first to go on, and must not find that time is over.
 * poll_ms() is poll(), in slices, of which such a pause takes one.
 */
struct pollfd;
int poll_ms(struct pollfd *p, unsigned int n, unsigned int ms);

/* From now on; then: in how many lines, or in any, are both texts? */
void klog_mark(void);
unsigned int klog_count(const char *a, const char *b);
bool klog_has(const char *a, const char *b);

/*
 * A process of its own in our memory, with our descriptors; it ends when @fn does. One at a
 * time: they have one stack.
 */
pid_t sibling_start(int (*fn)(void *arg), void *arg);

pid_t worker_find(pid_t owner);
/* A thread that has ended is listed for a moment more: is it gone after that? */
bool worker_gone(pid_t owner);
uint64_t worker_cpu_ns(pid_t worker);
char worker_state(pid_t worker);
/* Waits until the worker has been idle for some milliseconds. */
void worker_rest(pid_t worker);
/* Comes to rest, within some tries: one that spins never does. */
bool worker_rests(pid_t worker);

long meminfo_kb(const char *key);
/* Slab, vmalloc, kernel stacks, page tables: what a device may hold on to. */
long kernel_kb(void);
/* Free memory, with the caches dropped, and what the per-CPU lists hold of it. */
long free_kb(void);
/* How much free memory or slab may come and go by itself over thousands of calls. */
long slack_kb(void);
long fds_of_self(void);
long files_of_system(void);
/* How far apart two readings of that can be though nothing was left open. */
long slack_files(void);

#endif /* GT_PROC_H */

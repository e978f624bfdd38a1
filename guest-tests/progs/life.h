/* SPDX-License-Identifier: GPL-2.0-only */
/* Cases of the program life. */
#ifndef GT_LIFE_H
#define GT_LIFE_H

#include <stdbool.h>

#include "rig.h"

struct life_case {
	const char *name;
	void (*fn)(void);
	const char *help;
};

extern const char *life_node;
extern const struct life_case life_pass_cases[], life_slow_cases[], life_haste_cases[],
	life_oom_cases[];

/* A device in the usual state; @shared: memory that children see too. */
void life_open(struct rig *r, bool shared);

/* Descriptors over a socket; the receiver gets -1 for each after the sender's end. */
void life_send(int sock, const int *fd, unsigned int n);
bool life_receive(int sock, int *fd, unsigned int n);

/* Sends the same frame for ever: a thread, or all that a process does. */
void *life_pump(void *rig);

/* life_slow.c: pages that don't come, and who waits for them or for their worker. */
#define LIFE_SOON_MS 5000

/*
 * What a thread of the owner waits in, uninterruptibly but for its end. @second: for a worker that
 * waits for another one, which waits for a page. @forked: the worker is a thread of the owner's,
 * has more to do, and does it as the last of all.
 */
struct life_wait {
	const char *name;
	long (*call)(struct rig *r);
	bool second;
	bool forked;
};

struct life_caller {
	const struct life_wait *in;
	struct rig *r;
	pid_t tid;
};

/*
 * A device (@node: open already), pages of its memory that aren't there, and the descriptor by
 * which they come; or -1.
 */
int life_without(struct rig *r, int node, uint8_t **page, unsigned int pages);
/* Offers the frame that is to lie at @at. */
void life_offer(struct rig *r, unsigned int i, const uint8_t *at);
/* The page comes, and the next frame in it. */
void life_bring(struct rig *r, int fd, uint8_t *page);
/* Does the last frame made come out of the tap? */
bool life_comes(struct rig *r);
bool life_readable(int fd);
/* For sibling_start(), @at: a struct life_caller. */
int life_sibling(void *at);
long life_get_base_rx(struct rig *r);
/* Will the one whose number is in @tid be stuck in the kernel? */
bool life_stuck(pid_t *tid);
bool life_ends(pid_t child, int *status);

#endif /* GT_LIFE_H */

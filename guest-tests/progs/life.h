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
extern const struct life_case life_pass_cases[], life_slow_cases[], life_oom_cases[];

/* A device in the usual state; @shared: memory that children see too. */
void life_open(struct rig *r, bool shared);

/* Descriptors over a socket; the receiver gets -1 for each after the sender's end. */
void life_send(int sock, const int *fd, unsigned int n);
bool life_receive(int sock, int *fd, unsigned int n);

/* Sends the same frame for ever: a thread, or all that a process does. */
void *life_pump(void *rig);

#endif /* GT_LIFE_H */

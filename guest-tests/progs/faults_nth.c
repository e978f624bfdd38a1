// SPDX-License-Identifier: GPL-2.0-only
/* faults: one failure of a task's calls, by number. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "faults.h"
#include "node.h"
#include "test.h"

int nth_open(pid_t tid)
{
	char name[64] = "/proc/thread-self/fail-nth";
	int fd;

	if (tid)
		snprintf(name, sizeof(name), "/proc/%d/task/%d/fail-nth", tid, tid);
	fd = open(name, O_RDWR | O_CLOEXEC);
	MUST(fd >= 0, "%s", name);
	return fd;
}

void nth_set(int fd, unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n), tries = 0;

	/* Writing copies from us: that may be the one that fails. */
	while (pwrite(fd, text, len, 0) != len)
		MUST(tries++ < 3, "fail-nth");
}

unsigned int nth_end(int fd)
{
	char text[16] = { 0 };
	int tries = 0;

	/* As above; then the answer is one failure too many, which does no harm. */
	while (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		MUST(tries++ < 3, "fail-nth");
	nth_set(fd, 0);
	return strtoul(text, NULL, 10);
}

bool plausible(int ret)
{
	return ret == 0 || ret == -ENOMEM || ret == -EFAULT;
}

int vq_comes_back(struct vq *q, uint32_t n, void (*again)(void *), void *arg)
{
	int stops = 0, said;
	unsigned int ms;

	for (ms = 0; ms < PATIENCE_MS; ms += 20) {
		if (vq_wait(q, n, 20))
			return stops;
		said = event_wait(q->err, 0);
		stops += said;
		if (said || (again && ms % 200 == 180)) {
			if (again)
				again(arg);
			vq_kick(q);
		}
	}
	return -1;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The back end's workers: kernel threads named vhost-<pid> before Linux 6.4,
 * threads of this process by that name since.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vring.h"

static void find_in(struct vr_run *r, const char *dir, const char *name)
{
	const unsigned int max = sizeof(r->worker) / sizeof(r->worker[0]);
	char path[300], comm[32];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		FILE *f;

		if (!isdigit(e->d_name[0]) || r->nworkers == max)
			continue;
		snprintf(path, sizeof(path), "%s/%s/comm", dir, e->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(comm, sizeof(comm), f) && !strncmp(comm, name, strlen(name)) &&
		    comm[strlen(name)] == '\n')
			r->worker[r->nworkers++] = atoi(e->d_name);
		fclose(f);
	}
	if (d)
		closedir(d);
}

void vr_worker_find(struct vr_run *r)
{
	char name[32];

	snprintf(name, sizeof(name), "vhost-%d", getpid());
	r->nworkers = 0;
	find_in(r, "/proc/self/task", name);
	if (!r->nworkers)
		find_in(r, "/proc", name);
	if (!r->nworkers)
		vr_die("%s: no worker thread named %s", r->o->dev, name);
}

static void pin(int tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(tid, sizeof(set), &set))
		vr_die_errno("pin thread %d to processor %d", tid, cpu);
}

void vr_worker_pin(struct vr_run *r, int cpu)
{
	unsigned int i;

	for (i = 0; i < r->nworkers; i++)
		pin(r->worker[i], cpu);
}

void vr_driver_pin(int cpu)
{
	pin(0, cpu);
}

/*
 * CPU time of all workers so far. The scheduler brings the figure of a thread
 * that is running up to date at each tick, so a window should be many ticks long.
 */
uint64_t vr_worker_ns(const struct vr_run *r)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < r->nworkers; i++) {
		unsigned long long ns = 0;
		char path[64];
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/schedstat", r->worker[i]);
		f = fopen(path, "r");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	return sum;
}

/* Whether no worker runs or is about to. */
bool vr_worker_asleep(const struct vr_run *r)
{
	char path[64], state = 'R';
	unsigned int i;
	FILE *f;

	for (i = 0; i < r->nworkers; i++) {
		snprintf(path, sizeof(path), "/proc/%d/stat", r->worker[i]);
		f = fopen(path, "r");
		/* The name has no blank: vhost-<pid>. */
		if (f && fscanf(f, "%*d %*s %c", &state) != 1)
			state = 'R';
		if (f)
			fclose(f);
		if (state != 'S' && state != 'I')
			return false;
	}
	return true;
}

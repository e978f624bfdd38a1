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

/* Fields of /proc/<pid>/stat, counted from 1 (proc(5)). */
#define STAT_STATE	3
#define STAT_PROCESSOR	39

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

/* Nanoseconds that a thread ran, and waited for a processor; 0 if it isn't known. */
static void times_of(int tid, unsigned long long *ran, unsigned long long *waited)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", tid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llu %llu", ran, waited) != 2)
		*ran = *waited = 0;
	if (f)
		fclose(f);
}

/*
 * CPU time of all workers so far. The scheduler brings the figure of a thread
 * that is running up to date at each tick, so a window should be many ticks long.
 */
uint64_t vr_worker_ns(const struct vr_run *r)
{
	unsigned long long ran, waited;
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < r->nworkers; i++) {
		times_of(r->worker[i], &ran, &waited);
		sum += ran;
	}
	return sum;
}

/* A thread's state, or 'R' if it isn't known, and in @cpu its last processor, or -1. */
static char state_of(int tid, int *cpu)
{
	char path[64], line[1024] = "", *word, *rest;
	char state = 'R';
	unsigned int i;
	FILE *f;

	*cpu = -1;
	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	f = fopen(path, "r");
	if (!f)
		return state;
	/* The name has no blank: vhost-<pid>. */
	if (fgets(line, sizeof(line), f))
		for (i = 1, word = strtok_r(line, " ", &rest); word; i++, word = strtok_r(NULL, " ", &rest)) {
			if (i == STAT_STATE)
				state = *word;
			else if (i == STAT_PROCESSOR)
				*cpu = atoi(word);
		}
	fclose(f);
	return state;
}

/* Whether no worker runs or is about to. */
bool vr_worker_asleep(const struct vr_run *r)
{
	unsigned int i;
	int cpu;

	for (i = 0; i < r->nworkers; i++) {
		char state = state_of(r->worker[i], &cpu);

		if (state != 'S' && state != 'I')
			return false;
	}
	return true;
}

/* The function that a worker sleeps in; "0" if it doesn't, or nobody may know. */
static void sleeps_in(int tid, char name[64])
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/wchan", tid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%63s", name) != 1)
		strcpy(name, "?");
	if (f)
		fclose(f);
}

/* What each worker does, for whoever reads that nothing moved. */
void vr_worker_tell(const struct vr_run *r)
{
	unsigned int i;

	for (i = 0; i < r->nworkers; i++) {
		unsigned long long ran, waited;
		char where[64], state;
		int cpu;

		times_of(r->worker[i], &ran, &waited);
		state = state_of(r->worker[i], &cpu);
		sleeps_in(r->worker[i], where);
		fprintf(stderr, "vring: worker %d: state %c in %s, processor %d, ran %.3f s, waited %.3f s to run\n",
			r->worker[i], state, where, cpu, ran / 1e9, waited / 1e9);
	}
}

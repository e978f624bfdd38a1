// SPDX-License-Identifier: GPL-2.0-only
/* Processes, and what the kernel tells about itself: log, threads, memory. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "test.h"

#define SLICE_MS 50
/* A worker that is at rest uses none; an interrupt may be charged to it. */
#define REST_MS 60
#define REST_CPU_MS 6

static int kmsg = -1;
/* What the kernel has said since the mark. */
static char klog[256 << 10];
static size_t klog_len;

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void sleep_ms(unsigned int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

int poll_ms(struct pollfd *p, unsigned int n, unsigned int ms)
{
	unsigned int slice;
	int ready;

	do {
		slice = ms < SLICE_MS ? ms : SLICE_MS;
		ms -= slice;
		ready = poll(p, n, slice);
	} while (!ready && ms);
	return ready;
}

void klog_mark(void)
{
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	MUST(kmsg >= 0, "/dev/kmsg");
	lseek(kmsg, 0, SEEK_END);
	klog_len = 0;
}

/* Adds what came since to what is kept. What doesn't fit any more is left out. */
static void klog_read(void)
{
	char line[8192];
	ssize_t n;

	for (;;) {
		n = read(kmsg, line, sizeof(line));
		/* EPIPE: overwritten before it was read; go on with the next. */
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return;
		if (klog_len + n < sizeof(klog)) {
			memcpy(klog + klog_len, line, n);
			klog_len += n;
		}
	}
}

unsigned int klog_count(const char *a, const char *b)
{
	char *line, *end, copy[8192];
	unsigned int found = 0;

	klog_read();
	for (line = klog; line < klog + klog_len; line = end + 1) {
		end = memchr(line, '\n', klog + klog_len - line);
		if (!end)
			break;
		snprintf(copy, sizeof(copy), "%.*s", (int)(end - line), line);
		found += strstr(copy, a) && strstr(copy, b);
	}
	return found;
}

bool klog_has(const char *a, const char *b)
{
	return klog_count(a, b);
}

/* The first of a folder's processes or threads that is called so. */
static pid_t named(const char *folder, const char *want)
{
	char path[80], comm[32];
	DIR *d = opendir(folder);
	struct dirent *e;
	pid_t found = 0;
	FILE *f;

	while (d && !found && (e = readdir(d))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "%.40s/%.20s/comm", folder, e->d_name);
		f = fopen(path, "r");
		if (f && fgets(comm, sizeof(comm), f) && !strcmp(comm, want))
			found = atoi(e->d_name);
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return found;
}

pid_t sibling_start(int (*fn)(void *arg), void *arg)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t pid = clone(fn, stack + sizeof(stack), CLONE_VM | CLONE_FILES | SIGCHLD, arg);

	MUST(pid > 0, "clone");
	return pid;
}

/*
 * The thread has the owner's name in its own. Ours isn't a child of it; stock's
 * is a thread of its process from 6.4 on.
 */
pid_t worker_find(pid_t owner)
{
	char want[32], tasks[40];

	snprintf(want, sizeof(want), "vhost-%d\n", owner);
	snprintf(tasks, sizeof(tasks), "/proc/%d/task", owner);
	return named("/proc", want) ?: named(tasks, want);
}

bool worker_gone(pid_t owner)
{
	unsigned int tries;

	for (tries = 0; worker_find(owner); tries++) {
		if (tries == 50)
			return false;
		sleep_ms(2);
	}
	return true;
}

uint64_t worker_cpu_ns(pid_t worker)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", worker);
	f = fopen(path, "r");
	MUST(f && fscanf(f, "%llu", &ns) == 1, "%s", path);
	fclose(f);
	return ns;
}

char worker_state(pid_t worker)
{
	char path[64], line[512], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", worker);
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof(line), f)) {
		if (f)
			fclose(f);
		return 0;
	}
	fclose(f);
	p = strrchr(line, ')');
	return p ? p[2] : 0;
}

long meminfo_kb(const char *key)
{
	size_t len = strlen(key);
	long kb = -1;
	char line[256];
	FILE *f = fopen("/proc/meminfo", "r");

	MUST(f, "/proc/meminfo");
	while (kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len) && line[len] == ':')
			kb = atol(line + len + 1);
	fclose(f);
	MUST(kb >= 0, "no %s in /proc/meminfo", key);
	return kb;
}

long kernel_kb(void)
{
	return meminfo_kb("Slab") + meminfo_kb("VmallocUsed") +
	       meminfo_kb("KernelStack") + meminfo_kb("PageTables");
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0 && write(fd, text, strlen(text)) > 0, "%s", path);
	close(fd);
}

/* Pages that each CPU keeps at hand: free, but not counted so. */
static long at_hand_kb(void)
{
	long pages, sum = 0;
	char line[256];
	FILE *f = fopen("/proc/zoneinfo", "r");

	MUST(f, "/proc/zoneinfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " count: %ld", &pages) == 1)
			sum += pages * 4;
	fclose(f);
	return sum;
}

long free_kb(void)
{
	write_file("/proc/sys/vm/drop_caches", "3");
	/* Brings the counters of each CPU to where they are read. */
	write_file("/proc/sys/vm/stat_refresh", "1");
	sleep_ms(200);
	return meminfo_kb("MemFree") + at_hand_kb();
}

long slack_kb(void)
{
	const char *name = getenv("VD_SANITIZER");

	/*
	 * KASAN keeps what is freed for a while, up to a 32nd of all memory, and
	 * a trace of who allocated it for ever. There kmemleak finds the leaks.
	 */
	if (name && !strcmp(name, "kasan"))
		return meminfo_kb("MemTotal") / 16;
	return 4 << 10;
}

long fds_of_self(void)
{
	DIR *d = opendir("/proc/self/fd");
	long n = 0;

	MUST(d, "/proc/self/fd");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

long files_of_system(void)
{
	FILE *f = fopen("/proc/sys/fs/file-nr", "r");
	long n = 0;

	MUST(f && fscanf(f, "%ld", &n) == 1, "/proc/sys/fs/file-nr");
	fclose(f);
	return n;
}

/*
 * A percpu_counter, read without its processors' parts: each holds back less
 * than a batch, of 32 or of twice the processors, either way.
 */
long slack_files(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_CONF);
	const long batch = 2 * cpus > 32 ? 2 * cpus : 32;

	return 2 * batch * cpus;
}

void worker_rest(pid_t worker)
{
	unsigned int still = 0;

	while (still < 5) {
		sleep_ms(2);
		still = worker_state(worker) == 'R' ? 0 : still + 1;
	}
}

bool worker_rests(pid_t worker)
{
	unsigned int tries;
	uint64_t cpu;

	/* On a busy machine what it waits for its processor is charged to it, too. */
	for (tries = 0; tries < 10; tries++) {
		cpu = worker_cpu_ns(worker);
		sleep_ms(REST_MS);
		if (worker_cpu_ns(worker) - cpu < REST_CPU_MS * NS_PER_MS &&
		    worker_state(worker) != 'R')
			return true;
	}
	return false;
}

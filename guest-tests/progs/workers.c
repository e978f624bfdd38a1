// SPDX-License-Identifier: GPL-2.0-only
/*
 * workers: threads that the owner asks for, and the ioctls of newer kernels.
 *
 *	workers NODE
 *
 * As KTAP; for our node, which has them on every kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_new.h"
#include "rig.h"
#include "test.h"
#include "vq.h"
#include "workers.h"

#define MOST 16

const char *path;

/* Threads that serve this process. */
static unsigned int threads(void)
{
	char want[32], comm[64], name[300];
	DIR *proc = opendir("/proc");
	struct dirent *e;
	unsigned int n = 0;

	MUST(proc, "/proc");
	snprintf(want, sizeof(want), "vhost-%d\n", getpid());
	while ((e = readdir(proc))) {
		FILE *f;

		snprintf(name, sizeof(name), "/proc/%s/comm", e->d_name);
		f = fopen(name, "r");
		if (!f)
			continue;
		n += fgets(comm, sizeof(comm), f) && !strcmp(comm, want);
		fclose(f);
	}
	closedir(proc);
	return n;
}

/* A thread that has ended is listed for a moment more. */
bool threads_are(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < 200 && threads() != n; i++)
		sleep_ms(5);
	return threads() == n;
}

static void answers(void)
{
	int fd = node_open(path), status = -1, i;
	pid_t child;

	t_begin("worker ioctls: numbers, threads, errors");
	CHECK_EQ(node_worker_new(fd), -EINVAL);
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(node_attached(fd, 0), 0);
	CHECK_EQ(node_attached(fd, 1), 0);
	CHECK_EQ(node_attached(fd, 2), -ENOBUFS);
	CHECK_EQ(node_worker_free(fd, 0), -EBUSY);
	CHECK_EQ(node_worker_new(fd), 1);
	CHECK(threads_are(2));
	CHECK_EQ(node_attach(fd, 1, 7), -ENODEV);
	CHECK_EQ(node_attach(fd, 1, ~0u), -ENODEV);
	CHECK_EQ(node_attach(fd, 3, 1), -ENOBUFS);
	CHECK_EQ(node_attach(fd, 1, 1), 0);
	CHECK_EQ(node_attach(fd, 1, 1), 0);
	CHECK_EQ(node_attached(fd, 1), 1);
	CHECK_EQ(node_worker_free(fd, 1), -EBUSY);
	CHECK_EQ(node_worker_free(fd, 2), -ENODEV);
	CHECK_EQ(node_worker_free(fd, ~0u), -ENODEV);
	for (i = 2; i < MOST; i++)
		CHECK_EQ(node_worker_new(fd), i);
	CHECK(threads_are(MOST));
	CHECK_EQ(node_worker_new(fd), -EBUSY);
	CHECK_EQ(node_worker_free(fd, 5), 0);
	CHECK_EQ(node_worker_new(fd), 5);
	/* Even the first may go when nobody needs it. */
	CHECK_EQ(node_attach(fd, 0, 5), 0);
	CHECK_EQ(node_worker_free(fd, 0), 0);
	CHECK(threads_are(MOST - 1));
	CHECK_EQ(node_call(fd, VHOST_NEW_WORKER, NULL), -EFAULT);
	CHECK(threads_are(MOST - 1));
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(node_worker_new(fd) == -EPERM && node_attach(fd, 0, 1) == -EPERM ? 0 : 1);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK_EQ(node_call(fd, VHOST_RESET_OWNER, NULL), 0);
	CHECK(threads_are(0));
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(node_attached(fd, 1), 0);
	close(fd);
	CHECK(threads_are(0));
	t_end();
}

struct switcher {
	int fd;
	atomic_bool stop;
	atomic_uint switches;
	int error;
};

static void *switching(void *arg)
{
	struct switcher *s = arg;

	while (!atomic_load(&s->stop) && !s->error) {
		unsigned int i = atomic_fetch_add(&s->switches, 1);
		int fresh = node_worker_new(s->fd);

		s->error = fresh < 0 ? fresh : node_attach(s->fd, i & 1, fresh);
		if (!s->error && i >= 2) {
			/* The one that this queue had before. */
			int id;

			for (id = 0; id < MOST; id++)
				if (id != node_attached(s->fd, 0) && id != node_attached(s->fd, 1))
					node_worker_free(s->fd, id);
		}
		sleep_ms(1);
	}
	return NULL;
}

static void under_traffic(void)
{
	const struct rig_opts o = { path, RIG_FEATURES, 0, true };
	struct switcher s = { 0 };
	pthread_t thread;
	unsigned int i;
	struct rig r;

	t_begin("queues change their workers under traffic: nothing lost");
	rig_open(&r, &o);
	s.fd = r.node;
	rig_tx_good(&r, 0);
	MUST(!pthread_create(&thread, NULL, switching, &s), "thread");
	/* On a busy machine the other thread is slow: it must have had its turns. */
	for (i = 0; (i < 300 || s.switches < 12) && !s.error && !t_errors(); i++) {
		rig_tx_good(&r, i % 16);
		rig_rx_good(&r, i % 16, r.buf + 0x4000 + i % 8 * 4096);
	}
	atomic_store(&s.stop, true);
	pthread_join(thread, NULL);
	CHECK_EQ(s.error, 0);
	t_diag("%u changes in %u rounds", atomic_load(&s.switches), i);
	rig_close(&r);
	CHECK(threads_are(0));
	t_end();
}

static void own_worker(void)
{
	const struct rig_opts o = { path, RIG_FEATURES, 0, true };
	struct rig r;
	pid_t first;
	uint64_t before;
	unsigned int i;
	int id;

	t_begin("a queue with a worker of its own leaves the first alone");
	rig_open(&r, &o);
	first = r.worker;
	id = node_worker_new(r.node);
	CHECK(id > 0);
	CHECK_EQ(node_attach(r.node, Q_TX, id), 0);
	rig_tx_good(&r, 0);
	sleep_ms(20);
	before = worker_cpu_ns(first);
	for (i = 0; i < 200; i++)
		rig_tx_good(&r, i % 16);
	/* It has nothing to do: not even a millisecond in 200 frames. */
	CHECK(worker_cpu_ns(first) - before < 1000000);
	rig_rx_good(&r, 1, r.buf + 0x8000);
	rig_close(&r);
	t_end();
}

static void features_array(void)
{
	struct { struct vhost_features_array h; uint64_t word[8]; } a;
	uint64_t one = 0, *far;
	int fd = node_open(path);
	unsigned int i;

	t_begin("VHOST_GET_FEATURES_ARRAY, VHOST_SET_FEATURES_ARRAY");
	CHECK_EQ(node_owner(fd), 0);
	CHECK_EQ(node_call(fd, VHOST_GET_FEATURES, &one), 0);
	memset(&a, 0xaa, sizeof(a));
	a.h.count = 4;
	CHECK_EQ(node_call(fd, VHOST_GET_FEATURES_ARRAY, &a), 0);
	CHECK_EQ(a.h.count, 4);
	CHECK(a.word[0] == one);
	/* Segmentation of UDP tunnels or nothing: the kernel's tun decides. */
	CHECK(!a.word[1] || a.word[1] == (2 | 8));
	for (i = 2; i < 4; i++)
		CHECK_EQ(a.word[i], 0);
	CHECK(a.word[4] == 0xaaaaaaaaaaaaaaaa);
	a.h.count = 0;
	CHECK_EQ(node_call(fd, VHOST_GET_FEATURES_ARRAY, &a), 0);
	a.h.count = ~0ull;
	CHECK_EQ(node_call(fd, VHOST_GET_FEATURES_ARRAY, &a), -EFAULT);
	CHECK_EQ(node_call(fd, VHOST_GET_FEATURES_ARRAY, NULL), -EFAULT);
	a.h.count = 3;
	memset(a.word, 0, sizeof(a.word));
	a.word[0] = RIG_FEATURES;
	CHECK_EQ(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), 0);
	a.word[2] = 1;
	CHECK_EQ(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), -EOPNOTSUPP);
	a.h.count = 2;
	CHECK_EQ(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), 0);
	a.word[0] = ~0ull;
	CHECK_EQ(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), -EOPNOTSUPP);
	a.h.count = 0;
	CHECK_EQ(node_call(fd, VHOST_SET_FEATURES_ARRAY, &a), 0);
	/* More than there is memory: to its end and no farther. */
	far = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(far != MAP_FAILED, "mmap");
	MUST(!mprotect((uint8_t *)far + (1 << 19), 1 << 19, PROT_NONE), "mprotect");
	far[0] = ~0ull;
	CHECK_EQ(node_call(fd, VHOST_SET_FEATURES_ARRAY, far), -EFAULT);
	munmap(far, 1 << 20);
	close(fd);
	t_end();
}

int main(int argc, char **argv)
{
	bool by_default = argc == 3 && !strcmp(argv[2], "default");

	if (argc != 2 && !by_default) {
		fprintf(stderr, "usage: workers NODE [default]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	path = argv[1];
	if (by_default) {
		fork_default();
		return t_done();
	}
	answers();
	features_array();
	fork_from_owner();
	own_worker();
	cgroup_accounting();
	under_traffic();
	return t_done();
}

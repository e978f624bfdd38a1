// SPDX-License-Identifier: GPL-2.0-only
/* How vring waits for pktgen's end. The kernel's files are made up: nothing is sent. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"
#include "vring.h"

#define FRAMES 8

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
FILE *__wrap_fopen(const char *path, const char *mode);

volatile int vr_stop;

static unsigned int sofar;
static int refusal;		/* errno of who writes "start", 0: it starts */
static sem_t empty;		/* the last frame has left the tap */
static bool left;
static jmp_buf dying;
static char last_words[64];

int __wrap_open(const char *path, int flags, ...)
{
	if (!strcmp(path, "/proc/net/pktgen/pgctrl")) {
		if (refusal) {
			errno = refusal;
			return -1;
		}
		__atomic_add_fetch(&sofar, FRAMES, __ATOMIC_RELAXED);
		sem_wait(&empty);
	}
	return __real_open("/dev/null", flags);
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	static char text[64];

	snprintf(text, sizeof(text), "Current:\n     pkts-sofar: %u  errors: 0\n",
		 __atomic_load_n(&sofar, __ATOMIC_RELAXED));
	return fmemopen(text, strlen(text), mode);
}

/* What pktgen.c wants of vring. */
uint64_t vr_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

bool vr_over(const struct vr_run *r)
{
	return vr_stop || r->failure;
}

void vr_fail(struct vr_run *r, const char *fmt, ...)
{
	r->failure = fmt;
}

void vr_die(const char *fmt, ...)
{
	snprintf(last_words, sizeof(last_words), "%s", fmt);
	longjmp(dying, 1);
}

void vr_die_errno(const char *fmt, ...)
{
	snprintf(last_words, sizeof(last_words), "%s: %s", fmt, strerror(errno));
	longjmp(dying, 1);
}

static void *leave(void *unused)
{
	usleep(100000);
	__atomic_store_n(&left, true, __ATOMIC_RELAXED);
	sem_post(&empty);
	return unused;
}

static void test_end(struct vr_run *r)
{
	pthread_t worker;

	t_begin("the end is waited for until the last frame has left the tap");
	vr_pktgen_feed(r, FRAMES);
	MUST(!pthread_create(&worker, NULL, leave, NULL), "a thread");
	vr_pktgen_end(r);
	CHECK(__atomic_load_n(&left, __ATOMIC_RELAXED));
	CHECK(!r->failure);
	pthread_join(worker, NULL);
	t_end();
}

/* If it were, the alarm would end this program. */
static void test_stuck(struct vr_run *r)
{
	t_begin("a back end that is stuck: it isn't waited for");
	vr_pktgen_feed(r, FRAMES);
	vr_fail(r, "nothing moved");
	vr_pktgen_end(r);
	CHECK(!strcmp(r->failure, "nothing moved"));
	sem_post(&empty);
	r->failure = NULL;
	t_end();

	t_begin("nor by who is asked to end");
	vr_pktgen_feed(r, FRAMES);
	vr_stop = 1;
	vr_pktgen_end(r);
	CHECK(!r->failure);
	sem_post(&empty);
	vr_stop = 0;
	t_end();
}

static void test_refused(struct vr_run *r)
{
	t_begin("a kernel that won't start: why, though nothing moved after it");
	refusal = EPERM;
	if (!setjmp(dying)) {
		vr_pktgen_feed(r, FRAMES);
		vr_fail(r, "nothing moved");
		vr_pktgen_end(r);
	}
	CHECK(!strcmp(last_words, "pktgen: start: Operation not permitted"));
	t_end();
}

int main(void)
{
	static struct vr_opts o = { .timeout = 10, .size = 64 };
	static struct vr_run r = { .o = &o };
	static struct vr_pair p = { .ifname = "made-up" };

	MUST(!sem_init(&empty, 0, 0), "sem_init");
	alarm(60);
	vr_pktgen_open(&r, &p);
	test_end(&r);
	test_stuck(&r);
	test_refused(&r);
	return t_done();
}

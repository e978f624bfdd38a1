// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's pktgen as the one who fills the tap. It is told by files what to
 * send; the write that starts it returns when the last frame has left the tap
 * again, so a thread of its own makes that.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vring.h"

#define FOLDER "/proc/net/pktgen/"

static char device[64];
static pthread_t starter;
static int start_error;

/* The newline matters: the last byte of what is written is dropped. */
static int __attribute__((format(printf, 2, 3))) tell(const char *path, const char *fmt, ...)
{
	char text[128];
	va_list ap;
	int fd, n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, text, n) == n ? 0 : -1;
	close(fd);
	return n;
}

#define TELL(path, ...) do {						\
	if (tell(path, __VA_ARGS__))					\
		vr_die_errno("pktgen: %s (modprobe pktgen?)", path);	\
} while (0)

/* On the driver's processor, which has nothing else to do meanwhile. */
void vr_pktgen_open(const struct vr_run *r, const struct vr_pair *p)
{
	int cpu = r->o->pin_driver > 0 ? r->o->pin_driver : 0;
	char thread[64];

	snprintf(thread, sizeof(thread), FOLDER "kpktgend_%d", cpu);
	snprintf(device, sizeof(device), FOLDER "%s", p->ifname);
	TELL(thread, "rem_device_all\n");
	TELL(thread, "add_device %s\n", p->ifname);
	TELL(device, "pkt_size %u\n", r->o->size);
	TELL(device, "delay 0\n");
	TELL(device, "dst_mac 02:67:75:65:73:00\n");
}

static void *start(void *unused)
{
	start_error = tell(FOLDER "pgctrl", "start\n") ? errno : 0;
	return unused;
}

static unsigned long sent(void)
{
	unsigned long n = 0;
	char line[256];
	FILE *f = fopen(device, "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " pkts-sofar: %lu", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

/* Sends @n frames; returns when they are in the tap's queue. */
void vr_pktgen_feed(struct vr_run *r, unsigned int n)
{
	uint64_t end = vr_now() + r->o->timeout * 1000000000ULL;
	unsigned long before = 0;

	TELL(device, "count %u\n", n);
	/* What a run before this one sent is forgotten when it starts. */
	TELL(device, "clear_counters\n");
	before = sent();
	if (pthread_create(&starter, NULL, start, NULL))
		vr_die("pktgen: no thread");
	while (sent() < before + n && !start_error && !vr_over(r)) {
		if (vr_now() > end)
			vr_fail(r, "pktgen sent %lu of %u frames", sent(), n);
		usleep(200);
	}
}

/*
 * To be called when the tap is empty again, or the run over. What a stuck back end left in the tap
 * keeps the write from returning, and pktgen from looking whether it is to stop: the end of this
 * process ends both, by a signal to the starter and by closing the tap.
 */
void vr_pktgen_end(const struct vr_run *r)
{
	if (!vr_over(r))
		pthread_join(starter, NULL);
	if (start_error) {
		errno = start_error;
		vr_die_errno("pktgen: start");
	}
}

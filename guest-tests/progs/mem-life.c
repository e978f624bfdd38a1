// SPDX-License-Identifier: GPL-2.0-only
/* The owner's memory goes as a whole: exec() and exit with the device running. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/vhost.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem-dev.h"

/*
 * After exec() the files are still open and the device still has the memory of the
 * old program, but this program is not its owner. The device goes with its file.
 */
static void after_exec(int fd)
{
	struct vhost_vring_state s = { .index = MD_TX };

	MD_EXPECT(ioctl(fd, VHOST_GET_VRING_BASE, &s) && errno == EPERM,
		  "after exec the device takes orders from the new program: %m");
	MD_EXPECT(!close(fd), "close: %m");
}

static void exec_child(void)
{
	struct md d = { 0 };
	char number[16];

	md_open(&d, md_kind_area());
	md_kind_traffic(&d);
	/* All of these have arrived: for who counts. */
	printf("before exec: packets=%lu inval_hit=%lu inval_missed=%lu",
	       (unsigned long)(d.sent + d.fed), (unsigned long)md_stats(&d, "inval_hit"),
	       (unsigned long)md_stats(&d, "inval_missed"));
	printf(" mem_kb=%lu huge_kb=%lu\n", md_kind_kb(), md_huge_kb(d.area));
	fflush(stdout);
	/* Work is under way while the memory changes hands. */
	md_feed(&d, 60);
	md_send(&d, 100);
	snprintf(number, sizeof(number), "%d", d.vhost);
	setenv("MEM_EXEC_FD", number, 1);
	execl("/proc/self/exe", "mem-cases", "exec", NULL);
	md_fail("exec: %m");
}

/* Whether a thread of this name is there. */
static bool worker_there(pid_t owner)
{
	char command[64];

	snprintf(command, sizeof(command), "grep -qxs vhost-%d /proc/[0-9]*/comm", owner);
	return !system(command);
}

static void expect_gone(pid_t pid)
{
	unsigned int tries;

	for (tries = 0; worker_there(pid); tries++) {
		MD_EXPECT(tries < 30, "the worker of process %d is still there", pid);
		usleep(100000);
	}
}

static void ends(void (*fn)(void), unsigned int rounds)
{
	int status;
	pid_t pid;

	while (rounds--) {
		pid = fork();
		MD_EXPECT(pid >= 0, "fork: %m");
		if (!pid) {
			fn();
			_exit(0);
		}
		MD_EXPECT(waitpid(pid, &status, 0) == pid, "waitpid: %m");
		MD_EXPECT(WIFEXITED(status) && !WEXITSTATUS(status), "child: status %x", status);
		expect_gone(pid);
	}
}

static void exec_case(void)
{
	const char *fd = getenv("MEM_EXEC_FD");

	if (fd)
		after_exec(atoi(fd));
	else
		ends(exec_child, 5);
}

static void exit_child(void)
{
	struct md d = { 0 };

	md_open(&d, md_kind_area());
	md_kind_traffic(&d);
	md_feed(&d, 60);
	md_send(&d, 100);
}

static void exit_case(void)
{
	ends(exit_child, 5);
}

/* All of the rings and buffers go, the program lives on. */
static void unmap_everything(void)
{
	struct md d = { 0 };
	unsigned int i;

	md_open(&d, md_map(MD_AREA, -1));
	md_traffic_direct(&d);
	md_feed(&d, 60);
	md_send(&d, 100);
	MD_EXPECT(!munmap(d.area, MD_AREA) && !munmap(d.bufs, MD_PAGE * 128), "munmap: %m");
	md_feed_tap(&d, 20);
	for (i = 0; i < MD_RINGS; i++) {
		md_kick(&d, i);
		MD_EXPECT(md_error(&d, i, 3000), "ring %u: no VRING_ERR without rings", i);
	}
	MD_EXPECT(worker_there(getpid()), "no worker by the name of vhost-%d", getpid());
	MD_EXPECT(!close(d.vhost), "close: %m");
	expect_gone(getpid());
}

const struct md_case md_life_cases[] = {
	{ "exec", exec_case, "exec() in the middle of work, the file stays open" },
	{ "exit", exit_case, "exit in the middle of work" },
	{ "unmap-all", unmap_everything, "rings and buffers unmapped for good, then closed" },
	{ 0 }
};

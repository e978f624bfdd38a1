// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctl: one table of calls, good and bad, and what a node answers.
 *
 *	ioctl NODE [MACVTAP]
 *	ioctl workers NODE [TARGET]	the newer ones: TARGET is the name of a vhost-scsi target
 *	ioctl fork NODE
 *	ioctl array NODE
 *
 * Run on stock's node and on ours, the lines must be the same but for a list of
 * differences with reasons, which is in suites/ioctl.sh.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioctl.h"

const char *node_path;
const char *macvtap_path;
struct places at;

void say(long ret, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (ret < 0)
		printf(": %s\n", strerrorname_np(-ret) ?: "?");
	else
		printf(": %ld\n", ret);
}

static void places_make(void)
{
	uint8_t *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED, "mmap");
	at.good = p;
	at.end = p + 2 * PAGE - 4;
	at.gone = p + 2 * PAGE;
	at.read_only = p + 3 * PAGE;
	MUST(!mprotect(at.gone, PAGE, PROT_NONE), "mprotect");
	MUST(!mprotect(at.read_only, PAGE, PROT_READ), "mprotect");
}

int dev_owned(void)
{
	int fd = node_open(node_path);

	MUST(!node_owner(fd), "VHOST_SET_OWNER");
	return fd;
}

int dev_memory(int fd)
{
	struct node_region r = { 0x100000, 1 << 20, (uintptr_t)at.good };

	return node_table(fd, &r, 1);
}

int dev_rings(int fd)
{
	static uint8_t ring[2][4 * PAGE] __attribute__((aligned(4096)));
	unsigned int q;
	int ret = 0;

	memset(ring, 0, sizeof(ring));
	for (q = 0; q < 2 && !ret; q++)
		ret = node_num(fd, q, 16) ?:
		      node_base(fd, q, 0) ?:
		      node_addr(fd, q, (uintptr_t)ring[q], (uintptr_t)ring[q] + PAGE,
				(uintptr_t)ring[q] + 2 * PAGE);
	return ret;
}

int dev_ready(void)
{
	int fd = dev_owned();

	MUST(!dev_memory(fd) && !dev_rings(fd), "memory and rings");
	return fd;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 && argv[1][0] != '/' ? argv[1] : "";

	if (argc < 2 || (*what && argc < 3)) {
		fprintf(stderr,
			"usage: ioctl NODE [MACVTAP]\n"
			"       ioctl workers NODE [TARGET]\n"
			"       ioctl fork|array NODE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	node_path = argv[*what ? 2 : 1];
	places_make();
	if (!strcmp(what, "workers")) {
		ioctl_workers(argv[3]);
	} else if (!strcmp(what, "fork")) {
		ioctl_fork();
	} else if (!strcmp(what, "array")) {
		ioctl_array();
	} else {
		macvtap_path = argv[2];
		ioctl_dev();
		ioctl_ring();
		ioctl_backend();
	}
	printf("end: 0\n");
	return 0;
}

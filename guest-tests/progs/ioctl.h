/* SPDX-License-Identifier: GPL-2.0-only */
/* ioctl: what its files share. */
#ifndef GT_IOCTL_H
#define GT_IOCTL_H

#include <stddef.h>
#include <stdint.h>

#include "node.h"
#include "test.h"

#define PAGE 4096ul
#define KERNEL_ADDR 0xffff888000000000ull
/* An ioctl that nobody has. */
#define VHOST_UNKNOWN _IOW(0xAF, 0xee, int)
#define RING_USUAL (F_V1 | F_MRG | F_INDIRECT | F_EVENT)

/**
 * struct places - memory of each kind for arguments
 * @good: a page to read and write
 * @end: the last four bytes before a page that can't be touched
 * @read_only: a page of zeros
 * @gone: a page that can't be touched
 */
struct places {
	uint8_t *good;
	uint8_t *end;
	uint8_t *read_only;
	uint8_t *gone;
};

extern const char *node_path;
extern const char *macvtap_path;
extern struct places at;

/* A line of the result: what was asked, and 0, a number or the errno. */
void say(long ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Lines of an ioctl that writes @size bytes, of which the first number is a queue's, 0: what was
 * not written must be as it was, and all that is to be written must be.
 */
void say_poisoned(int fd, unsigned long cmd, size_t size, const char *name);

/* A device of the caller's; with memory table, and rings that could start. */
int dev_owned(void);
int dev_ready(void);
/* Places the rings of dev_ready(); 0 or -errno. */
int dev_rings(int fd);
int dev_memory(int fd);

void ioctl_dev(void);
void ioctl_ring(void);
void ioctl_backend(void);

/* @target: of vhost-scsi, for a queue with a back end; NULL: a tap. */
void ioctl_workers(const char *target);
void ioctl_fork(void);
void ioctl_array(void);

#endif /* GT_IOCTL_H */

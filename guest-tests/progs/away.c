// SPDX-License-Identifier: GPL-2.0-only
/* Pages that are kept away. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "away.h"
#include "mem.h"
#include "test.h"

int away_open(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		MUST(!ioctl(fd, UFFDIO_API, &api), "UFFDIO_API");
	return fd;
}

void away_keep(int fd, void *at, size_t len)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)at, len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	MUST(!ioctl(fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
	MUST(!madvise(at, len, MADV_DONTNEED), "MADV_DONTNEED");
}

void away_bring(int fd, void *at, const void *page)
{
	struct uffdio_zeropage zero = { .range = { (uintptr_t)at, PAGE } };
	struct uffdio_copy copy = { .src = (uintptr_t)page, .dst = (uintptr_t)at, .len = PAGE };

	if (page)
		MUST(!ioctl(fd, UFFDIO_COPY, &copy), "UFFDIO_COPY");
	else
		MUST(!ioctl(fd, UFFDIO_ZEROPAGE, &zero), "UFFDIO_ZEROPAGE");
}

void away_wake(int fd, void *at)
{
	struct uffdio_range range = { (uintptr_t)at, PAGE };

	MUST(!ioctl(fd, UFFDIO_WAKE, &range), "UFFDIO_WAKE");
}

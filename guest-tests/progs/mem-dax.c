// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings and buffers in a file whose pages are the storage's own (DAX): no windows, whichever part
 * of a ring lies there, and nobody holds a page. A file system that frees a block waits until
 * the last reference to its page is gone.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem-dev.h"
#include "mem-frame.h"
#include "proc.h"

/* Far more than a busy machine takes to free blocks; one who waits for a page does for ever. */
#define FREED_MS	10000
#define LOOKED_FOR_MS	5000
#define BUFS		(MD_RINGS * MD_NUM * MD_BUF)
#define FILE_BYTES	(MD_AREA + BUFS)

static int dax_file(void)
{
	const char *path = getenv("MEM_DAX"), *why = getenv("MEM_NO_DAX");
	struct statx st;
	int fd;

	if (!path)
		md_skip("%s", why ? why : "no file system with DAX: $MEM_DAX");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MD_EXPECT(fd >= 0 && !unlink(path) && !ftruncate(fd, FILE_BYTES), "%s: %m", path);
	MD_EXPECT(!statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st), "statx: %m");
	MD_EXPECT(st.stx_attributes & STATX_ATTR_DAX, "%s: the file has no DAX", path);
	return fd;
}

static void *map_dax(int fd, void *at, size_t bytes, off_t off)
{
	void *p = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), fd, off);

	MD_EXPECT(p != MAP_FAILED, "mmap: %m");
	memset(p, 0, bytes);
	return p;
}

struct freeing {
	int fd;
	bool cut, done;
};

static void *freeing_thread(void *arg)
{
	struct freeing *f = arg;

	if (f->cut)
		MD_EXPECT(!ftruncate(f->fd, 0) && !ftruncate(f->fd, FILE_BYTES), "ftruncate: %m");
	else
		MD_EXPECT(!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, FILE_BYTES),
			  "fallocate: %m");
	__atomic_store_n(&f->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

/* All blocks of the file are freed; what was in memory is put into the new ones. */
static void freed_at_once(struct md *d, int fd, bool cut)
{
	static uint8_t rings[MD_AREA], bufs[BUFS];
	struct freeing f = { fd, cut, false };
	const char *what = cut ? "truncate" : "a hole punched";
	pthread_t thread;
	unsigned int ms;

	/* It may still be looking for more, and would find nothing but zeros. */
	md_rest();
	memcpy(rings, d->area, MD_AREA);
	memcpy(bufs, d->bufs, BUFS);
	MD_EXPECT(!pthread_create(&thread, NULL, freeing_thread, &f), "no thread");
	for (ms = 0; ms < FREED_MS && !__atomic_load_n(&f.done, __ATOMIC_SEQ_CST); ms++)
		usleep(1000);
	MD_EXPECT(__atomic_load_n(&f.done, __ATOMIC_SEQ_CST),
		  "%s: not done after %u ms: who has the pages?", what, ms);
	pthread_join(thread, NULL);
	printf("%s: %u ms\n", what, ms);
	memcpy(d->area, rings, MD_AREA);
	memcpy(d->bufs, bufs, BUFS);
}

static void traffic(struct md *d)
{
	const uint64_t began = now_ns(), failed = md_stats(d, "map_failures");
	unsigned int i;

	/* Until either was looked for: it may just have been, in vain, and not be for a while. */
	do {
		md_traffic(d, 20);
	} while (md_stats(d, "map_failures") < failed + MD_RINGS &&
		 now_ns() - began < LOOKED_FOR_MS * NS_PER_MS);
	for (i = 0; i < MD_RINGS; i++) {
		MD_EXPECT(!md_stat(d, i, "bursts_direct") && !md_stat(d, i, "maps"),
			  "ring %u: pages of a file with DAX were mapped through the direct map", i);
		MD_EXPECT(md_stat(d, i, "bursts_user") && md_stat(d, i, "map_failures"),
			  "ring %u: no windows were tried", i);
	}
}

/* @whole: of the rings all is there; else what the driver writes, which windows only read. */
static void rings_in(bool whole)
{
	struct md d = { .num = MD_NUM };
	unsigned int i, round;
	uint8_t *at;
	int fd = dax_file();

	d.area = md_map(MD_AREA, -1);
	for (i = 0; i < MD_RINGS; i++) {
		at = md_part(&d, i, MD_DESC);
		map_dax(fd, at, (whole ? MD_PARTS : MD_USED) * MD_PAGE, at - d.area);
	}
	d.bufs = map_dax(fd, NULL, BUFS, MD_AREA);
	md_open(&d, d.area);
	for (round = 0; round < 3; round++) {
		traffic(&d);
		freed_at_once(&d, fd, false);
		traffic(&d);
		freed_at_once(&d, fd, true);
	}
	md_traffic(&d, 20);
	close(d.vhost);
	close(fd);
}

static void dax(void)
{
	rings_in(true);
	rings_in(false);
}

const struct md_case md_dax_cases[] = {
	{ "dax", dax, "rings and buffers in a file with DAX: user access, truncated and punched at once" },
	{ 0 }
};

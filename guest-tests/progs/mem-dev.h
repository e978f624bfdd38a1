/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vhost-net device for tests of memory events: one receive and one transmit
 * ring, whose pages the test places, moves and takes away itself. Traffic is
 * step by step, so that a test knows what is under way when an event happens.
 */
#ifndef MEM_DEV_H
#define MEM_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_ring.h>

#define MD_PAGE		4096UL
#define MD_NUM		128	/* entries: each part fits a page */
#define MD_PARTS	3	/* descriptors, avail, used: a page each */
#define MD_RINGS	2
#define MD_AREA		(MD_PARTS * MD_RINGS * MD_PAGE)
/* Large rings: four pages of descriptors, a used ring of three if it begins amid a page. */
#define MD_LARGE	1024
#define MD_LARGE_AREA	(MD_PARTS * MD_RINGS * 16 * MD_LARGE)

enum { MD_RX, MD_TX };
enum { MD_DESC, MD_AVAIL, MD_USED };

struct md_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint8_t *bufs;
	int kick, err;
	uint16_t added, reaped;
	uint64_t next;		/* sequence number of the next frame checked */
};

/*
 * @num: entries of each ring; 0: MD_NUM
 * @packed: packed rings, if $MEM_LAYOUT says so: elements come back in the descriptors' part
 * @area: MD_AREA bytes for the rings (MD_LARGE_AREA for MD_LARGE entries), laid out part by
 *	part, RX first. A part that begins late in its page runs on into the next; the
 *	offsets have to leave room there.
 * @bufs: the buffers, of ordinary memory unless they are given
 */
struct md {
	unsigned int num;
	bool packed;
	int vhost, tap, ifindex, peer;
	uint8_t *area;
	size_t desc_off;	/* of the descriptors in their page */
	size_t avail_off, used_off;
	uint8_t *bufs;
	struct md_ring ring[MD_RINGS];
	uint64_t sent, fed;
};

/* A test's verdict: these end the process. */
void md_fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void md_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define MD_EXPECT(good, ...) do { if (!(good)) md_fail(__VA_ARGS__); } while (0)
/* What no want of time explains: the suite isn't run once more, however busy the machine was. */
#define MD_CERTAIN(good, ...) MD_EXPECT(good, "certain: " __VA_ARGS__)

void *md_map(size_t bytes, int fd);
int md_memfd(void **area);
/* MD_AREA bytes of the kind that $MEM_KIND names; traffic through windows if it has any. */
void *md_kind_area(void);
bool md_kind_is(const char *name);
/* How much of it an event takes: MD_AREA, or a huge page of 2 MiB. */
size_t md_kind_span(void);
/* So much of memory that can be mapped twice, and one of its mappings. */
int md_kind_memfd(void);
void *md_kind_map(int fd);
void md_kind_traffic(struct md *d);
/* A huge page, if there is one. */
void *md_thp(void);
/* How much memory that is, in KiB, and how much of what @at lies in huge pages back. */
unsigned long md_kind_kb(void);
unsigned long md_huge_kb(const void *at);
void md_open(struct md *d, void *area);
/* Those that all have, and more. */
void md_features(struct md *d, uint64_t more);
void md_addr(struct md *d);
void md_place(struct md *d, void *area);
uint8_t *md_part(const struct md *d, unsigned int ring, unsigned int part);
uint64_t md_buf_gpa(const struct md *d, unsigned int ring, unsigned int id);
/* The part that elements come back in, which the device writes to. */
unsigned int md_written(const struct md *d);
uint8_t *md_used_at(const struct md *d, unsigned int ring);
/* How many pages it lies in. */
unsigned int md_part_pages(const struct md *d, unsigned int part);

/* Each takes what it is told to, without waiting for the device. */
void md_send(struct md *d, unsigned int n);
void md_feed(struct md *d, unsigned int n);
/* The same without new buffers: the ring isn't touched. */
void md_feed_tap(struct md *d, unsigned int n);
void md_kick(struct md *d, unsigned int ring);
/* Everything under way has to arrive, once, in order and unchanged. */
void md_settle(struct md *d);
/* @rounds of both directions. */
void md_traffic(struct md *d, unsigned int rounds);
/* Each entry of both rings once. */
void md_lap(struct md *d);
/* The worker is, having nothing to do; one that was asked to look once more has done so. */
void md_rest(void);
/* Kicks without a frame until the worker, which looks for one, has mapped the ring. */
void md_windows(struct md *d, unsigned int ring);
/*
 * The same in two steps: what the driver has to write of it is written before an event if
 * that is where the device writes, too. Then the device alone does, afterwards.
 */
void md_ready(struct md *d);
void md_go(struct md *d);
/* Whether the @at'th slot of a packed ring, running on, has come back. */
bool md_returned_packed(const struct md *d, unsigned int ring, uint16_t at);
/* Traffic until all of it takes the windows, which must not take long. */
void md_traffic_direct(struct md *d);
/* The windows go with the page @at, protected as @prot before and after. */
void md_guarded(struct md *d, uint8_t *at, int prot, const char *what);
/* The used rings are in memory of their own from now on. The device is to be told. */
void md_move_used(struct md *d);
/* Whether the device raised VRING_ERR within @ms, which is then taken back. */
bool md_error(struct md *d, unsigned int ring, int ms);

uint64_t md_stat(const struct md *d, unsigned int ring, const char *name);
uint64_t md_stats(const struct md *d, const char *name);

/* /proc/self/pagemap's word of a page. */
uint64_t md_pagemap(const void *at);
#define MD_PM_SOFT_DIRTY	(1ULL << 55)
#define MD_PM_SWAP		(1ULL << 62)
#define MD_PM_PRESENT		(1ULL << 63)
/* Is this kernel version @major.@minor or a later one? */
bool md_kernel_has(unsigned int major, unsigned int minor);
bool md_write_file(const char *path, const char *text);
/* Pages just touched wait in lists of each CPU, where reclaim can't take them. */
void md_drain(void);
/* Reclaims pages even if the device used them lately. */
void md_pageout(void *at, size_t bytes);

struct md_case {
	const char *name;
	void (*fn)(void);
	const char *help;
};

extern const struct md_case md_fault_cases[], md_move_cases[], md_track_cases[],
			    md_life_cases[], md_probe_cases[], md_young_cases[],
			    md_busy_cases[], md_part_cases[], md_dax_cases[], md_dirty_cases[],
			    md_many_cases[], md_read_cases[], md_poison_cases[];

#endif

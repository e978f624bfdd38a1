// SPDX-License-Identifier: GPL-2.0-only
/* The device: files, memory table, rings. Traffic is in mem-traffic.c. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_direct.h"
#include "mem-dev.h"
#include "mem-frame.h"
#include "proc.h"

static void say(const char *fmt, va_list ap)
{
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
}

void md_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	_exit(1);
}

void md_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	_exit(77);
}

bool md_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

void md_drain(void)
{
	/* Compaction begins with that. */
	MD_EXPECT(md_write_file("/proc/sys/vm/compact_memory", "1"), "compact_memory: %m");
}

void md_pageout(void *at, size_t bytes)
{
	/* The first time takes the device's mark of use, the second the page. */
	MD_EXPECT(!madvise(at, bytes, MADV_PAGEOUT) && !madvise(at, bytes, MADV_PAGEOUT),
		  "MADV_PAGEOUT: %m");
}

uint64_t md_pagemap(const void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word;

	MD_EXPECT(fd >= 0 && pread(fd, &word, 8, (uintptr_t)at / MD_PAGE * 8) == 8, "pagemap: %m");
	close(fd);
	return word;
}

bool md_kernel_has(unsigned int major, unsigned int minor)
{
	unsigned int is_major = 0, is_minor = 0;
	struct utsname uts;

	uname(&uts);
	MD_EXPECT(sscanf(uts.release, "%u.%u", &is_major, &is_minor) == 2, "release %s", uts.release);
	return is_major > major || (is_major == major && is_minor >= minor);
}

static void do_ioctl(int fd, unsigned long req, void *arg, const char *what)
{
	MD_EXPECT(!ioctl(fd, req, arg), "%s: %m", what);
}

#define DO(fd, req, arg) do_ioctl(fd, req, arg, #req)

/* Memory of ordinary pages, all there; anonymous and private without a file. */
void *md_map(size_t bytes, int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	/* A page that is left out on either side: no neighbour shares the mapping. */
	uint8_t *p = mmap(NULL, bytes + 2 * MD_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MD_EXPECT(p != MAP_FAILED, "mmap: %m");
	p = mmap(p + MD_PAGE, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	MD_EXPECT(p != MAP_FAILED, "mmap: %m");
	if (fd < 0)
		madvise(p, bytes, MADV_NOHUGEPAGE);
	memset(p, 0, bytes);
	return p;
}

/* MD_AREA bytes of shared memory, mapped at *@area; returns its file. */
int md_memfd(void **area)
{
	int fd = memfd_create("mem-cases", MFD_CLOEXEC);

	MD_EXPECT(fd >= 0 && !ftruncate(fd, MD_AREA), "memfd: %m");
	*area = md_map(MD_AREA, fd);
	return fd;
}

static void link_up(const char *name)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	md_write_file(path, "1");
	strcpy(ifr.ifr_name, name);
	ifr.ifr_qlen = 4096;
	DO(s, 0x8943 /* SIOCSIFTXQLEN */, &ifr);
	ifr.ifr_flags = IFF_UP | IFF_NOARP;
	DO(s, 0x8914 /* SIOCSIFFLAGS */, &ifr);
	close(s);
}

static void open_tap(struct md *d)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(MD_ETHERTYPE) };
	int sndbuf = INT_MAX, hdr = MD_HDR, size = 64 << 20, one = 1;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	d->tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	MD_EXPECT(d->tap >= 0, "/dev/net/tun: %m");
	DO(d->tap, TUNSETIFF, &ifr);
	DO(d->tap, TUNSETVNETHDRSZ, &hdr);
	DO(d->tap, TUNSETSNDBUF, &sndbuf);
	link_up(ifr.ifr_name);
	d->ifindex = if_nametoindex(ifr.ifr_name);
	d->peer = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	to.sll_ifindex = d->ifindex;
	MD_EXPECT(d->peer >= 0 && !bind(d->peer, (struct sockaddr *)&to, sizeof(to)),
		  "packet socket: %m");
	setsockopt(d->peer, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(d->peer, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(d->peer, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
}

static size_t in_pages(size_t bytes)
{
	return (bytes + MD_PAGE - 1) / MD_PAGE;
}

/* Descriptors need most room; the others have as much. */
uint8_t *md_part(const struct md *d, unsigned int ring, unsigned int part)
{
	return d->area + (ring * MD_PARTS + part) * in_pages(16 * d->num) * MD_PAGE;
}

uint64_t md_buf_gpa(const struct md *d, unsigned int ring, unsigned int id)
{
	return MD_GPA + (ring * d->num + id) * MD_BUF;
}

unsigned int md_written(const struct md *d)
{
	return d->packed ? MD_DESC : MD_USED;
}

uint8_t *md_used_at(const struct md *d, unsigned int ring)
{
	return md_part(d, ring, md_written(d));
}

unsigned int md_part_pages(const struct md *d, unsigned int part)
{
	const size_t bytes[MD_PARTS] = {
		d->desc_off + 16 * d->num,
		d->avail_off + 6 + 2 * d->num,
		d->used_off + 6 + 8 * d->num,
	};

	return in_pages(bytes[part]);
}

/* Where the rings are from now on; the device is to be told by md_addr(). */
void md_place(struct md *d, void *area)
{
	unsigned int i;

	d->area = area;
	for (i = 0; i < MD_RINGS; i++) {
		struct md_ring *r = &d->ring[i];

		r->desc = (void *)(md_part(d, i, MD_DESC) + d->desc_off);
		r->avail = (void *)(md_part(d, i, MD_AVAIL) + d->avail_off);
		r->used = (void *)(md_part(d, i, MD_USED) + d->used_off);
	}
}

static void fill_descs(struct md *d, unsigned int ring)
{
	struct md_ring *r = &d->ring[ring];
	unsigned int i;

	for (i = 0; i < d->num; i++) {
		struct vring_desc desc = {
			.addr = md_buf_gpa(d, ring, i),
			.len = ring == MD_RX ? MD_BUF : MD_HDR + MD_FRAME,
			.flags = ring == MD_RX ? VRING_DESC_F_WRITE : 0,
		};

		/* The descriptors may lie at any address. */
		memcpy((uint8_t *)r->desc + i * sizeof(desc), &desc, sizeof(desc));
		r->avail->ring[i] = i;
	}
}

void md_addr(struct md *d)
{
	unsigned int i;

	for (i = 0; i < MD_RINGS; i++) {
		struct vhost_vring_addr a = {
			.index = i,
			.desc_user_addr = (uintptr_t)d->ring[i].desc,
			.avail_user_addr = (uintptr_t)d->ring[i].avail,
			.used_user_addr = (uintptr_t)d->ring[i].used,
		};

		DO(d->vhost, VHOST_SET_VRING_ADDR, &a);
	}
}

static void start_ring(struct md *d, unsigned int i)
{
	struct vhost_vring_state num = { .index = i, .num = d->num };
	/* Packed: both places at slot 0, with their wrap counters set. */
	struct vhost_vring_state base = { .index = i, .num = d->packed ? 0x80008000 : 0 };
	struct vhost_vring_file f = { .index = i };

	DO(d->vhost, VHOST_SET_VRING_NUM, &num);
	DO(d->vhost, VHOST_SET_VRING_BASE, &base);
	f.fd = d->ring[i].kick = eventfd(0, EFD_NONBLOCK);
	DO(d->vhost, VHOST_SET_VRING_KICK, &f);
	f.fd = d->ring[i].err = eventfd(0, EFD_NONBLOCK);
	DO(d->vhost, VHOST_SET_VRING_ERR, &f);
}

static void set_memory(struct md *d)
{
	struct vhost_memory *m = calloc(1, sizeof(*m) + sizeof(m->regions[0]));
	const size_t bytes = MD_RINGS * d->num * MD_BUF;

	if (!d->bufs)
		d->bufs = md_map(bytes, -1);
	d->ring[MD_RX].bufs = d->bufs;
	d->ring[MD_TX].bufs = d->bufs + d->num * MD_BUF;
	m->nregions = 1;
	m->regions[0].guest_phys_addr = MD_GPA;
	m->regions[0].userspace_addr = (uintptr_t)d->bufs;
	m->regions[0].memory_size = bytes;
	DO(d->vhost, VHOST_SET_MEM_TABLE, m);
	free(m);
}

/* Those of all leave out EVENT_IDX: the driver here always kicks. */
void md_features(struct md *d, uint64_t more)
{
	uint64_t features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_NET_F_MRG_RXBUF | more;

	if (d->packed)
		features |= 1ULL << VIRTIO_F_RING_PACKED;
	DO(d->vhost, VHOST_SET_FEATURES, &features);
}

/* Files stay open over exec(): one of the tests is about that. */
void md_open(struct md *d, void *area)
{
	const char *dev = getenv("VD_DEV"), *layout = getenv("MEM_LAYOUT");
	unsigned int i;

	d->num = d->num ?: MD_NUM;
	d->packed = layout && !strcmp(layout, "packed");
	open_tap(d);
	d->vhost = open(dev ? dev : "/dev/vhost-direct-net", O_RDWR);
	MD_EXPECT(d->vhost >= 0, "vhost node: %m");
	DO(d->vhost, VHOST_SET_OWNER, NULL);
	md_features(d, 0);
	set_memory(d);
	md_place(d, area);
	for (i = 0; i < MD_RINGS; i++) {
		if (!d->packed)
			fill_descs(d, i);
		start_ring(d, i);
	}
	md_addr(d);
	for (i = 0; i < MD_RINGS; i++) {
		struct vhost_vring_file tap = { .index = i, .fd = d->tap };

		DO(d->vhost, VHOST_NET_SET_BACKEND, &tap);
	}
}

uint64_t md_stat(const struct md *d, unsigned int ring, const char *name)
{
	const unsigned int room = 64;
	struct vd_stats *s = calloc(1, sizeof(*s) + room * sizeof(s->entry[0]));
	uint64_t value = 0;
	bool found = false;
	unsigned int i;

	s->index = ring;
	s->count = room;
	DO(d->vhost, VD_GET_STATS, s);
	for (i = 0; i < s->count && i < room && !found; i++) {
		found = !strcmp((const char *)s->entry[i].name, name);
		value = s->entry[i].value;
	}
	free(s);
	MD_EXPECT(found, "no statistic %s", name);
	return value;
}

/* The sum over both rings. */
uint64_t md_stats(const struct md *d, const char *name)
{
	return md_stat(d, MD_RX, name) + md_stat(d, MD_TX, name);
}

bool md_error(struct md *d, unsigned int ring, int ms)
{
	struct pollfd p = { .fd = d->ring[ring].err, .events = POLLIN };
	uint64_t n;

	return poll_ms(&p, 1, ms) == 1 && read(p.fd, &n, sizeof(n)) == sizeof(n) && n;
}

// SPDX-License-Identifier: GPL-2.0-only
/* zerocopy: the device and its driver, the keeper of frames, calls that wait. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc.h"
#include "zerocopy.h"

#define GPA		0x100000000ull
#define GARBAGE		0xdd

static int keeper = -1;

static void *memory(bool secret)
{
	int fd = -1;
	void *at;

	if (secret) {
		fd = syscall(SYS_memfd_secret, 0);
		if (fd < 0)
			return NULL;
		MUST(!ftruncate(fd, GUEST_BYTES), "memfd_secret");
	}
	at = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
		  secret ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	MUST(at != MAP_FAILED, "mmap");
	if (fd >= 0)
		close(fd);
	return at;
}

struct vq_told guest_told(const struct guest *g)
{
	return (struct vq_told){
		.desc = (uintptr_t)g->memory,
		.avail = (uintptr_t)g->memory + AT_AVAIL,
		.used = (uintptr_t)g->memory + AT_USED,
	};
}

static void start(struct guest *g, int back)
{
	struct vq_told told = guest_told(g);
	uint8_t *ring = g->memory;

	vq_init(&g->tx, Q_TX, g->format->features, ring, ring + AT_AVAIL, ring + AT_USED);
	CHECK_EQ(vq_setup(&g->tx, g->node, &told), 0);
	if (g->num != VQ_NUM)
		CHECK_EQ(node_num(g->node, Q_TX, g->num), 0);
	CHECK_EQ(node_backend(g->node, Q_TX, back), 0);
}

bool guest_open(struct guest *g, const char *node, const struct format *f,
		const struct guest_opts *o)
{
	struct node_region r = { GPA, GUEST_BYTES };

	memset(g, 0, sizeof(*g));
	g->format = f;
	g->path = node;
	g->num = o->num ?: VQ_NUM;
	g->memory = memory(o->secret);
	if (!g->memory)
		return false;
	g->buf = g->memory + RING_BYTES;
	r.user = (uintptr_t)g->memory;
	g->tap.fd = -1;
	if (!o->back)
		tap_open_alone(&g->tap, HDR, o->sndbuf ?: INT_MAX);
	g->node = node_open(node);
	MUST(!node_owner(g->node), "VHOST_SET_OWNER");
	CHECK_EQ(node_features(g->node, f->features), 0);
	CHECK_EQ(node_table(g->node, &r, 1), 0);
	start(g, o->back ?: g->tap.fd);
	if (!o->back)
		keep_say("on", g->tap.name);
	return true;
}

void guest_forget(struct guest *g)
{
	vq_close(&g->tx);
	if (g->tap.fd >= 0)
		tap_close(&g->tap);
	munmap(g->memory, GUEST_BYTES);
}

void guest_close(struct guest *g)
{
	keep_say("drop", "");
	close(g->node);
	guest_forget(g);
	keep_say("all", "");
	keep_say("oldest", "");
}

uint64_t guest_gpa(struct guest *g, const void *at)
{
	return GPA + ((const uint8_t *)at - g->memory);
}

uint64_t guest_stat(struct guest *g, const char *name)
{
	return node_stat(g->node, Q_TX, name);
}

unsigned int guest_offer(struct guest *g, uint64_t addr, uint32_t len, uint16_t flags)
{
	unsigned int id = g->id;

	while (g->seq[id])
		id = (id + 1) % g->num;
	g->id = (id + 1) % g->num;
	g->seq[id] = g->number;
	vq_offer_as(&g->tx, id, addr ?: guest_gpa(g, g->buf + id * ROOM), len, flags);
	g->offered++;
	return id;
}

void guest_send(struct guest *g, unsigned int n, size_t len)
{
	uint8_t *at;

	MUST(g->offered - g->taken + n <= g->num, "too many frames");
	while (n--) {
		while (g->seq[g->id])
			g->id = (g->id + 1) % g->num;
		at = g->buf + g->id * ROOM;
		memset(at, 0, HDR);
		frame_make(at + HDR, len, ++g->number);
		/* An address that a bridge takes for a sender's. */
		at[HDR + 6] = 6;
		guest_offer(g, 0, HDR + len, 0);
	}
	vq_kick(&g->tx);
}

void guest_take(struct guest *g)
{
	int id;

	while ((id = vq_take(&g->tx)) >= 0) {
		if (!CHECK(id < (int)g->num && g->seq[id]))
			return;
		g->last = g->seq[id];
		g->seq[id] = 0;
		memset(g->buf + id * ROOM, GARBAGE, ROOM);
		g->taken++;
	}
}

void guest_back(struct guest *g, unsigned int n)
{
	uint64_t until = now_ns() + SOON_MS * NS_PER_MS;

	for (guest_take(g); g->taken < n && now_ns() < until; guest_take(g))
		sleep_ms(1);
	CHECK_EQ(g->taken, n);
}

void guest_rests(struct guest *g, unsigned int n)
{
	guest_back(g, n);
	worker_rest(worker_find(getpid()));
	guest_take(g);
	CHECK_EQ(g->taken, n);
}

uint32_t guest_base(struct guest *g, unsigned int n)
{
	return g->format->start + n + (g->tx.packed ? n << 16 : 0);
}

void keep_open(void)
{
	keeper = open("/dev/vd-keep", O_RDWR | O_CLOEXEC);
	MUST(keeper >= 0, "/dev/vd-keep");
}

void keep_close(void)
{
	close(keeper);
}

void keep_say(const char *what, const char *name)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%s %s", what, name);

	MUST(write(keeper, text, len) == len, "vd-keep: %s", text);
}

unsigned int keep_count(void)
{
	FILE *f = fopen("/sys/module/vd_keep/parameters/kept", "r");
	unsigned int n = 0;

	MUST(f && fscanf(f, "%u", &n) == 1, "vd_keep/parameters/kept");
	fclose(f);
	return n;
}

void keep_has(unsigned int n)
{
	uint64_t until = now_ns() + SOON_MS * NS_PER_MS;

	while (keep_count() < n && now_ns() < until)
		sleep_ms(1);
	CHECK_EQ(keep_count(), n);
}

uint32_t keep_read(size_t len)
{
	uint8_t f[1 << 14];
	ssize_t n = read(keeper, f, sizeof(f));
	uint32_t seq;

	if (!CHECK_EQ(n, len))
		return 0;
	seq = (uint32_t)f[14] << 24 | f[15] << 16 | f[16] << 8 | f[17];
	CHECK_EQ(f[6], 6);
	f[6] = 'g';
	if (!CHECK(frame_is(f, len, seq)))
		t_diag("frame %u isn't what was sent", seq);
	return seq;
}

static void *call_main(void *arg)
{
	struct call *c = arg;

	c->ret = c->fn(c->arg);
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
	return NULL;
}

void call_start(struct call *c, int (*fn)(void *arg), void *arg)
{
	c->fn = fn;
	c->arg = arg;
	c->done = false;
	MUST(!pthread_create(&c->thread, NULL, call_main, c), "pthread_create");
}

bool call_waits(struct call *c)
{
	sleep_ms(NEVER_MS);
	return !__atomic_load_n(&c->done, __ATOMIC_ACQUIRE);
}

int call_end(struct call *c)
{
	uint64_t until = now_ns() + SOON_MS * NS_PER_MS;

	while (!__atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) {
		/* It sits in the kernel, with the device: nothing more can be tested. */
		MUST(now_ns() < until, "a call that waits for frames doesn't end");
		sleep_ms(1);
	}
	pthread_join(c->thread, NULL);
	return c->ret;
}

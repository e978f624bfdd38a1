// SPDX-License-Identifier: GPL-2.0-only
/*
 * TX zero copy: which frames go uncopied and how many, when their buffers come back, what is
 * counted; with somebody in the network who keeps frames as long as the test wants, and looks
 * at their contents when he lets them go. Buffers that came back are overwritten at once.
 */
#include <linux/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "zerocopy.h"

#define BASE	(F_V1 | F_MRG)

static const struct format formats[] = {
	{ "split", BASE | F_EVENT, 0 },
	{ "packed", BASE | F_PACKED, 0x80008000 },
};

static const struct guest_opts usual;

static void test_off(const char *node, const struct format *f)
{
	unsigned int i;
	struct guest g;

	t_begin("%s: the parameter is off: all is copied", f->name);
	guest_open(&g, node, f, &usual);
	guest_send(&g, 100, LONG);
	guest_back(&g, 100);
	for (i = 1; i <= 100; i++)
		CHECK_EQ(keep_read(LONG), i);
	CHECK_EQ(guest_stat(&g, "packets"), 100);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 0);
	CHECK_EQ(guest_stat(&g, "zerocopy_bound"), 0);
	guest_close(&g);
	t_end();
}

static void test_length(const char *node, const struct format *f)
{
	static const size_t len[] = { 60, 255, 256, 257, 255, 1514, 64, 3000, 60 };
	unsigned int i, n = ARRAY_SIZE(len);
	struct guest g;

	t_begin("%s: 256 bytes and more go uncopied, and frames stay in order", f->name);
	guest_open(&g, node, f, &usual);
	for (i = 0; i < n; i++)
		guest_send(&g, 1, len[i]);
	keep_has(n);
	guest_rests(&g, 5);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 4);
	CHECK_EQ(guest_stat(&g, "zerocopy_done"), 0);
	for (i = 0; i < n; i++)
		CHECK_EQ(keep_read(len[i]), i + 1);
	guest_rests(&g, n);
	CHECK_EQ(guest_stat(&g, "packets"), n);
	CHECK_EQ(guest_stat(&g, "zerocopy_done"), 4);
	CHECK_EQ(guest_stat(&g, "zerocopy_copied"), 0);
	guest_close(&g);
	t_end();
}

/* Each buffer comes back when its frame is let go, not before, in that order. */
static void test_order(const char *node, const struct format *f)
{
	unsigned int i, n = 100, seq;
	struct guest g;

	t_begin("%s: frames leave in any order, and their buffers come back in it", f->name);
	guest_open(&g, node, f, &usual);
	srand(1);
	guest_send(&g, n, LONG);
	keep_has(n);
	guest_rests(&g, 0);
	for (i = 1; i <= n; i++) {
		keep_say(rand() % 3 ? "newest" : "oldest", "");
		seq = keep_read(LONG);
		guest_back(&g, i);
		CHECK_EQ(g.last, seq);
	}
	CHECK_EQ(guest_stat(&g, "zerocopy_done"), n);
	guest_close(&g);
	t_end();
}

static void test_bound(const char *node, const struct format *f)
{
	unsigned int i, sent = VQ_NUM - 12;
	struct guest g;
	long kb;

	t_begin("%s: 128 are under way, the others copied, and memory is bounded (CVE-2016-5403)", f->name);
	guest_open(&g, node, f, &usual);
	keep_say("uncopied", "");
	guest_send(&g, sent, LONG);
	guest_rests(&g, sent - PENDING);
	CHECK_EQ(keep_count(), PENDING);
	CHECK_EQ(guest_stat(&g, "zerocopy_bound"), sent - PENDING);
	kb = kernel_kb();
	for (i = 0; i < 100; i++) {
		guest_send(&g, 300, LONG);
		guest_back(&g, g.offered - PENDING);
	}
	CHECK_EQ(keep_count(), PENDING);
	CHECK_EQ(guest_stat(&g, "zerocopy"), PENDING);
	CHECK_EQ(guest_stat(&g, "zerocopy") - guest_stat(&g, "zerocopy_done"), PENDING);
	kb = kernel_kb() - kb;
	if (!CHECK(kb < slack_kb()))
		t_diag("%ld KiB more after 30000 frames", kb);
	for (i = 1; i <= PENDING; i++)
		CHECK_EQ(keep_read(LONG), i);
	guest_back(&g, g.offered);
	guest_close(&g);
	t_end();
}

static void test_quarter(const char *node, const struct format *f)
{
	struct guest g;

	t_begin("%s: no more than a quarter of the ring is under way", f->name);
	guest_open(&g, node, f, &(struct guest_opts){ .num = 64 });
	guest_send(&g, 60, LONG);
	keep_has(60);
	guest_rests(&g, 60 - 16);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 16);
	CHECK_EQ(guest_stat(&g, "zerocopy_bound"), 60 - 16);
	guest_close(&g);
	t_end();
	t_begin("%s: a ring of two entries: all is copied", f->name);
	guest_open(&g, node, f, &(struct guest_opts){ .num = 2 });
	guest_send(&g, 2, LONG);
	guest_back(&g, 2);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 0);
	guest_close(&g);
	t_end();
}

/* Who copies behind us does it for nothing: it is noticed, and tried again later. */
static void test_copied(const char *node, const struct format *f)
{
	unsigned int i;
	struct guest g;

	t_begin("%s: frames copied behind the socket: back at once, and fewer go uncopied", f->name);
	guest_open(&g, node, f, &usual);
	guest_send(&g, 64, LONG);
	keep_has(64);
	guest_rests(&g, 0);
	keep_say("copy", "");
	guest_back(&g, 64);
	CHECK_EQ(guest_stat(&g, "zerocopy_copied"), 64);
	CHECK_EQ(guest_stat(&g, "zerocopy_done"), 64);
	for (i = 1; i <= 64; i++)
		CHECK_EQ(keep_read(LONG), i);
	for (i = 0; i < 960; i += 320) {
		guest_send(&g, 320, LONG);
		guest_back(&g, g.offered);
		keep_say("drop", "");
	}
	CHECK_EQ(guest_stat(&g, "zerocopy"), 64);
	guest_send(&g, 10, LONG);
	keep_has(10);
	guest_rests(&g, g.offered - 10);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 74);
	guest_close(&g);
	t_end();
}

static void set_up(struct guest *g, bool up)
{
	struct ifreq ifr = { .ifr_flags = IFF_NOARP | IFF_PROMISC | (up ? IFF_UP : 0) };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(ifr.ifr_name, g->tap.name, sizeof(ifr.ifr_name));
	MUST(s >= 0 && !ioctl(s, SIOCSIFFLAGS, &ifr), "SIOCSIFFLAGS");
	close(s);
}

/* tun answers EIO when it has let the frame go already. */
static void test_down(const char *node, const struct format *f)
{
	struct guest g;

	t_begin("%s: a device that is down: each buffer comes back once", f->name);
	guest_open(&g, node, f, &usual);
	set_up(&g, false);
	guest_send(&g, 200, LONG);
	guest_rests(&g, 200);
	CHECK_EQ(guest_stat(&g, "dropped"), 200);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 0);
	CHECK_EQ(keep_count(), 0);
	set_up(&g, true);
	guest_send(&g, 100, LONG);
	keep_has(100);
	guest_rests(&g, 200);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 100);
	guest_close(&g);
	t_end();
}

/* A frame that the socket had no room for is sent again, and comes back once. */
static void full(const char *node, const struct format *f, bool uncopied)
{
	uint64_t end = now_ns() + SOON_MS * NS_PER_MS;
	unsigned int n = 60, first, i;
	struct guest g;

	t_begin("%s: a socket that is full: each frame once, in order", f->name);
	guest_open(&g, node, f, &(struct guest_opts){ .sndbuf = 40000 });
	guest_send(&g, n, LONG);
	worker_rest(worker_find(getpid()));
	first = keep_count();
	CHECK(first > 0 && first < n);
	CHECK(guest_stat(&g, "retries") > 0);
	for (i = 1; i <= n && now_ns() < end; i++) {
		while (!keep_count() && now_ns() < end)
			sleep_ms(1);
		CHECK_EQ(keep_read(LONG), i);
		guest_take(&g);
	}
	guest_rests(&g, n);
	CHECK_EQ(guest_stat(&g, "packets"), n);
	CHECK_EQ(guest_stat(&g, "dropped"), 0);
	CHECK_EQ(guest_stat(&g, "zerocopy"), uncopied ? n : 0);
	CHECK_EQ(guest_stat(&g, "zerocopy_done"), uncopied ? n : 0);
	CHECK_EQ(keep_count(), 0);
	guest_close(&g);
	t_end();
}

static void test_full(const char *node, const struct format *f)
{
	full(node, f, true);
}

static void test_full_off(const char *node, const struct format *f)
{
	full(node, f, false);
}

static void test_secret(const char *node, const struct format *f)
{
	static const struct guest_opts secret = { .secret = true };
	unsigned int i;
	struct guest g;

	t_begin("%s: memory that has no pages for others is copied", f->name);
	if (guest_open(&g, node, f, &secret)) {
		guest_send(&g, 50, LONG);
		guest_back(&g, 50);
		for (i = 1; i <= 50; i++)
			CHECK_EQ(keep_read(LONG), i);
		CHECK_EQ(guest_stat(&g, "zerocopy"), 0);
		CHECK_EQ(guest_stat(&g, "dropped"), 0);
		guest_close(&g);
	} else {
		t_skip("memfd_secret isn't there (secretmem.enable=1?)");
	}
	t_end();
}

static void test_in_order(const char *node, const struct format *f)
{
	struct format orderly = *f;
	unsigned int i;
	struct guest g;

	t_begin("%s: in order: all is copied", f->name);
	orderly.features |= F_IN_ORDER;
	guest_open(&g, node, &orderly, &usual);
	guest_send(&g, 100, LONG);
	CHECK(vq_wait(&g.tx, 100, SOON_MS));
	for (i = 1; i <= 100; i++)
		CHECK_EQ(keep_read(LONG), i);
	CHECK_EQ(guest_stat(&g, "packets"), 100);
	CHECK_EQ(guest_stat(&g, "zerocopy"), 0);
	guest_close(&g);
	t_end();
}

/* A page that the owner loses while a frame refers to it lives on for that frame. */
static void test_memory(const char *node, const struct format *f)
{
	unsigned int i, part = 30;
	struct guest g;
	uint8_t *at;
	pid_t pid;

	t_begin("%s: memory that is given away or copied on write under frames", f->name);
	guest_open(&g, node, f, &usual);
	guest_send(&g, 3 * part, LONG);
	keep_has(3 * part);
	guest_rests(&g, 0);
	at = g.buf;
	CHECK(!madvise(at, part * ROOM, MADV_DONTNEED));
	at += part * ROOM;
	CHECK(mmap(at, part * ROOM, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	at += part * ROOM;
	pid = fork();
	MUST(pid >= 0, "fork");
	while (!pid)
		pause();
	memset(at, 0xee, part * ROOM);
	for (i = 1; i <= 3 * part; i++)
		CHECK_EQ(keep_read(LONG), i);
	guest_back(&g, 3 * part);
	CHECK_EQ(guest_stat(&g, "zerocopy_done"), 3 * part);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	guest_close(&g);
	t_end();
}

static const struct {
	const char *when;
	const char *name;
	void (*test)(const char *node, const struct format *f);
} tests[] = {
	{ "off", "off", test_off },
	{ "off", "full", test_full_off },
	{ "on", "length", test_length },
	{ "on", "order", test_order },
	{ "on", "bound", test_bound },
	{ "on", "quarter", test_quarter },
	{ "on", "copied", test_copied },
	{ "on", "down", test_down },
	{ "on", "full", test_full },
	{ "on", "secret", test_secret },
	{ "on", "memory", test_memory },
	{ "on", "in-order", test_in_order },
	{ "on", "backend", test_backend },
	{ "on", "base", test_base },
	{ "on", "features", test_features },
	{ "on", "stranger", test_stranger },
	{ "on", "swap", test_swap },
	{ "on", "reset", test_reset },
	{ "on", "reset-killed", test_reset_killed },
	{ "on", "close", test_close },
	{ "on", "kill", test_kill },
	{ "on", "log-order", test_log_order },
	{ "on", "log-disorder", test_log_disorder },
	{ "on", "log-burst", test_log_burst },
	{ "on", "log-stop", test_log_stop },
	{ "network", "bridge", test_bridge },
	{ "network", "xdp", test_xdp },
	{ "network", "macvtap", test_macvtap },
};

static bool wanted(const char *name, char **words)
{
	if (!*words)
		return true;
	while (*words)
		if (!strcmp(*words++, name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *node = argc > 2 ? argv[1] : NULL, *when = node ? argv[2] : "";
	unsigned int i, j;

	if (strcmp(when, "off") && strcmp(when, "on") && strcmp(when, "network"))
		t_die("usage: zerocopy NODE off|on|network [TEST...]");
	keep_open();
	for (i = 0; i < ARRAY_SIZE(formats); i++)
		for (j = 0; j < ARRAY_SIZE(tests); j++)
			if (!strcmp(tests[j].when, when) && wanted(tests[j].name, argv + 3))
				tests[j].test(node, &formats[i]);
	keep_close();
	return t_done();
}

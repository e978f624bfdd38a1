// SPDX-License-Identifier: GPL-2.0-only
/*
 * zerocopy: the dirty log. The device writes to the ring when a frame has left, and that is
 * when the ring's pages are logged: each that was written, none before, none of the frames'.
 */
#include <linux/vhost_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "zerocopy.h"

#define PAGES		(GUEST_BYTES / PAGE)
#define RING_PAGES	(RING_BYTES / PAGE)
/* Where the device says what it wishes to hear of, whatever comes back. */
#define WISHES		(AT_USED / PAGE)
/* Frames that are copied, and those after them: the elements of a packed ring change page. */
#define SHORT		60
#define FIRST		250u
#define HELD		16u

/**
 * struct logged - a guest with a dirty log
 * @log: the bytes of the bitmap that stand for its memory
 * @before: the ring as it was
 * @format: the guest's, without event indices: those lie behind the used elements
 */
struct logged {
	struct guest g;
	uint8_t *map;
	size_t len;
	uint8_t *log;
	uint8_t before[RING_BYTES];
	struct format format;
};

static void log_open(struct logged *l, const char *node, const struct format *f)
{
	static const struct guest_opts usual;
	struct guest *g = &l->g;
	struct vq_told told;
	uint64_t base;

	l->format = *f;
	l->format.features &= ~F_EVENT;
	guest_open(g, node, &l->format, &usual);
	guest_send(g, FIRST, SHORT);
	guest_rests(g, FIRST);
	keep_has(FIRST);
	keep_say("drop", "");
	l->len = guest_gpa(g, g->memory) / PAGE / 8 + PAGE;
	l->map = mmap(NULL, l->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(l->map != MAP_FAILED, "mmap");
	l->log = l->map + guest_gpa(g, g->memory) / PAGE / 8;
	base = (uintptr_t)l->map;
	told = guest_told(g);
	told.flags = 1 << VHOST_VRING_F_LOG;
	told.log = guest_gpa(g, g->memory + AT_USED);
	CHECK_EQ(node_call(g->node, VHOST_SET_LOG_BASE, &base), 0);
	CHECK_EQ(node_features(g->node, l->format.features | F_LOG), 0);
	CHECK_EQ(vq_told(&g->tx, g->node, &told), 0);
}

static void log_close(struct logged *l)
{
	CHECK_EQ(guest_stat(&l->g, "log_failures"), 0);
	guest_close(&l->g);
	munmap(l->map, l->len);
}

static void log_mark(struct logged *l)
{
	memcpy(l->before, l->g.memory, RING_BYTES);
	memset(l->log, 0, PAGES / 8 + 1);
}

static bool log_bit(const struct logged *l, unsigned int page)
{
	return l->log[page / 8] >> page % 8 & 1;
}

/* The page of the element that came back as number @n. */
static unsigned int element_page(const struct logged *l, unsigned int n)
{
	unsigned int slot = n % VQ_NUM;

	return (l->g.tx.packed ? sizeof(struct vring_packed_desc) * slot :
		AT_USED + 4 + sizeof(struct vring_used_elem) * slot) / PAGE;
}

/* What is logged is what changed since the mark. */
static void log_compare(const struct logged *l)
{
	unsigned int page;

	for (page = 0; page < RING_PAGES; page++) {
		bool changed = memcmp(l->before + page * PAGE, l->g.memory + page * PAGE, PAGE);

		if (page == WISHES ? changed && !log_bit(l, page) : changed != log_bit(l, page)) {
			CHECK(!"the log and the ring agree");
			t_diag("page %u changed: %d, logged: %d", page, changed, log_bit(l, page));
		}
	}
	for (; page < PAGES; page++)
		if (!CHECK(!log_bit(l, page)))
			t_diag("page %u is of a frame", page);
}

/* Frames that the keeper has, and of which nothing is logged yet. */
static void log_under_way(struct logged *l)
{
	unsigned int page;

	log_mark(l);
	guest_send(&l->g, HELD, LONG);
	keep_has(HELD);
	guest_rests(&l->g, FIRST);
	CHECK_EQ(guest_stat(&l->g, "zerocopy"), HELD);
	for (page = 0; page < PAGES; page++)
		if (page != WISHES && !CHECK(!log_bit(l, page)))
			t_diag("page %u is logged before a frame has left", page);
}

/* Each by itself: it comes back, and what that changed is in the log. */
static void one_by_one(struct logged *l, bool any)
{
	unsigned int i;
	uint32_t seq;

	log_under_way(l);
	for (i = 0; i < HELD; i++) {
		log_mark(l);
		keep_say(any && rand() % 3 ? "newest" : "oldest", "");
		seq = keep_read(LONG);
		guest_rests(&l->g, FIRST + i + 1);
		CHECK_EQ(l->g.last, seq);
		CHECK(log_bit(l, element_page(l, FIRST + i)));
		log_compare(l);
	}
	CHECK_EQ(guest_stat(&l->g, "zerocopy_done"), HELD);
}

void test_log_order(const char *node, const struct format *f)
{
	struct logged l;

	t_begin("%s: the dirty log: used elements are in it when their frames have left", f->name);
	log_open(&l, node, f);
	one_by_one(&l, false);
	log_close(&l);
	t_end();
}

void test_log_disorder(const char *node, const struct format *f)
{
	struct logged l;

	t_begin("%s: the dirty log: frames that leave in any order", f->name);
	srand(2);
	log_open(&l, node, f);
	one_by_one(&l, true);
	log_close(&l);
	t_end();
}

void test_log_burst(const char *node, const struct format *f)
{
	struct logged l;

	t_begin("%s: the dirty log: frames that leave at once or are copied on the way", f->name);
	log_open(&l, node, f);
	log_under_way(&l);
	log_mark(&l);
	keep_say("drop", "");
	guest_rests(&l.g, FIRST + HELD);
	CHECK(log_bit(&l, element_page(&l, FIRST)));
	CHECK(log_bit(&l, element_page(&l, FIRST + HELD - 1)));
	log_compare(&l);
	guest_send(&l.g, HELD, LONG);
	keep_has(HELD);
	guest_rests(&l.g, FIRST + HELD);
	log_mark(&l);
	keep_say("copy", "");
	guest_rests(&l.g, FIRST + 2 * HELD);
	CHECK_EQ(guest_stat(&l.g, "zerocopy_copied"), HELD);
	CHECK(log_bit(&l, element_page(&l, FIRST + HELD)));
	log_compare(&l);
	log_close(&l);
	t_end();
}

static int stop(void *arg)
{
	struct guest *g = arg;

	return node_backend(g->node, Q_TX, -1);
}

/* A migration stops the device, and then looks at the log for the last time. */
void test_log_stop(const char *node, const struct format *f)
{
	struct logged l;
	struct call c;
	unsigned int i;

	t_begin("%s: the dirty log: it is complete when SET_BACKEND of -1 returns", f->name);
	log_open(&l, node, f);
	log_under_way(&l);
	log_mark(&l);
	call_start(&c, stop, &l.g);
	CHECK(call_waits(&c));
	for (i = 0; i < HELD; i++)
		keep_read(LONG);
	CHECK_EQ(call_end(&c), 0);
	CHECK(log_bit(&l, element_page(&l, FIRST)));
	CHECK(log_bit(&l, element_page(&l, FIRST + HELD - 1)));
	log_compare(&l);
	guest_back(&l.g, FIRST + HELD);
	log_close(&l);
	t_end();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Traffic through a network card that may move to another machine meanwhile.
 *
 *	carry guest FILE RATE KEEP MAX CARD	in the guest
 *	carry net FILE RATE KEEP MAX TAP [TAP]	the network, on a host
 *	carry ask FILE [PHASE]			counts of either, after that phase
 *
 * Each end sends RATE numbered frames of up to MAX bytes a second and checks what comes. It leaves
 * KEEP bytes of frames unread in its socket: in a guest these stand in the pages
 * into which the card wrote them, and were read by nobody yet. The network sends
 * to the link from which the guest was heard last, as a switch would.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/sock_diag.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "carry.h"
#include "proc.h"
#include "test.h"

#define LINKS	2
#define PAGES	2048
#define WORDS	(4096 / sizeof(uint64_t))
#define BUFFER	(16 << 20)

struct end {
	struct carry_counts *counts;
	enum carry_way out, in;
	unsigned int rate, keep, max, links;
	int link[LINKS];
	uint8_t *seen;
	uint64_t (*page)[WORDS];
	uint32_t *written;
	uint64_t began, owed;
};

static struct carry_counts *counts_map(const char *path, bool make)
{
	int fd = open(path, O_RDWR | (make ? O_CREAT | O_TRUNC : 0), 0600);
	void *at;

	MUST(fd >= 0 && (!make || !ftruncate(fd, 4096)), "%s", path);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(at != MAP_FAILED, "mmap of %s", path);
	close(fd);
	return at;
}

static int link_open(const char *name)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), size = BUFFER, one = 1;

	MUST(fd >= 0 && at.sll_ifindex, "packet socket on %s", name);
	MUST(!setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), "SO_RCVBUFFORCE");
	MUST(!setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)),
	     "PACKET_IGNORE_OUTGOING");
	MUST(!bind(fd, (struct sockaddr *)&at, sizeof(at)), "bind to %s", name);
	return fd;
}

static size_t held(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t size = sizeof(info);

	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size);
	return info[SK_MEMINFO_RMEM_ALLOC];
}

static void receive(struct end *e, unsigned int link, size_t keep)
{
	uint8_t frame[CARRY_MAX + 1];
	ssize_t length;

	while (!keep || held(e->link[link]) > keep) {
		length = recv(e->link[link], frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);
		if (length < 0)
			return;
		/* Also by what else a guest says: that is how it announces itself. */
		e->counts->link = link;
		if (!carry_ours(frame, length, e->in)) {
			e->counts->other++;
			continue;
		}
		e->counts->link_received[link]++;
		carry_take(e->counts, e->seen, frame, length, e->in, e->max);
	}
}

static void drops(struct end *e)
{
	struct tpacket_stats stats;
	socklen_t size;
	unsigned int i;

	for (i = 0; i < e->links; i++) {
		size = sizeof(stats);
		if (!getsockopt(e->link[i], SOL_PACKET, PACKET_STATISTICS, &stats, &size))
			e->counts->dropped += stats.tp_drops;
	}
}

/* As many as are due; what couldn't be sent for a long time isn't made up for. */
static void transmit(struct end *e)
{
	uint64_t due = (now_ns() - e->began) / 1000 * e->rate / 1000000;
	uint8_t frame[CARRY_MAX];
	size_t length;

	if (due > e->owed + e->rate / 5)
		e->owed = due - e->rate / 5;
	for (; e->owed < due; e->owed++) {
		length = carry_build(frame, e->out, e->counts->sent, e->max);
		/* Refused: the number is the next one's. */
		if (send(e->link[e->counts->link], frame, length, MSG_DONTWAIT) == (ssize_t)length)
			e->counts->sent++;
	}
}

static uint64_t word_of(uint32_t page, uint32_t turn, uint32_t at)
{
	return ((uint64_t)turn << 32 ^ page) * 0x9e3779b97f4a7c15ull + at;
}

static void page_turn(struct end *e, uint32_t page)
{
	uint32_t at, turn = e->written[page];
	bool bad = false;

	for (at = 0; at < WORDS; at++) {
		bad |= e->page[page][at] != word_of(page, turn, at);
		e->page[page][at] = word_of(page, turn + 1, at);
	}
	e->written[page]++;
	e->counts->pages++;
	e->counts->pages_bad += bad;
}

static void pages_make(struct end *e)
{
	uint32_t page, at;

	e->page = aligned_alloc(4096, PAGES * 4096);
	e->written = calloc(PAGES, sizeof(*e->written));
	MUST(e->page && e->written, "memory");
	for (page = 0; page < PAGES; page++)
		for (at = 0; at < WORDS; at++)
			e->page[page][at] = word_of(page, 0, at);
}

static void carry(struct end *e)
{
	uint32_t page = 0, phase, i;

	e->began = now_ns();
	do {
		phase = __atomic_load_n(&e->counts->phase, __ATOMIC_ACQUIRE);
		for (i = 0; i < e->links; i++)
			receive(e, i, phase < CARRY_TAKE ? e->keep : 0);
		if (phase == CARRY_RUN)
			transmit(e);
		if (phase == CARRY_END)
			for (i = 0; i < PAGES && e->page; i++)
				page_turn(e, i);
		if (e->page) {
			page = (page * 5 + 1) % PAGES;
			page_turn(e, page);
		}
		drops(e);
		e->counts->held = held(e->link[0]);
		__atomic_store_n(&e->counts->answer, phase, __ATOMIC_RELEASE);
		if (phase != CARRY_END)
			usleep(2000);
	} while (phase != CARRY_END);
}

static const struct {
	const char *name;
	size_t at;
} shown[] = {
	{ "sent", offsetof(struct carry_counts, sent) },
	{ "received", offsetof(struct carry_counts, received) },
	{ "twice", offsetof(struct carry_counts, twice) },
	{ "late", offsetof(struct carry_counts, late) },
	{ "corrupt", offsetof(struct carry_counts, corrupt) },
	{ "other", offsetof(struct carry_counts, other) },
	{ "dropped", offsetof(struct carry_counts, dropped) },
	{ "link_received[0]", offsetof(struct carry_counts, link_received[0]) },
	{ "link_received[1]", offsetof(struct carry_counts, link_received[1]) },
	{ "link", offsetof(struct carry_counts, link) },
	{ "held", offsetof(struct carry_counts, held) },
	{ "pages", offsetof(struct carry_counts, pages) },
	{ "pages_bad", offsetof(struct carry_counts, pages_bad) },
};

static int ask(const char *path, const char *phase)
{
	struct carry_counts *c = counts_map(path, false);
	uint32_t wanted = phase ? (uint32_t)atoi(phase) : c->phase, i;

	__atomic_store_n(&c->phase, wanted, __ATOMIC_RELEASE);
	for (i = 0; i < 30000 && __atomic_load_n(&c->answer, __ATOMIC_ACQUIRE) != wanted; i++)
		usleep(1000);
	MUST(i < 30000, "%s: nobody answers", path);
	for (i = 0; i < ARRAY_SIZE(shown); i++)
		printf("%s=%llu\n", shown[i].name,
		       *(unsigned long long *)((char *)c + shown[i].at));
	printf("first=%s\n", c->first);
	return 0;
}

int main(int argc, char **argv)
{
	struct end e = { .out = CARRY_OUT, .in = CARRY_IN };
	bool guest = argc > 1 && !strcmp(argv[1], "guest");
	int i;

	if (argc > 2 && !strcmp(argv[1], "ask"))
		return ask(argv[2], argv[3]);
	if (argc < 7 || argc > 6 + LINKS || (!guest && strcmp(argv[1], "net"))) {
		fprintf(stderr, "usage: carry guest|net FILE RATE KEEP MAX LINK..., carry ask FILE [PHASE]\n");
		return 2;
	}
	if (!guest) {
		e.out = CARRY_IN;
		e.in = CARRY_OUT;
	}
	e.counts = counts_map(argv[2], true);
	e.rate = atoi(argv[3]);
	e.keep = atoi(argv[4]);
	e.max = atoi(argv[5]);
	MUST(e.max >= CARRY_MIN && e.max <= CARRY_MAX, "frames of %s bytes", argv[5]);
	e.seen = calloc(1, CARRY_FRAMES / 8);
	MUST(e.seen, "memory");
	for (i = 6; i < argc; i++)
		e.link[e.links++] = link_open(argv[i]);
	if (guest)
		pages_make(&e);
	carry(&e);
	return 0;
}

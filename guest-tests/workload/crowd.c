// SPDX-License-Identifier: GPL-2.0-only
/* Several senders at one receiver. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "crowd.h"
#include "stop.h"

static void lock(struct crowd *c)
{
	/* Pairs with unlock(). Words, and strangers, are rare. */
	while (__atomic_exchange_n(&c->lock, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void unlock(struct crowd *c)
{
	__atomic_store_n(&c->lock, 0, __ATOMIC_RELEASE);
}

void crowd_init(struct crowd *c, const struct options *o)
{
	*c = (struct crowd){ .most = o->senders > 1 ? o->senders : 1, .o = o };
	c->member = calloc(c->most, sizeof(*c->member));
	if (!c->member)
		die("no memory");
	if (c->most == 1) {
		intake_init(&c->member[0].intake, o);
		c->count = 1;
		return;
	}
	/* Each flow of each sender adds one source at most: half of the table stays empty. */
	for (c->mask = 1; c->mask < 2 * c->most * FLOWS_MAX;)
		c->mask *= 2;
	c->source = calloc(c->mask--, sizeof(*c->source));
	if (!c->source)
		die("no memory");
	/* Nobody is to choose addresses that meet in one place; without it they could. */
	if (getrandom(&c->seed, sizeof(c->seed), 0) < 0)
		c->seed = 0;
}

void crowd_free(struct crowd *c)
{
	unsigned int i;

	for (i = 0; i < c->count; i++)
		intake_free(&c->member[i].intake);
	free(c->member);
	free(c->source);
}

static uint64_t stir(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
	return sum ^ sum >> 32;
}

/* A source's place, or the empty one that it would have. */
static struct source *place(const struct crowd *c, const struct frame_way *way, uint16_t *member)
{
	uint64_t word[2];
	uint32_t at;

	memcpy(word, &way->from, sizeof(word));
	at = stir(stir(stir(c->seed, word[0]), word[1]), (uint64_t)way->scope << 16 | way->from_port);
	for (;; at++) {
		struct source *s = &c->source[at & c->mask];

		/* Pairs with the release in settle(): the address is there when the number is. */
		*member = __atomic_load_n(&s->member, __ATOMIC_ACQUIRE);
		if (!*member || (s->port == way->from_port && s->scope == way->scope &&
				 IN6_ARE_ADDR_EQUAL(&s->from, &way->from)))
			return s;
	}
}

int crowd_at(const struct crowd *c, const struct frame_way *way)
{
	uint16_t member;

	if (c->most == 1)
		return 0;
	place(c, way, &member);
	return member - 1;
}

static bool knows(const struct member *m, unsigned int flow)
{
	return m->known[flow / 64] >> flow % 64 & 1;
}

/* From there this sender's flow comes; who sent from there before has gone, or was started anew. */
static void settle(struct crowd *c, int who, unsigned int flow, const struct frame_way *way)
{
	uint16_t before;
	struct source *s = place(c, way, &before);

	c->member[who].known[flow / 64] |= 1ull << flow % 64;
	if (!before) {
		s->from = way->from;
		s->scope = way->scope;
		s->port = way->from_port;
	}
	__atomic_store_n(&s->member, who + 1, __ATOMIC_RELEASE);
}

static int admit(struct crowd *c, const struct payload *p, const struct frame_way *way)
{
	unsigned int who = c->count;
	struct member *m = &c->member[who];

	if (who == c->most)
		return STRANGER;
	intake_init(&m->intake, c->o);
	m->session = p->session;
	m->id = p->kind == PAYLOAD_DATA ? 0 : p->id;
	m->flows = p->kind == PAYLOAD_DATA ? FLOWS_MAX : p->flows;
	m->way = *way;
	m->base = ntohs(way->from_port) - p->flow;
	/* Pairs with crowd_count(). */
	__atomic_store_n(&c->count, who + 1, __ATOMIC_RELEASE);
	return who;
}

/* Is this data its, which comes from where it speaks? */
static bool says(const struct member *m, const struct payload *p)
{
	return m->session == p->session && p->flow < __atomic_load_n(&m->flows, __ATOMIC_RELAXED);
}

/*
 * Data from where nobody has spoken: a flow whose first words were lost, or the first of a sender
 * that was there before us. Of several whose it could be, it is that of its address, or nobody's.
 */
static int guess(struct crowd *c, const struct payload *p, const struct frame_way *way)
{
	int who = STRANGER, candidates = 0;
	unsigned int i;

	for (i = 0; i < c->count; i++) {
		const struct member *m = &c->member[i];

		if (m->session != p->session || p->flow >= m->flows || knows(m, p->flow) ||
		    m->base != (in_port_t)(ntohs(way->from_port) - p->flow))
			continue;
		if (IN6_ARE_ADDR_EQUAL(&m->way.from, &way->from))
			return i;
		candidates++;
		who = i;
	}
	if (candidates == 1)
		return who;
	return c->o->join && !candidates ? admit(c, p, way) : STRANGER;
}

static bool fits(const struct member *m, const struct payload *p)
{
	return p->flow < m->flows && m->flows == p->flows;
}

/* A word: it says who its sender is. */
static int introduced(struct crowd *c, const struct payload *p, const struct frame_way *way)
{
	int there = crowd_at(c, way);
	unsigned int i;

	if (!p->id || p->session != (uint8_t)p->id || p->flow >= p->flows)
		return STRANGER;
	if (there >= 0 && !c->member[there].id && c->member[there].session == p->session) {
		c->member[there].id = p->id;
		__atomic_store_n(&c->member[there].flows, p->flows, __ATOMIC_RELAXED);
	}
	if (there >= 0 && c->member[there].id == p->id)
		return fits(&c->member[there], p) ? there : STRANGER;
	for (i = 0; i < c->count && c->member[i].id != p->id; i++)
		;
	/* A flow has one source: who speaks for it from another one may be anybody. */
	if (i < c->count)
		return fits(&c->member[i], p) && !knows(&c->member[i], p->flow) ? (int)i : STRANGER;
	return admit(c, p, way);
}

static int ask(struct crowd *c, const struct payload *p, const struct frame_way *way)
{
	int who, there;

	lock(c);
	there = crowd_at(c, way);
	if (p->kind != PAYLOAD_DATA)
		who = introduced(c, p, way);
	else if (there < 0)
		who = guess(c, p, way);
	else
		/* Another thread was told meanwhile. */
		who = says(&c->member[there], p) ? there : STRANGER;
	if (who >= 0 && who != there)
		settle(c, who, p->flow, way);
	unlock(c);
	return who;
}

int crowd_whose(struct crowd *c, const struct payload *p, const struct frame_way *way)
{
	int there = crowd_at(c, way);

	if (c->most == 1)
		return 0;
	if (p->kind != PAYLOAD_DATA || there < 0)
		return ask(c, p, way);
	return says(&c->member[there], p) ? there : STRANGER;
}

struct intake_totals crowd_totals(struct crowd *c)
{
	struct intake_totals sum = { 0 };
	unsigned int i;

	for (i = 0; i < crowd_count(c); i++) {
		struct intake_totals one = intake_totals(&c->member[i].intake);

		sum.expected += one.expected;
		sum.unique += one.unique;
		sum.duplicated += one.duplicated;
		sum.reordered += one.reordered;
		sum.stale += one.stale;
		sum.flows += one.flows;
		sum.reach = one.reach > sum.reach ? one.reach : sum.reach;
	}
	return sum;
}

enum intake_clocks crowd_clocks(struct crowd *c)
{
	enum intake_clocks all = CLOCKS_UNKNOWN, one;
	unsigned int i;

	for (i = 0; i < crowd_count(c); i++) {
		one = intake_clocks(&c->member[i].intake);
		if (one != CLOCKS_SAME || !i)
			all = all == CLOCKS_DIFFER ? all : one;
	}
	return all;
}

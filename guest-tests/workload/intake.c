// SPDX-License-Identifier: GPL-2.0-only
/* Flows and sessions of a receiver. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "intake.h"
#include "stop.h"

static void lock(int *l)
{
	/* Pairs with unlock(). Two threads meet in a flow only where it isn't steered to one. */
	while (__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void unlock(int *l)
{
	__atomic_store_n(l, 0, __ATOMIC_RELEASE);
}

void intake_init(struct intake *in, const struct options *o)
{
	*in = (struct intake){
		.window = o->reorder_window, .join = o->join, .same_clock = o->same_clock, .clock = intake_clock(),
		.flow = calloc(FLOWS_MAX, sizeof(*in->flow)),
	};
	if (!in->flow)
		die("no memory");
}

void intake_free(struct intake *in)
{
	unsigned int i;

	for (i = 0; i < FLOWS_MAX; i++)
		tracker_free(&in->flow[i].tracker);
	free(in->flow);
}

static void add(struct intake_totals *sum, const struct intake_flow *f)
{
	const struct tracker *t = &f->tracker;

	sum->expected += tracker_expected(t, f->total);
	sum->unique += t->unique;
	sum->duplicated += t->duplicated;
	sum->reordered += t->reordered;
	sum->stale += t->stale;
	sum->reach = t->reach > sum->reach ? t->reach : sum->reach;
	sum->flows++;
}

/* Is that of this session? Words alone know the id, and tell it. */
static bool is_of(struct intake_session *s, const struct payload *p)
{
	uint64_t id = p->kind == PAYLOAD_DATA ? 0 : p->id;

	if (!s->known || s->number != p->session || (id && s->id && id != s->id))
		return false;
	s->id = id ? id : s->id;
	return true;
}

/* A session has begun in a flow: it runs, and no flow of it has ended, unless others knew it. */
static void enter(struct intake *in, const struct payload *p)
{
	lock(&in->lock);
	if (!is_of(&in->session, p) && !is_of(&in->before, p)) {
		in->before = in->session;
		in->session = (struct intake_session){
			.known = true, .number = p->session, .flows = in->before.flows,
			.id = p->kind == PAYLOAD_DATA ? 0 : p->id,
		};
	}
	unlock(&in->lock);
}

static void begin(struct intake *in, struct intake_flow *f, const struct payload *p)
{
	if (f->seen) {
		lock(&in->lock);
		add(&in->past, f);
		unlock(&in->lock);
		tracker_free(&f->tracker);
	}
	if (!tracker_init(&f->tracker, in->window))
		die("no memory");
	f->before = f->id;
	f->id = p->kind == PAYLOAD_DATA ? 0 : p->id;
	f->seen = true;
	f->ended = false;
	f->session = p->session;
	f->total = UINT64_MAX;
	if (in->join && p->kind == PAYLOAD_DATA)
		tracker_join(&f->tracker, p->number);
}

/* One session with another clock spoils the latencies, which are of all of them together. */
static void clock_of(struct intake *in, const struct payload *p)
{
	int unknown = CLOCKS_UNKNOWN;

	if (p->clock && p->clock == in->clock)
		__atomic_compare_exchange_n(&in->clocks, &unknown, CLOCKS_SAME, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
	else
		__atomic_store_n(&in->clocks, CLOCKS_DIFFER, __ATOMIC_RELAXED);
}

static void control(struct intake *in, struct intake_flow *f, const struct payload *p)
{
	bool ends = p->kind == PAYLOAD_END && !f->ended;

	clock_of(in, p);
	f->id = p->id;
	if (ends) {
		f->total = p->total;
		f->ended = true;
	}
	lock(&in->lock);
	/* A late word of the one before says nothing about this one's flows. */
	if (is_of(&in->session, p)) {
		in->session.flows = p->flows;
		in->session.ended += ends;
	}
	unlock(&in->lock);
}

/* Does this packet begin a session of its flow? */
static bool begins(const struct intake_flow *f, const struct payload *p)
{
	bool other = p->session != f->session;

	if (!f->seen)
		return true;
	if (p->kind == PAYLOAD_DATA)
		return other && f->ended && !(f->before && p->session == (uint8_t)f->before);
	/* A word that its session's end overtook, or the next session, begins nothing. */
	if (p->id && (p->id == f->id || p->id == f->before))
		return false;
	other |= f->id && p->id != f->id;
	return other && (f->ended || p->kind == PAYLOAD_HELLO);
}

enum intake_verdict intake_take(struct intake *in, const struct payload *p)
{
	static const enum intake_verdict verdicts[] = {
		[TRACK_NEW] = INTAKE_NEW, [TRACK_REORDERED] = INTAKE_NEW,
		[TRACK_DUPLICATED] = INTAKE_AGAIN, [TRACK_STALE] = INTAKE_STALE,
	};
	struct intake_flow *f = &in->flow[p->flow];
	enum intake_verdict verdict = INTAKE_CONTROL;

	lock(&f->lock);
	if (begins(f, p)) {
		begin(in, f, p);
		enter(in, p);
	}
	if (f->session != p->session || (p->kind != PAYLOAD_DATA && f->id && p->id != f->id))
		verdict = INTAKE_FOREIGN;
	else if (p->kind != PAYLOAD_DATA)
		control(in, f, p);
	else
		verdict = verdicts[tracker_take(&f->tracker, p->number)];
	unlock(&f->lock);
	return verdict;
}

void intake_total(struct intake *in, unsigned int flow, uint64_t total)
{
	struct intake_flow *f = &in->flow[flow];

	lock(&f->lock);
	if (!f->seen)
		begin(in, f, &(struct payload){ 0 });
	f->total = total;
	unlock(&f->lock);
}

enum intake_clocks intake_clocks(struct intake *in)
{
	return in->same_clock ? CLOCKS_SAME : __atomic_load_n(&in->clocks, __ATOMIC_RELAXED);
}

unsigned int intake_flows(struct intake *in)
{
	unsigned int flows;

	lock(&in->lock);
	flows = in->session.flows;
	unlock(&in->lock);
	return flows;
}

bool intake_ended(struct intake *in)
{
	bool ended;

	lock(&in->lock);
	ended = in->session.flows && in->session.ended >= in->session.flows;
	unlock(&in->lock);
	return ended;
}

struct intake_totals intake_totals(struct intake *in)
{
	struct intake_totals sum;
	unsigned int i;

	lock(&in->lock);
	sum = in->past;
	unlock(&in->lock);
	for (i = 0; i < FLOWS_MAX; i++) {
		struct intake_flow *f = &in->flow[i];

		lock(&f->lock);
		if (f->seen)
			add(&sum, f);
		unlock(&f->lock);
	}
	return sum;
}

static uint64_t hash(uint64_t sum, const char *text)
{
	while (*text)
		sum = (sum ^ (uint8_t)*text++) * 0x100000001b3ull;
	return sum;
}

uint64_t intake_clock(void)
{
	char boot[64] = "", space[64] = "";
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

	if (file) {
		if (!fgets(boot, sizeof(boot), file))
			boot[0] = 0;
		fclose(file);
	}
	if (!boot[0])
		return 0;
	/* A time namespace has a clock of its own; a kernel without them has one for all. */
	if (readlink("/proc/self/ns/time", space, sizeof(space) - 1) < 0)
		space[0] = 0;
	return hash(hash(0xcbf29ce484222325ull, boot), space);
}

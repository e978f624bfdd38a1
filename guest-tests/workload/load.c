// SPDX-License-Identifier: GPL-2.0-only
/* What threads do, by role. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "stop.h"

#define SLICE_NS	100000000ull
#define MS		1000000ull
#define MARKS		32
#define SEC		1000000000ull
/* Beyond --duration: a busy machine, or the rest of a burst. */
#define GRACE_NS	(2 * SEC)

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

struct batch {
	struct worker *w;
	unsigned int answers;
};

static void latency(struct worker *w, struct tally *t, uint64_t now, uint64_t then)
{
	int64_t ns = payload_since(now, then);

	if (ns < 0) {
		count(&w->unstamped, 1);
		t->unstamped++;
		return;
	}
	histogram_add(&w->latency, ns);
	if (w->tally)
		histogram_add(&t->latency, ns);
}

static void answer(struct batch *b, const struct arrival *in)
{
	struct port *port = b->w->port;
	uint8_t *at = port->ops->room(port, in->length);

	if (!at)
		return;
	memcpy(at, in->payload, in->length);
	port->ops->commit_back(port, in, in->length);
	b->answers++;
}

/* What is counted of a sender; of one alone that isn't asked for. */
static struct tally *tally_of(struct worker *w, int whose)
{
	static __thread struct tally nobody;

	return w->tally && whose >= 0 ? &w->tally[whose] : &nobody;
}

/* Of a packet that can't be read: whose it is by where it came from, or NULL, of a stranger. */
static struct tally *unread(struct worker *w, const struct arrival *in)
{
	int whose = crowd_at(&w->run->crowd, &in->way);

	/* It may be anything, and was never ours. A frame without a way has a damaged head. */
	if (whose == STRANGER && in->way.from_port) {
		count(&w->foreign, 1);
		return NULL;
	}
	return tally_of(w, whose);
}

static void too_long(struct worker *w, const struct arrival *in)
{
	struct tally *t = unread(w, in);

	if (!t)
		return;
	t->too_long++;
	count(&w->too_long, 1);
}

static void corrupt(struct worker *w, const struct arrival *in)
{
	struct tally *t = unread(w, in);

	if (!t)
		return;
	t->corrupt++;
	if (!w->corrupt && in->wrong_sum && payload_parse(in->payload, in->length, &(struct payload){ 0 }))
		snprintf(w->blame, sizeof(w->blame), "%zu bytes: in its head, by UDP's checksum", in->length);
	else if (!w->corrupt)
		payload_blame(in->payload, in->length, w->blame, sizeof(w->blame));
	count(&w->corrupt, 1);
}

static void take(void *context, const struct arrival *in)
{
	struct batch *b = context;
	struct worker *w = b->w;
	enum intake_verdict verdict = INTAKE_FOREIGN;
	struct tally *t;
	struct payload p;
	int whose;

	if (in->cut) {
		too_long(w, in);
		return;
	}
	if (in->wrong_sum || !payload_parse(in->payload, in->length, &p)) {
		corrupt(w, in);
		return;
	}
	/* One look at the clock for all that came together. */
	if (!w->port->now)
		w->port->now = now_ns();
	if (w->sends && (p.kind != PAYLOAD_DATA || p.session != w->run->session.number)) {
		count(&w->foreign, p.kind == PAYLOAD_DATA);
		return;
	}
	whose = crowd_whose(&w->run->crowd, &p, &in->way);
	if (whose != STRANGER)
		verdict = intake_take(&w->run->crowd.member[whose].intake, &p);
	t = tally_of(w, whose);
	__atomic_store_n(&t->heard, w->port->now, __ATOMIC_RELAXED);
	if (verdict == INTAKE_FOREIGN)
		count(&w->foreign, 1);
	if (verdict == INTAKE_FOREIGN || verdict == INTAKE_CONTROL)
		return;
	if (!w->first)
		w->first = w->port->now;
	w->last = w->port->now;
	t->first = t->first ? t->first : w->last;
	t->last = w->last;
	t->packets++;
	t->bytes += in->length + w->run->o->head;
	count(&w->packets, 1);
	count(&w->bytes, in->length + w->run->o->head);
	if (verdict == INTAKE_NEW && w->sends &&
	    payload_since(w->port->now, p.stamp) > (int64_t)(w->run->o->timeout_ms * MS)) {
		count(&w->late, 1);
	} else if (verdict == INTAKE_NEW) {
		count(&w->fresh, 1);
		latency(w, t, w->port->now, p.stamp);
	}
	if (w->answers)
		answer(b, in);
}

static void receive(struct worker *w, uint64_t until)
{
	struct batch b = { .w = w };

	w->port->ops->receive(w->port, until, take, &b);
	if (b.answers)
		w->port->ops->flush(w->port);
}

static void do_receive(struct worker *w)
{
	while (!stopping())
		receive(w, now_ns() + SLICE_NS);
}

static void expect(struct worker *w, uint64_t due)
{
	__atomic_store_n(&w->due, w->run->o->duration ? due : 0, __ATOMIC_RELAXED);
}

/* Of sending, without the words before and after. */
static void begin_sending(struct worker *w)
{
	const struct options *o = w->run->o;
	uint64_t until = now_ns() + (o->role == ROLE_BOTH ? o->wait * SEC : 0);

	expect(w, until + o->duration * SEC);

	/* A peer that sends is there when it says hello; nobody else says anything to a sender. */
	if (o->role == ROLE_BOTH)
		while (!stopping() && now_ns() < until && !intake_flows(&w->run->crowd.member[0].intake))
			sender_hello_once(&w->sender);
	sender_hello(&w->sender);
	w->sent = w->port->counts;
	w->began = now_ns();
	w->end = o->duration ? w->began + o->duration * SEC : UINT64_MAX;
	expect(w, w->end);
}

static void end_sending(struct worker *w)
{
	w->ended = now_ns();
	expect(w, 0);
	w->sent.bytes = w->port->counts.bytes - w->sent.bytes;
	w->sent.sent = w->port->counts.sent - w->sent.sent;
}

static void last_words(struct worker *w)
{
	__atomic_store_n(&w->words, true, __ATOMIC_RELAXED);
	expect(w, now_ns());
	sender_end(&w->sender);
	expect(w, 0);
}

static bool done_sending(struct worker *w)
{
	return stopping() || !w->sender.left || now_ns() >= w->end;
}

static void do_send(struct worker *w)
{
	uint64_t due;

	begin_sending(w);
	while (!done_sending(w)) {
		due = pace_due(&w->sender.pace, now_ns());
		pace_sleep(due < w->end ? due : w->end);
		if (!done_sending(w))
			sender_burst(&w->sender);
	}
	end_sending(w);
	last_words(w);
}

/* Marks in time, of how many packets there were by then. */
struct ages {
	uint64_t timeout, last, old, given_up;
	unsigned int head, tail;
	struct {
		uint64_t when, made;
	} mark[MARKS];
};

static void ages_note(struct ages *a, uint64_t now, uint64_t made, bool full)
{
	bool news = a->head == a->tail || a->mark[(a->head - 1) % MARKS].made != made;

	if (!news || a->head - a->tail == MARKS || (!full && now < a->last + a->timeout / MARKS))
		return;
	a->mark[a->head % MARKS].when = now;
	a->mark[a->head++ % MARKS].made = made;
	a->last = now;
}

/* Packets that may still be answered. Those that were given up aren't fresh when they come. */
static uint64_t open_now(const struct worker *w, struct ages *a, uint64_t now)
{
	while (a->tail != a->head && a->mark[a->tail % MARKS].when + a->timeout <= now)
		a->old = a->mark[a->tail++ % MARKS].made;
	if (a->old > w->fresh + a->given_up)
		a->given_up = a->old - w->fresh;
	return w->sender.made > w->fresh + a->given_up ? w->sender.made - w->fresh - a->given_up : 0;
}

static void linger(struct worker *w, uint64_t wait)
{
	uint64_t fresh = w->fresh, until = now_ns() + wait;

	while (w->fresh < w->sender.made && now_ns() < until && !giving_up()) {
		receive(w, until);
		if (w->fresh != fresh)
			until = now_ns() + wait;
		fresh = w->fresh;
	}
}

static void do_ping(struct worker *w)
{
	const struct options *o = w->run->o;
	struct ages ages = { .timeout = o->timeout_ms * MS };
	uint64_t now, due;
	unsigned int i;

	begin_sending(w);
	while (!done_sending(w)) {
		now = now_ns();
		due = pace_due(&w->sender.pace, now);
		if (open_now(w, &ages, now) + o->burst > o->window) {
			ages_note(&ages, now, w->sender.made, true);
			receive(w, ages.mark[ages.tail % MARKS].when + ages.timeout);
		} else if (due > now) {
			receive(w, due);
		} else {
			sender_burst(&w->sender);
			ages_note(&ages, now, w->sender.made, false);
			receive(w, 0);
		}
	}
	end_sending(w);
	linger(w, o->linger_ms * MS);
	last_words(w);
	for (i = 0; i < w->port->flows; i++)
		intake_total(&w->run->crowd.member[0].intake, port_flow(w->port, i), w->sender.number[i]);
}

static void pin(const struct worker *w)
{
	int cpu = w->run->o->pins[w->index % THREADS_MAX];
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("--pin: processor %d: %s", cpu, strerror(errno));
}

static void open_port(struct worker *w)
{
	static struct port *(*const opens[])(const struct port *, struct facts *) = {
		[PATH_PACKET] = packet_open, [PATH_UDP] = udp_open, [PATH_URING] = uring_open,
	};
	const struct options *o = w->run->o;
	unsigned int thread = w->index % o->threads;
	struct port like = {
		.o = o, .thread = thread, .tx = w->sends, .rx = w->receives, .back = w->answers,
		.named = w->answers || o->senders > 1,
		.flows = o->flows / o->threads + (thread < o->flows % o->threads),
	};

	/* In turn, so that what the first says is whole. */
	pthread_mutex_lock(&opening);
	w->port = opens[o->path](&like, thread ? NULL : w->sends ? &w->run->out : &w->run->in);
	pthread_mutex_unlock(&opening);
	if (w->sends)
		sender_init(&w->sender, w->port, &w->run->session);
}

static void *work(void *argument)
{
	struct worker *w = argument;

	pin(w);
	open_port(w);
	pthread_barrier_wait(&w->run->ready);
	pthread_barrier_wait(&w->run->go);
	if (w->run->o->role == ROLE_PROBE)
		;
	else if (w->sends && w->receives)
		do_ping(w);
	else if (w->sends)
		do_send(w);
	else
		do_receive(w);
	w->port->ops->end(w->port);
	if (w->sends) {
		sender_free(&w->sender);
		__atomic_fetch_sub(&w->run->sending, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void add_workers(struct run *run, bool send, bool receive, bool answer)
{
	unsigned int i;

	for (i = 0; i < run->o->threads; i++) {
		struct worker *w = &run->worker[run->workers];

		*w = (struct worker){
			.run = run, .index = run->workers, .sends = send, .receives = receive, .answers = answer,
		};
		if (run->o->senders > 1)
			w->tally = calloc(run->o->senders, sizeof(*w->tally));
		if (run->o->senders > 1 && !w->tally)
			die("no memory");
		run->workers++;
		run->sending += send;
	}
}

void load_start(struct run *run)
{
	enum role role = run->o->role;
	unsigned int i;
	int status;

	run->worker = calloc(2 * run->o->threads, sizeof(*run->worker));
	if (!run->worker)
		die("no memory");
	if (sends(run->o))
		add_workers(run, true, role == ROLE_PING, false);
	if (role != ROLE_SEND && role != ROLE_PING)
		add_workers(run, false, true, role == ROLE_ECHO);
	pthread_barrier_init(&run->ready, NULL, run->workers + 1);
	pthread_barrier_init(&run->go, NULL, run->workers + 1);
	for (i = 0; i < run->workers; i++) {
		status = pthread_create(&run->worker[i].thread, NULL, work, &run->worker[i]);
		if (status)
			die("thread: %s", strerror(status));
	}
	pthread_barrier_wait(&run->ready);
	for (i = 0; i < run->workers; i++)
		run->worker[i].port->ops->begin(run->worker[i].port);
}

void load_go(struct run *run)
{
	run->began = now_ns();
	pthread_barrier_wait(&run->go);
}

bool load_stuck(struct run *run, uint64_t now)
{
	unsigned int i;

	for (i = 0; i < run->workers; i++) {
		struct worker *w = &run->worker[i];
		uint64_t due = __atomic_load_n(&w->due, __ATOMIC_RELAXED);
		uint64_t moved = __atomic_load_n(&w->port->counts.sent, __ATOMIC_RELAXED) +
				 __atomic_load_n(&w->port->counts.refused, __ATOMIC_RELAXED);

		if (moved != w->moved)
			w->moved_at = now;
		w->moved = moved;
		/* Those of many flows may take a while, as long as they go. */
		if (due && __atomic_load_n(&w->words, __ATOMIC_RELAXED) && w->moved_at > due)
			due = w->moved_at;
		if (due && now > due + GRACE_NS)
			return true;
	}
	return false;
}

bool load_vanished(struct run *run, unsigned int sender, uint64_t now)
{
	uint64_t heard = 0, at;
	unsigned int i;

	for (i = 0; i < run->workers; i++) {
		at = __atomic_load_n(&run->worker[i].tally[sender].heard, __ATOMIC_RELAXED);
		heard = at > heard ? at : heard;
	}
	/* None yet: it is being counted in this moment. */
	return heard && run->o->silence && now > heard && now - heard > run->o->silence * SEC &&
	       !intake_ended(&run->crowd.member[sender].intake);
}

bool load_done(struct run *run, uint64_t now)
{
	unsigned int came = crowd_count(&run->crowd), i;

	for (i = 0; i < came; i++)
		if (!intake_ended(&run->crowd.member[i].intake) &&
		    !(run->crowd.most > 1 && load_vanished(run, i, now)))
			return false;
	return came == run->crowd.most;
}

void load_join(struct run *run)
{
	unsigned int i;

	for (i = 0; i < run->workers; i++)
		pthread_join(run->worker[i].thread, NULL);
	run->ended = now_ns();
}

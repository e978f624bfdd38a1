// SPDX-License-Identifier: GPL-2.0-only
/* What came of each of several senders. */
#include <stdlib.h>

#include "report.h"
#include "stop.h"

static void add_tally(struct tally *sum, const struct tally *more)
{
	sum->packets += more->packets;
	sum->bytes += more->bytes;
	sum->corrupt += more->corrupt;
	sum->too_long += more->too_long;
	sum->unstamped += more->unstamped;
	if (more->first && (!sum->first || more->first < sum->first))
		sum->first = more->first;
	sum->last = more->last > sum->last ? more->last : sum->last;
	histogram_merge(&sum->latency, &more->latency);
}

static void make_one(struct result *r, struct run *run, unsigned int which)
{
	struct sender_result *s = &r->sender[which];
	struct intake *in = &run->crowd.member[which].intake;
	unsigned int i;

	for (i = 0; i < run->workers; i++)
		add_tally(&s->sum, &run->worker[i].tally[which]);
	s->totals = intake_totals(in);
	s->lost = s->totals.expected - s->totals.unique;
	s->clocks = intake_clocks(in);
	s->state = SENDER_RUNS;
	if (intake_ended(in))
		s->state = SENDER_ENDED;
	else if (load_vanished(run, which, run->ended))
		s->state = SENDER_VANISHED;
	r->vanished += s->state == SENDER_VANISHED;
}

void report_senders(struct result *r, struct run *run)
{
	unsigned int i;

	if (run->crowd.most == 1)
		return;
	r->came = crowd_count(&run->crowd);
	r->sender = calloc(run->crowd.most, sizeof(*r->sender));
	if (!r->sender)
		die("no memory");
	for (i = 0; i < r->came; i++)
		make_one(r, run, i);
}

void report_free(struct result *r)
{
	free(r->sender);
	r->sender = NULL;
}

const char *report_state(const struct sender_result *s)
{
	static const char *const names[] = {
		[SENDER_RUNS] = "running", [SENDER_ENDED] = "ended", [SENDER_VANISHED] = "vanished",
	};

	return names[s->state];
}

static void text_one(const struct sender_result *s, const struct member *m, FILE *to)
{
	const struct intake_totals *t = &s->totals;
	const struct histogram *h = &s->sum.latency;
	char text[ADDRESS_TEXT];

	fprintf(to, "  from %s, id %016llx, %s: %llu packets of %llu, %llu flows\n",
		address_text(text, &m->way.from, htons(m->base)), (unsigned long long)m->id, report_state(s),
		(unsigned long long)s->sum.packets, (unsigned long long)t->expected, (unsigned long long)t->flows);
	fprintf(to, "    lost %llu, duplicated %llu, reordered %llu (by %llu at most), corrupt %llu",
		(unsigned long long)s->lost, (unsigned long long)t->duplicated, (unsigned long long)t->reordered,
		(unsigned long long)t->reach, (unsigned long long)s->sum.corrupt);
	if (s->sum.too_long)
		fprintf(to, ", longer than --receive-bytes %llu", (unsigned long long)s->sum.too_long);
	if (s->clocks == CLOCKS_SAME && h->count)
		fprintf(to, "; one-way p50 %.4g us, max %.4g us", histogram_share(h, 0.5) / 1e3, h->max / 1e3);
	fputc('\n', to);
}

void report_senders_text(const struct result *r, const struct run *run, FILE *to)
{
	unsigned int i;

	for (i = 0; i < r->came; i++)
		text_one(&r->sender[i], &run->crowd.member[i], to);
}

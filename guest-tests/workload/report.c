// SPDX-License-Identifier: GPL-2.0-only
/* Sums of all threads, the verdict, and both for people. */
#include <string.h>

#include "report.h"
#include "stop.h"

const struct percentile percentiles[] = {
	{ "p50", "p50", 0.5 },
	{ "p90", NULL, 0.9 },
	{ "p99", "p99", 0.99 },
	{ "p999", "p99.9", 0.999 },
};
const unsigned int percentile_count = sizeof(percentiles) / sizeof(*percentiles);

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * part / whole : 0;
}

static void add_port(struct port_counts *sum, const struct port_counts *more)
{
	sum->full += more->full;
	sum->copied += more->copied;
	sum->too_long += more->too_long;
	sum->refused += more->refused;
	sum->queue_full += more->queue_full;
	sum->calls += more->calls;
}

static void add_worker(struct result *r, const struct worker *w, uint64_t span[4])
{
	add_port(w->sends || w->answers ? &r->sent : &r->received, &w->port->counts);
	r->sent.sent += w->sends ? w->sent.sent : w->port->counts.sent;
	r->sent.bytes += w->sends ? w->sent.bytes : w->port->counts.bytes;
	/* An answering or pinging port has both. */
	if (w->receives && (w->sends || w->answers))
		r->received.queue_full += w->port->counts.queue_full;
	r->packets += w->packets;
	r->bytes += w->bytes;
	r->corrupt += w->corrupt;
	r->too_long += w->too_long;
	r->foreign += w->foreign;
	r->unstamped += w->unstamped;
	r->late += w->late;
	histogram_merge(&r->latency, &w->latency);
	if (w->corrupt && !r->blame)
		r->blame = w->blame;
	if (w->sends) {
		span[0] = !span[0] || w->began < span[0] ? w->began : span[0];
		span[1] = w->ended > span[1] ? w->ended : span[1];
	}
	if (w->first) {
		span[2] = !span[2] || w->first < span[2] ? w->first : span[2];
		span[3] = w->last > span[3] ? w->last : span[3];
	}
}

static void judge(struct result *r, const struct run *run)
{
	const struct intake_totals *t = &r->totals;
	double limit = run->o->max_loss;

	r->ok = false;
	if (stop_reason())
		snprintf(r->verdict, sizeof(r->verdict), "couldn't go on: %s", stop_reason());
	else if (run->forced)
		snprintf(r->verdict, sizeof(r->verdict), "stuck: sending was ended by force after --duration");
	else if (r->receives && !t->unique && !r->late && !r->corrupt && !r->too_long)
		snprintf(r->verdict, sizeof(r->verdict), "nothing was received");
	else if (run->o->role == ROLE_PROBE)
		r->ok = true;
	else if (!r->receives && !r->sent.sent)
		snprintf(r->verdict, sizeof(r->verdict), "nothing was sent");
	else if (r->receives && r->too_long && (!t->expected || percent(r->too_long, t->expected) > limit))
		snprintf(r->verdict, sizeof(r->verdict), "%llu packets longer than --receive-bytes",
			 (unsigned long long)r->too_long);
	else if (r->receives && percent(r->lost, t->expected) > limit)
		snprintf(r->verdict, sizeof(r->verdict), "%.4g %% lost, %.4g %% allowed",
			 percent(r->lost, t->expected), limit);
	else if (r->receives && r->corrupt && (!t->expected || percent(r->corrupt, t->expected) > limit))
		snprintf(r->verdict, sizeof(r->verdict), "%.4g %% corrupt, %.4g %% allowed",
			 percent(r->corrupt, t->expected), limit);
	else if (r->sender && r->came < run->crowd.most)
		snprintf(r->verdict, sizeof(r->verdict), "of %u senders %u came", run->crowd.most, r->came);
	else if (r->vanished)
		snprintf(r->verdict, sizeof(r->verdict), "of %u senders %u vanished", r->came, r->vanished);
	else
		r->ok = true;
	if (r->ok)
		snprintf(r->verdict, sizeof(r->verdict), "ok");
}

void report_make(struct result *r, struct run *run)
{
	uint64_t span[4] = { 0 };
	unsigned int i;

	memset(r, 0, sizeof(*r));
	for (i = 0; i < run->workers; i++) {
		r->sends |= run->worker[i].sends || run->worker[i].answers;
		r->receives |= run->worker[i].receives;
		if (run->o->role == ROLE_PROBE)
			continue;
		add_worker(r, &run->worker[i], span);
	}
	r->received_seconds = (span[3] - span[2]) / 1e9;
	r->sent_seconds = run->o->role == ROLE_ECHO ? r->received_seconds : (span[1] - span[0]) / 1e9;
	r->seconds = (run->ended - run->began) / 1e9;
	r->totals = crowd_totals(&run->crowd);
	r->clocks = crowd_clocks(&run->crowd);
	report_senders(r, run);
	/* Nobody waits for those any longer. */
	r->totals.unique -= r->late;
	r->lost = r->totals.expected - r->totals.unique;
	r->sends &= run->o->role != ROLE_PROBE;
	r->receives &= run->o->role != ROLE_PROBE;
	judge(r, run);
}

/* Time with three digits or so. */
static const char *time_text(char *text, size_t size, double ns)
{
	if (ns < 1e4)
		snprintf(text, size, "%.0f ns", ns);
	else if (ns < 1e7)
		snprintf(text, size, "%.4g us", ns / 1e3);
	else
		snprintf(text, size, "%.4g ms", ns / 1e6);
	return text;
}

static void text_latency(const struct result *r, const struct run *run, FILE *to)
{
	const struct histogram *h = &r->latency;
	bool trip = run->o->role == ROLE_PING;
	const struct percentile *p;
	char t[2][32];

	if (!r->receives || !(h->count + r->unstamped))
		return;
	if (!trip && r->clocks != CLOCKS_SAME) {
		fputs("  one-way: clocks not comparable\n", to);
		return;
	}
	if (r->unstamped)
		fprintf(to, "  %llu came before they were sent, by these clocks: of no latency\n",
			(unsigned long long)r->unstamped);
	if (!h->count)
		return;
	fprintf(to, "  %s  min %s, mean %s", trip ? "round trip" : "one-way",
		time_text(t[0], 32, h->min), time_text(t[1], 32, h->sum / h->count));
	for (p = percentiles; p < percentiles + percentile_count; p++)
		if (p->text)
			fprintf(to, ", %s %s", p->text,
				time_text(t[0], 32, histogram_share(h, p->share)));
	fprintf(to, ", max %s (%llu packets)\n", time_text(t[0], 32, h->max),
		(unsigned long long)h->count);
}

static void text_received(const struct result *r, const struct run *run, FILE *to)
{
	const struct intake_totals *t = &r->totals;

	fprintf(to, "  received  %llu packets of %llu in %.3f s, %.0f/s, %.1f Mbit/s, %llu flows\n",
		(unsigned long long)r->packets, (unsigned long long)t->expected, r->received_seconds,
		r->received_seconds > 0 ? r->packets / r->received_seconds : 0,
		r->received_seconds > 0 ? r->bytes * 8e-6 / r->received_seconds : 0, (unsigned long long)t->flows);
	fprintf(to, "  lost %llu (%.4g %%, %llu of our own full queue), duplicated %llu, reordered %llu (by %llu at most), corrupt %llu\n",
		(unsigned long long)r->lost, percent(r->lost, t->expected), (unsigned long long)r->received.queue_full,
		(unsigned long long)t->duplicated, (unsigned long long)t->reordered, (unsigned long long)t->reach,
		(unsigned long long)r->corrupt);
	if (t->stale)
		fprintf(to, "  %llu came too late to tell duplicates from reordered ones (--reorder-window)\n",
			(unsigned long long)t->stale);
	if (r->late)
		fprintf(to, "  of the lost ones %llu came later than --timeout\n", (unsigned long long)r->late);
	if (r->too_long)
		fprintf(to, "  of the lost ones %llu were longer than --receive-bytes (%u)\n",
			(unsigned long long)r->too_long, run->o->receive_bytes);
	if (r->foreign)
		fprintf(to, "  %llu of %s\n", (unsigned long long)r->foreign,
			r->sender ? "strangers" : "another session");
	if (r->blame)
		fprintf(to, "  first corrupt one: %s\n", r->blame);
}

void report_text(const struct result *r, const struct run *run, FILE *to)
{
	fprintf(to, "vdload %s, path %s%s: %s\n", role_names[run->o->role], path_names[run->o->path],
		run->o->six ? ", IPv6" : "", r->verdict);
	if (r->sends) {
		fprintf(to, "  sent      %llu packets in %.3f s, %.0f/s, %.1f Mbit/s",
			(unsigned long long)r->sent.sent, r->sent_seconds,
			r->sent_seconds > 0 ? r->sent.sent / r->sent_seconds : 0,
			r->sent_seconds > 0 ? r->sent.bytes * 8e-6 / r->sent_seconds : 0);
		fprintf(to, "; %llu system calls, kernel full %llu times, refused %llu\n",
			(unsigned long long)r->sent.calls, (unsigned long long)r->sent.full,
			(unsigned long long)r->sent.refused);
		if (r->sent.copied)
			fprintf(to, "  zero copy, but the kernel copied %llu\n", (unsigned long long)r->sent.copied);
		if (r->sent.too_long)
			fprintf(to, "  %llu not answered: longer than --receive-bytes\n",
				(unsigned long long)r->sent.too_long);
	}
	if (r->receives)
		text_received(r, run, to);
	text_latency(r, run, to);
	report_senders_text(r, run, to);
	fflush(to);
}

void report_progress(struct run *run, FILE *to)
{
	static uint64_t sent_before, received_before, before;
	uint64_t sent = 0, received = 0, bad = 0, now = now_ns();
	double seconds = (now - (before ? before : run->began)) / 1e9;
	unsigned int i;

	for (i = 0; i < run->workers; i++) {
		const struct worker *w = &run->worker[i];

		sent += __atomic_load_n(&w->port->counts.sent, __ATOMIC_RELAXED);
		received += __atomic_load_n(&w->packets, __ATOMIC_RELAXED);
		bad += __atomic_load_n(&w->corrupt, __ATOMIC_RELAXED);
	}
	fprintf(to, "vdload: %5.1f s  sent %llu (%.0f/s)  received %llu (%.0f/s)  corrupt %llu\n",
		(now - run->began) / 1e9, (unsigned long long)sent, (sent - sent_before) / seconds,
		(unsigned long long)received, (received - received_before) / seconds, (unsigned long long)bad);
	fflush(to);
	sent_before = sent;
	received_before = received;
	before = now;
}

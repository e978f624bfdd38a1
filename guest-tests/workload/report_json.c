// SPDX-License-Identifier: GPL-2.0-only
/* Results as JSON: README.md describes the fields. They may be added to, never changed. */
#include <string.h>
#include <sys/utsname.h>

#include "report.h"

#define FORMAT	1

static void string(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(to, "\\u%04x", *text);
		else
			fputc(*text, to);
	}
	fputc('"', to);
}

static void member(FILE *to, const char *name, const char *text)
{
	fprintf(to, "\"%s\": ", name);
	string(to, text);
}

static void facts(FILE *to, const char *name, const struct facts *f)
{
	unsigned int i;

	fprintf(to, "  \"%s\": {", name);
	for (i = 0; i < f->count; i++) {
		fputs(i ? ", " : "", to);
		string(to, f->fact[i].name);
		fputs(": ", to);
		string(to, f->fact[i].value);
	}
	fputs("},\n", to);
}

static void number(FILE *to, const char *name, uint64_t value)
{
	fprintf(to, ", \"%s\": %llu", name, (unsigned long long)value);
}

static void numbers(FILE *to, const char *const *names, const uint64_t *values)
{
	for (; *names; names++, values++)
		number(to, *names, *values);
}

static void options(FILE *to, const struct options *o)
{
	char text[ADDRESS_TEXT];

	fprintf(to, "  \"options\": {");
	member(to, "size", o->mix);
	fprintf(to, ", \"burst\": %u, \"rate\": %.12g, \"flows\": %u, \"threads\": %u, \"window\": %u, ",
		o->burst, o->rate, o->flows, o->threads, o->window);
	fprintf(to, "\"duration\": %.12g, \"count\": %llu, \"port\": %u, \"max_loss\": %.12g, ", o->duration,
		(unsigned long long)o->count, o->port, o->max_loss);
	member(to, "to", address_text(text, &o->to, 0));
	fprintf(to, ", \"senders\": %u, \"silence\": %.12g", o->senders, o->silence);
	fputs("},\n", to);
}

static void sent(FILE *to, const struct result *r)
{
	static const char *const names[] = {
		"packets", "bytes", "system_calls", "kernel_full", "refused", "too_long", "copied", NULL };
	const uint64_t values[] = {
		r->sent.sent, r->sent.bytes, r->sent.calls, r->sent.full, r->sent.refused,
		r->sent.too_long, r->sent.copied };

	if (!r->sends) {
		fputs("  \"sent\": null,\n", to);
		return;
	}
	fprintf(to, "  \"sent\": {\"seconds\": %.6f, \"pps\": %.1f, \"bits_per_second\": %.0f", r->sent_seconds,
		r->sent_seconds > 0 ? r->sent.sent / r->sent_seconds : 0,
		r->sent_seconds > 0 ? r->sent.bytes * 8 / r->sent_seconds : 0);
	numbers(to, names, values);
	fputs("},\n", to);
}

static void received(FILE *to, const struct result *r)
{
	static const char *const names[] = {
		"packets", "bytes", "expected", "unique", "lost", "queue_full", "duplicated", "reordered",
		"reorder_reach", "stale", "corrupt", "foreign", "flows",
		"unstamped", "late", "too_long", NULL };
	const struct intake_totals *t = &r->totals;
	const uint64_t values[] = {
		r->packets, r->bytes, t->expected, t->unique, r->lost, r->received.queue_full, t->duplicated,
		t->reordered, t->reach, t->stale, r->corrupt, r->foreign, t->flows,
		r->unstamped, r->late, r->too_long };

	if (!r->receives) {
		fputs("  \"received\": null,\n", to);
		return;
	}
	fprintf(to, "  \"received\": {\"seconds\": %.6f, \"pps\": %.1f, \"bits_per_second\": %.0f",
		r->received_seconds, r->received_seconds > 0 ? r->packets / r->received_seconds : 0,
		r->received_seconds > 0 ? r->bytes * 8 / r->received_seconds : 0);
	numbers(to, names, values);
	fputs(", \"first_corrupt\": ", to);
	if (r->blame)
		string(to, r->blame);
	else
		fputs("null", to);
	fputs("},\n", to);
}

static void latency(FILE *to, const char *name, const struct histogram *h, const char *why_not)
{
	const struct percentile *p;

	fprintf(to, "\"%s\": {", name);
	if (why_not || !h->count) {
		member(to, "why_not", why_not ? why_not : "no packet");
	} else {
		fprintf(to, "\"unit\": \"ns\", \"mean\": %.1f", h->sum / h->count);
		number(to, "count", h->count);
		number(to, "min", h->min);
		for (p = percentiles; p < percentiles + percentile_count; p++)
			number(to, p->name, histogram_share(h, p->share));
		number(to, "max", h->max);
	}
	fputs("}", to);
}

static const char *why_not(enum intake_clocks clocks)
{
	return clocks == CLOCKS_SAME ? NULL : "clocks not comparable";
}

static void sender(FILE *to, const struct sender_result *s, const struct member *m)
{
	static const char *const names[] = {
		"packets", "bytes", "expected", "unique", "lost", "duplicated", "reordered", "reorder_reach", "stale",
		"corrupt", "flows", "unstamped", "too_long", NULL };
	const struct intake_totals *t = &s->totals;
	const uint64_t values[] = {
		s->sum.packets, s->sum.bytes, t->expected, t->unique, s->lost, t->duplicated, t->reordered, t->reach,
		t->stale, s->sum.corrupt, t->flows, s->sum.unstamped,
		s->sum.too_long };
	double seconds = (s->sum.last - s->sum.first) / 1e9;
	char text[ADDRESS_TEXT];

	if (m->id)
		fprintf(to, "{\"id\": \"%016llx\", ", (unsigned long long)m->id);
	else
		fputs("{\"id\": null, ", to);
	member(to, "from", address_text(text, &m->way.from, htons(m->base)));
	fprintf(to, ", \"state\": \"%s\", \"seconds\": %.6f, \"pps\": %.1f, \"bits_per_second\": %.0f", report_state(s),
		seconds, seconds > 0 ? s->sum.packets / seconds : 0, seconds > 0 ? s->sum.bytes * 8 / seconds : 0);
	numbers(to, names, values);
	fputs(", ", to);
	latency(to, "one_way", &s->sum.latency, why_not(s->clocks));
	fputs("}", to);
}

static void senders(FILE *to, const struct result *r, const struct run *run)
{
	unsigned int i;

	fprintf(to, "  \"senders\": %s", r->sender && r->receives ? "[" : "null");
	for (i = 0; r->receives && i < r->came; i++) {
		fputs(i ? ",\n    " : "\n    ", to);
		sender(to, &r->sender[i], &run->crowd.member[i]);
	}
	fputs(r->sender && r->receives ? "],\n" : ",\n", to);
}

void report_json(const struct result *r, const struct run *run, FILE *to)
{
	bool trip = run->o->role == ROLE_PING;
	struct utsname name;

	uname(&name);
	fprintf(to, "{\n  \"program\": \"vdload\", \"format\": %d, \"role\": \"%s\", \"path\": \"%s\",\n"
		"  \"family\": \"%s\",\n", FORMAT, role_names[run->o->role], path_names[run->o->path],
		run->o->six ? "ipv6" : "ipv4");
	fprintf(to, "  \"ok\": %s, ", r->ok ? "true" : "false");
	member(to, "verdict", r->verdict);
	fprintf(to, ", \"seconds\": %.6f, ", r->seconds);
	member(to, "kernel", name.release);
	fputs(",\n", to);
	options(to, run->o);
	facts(to, "host", &run->host);
	facts(to, "granted_to_send", &run->out);
	facts(to, "granted_to_receive", &run->in);
	sent(to, r);
	received(to, r);
	fputs("  ", to);
	latency(to, "one_way", &r->latency, trip || !r->receives ? "not measured by this role" : why_not(r->clocks));
	fputs(",\n  ", to);
	latency(to, "round_trip", &r->latency, trip ? NULL : "not measured by this role");
	fputs(",\n", to);
	senders(to, r, run);
	fprintf(to, "  \"system_calls\": %llu\n}\n", (unsigned long long)(r->sent.calls + r->received.calls));
	fflush(to);
}

// SPDX-License-Identifier: GPL-2.0-only
/* The result: one JSON object on stdout, one line for people on stderr. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "events.h"

/* Collected here and printed last: the two streams may be one terminal. */
static char line[1024];
static size_t line_len;

static void __attribute__((format(printf, 1, 2))) say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + line_len, sizeof(line) - line_len, fmt, ap);
	va_end(ap);
	if (n > 0 && line_len + n < sizeof(line))
		line_len += n;
}

struct sums {
	uint64_t sent, got, seen, dup, reordered, corrupt, lost;
	uint64_t kicks, calls, bad_used;
};

static void text(const char *name, const char *value)
{
	printf(",\"%s\":", name);
	if (!value) {
		printf("null");
		return;
	}
	putchar('"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(*value < ' ' ? ' ' : *value);
	}
	putchar('"');
}

static void number(const char *name, uint64_t v)
{
	printf(",\"%s\":%" PRIu64, name, v);
}

static void truth(const char *name, bool v)
{
	printf(",\"%s\":%s", name, v ? "true" : "false");
}

static void features(const char *name, uint64_t f)
{
	unsigned int bit;
	bool first = true;

	printf(",\"%s\":\"0x%" PRIx64 "\",\"%s_names\":[", name, f, name);
	for (bit = 0; bit < 64; bit++) {
		if (!(f >> bit & 1))
			continue;
		printf("%s\"", first ? "" : ",");
		if (vr_feature_name(bit))
			printf("%s\"", vr_feature_name(bit));
		else
			printf("bit %u\"", bit);
		first = false;
	}
	putchar(']');
}

static void configuration(const struct vr_run *r)
{
	const struct vr_opts *o = r->o;
	struct utsname u;

	uname(&u);
	printf("{\"tool\":\"vring\"");
	text("kernel", u.release);
	text("dev", o->dev);
	text("dir", vr_dir_names[o->dir]);
	text("mode", vr_mode_names[o->mode]);
	text("layout", vr_layout_names[o->layout]);
	number("size", o->size);
	number("size_max", o->size_max);
	number("ring", o->ring);
	number("burst", o->burst);
	number("chain", o->chain);
	truth("indirect", o->indirect);
	number("buf", o->buf);
	text("mem", vr_mem_names[o->mem]);
	number("mem_kb", r->mem.size / 1024);
	number("huge_kb", r->mem.huge_kb);
	number("huge_kb_end", vr_mem_huge_kb(&r->mem));
	number("offset", o->offset);
	number("queues", o->queues);
	truth("separate", o->separate);
	number("regions", o->regions);
	truth("gso", o->gso);
	text("feeder", vr_feeder_names[o->feeder]);
	text("xdp", vr_xdp_names[o->xdp]);
	text("wait", vr_wait_names[o->wait]);
	truth("check", o->check);
	printf(",\"pin_worker\":%d,\"pin_driver\":%d", o->pin_worker, o->pin_driver);
	features("offered", r->offered);
	features("features", r->features);
}

/* What the far side got: contents tell with --check, else the tap's counter does. */
static void add_tx(const struct vr_run *r, struct sums *s)
{
	unsigned int i;

	for (i = 0; i < r->npairs; i++) {
		const struct vr_pair *p = &r->pairs[i];

		s->sent += p->tx_sent;
		s->got += p->tx_got;
		s->seen += p->tx_seq.seen;
		s->dup += p->tx_seq.dup;
		s->reordered += p->tx_seq.reordered;
		s->corrupt += p->tx_seq.corrupt;
		s->kicks += p->tx.kicks;
		s->calls += p->tx.calls;
		s->bad_used += p->tx.bad_used;
	}
	/* Round trips: what came back was sent. */
	if (r->o->mode == VR_MODE_RTT) {
		s->seen = s->got;
	} else if (!r->o->check) {
		s->got = r->tap_frames;
		s->seen = r->tap_frames;
	}
	s->lost = s->sent > s->seen ? s->sent - s->seen : 0;
	if (s->got > s->sent)
		s->dup += s->got - s->sent;
}

static void add_rx(const struct vr_run *r, struct sums *s)
{
	unsigned int i;

	for (i = 0; i < r->npairs; i++) {
		const struct vr_pair *p = &r->pairs[i];

		s->sent += p->rx_fed;
		s->got += p->rx_got;
		s->seen += r->o->check ? p->rx_seq.seen : p->rx_got;
		s->dup += p->rx_seq.dup;
		s->reordered += p->rx_seq.reordered;
		s->corrupt += p->rx_seq.corrupt;
		s->kicks += p->rx.kicks;
		s->calls += p->rx.calls;
		s->bad_used += p->rx.bad_used;
	}
	s->lost = s->sent > s->seen ? s->sent - s->seen : 0;
}

static double pps(const struct vr_window *w)
{
	return w->ns ? w->packets * 1e9 / w->ns : 0;
}

static void totals(const struct sums *s)
{
	number("total_sent", s->sent);
	number("total_received", s->got);
	number("lost", s->lost);
	number("corrupt", s->corrupt);
	number("dup", s->dup);
	number("reordered", s->reordered);
	number("bad_used", s->bad_used);
}

/* A line of its own, in the middle of a run that has come to rest. */
void vr_account(const struct vr_run *r)
{
	struct sums tx = { 0 }, rx = { 0 };

	add_tx(r, &tx);
	add_rx(r, &rx);
	printf("{\"mem_kb\":%zu,\"huge_kb\":%lu", r->mem.size / 1024, r->mem.huge_kb);
	printf(",\"tx\":{\"seen\":%" PRIu64, tx.seen);
	totals(&tx);
	printf("},\"rx\":{\"seen\":%" PRIu64, rx.seen);
	totals(&rx);
	printf("}}\n");
	fflush(stdout);
}

/* Returns whether this direction's frames are all accounted for. */
static bool direction(const char *name, const struct vr_window *w, const struct sums *s)
{
	printf(",\"%s\":{\"packets\":%" PRIu64 ",\"seconds\":%.6f,\"pps\":%.0f", name, w->packets,
	       w->ns / 1e9, pps(w));
	totals(s);
	number("kicks", s->kicks);
	number("calls", s->calls);
	putchar('}');
	say(" %s %.0f pps (%" PRIu64 " in %.3f s), lost %" PRIu64 ", corrupt %" PRIu64
		", dup %" PRIu64 ", reordered %" PRIu64 ";", name, pps(w), w->packets, w->ns / 1e9,
		s->lost, s->corrupt, s->dup, s->reordered);
	return !s->lost && !s->corrupt && !s->dup && !s->reordered && !s->bad_used;
}

static void events(void)
{
	const struct vr_event *e;
	unsigned int i;

	printf(",\"events\":{");
	for (i = 0; (e = vr_events_get(i)); i++) {
		printf("%s\"%s\":{\"done\":%" PRIu64 ",\"failed\":%" PRIu64, i ? "," : "", e->name,
		       e->done, e->failed);
		if (e->sided)
			printf(",\"rings\":[%" PRIu64 ",%" PRIu64 "]", e->rings_done,
			       e->rings_failed);
		number("longest_ms", e->longest_ns / 1000000);
		text("why", e->why ? strerror(e->why) : NULL);
		vr_told_print(&e->told);
		putchar('}');
	}
	putchar('}');
}

static void census(void)
{
	const struct vr_census *c = vr_census_get();

	if (!c)
		return;
	printf(",\"census\":{\"samples\":%" PRIu64, c->samples);
	number("pages", c->pages);
	number("ring_pages", c->ring_pages);
	number("out_most", c->out_most);
	number("out_sum", c->out_sum);
	number("ring_out_most", c->ring_out_most);
	number("ring_out_sum", c->ring_out_sum);
	number("pinned_kb", c->pinned_kb);
	number("held_samples", c->held_samples);
	number("held_asked", c->held_asked);
	number("held", c->held);
	number("held_hits", c->held_hits);
	putchar('}');
}

int vr_report(const struct vr_run *r)
{
	uint64_t packets = r->tx_win.packets + r->rx_win.packets, seen;
	double per_packet = packets ? (double)r->worker_ns / packets : 0;
	struct sums tx = { 0 }, rx = { 0 };
	bool ok = !r->failure && !r->vring_errs;

	configuration(r);
	say("vring: %s:", r->o->dev);
	if (r->o->dir & VR_DIR_TX) {
		add_tx(r, &tx);
		ok &= direction("tx", &r->tx_win, &tx);
	}
	if (r->o->dir & VR_DIR_RX) {
		add_rx(r, &rx);
		ok &= direction("rx", &r->rx_win, &rx);
	}
	/* An event may take all of the window; then what came after it counts. */
	seen = r->o->events ? tx.seen + rx.seen : packets;
	ok &= seen || r->o->idle;
	number("packets", packets);
	printf(",\"worker_ns_per_packet\":%.1f", per_packet);
	/* Near 0 the driver can't keep up, and the rate is its own. */
	printf(",\"driver_idle\":%.3f", r->steps ? (double)r->idle_steps / r->steps : 0);
	number("workers", r->nworkers);
	number("kicks", tx.kicks + rx.kicks);
	number("calls", tx.calls + rx.calls);
	number("vring_errors", r->vring_errs);
	events();
	vr_trips_print();
	vr_storm_print(r->o);
	vr_latency_print(r->o);
	census();
	vr_stats_print();
	vr_told_print_all();
	text("failure", r->failure);
	truth("interrupted", vr_stop);
	truth("ok", ok);
	printf("}\n");
	fflush(stdout);
	say(" worker %.0f ns a packet, %" PRIu64 " kicks%s%s: %s\n", per_packet,
		tx.kicks + rx.kicks, r->failure ? "; " : "", r->failure ? r->failure : "",
		ok ? "ok" : "NOT OK");
	fputs(line, stderr);
	return ok ? 0 : 1;
}

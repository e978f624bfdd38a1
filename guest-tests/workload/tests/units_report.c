// SPDX-License-Identifier: GPL-2.0-only
/* What both reports make of a histogram that is known. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "test.h"
#include "units.h"

/* The reports' own threads are none. */
bool load_vanished(struct run *run, unsigned int sender, uint64_t now)
{
	return false;
}

/*
 * A thousand values below 128 ns, which are exact. The 500th, 900th, 990th and 999th have no equal,
 * so that no other share of them gives the same.
 */
static void known(struct histogram *h)
{
	static const struct {
		unsigned int times, value;
	} all[] = {
		{ 1, 3 }, { 498, 10 }, { 1, 50 }, { 399, 60 }, { 1, 90 }, { 89, 91 }, { 1, 99 },
		{ 8, 100 }, { 1, 111 }, { 1, 127 },
	};
	unsigned int i, times;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		for (times = all[i].times; times; times--)
			histogram_add(h, all[i].value);
}

typedef void (*writer)(const struct result *r, const struct run *run, FILE *to);

static char *written(writer write, const struct result *r, const struct run *run)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	MUST(to, "open_memstream");
	write(r, run, to);
	MUST(!fclose(to), "fclose");
	return text;
}

static void holds(const char *text, const char *wanted)
{
	if (!CHECK(strstr(text, wanted)))
		t_diag("no \"%s\" in: %s", wanted, text);
}

#define JSON	"{\"unit\": \"ns\", \"mean\": 38.3, \"count\": 1000, \"min\": 3, " \
		"\"p50\": 50, \"p90\": 90, \"p99\": 99, \"p999\": 111, \"max\": 127}"
#define TEXT	"min 3 ns, mean 38 ns, p50 50 ns, p99 99 ns, p99.9 111 ns, " \
		"max 127 ns (1000 packets)\n"

static void both_writers(const struct result *r, const struct run *run, const char *json,
			 const char *text)
{
	char *found = written(report_json, r, run);

	holds(found, json);
	free(found);
	found = written(report_text, r, run);
	holds(found, text);
	free(found);
}

void test_reports(void)
{
	static struct sender_result sender = { .clocks = CLOCKS_SAME };
	static struct result r = { .receives = true, .clocks = CLOCKS_SAME };
	struct options o = { .role = ROLE_RECEIVE, .mix = "60" };
	struct member *member = calloc(1, sizeof(*member));
	static struct run run;

	MUST(member, "no memory");
	known(&r.latency);
	known(&sender.sum.latency);
	run.o = &o;
	run.crowd.member = member;
	t_begin("percentiles of a known histogram, in JSON and for people");
	both_writers(&r, &run, "  \"one_way\": " JSON, "  one-way  " TEXT);
	o.role = ROLE_PING;
	both_writers(&r, &run, "  \"round_trip\": " JSON, "  round trip  " TEXT);
	t_end();

	t_begin("and of one sender among several");
	o.role = ROLE_RECEIVE;
	r.sender = &sender;
	r.came = 1;
	memset(&r.latency, 0, sizeof(r.latency));
	both_writers(&r, &run, "\"one_way\": " JSON "}]", "; one-way p50 0.05 us, max 0.127 us\n");
	t_end();

	t_begin("packets that were too long: all, and one sender's");
	o.receive_bytes = 896;
	r.too_long = 3;
	sender.sum.too_long = 2;
	both_writers(&r, &run, ", \"too_long\": 3, \"first_corrupt\": null}",
		     "  of the lost ones 3 were longer than --receive-bytes (896)\n");
	both_writers(&r, &run, ", \"too_long\": 2, \"one_way\": ",
		     "corrupt 0, longer than --receive-bytes 2; one-way p50");
	t_end();
	free(member);
}

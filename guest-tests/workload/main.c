// SPDX-License-Identifier: GPL-2.0-only
/* Network load for guests, and anywhere else: README.md. */
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "card.h"
#include "report.h"
#include "stop.h"

#define SEC		1000000000ull
#define LOOK_NS		20000000
/* A peer that doesn't say that it has ended: so long without a packet is the end. */
#define SILENCE_NS	(3 * SEC)

static void on_signal(int number)
{
	/* The second time somebody really means it. */
	if (stopping())
		_exit(2);
	stop();
}

static void signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* A socket a flow may be more than a shell allows. */
static void files(const struct options *o)
{
	struct rlimit limit;
	rlim_t wanted = 3 * o->flows + 256;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted;
	limit.rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("%u flows want %lu open files: %s", o->flows, (unsigned long)wanted, strerror(errno));
}

/* What holds for all paths; fills in what the command line left to be found out. */
static void tell_host(struct run *run, struct options *o)
{
	static char dev[IF_NAMESIZE];
	const char *name = o->dev;
	struct utsname system;
	unsigned int longest = o->sizes.max - 14;

	uname(&system);
	fact(&run->host, "kernel", "%s %s", system.sysname, system.release);
	/* By which a receiver of several knows it. */
	if (sends(o))
		fact(&run->host, "id", "%016llx", (unsigned long long)run->session.id);
	if (o->dev && !card_mtu(o->dev))
		die("no interface %s", o->dev);
	if (!name && !address_none(&o->to)) {
		card_towards(&o->to, o->scope, dev, sizeof(dev));
		name = dev[0] ? dev : NULL;
	}
	if (address_none(&o->source) && sends(o) && o->path == PATH_PACKET) {
		o->source = card_address(o->dev, &o->to);
		if (address_none(&o->source))
			die("%s has no %s address%s: give --source", o->dev, o->six ? "IPv6" : "IPv4",
			    o->six ? " of the peer's scope" : "");
	}
	if (address_none(&o->source) && o->addresses > 1)
		die("--source wants an address");
	if (!name) {
		fact(&run->host, "interface", "any");
		return;
	}
	card_facts(name, &run->host);
	if (!sends(o) || longest <= card_mtu(name))
		return;
	/* Some kernels call a frame beyond it a full queue, which is worth another try for ever. */
	if (o->path == PATH_PACKET)
		die("packets of %u bytes and an MTU of %u: frames aren't cut up (--size, --mix)", longest,
		    card_mtu(name));
	fact(&run->host, "fragments", "packets of %u bytes and an MTU of %u", longest, card_mtu(name));
}

static bool over(struct run *run, uint64_t now)
{
	const struct options *o = run->o;
	static uint64_t ended, quiet, last;
	uint64_t packets = 0;
	unsigned int i;

	if (o->duration && now - run->began > o->duration * SEC && !sends(o))
		return true;
	for (i = 0; i < run->workers; i++)
		packets += __atomic_load_n(&run->worker[i].packets, __ATOMIC_RELAXED);
	if (packets != last || !quiet)
		quiet = now;
	last = packets;
	if (sends(o) && __atomic_load_n(&run->sending, __ATOMIC_ACQUIRE))
		return false;
	if (sends(o) && o->role != ROLE_BOTH)
		return true;
	if (o->count && o->role != ROLE_BOTH && packets >= o->count)
		return true;
	if (o->role == ROLE_BOTH && now - quiet > SILENCE_NS)
		return true;
	if (!load_done(run, now) || o->keep) {
		ended = 0;
		return false;
	}
	/* What is late is late after the last that came. */
	if (!ended || quiet > ended)
		ended = now;
	return now - ended >= o->linger_ms * 1000000ull;
}

static void watch(struct run *run)
{
	struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t progress = run->began + SEC, now;

	while (!stopping()) {
		nanosleep(&pause, NULL);
		now = now_ns();
		if (run->o->progress && now >= progress) {
			report_progress(run, stderr);
			progress += SEC;
		}
		if (load_stuck(run, now))
			run->forced = true;
		if (run->forced || over(run, now))
			stop();
	}
}

/*
 * Before the run, whose results would be lost; but not before it is sure that there is one: those
 * of the run before are in the file until then.
 */
static FILE *open_json(const struct options *o)
{
	FILE *file = o->json == JSON_FILE ? fopen(o->json_file, "w") : stdout;

	if (!file)
		die("--json=%s: %s", o->json_file, strerror(errno));
	return file;
}

static void results(struct run *run, const struct result *r, FILE *file)
{
	const struct options *o = run->o;

	report_text(r, run, o->json == JSON_STDOUT ? stderr : stdout);
	if (o->json == JSON_NONE)
		return;
	report_json(r, run, file);
	if (ferror(file) || (o->json == JSON_FILE && fclose(file)))
		die("%s: %s", o->json_file ? o->json_file : "standard output", strerror(errno));
}

static void tell(struct run *run)
{
	if (run->o->quiet)
		return;
	facts_print(&run->host, stderr);
	if (run->out.count && run->in.count)
		fputs("vdload: to send:\n", stderr);
	facts_print(&run->out, stderr);
	if (run->out.count && run->in.count)
		fputs("vdload: to receive:\n", stderr);
	facts_print(&run->in, stderr);
	fputs("vdload: ready\n", stderr);
	fflush(stderr);
}

int main(int argc, char **argv)
{
	static struct options options;
	static struct result result;
	static struct run run = { .o = &options };
	unsigned int i;
	FILE *json;

	options_parse(&options, argc, argv);
	signals();
	files(&options);
	if (getrandom(&run.session.id, sizeof(run.session.id), 0) != sizeof(run.session.id) || !run.session.id)
		run.session.id = now_ns() >> 10;
	run.session.number = run.session.id;
	run.session.clock = intake_clock();
	crowd_init(&run.crowd, &options);
	tell_host(&run, &options);
	load_start(&run);
	json = open_json(&options);
	tell(&run);
	load_go(&run);
	if (options.role != ROLE_PROBE)
		watch(&run);
	load_join(&run);
	report_make(&result, &run);
	results(&run, &result, json);
	for (i = 0; i < run.workers; i++) {
		run.worker[i].port->ops->close(run.worker[i].port);
		free(run.worker[i].tally);
	}
	free(run.worker);
	crowd_free(&run.crowd);
	report_free(&result);
	return stop_reason() ? 2 : !result.ok;
}

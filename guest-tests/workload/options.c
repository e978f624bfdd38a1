// SPDX-License-Identifier: GPL-2.0-only
/* The command line: one table serves parsing and --help alike. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "options.h"
#include "payload.h"
#include "stop.h"

const char *const role_names[] = { "send", "receive", "echo", "ping", "both", "probe", NULL };
const char *const path_names[] = { "packet", "udp", "uring", NULL };
static const char *const send_names[] = { "auto", "zc", "fixed", "plain", NULL };
static const char *const receive_names[] = { "auto", "multishot", "single", NULL };

enum kind { TEXT, UINT, REAL, RATE, COUNT, ON, OFF, NAME, TO, SOURCE, JSON };

struct option {
	const char *name;
	enum kind kind;
	size_t field;
	unsigned long min, max;
	const char *const *names;
	const char *arg, *help;
};

#define F(field) offsetof(struct options, field)

static const struct option table[] = {
	{ "path", NAME, F(path), 0, 0, path_names, "packet|udp|uring",
	  "rings of AF_PACKET sockets, UDP with sendmmsg and recvmmsg, or UDP through\nio_uring (udp)" },
	{ "to", TO, 0, 0, 0, NULL, "IP[:PORT]",
	  "send, ping, both: the peer; probe: tell of sending, too; IPv6: [IP]:PORT,\nand IP%IF where it is of one link alone" },
	{ "port", UINT, F(port), 1, 65535, NULL, "N", "port of receive, echo and both, and of the peer (7700)" },
	{ "source", SOURCE, 0, 0, 0, NULL, "IP[/N]", "address to send from, or N of them in turn, a flow each" },
	{ "ipv6", ON, F(six), 0, 0, NULL, NULL, "receive, echo, probe: IPv6 (elsewhere the address says it)" },
	{ "source-port", UINT, F(source_port), 1, 65535 - FLOWS_MAX, NULL, "N",
	  "flow f has the source port N + f (20000)" },
	{ "dev", TEXT, F(dev), 0, 0, NULL, "IF", "interface; path packet needs it" },
	{ "mac", TEXT, F(mac), 0, 0, NULL, "MAC", "path packet: the peer's address (the kernel asks its neighbour)" },
	{ "size", TEXT, F(mix), 0, 0, NULL, "N", "bytes of a frame without its FCS (60, the least; over IPv6 80)" },
	{ "mix", TEXT, F(mix), 0, 0, NULL, "imix|N:WEIGHT,...",
	  "frames of several sizes; imix is 60:7,590:4,1514:1, the classic mix\nof 64, 594 and 1518 bytes with FCS; over IPv6 80 for 60" },
	{ "burst", UINT, F(burst), 1, 512, NULL, "N", "packets handed to the kernel at once, all of one flow (32)" },
	{ "rate", RATE, F(rate), 0, 0, NULL, "N[k|M]", "packets a second of all threads; 0: as many as go (0)" },
	{ "flows", UINT, F(flows), 1, FLOWS_MAX, NULL, "N", "flows, each with its source port and numbers (1)" },
	{ "threads", UINT, F(threads), 1, THREADS_MAX, NULL, "N", "threads; flows are shared out among them (1)" },
	{ "pin", TEXT, F(pin), 0, 0, NULL, "CPU,CPU,...", "processors of the threads, in turn (not pinned)" },
	{ "duration", REAL, F(duration), 0, 0, NULL, "S", "end after S seconds (10, if sending without --count)" },
	{ "count", COUNT, F(count), 0, 0, NULL, "N[k|M]", "end after N packets" },
	{ "window", UINT, F(window), 1, 65536, NULL, "N", "ping: packets without an answer, at most (--burst)" },
	{ "timeout", UINT, F(timeout_ms), 1, 60000, NULL, "MS", "ping: an answer that takes longer is late, which counts as lost (1000)" },
	{ "linger", UINT, F(linger_ms), 0, 60000, NULL, "MS", "wait for what is late after the end (500; ping: --timeout at least)" },
	{ "keep", ON, F(keep), 0, 0, NULL, NULL, "receive, echo: go on after the sender said it has ended" },
	{ "senders", UINT, F(senders), 1, SENDERS_MAX, NULL, "N",
	  "receive, echo: N senders at once, each counted by itself; end when all\nhave (1: one after the other, all in one)" },
	{ "silence", REAL, F(silence), 0, 0, NULL, "S",
	  "--senders: one of whom nothing came for so long has vanished; 0: wait (10)" },
	{ "join", ON, F(join), 0, 0, NULL, NULL, "receive: expect nothing before the first packet that comes" },
	{ "wait", REAL, F(wait), 0, 0, NULL, "S", "both: for the peer, before sending; then begin without (10)" },
	{ "max-loss", REAL, F(max_loss), 0, 100, NULL, "PERCENT", "of expected packets, that exit status 0 allows (0)" },
	{ "same-clock", ON, F(same_clock), 0, 0, NULL, NULL,
	  "sender and receiver read one CLOCK_MONOTONIC: report one-way latency\n(found out by itself where both run on one kernel)" },
	{ "reorder-window", UINT, F(reorder_window), 64, 1 << 20, NULL, "N",
	  "numbers a flow that the receiver remembers, rounded up to 64 (4096)" },
	{ "no-udp-checksum", OFF, F(udp_checksum), 0, 0, NULL, NULL,
	  "send none, so that corruption is counted, not dropped (path packet\nsends one over IPv6 alone)" },
	{ "socket-buffer", UINT, F(socket_buffer), 4096, 1 << 30, NULL, "N", "bytes of socket buffers (4194304)" },
	{ "receive-bytes", UINT, F(receive_bytes), 256, 65536, NULL, "N", "longest frame to be received (9216)" },
	{ "gso", UINT, F(gso), 1, 64, NULL, "N", "udp: N packets in one segmented send (off); not with --no-udp-checksum" },
	{ "gro", ON, F(gro), 0, 0, NULL, NULL, "udp: take coalesced packets" },
	{ "tpacket", UINT, F(tpacket), 2, 3, NULL, "2|3",
	  "packet: version of the rings (receive, both: 3, blocks; echo, ping: 2,\na packet at a time)" },
	{ "ring-slots", UINT, F(ring_slots), 2, 65536, NULL, "N",
	  "packet: slots of the ring to send, rounded up to a power of two (512)" },
	{ "ring-bytes", UINT, F(ring_bytes), 1 << 18, 1 << 30, NULL, "N", "packet: size of the ring to receive (8388608)" },
	{ "block-timeout", UINT, F(block_ms), 1, 1000, NULL, "MS", "packet: hand over a block that isn't full (1)" },
	{ "qdisc-bypass", ON, F(qdisc_bypass), 0, 0, NULL, NULL, "packet: PACKET_QDISC_BYPASS" },
	{ "uring-send", NAME, F(uring_send), 0, 0, send_names, "auto|zc|fixed|plain",
	  "uring: zero copy from registered buffers, copies from them, or plain\nsends (auto: the first that the kernel has)" },
	{ "uring-receive", NAME, F(uring_receive), 0, 0, receive_names, "auto|multishot|single",
	  "uring: one request for all, with provided buffers, or one a packet\n(auto: the first that the kernel has)" },
	{ "json", JSON, 0, 0, 0, NULL, "[=FILE]", "results as JSON to standard output (or FILE), else for people" },
	{ "progress", ON, F(progress), 0, 0, NULL, NULL, "a line a second on stderr (default on a terminal)" },
	{ "quiet", ON, F(quiet), 0, 0, NULL, NULL, "don't tell which path the kernel gave" },
};

#define OPTIONS (sizeof(table) / sizeof(table[0]))

#define ALL	UINT_MAX
#define SENDERS	(1 << ROLE_SEND | 1 << ROLE_PING | 1 << ROLE_BOTH | 1 << ROLE_PROBE)
#define RECEIVERS	(1 << ROLE_RECEIVE | 1 << ROLE_ECHO | 1 << ROLE_PING | 1 << ROLE_BOTH)

/* Options that mean nothing to other paths or roles: not to be ignored without a word. */
static const struct {
	const char *name;
	unsigned int paths, roles;
} limited[] = {
	{ "source-port", ALL, SENDERS },
	{ "mac", 1 << PATH_PACKET, SENDERS },
	{ "size", ALL, SENDERS },
	{ "mix", ALL, SENDERS },
	{ "burst", ALL, SENDERS },
	{ "rate", ALL, SENDERS },
	{ "flows", ALL, SENDERS },
	{ "no-udp-checksum", ALL, SENDERS | 1 << ROLE_ECHO },
	{ "max-loss", ALL, RECEIVERS },
	{ "reorder-window", ALL, RECEIVERS },
	/* Of round trips one clock is read, whatever the other's is. */
	{ "same-clock", ALL, RECEIVERS & ~(1u << ROLE_PING) },
	{ "tpacket", 1 << PATH_PACKET, ALL },
	{ "ring-slots", 1 << PATH_PACKET, ~(1u << ROLE_RECEIVE) },
	{ "ring-bytes", 1 << PATH_PACKET, ~(1u << ROLE_SEND) },
	{ "block-timeout", 1 << PATH_PACKET, ~(1u << ROLE_SEND) },
	{ "qdisc-bypass", 1 << PATH_PACKET, ~(1u << ROLE_RECEIVE) },
	{ "uring-send", 1 << PATH_URING, SENDERS },
	{ "uring-receive", 1 << PATH_URING, ~(1u << ROLE_SEND) },
	{ "gso", 1 << PATH_UDP, SENDERS },
	{ "gro", 1 << PATH_UDP, ~(1u << ROLE_SEND) },
	{ "window", ALL, 1 << ROLE_PING },
	{ "timeout", ALL, 1 << ROLE_PING },
	{ "wait", ALL, 1 << ROLE_BOTH },
	{ "keep", ALL, 1 << ROLE_RECEIVE | 1 << ROLE_ECHO },
	{ "senders", ALL, 1 << ROLE_RECEIVE | 1 << ROLE_ECHO },
	{ "silence", ALL, 1 << ROLE_RECEIVE | 1 << ROLE_ECHO },
	{ "join", ALL, 1 << ROLE_RECEIVE },
};

static bool given[OPTIONS];

static void usage(void)
{
	const char *help, *line;
	unsigned int i;

	puts("usage: vdload ROLE [options]\n"
	     "Makes or takes network load whose every packet is numbered, stamped and summed.\n\n"
	     "  send      to a receiver\n"
	     "  receive   until the sender says that it has ended, or a limit\n"
	     "  echo      receive, and send everything back\n"
	     "  ping      round trips with an echo\n"
	     "  both      send to a peer of the same role, and receive from it\n"
	     "  probe     tell which path the kernel gives, and end\n");
	for (i = 0; i < OPTIONS; i++) {
		const struct option *o = &table[i];
		int width = printf("  --%s%s%s", o->name, o->arg && o->kind != JSON ? " " : "", o->arg ? o->arg : "");

		if (width > 25) {
			putchar('\n');
			width = 0;
		}
		for (help = o->help; (line = strchr(help, '\n')); help = line + 1, width = 0)
			printf("%*s%.*s\n", 26 - width, "", (int)(line - help), help);
		printf("%*s%s\n", 26 - width, "", help);
	}
	puts("\nExit status: 0 all well, 1 more lost or corrupt than --max-loss allows (or nothing\n"
	     "came), 2 couldn't run. Ctrl-C and SIGTERM end it with the summary.");
}

static double scaled(const char *text, const char *name)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (*end == 'k' || *end == 'M')
		value *= *end++ == 'k' ? 1e3 : 1e6;
	if (errno || end == text || *end || !(value >= 0) || value > 1e15)
		die("--%s %s: not a number", name, text);
	return value;
}

static unsigned int number(const char *text, unsigned long min, unsigned long max, const char *name)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		die("--%s %s: wanted is a number from %lu to %lu", name, text, min, max);
	return value;
}

static unsigned int name_of(const char *text, const char *const *names, const char *what)
{
	unsigned int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(text, names[i]))
			return i;
	die("%s %s: no such thing (see --help)", what, text);
}

static void address(struct options *o, struct in6_addr *at, const char *text, size_t length)
{
	if (!address_parse(at, &o->scope, text, length))
		die("%.*s: not an IPv4 or IPv6 address", (int)length, text);
	if (address_none(at))
		die("%.*s: an address that is nobody's", (int)length, text);
}

/* IP, IP4:PORT or [IP6]:PORT: without brackets an IPv6 address has no port behind it. */
static void take_to(struct options *o, const char *text)
{
	const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
	size_t length = end ? (size_t)(end - text) - 1 : strcspn(text, ":");

	if (end)
		text++;
	else if (strchr(text, ':') != strrchr(text, ':'))
		length = strlen(text);
	address(o, &o->to, text, length);
	text += length + (end ? 1 : 0);
	if (*text == ':')
		o->port = number(text + 1, 1, 65535, "to");
	else if (*text)
		die("--to: %s: a port follows a colon", text);
}

static void take_source(struct options *o, const char *text)
{
	size_t length = strcspn(text, "/");

	address(o, &o->source, text, length);
	if (text[length])
		o->addresses = number(text + length + 1, 1, FLOWS_MAX, "source");
}

static void take(struct options *o, const struct option *which, const char *text)
{
	void *field = (char *)o + which->field;
	double value;

	switch (which->kind) {
	case TEXT:
		*(const char **)field = text;
		break;
	case UINT:
		*(unsigned int *)field = number(text, which->min, which->max, which->name);
		break;
	case REAL:
	case RATE:
		value = scaled(text, which->name);
		if (which->max && value > which->max)
			die("--%s %s: wanted is a number from 0 to %lu", which->name, text, which->max);
		*(double *)field = value;
		break;
	case COUNT:
		value = scaled(text, which->name);
		*(uint64_t *)field = value + 0.5;
		/* 1.001k isn't one by the last digits of a double. */
		value -= *(uint64_t *)field;
		if (value > 1e-3 || value < -1e-3)
			die("--%s %s: not a whole number", which->name, text);
		break;
	case ON:
	case OFF:
		*(bool *)field = which->kind == ON;
		break;
	case NAME:
		*(unsigned int *)field = name_of(text, which->names, which->name);
		break;
	case TO:
		take_to(o, text);
		break;
	case SOURCE:
		take_source(o, text);
		break;
	case JSON:
		o->json = text ? JSON_FILE : JSON_STDOUT;
		o->json_file = text;
		break;
	}
}

/* --name value or --name=value. Returns how many words it was. */
static int one(struct options *o, char **argv)
{
	size_t length = strcspn(argv[0], "="), i;
	const char *value = argv[0][length] ? argv[0] + length + 1 : NULL;

	for (i = 0; i < OPTIONS; i++) {
		const struct option *which = &table[i];

		if (strncmp(argv[0], "--", 2) || strlen(which->name) != length - 2 ||
		    strncmp(argv[0] + 2, which->name, length - 2))
			continue;
		given[i] = true;
		if (!which->arg && value)
			die("--%s takes no value", which->name);
		if (!which->arg || which->kind == JSON || value) {
			take(o, which, value);
			return 1;
		}
		if (!argv[1])
			die("--%s wants %s", which->name, which->arg);
		take(o, which, argv[1]);
		return 2;
	}
	die("%s: no such option (see --help)", argv[0]);
}

static void pins(struct options *o)
{
	unsigned int n = 0, i;
	const char *at = o->pin;
	unsigned long cpu;
	char *end;

	for (i = 0; i < THREADS_MAX; i++)
		o->pins[i] = -1;
	while (at && n < THREADS_MAX) {
		cpu = strtoul(at, &end, 10);
		if (end == at || *at == '-' || (*end && *end != ','))
			die("--pin %s: wanted are processors, with commas between", o->pin);
		if (cpu >= CPU_SETSIZE)
			die("--pin %s: no processor has a number above %d", o->pin, CPU_SETSIZE - 1);
		o->pins[n++] = cpu;
		at = *end ? end + 1 : NULL;
	}
	for (i = n; n && i < THREADS_MAX; i++)
		o->pins[i] = o->pins[i - n];
}

static void limits(const struct options *o)
{
	unsigned int i, j;

	for (i = 0; i < sizeof(limited) / sizeof(limited[0]); i++) {
		for (j = 0; strcmp(table[j].name, limited[i].name); j++)
			;
		if (!given[j])
			continue;
		if (!(limited[i].paths >> o->path & 1))
			die("--%s isn't of --path %s", limited[i].name, path_names[o->path]);
		if (!(limited[i].roles >> o->role & 1))
			die("--%s isn't of role %s", limited[i].name, role_names[o->role]);
	}
}

/* One family a run: that of its addresses, or as it is told. */
static void family(struct options *o)
{
	const struct in6_addr *at[] = { &o->to, &o->source };
	char text[ADDRESS_TEXT];
	bool told = o->six;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (address_none(at[i]))
			continue;
		if (told && !address_six(at[i]))
			die("--ipv6, and %s is an address of IPv4", address_text(text, at[i], 0));
		o->six |= address_six(at[i]);
	}
	for (i = 0; i < 2; i++)
		if (!address_none(at[i]) && address_six(at[i]) != o->six)
			die("--to and --source are addresses of two families");
	if (address_none(&o->to))
		o->to = address_any(o->six);
	if (address_none(&o->source))
		o->source = address_any(o->six);
	for (i = 0; i < 2 && !o->scope; i++) {
		if (!o->six || !IN6_IS_ADDR_LINKLOCAL(at[i]))
			continue;
		o->scope = o->dev ? if_nametoindex(o->dev) : 0;
		if (!o->scope)
			die("%s is of one link alone: write %s%%IF, or give --dev", address_text(text, at[i], 0), text);
	}
	if (ntohl(o->source.s6_addr32[3]) + (o->addresses - 1) < ntohl(o->source.s6_addr32[3]))
		die("--source: the last of %u addresses is beyond the end", o->addresses);
	o->head = frame_head(o->six);
}

static void sizes(struct options *o)
{
	unsigned int least = o->head + PAYLOAD_MIN, most = o->head + PAYLOAD_MAX;
	const char *wrong;

	if (!o->mix)
		o->mix = o->six ? "80" : "60";
	wrong = sizes_parse(&o->sizes, o->mix, least, most);
	if (wrong)
		die("--size, --mix %s: %s (bytes from %u to %u over %s)", o->mix, wrong, least, most,
		    o->six ? "IPv6" : "IPv4");
}

static void agree(struct options *o)
{
	family(o);
	sizes(o);
	if (sends(o) && address_none(&o->to))
		die("%s wants --to", role_names[o->role]);
	if (o->path == PATH_PACKET && !o->dev)
		die("--path packet wants --dev");
	if (o->threads > o->flows && sends(o))
		die("--threads %u wants as many --flows: a flow belongs to one thread", o->threads);
	if (o->role == ROLE_ECHO && o->gro)
		die("--gro is for receive and both: an echo answers packet by packet");
	if (o->gso && !o->udp_checksum)
		die("--gso and --no-udp-checksum don't go together: the kernel sums each packet that it cuts off");
	if (o->gso && o->sizes.kinds > 1)
		die("--gso wants packets of one size");
	if (o->gso * (o->sizes.max - o->head) > PAYLOAD_MAX)
		die("--gso %u of %u bytes are more than one send may have", o->gso, o->sizes.max);
	if (sends(o) && !o->count && !o->duration)
		o->duration = 10;
	/* Else the last ones were lost though they had time. */
	if (o->role == ROLE_PING && o->linger_ms < o->timeout_ms)
		o->linger_ms = o->timeout_ms;
	if (!o->window)
		o->window = o->burst;
	if (o->burst > o->window)
		o->burst = o->window;
	if (o->path == PATH_PACKET && o->burst > o->ring_slots / 2)
		die("--burst %u wants --ring-slots %u", o->burst, 2 * o->burst);
	if (o->gro)
		o->receive_bytes = 65536;
	if (!o->tpacket)
		o->tpacket = o->role == ROLE_ECHO || o->role == ROLE_PING ? 2 : 3;
	o->reorder_window = (o->reorder_window + 63) / 64 * 64;
	pins(o);
}

void options_parse(struct options *o, int argc, char **argv)
{
	int i;

	*o = (struct options){
		.path = PATH_UDP, .port = 7700, .source_port = 20000, .addresses = 1,
		.burst = 32, .flows = 1, .threads = 1, .timeout_ms = 1000, .linger_ms = 500, .wait = 10,
		.senders = 1, .silence = 10,
		.reorder_window = 4096, .ring_slots = 512, .ring_bytes = 8 << 20, .block_ms = 1,
		.socket_buffer = 4 << 20, .receive_bytes = 9216, .udp_checksum = true,
		.progress = isatty(STDERR_FILENO),
	};
	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			usage();
			exit(0);
		}
	if (argc < 2)
		die("no role: send, receive, echo, ping, both or probe (see --help)");
	o->role = name_of(argv[1], role_names, "role");
	for (i = 2; i < argc;)
		i += one(o, argv + i);
	limits(o);
	agree(o);
}

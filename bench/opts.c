// SPDX-License-Identifier: GPL-2.0-only
/* The command line: one table serves parsing and --help alike. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vring.h"

const char *const vr_dir_names[] = { "none", "tx", "rx", "both", NULL };
const char *const vr_mode_names[] = { "stream", "burst", "rtt", NULL };
const char *const vr_mem_names[] = { "4k", "thp", "hugetlb", "hugetlb1g", "memfd", "file",
				     "secret", NULL };
const char *const vr_xdp_names[] = { "none", "drop", "check", NULL };
const char *const vr_layout_names[] = { "split", "packed", "in-order", NULL };
const char *const vr_feeder_names[] = { "packet", "pktgen", NULL };
const char *const vr_wait_names[] = { "poll", "call", "nap", NULL };
const char *const vr_storm_names[] = { "no", "hit", "miss", "none", "numa", NULL };

enum opt_kind {
	OPT_STR, OPT_UINT, OPT_INT, OPT_U64, OPT_REAL, OPT_ON, OPT_OFF, OPT_NAME, OPT_SIZE,
};

struct opt {
	const char *name;
	enum opt_kind kind;
	size_t field;
	const char *const *names;
	const char *arg;
	const char *help;
};

#define F(field) offsetof(struct vr_opts, field)

static const struct opt opts[] = {
	{ "dev", OPT_STR, F(dev), NULL, "NODE", "vhost-net node (/dev/vhost-net)" },
	{ "dir", OPT_NAME, F(dir), vr_dir_names, "tx|rx|both", "direction as the guest sees it (tx)" },
	{ "mode", OPT_NAME, F(mode), vr_mode_names, "stream|burst|rtt",
	  "stream: the ring is kept full; burst: --burst frames at a time, timed\n"
	  "from the kick until all are used (rx: the feeding is not timed); rtt:\n"
	  "one frame at a time, which XDP sends back, until it has returned" },
	{ "size", OPT_SIZE, 0, NULL, "N[:M]", "frame bytes without FCS, or a range (64)" },
	{ "gso", OPT_ON, F(gso), NULL, NULL,
	  "frames are TCP segments of 1448 bytes in one, as the tap's owner and\n"
	  "guest agreed on (TUN_F_TSO4)" },
	{ "feeder", OPT_NAME, F(feeder), vr_feeder_names, "packet|pktgen",
	  "who fills the tap for --dir rx: a packet socket, or the kernel's pktgen,\n"
	  "with --mode burst (packet)" },
	{ "ring", OPT_UINT, F(ring), NULL, "N", "entries of each ring, a power of two unless packed (256)" },
	{ "layout", OPT_NAME, F(layout), vr_layout_names, "split|packed|in-order",
	  "split ring, packed ring, or split with IN_ORDER (split)" },
	{ "burst", OPT_UINT, F(burst), NULL, "N", "frames a burst (as many as the ring holds)" },
	{ "chain", OPT_UINT, F(chain), NULL, "N",
	  "descriptors a buffer; 1 = header and frame in one (1)" },
	{ "buf", OPT_UINT, F(buf), NULL, "N",
	  "rx buffer bytes, smaller than a frame to make it span buffers (1536+)" },
	{ "indirect", OPT_ON, F(indirect), NULL, NULL, "indirect descriptor tables" },
	{ "event-idx", OPT_ON, F(event_idx), NULL, NULL, "negotiate EVENT_IDX (default)" },
	{ "no-event-idx", OPT_OFF, F(event_idx), NULL, NULL, "don't" },
	{ "mergeable", OPT_ON, F(mergeable), NULL, NULL, "negotiate MRG_RXBUF (default)" },
	{ "no-mergeable", OPT_OFF, F(mergeable), NULL, NULL, "don't" },
	{ "legacy", OPT_ON, F(legacy), NULL, NULL, "no VERSION_1" },
	{ "mem", OPT_NAME, F(mem), vr_mem_names, "4k|thp|hugetlb|hugetlb1g|memfd|file|secret",
	  "what backs rings and buffers (4k)" },
	{ "shared", OPT_ON, F(shared), NULL, NULL, "hugetlb pages of a file: for punch and truncate" },
	{ "mem-path", OPT_STR, F(mem_path), NULL, "FILE", "the file of --mem file (made, then removed)" },
	{ "offset", OPT_UINT, F(offset), NULL, "N",
	  "every ring part starts N bytes into a page of its own, rounded up to\n"
	  "16 (descriptors), 2 (avail) or 4 (used) (0: the parts are packed)" },
	{ "queues", OPT_UINT, F(queues), NULL, "N", "queue pairs, each with a vhost file of its own (1)" },
	{ "separate", OPT_ON, F(separate), NULL, NULL, "one tap a queue pair, not one multi-queue tap" },
	{ "regions", OPT_UINT, F(regions), NULL, "N", "split the memory table into N regions (1)" },
	{ "seconds", OPT_REAL, F(seconds), NULL, "S", "length of the measured window (1)" },
	{ "packets", OPT_U64, F(packets), NULL, "N", "measure N frames a direction instead" },
	{ "warmup", OPT_REAL, F(warmup), NULL, "S", "traffic before the window opens (0.1)" },
	{ "timeout", OPT_UINT, F(timeout), NULL, "S",
	  "give up when nothing moves for so long, at the end a fifth of it (10)" },
	{ "check", OPT_ON, F(check), NULL, NULL,
	  "check each frame's contents and order on the far side" },
	{ "spoil", OPT_ON, F(spoil), NULL, NULL,
	  "spoil four frames of 1,000: a run that must fail, or --check is worth nothing" },
	{ "xdp", OPT_NAME, F(xdp), vr_xdp_names, "drop|check|none",
	  "on the tap, in driver mode: drop frames; or check them first (none)" },
	{ "wait", OPT_NAME, F(wait), vr_wait_names, "poll|call|nap",
	  "poll the used index, sleep until the call eventfd, or look once a millisecond (poll)" },
	{ "pin-worker", OPT_INT, F(pin_worker), NULL, "CPU", "pin the back end's worker" },
	{ "pin-driver", OPT_INT, F(pin_driver), NULL, "CPU", "pin this program" },
	{ "mark", OPT_ON, F(mark), NULL, NULL, "execute tcgcount's markers around the window" },
	{ "events", OPT_STR, F(events), NULL, "LIST|list",
	  "memory events while traffic runs, a comma between names; all, or list" },
	{ "event-us", OPT_UINT, F(event_us), NULL, "US", "pause between events (2000)" },
	{ "tx-share", OPT_UINT, F(tx_share), NULL, "N",
	  "with --dir both: a frame to the guest for N from it (as many as go)" },
	{ "rest-ms", OPT_UINT, F(rest_ms), NULL, "MS", "the longest that the event rest is idle (1000)" },
	{ "account-ms", OPT_UINT, F(account_ms), NULL, "MS",
	  "so often all traffic arrives, and a line of JSON says what did (never):\n"
	  "for who is killed and reports nothing" },
	{ "gap", OPT_UINT, F(gap), NULL, "N", "pages of other memory between the rings (0)" },
	{ "storm", OPT_NAME, F(storm), vr_storm_names, "hit|miss|none|numa",
	  "slices with and without invalidations, of the ring or beside it; none:\n"
	  "the thread alone; numa: NUMA balancing switched on and off instead" },
	{ "storm-rate", OPT_UINT, F(storm_rate), NULL, "N", "invalidations a second (1000)" },
	{ "slice-ms", OPT_UINT, F(slice_ms), NULL, "MS", "length of a slice, a third to settle (300)" },
	{ "latency-us", OPT_UINT, F(latency_us), NULL, "US",
	  "time memory operations on the ring and beside it, with this pause\n"
	  "(--mem memfd)" },
	{ "idle", OPT_ON, F(idle), NULL, NULL, "no traffic" },
	{ "misses", OPT_UINT, F(misses), NULL, "N",
	  "no traffic, but N empty MADV_DONTNEED between the rings, marked" },
	{ "miss-gap", OPT_INT, F(miss_gap), NULL, "N",
	  "all of them between the N-th and the next ring, or the last two (in turn)" },
	{ "reclaim", OPT_STR, F(reclaim), NULL, "FILE",
	  "no traffic, but 2M written to a cgroup's memory.reclaim, marked" },
	{ "tap", OPT_STR, F(tap), NULL, "NAME", "tap's name (vring<pid>)" },
};

static void usage(void)
{
	unsigned int i;

	puts("usage: vring [options]\n"
	     "Drives a vhost-net back end as a guest would and measures it. JSON on stdout, a\n"
	     "readable line on stderr. Exit: 0 all frames accounted for (and their contents\n"
	     "right, with --check), 1 not, 2 couldn't run.\n");
	for (i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
		const char *help = opts[i].help, *nl;
		int width = printf("  --%s%s%s", opts[i].name, opts[i].arg ? " " : "",
				   opts[i].arg ? opts[i].arg : "");

		if (width > 27) {
			putchar('\n');
			width = 0;
		}
		while ((nl = strchr(help, '\n'))) {
			printf("%*s%.*s\n", 28 - width, "", (int)(nl - help), help);
			width = 0;
			help = nl + 1;
		}
		printf("%*s%s\n", 28 - width, "", help);
	}
}

static uint64_t number(const char *name, const char *s)
{
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || end == s || *end || *s == '-')
		vr_die("--%s: not a number: '%s'", name, s);
	return v;
}

static void set_size(struct vr_opts *o, const char *s)
{
	char *colon = strchr(s, ':');

	if (colon) {
		char *low = strndup(s, colon - s);

		o->size = number("size", low);
		o->size_max = number("size", colon + 1);
		free(low);
	} else {
		o->size = number("size", s);
		o->size_max = o->size;
	}
}

static void set(struct vr_opts *o, const struct opt *d, char *arg)
{
	char *field = (char *)o + d->field;
	char *end;
	int i;

	switch (d->kind) {
	case OPT_STR: *(char **)field = arg; break;
	case OPT_UINT: *(unsigned int *)field = number(d->name, arg); break;
	case OPT_INT: *(int *)field = number(d->name, arg); break;
	case OPT_U64: *(uint64_t *)field = number(d->name, arg); break;
	case OPT_ON: *(bool *)field = true; break;
	case OPT_OFF: *(bool *)field = false; break;
	case OPT_SIZE: set_size(o, arg); break;
	case OPT_REAL:
		*(double *)field = strtod(arg, &end);
		if (*end || end == arg)
			vr_die("--%s: not a number: '%s'", d->name, arg);
		break;
	case OPT_NAME:
		for (i = 0; d->names[i]; i++)
			if (!strcmp(d->names[i], arg))
				break;
		if (!d->names[i])
			vr_die("--%s: '%s' is not one of %s", d->name, arg, d->arg);
		*(unsigned int *)field = i;
		break;
	}
}

static void check_shape(const struct vr_opts *o)
{
	if (!o->ring || o->ring > 32768)
		vr_die("--ring: 1 to 32768, not %u", o->ring);
	if (o->layout != VR_LAYOUT_PACKED && (o->ring & (o->ring - 1)))
		vr_die("--ring: a power of two, not %u, unless --layout is packed", o->ring);
	if (!o->chain || o->chain > VR_MAX_CHAIN)
		vr_die("--chain: 1 to %d", VR_MAX_CHAIN);
	if (!o->indirect && o->chain > o->ring)
		vr_die("--chain %u doesn't fit a ring of %u", o->chain, o->ring);
	if (o->size < 14 || o->size_max > VR_MAX_FRAME || o->size > o->size_max)
		vr_die("--size: 14 to %d bytes", VR_MAX_FRAME);
	if (o->chain > o->size)
		vr_die("--chain %u: more descriptors than bytes", o->chain);
	if (!o->queues || o->queues > VR_MAX_QUEUES)
		vr_die("--queues: 1 to %d", VR_MAX_QUEUES);
	if (!o->regions || o->regions > VR_MAX_REGIONS)
		vr_die("--regions: 1 to %d", VR_MAX_REGIONS);
	if (o->offset >= 4096)
		vr_die("--offset: less than a page (4096)");
}

static void check_storm(struct vr_opts *o)
{
	/* The ring's pages have to be its own, and there must be others beside them. */
	if ((o->storm || o->latency_us || o->misses) && o->gap < 4)
		o->gap = 4;
	if (o->storm && (!o->storm_rate || !o->slice_ms))
		vr_die("--storm-rate, --slice-ms: not 0");
	if (o->storm && o->mode != VR_MODE_STREAM)
		vr_die("--storm needs --mode stream");
	if ((o->storm || o->latency_us) && (o->mem == VR_MEM_THP || o->mem == VR_MEM_HUGETLB))
		vr_die("--storm, --latency-us: not on huge pages");
	if (o->latency_us && o->mem != VR_MEM_MEMFD)
		vr_die("--latency-us needs --mem memfd: operations that lose no contents");
	if (o->events && (o->storm || o->latency_us))
		vr_die("--events and --storm or --latency-us exclude each other");
}

static void check_mode(const struct vr_opts *o)
{
	if (o->mode == VR_MODE_RTT && (o->dir != (VR_DIR_TX | VR_DIR_RX) || o->xdp || o->events))
		vr_die("--mode rtt needs --dir both, and no --xdp or --events");
	if (o->feeder == VR_FEED_PKTGEN &&
	    (o->mode != VR_MODE_BURST || o->dir != VR_DIR_RX || o->queues != 1 || o->check || o->gso ||
	     o->size != o->size_max || o->size < 60))
		vr_die("--feeder pktgen needs --mode burst --dir rx, one queue pair and one --size of at\n"
		       "least 60, and neither --check nor --gso");
	if (o->gso && (o->size < 1503 || o->spoil || o->xdp == VR_XDP_CHECK))
		vr_die("--gso needs a --size of at least 1503, and no --spoil or --xdp check");
}

static void check_sense(struct vr_opts *o)
{
	unsigned int frame = o->size_max + sizeof(struct virtio_net_hdr_mrg_rxbuf);

	if (o->check && o->size < VR_FRAME_MIN_CHECK)
		vr_die("--check needs --size of at least %d", VR_FRAME_MIN_CHECK);
	if (o->check && o->xdp == VR_XDP_DROP && (o->dir & VR_DIR_TX))
		vr_die("--check needs the frames that --xdp drop drops; leave one out");
	if (o->spoil && (!o->check || o->dir != VR_DIR_TX || o->chain != 1 ||
			 o->size <= VR_FRAME_MIN_CHECK))
		vr_die("--spoil needs --check, --dir tx and no --chain");
	if (o->xdp == VR_XDP_CHECK && (!o->check || o->size != o->size_max || o->size % 8 ||
				       o->size < 40 || o->size > 128))
		vr_die("--xdp check needs --check and one --size of 40 to 128, a multiple of 8");
	if (!o->dir)
		vr_die("--dir: tx, rx or both");
	check_mode(o);
	if (!o->buf)
		o->buf = frame > 1536 && !o->mergeable ? frame : frame > 1536 ? 4096 : 1536;
	if (o->buf < frame && !o->mergeable)
		vr_die("--buf %u is too small for a frame of %u without --mergeable", o->buf,
		       o->size_max);
	if (o->mem == VR_MEM_FILE && !o->mem_path)
		vr_die("--mem file needs --mem-path");
	if (o->shared && o->mem != VR_MEM_HUGETLB && o->mem != VR_MEM_HUGE1G)
		vr_die("--shared is for --mem hugetlb and hugetlb1g");
	if (o->events)
		vr_events_check(o->events);
	if (o->reclaim)
		o->misses = o->misses ? o->misses : 1;
	if (o->misses)
		o->idle = true;
	check_storm(o);
}

void vr_opts_parse(struct vr_opts *o, int argc, char **argv)
{
	const unsigned int n = sizeof(opts) / sizeof(opts[0]);
	unsigned int i;
	int a;

	for (a = 1; a < argc; a++) {
		char *name = argv[a], *arg = NULL, *eq;

		if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
			usage();
			exit(0);
		}
		if (strncmp(name, "--", 2))
			vr_die("unexpected argument '%s' (see --help)", name);
		name += 2;
		eq = strchr(name, '=');
		if (eq) {
			*eq = 0;
			arg = eq + 1;
		}
		for (i = 0; i < n && strcmp(opts[i].name, name); i++)
			;
		if (i == n)
			vr_die("no such option --%s (see --help)", name);
		if (opts[i].arg && !arg && ++a < argc)
			arg = argv[a];
		if (opts[i].arg ? !arg : !!arg)
			vr_die("--%s %s", name, arg ? "takes no value" : "needs a value");
		set(o, &opts[i], arg);
	}
	check_shape(o);
	check_sense(o);
}

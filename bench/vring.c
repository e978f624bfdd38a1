// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring: drives a vhost-net back end as a guest would, and measures it.
 *
 * One thread does everything but the memory events: it is pinned to one
 * processor, the back end's worker to another. All it sets up hangs on its file
 * descriptors, so nothing outlives it, however it ends.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vring.h"

volatile int vr_stop;

void vr_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("vring: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

void vr_die_errno(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	fputs("vring: ", stderr);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, ": %s\n", strerror(err));
	va_end(ap);
	exit(2);
}

/* Ends the run, which still reports what it saw. The first reason counts. */
void vr_fail(struct vr_run *r, const char *fmt, ...)
{
	va_list ap;

	if (r->failure)
		return;
	va_start(ap, fmt);
	vsnprintf(r->failure_buf, sizeof(r->failure_buf), fmt, ap);
	va_end(ap);
	r->failure = r->failure_buf;
}

uint64_t vr_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void on_signal(int sig)
{
	(void)sig;
	vr_stop = 1;
}

/* Other memory follows a ring, in pages of its own. */
static void leave_gap(struct vr_run *r)
{
	size_t len = r->o->gap * 4096UL;

	if (!len)
		return;
	r->gaps[r->ngaps++] = (struct vr_range){ vr_mem_take(&r->mem, len, 4096, 0), len };
}

static void make_pairs(struct vr_run *r)
{
	const struct vr_opts *o = r->o;
	unsigned int i;
	size_t bytes;

	r->npairs = o->queues;
	r->pairs = calloc(r->npairs, sizeof(*r->pairs));
	if (!r->pairs)
		vr_die("out of memory");
	bytes = 2 * (vr_ring_bytes(o) + (o->gap + 1) * 4096ULL) + vr_bufs_bytes(o, r->hdr_len);
	vr_mem_alloc(&r->mem, r->npairs * bytes, o);
	for (i = 0; i < r->npairs; i++) {
		r->pairs[i].index = i;
		vr_ring_place(&r->pairs[i].rx, &r->mem, o);
		leave_gap(r);
		vr_ring_place(&r->pairs[i].tx, &r->mem, o);
		leave_gap(r);
	}
	/* The last lies behind all rings: not between them. */
	if (r->ngaps > 1)
		r->ngaps--;
	r->mem.ring_bytes = r->mem.used;
	for (i = 0; i < r->npairs; i++) {
		vr_ring_fill(&r->pairs[i].rx, &r->mem, o, r->hdr_len, false);
		vr_ring_fill(&r->pairs[i].tx, &r->mem, o, r->hdr_len, true);
	}
}

static unsigned int burst_limit(const struct vr_run *r)
{
	const struct vr_opts *o = r->o;
	unsigned int slots = r->pairs[0].rx.slots, bufs;

	if (!(o->dir & VR_DIR_RX))
		return slots;
	bufs = (o->size_max + r->hdr_len + o->buf - 1) / o->buf;
	/* And no more than the tap's queue holds. */
	slots = slots / bufs ? slots / bufs : 1;
	return slots < 4000 ? slots : 4000;
}

static void attach_xdp(struct vr_run *r)
{
	unsigned int i;
	int prog;

	if (r->o->mode == VR_MODE_RTT)
		prog = vr_xdp_return_load(XDP_TX);
	else if (r->o->xdp == VR_XDP_NONE)
		return;
	else
		prog = r->o->xdp == VR_XDP_DROP ? vr_xdp_return_load(XDP_DROP) : vr_xdp_check_load(r);
	for (i = 0; i < r->npairs; i++)
		if (!i || r->o->separate)
			vr_xdp_attach(prog, r->pairs[i].ifindex);
	close(prog);
}

static void start(struct vr_run *r)
{
	unsigned int i;

	for (i = 0; i < r->npairs; i++)
		vr_tap_open(r, &r->pairs[i]);
	if (r->npairs > 1 && !r->o->separate && (r->o->dir & VR_DIR_RX))
		r->steer_prog = vr_steer_attach(r->pairs[0].tap_fd, vr_frame_queue_at());
	attach_xdp(r);
	for (i = 0; i < r->npairs; i++)
		vr_backend_open(r, &r->pairs[i]);
	vr_worker_find(r);
	if (r->o->pin_worker >= 0)
		vr_worker_pin(r, r->o->pin_worker);
	vr_peer_open(r);
	for (i = 0; i < r->npairs; i++)
		vr_backend_start(r, &r->pairs[i]);
}

/* A frame that XDP drops is counted as such, one that the stack gets as received. */
static void finish(struct vr_run *r)
{
	const char *counter = r->o->xdp == VR_XDP_NONE ? "rx_packets" : "rx_dropped";
	unsigned int i;

	vr_told_around(false);
	vr_stats_take(r);
	vr_told_around(true);
	for (i = 0; i < r->npairs; i++)
		vr_backend_stop(r, &r->pairs[i]);
	for (i = 0; i < r->npairs; i++)
		if (!i || r->o->separate)
			r->tap_frames += vr_tap_stat(r->pairs[i].ifname, counter);
}

int main(int argc, char **argv)
{
	static struct vr_opts o = {
		.dev = "/dev/vhost-net", .dir = VR_DIR_TX, .size = 64, .size_max = 64, .ring = 256,
		.chain = 1, .queues = 1, .regions = 1, .seconds = 1, .warmup = 0.1, .timeout = 10,
		.event_us = 2000, .rest_ms = 1000, .storm_rate = 1000, .slice_ms = 300,
		.event_idx = true, .mergeable = true, .pin_worker = -1, .pin_driver = -1,
		.miss_gap = -1,
	};
	static struct vr_run r = { .o = &o };
	struct sigaction sa = { .sa_handler = on_signal };

	vr_opts_parse(&o, argc, argv);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	r.hdr_len = o.legacy && !o.mergeable ? sizeof(struct virtio_net_hdr) :
					       sizeof(struct virtio_net_hdr_mrg_rxbuf);
	vr_frame_init(&o);
	r.features = vr_backend_features(&r);
	make_pairs(&r);
	if (!o.burst || o.burst > burst_limit(&r))
		o.burst = burst_limit(&r);
	if (o.pin_driver >= 0)
		vr_driver_pin(o.pin_driver);
	start(&r);
	vr_drive(&r);
	finish(&r);
	return vr_report(&r);
}

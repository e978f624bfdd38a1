/* SPDX-License-Identifier: GPL-2.0-only */
/* What is measured: a back end that serves one guest. */
#ifndef BENCH_RING_SIDE_H
#define BENCH_RING_SIDE_H

#include "guest.h"

/* Most packets moved in one timed call. */
#define BURST_MAX	64u

/**
 * struct side - a back end
 * @name: in reports
 * @open: start to serve a guest; its rings are empty. Returns the port
 * @close: stop
 * @tx: take @n frames, that the driver has made available, out of the guest;
 *      timed. Returns how many there were
 * @frame: the @i-th frame of the last tx; @len receives its bytes
 * @release: give the frames of the last tx back to the pool
 * @blank: the @i-th frame of those that the next rx sends, to be written;
 *         @len bytes
 * @rx: put @n frames of @len bytes into the guest; timed. Returns how many
 */
struct side {
	const char *name;
	void *(*open)(const struct guest *g, enum kind kind);
	void (*close)(void *port);
	u32 (*tx)(void *port, u32 n);
	const u8 *(*frame)(void *port, u32 i, u32 *len);
	void (*release)(void *port, u32 n);
	u8 *(*blank)(void *port, u32 i, u32 len);
	u32 (*rx)(void *port, u32 n, u32 len);
};

extern const struct side side_ours, side_dpdk;

void dpdk_start(int cpu);
const char *dpdk_version(void);

#endif /* BENCH_RING_SIDE_H */

// SPDX-License-Identifier: GPL-2.0-only
/* What packet sockets alone have: limits by sysctl, errors to tell, timestamps. */
#include <linux/net_tstamp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends.h"
#include "test.h"

#define WMEM_DEFAULT	"/proc/sys/net/core/wmem_default"
#define NO_LIMIT	0x7fffffff
/* A worker that is at rest uses none; an interrupt may be charged to it. */
#define REST_MS		60
#define REST_CPU_MS	6

/* Returns where the guest has AT_ONCE buffers, of which none is offered yet. */
static uint8_t *start(struct rig *r, const char *node)
{
	struct rig_opts o = { .node = node, .features = F_V1 | F_OWN_HDR };
	struct tap link;
	uint8_t *at;

	link_open(&link, o.features, false);
	o.link = &link;
	rig_open(r, &o);
	at = mem_take(&r->mem, CHUNK_B, AT_ONCE * SLOT, PAGE);
	mem_device_writes(&r->mem, at, AT_ONCE * SLOT);
	return at;
}

static int wmem_default(void)
{
	FILE *f = fopen(WMEM_DEFAULT, "r");
	int bytes = 0;

	MUST(f && fscanf(f, "%d", &bytes) == 1, WMEM_DEFAULT);
	fclose(f);
	return bytes;
}

static void set_wmem_default(int bytes)
{
	FILE *f = fopen(WMEM_DEFAULT, "w");

	MUST(f && fprintf(f, "%d", bytes) > 0 && !fclose(f), WMEM_DEFAULT);
}

/* As a tap that takes batches says of itself. */
static void unlimited(const char *node, const char *kind)
{
	int before = wmem_default();
	static struct rig r;
	unsigned int i;

	t_begin("%s: frames go one by one through one whose room has no limit", kind);
	set_wmem_default(NO_LIMIT);
	start(&r, node);
	set_wmem_default(before);
	for (i = 0; i < 64 && !t_errors(); i += AT_ONCE)
		send_some(&r, AT_ONCE);
	CHECK_EQ(node_stat(r.node, Q_TX, "packets"), 64);
	CHECK_EQ(node_stat(r.node, Q_TX, "dropped"), 0);
	rig_close(&r);
	t_end();
}

void test_packet(const char *node, const char *kind)
{
	unlimited(node, kind);
}

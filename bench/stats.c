// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the back end counted, where it tells (VD_GET_STATS; stock doesn't): in all,
 * and since the memory events ended, which shows whether its windows came back.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../vhost/uapi/vhost_direct.h"
#include "vring.h"

#define ROOM 64

/* Sums over all queue pairs: [0] of the receive queues, [1] of the transmit queues. */
struct table {
	unsigned int count;
	struct vd_stat entry[ROOM];
};

static struct table all[2], marked[2];

static void add(struct table *t, int fd, unsigned int index)
{
	struct vd_stats *s = calloc(1, sizeof(*s) + ROOM * sizeof(s->entry[0]));
	unsigned int i;

	if (!s)
		vr_die("out of memory");
	s->index = index;
	s->count = ROOM;
	if (!ioctl(fd, VD_GET_STATS, s)) {
		t->count = s->count < ROOM ? s->count : ROOM;
		for (i = 0; i < t->count; i++) {
			memcpy(t->entry[i].name, s->entry[i].name, VD_STAT_NAME);
			t->entry[i].value += s->entry[i].value;
		}
	}
	free(s);
}

static void sums(const struct vr_run *r, struct table t[2])
{
	unsigned int i, index;

	memset(t, 0, 2 * sizeof(*t));
	for (i = 0; i < r->npairs; i++)
		for (index = 0; index < 2; index++)
			add(&t[index], r->pairs[i].vhost_fd, index);
}

/* One counter, over all queues; 0 where the back end doesn't tell. */
uint64_t vr_stats_sum(const struct vr_run *r, const char *name)
{
	struct table now[2];
	uint64_t sum = 0;
	unsigned int i, index;

	sums(r, now);
	for (index = 0; index < 2; index++)
		for (i = 0; i < now[index].count; i++)
			if (!strcmp((const char *)now[index].entry[i].name, name))
				sum += now[index].entry[i].value;
	return sum;
}

void vr_stats_mark(const struct vr_run *r)
{
	sums(r, marked);
}

void vr_stats_take(const struct vr_run *r)
{
	sums(r, all);
}

static void print(const char *name, const struct table *t, const struct table *less)
{
	unsigned int i;

	printf("\"%s\":{", name);
	for (i = 0; i < t->count; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", (const char *)t->entry[i].name,
		       (uint64_t)(t->entry[i].value - (less ? less->entry[i].value : 0)));
	putchar('}');
}

void vr_stats_print(void)
{
	printf(",\"stats\":{");
	print("rx", &all[0], NULL);
	putchar(',');
	print("tx", &all[1], NULL);
	putchar('}');
	if (!marked[0].count)
		return;
	printf(",\"stats_tail\":{");
	print("rx", &all[0], &marked[0]);
	putchar(',');
	print("tx", &all[1], &marked[1]);
	putchar('}');
}

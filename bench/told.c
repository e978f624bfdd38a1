// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel told the back end of memory, where the module vd_told is there to
 * tell (guest-tests/kmod). For each event: at how many of the times that it happened
 * which kind of callback came, over the rings and beside them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "events.h"

static struct vr_told mark;

/* False where nobody tells. */
static bool take(struct vr_told *t)
{
	static int fd = -2;
	char text[1024], *line, *save;
	ssize_t len;

	if (fd == -2)
		fd = open("/sys/module/vd_told/parameters/told", O_RDONLY | O_CLOEXEC);
	memset(t, 0, sizeof(*t));
	if (fd < 0)
		return false;
	len = pread(fd, text, sizeof(text) - 1, 0);
	if (len <= 0)
		vr_die_errno("vd_told");
	text[len] = '\0';
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct vr_told_kind *k = &t->kind[t->n];

		if (t->n < VR_TOLD_KINDS &&
		    sscanf(line, "%15s %" SCNu64 " %" SCNu64, k->name, &k->over, &k->beside) == 3)
			t->n++;
	}
	return true;
}

/* What an event does from now on counts as its own. */
void vr_told_mark(void)
{
	take(&mark);
}

/* Whether a ring was invalidated since then; where nobody tells, it may have been. */
bool vr_told_over(void)
{
	struct vr_told now;

	/* The first is the number of rings. */
	return !take(&now) || now.kind[0].over != mark.kind[0].over;
}

/* An event happened once: adds what was told of it. */
void vr_told_add(struct vr_told *sum)
{
	struct vr_told now;
	unsigned int i;

	if (!take(&now))
		return;
	sum->n = now.n;
	for (i = 0; i < now.n; i++) {
		memcpy(sum->kind[i].name, now.kind[i].name, sizeof(now.kind[i].name));
		sum->kind[i].over += now.kind[i].over != mark.kind[i].over;
		sum->kind[i].beside += now.kind[i].beside != mark.kind[i].beside;
	}
}

static void print(const char *name, const struct vr_told *t)
{
	const struct vr_told_kind *k;
	const char *comma = "";

	printf(",\"%s\":{", name);
	for (k = t->kind; k < t->kind + t->n; k++) {
		if (!k->over && !k->beside)
			continue;
		printf("%s\"%s\":[%" PRIu64 ",%" PRIu64 "]", comma, k->name, k->over, k->beside);
		comma = ",";
	}
	putchar('}');
}

void vr_told_print(const struct vr_told *t)
{
	if (t->n)
		print("told", t);
}

static struct vr_told before, after;

/* Just before the back end's own statistics are taken, and just after. */
void vr_told_around(bool late)
{
	take(late ? &after : &before);
}

void vr_told_print_all(void)
{
	if (!after.n)
		return;
	print("told_before", &before);
	print("told_after", &after);
}

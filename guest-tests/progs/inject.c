// SPDX-License-Identifier: GPL-2.0-only
/*
 * inject: what vd_inject's parameters say and take.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "inject.h"
#include "test.h"

#define VD_INJECT "/sys/module/vd_inject"

static int parameter(const char *name, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), VD_INJECT "/parameters/%s", name);
	return open(path, flags | O_CLOEXEC);
}

static long number(const char *name)
{
	char text[16] = "";
	int fd = parameter(name, O_RDONLY);

	MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "vd_inject: %s", name);
	close(fd);
	return atol(text);
}

bool inject_there(void)
{
	return !access(VD_INJECT, F_OK);
}

long inject_hits(void)
{
	return number("hits");
}

void inject_hold(const char *usecs)
{
	int fd = parameter("usecs", O_WRONLY);

	MUST(fd >= 0 && dprintf(fd, "%s", usecs) > 0, "vd_inject: usecs");
	close(fd);
}

unsigned int inject_held(void)
{
	return number("held");
}

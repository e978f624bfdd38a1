// SPDX-License-Identifier: GPL-2.0-only
/* The command line: what means nothing is refused in words, not ignored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "options.h"
#include "test.h"
#include "units.h"

#define WORDS	16

static void parse(char *line, struct options *o)
{
	char *argv[WORDS] = { "vdload" }, *at = line;
	int argc = 1;

	while (argc < WORDS - 1 && (argv[argc] = strsep(&at, " ")))
		argc++;
	options_parse(o, argc, argv);
}

/* In a process of its own, which a refusal ends. Its exit status, and what it said. */
static int parsed(const char *line, char *said, size_t room)
{
	int pipes[2], status, got, have = 0;
	pid_t child;

	MUST(!pipe(pipes), "pipe");
	fflush(NULL);
	child = fork();
	MUST(child >= 0, "fork");
	if (!child) {
		struct options o;

		dup2(pipes[1], STDERR_FILENO);
		parse(strdup(line), &o);
		_exit(0);
	}
	close(pipes[1]);
	while ((got = read(pipes[0], said + have, room - 1 - have)) > 0)
		have += got;
	said[have] = 0;
	close(pipes[0]);
	MUST(waitpid(child, &status, 0) == child, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refused(const char *line, const char *why)
{
	char said[256];
	int status = parsed(line, said, sizeof(said));

	if (!CHECK(status == 2 && strstr(said, why)))
		t_diag("%s: status %d: %s", line, status, said);
}

static void taken(const char *line)
{
	char said[256];
	int status = parsed(line, said, sizeof(said));

	if (!CHECK_EQ(status, 0))
		t_diag("%s: %s", line, said);
}

#define TO	" --to 10.0.0.2"

static void of_roles(void)
{
	static const char *const sending[] = {
		"rate 100", "size 100", "mix imix", "source-port 4", "burst 8", "flows 2" };
	static const char *const receiving[] = { "max-loss 1", "reorder-window 128", "same-clock" };
	static const char *const senders[] = { "send" TO, "ping" TO, "both" TO };
	static const char *const others[] = { "receive", "echo" };
	char line[128];
	size_t i, j;

	t_begin("what only a sender heeds is refused to those that don't send, and taken of all that do");
	for (i = 0; i < ARRAY_SIZE(sending); i++) {
		for (j = 0; j < ARRAY_SIZE(others); j++) {
			snprintf(line, sizeof(line), "%s --%s", others[j], sending[i]);
			refused(line, "isn't of role");
		}
		for (j = 0; j < ARRAY_SIZE(senders); j++) {
			snprintf(line, sizeof(line), "%s --%s", senders[j], sending[i]);
			taken(line);
		}
	}
	refused("receive --no-udp-checksum", "isn't of role receive");
	/* It answers. */
	taken("echo --no-udp-checksum");
	taken("send" TO " --no-udp-checksum");
	t_end();

	t_begin("what only a receiver heeds is refused to a sender");
	for (i = 0; i < ARRAY_SIZE(receiving); i++) {
		snprintf(line, sizeof(line), "%s --%s", senders[0], receiving[i]);
		refused(line, "isn't of role send");
		for (j = 0; j < ARRAY_SIZE(others); j++) {
			snprintf(line, sizeof(line), "%s --%s", others[j], receiving[i]);
			taken(line);
		}
		snprintf(line, sizeof(line), "%s --%s", senders[2], receiving[i]);
		taken(line);
	}
	refused("ping" TO " --same-clock", "isn't of role ping");
	t_end();
}

void test_options(void)
{
	of_roles();
	t_begin("a share of packets is at most all of them");
	taken("receive --max-loss 0");
	taken("receive --max-loss 100");
	refused("receive --max-loss 200", "from 0 to 100");
	refused("receive --max-loss 100.1", "from 0 to 100");
	refused("receive --max-loss -1", "not a number");
	/* Others that are no whole numbers have no such limit. */
	taken("receive --duration 1000");
	t_end();
}

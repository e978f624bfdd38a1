// SPDX-License-Identifier: GPL-2.0-only
/*
 * mem-cases NAME: one memory event under a ring, and whether a vhost-net back end
 * copes. Exit: 0 it does, 1 not (the reason is printed), 77 can't be tested here
 * (the reason too). Without a name: the list. The node is $VD_DEV.
 */
#include <stdio.h>
#include <string.h>

#include "mem-dev.h"

static const struct md_case *const groups[] = {
	md_fault_cases, md_move_cases, md_track_cases, md_life_cases,
	md_probe_cases, md_young_cases, md_busy_cases, md_part_cases,
	md_dax_cases, md_dirty_cases, md_many_cases, md_read_cases,
	md_poison_cases,
};

int main(int argc, char **argv)
{
	const struct md_case *c;
	unsigned int i;

	for (i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		for (c = groups[i]; c->name; c++) {
			if (argc < 2) {
				printf("%-18s %s\n", c->name, c->help);
			} else if (!strcmp(argv[1], c->name)) {
				c->fn();
				return 0;
			}
		}
	}
	if (argc < 2)
		return 0;
	fprintf(stderr, "mem-cases: no case '%s'\n", argv[1]);
	return 2;
}

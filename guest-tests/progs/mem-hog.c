// SPDX-License-Identifier: GPL-2.0-only
/*
 * mem-hog MIB: takes so much memory, writes to every page, lets go of it, and begins
 * again until it is killed. Prints a line each time, for whoever counts.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define CHUNK	(16UL << 20)

/*
 * Each page with contents of its own: nothing that could be merged. Three times: what
 * is used once only, reclaim takes before anything of others.
 */
static void use(uint8_t *p, size_t bytes, uint64_t turn)
{
	unsigned int times;
	size_t at;

	for (times = 0; times < 3; times++)
		for (at = 0; at < bytes; at += 4096)
			*(volatile uint64_t *)(p + at) = turn << 32 | (uintptr_t)(p + at) >> 12;
}

int main(int argc, char **argv)
{
	size_t bytes = (argc == 2 ? strtoul(argv[1], NULL, 10) : 0) << 20, at;
	uint64_t turn;

	if (!bytes) {
		fputs("usage: mem-hog MIB\n", stderr);
		return 2;
	}
	for (turn = 1;; turn++) {
		uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED) {
			perror("mem-hog: mmap");
			return 1;
		}
		for (at = 0; at < bytes; at += CHUNK)
			use(p + at, bytes - at < CHUNK ? bytes - at : CHUNK, turn);
		munmap(p, bytes);
		printf("%lu\n", (unsigned long)turn);
		fflush(stdout);
	}
}

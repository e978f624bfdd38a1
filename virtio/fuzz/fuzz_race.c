// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring that another thread rewrites while it is read, and its tables: what a
 * hostile guest with two processors does. What the engine has checked it must
 * not read again.
 *
 * The writer never rests: each word of memory is by turns what the input had
 * there and what it had a little further on. An input that fails once may not
 * fail each time; with -runs=10000 it will.
 */
#include <pthread.h>
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Of the tables, the first few: to rewrite all takes longer than to read one. */
#define SHARED_TABLES	512u

static struct fuzz f;
static u8 part[VD_PARTS][FUZZ_PART];
/* What the input had there. */
static u8 was[VD_PARTS + 1][FUZZ_PART];

static u16 shared_load(const u8 *p)
{
	return __atomic_load_n((const word16 *)p, __ATOMIC_RELAXED);
}

static void rewrite(u8 *to, const u8 *from, u32 size, u32 turn)
{
	u32 shift = 2 * (turn % 9), i;

	for (i = 0; i < size; i += 2)
		__atomic_store_n((word16 *)(to + i),
				 shared_load(from + (turn + i / 2) % 4 / 3 *
					     shift + i % (size - 16)),
				 __ATOMIC_RELAXED);
}

static void *writer(void *arg)
{
	u32 turn, p;

	for (turn = 0;; turn++) {
		for (p = 0; p < VD_PARTS; p++)
			rewrite(part[p], was[p], FUZZ_PART, turn);
		rewrite(f.tables, was[VD_PARTS], SHARED_TABLES, turn);
	}
	return arg;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	pthread_t thread;
	u32 p;

	(void)argc;
	(void)argv;
	for (p = 0; p < VD_PARTS; p++)
		f.memory[p] = part[p];
	FUZZ_CHECK(!pthread_create(&thread, NULL, writer, NULL));
	return 0;
}

/* The input's memory, for the writer: as fuzz_open() will lay it out. */
static void remember(bool packed, const u8 *data, size_t size)
{
	struct fuzz_head h;
	u8 calls[FUZZ_CALLS];
	u32 p;

	f.data = data;
	f.size = size;
	fuzz_take(&f, &h, sizeof(h));
	fuzz_take(&f, calls, min_t(u32, h.ncalls, FUZZ_CALLS));
	fuzz_set_state(&f, packed, &h);
	for (p = 0; p < VD_PARTS; p++)
		fuzz_take(&f, was[p], packed ?
			  vd_packed_part_size(p, f.ring.num) :
			  vd_split_part_size(p, f.ring.num, f.ring.event_idx));
	fuzz_take(&f, was[VD_PARTS], SHARED_TABLES);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	bool packed;

	if (size < sizeof(struct fuzz_head))
		return 0;
	/* The last byte of the head tells the kind of ring. */
	packed = data[sizeof(struct fuzz_head) - 1] & 1;
	remember(packed, data, size);
	fuzz_run(&f, packed, data, size);
	return 0;
}

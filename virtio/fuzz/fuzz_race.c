// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring that another thread rewrites while it is read, and its tables: what a
 * hostile guest with two processors does. What the engine has checked it must
 * not read again.
 *
 * The writer never rests: each word of memory is by turns what the input had
 * there, what it had a little further on, and nothing. An input that fails once
 * may not fail each time; with -runs=10000 it will.
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
static u32 size[VD_PARTS];

static u16 shared_load(const u8 *p)
{
	return __atomic_load_n((const word16 *)p, __ATOMIC_RELAXED);
}

static void rewrite(u8 *to, const u8 *from, u32 size, u32 turn)
{
	u32 shift = 2 * (turn % 9), i;
	u16 v;

	for (i = 0; i + 2 <= size; i += 2) {
		v = shared_load(from + i);
		switch ((turn * 7 + i / 2) % 16) {
		case 0:
			v = 0;
			break;
		case 1:
		case 2:
			v = shared_load(from + (i + shift) % FUZZ_PART);
			break;
		}
		__atomic_store_n((word16 *)(to + i), v, __ATOMIC_RELAXED);
	}
}

static void *writer(void *arg)
{
	u32 turn, p;

	for (turn = 0;; turn++) {
		/* The smaller the ring, the closer the race. */
		for (p = 0; p < VD_PARTS; p++)
			rewrite(part[p], was[p],
				__atomic_load_n(&size[p], __ATOMIC_RELAXED),
				turn);
		if (turn % 8 == 0)
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
static void remember(bool packed, const u8 *data, size_t len)
{
	struct fuzz_head h;
	u8 calls[FUZZ_CALLS];
	u32 p, bytes;

	f.data = data;
	f.size = len;
	fuzz_take(&f, &h, sizeof(h));
	fuzz_take(&f, calls, min_t(u32, h.ncalls, FUZZ_CALLS));
	fuzz_set_state(&f, packed, &h);
	for (p = 0; p < VD_PARTS; p++) {
		bytes = packed ? vd_packed_part_size(p, f.ring.num) :
				 vd_split_part_size(p, f.ring.num,
						    f.ring.event_idx);
		fuzz_take(&f, was[p], bytes);
		__atomic_store_n(&size[p], bytes, __ATOMIC_RELAXED);
	}
	fuzz_take(&f, was[VD_PARTS], SHARED_TABLES);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	bool packed;

	if (len < sizeof(struct fuzz_head))
		return 0;
	packed = data[offsetof(struct fuzz_head, kind)] & FUZZ_PACKED;
	remember(packed, data, len);
	fuzz_run(&f, packed, data, len);
	return 0;
}

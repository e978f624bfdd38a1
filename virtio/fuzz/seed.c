// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes the corpus: seed DIR makes DIR/split, DIR/packed, DIR/indirect and
 * DIR/race. Each file is a ring as the mock driver makes it, honest or with one
 * thing wrong, and the calls of a device that serves it.
 */
#include <errno.h>
#include <sys/stat.h>
#include "../mock_packed.h"
#include "../mock_raw.h"
#include "fuzz.h"

/*
 * The parts of a ring have a page each, behind a gap; so the tables begin in the
 * first page of what an input has of memory for them.
 */
#define GPA	(0x100000000ull - 0x3000)
#define TABLES	1024u

static const char *dir;
static u32 count;

/* What a device does, in some orders. */
static const u8 serve[][16] = {
	{ FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_PUSH, 0),
	  FUZZ_MAKE(FUZZ_SIGNAL, 0), FUZZ_MAKE(FUZZ_POP, 31),
	  FUZZ_MAKE(FUZZ_NOTIFY, 0), FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED),
	  FUZZ_MAKE(FUZZ_WRITE, 17), FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED) },
	{ FUZZ_MAKE(FUZZ_NO_NOTIFY, 0), FUZZ_MAKE(FUZZ_POP, 1),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_LOOK_ON),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED),
	  FUZZ_MAKE(FUZZ_REWIND, 1), FUZZ_MAKE(FUZZ_NOTIFY, 0),
	  FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_PUSH, 2),
	  FUZZ_MAKE(FUZZ_SIGNAL, 0), FUZZ_MAKE(FUZZ_PUSH, 0),
	  FUZZ_MAKE(FUZZ_SIGNAL, 0) },
	{ FUZZ_MAKE(FUZZ_FAIL, 3), FUZZ_MAKE(FUZZ_POP, 31),
	  FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_FAIL, 0),
	  FUZZ_MAKE(FUZZ_PUSH, 0), FUZZ_MAKE(FUZZ_PUSH, 0),
	  FUZZ_MAKE(FUZZ_WRITE, 0), FUZZ_MAKE(FUZZ_POP, 31),
	  FUZZ_MAKE(FUZZ_FAIL, 0), FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED),
	  FUZZ_MAKE(FUZZ_FAIL, 1),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_LOOK_ON) },
	{ FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_WRITE, 17),
	  FUZZ_MAKE(FUZZ_NOTIFY, 0), FUZZ_MAKE(FUZZ_REWIND, 1),
	  FUZZ_MAKE(FUZZ_POP, 2), FUZZ_MAKE(FUZZ_PUSH, 0),
	  FUZZ_MAKE(FUZZ_WRITE, 16), FUZZ_MAKE(FUZZ_POP, 3),
	  FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_REWIND, 31),
	  FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_SIGNAL, 0) },
	/* A device that left chains, and must have seen all before it sleeps. */
	{ FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_LOOK_ON),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_LOOK_ON), FUZZ_MAKE(FUZZ_NOTIFY, 0),
	  FUZZ_MAKE(FUZZ_POP, 31), FUZZ_MAKE(FUZZ_POP, 2),
	  FUZZ_MAKE(FUZZ_PUSH, 0), FUZZ_MAKE(FUZZ_REWIND, 1),
	  FUZZ_MAKE(FUZZ_WRITE, 31), FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_LOOK_ON),
	  FUZZ_MAKE(FUZZ_NO_NOTIFY, FUZZ_MOVED), FUZZ_MAKE(FUZZ_POP, 31) },
	/* A driver that publishes more than it was given back. */
	{ FUZZ_MAKE(FUZZ_POP, 0), FUZZ_MAKE(FUZZ_WRITE, 16),
	  FUZZ_MAKE(FUZZ_POP, 0), FUZZ_MAKE(FUZZ_WRITE, 16),
	  FUZZ_MAKE(FUZZ_POP, 0), FUZZ_MAKE(FUZZ_WRITE, 16),
	  FUZZ_MAKE(FUZZ_NOTIFY, 0), FUZZ_MAKE(FUZZ_REWIND, 31),
	  FUZZ_MAKE(FUZZ_POP, 31) },
};

static FILE *create(const char *target)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, target);
	if (mkdir(path, 0777) && errno != EEXIST) {
		perror(path);
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/%s/%02u.bin", dir, target, count++);
	file = fopen(path, "wb");
	if (!file) {
		perror(path);
		exit(1);
	}
	return file;
}

static void put(FILE *file, const void *what, size_t len)
{
	if (len && fwrite(what, len, 1, file) != 1) {
		perror("fwrite");
		exit(1);
	}
}

static u8 features_of(const struct mock_layout *lay)
{
	bool wrap = !(lay->start & MOCK_WRAP);

	return (lay->le ? FUZZ_LE : 0) |
	       (lay->event_idx ? FUZZ_EVENT_IDX | FUZZ_SIGNALLED : 0) |
	       (lay->tables ? FUZZ_INDIRECT : 0) |
	       (lay->in_order ? FUZZ_IN_ORDER : 0) |
	       (lay->packed && wrap ? FUZZ_AVAIL_WRAP | FUZZ_USED_WRAP : 0);
}

/* Memory for tables, up to the end of those at @tables, or as far as it goes. */
static void put_tables(FILE *file, const struct mock_layout *lay,
		       const struct mock_arena *mem, u64 tables)
{
	static const u8 none[4096];
	u32 skip = tables % FUZZ_TABLES;

	if (!lay->tables)
		return;
	put(file, none, min_t(u32, skip, sizeof(none)));
	put(file, mock_at(mem, tables, 16ull * lay->num * lay->tables),
	    min_t(u32, TABLES, 16 * lay->num * lay->tables));
}

/* The ring as it is now, for its own target and for the race. */
static void put_ring(const struct mock_layout *lay, const struct vd_plain *ring,
		     const struct mock_arena *mem, u64 tables, u32 how)
{
	struct fuzz_head h = {
		.num = lay->packed ? lay->num - 1 :
				     (u32)__builtin_ctz(lay->num),
		.features = features_of(lay),
		.last_avail = lay->packed ? lay->start & ~MOCK_WRAP :
					    lay->start,
		.ncalls = sizeof(serve[0]),
		.kind = (lay->packed ? FUZZ_PACKED : 0) |
			(how % 4 == 3 ? FUZZ_OUT_ONLY : 0),
	};
	u32 i, p;

	h.last_used = h.last_avail;
	h.signalled = h.last_avail | (lay->packed ? MOCK_WRAP : 0);
	for (i = 0; i < 2; i++) {
		FILE *file = create(i ? "race" : lay->packed ? "packed" :
							       "split");

		put(file, &h, sizeof(h));
		put(file, serve[how], sizeof(serve[how]));
		for (p = 0; p < VD_PARTS; p++)
			put(file, ring->part[p], lay->packed ?
			    vd_packed_part_size(p, lay->num) :
			    vd_split_part_size(p, lay->num, lay->event_idx));
		put_tables(file, lay, mem, tables);
		fclose(file);
	}
}

/* Chains of 1, 2 and 3 segments; every third in a table. */
static void add(struct mock_split *s, struct mock_packed *p, u32 n)
{
	struct vd_seg seg[3];
	u32 i, j;

	for (i = 0; i < n; i++) {
		u32 segs = 1 + i % 3, ring = segs;
		bool table = (s ? s->lay.tables : p->lay.tables) && i % 3 == 2;
		struct mock_chain c = { .seg = seg, .nr_out = segs / 2,
					.nr_in = segs - segs / 2 };

		for (j = 0; j < segs; j++)
			seg[j] = (struct vd_seg){ 0x1000 * i + j, 100 + j };
		c.direct = table ? 0 : ring;
		if (s)
			mock_add(s, &c);
		else
			mock_packed_add(p, &c);
	}
}

/* One thing wrong with descriptor 0: flags and length. */
static const struct { u16 flags; u32 len; u16 next; } wrong[] = {
	{ 0, 0, 0 }, { MOCK_F_NEXT, 1, 0 }, { MOCK_F_NEXT, 1, 999 },
	{ MOCK_F_NEXT | MOCK_F_WRITE, 1, 1 }, { MOCK_F_INDIRECT, 15, 0 },
	{ MOCK_F_INDIRECT, 0, 0 }, { MOCK_F_INDIRECT | MOCK_F_NEXT, 16, 1 },
	{ MOCK_F_INDIRECT, 0x2000, 0 },
};

#define WRONG	(sizeof(wrong) / sizeof(wrong[0]))

static void seed_split(const struct mock_layout *lay, u32 how, u32 bad)
{
	struct mock_arena mem;
	struct mock_split d;

	mock_arena_alloc(&mem, 1 << 16, GPA);
	mock_split_init(&d, &mem, lay);
	add(&d, NULL, lay->num);
	if (bad < WRONG)
		mock_raw_desc(&d, 0, d.tables, wrong[bad].len,
			      wrong[bad].flags, wrong[bad].next);
	mock_publish(&d);
	put_ring(lay, &d.ring, &mem, d.tables, how);
	mock_split_exit(&d);
	mock_arena_exit(&mem);
}

static void seed_packed(const struct mock_layout *lay, u32 how, u32 bad)
{
	struct mock_arena mem;
	struct mock_packed d;

	mock_arena_alloc(&mem, 1 << 16, GPA);
	mock_packed_init(&d, &mem, lay);
	add(NULL, &d, lay->num);
	mock_packed_publish(&d);
	if (bad < WRONG)
		mock_packed_raw_desc(&d, lay->start & ~MOCK_WRAP,
				     !(lay->start & MOCK_WRAP), d.tables,
				     wrong[bad].len, 77, wrong[bad].flags);
	put_ring(lay, &d.ring, &mem, d.tables, how);
	mock_packed_exit(&d);
	mock_arena_exit(&mem);
}

/*
 * Tables: linked in a row, in a loop, out of order, nested, too long; a packed
 * ring's, whose flags are last, and one of a device that only reads.
 */
static void seed_tables(void)
{
	static const u32 len[] = { 1, 2, 32, 33, 100 };
	u32 i, j, how;

	for (i = 0; i < 5; i++)
		for (how = 0; how < 7; how++) {
			u8 head[16] = { FUZZ_LE | (how > 4 ? FUZZ_IN_ORDER : 0) |
					(how == 6 ? FUZZ_EVENT_IDX : 0),
					how % 3, how % 2, 0 };
			u32 bytes = 16 * (how == 4 ? 1100 : len[i]);
			FILE *file = create("indirect");

			memcpy(head + 4, &bytes, 4);
			put(file, head, sizeof(head));
			for (j = 0; j < len[i]; j++) {
				bool end = j + 1 == len[i];
				u16 d[8] = { j, 1, 0, 0, 100, 0 };

				d[6] = (end && how != 1 ? 0 : MOCK_F_NEXT) |
				       (j > 2 || how % 2 ? MOCK_F_WRITE : 0) |
				       (end && how == 2 ? MOCK_F_INDIRECT : 0);
				d[7] = end ? how == 3 ? 9999 : 0 : j + 1;
				if (how > 4)
					d[7] = d[6];
				put(file, d, sizeof(d));
			}
			fclose(file);
		}
}

int main(int argc, char **argv)
{
	struct mock_layout lay = { 0 };
	u32 i;

	if (argc != 2) {
		fprintf(stderr, "usage: seed DIR\n");
		return 2;
	}
	dir = argv[1];
	for (i = 0; i < 24; i++) {
		lay = (struct mock_layout){
			.num = 1u << i % 5, .tables = i % 2 ? 4 : 0,
			.start = i * 21845, .salt = i * 999, .le = true,
			.event_idx = i % 3 == 0, .in_order = i % 4 == 1,
		};
		seed_split(&lay, i % 4, i - 8);
		lay.packed = true;
		lay.num = 1 + i;
		lay.start = i / 2 | (i % 2 ? MOCK_WRAP : 0);
		seed_packed(&lay, i % 4, i - 8);
	}
	seed_tables();
	for (i = 0; i < 2; i++) {
		lay = (struct mock_layout){
			.num = FUZZ_SLOTS, .tables = i ? 4 : 0, .packed = true,
			.start = 40 * i | (i ? 0 : MOCK_WRAP), .salt = i,
			.le = true, .event_idx = i,
		};
		seed_packed(&lay, 4, WRONG);
	}
	lay = (struct mock_layout){ .num = 1, .le = true };
	seed_split(&lay, 5, WRONG);
	return 0;
}

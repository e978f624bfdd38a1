// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rings full of nonsense against a reference that walks them the slow way:
 * the engine accepts a chain if and only if the reference does, and names a
 * reason that the reference allows.
 *
 * The reference knows a loop by its coming back to where it was, the engine by
 * counting. On its way round the engine may meet another fault first, so that
 * for a loop several answers are right, but never success.
 */
#include "random.h"
#include "rig.h"

#define CHAINS		2000000
#define TABLE		48

static struct rig r;
static struct random rnd;
static u64 counted[VD_REASONS];

#define BIT(reason)	(1u << (reason))
#define LOOP_ENDS	(BIT(VD_BAD_LOOP) | BIT(VD_BAD_ORDER) | \
			 BIT(VD_BAD_LONG))

/* What the reference makes of a chain: reasons, or else its buffers. */
struct verdict {
	u32 reasons;
	u32 visits;
	u32 n;
	u32 out;
	bool table;
	struct vd_seg seg[256];
};

struct raw_desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

/* One descriptor outside a table of tables; true if the chain goes on. */
static bool take(struct verdict *v, const struct raw_desc *d)
{
	bool write = d->flags & MOCK_F_WRITE;

	if (!write && v->n > v->out) {
		v->reasons = BIT(VD_BAD_ORDER);
		return false;
	}
	if (d->len) {
		v->seg[v->n++] = (struct vd_seg){ d->addr, d->len };
		v->out += !write;
	}
	return d->flags & MOCK_F_NEXT;
}

/* The fault of a descriptor that refers to a table, if any. */
static u32 bad_table(const struct raw_desc *d)
{
	if (!r.ring.indirect)
		return BIT(VD_BAD_INDIRECT_OFF);
	if (d->flags & MOCK_F_NEXT)
		return BIT(VD_BAD_INDIRECT_NEXT);
	if (!d->len || d->len % 16 || d->len > 16 * 65536)
		return BIT(VD_BAD_INDIRECT_LEN);
	return 0;
}

static void walk_ring(struct verdict *v, u32 at)
{
	const struct raw_desc *ring = (void *)r.drv.ring.part[VD_PART_DESC];
	bool seen[64] = { false };

	memset(v, 0, offsetof(struct verdict, seg));
	if (at >= r.ring.num) {
		v->reasons = BIT(VD_BAD_HEAD);
		return;
	}
	while (!seen[at]) {
		seen[at] = true;
		v->visits++;
		if (ring[at].flags & MOCK_F_INDIRECT) {
			v->reasons = bad_table(&ring[at]);
			v->table = !v->reasons;
			v->seg[v->n] = (struct vd_seg){ ring[at].addr,
							ring[at].len };
			return;
		}
		if (!take(v, &ring[at]))
			return;
		at = ring[at].next;
		if (at >= r.ring.num) {
			v->reasons = BIT(VD_BAD_NEXT);
			return;
		}
	}
	v->reasons = LOOP_ENDS;
	v->visits = ~0u;
}

/* Goes on from walk_ring() with the table that it ended in. */
static void walk_table(struct verdict *v)
{
	struct vd_seg where = v->seg[v->n];
	const struct raw_desc *t = mock_at(&r.mem, where.addr, where.len);
	bool seen[TABLE] = { false };
	u32 at = 0;

	if (!t) {
		v->reasons = BIT(VD_BAD_INDIRECT_READ);
		return;
	}
	while (!seen[at]) {
		seen[at] = true;
		if (t[at].flags & MOCK_F_INDIRECT) {
			v->reasons = BIT(VD_BAD_INDIRECT_NEST);
			return;
		}
		if (!take(v, &t[at]))
			return;
		at = t[at].next;
		if (at >= where.len / 16) {
			v->reasons = BIT(VD_BAD_NEXT);
			return;
		}
	}
	v->reasons = LOOP_ENDS;
}

static u16 some_flags(u32 indirect)
{
	return (random_chance(&rnd, 60) ? MOCK_F_NEXT : 0) |
	       (random_chance(&rnd, 25) ? MOCK_F_WRITE : 0) |
	       (random_chance(&rnd, indirect) ? MOCK_F_INDIRECT : 0) |
	       (random_chance(&rnd, 5) ? 0xfff8 : 0);
}

static u32 some_len(void)
{
	return random_chance(&rnd, 20) ? 0 : random_u64(&rnd);
}

/* Mostly inside @n, now and then anywhere. */
static u16 some_index(u32 n)
{
	return random_chance(&rnd, 97) ? random_below(&rnd, n) :
					 random_u64(&rnd);
}

static void scribble_table(u32 slot)
{
	u32 i, n = 1 + random_below(&rnd, TABLE);

	for (i = 0; i < TABLE; i++)
		mock_raw_entry(&r.drv, slot, i, random_u64(&rnd), some_len(),
			       some_flags(1), some_index(n));
}

static void scribble(void)
{
	u32 num = r.ring.num, i;

	for (i = 0; i < num; i++) {
		u16 flags = some_flags(10);
		u64 addr = random_u64(&rnd);
		u32 len = some_len();

		if (flags & MOCK_F_INDIRECT && random_chance(&rnd, 90)) {
			scribble_table(i);
			flags &= ~(random_chance(&rnd, 90) ? MOCK_F_NEXT : 0);
			addr = mock_table(&r.drv, i);
			len = 16 * (1 + random_below(&rnd, TABLE));
			len += random_chance(&rnd, 5) ? 8 : 0;
		} else if (flags & MOCK_F_INDIRECT) {
			len = random_below(&rnd, 0x80000) * 16;
		}
		mock_raw_desc(&r.drv, i, addr, len, flags, some_index(num));
		mock_raw_head(&r.drv, i, some_index(num));
	}
}

/* Chain @i of the burst is what the reference found; its table too. */
static void same(u32 i, struct verdict *v)
{
	struct vd_chain *c = &r.burst.chain[i];
	const struct vd_seg *seg = r.burst.seg + c->first;
	u32 k;
	int ret;

	CHECK_EQ(v->reasons, 0);
	CHECK_EQ(c->indirect, v->table);
	if (v->table) {
		walk_table(v);
		ret = rig_expand(&r, i);
		counted[-ret]++;
		if (v->reasons) {
			CHECK(ret < 0 && v->reasons & BIT(-ret));
			return;
		}
		if (!CHECK_EQ(ret, 0))
			return;
		seg = r.seg;
	}
	CHECK_EQ(c->nr_out, v->out);
	CHECK_EQ(c->nr_out + c->nr_in, v->n);
	for (k = 0; k < v->n; k++) {
		CHECK_EQ(seg[k].addr, v->seg[k].addr);
		CHECK_EQ(seg[k].len, v->seg[k].len);
	}
}

static u16 head_at(u16 idx)
{
	return word_load16(mock_avail(&r.drv, 4 + 2 * (idx %
						       r.ring.num)));
}

/* One pop of what is published; returns how many chains were disposed of. */
static u32 pop(u16 published)
{
	u16 first = r.ring.last_avail, left = published - first;
	struct verdict v;
	u32 visits = 0, i;
	int ret = vd_split_pop(&r.ring, &vd_plain_ops, &r.drv.ring, &r.burst,
			       VD_BURST);

	for (i = 0; (int)i < ret; i++) {
		walk_ring(&v, head_at(first + i));
		visits += v.visits;
		same(i, &v);
	}
	CHECK(visits <= VD_CHAIN_SEGS);
	counted[VD_OK] += i;
	if (i == left || i == VD_BURST)
		return i;
	walk_ring(&v, head_at(first + i));
	if (i) {
		CHECK(v.reasons || visits + v.visits > VD_CHAIN_SEGS);
		return i;
	}
	CHECK(ret < 0 && v.reasons & BIT(-ret));
	counted[ret < 0 ? -ret : 0]++;
	/* Past it, or the ring would stay there for good. */
	r.ring.last_avail++;
	return 1;
}

static void nonsense(void)
{
	u64 total = 0, want = random_env("VD_CHAINS", CHAINS), rings = 0;
	struct mock_layout lay = { .tables = TABLE, .le = true };
	u16 published;
	u32 i, n;

	random_seed(&rnd);
	while (total < want && !ktap_errors) {
		lay.num = 1u << random_below(&rnd, 7);
		lay.start = random_u64(&rnd);
		rig_open(&r, &lay);
		for (i = 0; i < 100 && !ktap_errors; i++) {
			r.ring.indirect = random_chance(&rnd, 90);
			scribble();
			n = random_below(&rnd, lay.num + 1);
			published = r.ring.last_avail + n;
			mock_raw_avail_idx(&r.drv, published);
			while (r.ring.last_avail != published && !ktap_errors)
				total += pop(published);
		}
		rings++;
		rig_close(&r);
	}
	printf("# %" PRIu64 " chains, %" PRIu64 " rings\n", total, rings);
}

/* A generator that never makes a fault tests nothing of it. */
static void every_fault_of_a_chain_came_up(void)
{
	static const enum vd_reason reason[] = {
		VD_OK, VD_BAD_HEAD, VD_BAD_NEXT, VD_BAD_LOOP, VD_BAD_ORDER,
		VD_BAD_INDIRECT_OFF, VD_BAD_INDIRECT_NEXT, VD_BAD_INDIRECT_LEN,
		VD_BAD_INDIRECT_NEST, VD_BAD_INDIRECT_READ,
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(reason); i++) {
		printf("# %8" PRIu64 " %s\n", counted[reason[i]],
		       vd_reason_name(reason[i]));
		CHECK(counted[reason[i]]);
	}
}

static const struct ktap_test tests[] = {
	TEST(nonsense),
	TEST(every_fault_of_a_chain_came_up),
};

KTAP_MAIN(tests)

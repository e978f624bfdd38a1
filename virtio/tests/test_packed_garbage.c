// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packed rings full of nonsense against a reference that walks them the slow
 * way, from what is in memory: the engine accepts a chain if and only if the
 * reference does, and for the same reason.
 */
#include "random.h"
#include "rig.h"

#define CHAINS		1000000
#define TABLE		48

static struct rig r;
static struct random rnd;
static u64 counted[VD_REASONS];

/* What the reference makes of a chain. */
struct verdict {
	enum vd_reason reason;
	u32 slots;
	u32 n;
	u32 out;
	u16 id;
	bool table;
	struct vd_seg seg[256];
};

struct raw_desc {
	u64 addr;
	u32 len;
	u16 id;
	u16 flags;
};

static const struct raw_desc *raw_at(u32 slot)
{
	return (const struct raw_desc *)r.plain->part[VD_PART_DESC] + slot;
}

/* One buffer; false if it is out of order. */
static bool take(struct verdict *v, const struct raw_desc *d, bool may_write)
{
	bool write = may_write && d->flags & MOCK_F_WRITE;

	if (!write && v->n > v->out) {
		v->reason = VD_BAD_ORDER;
		return false;
	}
	if (d->len) {
		v->seg[v->n++] = (struct vd_seg){ d->addr, d->len };
		v->out += !write;
	}
	return true;
}

/* The fault of a descriptor that refers to a table, if any. */
static enum vd_reason bad_table(const struct raw_desc *d, bool first)
{
	if (!r.ring.indirect)
		return VD_BAD_INDIRECT_OFF;
	if (d->flags & MOCK_F_NEXT)
		return VD_BAD_INDIRECT_NEXT;
	if (!d->len || d->len % 16 || d->len > 16 * 65536)
		return VD_BAD_INDIRECT_LEN;
	return first ? VD_OK : VD_BAD_INDIRECT_NEXT;
}

static void walk_ring(struct verdict *v, u32 slot)
{
	const struct raw_desc *d;

	memset(v, 0, offsetof(struct verdict, seg));
	do {
		if (v->slots == r.ring.num) {
			v->reason = VD_BAD_LOOP;
			return;
		}
		d = raw_at((slot + v->slots++) % r.ring.num);
		v->id = d->id;
		if (d->flags & MOCK_F_INDIRECT) {
			v->reason = bad_table(d, v->slots == 1);
			v->table = !v->reason;
			v->seg[v->n] = (struct vd_seg){ d->addr, d->len };
			return;
		}
	} while (take(v, d, true) && d->flags & MOCK_F_NEXT);
}

static void walk_table(struct verdict *v)
{
	struct vd_seg where = v->seg[v->n];
	const struct raw_desc *t = mock_at(&r.mem, where.addr, where.len);
	u32 i;

	if (!t) {
		v->reason = VD_BAD_INDIRECT_READ;
		return;
	}
	for (i = 0; i < where.len / 16; i++)
		if (!take(v, &t[i], !r.ring.out_only))
			return;
}

static u32 some_len(void)
{
	return random_chance(&rnd, 20) ? 0 : random_u64(&rnd);
}

static void scribble_table(u32 slot)
{
	u32 i, write = 0;

	for (i = 0; i < TABLE; i++) {
		write |= random_chance(&rnd, 10) ? MOCK_F_WRITE : 0;
		mock_packed_raw_entry(&r.pk, slot, i, random_u64(&rnd),
				      some_len(), random_u64(&rnd),
				      (random_u64(&rnd) & ~MOCK_F_WRITE) |
				      (random_chance(&rnd, 99) ? write : 0));
	}
}

/* A slot of the round that is being popped, or now and then of another. */
static void scribble_slot(u32 slot, bool wrap)
{
	u16 flags = (random_chance(&rnd, 40) ? MOCK_F_NEXT : 0) |
		    (random_chance(&rnd, 20) ? MOCK_F_WRITE : 0) |
		    (random_chance(&rnd, 15) ? MOCK_F_INDIRECT : 0) |
		    (random_chance(&rnd, 5) ? 0x7f78 : 0);
	u64 addr = random_u64(&rnd);
	u32 len = some_len();

	if (flags & MOCK_F_INDIRECT) {
		scribble_table(slot);
		flags &= ~(random_chance(&rnd, 90) ? MOCK_F_NEXT : 0);
		if (random_chance(&rnd, 90))
			addr = mock_packed_table(&r.pk, slot);
		len = 16 * (1 + random_below(&rnd, TABLE));
		len += random_chance(&rnd, 5) ? 8 : 0;
	}
	mock_packed_raw_desc(&r.pk, slot, wrap ^ random_chance(&rnd, 3), addr,
			     len, random_u64(&rnd), flags);
}

static void scribble(void)
{
	u32 num = r.ring.num, i, slot = r.ring.last_avail;
	bool wrap = r.ring.avail_wrap;

	for (i = 0; i < num; i++) {
		scribble_slot(slot, wrap);
		if (++slot == num) {
			slot = 0;
			wrap = !wrap;
		}
	}
}

/* Chain @i of the burst is what the reference found; its table too. */
static void same(u32 i, struct verdict *v)
{
	struct vd_chain *c = &r.burst.chain[i];
	const struct vd_seg *seg = r.burst.seg + c->first;
	u32 k;

	CHECK_EQ(v->reason, VD_OK);
	CHECK_EQ(c->slots, v->slots);
	CHECK_EQ(c->head, v->id);
	CHECK_EQ(c->indirect, v->table);
	if (v->table) {
		walk_table(v);
		k = -rig_expand(&r, i);
		CHECK_EQ(k, v->reason);
		counted[k]++;
		if (k)
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

static bool available(u32 slot, bool wrap)
{
	u16 flags = raw_at(slot)->flags;

	return !!(flags & MOCK_F_AVAIL) == wrap &&
	       !!(flags & MOCK_F_USED) == !wrap;
}

/* One pop; false if there is nothing more that can be popped. */
static bool pop(void)
{
	u32 slot = r.ring.last_avail, i;
	bool wrap = r.ring.avail_wrap;
	struct verdict v;
	int ret = vd_packed_pop(&r.ring, &vd_plain_ops, r.plain, &r.burst,
				1 + random_below(&rnd, 70));

	for (i = 0; (int)i < ret; i++) {
		CHECK(available(slot, wrap));
		walk_ring(&v, slot);
		same(i, &v);
		slot += v.slots;
		wrap ^= slot >= r.ring.num;
		slot %= r.ring.num;
	}
	CHECK_EQ(r.ring.last_avail, slot);
	CHECK_EQ(r.ring.avail_wrap, wrap);
	counted[VD_OK] += i;
	if (ret > 0)
		return true;
	CHECK_EQ(available(slot, wrap), ret < 0);
	if (ret < 0) {
		walk_ring(&v, slot);
		CHECK_EQ(-ret, v.reason);
		counted[-ret]++;
	}
	return false;
}

static void nonsense(void)
{
	u64 want = random_env("VD_CHAINS", CHAINS), rings = 0;
	struct mock_layout lay = { .tables = TABLE, .packed = true,
				   .le = true };
	u32 i;

	random_seed(&rnd);
	while (counted[VD_OK] < want && !ktap_errors) {
		lay.num = 1 + random_below(&rnd, 80);
		lay.start = random_u64(&rnd);
		rig_open(&r, &lay);
		for (i = 0; i < 100 && !ktap_errors; i++) {
			r.ring.indirect = random_chance(&rnd, 90);
			r.ring.out_only = random_chance(&rnd, 20);
			scribble();
			while (pop() && !ktap_errors)
				;
		}
		rings++;
		rig_close(&r);
	}
	printf("# %" PRIu64 " chains, %" PRIu64 " rings\n", counted[VD_OK],
	       rings);
}

/* A generator that never makes a fault tests nothing of it. */
static void every_fault_of_a_chain_came_up(void)
{
	static const enum vd_reason reason[] = {
		VD_OK, VD_BAD_LOOP, VD_BAD_ORDER, VD_BAD_INDIRECT_OFF,
		VD_BAD_INDIRECT_NEXT, VD_BAD_INDIRECT_LEN,
		VD_BAD_INDIRECT_READ,
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Honest drivers of all kinds against a model that knows what they meant: each
 * chain arrives once, in order and whole, however it was laid out; each comes
 * back once; and each side is woken exactly when the specification says so.
 *
 * The model counts in 64 bits and knows nothing of wraps. Chains are counted
 * in chains, and in what the ring counts in: in "slots", of which a chain of a
 * split ring takes one.
 */
#include "random.h"
#include "rig.h"

/* Of each kind of ring. Plain builds afford more than sanitized ones. */
#ifndef CHAINS
#define CHAINS		500000
#endif
#define MOST_SEGS	200
#define QUEUE		32768u

static struct rig r;
static struct random rnd;

struct chain {
	u64 key;
	u32 segs;
	u32 out;
	u32 slots;
};

struct count {
	u64 chains;
	u64 slots;
};

/* What the driver made available, by index; what the device holds of it. */
static struct {
	struct chain chain[QUEUE];
	struct count added;
	struct count published;
	struct count seen;
	struct count popped;
	struct count pushed;
	u64 signalled;		/* slots pushed at the last decision */
	u64 reaped;
	struct chain held[QUEUE];
	u16 id[QUEUE];
	u64 first_held;
	u32 nheld;
	u64 back[QUEUE];
	bool decided;
	bool seen_all;		/* or as much as @seen, and perhaps more */
	bool asked_kick;
	bool asked_interrupt;
} m;

static struct vd_seg seg_of(u64 key, u32 i)
{
	u64 x = random_mix(key * 1000003 + i);

	return (struct vd_seg){ x, x % 8 ? (u32)(x >> 20) | 1 : 0 };
}

/* What the device says that it wrote; often nothing. */
static u32 len_of(u64 key)
{
	return key % 8 < 5 ? 0 : (u32)key | 1;
}

static u32 some_segs(void)
{
	if (random_chance(&rnd, 1))
		return 1 + random_below(&rnd, MOST_SEGS);
	return 1 + random_below(&rnd, random_chance(&rnd, 10) ? 40 : 4);
}

static bool driver_add(void)
{
	struct vd_seg seg[MOST_SEGS];
	struct mock_chain c = { .seg = seg };
	u32 n = some_segs(), i;
	u64 key = random_u64(&rnd);
	int id;

	for (i = 0; i < n; i++)
		seg[i] = seg_of(key, i);
	c.nr_out = random_below(&rnd, n + 1);
	c.nr_in = n - c.nr_out;
	c.cookie = key;
	c.direct = n;
	if (r.ring.indirect && random_chance(&rnd, 50)) {
		c.direct = r.ring.packed || random_chance(&rnd, 50) ? 0 :
			   random_below(&rnd, n);
		c.shuffle = random_below(&rnd, 3);
	}
	id = r.ring.packed ? mock_packed_add(&r.pk, &c) : mock_add(&r.drv, &c);
	if (id < 0)
		return false;
	i = r.ring.packed && c.direct ? n : 1;
	m.chain[m.added.chains % QUEUE] =
		(struct chain){ key, n, c.nr_out, i };
	m.added.chains++;
	m.added.slots += i;
	return true;
}

static void driver_publish(void)
{
	bool kick;

	if (m.added.chains == m.published.chains)
		return;
	rig_publish(&r);
	m.published = m.added;
	kick = rig_need_kick(&r);
	/* A device that sleeps is woken. */
	CHECK(kick || !m.asked_kick);
	m.asked_kick = false;
}

static void driver_reap(u32 n)
{
	struct mock_done done;
	int ret;

	while (n--) {
		ret = rig_reap(&r, &done);
		if (!CHECK_EQ(ret, m.reaped < m.pushed.chains) || !ret)
			return;
		CHECK_EQ(done.cookie, m.back[m.reaped % QUEUE]);
		CHECK_EQ(done.len, len_of(done.cookie));
		CHECK(r.ring.in_order || !done.skipped);
		m.reaped++;
	}
}

/* Chain @i of the burst is the next one that the driver meant. */
static void compare(u32 i)
{
	struct chain *meant = &m.chain[(m.popped.chains + i) % QUEUE];
	struct vd_chain *c = &r.burst.chain[i];
	const struct vd_seg *seg = r.burst.seg + c->first;
	u32 j, k = 0, out = 0;

	CHECK_EQ(c->slots, meant->slots);
	if (c->indirect) {
		if (!CHECK_EQ(rig_expand(&r, i), 0))
			return;
		seg = r.seg;
	}
	for (j = 0; j < meant->segs; j++) {
		struct vd_seg want = seg_of(meant->key, j);

		if (!want.len)
			continue;
		CHECK_EQ(seg[k].addr, want.addr);
		CHECK_EQ(seg[k].len, want.len);
		out += j < meant->out;
		k++;
	}
	CHECK_EQ(c->nr_out, out);
	CHECK_EQ(c->nr_out + c->nr_in, k);
}

/* A split ring's index tells of all; a packed ring is seen slot by slot. */
static void saw(u32 wanted, u32 got, const struct count *popped)
{
	if (r.ring.packed ? got < wanted :
	    m.seen.chains - m.popped.chains < wanted) {
		/* Unless it was room that ended the burst. */
		m.seen_all = !r.ring.packed ||
			     popped->chains == m.published.chains;
		m.seen = m.seen_all ? m.published : *popped;
	} else if (m.seen.chains < popped->chains) {
		m.seen = *popped;
		m.seen_all = true;
	}
}

static void device_keep(u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		u32 at = (m.first_held + m.nheld++) % QUEUE;

		m.held[at] = m.chain[m.popped.chains++ % QUEUE];
		m.id[at] = r.burst.chain[i].head;
		m.popped.slots += m.held[at].slots;
	}
}

static void device_pop(void)
{
	u32 max = 1 + random_below(&rnd, 70), due, i;
	struct count popped = m.popped;
	int ret = r.ring.packed ?
		vd_packed_pop(&r.ring, &vd_plain_ops, r.plain, &r.burst, max) :
		vd_split_pop(&r.ring, &vd_plain_ops, r.plain, &r.burst, max);

	max = min_t(u32, max, VD_BURST);
	for (i = 0; (int)i < ret; i++) {
		compare(i);
		popped.slots += r.burst.chain[i].slots;
	}
	popped.chains += i;
	saw(max, i, &popped);
	due = min_t(u64, (r.ring.packed ? m.published : m.seen).chains -
			 m.popped.chains, max);
	/* Fewer only if the next would not have fitted. */
	if (ret < 0 || (u32)ret > due || !due != !ret)
		CHECK_EQ(ret, due);
	else if ((u32)ret < due)
		CHECK(r.burst.nsegs + m.chain[popped.chains % QUEUE].segs +
		      2 * ret > VD_CHAIN_SEGS / 2);
	if (ktap_errors)
		return;
	if (ret && random_chance(&rnd, 20)) {
		i = random_below(&rnd, ret + 1);
		rig_rewind(&r, i);
		ret -= i;
	}
	device_keep(ret);
}

/* Gives back some of what is held, in an order of its own if it may. */
static void device_push(void)
{
	u32 n = random_below(&rnd, min_t(u32, m.nheld, 100) + 1), i, j, k;
	struct vd_used elem[100];
	u16 slots[100];

	if (!n)
		return;
	for (i = 0; i < n; i++) {
		struct chain c;

		k = m.first_held % QUEUE;
		j = r.ring.in_order ? k :
		    (m.first_held + random_below(&rnd, m.nheld)) % QUEUE;
		c = m.held[j];
		elem[i] = vd_used_elem(&r.ring, m.id[j], len_of(c.key));
		slots[i] = c.slots;
		m.held[j] = m.held[k];
		m.id[j] = m.id[k];
		m.first_held++;
		m.nheld--;
		m.back[m.pushed.chains++ % QUEUE] = c.key;
		m.pushed.slots += c.slots;
	}
	CHECK_EQ(r.ring.packed ?
		 vd_packed_push(&r.ring, &vd_plain_ops, r.plain, elem, slots,
				n) :
		 vd_split_push(&r.ring, &vd_plain_ops, r.plain, elem, n), 0);
}

/* How the ring writes down what the model counts as @slot. */
static u16 event_of(u64 slot)
{
	u32 num = r.ring.num, at;

	if (!r.ring.packed)
		return r.drv.lay.start + slot;
	at = r.pk.lay.start % MOCK_WRAP % num;
	at += r.pk.lay.start & MOCK_WRAP ? num : 0;
	at = (at + slot) % (2 * num);
	return at % num | (at < num ? MOCK_WRAP : 0);
}

/* By counting: is the event among the slots since? So far back it is unknown. */
static bool event_passed(u16 event)
{
	u64 i, lost = r.ring.packed ? 2 * r.ring.num : 65536;

	if (!m.decided || m.pushed.slots - m.signalled >= lost)
		return true;
	for (i = m.signalled; i < m.pushed.slots; i++)
		if (event_of(i) == event)
			return true;
	return false;
}

/* Sections 2.7.7.1 and 2.8.10. */
static bool must_signal(void)
{
	u16 flags;

	if (r.ring.packed) {
		flags = word_load16(r.plain->part[VD_PART_AVAIL] + 2);
		if (flags == MOCK_EVENT_DESC && r.ring.event_idx)
			return event_passed(word_load16(r.plain->part
							[VD_PART_AVAIL]));
		return flags != MOCK_EVENT_DISABLE;
	}
	if (r.ring.notify_on_empty && m.seen.chains == m.popped.chains)
		return true;
	if (!r.ring.event_idx)
		return !(word_load16(mock_avail(&r.drv, 0)) & 1);
	return event_passed(word_load16(mock_used_event(&r.drv)));
}

static void device_signal(void)
{
	bool must = must_signal();
	bool decided = r.ring.packed || (r.ring.event_idx &&
		!(r.ring.notify_on_empty && m.seen.chains == m.popped.chains));
	int ret = r.ring.packed ?
		vd_packed_need_signal(&r.ring, &vd_plain_ops, r.plain) :
		vd_split_need_signal(&r.ring, &vd_plain_ops, r.plain);

	CHECK_EQ(ret, must);
	/* A driver that sleeps is woken by the first element since. */
	CHECK(ret || !m.asked_interrupt || m.pushed.chains == m.reaped);
	if (ret)
		m.asked_interrupt = false;
	if (decided) {
		m.signalled = m.pushed.slots;
		m.decided = true;
	}
}

static void device_notify(void)
{
	int ret;

	if (random_chance(&rnd, 50)) {
		if (r.ring.packed || !r.ring.event_idx)
			m.asked_kick = false;
		ret = r.ring.packed ?
			vd_packed_no_notify(&r.ring, &vd_plain_ops, r.plain) :
			vd_split_no_notify(&r.ring, &vd_plain_ops, r.plain);
		CHECK_EQ(ret, 0);
		return;
	}
	ret = r.ring.packed ?
		vd_packed_notify(&r.ring, &vd_plain_ops, r.plain) :
		vd_split_notify(&r.ring, &vd_plain_ops, r.plain);
	if (m.seen_all)
		CHECK_EQ(ret, m.published.chains != m.seen.chains);
	/* A look at the slot that is asked for takes nothing into account. */
	if (!r.ring.packed)
		m.seen = m.published;
	m.asked_kick = !ret;
}

/* Any place that an honest driver may ask for, or one long gone. */
static void driver_asks_anywhere(void)
{
	u64 slot = m.pushed.slots + random_below(&rnd, 20);
	u16 event = event_of(slot - min_t(u64, slot, random_below(&rnd, 20)));

	if (r.ring.packed)
		mock_packed_raw_event(&r.pk, event, random_below(&rnd, 3));
	else if (r.ring.event_idx)
		mock_raw_used_event(&r.drv, event);
	else
		mock_raw_avail_flags(&r.drv, random_below(&rnd, 2));
	m.asked_interrupt = false;
}

static void driver_interrupt(void)
{
	if (random_chance(&rnd, 30)) {
		driver_asks_anywhere();
		return;
	}
	if (random_chance(&rnd, 50)) {
		if (r.ring.packed || !r.ring.event_idx)
			m.asked_interrupt = false;
		rig_no_interrupt(&r);
		return;
	}
	CHECK_EQ(rig_want_interrupt(&r), m.pushed.chains != m.reaped);
	/* An index that was passed before the last decision is past. */
	m.asked_interrupt = m.pushed.chains == m.reaped;
}

static void step(void)
{
	u32 n;

	switch (random_below(&rnd, 7)) {
	case 0:
		for (n = random_below(&rnd, 100); n && driver_add(); n--)
			;
		break;
	case 1:
		driver_publish();
		break;
	case 2:
		driver_reap(random_below(&rnd, 100));
		break;
	case 3:
		device_pop();
		break;
	case 4:
		device_push();
		if (random_chance(&rnd, 80))
			device_signal();
		break;
	case 5:
		device_notify();
		break;
	case 6:
		driver_interrupt();
		break;
	}
}

static void open_any_ring(bool packed, bool in_order)
{
	struct mock_layout lay = {
		.num = 1u << random_below(&rnd, 11),
		.start = random_u64(&rnd),
		.salt = random_u64(&rnd),
		.packed = packed,
		.in_order = in_order,
		.event_idx = random_chance(&rnd, 50),
		.tables = random_chance(&rnd, 50) ? MOST_SEGS : 0,
		.le = packed || random_chance(&rnd, 80),
		.offset = { 16 * random_below(&rnd, 256),
			    2 * random_below(&rnd, 2048),
			    4 * random_below(&rnd, 1024) },
	};

	if (packed) {
		lay.num = 1 + random_below(&rnd, lay.num);
		lay.offset[VD_PART_AVAIL] &= ~3u;
	}
	memset(&m, 0, sizeof(m));
	m.seen_all = true;
	rig_open(&r, &lay);
	r.ring.notify_on_empty = !packed && random_chance(&rnd, 20);
}

static void traffic(bool packed, bool in_order)
{
	u64 total = 0, want = random_env("VD_CHAINS", CHAINS), some, rings = 0;

	random_seed(&rnd);
	while (total < want && !ktap_errors) {
		open_any_ring(packed, in_order);
		/* Some rings live long enough for the indices to wrap. */
		some = random_chance(&rnd, 3) ? 100000 : 2000;
		while (m.popped.chains < some && !ktap_errors &&
		       total + m.popped.chains < want)
			step();
		total += m.popped.chains;
		rings++;
		if (ktap_errors)
			printf("# ring %" PRIu64 ": num %u event %d\n", rings,
			       r.ring.num, r.ring.event_idx);
		rig_close(&r);
	}
	printf("# %" PRIu64 " chains, %" PRIu64 " rings\n", total, rings);
}

static void split(void)
{
	traffic(false, false);
}

static void split_in_order(void)
{
	traffic(false, true);
}

static void packed(void)
{
	traffic(true, false);
}

static void packed_in_order(void)
{
	traffic(true, true);
}

static const struct ktap_test tests[] = {
	TEST(split),
	TEST(split_in_order),
	TEST(packed),
	TEST(packed_in_order),
};

KTAP_MAIN(tests)

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Honest drivers of all kinds against a model that knows what they meant: each
 * chain arrives once, in order and whole, however it was laid out; each comes
 * back once; and each side is woken exactly when the specification says so.
 *
 * The model counts in 64 bits and knows nothing of wraps.
 */
#include "random.h"
#include "rig.h"

#define CHAINS		3000000
#define MOST_SEGS	200
#define QUEUE		32768u

static struct rig r;
static struct random rnd;

/* What the driver made available, by index; what the device holds of it. */
static struct {
	u64 key[QUEUE];
	u32 segs[QUEUE];
	u32 out[QUEUE];
	u64 added;
	u64 published;
	u64 seen;
	u64 popped;
	u64 signalled;
	u64 pushed;
	u64 reaped;
	u16 held[QUEUE];
	u64 held_key[QUEUE];
	u32 nheld;
	u64 back[QUEUE];
	bool asked_kick;
	bool asked_interrupt;
} m;

static struct vd_seg seg_of(u64 key, u32 i)
{
	u64 x = random_mix(key * 1000003 + i);

	return (struct vd_seg){ x, x % 8 ? (u32)(x >> 20) | 1 : 0 };
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
	u32 n = some_segs(), at = m.added % QUEUE, i;
	u64 key = random_u64(&rnd);

	for (i = 0; i < n; i++)
		seg[i] = seg_of(key, i);
	c.nr_out = random_below(&rnd, n + 1);
	c.nr_in = n - c.nr_out;
	c.cookie = key;
	c.direct = n;
	if (r.drv.lay.tables && random_chance(&rnd, 50)) {
		c.direct = random_chance(&rnd, 50) ? 0 : random_below(&rnd, n);
		c.shuffle = random_below(&rnd, 3);
	}
	if (mock_add(&r.drv, &c) < 0)
		return false;
	m.key[at] = key;
	m.segs[at] = n;
	m.out[at] = c.nr_out;
	m.added++;
	return true;
}

static void driver_publish(void)
{
	bool kick;

	if (m.added == m.published)
		return;
	mock_publish(&r.drv);
	m.published = m.added;
	kick = mock_need_kick(&r.drv);
	/* A device that sleeps is woken. */
	CHECK(kick || !m.asked_kick);
	m.asked_kick = false;
}

static void driver_reap(u32 n)
{
	struct mock_done done;
	int ret;

	while (n--) {
		ret = mock_reap(&r.drv, &done);
		if (!CHECK_EQ(ret, m.reaped < m.pushed) || !ret)
			return;
		CHECK_EQ(done.cookie, m.back[m.reaped % QUEUE]);
		CHECK_EQ(done.len, (u32)done.cookie);
		m.reaped++;
	}
}

/* Chain @i of the burst is the next one that the driver meant. */
static void compare(u32 i)
{
	struct vd_chain *c = &r.burst.chain[i];
	const struct vd_seg *seg = r.burst.seg + c->first;
	u32 at = (m.popped + i) % QUEUE, j, k = 0, out = 0;

	if (c->indirect) {
		if (!CHECK_EQ(rig_expand(&r, i), 0))
			return;
		seg = r.seg;
	}
	for (j = 0; j < m.segs[at]; j++) {
		struct vd_seg want = seg_of(m.key[at], j);

		if (!want.len)
			continue;
		CHECK_EQ(seg[k].addr, want.addr);
		CHECK_EQ(seg[k].len, want.len);
		out += j < m.out[at];
		k++;
	}
	CHECK_EQ(c->nr_out, out);
	CHECK_EQ(c->nr_out + c->nr_in, k);
}

static void device_pop(void)
{
	u32 max = 1 + random_below(&rnd, 70), known = m.seen - m.popped, i;
	int ret = vd_split_pop(&r.ring, &vd_plain_ops, &r.drv.ring, &r.burst,
			       max);

	max = min_t(u32, max, VD_BURST);
	if (known < max)
		m.seen = m.published;
	known = min_t(u64, m.seen - m.popped, max);
	if (ret < 0 || !CHECK((u32)ret <= known) || !CHECK(!known == !ret)) {
		CHECK_EQ(ret, known);
		return;
	}
	/* Fewer only if the next would not have fitted. */
	if ((u32)ret < known)
		CHECK(r.burst.nsegs + m.segs[(m.popped + ret) % QUEUE] +
		      2 * ret > VD_CHAIN_SEGS / 2);
	for (i = 0; i < (u32)ret; i++)
		compare(i);
	if (ret && random_chance(&rnd, 20)) {
		i = random_below(&rnd, ret + 1);
		vd_split_rewind(&r.ring, i);
		ret -= i;
	}
	for (i = 0; i < (u32)ret; i++) {
		m.held[m.nheld] = r.burst.chain[i].head;
		m.held_key[m.nheld++] = m.key[(m.popped + i) % QUEUE];
	}
	m.popped += ret;
}

/* Gives back some of what is held, in an order of its own. */
static void device_push(void)
{
	u32 n = random_below(&rnd, min_t(u32, m.nheld, 100) + 1), i, j;
	struct vd_used elem[100];

	for (i = 0; i < n; i++) {
		j = random_below(&rnd, m.nheld);
		elem[i] = vd_used_elem(&r.ring, m.held[j], m.held_key[j]);
		m.back[(m.pushed + i) % QUEUE] = m.held_key[j];
		m.held[j] = m.held[--m.nheld];
		m.held_key[j] = m.held_key[m.nheld];
	}
	CHECK_EQ(vd_split_push(&r.ring, &vd_plain_ops, &r.drv.ring, elem, n),
		 0);
	m.pushed += n;
}

/* Section 2.7.7.1 by counting: is the event among the indices since? */
static bool must_signal(void)
{
	u16 event;
	u64 i;

	if (r.ring.notify_on_empty && m.seen == m.popped)
		return true;
	if (!r.ring.event_idx)
		return !(word_load16(mock_avail(&r.drv, 0)) & 1);
	event = word_load16(mock_used_event(&r.drv));
	for (i = m.signalled; i < m.pushed; i++)
		if ((u16)(r.drv.lay.start + i) == event)
			return true;
	return false;
}

static void device_signal(void)
{
	bool must = must_signal(), first = r.ring.event_idx &&
					   !r.ring.signalled_valid;
	bool decided = !(r.ring.notify_on_empty && m.seen == m.popped);
	int ret = vd_split_need_signal(&r.ring, &vd_plain_ops, &r.drv.ring);

	CHECK_EQ(ret, must || first);
	/* A driver that sleeps is woken by the first element since. */
	CHECK(ret || !m.asked_interrupt || m.pushed == m.reaped);
	if (ret)
		m.asked_interrupt = false;
	if (decided && r.ring.event_idx)
		m.signalled = m.pushed;
}

static void device_notify(void)
{
	int ret;

	if (random_chance(&rnd, 50)) {
		if (!r.ring.event_idx)
			m.asked_kick = false;
		CHECK_EQ(vd_split_no_notify(&r.ring, &vd_plain_ops,
					    &r.drv.ring), 0);
		return;
	}
	ret = vd_split_notify(&r.ring, &vd_plain_ops, &r.drv.ring);
	CHECK_EQ(ret, m.published != m.seen);
	m.seen = m.published;
	m.asked_kick = !ret;
}

static void driver_interrupt(void)
{
	if (random_chance(&rnd, 50)) {
		if (!r.ring.event_idx)
			m.asked_interrupt = false;
		mock_no_interrupt(&r.drv);
		return;
	}
	CHECK_EQ(mock_want_interrupt(&r.drv), m.pushed != m.reaped);
	/* An index that was passed before the last decision is past. */
	m.asked_interrupt = m.pushed == m.reaped;
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

static void open_any_ring(void)
{
	struct mock_layout lay = {
		.num = 1u << random_below(&rnd, 11),
		.start = random_u64(&rnd),
		.event_idx = random_chance(&rnd, 50),
		.tables = random_chance(&rnd, 50) ? MOST_SEGS : 0,
		.le = random_chance(&rnd, 80),
		.offset = { 16 * random_below(&rnd, 256),
			    2 * random_below(&rnd, 2048),
			    4 * random_below(&rnd, 1024) },
	};

	memset(&m, 0, sizeof(m));
	rig_open(&r, &lay);
	r.ring.notify_on_empty = random_chance(&rnd, 20);
}

static void honest_traffic(void)
{
	u64 total = 0, want = random_env("VD_CHAINS", CHAINS), some, rings = 0;

	random_seed(&rnd);
	while (total < want && !ktap_errors) {
		open_any_ring();
		/* Some rings live long enough for the indices to wrap. */
		some = random_chance(&rnd, 10) ? 100000 : 5000;
		while (m.popped < some && total + m.popped < want &&
		       !ktap_errors)
			step();
		total += m.popped;
		rings++;
		if (ktap_errors)
			printf("# ring %" PRIu64 ": num %u start %u event %d\n",
			       rings, r.ring.num, r.drv.lay.start,
			       r.ring.event_idx);
		rig_close(&r);
	}
	printf("# %" PRIu64 " chains, %" PRIu64 " rings\n", total, rings);
}

static const struct ktap_test tests[] = {
	TEST(honest_traffic),
};

KTAP_MAIN(tests)

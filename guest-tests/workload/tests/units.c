// SPDX-License-Identifier: GPL-2.0-only
/* Payloads, histograms, sizes, frames and rates: without a network. KTAP. */
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "histogram.h"
#include "pace.h"
#include "payload.h"
#include "sizes.h"
#include "test.h"
#include "units.h"

uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void test_payloads(void)
{
	static const size_t lengths[] = { 18, 19, 25, 26, 27, 60, 1472, 8972, PAYLOAD_MAX };
	static uint8_t at[PAYLOAD_MAX + 1];
	struct payload p = { .number = UINT32_MAX, .flow = FLOWS_MAX - 1, .session = 255, .stamp = (1ull << 56) - 1 };
	struct payload q;
	size_t i;

	t_begin("payloads of any length are read as they were written");
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		payload_build(at, lengths[i], &p);
		CHECK(payload_parse(at, lengths[i], &q));
		CHECK_EQ(q.number, p.number);
		CHECK_EQ(q.flow, p.flow);
		CHECK_EQ(q.session, p.session);
		CHECK_EQ(q.stamp, p.stamp);
		CHECK_EQ(q.kind, PAYLOAD_DATA);
	}
	t_end();

	t_begin("control payloads, too");
	p = (struct payload){ .kind = PAYLOAD_END, .flow = 7, .total = 1ull << 40, .clock = ~0ull, .flows = 9 };
	payload_build(at, PAYLOAD_CONTROL, &p);
	CHECK(payload_parse(at, PAYLOAD_CONTROL, &q));
	CHECK_EQ(q.kind, PAYLOAD_END);
	CHECK_EQ(q.total, p.total);
	CHECK_EQ(q.clock, p.clock);
	CHECK_EQ(q.flows, 9);
	t_end();
}

static void test_corruption(void)
{
	struct payload p = { .number = 5, .flow = 3 }, q;
	uint8_t at[600], other[600];
	char blame[128];
	size_t length, bit;

	t_begin("each flipped bit is found");
	for (length = PAYLOAD_MIN; length <= 100; length++) {
		payload_build(at, length, &p);
		for (bit = 0; bit < length * 8; bit++) {
			at[bit / 8] ^= 1 << bit % 8;
			CHECK(!payload_parse(at, length, &q));
			at[bit / 8] ^= 1 << bit % 8;
		}
	}
	t_end();

	t_begin("what is cut short, grown, of two packets or empty is found");
	payload_build(at, 600, &p);
	CHECK(!payload_parse(at, 599, &q));
	CHECK(!payload_parse(at, PAYLOAD_MIN, &q));
	payload_build(at, 500, &p);
	at[500] = 0;
	CHECK(!payload_parse(at, 501, &q));
	p.number = 6;
	payload_build(other, 500, &p);
	CHECK(memcmp(at + PAYLOAD_MIN, other + PAYLOAD_MIN, 8));
	memcpy(at + 256, other + 256, 244);
	CHECK(!payload_parse(at, 500, &q));
	memset(at, 0, sizeof(at));
	CHECK(!payload_parse(at, 500, &q));
	CHECK(!payload_parse(at, 0, &q));
	t_end();

	t_begin("the first bad byte is named");
	payload_build(other, 500, &p);
	other[321] ^= 0x10;
	payload_blame(other, 500, blame, sizeof(blame));
	CHECK(strstr(blame, "flow 3, number 6, 500 bytes: byte 321 is"));
	other[321] ^= 0x10;
	other[12] ^= 1;
	payload_blame(other, 500, blame, sizeof(blame));
	CHECK(strstr(blame, "in its head"));
	t_end();

	t_begin("stamps wrap");
	CHECK_EQ(payload_since(5, (1ull << 56) - 5), 10);
	CHECK_EQ(payload_since((1ull << 56) - 5, 5), -10);
	CHECK_EQ(payload_since(1ull << 60, (1ull << 60) - 77), 77);
	t_end();
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_histograms(void)
{
	static const double shares[] = { 0.001, 0.5, 0.9, 0.99, 0.999, 0.99999, 1 };
	enum { N = 100000 };
	static uint64_t value[N];
	static struct histogram h, half;
	double wanted;
	size_t i;

	t_begin("a percentile is at most 1/128 above the truth, never below");
	for (i = 0; i < N; i++) {
		value[i] = rnd() >> (24 + rnd() % 40);
		histogram_add(i % 3 ? &h : &half, value[i]);
	}
	histogram_merge(&h, &half);
	qsort(value, N, sizeof(value[0]), by_value);
	CHECK_EQ(h.count, N);
	CHECK_EQ(h.min, value[0]);
	CHECK_EQ(h.max, value[N - 1]);
	for (i = 0; i < ARRAY_SIZE(shares); i++) {
		wanted = shares[i] * N;
		uint64_t exact = value[(uint64_t)wanted + ((uint64_t)wanted < wanted) - 1];
		uint64_t found = histogram_share(&h, shares[i]);

		CHECK(found >= exact);
		CHECK(found - exact <= exact / 128);
	}
	t_end();

	t_begin("each power of two and its neighbours have their cell");
	for (i = 0; i < HISTOGRAM_TOP; i++) {
		uint64_t around[] = { (1ull << i) - 1, 1ull << i, (1ull << i) + 1 };
		size_t j;

		for (j = 0; j < 3; j++) {
			memset(&h, 0, sizeof(h));
			histogram_add(&h, around[j]);
			histogram_add(&h, UINT64_MAX);
			CHECK(histogram_share(&h, 0.5) >= around[j]);
			CHECK(histogram_share(&h, 0.5) - around[j] <= around[j] / 128);
			CHECK(histogram_share(&h, 1) == UINT64_MAX);
		}
	}
	t_end();

	t_begin("an empty one has no percentile");
	memset(&h, 0, sizeof(h));
	CHECK_EQ(histogram_share(&h, 0.5), 0);
	histogram_merge(&h, &half);
	CHECK_EQ(h.min, half.min);
	t_end();
}

static void test_sizes(void)
{
	unsigned int i, seen[3] = { 0 }, run = 0, longest = 0;
	static const char *const wrong[] = {
		"", "x", "60:", "60:0", "59", "1515", "60:7,", "60:1025", "60:1000,61:1000", "60:-1", "-60", "60;2" };
	struct sizes s;

	t_begin("imix is 7 to 4 to 1, spread evenly");
	CHECK(!sizes_parse(&s, "imix", 60, 1514));
	CHECK_EQ(s.max, 1514);
	for (i = 0; i < 12000; i++) {
		uint32_t bytes = sizes_at(&s, i);

		seen[bytes == 60 ? 0 : bytes == 590 ? 1 : 2]++;
		run = bytes == 60 ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	CHECK_EQ(seen[0], 7000);
	CHECK_EQ(seen[1], 4000);
	CHECK_EQ(seen[2], 1000);
	CHECK(longest <= 2);
	CHECK(!sizes_parse(&s, "imix", 80, 1514));
	CHECK_EQ(sizes_at(&s, 0), 80);
	CHECK(sizes_parse(&s, "60:7,590:4,1514:1", 80, 1514));
	t_end();

	t_begin("one size, a mix of one's own, and what is refused");
	CHECK(!sizes_parse(&s, "1000", 60, 1514));
	CHECK_EQ(sizes_at(&s, 12345), 1000);
	CHECK(!sizes_parse(&s, "60:3,1514:1", 60, 1514));
	CHECK_EQ(s.slots, 4);
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		if (!CHECK(sizes_parse(&s, wrong[i], 60, 1514)))
			t_diag("taken: %s", wrong[i]);
	t_end();
}

static void a_way(struct frame_way *way, bool six)
{
	const char *from = six ? "fd00::1" : "10.0.0.1", *to = six ? "fd00:1:2:3:4:5:6:7" : "10.0.0.2";
	uint32_t scope = 0;

	*way = (struct frame_way){ .to_port = htons(7700), .from_port = htons(20001) };
	CHECK(frame_mac(way->to_mac, "02:00:00:00:00:fe"));
	CHECK(frame_mac(way->from_mac, "52:54:00:77:00:02"));
	CHECK(address_parse(&way->from, &scope, from, strlen(from)));
	CHECK(address_parse(&way->to, &scope, to, strlen(to)));
}

static void test_frames(void)
{
	struct frame_way way, back, found;
	uint8_t frame[128];
	const uint8_t *at;
	size_t length, bit;
	int six;

	t_begin("frames of both families are read as they were written, padded ones, too");
	CHECK(!frame_mac(way.from_mac, "52:54:00:77:00"));
	CHECK(!frame_mac(way.from_mac, "52:54:00:77:00:02:03"));
	for (six = 0; six < 2; six++) {
		size_t head = frame_head(six), all = six ? 90 : 60;

		a_way(&way, six);
		memset(frame, 0x5a, sizeof(frame));
		frame_build(frame, &way, 10, true);
		at = frame_parse(frame, all, six, &found, &length);
		CHECK(at == frame + head);
		CHECK_EQ(length, 10);
		CHECK(!memcmp(&found.to, &way.to, 16) && !memcmp(&found.from, &way.from, 16));
		CHECK_EQ(found.from_port, way.from_port);
		CHECK(at && frame_summed(&found, at, length));
		back = frame_back(&found);
		CHECK(!memcmp(&back.to, &way.from, 16));
		CHECK_EQ(back.to_port, way.from_port);
		CHECK(!memcmp(back.to_mac, way.from_mac, 6) && !memcmp(back.from_mac, way.to_mac, 6));
		/* Of the other family, and cut anywhere. */
		CHECK(!frame_parse(frame, all, !six, &found, &length));
		for (all = 0; all < head + 10; all++)
			CHECK(!frame_parse(frame, all, six, &found, &length));
	}
	t_end();

	t_begin("each flipped bit of an IP header is found");
	a_way(&way, false);
	frame_build(frame, &way, 10, true);
	for (bit = 14 * 8; bit < 34 * 8; bit++) {
		frame[bit / 8] ^= 1 << bit % 8;
		CHECK(!frame_parse(frame, 60, false, &found, &length));
		frame[bit / 8] ^= 1 << bit % 8;
	}
	t_end();
}

/* As RFC 8200, section 8.1 says, by 16 bits at a time with all carries at the end. */
static uint16_t sum_of(const uint8_t *frame, size_t payload)
{
	uint64_t total = 8 + payload + 17;
	size_t i;

	for (i = 22; i < 62 + payload; i++)
		total += i % 2 ? frame[i] : frame[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

static void test_sums(void)
{
	struct frame_way way, found;
	static uint8_t frame[62 + 1600];
	const uint8_t *at;
	size_t length, bit, i;

	t_begin("the checksum over IPv6's pseudo header is right for any payload, odd ones, too, and never zero");
	for (i = 0; i < 70000; i++) {
		/* Each value of a word once: one of them makes the sum zero. */
		size_t payload = i < 65536 ? 20 : i % 1600;

		a_way(&way, true);
		if (i >= 65536)
			for (bit = 0; bit < payload; bit++)
				frame[62 + bit] = rnd();
		if (payload > 2)
			memcpy(frame + 62, &i, 2);
		frame_build(frame, &way, payload, true);
		CHECK_EQ(sum_of(frame, payload), 0xffff);
		CHECK(frame[60] || frame[61]);
	}
	t_end();

	t_begin("each flipped bit of addresses, ports, lengths, payload is found by it; none is none");
	a_way(&way, true);
	frame_build(frame, &way, 33, true);
	/* Traffic class, flow label and hop limit aren't covered. */
	for (bit = 18 * 8; bit < (62 + 33) * 8; bit++) {
		if (bit / 8 == 21)
			continue;
		frame[bit / 8] ^= 1 << bit % 8;
		at = frame_parse(frame, 62 + 33, true, &found, &length);
		CHECK(!at || !frame_summed(&found, at, length));
		frame[bit / 8] ^= 1 << bit % 8;
	}
	frame_build(frame, &way, 33, false);
	CHECK(!frame[60] && !frame[61]);
	at = frame_parse(frame, 62 + 33, true, &found, &length);
	CHECK(at && frame_summed(&found, at, length));
	t_end();
}

/* Nothing beyond its end is read (-asan), and what is found is inside. */
static void test_noise(void)
{
	struct frame_way way, found;
	size_t all, i, length, at_least;
	uint8_t *frame;
	const uint8_t *at;
	bool six;

	t_begin("300,000 frames with any bytes changed and of any length: what is found is inside of them");
	for (i = 0; i < 300000; i++) {
		six = i % 2;
		at_least = frame_head(six);
		all = rnd() % 130;
		frame = malloc(all ? all : 1);
		a_way(&way, six);
		if (all >= at_least)
			frame_build(frame, &way, all - at_least, true);
		for (length = rnd() % 4; length && all; length--)
			frame[rnd() % 3 ? rnd() % (all < 70 ? all : 70) : rnd() % all] = rnd();
		at = frame_parse(frame, all, six, &found, &length);
		if (at) {
			CHECK(at >= frame + at_least && at + length <= frame + all);
			frame_summed(&found, at, length);
			payload_parse(at, length, &(struct payload){ 0 });
		}
		free(frame);
	}
	t_end();
}

static void test_addresses(void)
{
	static const char *const good[] = { "10.0.0.1", "fd00::1", "::1", "2001:db8:1:2:3:4:5:6" };
	static const char *const wrong[] = {
		"", "10.0.0", "10.0.0.1.2", "fd00::1::", "fd00", "fd00::1%", "fd00::1%no-such-link", "[::1]", "::1/64",
		"1234:1234:1234:1234:1234:1234:1234:1234:1234", "fd00::1%01234567890123456789012345678901234567890" };
	struct in6_addr at, again;
	char text[ADDRESS_TEXT];
	union address_name name;
	uint32_t scope = 0;
	in_port_t port;
	size_t i;

	t_begin("addresses of both families are read, written and handed to sockets and back");
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		CHECK(address_parse(&at, &scope, good[i], strlen(good[i])));
		CHECK_EQ(address_six(&at), i > 0);
		CHECK(!strcmp(address_text(text, &at, 0), good[i]));
		CHECK_EQ(address_name(&name, &at, 7, htons(99)), address_size(i > 0));
		CHECK(address_from(&name, &again, &scope, &port));
		CHECK(!memcmp(&at, &again, sizeof(at)) && port == htons(99) && !scope);
	}
	CHECK(!strcmp(address_text(text, &at, htons(7)), "[2001:db8:1:2:3:4:5:6]:7"));
	CHECK(address_parse(&at, &scope, "fe80::1", 7));
	address_name(&name, &at, 7, 0);
	CHECK_EQ(name.six.sin6_scope_id, 7);
	at = address_add(&at, 255);
	CHECK(!strcmp(address_text(text, &at, 0), "fe80::100"));
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		if (!CHECK(!address_parse(&at, &scope, wrong[i], strlen(wrong[i]))))
			t_diag("taken: %s", wrong[i]);
	t_end();
}

static void test_pace(void)
{
	const uint64_t start = 1000000000000ull;
	struct pace p;
	uint64_t now = start, sent = 0;

	t_begin("a rate is kept in bursts, and little is made up for");
	pace_init(&p, 10000, 32, now);
	while (now < start + 1000000000ull) {
		if (pace_due(&p, now) <= now) {
			pace_spend(&p, 32);
			sent += 32;
		} else {
			now = pace_due(&p, now) + 1;
		}
	}
	CHECK(sent >= 10000 && sent <= 10032);
	/* Ten seconds asleep: no ten seconds of packets at once. */
	now += 10000000000ull;
	for (sent = 0; pace_due(&p, now) <= now; sent += 32)
		pace_spend(&p, 32);
	CHECK(sent <= 10000 * 20 / 1000 + 64);
	pace_init(&p, 0, 32, now);
	CHECK(pace_due(&p, now) <= now);
	t_end();
}

int main(void)
{
	test_payloads();
	test_corruption();
	test_histograms();
	test_sizes();
	test_addresses();
	test_frames();
	test_sums();
	test_noise();
	test_pace();
	test_trackers();
	test_intake();
	test_senders();
	test_crowds();
	test_options();
	test_reports();
	return t_done();
}

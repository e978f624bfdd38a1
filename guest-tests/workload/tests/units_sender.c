// SPDX-License-Identifier: GPL-2.0-only
/* Senders, into a port that takes everything. */
#include "pace.h"
#include "sender.h"
#include "test.h"
#include "units.h"

static uint8_t room[PAYLOAD_MAX];
static uint64_t last;

static uint8_t *take_room(struct port *port, size_t payload)
{
	return room;
}

static void take_commit(struct port *port, unsigned int index, size_t payload)
{
	count(&port->counts.sent, 1);
	last = now_ns();
}

static bool take_flush(struct port *port)
{
	port->unsent = 0;
	return true;
}

static unsigned int refused;

static bool refuse_flush(struct port *port)
{
	port->unsent = 1;
	refused++;
	return false;
}

static const struct port_ops taking = { .room = take_room, .commit = take_commit, .flush = take_flush };

/* A second of it, by a clock that stands still while it sends. */
static uint64_t second(struct sender *s, uint64_t start)
{
	uint64_t now = start, sent = 0, due;

	while (now <= start + 1000000000ull) {
		due = pace_due(&s->pace, now);
		if (due <= now)
			sent += sender_burst(s);
		else
			now = due;
	}
	return sent;
}

static void rates(void)
{
	static const struct {
		double rate;
		unsigned int burst;
	} cases[] = { { 10000, 1 }, { 10000, 32 }, { 1000, 1 }, { 40, 8 }, { 4, 32 } };
	const struct sender_session session = { 0 };
	struct options o = { .flows = 1, .threads = 1 };
	struct port port = { .ops = &taking, .o = &o, .flows = 1 };
	struct sender s;
	uint64_t sent;
	size_t i;

	t_begin("what is sent in a second is the rate and a burst at most, however long the words before took");
	CHECK(!sizes_parse(&o.sizes, "60", 60, 1514));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		o.rate = cases[i].rate;
		o.burst = cases[i].burst;
		sender_init(&s, &port, &session);
		sender_hello(&s);
		CHECK(s.pace.due >= last);
		sent = second(&s, s.pace.due);
		if (!CHECK(sent >= o.rate && sent <= o.rate + o.burst))
			t_diag("%.0f/s by %u: %u sent", o.rate, o.burst, (unsigned int)sent);
		sender_free(&s);
	}
	t_end();
}

static void refusals(void)
{
	static const struct port_ops refusing = {
		.room = take_room, .commit = take_commit, .flush = refuse_flush,
	};
	const struct sender_session session = { 0 };
	struct options o = { .flows = 64, .threads = 1 };
	struct port port = { .ops = &refusing, .o = &o, .flows = 64 };
	struct sender s;

	t_begin("words of many flows: the first that is given up is the last that is tried");
	sender_init(&s, &port, &session);
	sender_hello(&s);
	CHECK_EQ(refused, 1);
	sender_end(&s);
	CHECK_EQ(refused, 2);
	sender_free(&s);
	t_end();
}

void test_senders(void)
{
	rates();
	refusals();
}

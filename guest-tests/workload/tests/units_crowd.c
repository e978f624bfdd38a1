// SPDX-License-Identifier: GPL-2.0-only
/* Whose a packet is: several senders, strangers, and noise. */
#include <pthread.h>
#include <string.h>

#include "crowd.h"
#include "test.h"
#include "units.h"

#define WINDOW	128
#define FLOWS	4
#define PORT	20000u
/* Of one lowest byte, so that data alone doesn't tell them apart. */
#define ONE	0x101ull
#define OTHER	0x201ull

static struct frame_way from(unsigned int host, unsigned int port)
{
	struct frame_way way = { .from = address_of((struct in_addr){ htonl(0x0a000000 + host) }) };

	way.from_port = htons(port);
	return way;
}

/* One packet, from there. Returns whose it was, and counts it. */
static int give_at(struct crowd *c, struct frame_way way, enum payload_kind kind, uint64_t id, unsigned int flow,
		   uint64_t value)
{
	struct payload p = {
		.kind = kind, .session = id, .id = id, .flow = flow, .flows = FLOWS, .number = value,
		.total = value, .clock = 99,
	};
	int whose = crowd_whose(c, &p, &way);

	if (whose >= 0)
		intake_take(&c->member[whose].intake, &p);
	return whose;
}

static int give(struct crowd *c, unsigned int host, enum payload_kind kind, uint64_t id, unsigned int flow, uint64_t value)
{
	return give_at(c, from(host, PORT + flow), kind, id, flow, value);
}

static void say(struct crowd *c, unsigned int host, enum payload_kind kind, uint64_t id, uint64_t value)
{
	unsigned int flow;

	for (flow = 0; flow < FLOWS; flow++)
		give(c, host, kind, id, flow, value);
}

static void begin(struct crowd *c, struct options *o, unsigned int senders, bool join)
{
	*o = (struct options){ .reorder_window = WINDOW, .senders = senders, .join = join };
	crowd_init(c, o);
}

static void apart(void)
{
	struct intake_totals one, other, sum;
	struct options o;
	struct crowd c;
	uint64_t i;

	t_begin("two senders of the same flows, numbers and lowest byte are counted apart, and in sum");
	begin(&c, &o, 2, false);
	say(&c, 1, PAYLOAD_HELLO, ONE, UINT64_MAX);
	for (i = 0; i < 100; i++) {
		if (i == 50)
			say(&c, 2, PAYLOAD_HELLO, OTHER, UINT64_MAX);
		if (i != 7)
			CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE, 0, i), 0);
		if (i >= 50 && i != 60)
			CHECK_EQ(give(&c, 2, PAYLOAD_DATA, OTHER, 0, i - 50), 1);
	}
	CHECK_EQ(give(&c, 2, PAYLOAD_DATA, OTHER, 0, 3), 1);
	say(&c, 1, PAYLOAD_END, ONE, 100);
	CHECK(intake_ended(&c.member[0].intake) && !intake_ended(&c.member[1].intake));
	say(&c, 2, PAYLOAD_END, OTHER, 51);
	CHECK(intake_ended(&c.member[1].intake));
	one = intake_totals(&c.member[0].intake);
	other = intake_totals(&c.member[1].intake);
	sum = crowd_totals(&c);
	/* Three flows of each had nothing but the end's word. */
	CHECK_EQ(one.expected - one.unique, 1 + 300);
	CHECK_EQ(one.duplicated, 0);
	CHECK_EQ(other.expected - other.unique, 2 + 3 * 51);
	CHECK_EQ(other.duplicated, 1);
	CHECK_EQ(sum.expected, one.expected + other.expected);
	CHECK_EQ(sum.unique, one.unique + other.unique);
	CHECK_EQ(sum.flows, 2 * FLOWS);
	crowd_free(&c);
	t_end();
}

static void strangers(void)
{
	struct payload p = { .kind = PAYLOAD_HELLO, .flows = FLOWS };
	struct frame_way way = from(9, PORT);
	struct options o;
	struct crowd c;

	t_begin("who isn't a sender is a stranger, whatever he says");
	begin(&c, &o, 2, false);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE, 0, 0), STRANGER);
	/* A word of no id, of another one than its byte's, of a flow that there isn't. */
	CHECK_EQ(crowd_whose(&c, &p, &way), STRANGER);
	p.session = 3;
	p.id = 4;
	CHECK_EQ(crowd_whose(&c, &p, &way), STRANGER);
	p.id = 3;
	p.flow = FLOWS;
	CHECK_EQ(crowd_whose(&c, &p, &way), STRANGER);
	CHECK_EQ(crowd_count(&c), 0);
	say(&c, 1, PAYLOAD_HELLO, ONE, UINT64_MAX);
	say(&c, 2, PAYLOAD_HELLO, OTHER, UINT64_MAX);
	/* One too many. */
	CHECK_EQ(give(&c, 3, PAYLOAD_HELLO, 0x301, 0, 0), STRANGER);
	CHECK_EQ(give(&c, 3, PAYLOAD_DATA, 0x301, 0, 0), STRANGER);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE + 1, 0, 0), STRANGER);
	CHECK_EQ(give_at(&c, from(1, PORT), PAYLOAD_DATA, ONE, FLOWS, 0), STRANGER);
	CHECK_EQ(give_at(&c, from(1, PORT + 77), PAYLOAD_DATA, ONE, 0, 0), STRANGER);
	/* The end of a flow that comes from somewhere else. */
	CHECK_EQ(give_at(&c, from(3, PORT), PAYLOAD_END, ONE, 0, 1), STRANGER);
	p = (struct payload){ .kind = PAYLOAD_END, .session = 1, .id = ONE, .flows = 1, .total = 5 };
	way = from(1, PORT);
	CHECK_EQ(crowd_whose(&c, &p, &way), STRANGER);
	CHECK_EQ(crowd_totals(&c).expected, 0);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE, 0, 0), 0);
	CHECK_EQ(give(&c, 2, PAYLOAD_DATA, OTHER, 0, 0), 1);
	t_end();

	t_begin("what can't be believed is of who sends from there");
	way = from(2, PORT + 1);
	CHECK_EQ(crowd_at(&c, &way), 1);
	/* So many of other links that some meet it in the table. */
	for (way.scope = 1; way.scope < 1000000; way.scope++)
		if (crowd_at(&c, &way) != STRANGER)
			break;
	CHECK_EQ(way.scope, 1000000);
	way.scope = 0;
	way = from(3, PORT + 1);
	CHECK_EQ(crowd_at(&c, &way), STRANGER);
	crowd_free(&c);
	t_end();
}

static void lost_words(void)
{
	struct options o;
	struct crowd c;

	t_begin("a flow whose first words were lost is its sender's, by port and address");
	begin(&c, &o, 3, false);
	give(&c, 1, PAYLOAD_HELLO, ONE, 0, 0);
	give(&c, 2, PAYLOAD_HELLO, OTHER, 0, 0);
	CHECK_EQ(give(&c, 2, PAYLOAD_DATA, OTHER, 1, 0), 1);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE, 1, 0), 0);
	/* No flow of theirs has that port. */
	CHECK_EQ(give_at(&c, from(1, PORT + 5), PAYLOAD_DATA, ONE, 2, 0), STRANGER);
	/* Of another address (--source IP/N), it may be either's. */
	CHECK_EQ(give(&c, 8, PAYLOAD_DATA, OTHER, 2, 0), STRANGER);
	give(&c, 2, PAYLOAD_HELLO, OTHER, 2, 0);
	CHECK_EQ(give(&c, 8, PAYLOAD_DATA, ONE, 2, 0), 0);
	/* Its other flows' first word is the last. */
	CHECK_EQ(give(&c, 1, PAYLOAD_END, ONE, 3, 9), 0);
	CHECK_EQ(intake_totals(&c.member[0].intake).expected, 11);
	crowd_free(&c);
	t_end();

	t_begin("who starts anew from there is another sender; the old one's late packets are nobody's");
	begin(&c, &o, 3, false);
	say(&c, 1, PAYLOAD_HELLO, 0x105, 0);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, 0x105, 0, 0), 0);
	say(&c, 1, PAYLOAD_HELLO, 0x106, 0);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, 0x106, 0, 0), 1);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, 0x105, 0, 1), STRANGER);
	CHECK_EQ(give(&c, 1, PAYLOAD_END, 0x105, 0, 1), STRANGER);
	CHECK_EQ(crowd_count(&c), 2);
	crowd_free(&c);
	t_end();
}

static void joining(void)
{
	struct options o;
	struct crowd c;

	t_begin("who joins takes senders by their data, and learns their names at the end");
	begin(&c, &o, 2, true);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE, 0, 500), 0);
	CHECK_EQ(give(&c, 2, PAYLOAD_DATA, OTHER, 0, 700), 1);
	CHECK_EQ(give(&c, 1, PAYLOAD_DATA, ONE, 1, 40), 0);
	CHECK_EQ(give(&c, 2, PAYLOAD_DATA, OTHER, 1, 50), 1);
	CHECK_EQ(give(&c, 3, PAYLOAD_DATA, 0x302, 0, 0), STRANGER);
	CHECK_EQ(crowd_clocks(&c), CLOCKS_UNKNOWN);
	CHECK_EQ(give(&c, 2, PAYLOAD_END, OTHER, 1, 51), 1);
	CHECK_EQ(c.member[1].id, OTHER);
	CHECK_EQ(c.member[0].id, 0);
	give(&c, 1, PAYLOAD_END, ONE, 0, 503);
	give(&c, 1, PAYLOAD_END, ONE, 1, 41);
	CHECK_EQ(intake_totals(&c.member[0].intake).expected, 4);
	CHECK_EQ(intake_totals(&c.member[0].intake).unique, 2);
	CHECK_EQ(crowd_clocks(&c), CLOCKS_DIFFER);
	crowd_free(&c);
	t_end();
}

/* Few enough values that all of it meets. */
static void noise(void)
{
	struct options o;
	struct crowd c;
	uint64_t used = 0, took = 0, i;
	int round, whose;

	t_begin("any words and data from anywhere: no more senders, sources and packets than there may be");
	for (round = 0; round < 4; round++) {
		begin(&c, &o, 5, round % 2);
		for (used = 0, took = 0, i = 0; i < 200000; i++) {
			struct payload p = {
				.kind = rnd() % 3, .session = rnd() % 4, .id = rnd() % 4 ? rnd() % 4 + (rnd() % 8 << 8) : 0,
				.flow = rnd() % (round < 2 ? 4 : FLOWS_MAX), .number = rnd(), .total = rnd(), .clock = rnd() % 2,
				.flows = rnd() % 3 ? FLOWS_MAX : rnd() % 6 + 1,
			};
			struct frame_way way = from(rnd() % 6, rnd() % 3 ? PORT + p.flow : rnd() % 65536);

			whose = crowd_whose(&c, &p, &way);
			CHECK(whose >= STRANGER && whose < (int)crowd_count(&c));
			if (whose < 0)
				continue;
			intake_take(&c.member[whose].intake, &p);
			took += p.kind == PAYLOAD_DATA;
		}
		CHECK(crowd_count(&c) == 5);
		for (i = 0; i <= c.mask; i++)
			used += c.source[i].member > 0;
		CHECK(used <= 5 * FLOWS_MAX && used <= c.mask / 2);
		CHECK(took && crowd_totals(&c).unique <= took);
		crowd_free(&c);
	}
	t_end();
}

struct speaker {
	pthread_t thread;
	struct crowd *c;
	unsigned int first;
	uint64_t strange;
};

/* Half of the packets of every sender: the other thread has those between. */
static void *speak(void *argument)
{
	struct speaker *s = argument;
	unsigned int host, flow, i;

	for (i = s->first; i < 200; i += 2)
		for (host = 0; host < 8; host++)
			for (flow = 0; flow < FLOWS; flow++) {
				/* Others' words were lost: both find out whose they are. */
				if (!flow)
					s->strange += give(s->c, host, PAYLOAD_HELLO, 0x101 + host * 0x100, flow, 0) < 0;
				s->strange += give(s->c, host, PAYLOAD_DATA, 0x101 + host * 0x100, flow, i) < 0;
			}
	return NULL;
}

static void threads(void)
{
	struct speaker s[2];
	struct intake_totals sum;
	struct options o;
	struct crowd c;
	unsigned int i, round;

	t_begin("two threads that meet the same eight senders at once miss nothing");
	for (round = 0; round < 20; round++) {
		begin(&c, &o, 8, false);
		for (i = 0; i < 2; i++) {
			s[i] = (struct speaker){ .c = &c, .first = i };
			CHECK(!pthread_create(&s[i].thread, NULL, speak, &s[i]));
		}
		for (i = 0; i < 2; i++)
			pthread_join(s[i].thread, NULL);
		sum = crowd_totals(&c);
		CHECK_EQ(crowd_count(&c), 8);
		CHECK_EQ(s[0].strange + s[1].strange, 0);
		CHECK_EQ(sum.unique + sum.stale, 200 * 8 * FLOWS);
		CHECK_EQ(sum.duplicated, 0);
		crowd_free(&c);
	}
	t_end();
}

void test_crowds(void)
{
	apart();
	strangers();
	lost_words();
	joining();
	noise();
	threads();
}

// SPDX-License-Identifier: GPL-2.0-only
/* Sending. */
#include <stdlib.h>
#include <time.h>

#include "sender.h"
#include "stop.h"

/* Either may get lost, as anything. */
#define HELLOS		3
#define ENDS		5
#define PAUSE_NS	20000000

void sender_init(struct sender *s, struct port *port, const struct sender_session *session)
{
	const struct options *o = port->o;

	*s = (struct sender){
		.port = port, .session = *session,
		.number = calloc(port->flows, sizeof(*s->number)), .left = UINT64_MAX,
	};
	if (!s->number)
		die("no memory");
	if (o->count)
		s->left = o->count / o->threads + (port->thread < o->count % o->threads);
}

void sender_free(struct sender *s)
{
	free(s->number);
}

/* Of each flow one packet that isn't counted among its numbers. */
static bool tell(struct sender *s, enum payload_kind kind)
{
	struct payload p = {
		.kind = kind, .session = s->session.number, .id = s->session.id, .clock = s->session.clock,
		.flows = s->port->o->flows,
	};
	unsigned int i;
	uint8_t *at;

	for (i = 0; i < s->port->flows; i++) {
		at = s->port->ops->room(s->port, PAYLOAD_CONTROL);
		if (!at)
			return false;
		p.flow = port_flow(s->port, i);
		p.total = kind == PAYLOAD_END ? s->number[i] : UINT64_MAX;
		p.stamp = now_ns();
		payload_build(at, PAYLOAD_CONTROL, &p);
		s->port->ops->commit(s->port, i, PAYLOAD_CONTROL);
		if (!s->port->ops->flush(s->port))
			return false;
	}
	return true;
}

static void rounds(struct sender *s, enum payload_kind kind, unsigned int count)
{
	struct timespec pause = { .tv_nsec = PAUSE_NS };

	while (count-- && tell(s, kind))
		nanosleep(&pause, NULL);
}

void sender_hello(struct sender *s)
{
	const struct options *o = s->port->o;

	rounds(s, PAYLOAD_HELLO, HELLOS);
	/* The time that the words took isn't made up for. */
	pace_init(&s->pace, o->rate / o->threads, o->burst, now_ns());
}

void sender_hello_once(struct sender *s)
{
	rounds(s, PAYLOAD_HELLO, 1);
}

void sender_end(struct sender *s)
{
	rounds(s, PAYLOAD_END, ENDS);
}

unsigned int sender_burst(struct sender *s)
{
	const struct options *o = s->port->o;
	unsigned int index = s->turn, burst = s->left < o->burst ? s->left : o->burst, i;
	struct payload p = {
		.flow = port_flow(s->port, index), .session = s->session.number, .stamp = now_ns(),
	};
	uint8_t *at = NULL;
	size_t length;

	s->port->unsent = 0;
	s->turn = (s->turn + 1) % s->port->flows;
	for (i = 0; i < burst; i++) {
		length = sizes_at(&o->sizes, s->made + i) - o->head;
		at = s->port->ops->room(s->port, length);
		if (!at)
			break;
		p.number = s->number[index]++;
		payload_build(at, length, &p);
		s->port->ops->commit(s->port, index, length);
	}
	/* No room: a flush within has given up. */
	if (at)
		s->port->ops->flush(s->port);
	/* The newest ones: their numbers were never used. */
	i -= s->port->unsent;
	s->number[index] -= s->port->unsent;
	s->made += i;
	s->left -= i;
	pace_spend(&s->pace, i);
	return i;
}

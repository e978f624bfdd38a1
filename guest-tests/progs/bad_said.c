// SPDX-License-Identifier: GPL-2.0-only
/* How often the kernel's log has what a guest can have happen as often as it likes. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad.h"

/* A guest may go on for ever: the log has the same once a minute, of each queue its own. */
static void said_once(const struct bad *like)
{
	static const char what[] = "queue tx stopped: ", head[] = "head outside the ring";
	struct bad b = *like, other = *like;
	struct ring *q = &b.r.q[Q_TX];
	unsigned int i;

	t_begin("what a queue says again and again is logged once");
	bad_open(&b);
	bad_open(&other);
	/* Ten in five seconds is what a limit for all of them would let pass. */
	q->avail->ring[0] = RIG_NUM;
	ring_publish(q, 1);
	for (i = 0; i < 20; i++) {
		ring_kick(q);
		CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	}
	CHECK_EQ(klog_count(what, head), 1);
	CHECK_EQ(node_stat(b.r.node, Q_TX, "malformed"), 20);
	t_end();
	t_begin("another reason is, and another queue that says the same");
	q->avail->ring[0] = 0;
	desc_set(q->desc, 0, mem_gpa(&b.r.mem, b.r.buf), RIG_FRAME, D_NEXT, RIG_NUM);
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_EQ(klog_count(what, "next outside its table"), 1);
	q = &other.r.q[Q_TX];
	q->avail->ring[0] = RIG_NUM;
	ring_publish(q, 1);
	ring_kick(q);
	CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	CHECK_EQ(klog_count(what, head), 2);
	bad_close(&other);
	bad_close(&b);
	t_end();
}

/* What a queue can be stopped for, one after the other: as many lines of one device. */
static const struct vring_desc wrongs[] = {
	{ 0, RIG_FRAME, D_NEXT, RIG_NUM },		/* next outside */
	{ 0, RIG_FRAME, D_NEXT, 0 },			/* a loop */
	{ 0, RIG_FRAME, D_WRITE, 0 },			/* not for reading */
	{ GPA_HOLE, RIG_FRAME, 0, 0 },		/* no memory */
	{ 0, 15, D_IND, 0 },			/* a ragged table */
	{ 0, 16, D_IND | D_NEXT, 0 },		/* a table and more */
};

/* A device that has all this wrong; how often its queue's log said so. */
static unsigned int wrong(const struct bad *like)
{
	struct bad b = *like;
	struct ring *q = &b.r.q[Q_TX];
	unsigned int i, said;

	bad_open(&b);
	q->avail->ring[0] = 0;
	ring_publish(q, 1);
	for (i = 0; i < ARRAY_SIZE(wrongs); i++) {
		bad_descs(&b, Q_TX, &q->desc[0], &wrongs[i], 1);
		ring_kick(q);
		CHECK_EQ(event_wait(q->err, WAIT_MS), 1);
	}
	CHECK_EQ(node_stat(b.r.node, Q_TX, "malformed") + node_stat(b.r.node, Q_TX, "faults"), i);
	said = klog_count("queue tx stopped: ", "");
	bad_close(&b);
	return said;
}

/* Of another owner: in the rare case that it counts together with the first, another one. */
static bool other_says(const struct bad *like)
{
	int status = -1, tries = 4;
	pid_t child;

	while (tries-- && status) {
		fflush(stdout);
		child = fork();
		if (!child)
			_exit(wrong(like) != ARRAY_SIZE(wrongs));
		CHECK_EQ(waitpid(child, &status, 0), child);
	}
	return !status;
}

/* An owner may have hundreds of queues: what it may have logged has an end, of its own. */
static void said_enough(const struct bad *like)
{
	uint64_t end = now_ns() + 55000 * NS_PER_MS;
	/* Of two minutes, should one end meanwhile. */
	unsigned int most = 1300, lines = 0, said;

	t_begin("what all queues of an owner say has a limit");
	do {
		said = wrong(like);
		lines += said;
	} while (said == ARRAY_SIZE(wrongs) && lines < most && now_ns() < end);
	if (said == ARRAY_SIZE(wrongs) && lines < most) {
		t_skip("no more than the limit in 55 s on this machine");
		t_end();
		return;
	}
	if (!CHECK(said < ARRAY_SIZE(wrongs)))
		t_diag("%u lines in less than a minute", lines);
	t_end();
	t_begin("and keeps nothing of another owner's from the log");
	CHECK(other_says(like));
	t_end();
}

/* The last part, as little of what this process does is logged for a minute then. */
void bad_said(const struct bad *like)
{
	said_once(like);
	if (like->opts.batch)
		said_enough(like);
}

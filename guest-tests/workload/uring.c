// SPDX-License-Identifier: GPL-2.0-only
/* Path uring: the rings, and the port of both halves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stop.h"
#include "uring.h"

#define SLICE_NS	10000000

static const struct {
	unsigned int flags;
	const char *names;
} setups[] = {
	{ IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, "SINGLE_ISSUER DEFER_TASKRUN" },
	{ IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN, "SINGLE_ISSUER COOP_TASKRUN" },
	{ IORING_SETUP_COOP_TASKRUN, "COOP_TASKRUN" },
	{ 0, "no special flags" },
};

static const char *const feature_names[] = {
	"SINGLE_MMAP", "NODROP", "SUBMIT_STABLE", "RW_CUR_POS", "CUR_PERSONALITY", "FAST_POLL", "POLL_32BITS",
	"SQPOLL_NONFIXED", "EXT_ARG", "NATIVE_WORKERS", "RSRC_TAGS", "CQE_SKIP", "LINKED_FILE", "REG_REG_RING",
};

static void tell_features(unsigned int features, struct facts *facts)
{
	char text[400] = "";
	size_t used = 0;
	unsigned int i;

	for (i = 0; i < 32 && used < sizeof(text); i++) {
		if (!(features >> i & 1))
			continue;
		if (i < sizeof(feature_names) / sizeof(feature_names[0]))
			used += snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", feature_names[i]);
		else
			used += snprintf(text + used, sizeof(text) - used, " bit %u", i);
	}
	fact(facts, "uring features", "%s", text);
}

static const char *why_not(int error)
{
	switch (error) {
	case EPERM:
		return "forbidden: sysctl kernel.io_uring_disabled, or seccomp";
	case ENOMEM:
		return "no memory, or ulimit -l is too small";
	default:
		return strerror(error);
	}
}

void uring_ring(struct io_uring *ring, unsigned int entries, unsigned int completions, struct facts *facts)
{
	struct io_uring_params p;
	unsigned int i;
	int status = -EINVAL;

	for (i = 0; i < sizeof(setups) / sizeof(setups[0]) && status == -EINVAL; i++) {
		p = (struct io_uring_params){
			.flags = setups[i].flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = completions,
		};
		status = io_uring_queue_init_params(entries, ring, &p);
	}
	if (status < 0)
		die("io_uring: %s", why_not(-status));
	if (!(p.features & IORING_FEAT_EXT_ARG))
		die("io_uring: too old: waiting with a time limit came with Linux 5.11");
	fact(facts, "uring", "available, %s, ring's file %s", setups[i - 1].names,
	     io_uring_register_ring_fd(ring) == 1 ? "registered" : "not registered");
	tell_features(p.features, facts);
}

bool uring_knows(struct io_uring *ring, int operation)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool known = probe && io_uring_opcode_supported(probe, operation);

	io_uring_free_probe(probe);
	return known;
}

static void uring_begin(struct port *port)
{
	sockets_begin(&((struct uring *)port)->sockets, port);
}

bool uring_entered(int status)
{
	if (status >= 0 || status == -ETIME || status == -EINTR || status == -EAGAIN ||
	    status == -EBUSY)
		return true;
	stop_error("io_uring_enter: %s", strerror(-status));
	return false;
}

bool uring_cancel(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct __kernel_timespec t = { .tv_nsec = SLICE_NS };
	struct io_uring_cqe *cqe;

	if (sqe) {
		io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
		sqe->user_data = URING_CANCEL;
	}
	return uring_entered(io_uring_submit_and_wait_timeout(ring, &cqe, 1, &t, NULL));
}

static void uring_end(struct port *port)
{
	struct uring *u = (struct uring *)port;

	if (port->tx || port->back)
		uring_tx_end(u);
	if (!port->rx)
		return;
	count(&port->counts.queue_full, sockets_dropped(&u->sockets));
	uring_rx_end(u);
}

static void uring_close(struct port *port)
{
	struct uring *u = (struct uring *)port;

	if (port->tx || port->back)
		uring_tx_close(u);
	if (port->rx)
		uring_rx_close(u);
	sockets_close(&u->sockets);
	free(u);
}

static const struct port_ops uring_ops = {
	.begin = uring_begin, .room = uring_room, .commit = uring_commit,
	.commit_back = uring_commit_back, .flush = uring_flush, .receive = uring_receive,
	.end = uring_end, .close = uring_close,
};

struct port *uring_open(const struct port *like, struct facts *facts)
{
	struct uring *u = calloc(1, sizeof(*u));

	if (!u)
		die("no memory");
	u->port = *like;
	u->port.ops = &uring_ops;
	sockets_open(&u->sockets, &u->port, facts);
	if (like->tx || like->back)
		uring_tx_open(u, facts);
	if (like->rx)
		/* Both halves' rings are set up alike: told once. */
		uring_rx_open(u, facts);
	return &u->port;
}

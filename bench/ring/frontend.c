// SPDX-License-Identifier: GPL-2.0-only
/* The messages by which QEMU would hand a guest over, each acknowledged. */
#include <err.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "frontend.h"

static void ask(int sock, struct vu_message *m)
{
	u32 request = m->head.request;

	m->head.flags = VU_VERSION;
	if (vu_send(sock, m) || vu_receive(sock, m) != 1 ||
	    m->head.request != request)
		errx(1, "vhost-user: no answer to request %u", request);
}

static u64 ask_word(int sock, u32 request)
{
	struct vu_message m = { .head.request = request };

	ask(sock, &m);
	return m.body.word;
}

static void tell(int sock, struct vu_message *m, u32 request, u32 size)
{
	m->head = (struct vu_header){ request, VU_VERSION | VU_NEED_REPLY,
				      size };
	if (vu_send(sock, m) || vu_receive(sock, m) != 1 || m->body.word)
		errx(1, "vhost-user: request %u was refused", request);
}

static void tell_word(int sock, u32 request, u64 word)
{
	struct vu_message m = { .body.word = word };

	tell(sock, &m, request, sizeof(word));
}

static void tell_state(int sock, u32 request, u32 index, u32 num)
{
	struct vu_message m = { .body.state = { index, num } };

	tell(sock, &m, request, sizeof(m.body.state));
}

static void tell_memory(int sock, const struct guest *g)
{
	struct vu_message m = { .nfds = GUEST_REGIONS };
	struct vu_mem_table *t = &m.body.mem;
	u32 i;

	t->count = GUEST_REGIONS;
	for (i = 0; i < GUEST_REGIONS; i++) {
		const struct vu_region *r = &g->table.region[i];

		t->region[i].gpa = r->start;
		t->region[i].size = r->last - r->start + 1;
		t->region[i].uaddr = r->uaddr;
		m.fd[i] = g->fd[i];
	}
	tell(sock, &m, VU_SET_MEM_TABLE, 8 + GUEST_REGIONS *
					 sizeof(struct vu_mem_region));
}

static void tell_ring(int sock, const struct guest *g, enum kind kind, u32 q)
{
	struct vu_message m = {};
	u64 at[VD_PARTS];
	u32 p;

	for (p = 0; p < VD_PARTS; p++)
		at[p] = (uintptr_t)guest_at(g, GUEST_RINGS, g->part[q][p]);
	m.body.addr = (struct vu_vring_addr){ .index = q,
		.desc = at[VD_PART_DESC], .avail = at[VD_PART_AVAIL],
		.used = at[VD_PART_USED] };
	tell_state(sock, VU_SET_VRING_NUM, q, g->num);
	tell_state(sock, VU_SET_VRING_BASE, q,
		   kind_packed(kind) ? VU_BASE_WRAP : 0);
	tell(sock, &m, VU_SET_VRING_ADDR, sizeof(m.body.addr));
	tell_word(sock, VU_SET_VRING_CALL, q | VU_VRING_NO_FD);
	tell_word(sock, VU_SET_VRING_KICK, q | VU_VRING_NO_FD);
}

/**
 * kind_features - the features that make a kind of ring
 * @kind: the kind
 *
 * No offload, so that neither side parses a header; no mergeable buffers, as
 * one always suffices; no event indices, as the driver polls.
 */
u64 kind_features(enum kind kind)
{
	return 1ull << VIRTIO_F_VERSION_1 |
	       (u64)kind_packed(kind) << VIRTIO_F_RING_PACKED |
	       (u64)kind_in_order(kind) << VIRTIO_F_IN_ORDER;
}

/**
 * frontend_connect - hand a guest over
 * @path: socket of the back end
 * @g: the guest, with empty rings
 * @kind: what kind of rings
 *
 * Return: the connection; the back end serves until it is closed.
 */
int frontend_connect(const char *path, const struct guest *g, enum kind kind)
{
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	u64 want = kind_features(kind), have;
	struct vu_message owner = {}, ack = {
		.head = { VU_SET_PROTOCOL_FEATURES, VU_VERSION, 8 },
		.body.word = 1u << VU_PROTOCOL_F_REPLY_ACK,
	};
	u32 q;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (sock < 0 || connect(sock, (void *)&addr, sizeof(addr)))
		err(1, "%s", path);
	want |= 1ull << VU_F_PROTOCOL_FEATURES;
	have = ask_word(sock, VU_GET_FEATURES);
	if (want & ~have)
		errx(1, "back end lacks features: %#llx",
		     (unsigned long long)(want & ~have));
	have = ask_word(sock, VU_GET_PROTOCOL_FEATURES);
	if (!(have & 1u << VU_PROTOCOL_F_REPLY_ACK))
		errx(1, "back end lacks REPLY_ACK");
	/* The only one that isn't acknowledged: it is what agrees to that. */
	if (vu_send(sock, &ack))
		err(1, "vhost-user");
	tell_word(sock, VU_SET_FEATURES, want);
	tell(sock, &owner, VU_SET_OWNER, 0);
	tell_memory(sock, g);
	for (q = 0; q < GUEST_QUEUES; q++)
		tell_ring(sock, g, kind, q);
	for (q = 0; q < GUEST_QUEUES; q++)
		tell_state(sock, VU_SET_VRING_ENABLE, q, 1);
	return sock;
}

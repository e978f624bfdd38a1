// SPDX-License-Identifier: GPL-2.0-only
/* The server's side of the connection: one handler a request. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server.h"

/* What a handler did. */
enum { VU_DONE, VU_ANSWER, VU_BAD };

static void vu_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void vu_close_all(struct vu_message *m)
{
	while (m->nfds)
		close(m->fd[--m->nfds]);
}

/* Takes the message's only descriptor; -1 if there is none. */
static int vu_take_fd(struct vu_message *m)
{
	return m->nfds == 1 ? m->fd[--m->nfds] : -1;
}

static struct vu_queue *vu_queue(struct vu_server *s, u64 index)
{
	return index < VU_QUEUES ? &s->q[index] : NULL;
}

static int vu_answer(struct vu_message *m, u64 word)
{
	m->body.word = word;
	m->head.size = sizeof(word);
	return VU_ANSWER;
}

static int vu_get_features(struct vu_server *s, struct vu_message *m)
{
	return vu_answer(m, s->offer);
}

static int vu_set_features(struct vu_server *s, struct vu_message *m)
{
	u32 i;

	if (m->body.word & ~s->offer)
		return VU_BAD;
	s->features = m->body.word;
	/* Without the protocol's bit rings are enabled from the start. */
	if (!vu_server_has(s, VU_F_PROTOCOL_FEATURES))
		for (i = 0; i < VU_QUEUES; i++)
			s->q[i].enabled = true;
	return VU_DONE;
}

static int vu_set_owner(struct vu_server *s, struct vu_message *m)
{
	(void)s;
	(void)m;
	return VU_DONE;
}

static int vu_get_protocol(struct vu_server *s, struct vu_message *m)
{
	(void)s;
	return vu_answer(m, 1u << VU_PROTOCOL_F_REPLY_ACK |
			    1u << VU_PROTOCOL_F_STATUS);
}

static int vu_set_protocol(struct vu_server *s, struct vu_message *m)
{
	s->protocol = m->body.word;
	return VU_DONE;
}

static int vu_get_queue_num(struct vu_server *s, struct vu_message *m)
{
	(void)s;
	return vu_answer(m, 1);
}

static void vu_unmap(struct vu_mem *mem)
{
	u32 i;

	for (i = 0; i < mem->count; i++)
		munmap(mem->region[i].map, mem->region[i].map_len);
	vu_mem_clear(mem);
}

static int vu_map(struct vu_region *r, const struct vu_mem_region *from, int fd)
{
	u64 len = from->size + from->offset;

	if (!from->size || len < from->size ||
	    from->gpa + from->size - 1 < from->gpa)
		return -1;
	r->map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r->map == MAP_FAILED)
		return -1;
	r->map_len = len;
	r->base = (u8 *)r->map + from->offset;
	r->start = from->gpa;
	r->last = from->gpa + from->size - 1;
	r->uaddr = from->uaddr;
	return 0;
}

/* All of a table or nothing. */
static int vu_map_all(struct vu_mem *mem, const struct vu_mem_table *t,
		      const int *fd)
{
	u32 i;

	vu_mem_clear(mem);
	for (i = 0; i < t->count; i++) {
		if (vu_map(&mem->region[i], &t->region[i], fd[i])) {
			vu_unmap(mem);
			return -1;
		}
		mem->count++;
	}
	return 0;
}

/*
 * Rings that run find themselves anew in the new table; one that isn't there
 * stays stopped, and the table that has it no more is refused, though taken. A
 * table that can't be had leaves all as it is.
 */
static int vu_set_mem_table(struct vu_server *s, struct vu_message *m)
{
	const struct vu_mem_table *t = &m->body.mem;
	struct vu_mem old = s->mem, new;
	bool ran[VU_QUEUES];
	int did = VU_DONE;
	u32 i;

	if (t->count > VU_REGIONS || t->count != m->nfds ||
	    m->head.size < offsetof(struct vu_mem_table, region) +
			   t->count * sizeof(t->region[0]) ||
	    vu_map_all(&new, t, m->fd))
		return VU_BAD;
	for (i = 0; i < VU_QUEUES; i++) {
		ran[i] = s->q[i].running;
		vu_queue_stop(&s->q[i]);
	}
	s->mem = new;
	for (i = 0; i < VU_QUEUES; i++)
		if (ran[i] && vu_queue_start(s, &s->q[i]))
			did = VU_BAD;
	vu_unmap(&old);
	return did;
}

static int vu_set_vring_num(struct vu_server *s, struct vu_message *m)
{
	struct vu_queue *q = vu_queue(s, m->body.state.index);

	if (!q || q->running)
		return VU_BAD;
	q->num = m->body.state.num;
	return VU_DONE;
}

static int vu_set_vring_base(struct vu_server *s, struct vu_message *m)
{
	struct vu_queue *q = vu_queue(s, m->body.state.index);

	if (!q || q->running)
		return VU_BAD;
	q->base = m->body.state.num;
	return VU_DONE;
}

static int vu_get_vring_base(struct vu_server *s, struct vu_message *m)
{
	struct vu_queue *q = vu_queue(s, m->body.state.index);

	if (!q)
		return VU_BAD;
	m->body.state.num = vu_queue_stop(q);
	vu_close(&q->kick);
	return VU_ANSWER;
}

static int vu_set_vring_addr(struct vu_server *s, struct vu_message *m)
{
	const struct vu_vring_addr *a = &m->body.addr;
	struct vu_queue *q = vu_queue(s, a->index);

	if (!q || q->running)
		return VU_BAD;
	q->uaddr[VD_PART_DESC] = a->desc;
	q->uaddr[VD_PART_AVAIL] = a->avail;
	q->uaddr[VD_PART_USED] = a->used;
	return VU_DONE;
}

static int vu_set_vring_kick(struct vu_server *s, struct vu_message *m)
{
	struct vu_queue *q = vu_queue(s, m->body.word & VU_VRING_INDEX);

	if (!q)
		return VU_BAD;
	vu_close(&q->kick);
	q->kick = vu_take_fd(m);
	if (q->running)
		vu_queue_stop(q);
	return vu_queue_start(s, q) ? VU_BAD : VU_DONE;
}

static int vu_set_vring_call(struct vu_server *s, struct vu_message *m)
{
	struct vu_queue *q = vu_queue(s, m->body.word & VU_VRING_INDEX);

	if (!q)
		return VU_BAD;
	vu_close(&q->call);
	q->call = vu_take_fd(m);
	return VU_DONE;
}

static int vu_set_vring_err(struct vu_server *s, struct vu_message *m)
{
	return vu_queue(s, m->body.word & VU_VRING_INDEX) ? VU_DONE : VU_BAD;
}

static int vu_set_vring_enable(struct vu_server *s, struct vu_message *m)
{
	struct vu_queue *q = vu_queue(s, m->body.state.index);

	if (!q)
		return VU_BAD;
	q->enabled = m->body.state.num;
	return VU_DONE;
}

static int vu_set_status(struct vu_server *s, struct vu_message *m)
{
	s->status = m->body.word;
	return VU_DONE;
}

static int vu_get_status(struct vu_server *s, struct vu_message *m)
{
	return vu_answer(m, s->status);
}

/* What answers a request, and of how many bytes its payload is at least. */
static const struct vu_handler {
	int (*call)(struct vu_server *s, struct vu_message *m);
	u32 size;
} vu_handler[VU_REQUESTS] = {
	[VU_GET_FEATURES] = { vu_get_features },
	[VU_SET_FEATURES] = { vu_set_features, sizeof(u64) },
	[VU_SET_OWNER] = { vu_set_owner },
	[VU_RESET_OWNER] = { vu_set_owner },
	[VU_SET_MEM_TABLE] = {
		vu_set_mem_table, offsetof(struct vu_mem_table, region)
	},
	[VU_SET_VRING_NUM] = {
		vu_set_vring_num, sizeof(struct vu_vring_state)
	},
	[VU_SET_VRING_ADDR] = {
		vu_set_vring_addr, sizeof(struct vu_vring_addr)
	},
	[VU_SET_VRING_BASE] = {
		vu_set_vring_base, sizeof(struct vu_vring_state)
	},
	[VU_GET_VRING_BASE] = {
		vu_get_vring_base, sizeof(struct vu_vring_state)
	},
	[VU_SET_VRING_KICK] = { vu_set_vring_kick, sizeof(u64) },
	[VU_SET_VRING_CALL] = { vu_set_vring_call, sizeof(u64) },
	[VU_SET_VRING_ERR] = { vu_set_vring_err, sizeof(u64) },
	[VU_GET_PROTOCOL_FEATURES] = { vu_get_protocol },
	[VU_SET_PROTOCOL_FEATURES] = { vu_set_protocol, sizeof(u64) },
	[VU_GET_QUEUE_NUM] = { vu_get_queue_num },
	[VU_SET_VRING_ENABLE] = {
		vu_set_vring_enable, sizeof(struct vu_vring_state)
	},
	[VU_SET_STATUS] = { vu_set_status, sizeof(u64) },
	[VU_GET_STATUS] = { vu_get_status },
};

/**
 * vu_server_message - take one message from the connection
 * @s: the server
 *
 * Return: 1, 0 at the end of the connection, -1 for an error. A request that
 * is refused is no error, unless nobody would learn of it.
 */
int vu_server_message(struct vu_server *s)
{
	struct vu_message m = {};
	int ret = vu_receive(s->sock, &m), did = VU_BAD;
	const struct vu_handler *h;
	bool ack;

	if (ret <= 0) {
		vu_close_all(&m);
		return ret;
	}
	ack = m.head.flags & VU_NEED_REPLY &&
	      s->protocol >> VU_PROTOCOL_F_REPLY_ACK & 1;
	h = m.head.request < VU_REQUESTS ? &vu_handler[m.head.request] : NULL;
	if (h && h->call && m.head.size >= h->size)
		did = h->call(s, &m);
	vu_close_all(&m);
	if (did == VU_BAD)
		fprintf(stderr, "# request %u refused\n", m.head.request);
	if (did != VU_ANSWER && !ack)
		return did == VU_BAD ? -1 : 1;
	if (did != VU_ANSWER)
		vu_answer(&m, did == VU_BAD);
	m.head.flags = VU_VERSION | VU_REPLY;
	return vu_send(s->sock, &m) ? -1 : 1;
}

/**
 * vu_server_init - begin to serve a connection
 * @s: the server
 * @sock: the connection
 * @offer: virtio features to offer
 */
void vu_server_init(struct vu_server *s, int sock, u64 offer)
{
	u32 i;

	memset(s, 0, sizeof(*s));
	s->sock = sock;
	s->offer = offer | 1ull << VU_F_PROTOCOL_FEATURES;
	vu_mem_clear(&s->mem);
	for (i = 0; i < VU_QUEUES; i++) {
		s->q[i].kick = -1;
		s->q[i].call = -1;
	}
}

void vu_server_exit(struct vu_server *s)
{
	u32 i;

	for (i = 0; i < VU_QUEUES; i++) {
		vu_close(&s->q[i].kick);
		vu_close(&s->q[i].call);
	}
	vu_unmap(&s->mem);
	close(s->sock);
}

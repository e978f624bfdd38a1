// SPDX-License-Identifier: GPL-2.0-only
/* A well-behaved driver of one virtqueue. */
#include <string.h>
#include <unistd.h>

#include "node.h"
#include "proc.h"
#include "test.h"
#include "vq.h"

/* As in <linux/virtio_ring.h>, whose packed descriptor is of endian types. */
struct packed_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

#define P_AVAIL (1 << 7)
#define P_USED (1 << 15)

void vq_init(struct vq *q, unsigned int index, uint64_t features, uint8_t *desc,
	     uint8_t *avail, uint8_t *used)
{
	memset(q, 0, sizeof(*q));
	q->index = index;
	q->packed = features & F_PACKED;
	q->event_idx = features & F_EVENT;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->kick = event_new();
	q->call = event_new();
	q->err = event_new();
}

int vq_told(struct vq *q, int node, const struct vq_told *told)
{
	struct vhost_vring_addr a = {
		.index = q->index,
		.flags = told->flags,
		.desc_user_addr = told->desc,
		.avail_user_addr = told->avail,
		.used_user_addr = told->used,
		.log_guest_addr = told->log,
	};

	return node_call(node, VHOST_SET_VRING_ADDR, &a);
}

int vq_setup(struct vq *q, int node, const struct vq_told *told)
{
	/* Packed: both places at slot 0 with their wrap counters set. */
	return node_num(node, q->index, VQ_NUM) ?:
	       node_base(node, q->index, q->packed ? 0x80008000 : 0) ?:
	       vq_told(q, node, told) ?:
	       node_file(node, VHOST_SET_VRING_KICK, q->index, q->kick) ?:
	       node_file(node, VHOST_SET_VRING_CALL, q->index, q->call) ?:
	       node_file(node, VHOST_SET_VRING_ERR, q->index, q->err);
}

void vq_close(struct vq *q)
{
	close(q->kick);
	close(q->call);
	close(q->err);
}

static void offer_packed(struct vq *q, unsigned int id, uint64_t addr, uint32_t len,
			 uint16_t flags)
{
	struct packed_desc *d = (struct packed_desc *)q->desc + q->next % VQ_NUM;

	d->addr = addr;
	d->len = len;
	d->id = id;
	flags |= q->next / VQ_NUM % 2 ? P_USED : P_AVAIL;
	__atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);
}

static void offer_split(struct vq *q, unsigned int id, uint64_t addr, uint32_t len,
			uint16_t flags)
{
	struct vring_desc *d = (struct vring_desc *)q->desc;
	struct vring_avail *a = (struct vring_avail *)q->avail;

	d[id] = (struct vring_desc){ addr, len, flags, 0 };
	a->ring[q->next % VQ_NUM] = id;
	__atomic_store_n(&a->idx, (uint16_t)(q->next + 1), __ATOMIC_RELEASE);
}

void vq_offer_as(struct vq *q, unsigned int id, uint64_t addr, uint32_t len, uint16_t flags)
{
	if (q->packed)
		offer_packed(q, id, addr, len, flags);
	else
		offer_split(q, id, addr, len, flags);
	q->next++;
}

void vq_offer(struct vq *q, uint64_t addr, uint32_t len, uint16_t flags)
{
	vq_offer_as(q, q->next % VQ_NUM, addr, len, flags);
}

void vq_kick(struct vq *q)
{
	event_post(q->kick);
}

static bool kick_wanted_split(struct vq *q, uint32_t old)
{
	uint16_t flags = __atomic_load_n((uint16_t *)q->used, __ATOMIC_RELAXED);
	uint16_t event = __atomic_load_n((uint16_t *)(q->used + 4 + 8 * VQ_NUM), __ATOMIC_RELAXED);

	if (!q->event_idx)
		return !(flags & VRING_USED_F_NO_NOTIFY);
	return (uint16_t)(q->next - event - 1) < (uint16_t)(q->next - old);
}

static bool kick_wanted_packed(struct vq *q, uint32_t old)
{
	uint16_t flags = __atomic_load_n((uint16_t *)q->used + 1, __ATOMIC_ACQUIRE);
	uint16_t place = __atomic_load_n((uint16_t *)q->used, __ATOMIC_RELAXED);
	uint32_t at;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	for (at = old; at != q->next; at++)
		if ((at % VQ_NUM | (at / VQ_NUM % 2 ? 0 : 1 << 15)) == place)
			return true;
	return false;
}

bool vq_kick_wanted(struct vq *q, uint32_t old)
{
	/* What was offered is out before the device's wish is read. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return q->packed ? kick_wanted_packed(q, old) : kick_wanted_split(q, old);
}

bool vq_kick_if(struct vq *q, uint32_t old)
{
	bool wanted = vq_kick_wanted(q, old);

	if (wanted)
		vq_kick(q);
	return wanted;
}

/* Is the next slot of a packed ring used? */
static bool used_packed(struct vq *q, const struct packed_desc *d)
{
	uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);

	return (flags & (P_AVAIL | P_USED)) == (q->seen / VQ_NUM % 2 ? 0 : P_AVAIL | P_USED);
}

int vq_take(struct vq *q)
{
	const struct packed_desc *d = (const struct packed_desc *)q->desc + q->seen % VQ_NUM;
	const struct vring_used *u = (const struct vring_used *)q->used;

	if (q->packed ? !used_packed(q, d) :
			__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) == (uint16_t)q->seen)
		return -1;
	q->seen++;
	return q->packed ? d->id : (int)u->ring[(q->seen - 1) % VQ_NUM].id;
}

/* In order a used descriptor may stand for those before it: its id tells. */
static void reap_packed(struct vq *q)
{
	struct packed_desc *d;

	while (q->seen != q->next) {
		d = (struct packed_desc *)q->desc + q->seen % VQ_NUM;
		if (!used_packed(q, d))
			return;
		q->seen += (d->id + VQ_NUM - q->seen % VQ_NUM) % VQ_NUM + 1;
	}
}

uint32_t vq_returned(struct vq *q)
{
	const struct vring_used *u = (const struct vring_used *)q->used;

	if (q->packed)
		reap_packed(q);
	else
		q->seen += (uint16_t)(__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) - q->seen);
	return q->seen;
}

bool vq_wait(struct vq *q, uint32_t n, unsigned int ms)
{
	unsigned int looks;

	for (looks = 0; (int32_t)(vq_returned(q) - n) < 0; looks++) {
		if (looks == ms)
			return false;
		sleep_ms(1);
	}
	return true;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packed rings, and split ones used in order: driven by the mock drivers that the
 * ring engine's own tests use. What comes back waits here until it is reaped, so
 * that the rest of vring needs no index of the device.
 */
#include "../virtio/user/ring_env.h"
#include "../virtio/mock_packed.h"

#include "vring.h"

struct vr_back {
	uint16_t slot;
	uint32_t len;
};

/**
 * struct vr_mock - a ring of one of these layouts
 * @arena: the guest memory of its parts and indirect tables
 * @is_packed: which of the two it is
 * @desc: what each slot's chain consists of, @chain of them; addresses are the guest's
 * @back: what came back and was not reaped yet, first in first out
 */
struct vr_mock {
	struct mock_arena arena;
	bool is_packed;
	union {
		struct mock_split split;
		struct mock_packed packed;
	};
	struct vring_desc *desc;
	struct vr_back *back;
	unsigned int first, count;
};

static unsigned int align_up(unsigned int v, unsigned int align)
{
	return (v + align - 1) & ~(align - 1);
}

/* Takes the ring's memory, all of which is this ring's alone. */
void vr_mock_place(struct vr_vq *q, struct vr_mem *m, const struct vr_opts *o)
{
	struct mock_layout lay = {
		.num = o->ring, .tables = o->indirect ? o->chain : 0, .event_idx = o->event_idx,
		.in_order = o->layout == VR_LAYOUT_IN_ORDER, .le = true, .salt = 0x5a5a,
		.offset = { align_up(o->offset, 16), align_up(o->offset, 4), align_up(o->offset, 4) },
	};
	struct vr_mock *k = calloc(1, sizeof(*k));
	size_t bytes = vr_ring_bytes(o);
	const struct vd_plain *ring;
	void *at = vr_mem_take(m, bytes, 4096, 0);

	if (!k)
		vr_die("out of memory");
	mock_arena_init(&k->arena, at, bytes, vr_gpa(m, at));
	k->is_packed = o->layout == VR_LAYOUT_PACKED;
	if (k->is_packed)
		mock_packed_init(&k->packed, &k->arena, &lay);
	else
		mock_split_init(&k->split, &k->arena, &lay);
	ring = k->is_packed ? &k->packed.ring : &k->split.ring;
	q->vr.num = o->ring;
	q->vr.desc = (void *)ring->part[VD_PART_DESC];
	q->vr.avail = (void *)ring->part[VD_PART_AVAIL];
	q->vr.used = (void *)ring->part[VD_PART_USED];
	q->mock = k;
}

/* Slots, and what they consist of; returns the descriptors to be filled in. */
struct vring_desc *vr_mock_slots(struct vr_vq *q)
{
	struct vr_mock *k = q->mock;

	k->desc = calloc((size_t)q->slots * q->chain, sizeof(*k->desc));
	k->back = calloc(q->slots, sizeof(*k->back));
	if (!k->desc || !k->back)
		vr_die("out of memory");
	if (!q->want_calls && k->is_packed)
		mock_packed_no_interrupt(&k->packed);
	else if (!q->want_calls)
		mock_no_interrupt(&k->split);
	return k->desc;
}

void vr_mock_add(struct vr_vq *q, unsigned int slot)
{
	struct vr_mock *k = q->mock;
	const struct vring_desc *d = k->desc + (size_t)slot * q->chain;
	struct vd_seg seg[VR_MAX_CHAIN];
	struct mock_chain c = {
		.seg = seg, .nr_out = q->tx ? q->chain : 0, .nr_in = q->tx ? 0 : q->chain,
		.direct = q->indirect ? 0 : q->chain, .cookie = slot,
	};
	unsigned int i;

	for (i = 0; i < q->chain; i++)
		seg[i] = (struct vd_seg){ d[i].addr, d[i].len };
	if ((k->is_packed ? mock_packed_add(&k->packed, &c) : mock_add(&k->split, &c)) < 0)
		vr_die("the ring is full with %u of %u slots free: a mistake in vring's own sums",
		       q->free_count, q->slots);
}

/* Shows the device what was added; true if it wants to be told. */
bool vr_mock_publish(struct vr_vq *q)
{
	struct vr_mock *k = q->mock;

	if (k->is_packed) {
		mock_packed_publish(&k->packed);
		return mock_packed_need_kick(&k->packed);
	}
	mock_publish(&k->split);
	return mock_need_kick(&k->split);
}

static uint32_t whole(const struct vr_vq *q)
{
	uint32_t sum = 0;
	unsigned int i;

	for (i = 0; i < q->chain; i++)
		sum += q->seg_cap[i];
	return sum;
}

bool vr_mock_returned(struct vr_vq *q)
{
	struct vr_mock *k = q->mock;

	return k->count || (k->is_packed ? mock_packed_more_used(&k->packed) :
					   mock_more_used(&k->split));
}

/* How many came back and wait to be reaped. */
unsigned int vr_mock_waiting(struct vr_vq *q)
{
	struct vr_mock *k = q->mock;
	struct mock_done done;
	int got;

	for (;;) {
		got = k->is_packed ? mock_packed_reap(&k->packed, &done) :
				     mock_reap(&k->split, &done);
		if (got <= 0)
			break;
		/* A buffer without a used element of its own was filled: 2.7.9. */
		k->back[(k->first + k->count++) % q->slots] = (struct vr_back){
			done.cookie, done.skipped && !q->tx ? whole(q) : done.len,
		};
	}
	/* A packed ring can't go on after nonsense, nor can one in order. */
	q->bad_used += got < 0 && !q->bad_used;
	return k->count;
}

int vr_mock_slot(const struct vr_vq *q, unsigned int ahead, unsigned int *len)
{
	const struct vr_mock *k = q->mock;
	const struct vr_back *b = &k->back[(k->first + ahead) % q->slots];

	if (ahead >= k->count)
		return -1;
	*len = b->len;
	return b->slot;
}

/* The one that came back first was taken care of. */
void vr_mock_next(struct vr_vq *q)
{
	q->mock->first = (q->mock->first + 1) % q->slots;
	q->mock->count--;
}

bool vr_mock_arm(struct vr_vq *q)
{
	struct vr_mock *k = q->mock;

	if (k->count)
		return true;
	return k->is_packed ? mock_packed_want_interrupt(&k->packed) :
			      mock_want_interrupt(&k->split);
}

/* As VHOST_GET_VRING_BASE has it when all that was made available came back. */
uint32_t vr_mock_base(const struct vr_vq *q)
{
	const struct vr_mock *k = q->mock;
	uint32_t place;

	if (!k->is_packed)
		return k->split.last_used;
	place = mock_place_word(k->packed.used);
	return place | place << 16;
}

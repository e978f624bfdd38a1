/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver side of a split ring, for tests, fuzzers and benchmarks.
 *
 * It is written from the specification (virtio 1.3, section 2.7) and shares no
 * code with the engine, so that the two check each other. mock_raw.h adds the
 * means to break the rules.
 */
#ifndef VD_MOCK_DRIVER_H
#define VD_MOCK_DRIVER_H

#include "mock_arena.h"
#include "user/plain_ops.h"

#define MOCK_F_NEXT		1u
#define MOCK_F_WRITE		2u
#define MOCK_F_INDIRECT		4u

/**
 * struct mock_layout - what a ring shall look like
 * @num: size in descriptors
 * @offset: where in a page each part starts; a legal one is a multiple of
 *          16, 2 and 4
 * @tables: entries of each descriptor's own indirect table, 0 for none
 * @start: value that both indices start from; packed: slot that both sides
 *         start from, and bit 15 if it is in a round of wrap counter 0
 * @salt: packed: what makes buffer ids of 16 arbitrary bits
 * @packed: VIRTIO_F_RING_PACKED negotiated: mock_packed.h
 * @in_order: VIRTIO_F_IN_ORDER negotiated
 * @cyclic: split: descriptors are used in the order of the table, as they are
 *          with @in_order: for a device that happens to keep the order
 * @event_idx: VIRTIO_F_EVENT_IDX negotiated
 * @le: words are little endian, else native
 */
struct mock_layout {
	u32 num;
	u32 offset[VD_PARTS];
	u32 tables;
	u16 start;
	u16 salt;
	bool packed;
	bool in_order;
	bool cyclic;
	bool event_idx;
	bool le;
};

/**
 * struct mock_chain - buffers to make available as one chain
 * @seg: them, device-readable ones first
 * @nr_out: how many the device reads
 * @nr_in: how many the device writes
 * @direct: how many go to the ring itself; the rest to an indirect table
 * @shuffle: seed for the order of entries in the table, 0 for ascending
 * @cookie: comes back with the used element
 */
struct mock_chain {
	const struct vd_seg *seg;
	u32 nr_out;
	u32 nr_in;
	u32 direct;
	u32 shuffle;
	u64 cookie;
};

/*
 * A chain that came back; in order, perhaps without a used element of its own
 * (2.7.9, 2.8.8).
 */
struct mock_done {
	u16 head;
	bool skipped;
	u32 len;
	u64 cookie;
};

/* What the driver remembers of the chain that starts at a descriptor. */
struct mock_slot {
	u64 cookie;
	u16 descs;
};

/**
 * struct mock_split - the driver's side of a split ring
 * @arena: guest memory
 * @lay: what was asked for
 * @ring: where the parts are in this process
 * @gpa: where they are for the guest
 * @tables: guest address of the indirect tables
 * @next: private copy of the descriptors' links, and the free list
 * @slot: per head
 * @perm: scratch for shuffled tables
 * @free_head: first free descriptor
 * @num_free: how many are free
 * @avail_idx: index after the last chain added
 * @published: what the device was told of it
 * @kicked: @published at the last decision about a kick
 * @used_idx: newest index of the device that was seen
 * @last_used: next used element to reap
 * @order: in order: heads by index
 * @batch_end: in order: index after the batch whose element was read last
 * @batch_len: in order: length in that element
 */
struct mock_split {
	struct mock_arena *arena;
	struct mock_layout lay;
	struct vd_plain ring;
	u64 gpa[VD_PARTS];
	u64 tables;
	u16 *next;
	struct mock_slot *slot;
	u16 *perm;
	u16 free_head;
	u32 num_free;
	u16 avail_idx;
	u16 published;
	u16 kicked;
	u16 used_idx;
	u16 last_used;
	u16 *order;
	u16 batch_end;
	u32 batch_len;
};

static __always_inline u16 mock16(const struct mock_split *d, u16 v)
{
	return d->lay.le ? cpu_to_le16(v) : v;
}

static __always_inline u32 mock32(const struct mock_split *d, u32 v)
{
	return d->lay.le ? cpu_to_le32(v) : v;
}

static __always_inline u64 mock64(const struct mock_split *d, u64 v)
{
	return d->lay.le ? cpu_to_le64(v) : v;
}

/* Where the words are: sections 2.7.6 and 2.7.8. */
static __always_inline void *mock_avail(const struct mock_split *d, u32 off)
{
	return d->ring.part[VD_PART_AVAIL] + off;
}

static __always_inline void *mock_used(const struct mock_split *d, u32 off)
{
	return d->ring.part[VD_PART_USED] + off;
}

static __always_inline void *mock_used_event(const struct mock_split *d)
{
	return mock_avail(d, 4 + 2 * d->lay.num);
}

static __always_inline void *mock_avail_event(const struct mock_split *d)
{
	return mock_used(d, 4 + 8 * d->lay.num);
}

static __always_inline void
mock_write_desc(const struct mock_split *d, void *table, u32 i, u64 addr,
		u32 len, u16 flags, u16 next)
{
	u8 *at = (u8 *)table + 16ul * i;
	union {
		struct {
			u32 len;
			u16 flags;
			u16 next;
		};
		u64 word;
	} u = { { mock32(d, len), mock16(d, flags), mock16(d, next) } };

	word_store64(at, mock64(d, addr));
	word_store64(at + 8, u.word);
}

static inline void *mock_calloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p) {
		perror("mock_calloc");
		exit(1);
	}
	return p;
}

/**
 * mock_split_init - make an empty ring
 * @d: the driver
 * @a: where its memory comes from
 * @lay: what it shall look like
 */
static inline void mock_split_init(struct mock_split *d, struct mock_arena *a,
				   const struct mock_layout *lay)
{
	u32 num = lay->num, i;
	const u32 size[VD_PARTS] = {
		16 * num, 4 + 2 * num + (lay->event_idx ? 2 : 0),
		4 + 8 * num + (lay->event_idx ? 2 : 0),
	};

	*d = (struct mock_split){ .arena = a, .lay = *lay };
	for (i = 0; i < VD_PARTS; i++) {
		d->gpa[i] = mock_arena_take(a, size[i], 4096, lay->offset[i]);
		d->ring.part[i] = mock_at(a, d->gpa[i], size[i]);
	}
	if (lay->tables)
		d->tables = mock_arena_take(a, 16ull * num * lay->tables, 16, 0);
	d->next = mock_calloc(num, sizeof(*d->next));
	d->slot = mock_calloc(num, sizeof(*d->slot));
	d->perm = mock_calloc(lay->tables, sizeof(*d->perm));
	d->order = mock_calloc(num, sizeof(*d->order));
	/* In order, descriptors are used in the order of the table: 2.7.5. */
	for (i = 0; i < num; i++)
		d->next[i] = lay->in_order || lay->cyclic ?
			     (i + 1) & (num - 1) : i + 1;
	d->num_free = num;
	d->avail_idx = lay->start;
	d->published = lay->start;
	d->kicked = lay->start;
	d->used_idx = lay->start;
	d->last_used = lay->start;
	d->batch_end = lay->start;
	word_store16_sync(mock_avail(d, 2), mock16(d, lay->start));
	word_store16_sync(mock_used(d, 2), mock16(d, lay->start));
}

static inline void mock_split_exit(struct mock_split *d)
{
	free(d->next);
	free(d->slot);
	free(d->perm);
	free(d->order);
}

/* The state in which a device meets this ring. */
static inline struct vd_ring mock_device(const struct mock_split *d)
{
	return (struct vd_ring){
		.num = d->lay.num,
		.last_avail = d->lay.start,
		.avail_idx = d->lay.start,
		.last_used = d->lay.start,
		.in_order = d->lay.in_order,
		.event_idx = d->lay.event_idx,
		.indirect = d->lay.tables > 0,
		.le = d->lay.le,
	};
}

/* Guest address of the table that belongs to descriptor @i. */
static inline u64 mock_table(const struct mock_split *d, u32 i)
{
	return d->tables + 16ull * i * d->lay.tables;
}

/* A random order of @n entries that starts at entry 0, as a chain must. */
static inline void mock_permute(u16 *perm, u32 n, u32 seed)
{
	u32 i, j;
	u16 tmp;

	for (i = 0; i < n; i++)
		perm[i] = i;
	for (i = n - 1; seed && i > 1; i--) {
		seed = seed * 1664525u + 1013904223u;
		j = 1 + (seed >> 8) % i;
		tmp = perm[i];
		perm[i] = perm[j];
		perm[j] = tmp;
	}
}

/* Writes the entries from @c->direct on to the table at @gpa. */
static inline void mock_fill_table(struct mock_split *d,
				   const struct mock_chain *c, u64 gpa)
{
	u32 n = c->nr_out + c->nr_in - c->direct, i;
	void *table = mock_at(d->arena, gpa, 16ull * n);

	mock_permute(d->perm, n, c->shuffle);
	for (i = 0; i < n; i++) {
		const struct vd_seg *s = &c->seg[c->direct + i];
		u16 flags = c->direct + i >= c->nr_out ? MOCK_F_WRITE : 0;
		bool last = i + 1 == n;

		mock_write_desc(d, table, d->perm[i], s->addr, s->len,
				flags | (last ? 0 : MOCK_F_NEXT),
				last ? 0 : d->perm[i + 1]);
	}
}

/**
 * mock_add - make a chain available, without telling the device
 * @d: the driver
 * @c: the chain
 *
 * Return: its head, or -1 if the ring is too full. Sections 2.7.13.1 and .2.
 */
static inline int mock_add(struct mock_split *d, const struct mock_chain *c)
{
	u32 total = c->nr_out + c->nr_in, n, i;
	u16 head = d->free_head, at = head;

	n = c->direct < total ? c->direct + 1 : total;
	if (!n || n > d->num_free || total - c->direct > d->lay.tables)
		return -1;
	for (i = 0; i < n; i++) {
		u16 flags = i + 1 < n ? MOCK_F_NEXT : 0;
		struct vd_seg s;

		if (i < c->direct) {
			s = c->seg[i];
			flags |= i >= c->nr_out ? MOCK_F_WRITE : 0;
		} else {
			s.addr = mock_table(d, head);
			s.len = 16 * (total - c->direct);
			flags = MOCK_F_INDIRECT;
			mock_fill_table(d, c, s.addr);
		}
		mock_write_desc(d, d->ring.part[VD_PART_DESC], at, s.addr,
				s.len, flags, d->next[at]);
		at = d->next[at];
	}
	d->free_head = at;
	d->num_free -= n;
	d->slot[head] = (struct mock_slot){ c->cookie, n };
	d->order[d->avail_idx & (d->lay.num - 1)] = head;
	word_store16(mock_avail(d, 4 + 2 * (d->avail_idx & (d->lay.num - 1))),
		     mock16(d, head));
	d->avail_idx++;
	return head;
}

/* Tells the device of everything added. Section 2.7.13.3. */
static inline void mock_publish(struct mock_split *d)
{
	/* Pairs with the device's read barrier after the index. */
	smp_wmb();
	word_store16_sync(mock_avail(d, 2), mock16(d, d->avail_idx));
	d->published = d->avail_idx;
}

/**
 * mock_need_kick - does the device want to hear of what was published?
 * @d: the driver
 *
 * Section 2.7.13.4. One decision for all since the last.
 */
static inline bool mock_need_kick(struct mock_split *d)
{
	u16 old = d->kicked, new = d->published, event;

	/* Pairs with the device's barrier after it asked for a kick. */
	smp_mb();
	d->kicked = new;
	if (!d->lay.event_idx)
		return !(mock16(d, word_load16_sync(mock_used(d, 0))) & 1);
	event = mock16(d, word_load16_sync(mock_avail_event(d)));
	return (u16)(event - old) < (u16)(new - old);
}

/* Is there a used element? Looks at memory only if none is known of. */
static inline bool mock_more_used(struct mock_split *d)
{
	if (d->used_idx != d->last_used)
		return true;
	d->used_idx = mock16(d, word_load16_sync(mock_used(d, 2)));
	/* Pairs with the device's write barrier before the index. */
	smp_rmb();
	return d->used_idx != d->last_used;
}

/* Takes the descriptors of head @id back. */
static inline void mock_release(struct mock_split *d, u16 id)
{
	u32 n = d->slot[id].descs, i;
	u16 tail = id;

	d->slot[id].descs = 0;
	d->num_free += n;
	if (d->lay.in_order || d->lay.cyclic)
		return;
	for (i = 1; i < n; i++)
		tail = d->next[tail];
	d->next[tail] = d->free_head;
	d->free_head = id;
}

/*
 * The next head in order; with a new used element, which stands for all up to
 * the one it names: that one must be out, and the index must cover it. Section
 * 2.7.9.
 */
static inline int mock_in_order(struct mock_split *d, u32 id,
				struct mock_done *done)
{
	u16 at = d->last_used, mask = d->lay.num - 1;

	if (at == d->batch_end) {
		while (d->order[at & mask] != id && at != d->used_idx)
			at++;
		if (at == d->used_idx)
			return -1;
		d->batch_end = at + 1;
		d->batch_len = done->len;
	}
	id = d->order[d->last_used & mask];
	done->skipped = (u16)(d->last_used + 1) != d->batch_end;
	done->len = done->skipped ? 0 : d->batch_len;
	return (int)id;
}

/**
 * mock_reap - take one chain back
 * @d: the driver
 * @done: which
 *
 * Return: 1, 0 if there is none, or -1 if the device gave back something that
 * it did not have. Section 2.7.14.
 */
static inline int mock_reap(struct mock_split *d, struct mock_done *done)
{
	int ret;
	u32 id;
	u8 *at;

	if (!mock_more_used(d))
		return 0;
	at = mock_used(d, 4 + 8 * (d->last_used & (d->lay.num - 1)));
	id = mock32(d, word_load32(at));
	done->len = mock32(d, word_load32(at + 4));
	done->skipped = false;
	if (d->lay.in_order) {
		ret = mock_in_order(d, id, done);
		if (ret < 0)
			return ret;
		id = ret;
	}
	d->last_used++;
	if (id >= d->lay.num || !d->slot[id].descs)
		return -1;
	done->head = id;
	done->cookie = d->slot[id].cookie;
	mock_release(d, id);
	return 1;
}

/* With event indices there is nothing to write: a stale one is passed by. */
static inline void mock_no_interrupt(struct mock_split *d)
{
	if (!d->lay.event_idx)
		word_store16_sync(mock_avail(d, 0), mock16(d, 1));
}

/**
 * mock_want_interrupt - ask for an interrupt for the next used element
 * @d: the driver
 *
 * Return: true if there is one already, and it is not safe to sleep.
 * Section 2.7.7.1.
 */
static inline bool mock_want_interrupt(struct mock_split *d)
{
	if (d->lay.event_idx)
		word_store16_sync(mock_used_event(d), mock16(d, d->last_used));
	else
		word_store16_sync(mock_avail(d, 0), 0);
	/* Pairs with the device's barrier before it reads the word. */
	smp_mb();
	return mock_more_used(d);
}

#endif /* VD_MOCK_DRIVER_H */

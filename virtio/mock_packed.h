/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The driver side of a packed ring, for tests, fuzzers and benchmarks.
 *
 * It is written from the specification (virtio 1.3, section 2.8) and shares no
 * code with the engine, so that the two check each other. As a driver may, it
 * makes all that was added available at once, by the flags of the first
 * descriptor alone. Raw access is at the end.
 */
#ifndef VD_MOCK_PACKED_H
#define VD_MOCK_PACKED_H

#include "mock_driver.h"

#define MOCK_F_AVAIL		(1u << 7)
#define MOCK_F_USED		(1u << 15)
#define MOCK_WRAP		(1u << 15)

/* Flags of an event suppression structure. Section 2.8.14. */
enum mock_event {
	MOCK_EVENT_ENABLE,
	MOCK_EVENT_DISABLE,
	MOCK_EVENT_DESC
};

/* A slot, and the wrap counter of the round that it is in. */
struct mock_place {
	u16 slot;
	bool wrap;
};

/* What the driver remembers of a buffer; its number makes its id. */
struct mock_buffer {
	u64 cookie;
	u16 descs;
	u16 next_free;
};

/**
 * struct mock_packed - the driver's side of a packed ring
 * @arena: guest memory
 * @lay: what was asked for
 * @ring: where the parts are in this process
 * @gpa: where they are for the guest
 * @tables: guest address of the indirect tables, one a slot
 * @buffer: by number
 * @free_buffer: first free number
 * @num_free: free slots
 * @avail: place after the last descriptor added
 * @first: place of the first that was added and not published
 * @first_flags: its flags
 * @unpublished: slots added since
 * @fresh: slots published since the last decision about a kick
 * @used: where the next used descriptor will be
 * @order: numbers in the order in which they were made available
 * @oldest: in @order, the first that is out
 * @out: how many are
 * @batch: in order: buffers left of a batch whose used descriptor was read
 * @batch_len: in order: length in that descriptor
 */
struct mock_packed {
	struct mock_arena *arena;
	struct mock_layout lay;
	struct vd_plain ring;
	u64 gpa[VD_PARTS];
	u64 tables;
	struct mock_buffer *buffer;
	u16 free_buffer;
	u32 num_free;
	struct mock_place avail;
	struct mock_place first;
	u16 first_flags;
	u32 unpublished;
	u32 fresh;
	struct mock_place used;
	u16 *order;
	u32 oldest;
	u32 out;
	u32 batch;
	u32 batch_len;
};

static __always_inline u16 mock_p16(const struct mock_packed *d, u16 v)
{
	return d->lay.le ? cpu_to_le16(v) : v;
}

static __always_inline u32 mock_p32(const struct mock_packed *d, u32 v)
{
	return d->lay.le ? cpu_to_le32(v) : v;
}

static __always_inline u64 mock_p64(const struct mock_packed *d, u64 v)
{
	return d->lay.le ? cpu_to_le64(v) : v;
}

/* An odd factor has an inverse modulo 2^16: ids are scattered, none twice. */
#define MOCK_ID_FACTOR		40503u
#define MOCK_ID_INVERSE		30599u

static_assert((u16)(MOCK_ID_FACTOR * MOCK_ID_INVERSE) == 1);

static __always_inline u16 mock_packed_id(const struct mock_packed *d, u16 i)
{
	return i * MOCK_ID_FACTOR + d->lay.salt;
}

/* The number of a buffer; not below num for an id that is no buffer's. */
static __always_inline u16 mock_packed_number(const struct mock_packed *d,
					      u16 id)
{
	return (u16)(id - d->lay.salt) * MOCK_ID_INVERSE;
}

static __always_inline void *mock_packed_desc(const struct mock_packed *d,
					      u32 slot)
{
	return d->ring.part[VD_PART_DESC] + 16ul * slot;
}

/* Places count up to two rounds, which the wrap counter tells apart. */
static __always_inline u32 mock_place_count(const struct mock_packed *d,
					    struct mock_place p)
{
	return p.slot + (p.wrap ? 0 : d->lay.num);
}

static __always_inline void mock_place_step(const struct mock_packed *d,
					    struct mock_place *p, u32 slots)
{
	u32 at = p->slot + slots;

	if (at >= d->lay.num) {
		at -= d->lay.num;
		p->wrap = !p->wrap;
	}
	p->slot = at;
}

/* As it is written to off_wrap. Section 2.8.14. */
static __always_inline u16 mock_place_word(struct mock_place p)
{
	return p.slot | (p.wrap ? MOCK_WRAP : 0);
}

/* All of a descriptor but its flags. Section 2.8.13. */
static __always_inline void
mock_packed_write(const struct mock_packed *d, void *at, u64 addr, u32 len,
		  u16 id)
{
	word_store64(at, mock_p64(d, addr));
	word_store32((u8 *)at + 8, mock_p32(d, len));
	word_store16((u8 *)at + 12, mock_p16(d, id));
}

/*
 * What memory looks like when both sides stand at @start: slots before it are
 * used in this round, those from it on in the one before.
 */
static inline void mock_packed_start(struct mock_packed *d,
				     struct mock_place start)
{
	const u16 used = MOCK_F_AVAIL | MOCK_F_USED;
	u32 i;

	for (i = 0; i < d->lay.num; i++)
		word_store16((u8 *)mock_packed_desc(d, i) + 14,
			     mock_p16(d, start.wrap == (i < start.slot) ?
				      used : 0));
	d->avail = start;
	d->used = start;
}

/**
 * mock_packed_init - make an empty ring
 * @d: the driver
 * @a: where its memory comes from
 * @lay: what it shall look like
 */
static inline void mock_packed_init(struct mock_packed *d,
				    struct mock_arena *a,
				    const struct mock_layout *lay)
{
	const u32 size[VD_PARTS] = { 16 * lay->num, 4, 4 };
	struct mock_place start = {
		lay->start % MOCK_WRAP % lay->num, !(lay->start & MOCK_WRAP),
	};
	u32 i;

	*d = (struct mock_packed){ .arena = a, .lay = *lay };
	for (i = 0; i < VD_PARTS; i++) {
		d->gpa[i] = mock_arena_take(a, size[i], 4096, lay->offset[i]);
		d->ring.part[i] = mock_at(a, d->gpa[i], size[i]);
	}
	if (lay->tables)
		d->tables = mock_arena_take(a, 16ull * lay->num * lay->tables,
					    16, 0);
	d->buffer = mock_calloc(lay->num, sizeof(*d->buffer));
	d->order = mock_calloc(lay->num, sizeof(*d->order));
	for (i = 0; i < lay->num; i++)
		d->buffer[i].next_free = i + 1;
	d->num_free = lay->num;
	mock_packed_start(d, start);
}

static inline void mock_packed_exit(struct mock_packed *d)
{
	free(d->buffer);
	free(d->order);
}

/* The state in which a device meets this ring. */
static inline struct vd_ring mock_packed_device(const struct mock_packed *d)
{
	return (struct vd_ring){
		.num = d->lay.num,
		.last_avail = d->avail.slot,
		.avail_wrap = d->avail.wrap,
		.avail_idx = d->avail.slot,
		.seen_wrap = d->avail.wrap,
		.last_used = d->used.slot,
		.used_wrap = d->used.wrap,
		.packed = true,
		.in_order = d->lay.in_order,
		.event_idx = d->lay.event_idx,
		.indirect = d->lay.tables > 0,
		.le = d->lay.le,
	};
}

/* Guest address of the table that belongs to slot @i. */
static inline u64 mock_packed_table(const struct mock_packed *d, u32 i)
{
	return d->tables + 16ull * i * d->lay.tables;
}

/* Writes the table of slot @slot; flags but WRITE mean nothing: 2.8.7. */
static inline struct vd_seg mock_packed_fill(struct mock_packed *d,
					     const struct mock_chain *c,
					     u32 slot)
{
	u32 n = c->nr_out + c->nr_in, i;
	u64 gpa = mock_packed_table(d, slot);
	u8 *table = mock_at(d->arena, gpa, 16ull * n);

	for (i = 0; i < n; i++) {
		u16 junk = (c->shuffle + i) & ~MOCK_F_WRITE;

		mock_packed_write(d, table + 16ul * i, c->seg[i].addr,
				  c->seg[i].len, c->shuffle ^ i);
		word_store16(table + 16ul * i + 14,
			     mock_p16(d, junk | (i >= c->nr_out ?
						 MOCK_F_WRITE : 0)));
	}
	return (struct vd_seg){ gpa, 16 * n };
}

/*
 * Writes the descriptors of a chain; only the flags of the first that is not
 * published yet stay behind. The id is in the last; in the others nothing is.
 */
static inline void mock_packed_place(struct mock_packed *d,
				     const struct mock_chain *c, u32 n, u16 id)
{
	bool table = c->nr_out + c->nr_in != c->direct;
	u32 i;

	for (i = 0; i < n; i++) {
		u8 *at = mock_packed_desc(d, d->avail.slot);
		struct vd_seg s = table ?
			mock_packed_fill(d, c, d->avail.slot) : c->seg[i];
		u16 flags = d->avail.wrap ? MOCK_F_AVAIL : MOCK_F_USED;

		if (table)
			flags |= MOCK_F_INDIRECT;
		else
			flags |= (i >= c->nr_out ? MOCK_F_WRITE : 0) |
				 (i + 1 < n ? MOCK_F_NEXT : 0);
		mock_packed_write(d, at, s.addr, s.len, i + 1 < n ? ~id : id);
		if (d->unpublished) {
			word_store16(at + 14, mock_p16(d, flags));
		} else {
			d->first = d->avail;
			d->first_flags = flags;
		}
		d->unpublished++;
		mock_place_step(d, &d->avail, 1);
	}
}

/**
 * mock_packed_add - make a chain available, without telling the device
 * @d: the driver
 * @c: the chain: all of it direct, or none
 *
 * Return: its buffer id, or -1 if the ring is too full. Sections 2.8.5 to
 * 2.8.7, 2.8.21.1.
 */
static inline int mock_packed_add(struct mock_packed *d,
				  const struct mock_chain *c)
{
	u32 total = c->nr_out + c->nr_in, n;
	u16 i = d->free_buffer;

	n = c->direct < total ? 1 : total;
	if (!n || n > d->num_free || (c->direct && c->direct != total) ||
	    total - c->direct > d->lay.tables)
		return -1;
	mock_packed_place(d, c, n, mock_packed_id(d, i));
	d->free_buffer = d->buffer[i].next_free;
	d->num_free -= n;
	d->buffer[i].cookie = c->cookie;
	d->buffer[i].descs = n;
	d->order[(d->oldest + d->out++) % d->lay.num] = i;
	return mock_packed_id(d, i);
}

/* Makes everything added available. Section 2.8.21.1. */
static inline void mock_packed_publish(struct mock_packed *d)
{
	if (!d->unpublished)
		return;
	/* Pairs with the device's read barrier after the flags. */
	smp_wmb();
	word_store16_sync((u8 *)mock_packed_desc(d, d->first.slot) + 14,
			  mock_p16(d, d->first_flags));
	d->fresh += d->unpublished;
	d->unpublished = 0;
}

/**
 * mock_packed_need_kick - does the device want to hear of what was published?
 * @d: the driver
 *
 * Section 2.8.10. One decision for all since the last.
 */
static inline bool mock_packed_need_kick(struct mock_packed *d)
{
	const u8 *event = d->ring.part[VD_PART_USED];
	u32 n = d->fresh, rounds = 2 * d->lay.num, back;
	struct mock_place now = d->unpublished ? d->first : d->avail, p;
	u16 flags, word;

	d->fresh = 0;
	/* Pairs with the device's barrier after it asked for a kick. */
	smp_mb();
	flags = mock_p16(d, word_load16_sync(event + 2)) & 3;
	if (flags != MOCK_EVENT_DESC)
		return flags != MOCK_EVENT_DISABLE;
	/* Pairs with the device's write barrier before the flags. */
	smp_rmb();
	word = mock_p16(d, word_load16_sync(event));
	p = (struct mock_place){ word % MOCK_WRAP, word & MOCK_WRAP };
	/* How long ago the slot that it asks for was published. */
	back = mock_place_count(d, now) + rounds - mock_place_count(d, p);
	back %= rounds;
	return n >= rounds || (back && back <= n);
}

/* Is there a used descriptor where one must appear next? Section 2.8.1. */
static inline bool mock_packed_more_used(struct mock_packed *d)
{
	u16 flags;

	if (d->batch)
		return true;
	flags = mock_p16(d, word_load16_sync((u8 *)mock_packed_desc(d,
						d->used.slot) + 14));
	/* Pairs with the device's write barrier before these flags. */
	smp_rmb();
	return !!(flags & MOCK_F_AVAIL) == d->used.wrap &&
	       !!(flags & MOCK_F_USED) == d->used.wrap;
}

/* Reads the used descriptor: the number and length of what came back. */
static inline u16 mock_packed_read(const struct mock_packed *d, u32 *len)
{
	u8 *at = mock_packed_desc(d, d->used.slot);

	/* Without WRITE the length means nothing: 2.8.4. */
	*len = 0;
	if (mock_p16(d, word_load16(at + 14)) & MOCK_F_WRITE)
		*len = mock_p32(d, word_load32(at + 8));
	return mock_packed_number(d, mock_p16(d, word_load16(at + 12)));
}

/*
 * The next buffer in order; with a new used descriptor, which stands for all
 * up to the one it names. Section 2.8.8.
 */
static inline int mock_packed_in_order(struct mock_packed *d,
				       struct mock_done *done)
{
	u32 num = d->lay.num, n = 0;
	u16 i;

	if (!d->batch) {
		i = mock_packed_read(d, &d->batch_len);
		while (n < d->out && d->order[(d->oldest + n) % num] != i)
			n++;
		if (n == d->out)
			return -1;
		d->batch = n + 1;
	}
	done->skipped = --d->batch;
	done->len = done->skipped ? 0 : d->batch_len;
	return d->order[d->oldest];
}

/**
 * mock_packed_reap - take one chain back
 * @d: the driver
 * @done: which
 *
 * Return: 1, 0 if there is none, or -1 if the device gave back something that
 * it did not have. Section 2.8.22.
 */
static inline int mock_packed_reap(struct mock_packed *d,
				   struct mock_done *done)
{
	struct mock_buffer *b;
	int i;

	if (!mock_packed_more_used(d))
		return 0;
	*done = (struct mock_done){ 0 };
	i = d->lay.in_order ? mock_packed_in_order(d, done) :
			      mock_packed_read(d, &done->len);
	if (i < 0 || i >= (int)d->lay.num || !d->buffer[i].descs)
		return -1;
	b = &d->buffer[i];
	done->head = mock_packed_id(d, i);
	done->cookie = b->cookie;
	mock_place_step(d, &d->used, b->descs);
	d->num_free += b->descs;
	b->descs = 0;
	b->next_free = d->free_buffer;
	d->free_buffer = i;
	d->oldest = (d->oldest + 1) % d->lay.num;
	d->out--;
	return 1;
}

static inline void mock_packed_no_interrupt(struct mock_packed *d)
{
	word_store16_sync(d->ring.part[VD_PART_AVAIL] + 2,
			  mock_p16(d, MOCK_EVENT_DISABLE));
}

/**
 * mock_packed_want_interrupt - ask for an interrupt for the next used buffer
 * @d: the driver
 *
 * Return: true if there is one already, and it is not safe to sleep.
 * Section 2.8.10.
 */
static inline bool mock_packed_want_interrupt(struct mock_packed *d)
{
	u8 *event = d->ring.part[VD_PART_AVAIL];

	if (d->lay.event_idx) {
		word_store16_sync(event, mock_p16(d, mock_place_word(d->used)));
		/* The place before the flags that make it count. */
		smp_wmb();
		word_store16_sync(event + 2, mock_p16(d, MOCK_EVENT_DESC));
	} else {
		word_store16_sync(event + 2, mock_p16(d, MOCK_EVENT_ENABLE));
	}
	/* Pairs with the device's barrier before it reads the words. */
	smp_mb();
	return mock_packed_more_used(d);
}

/*
 * Raw access: after any of these the ring is no longer fit for the functions
 * above.
 */

/* A descriptor of the round @wrap, with any other flags. */
static inline void mock_packed_raw_desc(struct mock_packed *d, u32 slot,
					bool wrap, u64 addr, u32 len, u16 id,
					u16 flags)
{
	u8 *at = mock_packed_desc(d, slot);

	flags |= wrap ? MOCK_F_AVAIL : MOCK_F_USED;
	mock_packed_write(d, at, addr, len, id);
	/* Pairs with the device's read barrier after the flags. */
	smp_wmb();
	word_store16_sync(at + 14, mock_p16(d, flags));
}

/* Entry @i of the table that belongs to slot @slot. */
static inline void mock_packed_raw_entry(struct mock_packed *d, u32 slot,
					 u32 i, u64 addr, u32 len, u16 id,
					 u16 flags)
{
	u8 *at = mock_at(d->arena, mock_packed_table(d, slot) + 16ull * i, 16);

	mock_packed_write(d, at, addr, len, id);
	word_store16(at + 14, mock_p16(d, flags));
}

/* The driver's event suppression structure. */
static inline void mock_packed_raw_event(struct mock_packed *d, u16 off_wrap,
					 u16 flags)
{
	u8 *event = d->ring.part[VD_PART_AVAIL];

	word_store16_sync(event, mock_p16(d, off_wrap));
	word_store16_sync(event + 2, mock_p16(d, flags));
}

/* What the device wrote to its own. */
static inline u16 mock_packed_raw_off_wrap(const struct mock_packed *d)
{
	return mock_p16(d, word_load16_sync(d->ring.part[VD_PART_USED]));
}

static inline u16 mock_packed_raw_flags(const struct mock_packed *d)
{
	return mock_p16(d, word_load16_sync(d->ring.part[VD_PART_USED] + 2));
}

#endif /* VD_MOCK_PACKED_H */

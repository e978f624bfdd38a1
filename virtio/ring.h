/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device side of a virtqueue: the state, the results and the accessors that
 * every ring format shares.
 *
 * The engine allocates nothing, takes no lock and knows no kernel structure.
 * Its bodies are __always_inline and take a constant struct vd_mem_ops, so
 * that each instance (direct map, user access, plain memory) compiles to
 * straight code. Guest words are read once, into a local; the local is
 * checked; only then is it used.
 *
 * Specification: virtio 1.3, sections 2.6 (virtqueues), 2.7 (split) and 2.8
 * (packed).
 */
#ifndef VD_RING_H
#define VD_RING_H

#include "ring_env.h"

/*
 * The three parts of a ring; each is one contiguous range of guest memory. A
 * packed ring has the driver's event suppression area for avail and the
 * device's for used.
 */
enum vd_part {
	VD_PART_DESC,
	VD_PART_AVAIL,
	VD_PART_USED,
	VD_PARTS
};

/* Most chains popped or pushed at a time. */
#define VD_BURST	64

/* Entries of an indirect table that are fetched in one go. */
#define VD_TABLE_RUN	32u

/*
 * Most segments of one chain, and of all chains of one burst together; also the
 * most descriptors of the table that one burst looks at, so that the time of a
 * pop is bounded whatever the driver wrote.
 */
#define VD_CHAIN_SEGS	1024

/*
 * Results below zero. An empty ring is no error: it is a count of zero. Each
 * reason has its own code, so that a log line or a test can name it.
 */
enum vd_reason {
	VD_OK = 0,
	VD_FAULT,		/* the ring itself could not be read or written */
	VD_BAD_AVAIL_JUMP,	/* avail index ahead by more than the ring */
	VD_BAD_HEAD,		/* head outside the descriptor table */
	VD_BAD_NEXT,		/* next outside its table */
	VD_BAD_LOOP,		/* chain longer than its table: a loop */
	VD_BAD_ORDER,		/* device-readable after device-writable */
	VD_BAD_LONG,		/* more than VD_CHAIN_SEGS descriptors */
	VD_BAD_INDIRECT_OFF,	/* indirect, but never negotiated */
	VD_BAD_INDIRECT_NEXT,	/* INDIRECT and NEXT on one descriptor */
	VD_BAD_INDIRECT_LEN,	/* table empty, ragged or above 2^16 entries */
	VD_BAD_INDIRECT_NEST,	/* INDIRECT inside an indirect table */
	VD_BAD_INDIRECT_READ,	/* table could not be read */
	VD_BAD_DIRECTION,	/* writable on TX, or readable on RX */
	VD_BAD_BUFFER,		/* a buffer could not be translated or accessed */
	VD_BURST_FULL,		/* internal: no room left, not an error */
	VD_REASONS
};

/**
 * struct vd_ring - the device's side of one virtqueue
 * @num: ring size in descriptors; split: a power of two
 * @last_avail: index of the next head to pop; packed: slot
 * @avail_idx: newest index the driver was seen to publish; packed: the slot
 *             after the last that was seen available
 * @last_used: index of the next used element; packed: slot
 * @signalled_used: @last_used at the last look at used_event
 * @used_flags: what the device last wrote to its flags
 * @signalled_valid: @signalled_used means something
 * @packed: VIRTIO_F_RING_PACKED negotiated
 * @in_order: VIRTIO_F_IN_ORDER negotiated
 * @avail_wrap: packed: wrap counter that goes with @last_avail
 * @seen_wrap: packed: with @avail_idx
 * @used_wrap: packed: with @last_used
 * @signalled_wrap: packed: with @signalled_used
 * @event_idx: VIRTIO_F_EVENT_IDX negotiated
 * @indirect: VIRTIO_F_INDIRECT_DESC negotiated
 * @notify_on_empty: VIRTIO_F_NOTIFY_ON_EMPTY negotiated (legacy)
 * @le: ring words are little endian (VERSION_1), else native
 * @out_only: the device writes to no buffer of this queue, whatever a
 *            descriptor says (a net device's transmit queues): the flag WRITE
 *            means nothing in indirect tables of a packed ring, see
 *            vd_chain_expand()
 */
struct vd_ring {
	u32 num;
	u16 last_avail;
	u16 avail_idx;
	u16 last_used;
	u16 signalled_used;
	u16 used_flags;
	bool signalled_valid;
	bool packed;
	bool in_order;
	bool avail_wrap;
	bool seen_wrap;
	bool used_wrap;
	bool signalled_wrap;
	bool event_idx;
	bool indirect;
	bool notify_on_empty;
	bool le;
	bool out_only;
};

/* A buffer of a chain: guest-physical address and length in bytes. */
struct vd_seg {
	u64 addr;
	u32 len;
};

/**
 * struct vd_chain - one popped descriptor chain
 * @head: its head, or buffer id, to be returned in the used ring
 * @first: index of its first segment in the burst
 * @slots: what it takes to rewind past it: 1, or descriptors of a packed ring
 * @nr_out: segments that the device reads; they come first
 * @nr_in: segments that the device writes
 * @indirect: the segment after them is an indirect table, still to be read
 * @unused: makes two words of it
 *
 * Two words, each of which vd_chain_single() stores at once. The bytes of a
 * chain are counted by vd_chain_out_len() and vd_chain_in_len().
 */
struct vd_chain {
	u16 head;
	u16 first;
	u16 slots;
	u16 nr_out;
	u16 nr_in;
	u16 indirect;
	u32 unused;
};

static_assert(sizeof(struct vd_chain) == 2 * sizeof(u64));

/**
 * struct vd_burst - what one pop yields
 * @count: chains
 * @nsegs: segments of them all; zero-length descriptors leave none
 * @singles: this many, from the first on, are of one slot and one segment each,
 *           all in the direction of the first: the segment of chain i is
 *           @seg[i]. There may be more of them
 * @chain: the chains
 * @seg: their segments
 * @head: of a split ring, entries of the avail ring as they were read
 * @table: of an indirect table, its entries as they were read
 *
 * The last two are of use to the pop, and to vd_chain_expand(), alone. They are
 * not on their stacks, which kernels fill with zeros each time.
 */
struct vd_burst {
	u32 count;
	u32 nsegs;
	u32 singles;
	struct vd_chain chain[VD_BURST];
	struct vd_seg seg[VD_CHAIN_SEGS];
	u16 head[VD_BURST];
	u64 table[VD_TABLE_RUN][2];
};

static inline u64 vd_segs_len(const struct vd_seg *seg, u32 n)
{
	u64 len = 0;
	u32 i;

	for (i = 0; i < n; i++)
		len += seg[i].len;
	return len;
}

/**
 * vd_chain_out_len - bytes of a chain that the device reads
 * @c: the chain
 * @seg: its first segment
 */
static __always_inline u64 vd_chain_out_len(const struct vd_chain *c,
					    const struct vd_seg *seg)
{
	return likely(c->nr_out == 1) ? seg->len : vd_segs_len(seg, c->nr_out);
}

/**
 * vd_chain_in_len - bytes of a chain that the device writes
 * @c: the chain
 * @seg: its first segment
 */
static __always_inline u64 vd_chain_in_len(const struct vd_chain *c,
					   const struct vd_seg *seg)
{
	seg += c->nr_out;
	return likely(c->nr_in == 1) ? seg->len : vd_segs_len(seg, c->nr_in);
}

/* An element of the used ring, in the ring's own byte order. */
struct vd_used {
	__le32 id;
	__le32 len;
};

/**
 * struct vd_mem_ops - how an instance of the engine reaches ring memory
 * @read16: read a 16-bit word
 * @read16_run: read @n consecutive 16-bit words
 * @read_desc: read one 16-byte descriptor
 * @write16: write a 16-bit word
 * @write64: write an aligned 64-bit word, at once; packed
 * @write_used: write @n consecutive used elements
 *
 * @off is in bytes from the start of the part and always inside it. All
 * return 0, or non-zero when the memory can't be reached. Words are passed in
 * the ring's byte order. @mem is the instance's own.
 */
struct vd_mem_ops {
	int (*read16)(const void *mem, enum vd_part part, size_t off, u16 *val);
	int (*read16_run)(const void *mem, enum vd_part part, size_t off,
			  u16 *val, u32 n);
	int (*read_desc)(const void *mem, size_t off, u64 desc[2]);
	int (*write16)(const void *mem, enum vd_part part, size_t off, u16 val);
	int (*write64)(const void *mem, enum vd_part part, size_t off, u64 val);
	int (*write_used)(const void *mem, size_t off, const struct vd_used *elem,
			  u32 n);
};

static __always_inline u16 vd_ring16(const struct vd_ring *r, u16 v)
{
	return r->le ? le16_to_cpu((__force __le16)v) : v;
}

static __always_inline u32 vd_ring32(const struct vd_ring *r, u32 v)
{
	return r->le ? le32_to_cpu((__force __le32)v) : v;
}

static __always_inline u64 vd_ring64(const struct vd_ring *r, u64 v)
{
	return r->le ? le64_to_cpu((__force __le64)v) : v;
}

/**
 * vd_used_elem - a used element in the ring's byte order
 * @r: the ring
 * @head: head of the chain that is given back
 * @len: bytes written to it
 */
static __always_inline struct vd_used
vd_used_elem(const struct vd_ring *r, u16 head, u32 len)
{
	struct vd_used e = {
		.id = r->le ? cpu_to_le32(head) : (__force __le32)(u32)head,
		.len = r->le ? cpu_to_le32(len) : (__force __le32)len,
	};

	return e;
}

/* Section 2.7.10: does an index that went from @old to @new pass @event? */
static __always_inline bool vd_need_event(u16 event, u16 new, u16 old)
{
	return (u16)(new - event - 1) < (u16)(new - old);
}

/*
 * May the used element of a later buffer stand for element @i, too? With
 * IN_ORDER that of the last stands for a run of buffers into which nothing was
 * written. The driver takes those that are passed over for used completely: a
 * back end that gives back a writable buffer unwritten must not do so with
 * length 0, or not in one push with others. Sections 2.7.9, 2.8.8.
 */
static __always_inline bool
vd_in_order_skip(const struct vd_ring *r, const struct vd_used *elem, u32 i,
		 u32 n)
{
	return unlikely(r->in_order) && !elem[i].len && i + 1 < n &&
	       !elem[i + 1].len;
}

/* How many elements from @i on that of the last may stand for. */
static __always_inline u32
vd_in_order_run(const struct vd_ring *r, const struct vd_used *elem, u32 i,
		u32 n)
{
	u32 end = i;

	while (vd_in_order_skip(r, elem, end, n))
		end++;
	return end + 1 - i;
}

/**
 * vd_reason_name - a word for a result, for logs and statistics
 * @reason: one of enum vd_reason, positive
 */
static inline const char *vd_reason_name(enum vd_reason reason)
{
	static const char *const name[VD_REASONS] = {
		[VD_OK] = "ok",
		[VD_FAULT] = "ring not accessible",
		[VD_BAD_AVAIL_JUMP] = "avail index jumps ahead",
		[VD_BAD_HEAD] = "head outside the ring",
		[VD_BAD_NEXT] = "next outside its table",
		[VD_BAD_LOOP] = "descriptor loop",
		[VD_BAD_ORDER] = "readable after writable",
		[VD_BAD_LONG] = "chain too long",
		[VD_BAD_INDIRECT_OFF] = "indirect not negotiated",
		[VD_BAD_INDIRECT_NEXT] = "indirect with next",
		[VD_BAD_INDIRECT_LEN] = "indirect table length",
		[VD_BAD_INDIRECT_NEST] = "nested indirect",
		[VD_BAD_INDIRECT_READ] = "indirect table not accessible",
		[VD_BAD_DIRECTION] = "wrong direction",
		[VD_BAD_BUFFER] = "buffer not accessible",
		[VD_BURST_FULL] = "burst full",
	};

	return reason < VD_REASONS && name[reason] ? name[reason] : "unknown";
}

#endif /* VD_RING_H */

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver's half of a virtqueue: a split one (virtio 1.2, section 2.7) here, other
 * layouts in ring_mock.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vring.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "rings are written in the host's byte order, which has to be virtio's");

#define PAGE 4096UL

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

static size_t avail_bytes(unsigned int num)
{
	return sizeof(struct vring_avail) + num * sizeof(__virtio16) + sizeof(__virtio16);
}

static size_t used_bytes(unsigned int num)
{
	return sizeof(struct vring_used) + num * sizeof(struct vring_used_elem) +
	       sizeof(__virtio16);
}

/* An upper bound of what the rings of one queue take. */
size_t vr_ring_bytes(const struct vr_opts *o)
{
	size_t tables = o->layout != VR_LAYOUT_SPLIT && o->indirect ? o->chain : 0;

	return o->ring * (1 + tables) * sizeof(struct vring_desc) + avail_bytes(o->ring) +
	       used_bytes(o->ring) + 6 * PAGE + 3 * o->offset;
}

/*
 * Packed as virtio_ring lays them out; with an offset each part gets pages of
 * its own and starts so many bytes into the first.
 */
void vr_ring_place(struct vr_vq *q, struct vr_mem *m, const struct vr_opts *o)
{
	size_t off = o->offset;
	size_t page = off ? PAGE : 1;

	if (o->layout != VR_LAYOUT_SPLIT) {
		vr_mock_place(q, m, o);
		return;
	}
	q->vr.num = o->ring;
	q->vr.desc = vr_mem_take(m, o->ring * sizeof(struct vring_desc), PAGE, round_up(off, 16));
	q->vr.avail = vr_mem_take(m, avail_bytes(o->ring), off ? page : 2, round_up(off, 2));
	q->vr.used = vr_mem_take(m, used_bytes(o->ring), off ? page : 4, round_up(off, 4));
}

/* A ring's pages; with --gap nothing else is in them. */
struct vr_range vr_ring_pages(const struct vr_vq *q)
{
	uintptr_t start = (uintptr_t)q->vr.desc & ~(PAGE - 1);
	uintptr_t end = (uintptr_t)q->vr.used + used_bytes(q->vr.num);

	return (struct vr_range){ (uint8_t *)start, round_up(end, PAGE) - start };
}

/* The pages of the ring that traffic uses first. */
struct vr_range vr_ring_range(const struct vr_run *r)
{
	return vr_ring_pages(r->o->dir & VR_DIR_TX ? &r->pairs[0].tx : &r->pairs[0].rx);
}

/* As many pages that are no ring's, with one left on each side; or as many as there are. */
struct vr_range vr_gap_range(const struct vr_run *r)
{
	size_t want = vr_ring_range(r).len, room = r->gaps[0].len - 2 * PAGE;

	return (struct vr_range){ r->gaps[0].at + PAGE, want < room ? want : room };
}

static unsigned int slot_count(const struct vr_opts *o)
{
	return o->indirect ? o->ring : o->ring / o->chain;
}

/* The room of segment @i: the header's is the first when there are several. */
static unsigned int seg_room(const struct vr_opts *o, unsigned int hdr_len, bool tx, unsigned int i)
{
	unsigned int frame = tx ? o->size_max : o->buf - hdr_len;
	unsigned int parts = o->chain - 1;

	if (o->chain == 1)
		return hdr_len + frame;
	if (i == 0)
		return hdr_len;
	/* The last takes what the even shares leave. */
	return i < parts ? frame / parts : frame - frame / parts * (parts - 1);
}

/* A guard word follows each segment; the device must leave it alone. */
static size_t seg_stride(const struct vr_opts *o, unsigned int hdr_len, bool tx)
{
	unsigned int room = seg_room(o, hdr_len, tx, o->chain - 1);

	return round_up((room > hdr_len ? room : hdr_len) + sizeof(uint64_t), 64);
}

size_t vr_bufs_bytes(const struct vr_opts *o, unsigned int hdr_len)
{
	size_t slots = slot_count(o), sum = 0;
	unsigned int tx;

	for (tx = 0; tx < 2; tx++) {
		sum += slots * o->chain * seg_stride(o, hdr_len, tx) + 2 * PAGE;
		if (o->indirect)
			sum += slots * o->chain * sizeof(struct vring_desc) + PAGE;
	}
	return sum;
}

static struct vring_desc *slot_descs(struct vr_vq *q, unsigned int slot)
{
	if (q->own)
		return q->own + (size_t)slot * q->chain;
	return q->tables ? q->tables + (size_t)slot * q->chain : q->vr.desc + slot * q->chain;
}

#define GUARD 0x6b656570206f6666ULL

static void slot_init(struct vr_vq *q, unsigned int slot)
{
	const uint64_t keep_off = GUARD;
	struct vring_desc *d = slot_descs(q, slot);
	unsigned int first = q->tables ? 0 : slot * q->chain;
	unsigned int i;

	for (i = 0; i < q->chain; i++) {
		bool last = i == q->chain - 1;

		memcpy(vr_seg(q, slot, i) + q->seg_cap[i], &keep_off, sizeof(keep_off));
		d[i].addr = vr_gpa(q->mem, vr_seg(q, slot, i));
		d[i].len = q->seg_cap[i];
		d[i].flags = (q->tx ? 0 : VRING_DESC_F_WRITE) | (last ? 0 : VRING_DESC_F_NEXT);
		d[i].next = last ? 0 : first + i + 1;
	}
	if (q->tables) {
		q->vr.desc[slot].addr = vr_gpa(q->mem, d);
		q->vr.desc[slot].len = q->chain * sizeof(*d);
		q->vr.desc[slot].flags = VRING_DESC_F_INDIRECT;
		q->vr.desc[slot].next = 0;
	}
}

void vr_ring_fill(struct vr_vq *q, struct vr_mem *m, const struct vr_opts *o,
		  unsigned int hdr_len, bool tx)
{
	unsigned int i;

	q->tx = tx;
	q->mem = m;
	q->chain = o->chain;
	q->hdr_len = hdr_len;
	q->slots = slot_count(o);
	q->descs_per_slot = o->indirect ? 1 : o->chain;
	q->event_idx = o->event_idx;
	q->indirect = o->indirect;
	q->want_calls = o->wait == VR_WAIT_CALL;
	for (i = 0; i < q->chain; i++)
		q->seg_cap[i] = seg_room(o, hdr_len, tx, i);
	q->seg_stride = seg_stride(o, hdr_len, tx);
	q->slot_stride = q->seg_stride * q->chain;
	q->bufs = vr_mem_take(m, q->slot_stride * q->slots, 64, 0);
	if (q->mock)
		q->own = vr_mock_slots(q);
	else if (o->indirect)
		q->tables = vr_mem_take(m, sizeof(struct vring_desc) * q->chain * q->slots, 16, 0);
	q->free = calloc(q->slots, sizeof(*q->free));
	q->busy = calloc(q->slots, 1);
	if (!q->free || !q->busy)
		vr_die("out of memory");
	for (i = 0; i < q->slots; i++) {
		slot_init(q, i);
		vr_slot_give(q, i);
	}
	if (!q->mock && !q->want_calls && !q->event_idx)
		q->vr.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
}

/* A TX frame's bytes are spread evenly over the segments after the header's. */
void vr_ring_set_len(struct vr_vq *q, unsigned int slot, unsigned int frame_len)
{
	struct vring_desc *d = slot_descs(q, slot);
	unsigned int parts = q->chain - 1, share, i;

	if (!parts) {
		d[0].len = q->hdr_len + frame_len;
		return;
	}
	share = frame_len / parts;
	for (i = 1; i < parts; i++)
		d[i].len = share;
	d[parts].len = frame_len - share * (parts - 1);
}

/* Lays out header and frame as the slot's descriptors say. */
void vr_ring_scatter(struct vr_vq *q, unsigned int slot, const uint8_t *bytes)
{
	struct vring_desc *d = slot_descs(q, slot);
	unsigned int i;

	for (i = 0; i < q->chain; bytes += d[i++].len)
		memcpy(vr_seg(q, slot, i), bytes, d[i].len);
}

/* The reverse, for @len bytes that the device wrote; false if they don't fit. */
bool vr_ring_gather(const struct vr_vq *q, unsigned int slot, uint8_t *bytes, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < q->chain && len; i++) {
		unsigned int n = len < q->seg_cap[i] ? len : q->seg_cap[i];

		memcpy(bytes, vr_seg(q, slot, i), n);
		bytes += n;
		len -= n;
	}
	return !len;
}

/* Whether the word behind each segment still is what slot_init() put there. */
bool vr_ring_guards_ok(const struct vr_vq *q, unsigned int slot)
{
	const uint64_t want = GUARD;
	unsigned int i;

	for (i = 0; i < q->chain; i++)
		if (memcmp(vr_seg(q, slot, i) + q->seg_cap[i], &want, sizeof(want)))
			return false;
	return true;
}

/* The slot of the @ahead'th used element not yet reaped, or -1 for nonsense. */
int vr_ring_used_slot(const struct vr_vq *q, unsigned int ahead, unsigned int *len)
{
	const struct vring_used_elem *e;
	unsigned int slot;

	if (q->mock)
		return vr_mock_slot(q, ahead, len);
	e = &q->vr.used->ring[(uint16_t)(q->last_used + ahead) & (q->vr.num - 1)];
	slot = e->id / q->descs_per_slot;
	*len = e->len;
	if (slot >= q->slots || slot * q->descs_per_slot != e->id || !q->busy[slot])
		return -1;
	return slot;
}

static bool kick_wanted(const struct vr_vq *q, uint16_t old)
{
	const volatile void *event = &q->vr.used->ring[q->vr.num];

	if (q->event_idx)
		return vring_need_event(*(const volatile __virtio16 *)event, q->avail_idx, old);
	return !(*(volatile __virtio16 *)&q->vr.used->flags & VRING_USED_F_NO_NOTIFY);
}

static void kick(struct vr_vq *q)
{
	const uint64_t one = 1;

	if (write(q->kick_fd, &one, sizeof(one)) != sizeof(one))
		vr_die_errno("kick");
	q->kicks++;
}

/* Makes what was added visible and kicks if the device asked to be told. */
void vr_ring_publish(struct vr_vq *q)
{
	uint16_t old = q->pub_idx;

	if (old == q->avail_idx)
		return;
	q->pub_idx = q->avail_idx;
	if (q->mock) {
		if (vr_mock_publish(q))
			kick(q);
		return;
	}
	/* Entries and descriptors first, then the index (2.7.13.3). */
	__atomic_store_n(&q->vr.avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	/*
	 * The index before the look at what the device asked for; pairs with
	 * the device's barrier between asking and its last look (2.7.13.4.1).
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (kick_wanted(q, old))
		kick(q);
}

/*
 * Takes back up to @max buffers that the device is done with. Their order of
 * return is the device's business: the identity comes from the used element.
 */
unsigned int vr_ring_reap(struct vr_vq *q, unsigned int max)
{
	unsigned int waiting = vr_ring_waiting(q), n = 0;

	while (n < waiting && n < max) {
		unsigned int len;
		int slot = vr_ring_used_slot(q, 0, &len);

		if (q->mock)
			vr_mock_next(q);
		q->last_used++;
		n++;
		if (slot < 0) {
			q->bad_used++;
			continue;
		}
		q->busy[slot] = 0;
		vr_slot_give(q, slot);
	}
	q->completed += n;
	/* While we poll, keep the device's event far ahead: no calls wanted. */
	if (n && q->event_idx && !q->want_calls && !q->mock)
		vring_used_event(&q->vr) = q->last_used + 0x8000;
	return n;
}

void vr_ring_count_calls(struct vr_vq *q)
{
	uint64_t n;

	if (read(q->call_fd, &n, sizeof(n)) == sizeof(n))
		q->calls += n;
}

/*
 * Asks for a call at the next buffer used; true if there is one already, so
 * that sleeping would be wrong.
 */
bool vr_ring_arm(struct vr_vq *q)
{
	if (q->mock)
		return vr_mock_arm(q);
	if (q->event_idx)
		vring_used_event(&q->vr) = q->last_used;
	/* The wish before the look; pairs with the device's (2.7.7.2). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vr_used_idx(q) != q->last_used;
}

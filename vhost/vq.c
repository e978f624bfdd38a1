// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtqueues: the engine's bodies instantiated for each way to reach a ring,
 * the choice between them for each burst, and starting and stopping a queue.
 */
#include <linux/eventfd.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>

#include "../virtio/ring_packed_event.h"
#include "../virtio/ring_split.h"
#include "access.h"
#include "access_log.h"
#include "access_piece.h"
#include "compat/compat.h"
#include "dev.h"
#include "trace.h"

/*
 * One function a way, so that each is straight code. Direct ones are called
 * with the window lock held, see vd_winset_enter().
 */
#define VD_SPLIT_READER(way)						\
static noinline int vd_pop_split_##way(struct vd_virtqueue *vq,		\
				       const void *mem,			\
				       unsigned int max)		\
{									\
	struct vd_contig at;						\
									\
	mem = vd_##way##_local(mem, &at);				\
	return vd_split_pop(&vq->ring, &vd_##way##_ops, mem, vq->burst,	\
			    max);					\
}

/* What is rare in a packed ring is a function of its own. */
#define VD_PACKED_READER(way)						\
static noinline int vd_pop_rest_##way(struct vd_virtqueue *vq,		\
				      const void *mem, unsigned int max, \
				      struct vd_packed_walk *w)		\
{									\
	struct vd_contig at;						\
									\
	mem = vd_##way##_local(mem, &at);				\
	return vd_packed_pop_rest(&vq->ring, &vd_##way##_ops, mem,	\
				  vq->burst, max, w);			\
}									\
									\
static noinline int vd_pop_packed_##way(struct vd_virtqueue *vq,	\
					const void *mem,		\
					unsigned int max)		\
{									\
	struct vd_packed_walk w;					\
	struct vd_contig at;						\
	const void *local = vd_##way##_local(mem, &at);			\
	int n = vd_packed_pop_first(&vq->ring, &vd_##way##_ops, local,	\
				    vq->burst, max, &w);		\
									\
	return likely(n != VD_PACKED_REST) ? n :			\
	       vd_pop_rest_##way(vq, mem, max, &w);			\
}

#define VD_LOOKER(kind, way)						\
static noinline int vd_moved_##kind##_##way(struct vd_virtqueue *vq,	\
					    const void *mem)		\
{									\
	struct vd_contig at;						\
									\
	mem = vd_##way##_local(mem, &at);				\
	return vd_##kind##_moved(&vq->ring, &vd_##way##_ops, mem);	\
}

#define VD_PACKED_LOOKER(way)						\
static noinline int vd_look_on_packed_##way(struct vd_virtqueue *vq,	\
					    const void *mem)		\
{									\
	struct vd_contig at;						\
									\
	mem = vd_##way##_local(mem, &at);				\
	return vd_packed_look_on(&vq->ring, &vd_##way##_ops, mem);	\
}

#define VD_WRITER(kind, way, push, ...)					\
static noinline int vd_flush_##kind##_##way(struct vd_virtqueue *vq,	\
					    const void *mem)		\
{									\
	struct vd_contig at;						\
	int err;							\
									\
	mem = vd_##way##_local(mem, &at);				\
	err = push(&vq->ring, &vd_##way##_ops, mem, vq->used,		\
		   ##__VA_ARGS__, vq->nused);				\
	return err ?: vd_##kind##_need_signal(&vq->ring,		\
					      &vd_##way##_ops, mem);	\
}									\
									\
static noinline int vd_no_notify_##kind##_##way(struct vd_virtqueue *vq, \
						const void *mem)	\
{									\
	struct vd_contig at;						\
									\
	mem = vd_##way##_local(mem, &at);				\
	return vd_##kind##_no_notify(&vq->ring, &vd_##way##_ops, mem);	\
}									\
									\
static noinline int vd_notify_##kind##_##way(struct vd_virtqueue *vq,	\
					     const void *mem)		\
{									\
	struct vd_contig at;						\
									\
	mem = vd_##way##_local(mem, &at);				\
	return vd_##kind##_notify(&vq->ring, &vd_##way##_ops, mem);	\
}

VD_SPLIT_READER(contig)
VD_SPLIT_READER(paged)
VD_SPLIT_READER(user)
VD_PACKED_READER(contig)
VD_PACKED_READER(paged)
VD_PACKED_READER(user)
VD_SPLIT_READER(piece)
VD_PACKED_READER(piece)
VD_LOOKER(split, contig)
VD_LOOKER(split, paged)
VD_LOOKER(split, user)
VD_LOOKER(split, piece)
VD_LOOKER(packed, contig)
VD_LOOKER(packed, paged)
VD_LOOKER(packed, user)
VD_LOOKER(packed, piece)
VD_PACKED_LOOKER(contig)
VD_PACKED_LOOKER(paged)
VD_PACKED_LOOKER(user)
VD_PACKED_LOOKER(piece)
VD_WRITER(split, contig, vd_split_push)
VD_WRITER(split, paged, vd_split_push)
VD_WRITER(split, user, vd_split_push)
VD_WRITER(split, piece, vd_split_push)
VD_WRITER(split, logged, vd_split_push)
VD_WRITER(packed, contig, vd_packed_push, vq->used_slots)
VD_WRITER(packed, paged, vd_packed_push, vq->used_slots)
VD_WRITER(packed, user, vd_packed_push, vq->used_slots)
VD_WRITER(packed, piece, vd_packed_push, vq->used_slots)
VD_WRITER(packed, logged, vd_packed_push, vq->used_slots)

/* The instance for a kind of ring. */
#define vd_vq_kind(vq, verb, way, ...)					\
	((vq)->ring.packed ? vd_##verb##_packed_##way(vq, ##__VA_ARGS__) : \
			     vd_##verb##_split_##way(vq, ##__VA_ARGS__))

/* Calls the instance that fits now; the choice holds for this one burst. */
#define vd_vq_call(vq, verb, ...) ({					\
	struct vd_virtqueue *_vq = (vq);				\
	struct vd_winset *_ws = &_vq->win;				\
	int _ret;							\
									\
	vd_winset_ready(_ws);						\
	if (vd_winset_enter(_ws)) {					\
		_ret = likely(_ws->contig) ?				\
		       vd_vq_kind(_vq, verb, contig, _ws, ##__VA_ARGS__) : \
		       vd_vq_kind(_vq, verb, paged, _ws, ##__VA_ARGS__); \
		vd_winset_leave(_ws);					\
		vd_stat_inc(&_vq->counters, bursts_direct);		\
	} else {							\
		_ret = likely(!_vq->giova.scattered) ?			\
		       vd_vq_kind(_vq, verb, user, _vq, ##__VA_ARGS__) : \
		       vd_vq_kind(_vq, verb, piece, _vq, ##__VA_ARGS__); \
		vd_stat_inc(&_vq->counters, bursts_user);		\
		if (_ws->vm)						\
			trace_vd_fallback(_vq, _ret);			\
	}								\
	_ret; })

/* The same for a ring whose writes are logged, once they are done. */
#define vd_vq_call_logged(vq, verb) ({					\
	struct vd_virtqueue *_lq = (vq);				\
	int _res;							\
									\
	vd_winset_ready(&_lq->win);					\
	if (vd_winset_enter(&_lq->win)) {				\
		_lq->log.direct = true;					\
		_res = vd_vq_kind(_lq, verb, logged, _lq);		\
		vd_winset_leave(&_lq->win);				\
		vd_stat_inc(&_lq->counters, bursts_direct);		\
	} else {							\
		_lq->log.direct = false;				\
		_res = vd_vq_kind(_lq, verb, logged, _lq);		\
		vd_stat_inc(&_lq->counters, bursts_user);		\
		if (_lq->win.vm)					\
			trace_vd_fallback(_lq, _res);			\
	}								\
	vd_log_ring(_lq);						\
	_res; })

/* For what writes to the ring. */
#define vd_vq_call_writer(vq, verb)					\
	(unlikely((vq)->log.ring) ? vd_vq_call_logged(vq, verb) :	\
				    vd_vq_call(vq, verb))

/**
 * vd_vq_pop - take chains from the driver
 * @vq: the virtqueue; they land in its @burst
 * @max: most chains wanted
 *
 * Return: how many, 0 for none, or minus one of enum vd_reason.
 * Context: worker, queue mutex; may sleep.
 */
int vd_vq_pop(struct vd_virtqueue *vq, unsigned int max)
{
	return vd_vq_call(vq, pop, max);
}
EXPORT_SYMBOL_GPL(vd_vq_pop);

/**
 * vd_vq_rewind - give the last chains back unused
 * @vq: the virtqueue
 * @slots: sum of their slots
 *
 * Context: worker, queue mutex.
 */
void vd_vq_rewind(struct vd_virtqueue *vq, unsigned int slots)
{
	if (vq->ring.packed)
		vd_packed_rewind(&vq->ring, slots);
	else
		vd_split_rewind(&vq->ring, slots);
}
EXPORT_SYMBOL_GPL(vd_vq_rewind);

/**
 * vd_vq_rewind_burst - give the burst's last chains back unused
 * @vq: the virtqueue
 * @first: the first of them
 *
 * Context: worker, queue mutex.
 */
void vd_vq_rewind_burst(struct vd_virtqueue *vq, unsigned int first)
{
	const struct vd_burst *b = vq->burst;
	unsigned int slots = 0, i;

	for (i = first; i < b->count; i++)
		slots += b->chain[i].slots;
	if (slots)
		vd_vq_rewind(vq, slots);
}
EXPORT_SYMBOL_GPL(vd_vq_rewind_burst);

/**
 * vd_vq_flush - hand the noted chains to the driver, interrupt it if it wants
 * @vq: the virtqueue
 *
 * Return: 0, or -VD_FAULT and the chains stay noted for the next attempt.
 * Context: worker or the owner in an ioctl, queue mutex; may sleep.
 */
int vd_vq_flush(struct vd_virtqueue *vq)
{
	int ret;

	if (!vq->nused)
		return 0;
	ret = vd_vq_call_writer(vq, flush);
	if (unlikely(ret < 0))
		return ret;
	vq->nused = 0;
	if (ret && vq->call) {
		vd_eventfd_signal(vq->call);
		vd_stat_inc(&vq->counters, signals);
		trace_vd_signal(vq, vq->ring.last_used);
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vd_vq_flush);

/**
 * vd_vq_no_notify - the driver need not kick while we are at it
 * @vq: the virtqueue
 *
 * Return: 0 or -VD_FAULT. Context: worker, queue mutex; may sleep.
 */
int vd_vq_no_notify(struct vd_virtqueue *vq)
{
	struct vd_ring *r = &vq->ring;

	/* Most visits have nothing to write for it, and need no window. */
	if (r->packed ? vd_packed_quiet(r) : vd_split_quiet(r))
		return 0;
	return vd_vq_call_writer(vq, no_notify);
}
EXPORT_SYMBOL_GPL(vd_vq_no_notify);

/**
 * vd_vq_notify - ask for a kick before going to sleep
 * @vq: the virtqueue
 *
 * Return: 1 if there is more by now, 0 if not, or minus a reason.
 * Context: worker, queue mutex; may sleep.
 */
int vd_vq_notify(struct vd_virtqueue *vq)
{
	return vd_vq_call_writer(vq, notify);
}
EXPORT_SYMBOL_GPL(vd_vq_notify);

/**
 * vd_vq_kicked - count a kick of the driver, or a wake-up by the owner
 * @vq: the virtqueue
 *
 * Context: worker, queue mutex.
 */
void vd_vq_kicked(struct vd_virtqueue *vq)
{
	vd_stat_inc(&vq->counters, kicks);
	trace_vd_kick(vq, vq->counters.kicks);
}
EXPORT_SYMBOL_GPL(vd_vq_kicked);

/**
 * vd_vq_moved - has the driver published more since the last look?
 * @vq: the virtqueue
 *
 * For busy polling, many times over. Windows that are gone are not looked for
 * here: what the driver publishes next brings them back.
 * Return: 1 or 0, or -VD_FAULT. Context: worker, queue mutex; may sleep.
 */
int vd_vq_moved(struct vd_virtqueue *vq)
{
	struct vd_winset *ws = &vq->win;
	int ret;

	vd_stat_inc(&vq->counters, poll_looks);
	if (likely(vd_winset_enter(ws))) {
		/* Use of the ring's pages, as a burst is: vd_winset_age(). */
		WRITE_ONCE(ws->looks, ws->looks + 1);
		ret = likely(ws->contig) ? vd_vq_kind(vq, moved, contig, ws) :
					   vd_vq_kind(vq, moved, paged, ws);
		vd_winset_leave(ws);
		return ret;
	}
	return likely(!vq->giova.scattered) ?
	       vd_vq_kind(vq, moved, user, vq) :
	       vd_vq_kind(vq, moved, piece, vq);
}
EXPORT_SYMBOL_GPL(vd_vq_moved);

/* One read of a split ring's index shows all there is. */
#define vd_look_on_split_contig(vq, mem)	0
#define vd_look_on_split_paged(vq, mem)		0
#define vd_look_on_split_user(vq, mem)		0
#define vd_look_on_split_piece(vq, mem)		0

/**
 * vd_vq_look_on - see all that the driver has offered
 * @vq: the virtqueue
 *
 * Only what it offers from now on counts as new for vd_vq_notify(). In bursts,
 * as the notifier may be waiting.
 * Context: worker, queue mutex; may sleep.
 */
void vd_vq_look_on(struct vd_virtqueue *vq)
{
	unsigned int steps = vq->ring.num / VD_BURST + 1;

	while (vq->ring.packed && steps--) {
		if (vd_vq_call(vq, look_on) < VD_BURST)
			break;
		cond_resched();
	}
}

/**
 * vd_vq_part_size - bytes of a part of the ring, with the features it has
 * @vq: the virtqueue
 * @part: which part
 *
 * Return: their number. Context: queue mutex.
 */
u32 vd_vq_part_size(const struct vd_virtqueue *vq, enum vd_part part)
{
	return vd_vq_has(vq, VIRTIO_F_RING_PACKED) ?
	       vd_packed_part_size(part, vq->ring.num) :
	       vd_split_part_size(part, vq->ring.num,
				  vd_vq_has(vq, VIRTIO_RING_F_EVENT_IDX));
}

/*
 * Does the ring's shape fit its kind? Checked late, as size, place and
 * features come in any order. Sections 2.7, 2.8.10.1.
 */
static bool vd_vq_shape_ok(const struct vd_virtqueue *vq)
{
	const struct vd_ring *r = &vq->ring;

	if (!vd_vq_has(vq, VIRTIO_F_RING_PACKED))
		return is_power_of_2(r->num);
	/* The base may have been told when the ring was another. */
	return r->last_avail < r->num && r->avail_idx < r->num &&
	       r->last_used < r->num &&
	       IS_ALIGNED(vq->told[VD_PART_DESC], VD_DESC_SIZE);
}

static bool vd_vq_parts_ok(const struct vd_virtqueue *vq)
{
	unsigned int i;

	for (i = 0; i < VD_PARTS; i++)
		if (!access_ok((void __user *)vq->part[i],
			       vd_vq_part_size(vq, i)))
			return false;
	return true;
}

/**
 * vd_vq_access_ok - are ring and memory table such that the queue may start?
 * @vq: the virtqueue
 *
 * Return: true if so. Context: device and queue mutex.
 */
bool vd_vq_access_ok(const struct vd_virtqueue *vq)
{
	return vq->mem && vd_vq_shape_ok(vq) &&
	       (vq->giova.iotlb || vd_vq_parts_ok(vq)) && vd_log_ok(vq);
}
EXPORT_SYMBOL_GPL(vd_vq_access_ok);

/**
 * vd_vq_place - take the ring's addresses as the owner told them
 * @vq: the virtqueue; with an IOTLB its ring has to be found first
 *
 * Context: queue mutex.
 */
void vd_vq_place(struct vd_virtqueue *vq)
{
	unsigned int i;

	for (i = 0; !vq->giova.iotlb && i < VD_PARTS; i++)
		vq->part[i] = vq->told[i];
}

/**
 * vd_vq_windows - tell the windows where the ring is
 * @vq: the virtqueue
 *
 * Drops what was mapped. Return: 0, or -ENOMEM and they are where they were.
 * Context: queue mutex; may sleep.
 */
int vd_vq_windows(struct vd_virtqueue *vq)
{
	/* Split descriptors may lie anywhere: they are read in pieces. */
	const u32 align[VD_PARTS] = {
		[VD_PART_DESC] = vd_vq_has(vq, VIRTIO_F_RING_PACKED) ?
				 VD_DESC_SIZE : 1,
		[VD_PART_AVAIL] = VD_AVAIL_ALIGN,
		[VD_PART_USED] = VD_USED_ALIGN,
	};
	struct vd_range range[VD_PARTS];
	unsigned int i;

	BUILD_BUG_ON(VD_PARTS != VD_SET_WINDOWS);
	for (i = 0; i < VD_PARTS; i++) {
		range[i].uaddr = vq->part[i];
		range[i].size = vd_vq_part_size(vq, i);
		range[i].align = align[i];
		range[i].writable = i == VD_PART_USED ||
				    (i == VD_PART_DESC &&
				     vd_vq_has(vq, VIRTIO_F_RING_PACKED));
		range[i].piece = vq->giova.part[i].piece;
		range[i].npieces = vq->giova.part[i].count;
	}
	return vd_winset_describe(&vq->win, range);
}

/**
 * vd_vq_windowless - there was no memory for the description of windows
 * @vq: the virtqueue
 *
 * Context: queue mutex; may sleep.
 */
void vd_vq_windowless(struct vd_virtqueue *vq)
{
	vd_winset_clear(&vq->win);
	vd_stat_inc(&vq->counters, map_failures);
}

/**
 * vd_vq_describe - the ring has changed: its size or its memory
 * @vq: the virtqueue
 *
 * Drops what was mapped. With an IOTLB the ring is looked for at the next
 * visit; without an address it is nowhere. If there is no memory for windows
 * there are none, which is counted: it goes by user access until it is described
 * anew.
 * Context: queue mutex; may sleep.
 */
void vd_vq_describe(struct vd_virtqueue *vq)
{
	if (vq->giova.iotlb || !vq->placed)
		vd_giova_forget(vq);
	else if (vd_vq_windows(vq))
		vd_vq_windowless(vq);
}

/**
 * vd_vq_move - a running ring is elsewhere from now on
 * @vq: the virtqueue
 * @told: the parts' addresses
 *
 * Return: 0; -EINVAL for a place that won't do, -ENOMEM: the ring is where it
 * was. Context: device and queue mutex; may sleep.
 */
int vd_vq_move(struct vd_virtqueue *vq, const u64 told[VD_PARTS])
{
	u64 old[VD_PARTS];
	int err = 0;

	memcpy(old, vq->told, sizeof(old));
	memcpy(vq->told, told, sizeof(old));
	vd_vq_place(vq);
	if (!vd_vq_access_ok(vq))
		err = -EINVAL;
	else if (!vq->giova.iotlb)
		err = vd_vq_windows(vq);
	if (err) {
		memcpy(vq->told, old, sizeof(old));
		vd_vq_place(vq);
		return err;
	}
	if (vq->giova.iotlb)
		vd_giova_forget(vq);
	/* It may wait for an address, or a translation of where the ring was. */
	if (vq->giova.iotlb || !vq->placed)
		vd_poll_queue(&vq->poll);
	return 0;
}

static void vd_vq_ring_features(struct vd_virtqueue *vq)
{
	struct vd_ring *r = &vq->ring;

	r->event_idx = vd_vq_has(vq, VIRTIO_RING_F_EVENT_IDX);
	r->indirect = vd_vq_has(vq, VIRTIO_RING_F_INDIRECT_DESC);
	r->notify_on_empty = vd_vq_has(vq, VIRTIO_F_NOTIFY_ON_EMPTY);
	r->le = vd_vq_has(vq, VIRTIO_F_VERSION_1);
	/* Two that debugfs reads without a lock. */
	WRITE_ONCE(r->packed, vd_vq_has(vq, VIRTIO_F_RING_PACKED));
	WRITE_ONCE(r->in_order, vd_vq_has(vq, VIRTIO_F_IN_ORDER));
	r->out_only = vq->out_only;
}

/**
 * vd_vq_refresh - the features of a running ring have changed
 * @vq: the virtqueue
 *
 * Context: as vd_vq_describe().
 */
void vd_vq_refresh(struct vd_virtqueue *vq)
{
	vd_vq_ring_features(vq);
	vd_vq_describe(vq);
}

/* Words of the ring by user access, wherever it lies. */
static int vd_vq_write16(struct vd_virtqueue *vq, enum vd_part part, u32 off,
			 u16 val)
{
	return vq->giova.scattered ? vd_piece_write16(vq, part, off, val) :
				     vd_user_write16(vq, part, off, val);
}

static int vd_vq_read16(struct vd_virtqueue *vq, enum vd_part part, u32 off,
			u16 *val)
{
	return vq->giova.scattered ? vd_piece_read16(vq, part, off, val) :
				     vd_user_read16(vq, part, off, val);
}

/**
 * vd_vq_start - get a ring ready for its back end
 * @vq: the virtqueue, which has passed vd_vq_access_ok()
 *
 * Return: 0, -EFAULT if the ring can't be read and written or has no address,
 * -ENOMEM.
 * Context: device and queue mutex, called by the owner; may sleep.
 */
int vd_vq_start(struct vd_virtqueue *vq)
{
	struct vd_ring *r = &vq->ring;
	u16 raw;
	u32 at;

	if (vd_log_prepare(vq, vq->features))
		return -ENOMEM;
	vd_vq_ring_features(vq);
	if (!vq->placed)
		return -EFAULT;
	/* As with stock the owner has told where these words are, before. */
	if (vq->giova.iotlb && !vq->giova.found && vd_giova_find_head(vq))
		return -EFAULT;
	r->used_flags = 0;
	r->signalled_valid = false;
	/* Zero lets the driver kick, in either kind of ring. */
	at = r->packed ? VD_PACKED_FLAGS : VD_SPLIT_FLAGS;
	if (vd_vq_write16(vq, VD_PART_USED, at, 0) ||
	    vd_vq_read16(vq, VD_PART_USED, VD_SPLIT_IDX, &raw))
		return -EFAULT;
	if (vq->log.ring)
		vd_log_head(vq, VD_USED_HEAD);
	/* A packed ring's place is not in the ring: SET_VRING_BASE told it. */
	if (!r->packed)
		r->last_used = vd_ring16(r, raw);
	vq->nused = 0;
	vq->retry.after = 0;
	/* With an IOTLB the ring is looked for at the first visit. */
	return vq->giova.iotlb ? 0 : vd_vq_windows(vq);
}
EXPORT_SYMBOL_GPL(vd_vq_start);

/**
 * vd_vq_stop - the ring isn't used any more
 * @vq: the virtqueue
 *
 * Context: queue mutex; may sleep.
 */
void vd_vq_stop(struct vd_virtqueue *vq)
{
	vd_winset_clear(&vq->win);
	vd_giova_forget(vq);
}
EXPORT_SYMBOL_GPL(vd_vq_stop);

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices and virtqueues: what the core gives to back ends.
 *
 * Locks, outermost first: vd_dev.mutex, vd_virtqueue.mutex; inside of these, and none
 * inside of another: vd_mm.lock, the window lock, vd_dev.miss_lock.
 */
#ifndef VD_DEV_H
#define VD_DEV_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/uio.h>
#include <linux/vhost.h>
#include <linux/workqueue.h>

#include "../virtio/ring.h"
#include "busy.h"
#include "dirtylog.h"
#include "iotlb.h"
#include "memtable.h"
#include "stats.h"
#include "window.h"
#include "worker.h"

struct dentry;
struct eventfd_ctx;
struct file;
struct vd_dev;
struct vd_mm;

/* Features that the core knows how to serve. */
#define VD_FEATURES (BIT_ULL(VIRTIO_F_NOTIFY_ON_EMPTY) |	\
		     BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) |	\
		     BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |		\
		     BIT_ULL(VHOST_F_LOG_ALL) |			\
		     BIT_ULL(VIRTIO_F_ANY_LAYOUT) |		\
		     BIT_ULL(VIRTIO_F_VERSION_1) |		\
		     BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |	\
		     BIT_ULL(VIRTIO_F_RING_PACKED) |		\
		     BIT_ULL(VIRTIO_F_IN_ORDER) |		\
		     BIT_ULL(VIRTIO_F_RING_RESET))

/*
 * A result beside those of the engine: a translation is missing. The queue is
 * left as it is; its work is queued when the owner has told.
 */
enum {
	VD_MISS = VD_REASONS,
	VD_DEV_REASONS
};

/* Stock's alignment of the ring's parts; split descriptors may lie anywhere. */
#define VD_AVAIL_ALIGN	2
#define VD_USED_ALIGN	4

/* Most segments in user memory of one burst's chains. */
#define VD_IOV	VD_CHAIN_SEGS

/*
 * Most pieces of user memory in which 512 bytes of an indirect table lie. An owner
 * whose regions are shorter than 64 bytes can have more: its table is no table then.
 */
#define VD_TABLE_IOV	8

/* Most workers of a device. */
#define VD_WORKERS_MAX	16

/* Room for used elements: a burst, and all chains of one large packet. */
#define VD_USED_MAX	(VD_BURST + VD_CHAIN_SEGS)

/**
 * struct vd_retry - attempts to reach a ring; under the queue's mutex
 * @work: the next; cancelled without the mutex once no back end is there
 * @poll: what it queues; set before the device is used
 * @last: jiffies that the present visit was waited for; 0: it is no attempt
 * @after: the same of the next visit
 * @reason: what was in the way when it was last tried
 * @avail: how far the ring had been read then
 * @used: how far written
 */
struct vd_retry {
	struct delayed_work work;
	struct vd_poll *poll;
	unsigned long last;
	unsigned long after;
	enum vd_reason reason;
	u16 avail;
	u16 used;
};

/**
 * struct vd_virtqueue - a virtqueue
 * @dev: its device
 * @index: its number there
 * @name: for messages
 * @out_only: the back end only reads buffers of this queue, see struct vd_ring;
 *            set before the device is used
 * @mutex: held by the worker while it handles the queue and by ioctls that
 *         change it; protects all that follows unless said otherwise
 * @ring: the engine's state
 * @told: addresses of the ring's parts as the owner gave them; GIOVA if there
 *        is an IOTLB; see @placed
 * @part: their user addresses; with an IOTLB only while they are found
 * @win: the same parts through the direct map
 * @mem: memory table, the device's
 * @region: last hit in @mem
 * @backend: what the back end attached, NULL for a stopped queue
 * @features: what the driver acknowledged
 * @kick: eventfd that the driver writes
 * @call: eventfd that interrupts the driver
 * @err: eventfd that tells of a stopped queue, of lost frames, and of a dirty log
 *       that can't be written
 * @said: a bit for each thing that was logged since @said_at, see tell.c
 * @said_at: in jiffies
 * @haste: the device's count of it when the worker began to handle the queue
 * @placed: the owner gave addresses, and they mean what they meant then: an
 *          IOTLB has neither come nor gone
 * @worker: who handles the queue; changed with the device's mutex, read under
 *          RCU
 * @poll: watches @kick
 * @burst: the chains being handled. Worker.
 * @xseg: segments of an expanded indirect chain. Worker.
 * @iov: the burst's segments in user memory; behind them VD_TABLE_IOV for the
 *       indirect table that is read. Worker.
 * @used: elements to be given back. Kept until they could be written, so that
 *        a ring that is unmapped for a while loses none.
 * @used_slots: slots of each; packed rings
 * @nused: how many
 * @busy: its part of busy polling
 * @log: its part of the dirty log
 * @giova: its part of the IOTLB
 * @retry: its attempts to reach the ring
 * @counters: statistics
 */
struct vd_virtqueue {
	struct vd_dev *dev;
	unsigned int index;
	const char *name;
	bool out_only;
	struct mutex mutex;
	struct vd_ring ring;
	u64 told[VD_PARTS];
	unsigned long part[VD_PARTS];
	struct vd_winset win;
	const struct vd_memtable *mem;
	const struct vd_region *region;
	void *backend;
	u64 features;
	struct file *kick;
	struct eventfd_ctx *call;
	struct eventfd_ctx *err;
	u32 said;
	unsigned long said_at;
	unsigned int haste;
	bool placed;
	struct vd_worker *worker;
	struct vd_poll poll;
	struct vd_burst *burst;
	struct vd_seg *xseg;
	struct iovec *iov;
	struct vd_used *used;
	u16 *used_slots;
	unsigned int nused;
	struct vd_busy busy;
	struct vd_log log;
	struct vd_giova giova;
	struct vd_retry retry;
	struct vd_counters counters;
};

/**
 * struct vd_dev - a device: virtqueues, a memory table, workers, an owner
 * @mutex: serialises ioctls, but for those that change nothing; protects all that follows
 * @mm: the owner's memory, NULL without an owner
 * @pid: the owner's, of its latest one; set before a queue has work
 * @serial: tells devices of one owner apart, in debugfs and tracepoints
 * @vm: its notifier; NULL with metadata=user
 * @mem: memory table
 * @workers: the threads, by number
 * @vqs: the virtqueues
 * @nvqs: how many
 * @fork: workers are threads of the owner's own; read without the mutex, too
 * @closing: nobody has the file any more, and the workers hurry
 * @haste: how often the workers began, or ceased, to hurry: odd while they do;
 *         read without the mutex
 * @direct: use windows; decided when the device is opened
 * @log: eventfd of VHOST_SET_LOG_FD; the queues have it too
 * @iotlb: translations; changed with all queues' mutexes, too
 * @backend_features: as whoever holds the file set them; without the mutex
 * @miss_lock: guards the queues' misses
 * @msg_wait: readers who wait for messages
 * @debugfs: the device's folder
 */
struct vd_dev {
	struct mutex mutex;
	struct mm_struct *mm;
	pid_t pid;
	unsigned int serial;
	struct vd_mm *vm;
	struct vd_memtable *mem;
	struct vd_worker *workers[VD_WORKERS_MAX];
	struct vd_virtqueue **vqs;
	unsigned int nvqs;
	bool fork;
	bool closing;
	unsigned int haste;
	bool direct;
	struct eventfd_ctx *log;
	struct vhost_iotlb *iotlb;
	u64 backend_features;
	spinlock_t miss_lock;
	wait_queue_head_t msg_wait;
	struct dentry *debugfs;
};

/* Of a queue's name, in tracepoints. */
#define VD_NAME_SIZE	8

/* Each set is some queue's. */
static inline const struct vd_virtqueue *
vd_winset_queue(const struct vd_winset *ws)
{
	return container_of(ws, struct vd_virtqueue, win);
}

/* dev.c */
void vd_dev_init(struct vd_dev *dev, struct vd_virtqueue **vqs,
		 unsigned int nvqs);
int vd_dev_set_owner(struct vd_dev *dev);
int vd_dev_check_owner(const struct vd_dev *dev);
void vd_dev_stop(struct vd_dev *dev);
void vd_dev_cleanup(struct vd_dev *dev);
void vd_dev_renew(struct vd_dev *dev, struct vd_memtable *mem);
void vd_vq_init(struct vd_virtqueue *vq, unsigned int index, const char *name,
		vd_work_fn kick);

/* debugfs.c */
void vd_debugfs_init(void);
void vd_debugfs_exit(void);
void vd_debugfs_add(struct vd_dev *dev);
void vd_debugfs_del(struct vd_dev *dev);

/* ioctl.c */
long vd_dev_ioctl(struct vd_dev *dev, unsigned int cmd, void __user *arg);
int vd_dev_set_features(struct vd_dev *dev, u64 features);

/* haste.c */
void vd_workers_hurry(struct vd_dev *dev);
bool vd_vq_hurried(const struct vd_virtqueue *vq);
void vd_workers_flush_one(struct vd_dev *dev, struct vd_worker *w);
void vd_workers_flush(struct vd_dev *dev);
int vd_queues_lock(struct vd_dev *dev);
void vd_queues_unlock(struct vd_dev *dev);
void vd_vq_lock_nested(struct vd_virtqueue *vq, unsigned int subclass);

/* retry.c */
void vd_retry_init(struct vd_virtqueue *vq, struct vd_poll *poll);
void vd_retry_begin(struct vd_virtqueue *vq, bool kicked);
bool vd_retry_vain(struct vd_virtqueue *vq, enum vd_reason reason);
void vd_retry_later(struct vd_virtqueue *vq, bool vain);
void vd_retry_stop(struct vd_virtqueue *vq);

/*
 * A worker begins to handle a queue, see vd_vq_hurried(); @kicked: for a kick, or
 * what counts as one (an answer of the IOTLB's owner, say), after which all that is
 * wrong is told anew. Returns false if it must not wait for any page now: an attempt
 * might cost a frame, and it is asked to look again later, unless the device closes.
 */
static inline bool vd_vq_begin(struct vd_virtqueue *vq, bool kicked)
{
	vq->retry.last = 0;
	if (unlikely(vq->retry.after))
		vd_retry_begin(vq, kicked);
	/* Pairs with the release in vd_haste_end(). */
	vq->haste = smp_load_acquire(&vq->dev->haste);
	return likely(!(vq->haste & 1));
}

/* Whoever isn't the worker takes a queue's mutex so. */
static inline void vd_vq_lock(struct vd_virtqueue *vq)
{
	vd_vq_lock_nested(vq, 0);
}

/* workers.c */
int vd_workers_start(struct vd_dev *dev);
void vd_workers_stop(struct vd_dev *dev);
long vd_workers_ioctl(struct vd_dev *dev, unsigned int cmd, void __user *arg);
void vd_workers_init(void);
bool vd_workers_default(void);
long vd_workers_set_fork(struct vd_dev *dev, int mode);
long vd_workers_get_fork(const struct vd_dev *dev, u8 __user *arg);

/* vq.c */
u32 vd_vq_part_size(const struct vd_virtqueue *vq, enum vd_part part);
bool vd_vq_access_ok(const struct vd_virtqueue *vq);
int vd_vq_start(struct vd_virtqueue *vq);
void vd_vq_stop(struct vd_virtqueue *vq);
void vd_vq_place(struct vd_virtqueue *vq);
int vd_vq_windows(struct vd_virtqueue *vq);
void vd_vq_windowless(struct vd_virtqueue *vq);
void vd_vq_describe(struct vd_virtqueue *vq);
int vd_vq_move(struct vd_virtqueue *vq, const u64 told[VD_PARTS]);
void vd_vq_refresh(struct vd_virtqueue *vq);
int vd_vq_pop(struct vd_virtqueue *vq, unsigned int max);
void vd_vq_rewind(struct vd_virtqueue *vq, unsigned int slots);
void vd_vq_rewind_burst(struct vd_virtqueue *vq, unsigned int first);
int vd_vq_flush(struct vd_virtqueue *vq);
int vd_vq_no_notify(struct vd_virtqueue *vq);
int vd_vq_notify(struct vd_virtqueue *vq);
void vd_vq_kicked(struct vd_virtqueue *vq);
int vd_vq_moved(struct vd_virtqueue *vq);
void vd_vq_look_on(struct vd_virtqueue *vq);

/* tell.c */
void vd_tell_init(void);
void vd_vq_error(struct vd_virtqueue *vq, int err);
void vd_vq_tell(struct vd_virtqueue *vq, enum vd_reason reason);
void vd_vq_lost(struct vd_virtqueue *vq);
void vd_vq_given_up(struct vd_virtqueue *vq);
void vd_vq_unlogged(struct vd_virtqueue *vq, int err);

/* guest.c */
int vd_vq_expand(struct vd_virtqueue *vq, struct vd_chain *c);
int vd_vq_translate_all(struct vd_virtqueue *vq, const struct vd_seg *seg,
			unsigned int nsegs, struct iovec *iov,
			unsigned int room, unsigned int access);

/**
 * vd_vq_translate - where segments lie in the owner's memory
 * @vq: the virtqueue
 * @seg: guest-physical segments
 * @nsegs: how many
 * @iov: receives the user-memory segments, more of them where a segment
 *       crosses memory regions
 * @room: of @iov
 * @access: VHOST_ACCESS_RO or VHOST_ACCESS_WO, for an IOTLB
 *
 * All addresses lie inside the memory table, and so in user space. They were
 * found by comparing guest input, which the processor may do wrongly ahead of
 * time: callers that skip access_ok() put a speculation barrier between this
 * and the access.
 *
 * Return: number of @iov, -VD_BAD_BUFFER for an address that isn't mapped,
 * -VD_BURST_FULL, -VD_MISS. Context: queue mutex.
 */
static __always_inline int
vd_vq_translate(struct vd_virtqueue *vq, const struct vd_seg *seg,
		unsigned int nsegs, struct iovec *iov, unsigned int room,
		unsigned int access)
{
	const struct vd_region *r = vq->region;

	/* One segment, in the region of the last: nearly all of them. */
	if (likely(nsegs == 1 && room && r && seg->addr >= r->start &&
		   seg->addr <= r->last && r->last - seg->addr >= seg->len)) {
		iov->iov_base = (void __user *)(unsigned long)
				(r->uaddr + (seg->addr - r->start));
		iov->iov_len = seg->len;
		return 1;
	}
	return vd_vq_translate_all(vq, seg, nsegs, iov, room, access);
}

/**
 * vd_vq_add_used - note a chain that vd_vq_flush() will give back
 * @vq: the virtqueue, with fewer than VD_USED_MAX noted
 * @head: head of the chain, or its buffer id
 * @slots: its slots
 * @len: bytes written to it
 */
static inline void vd_vq_add_used(struct vd_virtqueue *vq, u16 head, u16 slots,
				  u32 len)
{
	vq->used_slots[vq->nused] = slots;
	vq->used[vq->nused++] = vd_used_elem(&vq->ring, head, len);
}

/* Can the ring be used as it is? Queue mutex. */
static inline bool vd_vq_found(const struct vd_virtqueue *vq)
{
	return likely(vq->placed) &&
	       (likely(!vq->giova.iotlb) || vq->giova.found);
}

/**
 * vd_vq_ready - can the ring be used now?
 * @vq: the virtqueue, with a back end
 *
 * With an IOTLB it may have to be found first, and again after a change; and it
 * is nowhere until the owner says where, once an IOTLB has come or gone. Asked
 * at each visit; the answer holds until the queue's mutex is dropped.
 * Context: the owner's memory is in use, queue mutex; may sleep.
 */
static inline bool vd_vq_ready(struct vd_virtqueue *vq)
{
	return vd_vq_found(vq) || vd_giova_find_ring(vq);
}

static inline bool vd_vq_has(const struct vd_virtqueue *vq, unsigned int bit)
{
	return vq->features & BIT_ULL(bit);
}

#endif /* VD_DEV_H */

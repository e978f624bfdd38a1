// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit without copying (experimental_zcopytx): a large frame is handed to
 * the socket as the guest's own pages, and its chain goes back to the driver
 * when the network is done with them, in whatever order that happens.
 *
 * The network holds references on these pages meanwhile: that is what sending
 * uncopied means, here as with stock. The windows still hold none; no notifier
 * waits for a frame, and a page that the owner loses while a frame is under way
 * lives on, for that frame only.
 *
 * A frame's story. The worker takes a struct vd_zcopy_frame, gives it to the
 * socket and goes on. The completion comes from any context and processor,
 * perhaps before sendmsg() has returned, perhaps after the device was closed.
 * It takes no lock: it puts the frame into a list, and the first in the list
 * has the work of the socket's poll queued, on which the worker gives chains
 * back. For a frame that the socket refused, it comes or it doesn't; so worker
 * and completion each exchange the frame's state, and who finds VD_ZCOPY_SENT
 * there decides about the chain.
 *
 * Lifetime: struct vd_zcopy has a reference of the queue and one of each frame
 * under way, and itself one on this module. A completion finds the queue by
 * RCU, if it is still there. Who takes the back end away has new frames copied,
 * waits for those under way and gives their chains back; but a process that is
 * killed waits for nobody, and leaves the rest to the references.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/if_tap.h>
#include <linux/if_tun.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <net/sock.h>

#include "compat/ubuf.h"
#include "net.h"

static int experimental_zcopytx;
module_param(experimental_zcopytx, int, 0444);
MODULE_PARM_DESC(experimental_zcopytx,
		 "Send frames of 256 bytes and more uncopied where the socket can: 1 yes, 0 no (default)");

/* Most frames under way, and the part of the ring they may take, as stock. */
#define VD_ZCOPY_MAX	128
#define VD_ZCOPY_PART	4

/*
 * One of so many frames may turn out to be copied by somebody behind the
 * socket; with more, all are copied here, which is cheaper. Stock's measure.
 */
#define VD_ZCOPY_SHARE	64
#define VD_ZCOPY_SPAN	1024

enum {
	VD_ZCOPY_SENT,		/* the socket has it */
	VD_ZCOPY_LANDED,	/* the completion came: its chain is to go back */
	VD_ZCOPY_SETTLED,	/* the worker has seen to its chain */
};

/**
 * struct vd_zcopy_frame - a frame that may be under way
 * @ubuf: what the socket knows it by
 * @zc: what it is part of
 * @state: see above
 * @copied: somebody had to copy it
 * @head: its chain
 * @slots: of its chain
 * @done: in &vd_zcopy.done
 * @next: in &vd_zcopy.free; worker
 */
struct vd_zcopy_frame {
	struct ubuf_info ubuf;
	struct vd_zcopy *zc;
	atomic_t state;
	bool copied;
	u16 head;
	u16 slots;
	struct llist_node done;
	struct vd_zcopy_frame *next;
};

/**
 * struct vd_zcopy - a queue's frames under way through one socket
 * @queue: who gives chains back; NULL when it has gone. RCU.
 * @tap: the socket's queue if it is a macvtap's or ipvtap's, else NULL
 * @refs: of the queue, and of each frame under way
 * @flying: frames under way whose chain waits for the completion
 * @wait: who waits until there are none
 * @done: frames that landed, newest first
 * @free: those that aren't used. Queue mutex, as all that follows.
 * @held: chains not given back
 * @tried: frames that might have gone uncopied, of the last span
 * @copied: of these, those that were copied behind the socket
 * @blocked: copy all: somebody waits for those under way
 * @rcu: for the end
 * @frame: all of them
 */
struct vd_zcopy {
	struct vd_net_queue __rcu *queue;
	const struct tap_queue *tap;
	refcount_t refs;
	atomic_t flying;
	wait_queue_head_t wait;
	struct llist_head done;
	struct vd_zcopy_frame *free;
	u32 held;
	u32 tried;
	u32 copied;
	bool blocked;
	struct rcu_head rcu;
	struct vd_zcopy_frame frame[VD_ZCOPY_MAX];
};

static void vd_zcopy_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct vd_zcopy, rcu));
	/* vd_zcopy_exit() waits until this function has been left. */
	module_put(THIS_MODULE);
}

static void vd_zcopy_put(struct vd_zcopy *zc)
{
	/* Not at once: a completion may still be waking who waits. */
	if (refcount_dec_and_test(&zc->refs))
		call_rcu(&zc->rcu, vd_zcopy_free);
}

/* One less to wait for. Within RCU, or by the worker. */
static void vd_zcopy_land(struct vd_zcopy *zc)
{
	/* Pairs with atomic_read_acquire() in vd_zcopy_wait(). */
	if (atomic_dec_and_test(&zc->flying))
		wake_up(&zc->wait);
}

/* The network is done with a frame, or with one of its copies. Any context. */
static void vd_zcopy_complete(struct sk_buff *skb, struct ubuf_info *ubuf,
			      bool success)
{
	struct vd_zcopy_frame *z = container_of(ubuf, struct vd_zcopy_frame,
						ubuf);
	struct vd_zcopy *zc = z->zc;
	struct vd_net_queue *q;

	if (!success)
		WRITE_ONCE(z->copied, true);
	if (!refcount_dec_and_test(&ubuf->refcnt))
		return;
	rcu_read_lock();
	/* Pairs with the exchange in vd_zcopy_claim(). */
	if (likely(atomic_xchg(&z->state, VD_ZCOPY_LANDED) == VD_ZCOPY_SENT)) {
		/*
		 * From here on the frame is the worker's, who may use it anew.
		 * Pairs with llist_del_all() in vd_zcopy_reap(): if others are
		 * in the list, they had the work queued and it has yet to look.
		 */
		if (llist_add(&z->done, &zc->done)) {
			q = rcu_dereference(zc->queue);
			if (q)
				vd_poll_queue(&q->sock_poll);
		}
		vd_zcopy_land(zc);
	}
	vd_zcopy_put(zc);
	rcu_read_unlock();
}

static const struct ubuf_info_ops vd_zcopy_ops = {
	.complete = vd_zcopy_complete,
};

/**
 * vd_zcopy_new - get ready to send uncopied
 * @q: a transmit queue
 * @sock: the socket that it is about to have
 *
 * Return: what vd_zcopy_end() takes, NULL if the socket can't or nobody asked
 * for it, or ERR_PTR(-ENOMEM). Context: may sleep.
 */
struct vd_zcopy *vd_zcopy_new(struct vd_net_queue *q, struct socket *sock)
{
	struct vd_zcopy *zc;
	unsigned int i;

	if (!experimental_zcopytx || !sock_flag(sock->sk, SOCK_ZEROCOPY))
		return NULL;
	zc = kzalloc(sizeof(*zc), GFP_KERNEL_ACCOUNT);
	if (!zc)
		return ERR_PTR(-ENOMEM);
	RCU_INIT_POINTER(zc->queue, q);
	if (!IS_ERR(tap_get_socket(sock->file)))
		zc->tap = container_of(sock, struct tap_queue, sock);
	refcount_set(&zc->refs, 1);
	init_waitqueue_head(&zc->wait);
	init_llist_head(&zc->done);
	for (i = 0; i < VD_ZCOPY_MAX; i++) {
		zc->frame[i].zc = zc;
		zc->frame[i].next = zc->free;
		zc->free = &zc->frame[i];
	}
	/* The device is open, so the module is there. */
	__module_get(THIS_MODULE);
	return zc;
}

/**
 * vd_zcopy_end - the queue sends nothing more this way
 * @zc: no longer the queue's; frames may be under way. NULL does nothing.
 *
 * Before the queue goes away, a grace period must pass. Context: may sleep.
 */
void vd_zcopy_end(struct vd_zcopy *zc)
{
	if (!zc)
		return;
	/* Pairs with rcu_dereference() in vd_zcopy_complete(). */
	rcu_assign_pointer(zc->queue, NULL);
	vd_zcopy_put(zc);
}

/*
 * Once the device of a macvtap has been deleted, tap drops frames without a
 * completion and says that they were sent. Once gone it stays gone.
 */
static bool vd_zcopy_gone(const struct vd_zcopy *zc)
{
	return zc->tap && !rcu_access_pointer(zc->tap->tap);
}

/*
 * Pages that a chain touches. With more than a frame has room for the socket
 * copies it; tun may then forget the completion, if XDP takes the frame.
 */
static bool vd_zcopy_fits(const struct iovec *iov, unsigned int niov)
{
	size_t pages = 0;
	unsigned int i;

	for (i = 0; i < niov; i++)
		pages += DIV_ROUND_UP(offset_in_page(iov[i].iov_base) +
				      iov[i].iov_len, PAGE_SIZE);
	return pages <= MAX_SKB_FRAGS;
}

/**
 * vd_zcopy_wants - is a frame to be sent uncopied?
 * @q: a queue with vd_net_queue.zcopy
 * @f: the frame
 *
 * Return: true if so. Context: worker, queue mutex.
 */
bool vd_zcopy_wants(struct vd_net_queue *q, const struct vd_frame *f)
{
	struct vd_zcopy *zc = q->zcopy;
	u32 most = min_t(u32, VD_ZCOPY_MAX, q->vq.ring.num / VD_ZCOPY_PART);

	/* The driver counts on having its chains back in order. */
	if (zc->blocked || q->vq.ring.in_order ||
	    f->len - q->hlen < VD_ZCOPY_LEN)
		return false;
	if (++zc->tried > VD_ZCOPY_SPAN) {
		zc->tried = 1;
		zc->copied = 0;
	}
	if (zc->tried / VD_ZCOPY_SHARE < zc->copied)
		return false;
	if (zc->held >= most || !zc->free) {
		vd_stat_inc(&q->vq.counters, zerocopy_bound);
		return false;
	}
	return vd_zcopy_fits(q->vq.iov + f->first, f->niov) &&
	       !vd_zcopy_gone(zc);
}

static struct vd_zcopy_frame *vd_zcopy_take(struct vd_zcopy *zc,
					    const struct vd_frame *f)
{
	struct vd_zcopy_frame *z = zc->free;

	zc->free = z->next;
	zc->held++;
	z->head = f->head;
	z->slots = f->slots;
	z->copied = false;
	atomic_set(&z->state, VD_ZCOPY_SENT);
	vd_ubuf_tell(&z->ubuf, &vd_zcopy_ops);
	z->ubuf.flags = SKBFL_ZEROCOPY_FRAG;
	refcount_set(&z->ubuf.refcnt, 1);
	refcount_inc(&zc->refs);
	atomic_inc(&zc->flying);
	return z;
}

static void vd_zcopy_give(struct vd_zcopy *zc, struct vd_zcopy_frame *z)
{
	z->next = zc->free;
	zc->free = z;
	zc->held--;
}

/*
 * The worker sees to the chain itself. Returns false if the completion was
 * first: then the frame is in the list, and comes free when that is reaped.
 */
static bool vd_zcopy_claim(struct vd_zcopy *zc, struct vd_zcopy_frame *z)
{
	/* Pairs with the exchange in vd_zcopy_complete(). */
	if (atomic_xchg(&z->state, VD_ZCOPY_SETTLED) != VD_ZCOPY_SENT)
		return false;
	vd_zcopy_land(zc);
	return true;
}

/* The socket took no frame of @len bytes; if there was no completion, there is none. */
static int vd_zcopy_refused(struct vd_zcopy *zc, struct vd_zcopy_frame *z,
			    struct socket *sock, int err, u32 len)
{
	if (vd_zcopy_claim(zc, z)) {
		vd_zcopy_give(zc, z);
		vd_zcopy_put(zc);
	}
	if (err != -EFAULT)
		return vd_net_sent(sock, err, len);
	/* Memory that has no pages to refer to can still be copied. */
	zc->copied++;
	return VD_TX_COPY;
}

/*
 * The device went away meanwhile: will the completion come? The chain goes
 * back now. The frame isn't used again and keeps its references, for ever if
 * need be: it is one, as those after it are copied.
 */
static int vd_zcopy_lost(struct vd_zcopy *zc, struct vd_zcopy_frame *z)
{
	if (vd_zcopy_claim(zc, z))
		zc->held--;
	return VD_TX_DROP;
}

/**
 * vd_zcopy_send - send a frame uncopied
 * @q: the queue
 * @sock: its socket
 * @f: a frame that vd_zcopy_wants(), all before it sent
 *
 * Return: VD_TX_FLYING; VD_TX_COPY if that is the only way; or as vd_net_sent()
 * and it wasn't sent. Context: worker, queue mutex; may sleep.
 */
int vd_zcopy_send(struct vd_net_queue *q, struct socket *sock,
		  const struct vd_frame *f)
{
	struct vd_zcopy *zc = q->zcopy;
	struct vd_zcopy_frame *z = vd_zcopy_take(zc, f);
	u32 skip = q->own_header ? q->hlen : 0;
	struct tun_msg_ctl ctl = {
		.type = TUN_MSG_UBUF,
		.ptr = &z->ubuf,
	};
	struct msghdr msg = {
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl),
		.msg_flags = MSG_DONTWAIT,
	};
	int err;

	vd_net_iter(&msg.msg_iter, ITER_SOURCE, q->vq.iov + f->first, f->niov,
		    f->len, skip);
	err = sock->ops->sendmsg(sock, &msg, f->len - skip);
	if (unlikely(err < 0))
		return vd_zcopy_refused(zc, z, sock, err,
					f->len - q->hlen);
	if (unlikely(vd_zcopy_gone(zc)))
		return vd_zcopy_lost(zc, z);
	vd_stat_inc(&q->vq.counters, zerocopy);
	return VD_TX_FLYING;
}

/**
 * vd_zcopy_reap - note the chains of frames that have landed
 * @q: a queue with vd_net_queue.zcopy, with room for as many used elements
 *
 * Context: queue mutex.
 */
void vd_zcopy_reap(struct vd_net_queue *q)
{
	struct vd_counters *c = &q->vq.counters;
	struct vd_zcopy *zc = q->zcopy;
	struct vd_zcopy_frame *z, *next;
	struct llist_node *list;

	if (llist_empty(&zc->done))
		return;
	/* Pairs with llist_add() in vd_zcopy_complete(). */
	list = llist_reverse_order(llist_del_all(&zc->done));
	llist_for_each_entry_safe(z, next, list, done) {
		bool copied = READ_ONCE(z->copied);

		if (likely(atomic_read(&z->state) == VD_ZCOPY_LANDED)) {
			vd_vq_add_used(&q->vq, z->head, z->slots, 0);
			vd_stat_inc(c, zerocopy_done);
			vd_stat_add(c, zerocopy_copied, copied);
		}
		zc->copied += copied;
		vd_zcopy_give(zc, z);
	}
}

/**
 * vd_zcopy_wait - have frames copied, and wait for those under way
 * @q: the queue
 *
 * Until vd_zcopy_resume() none is sent uncopied. Nobody who is about to die, or
 * serves others, waits for what somebody in the network may keep for ever.
 * Return: 0, or -EINTR and some may be under way.
 * Context: device mutex, or the last user; may sleep.
 */
int vd_zcopy_wait(struct vd_net_queue *q)
{
	struct vd_zcopy *zc = q->zcopy;

	if (!zc)
		return 0;
	vd_vq_lock(&q->vq);
	zc->blocked = true;
	mutex_unlock(&q->vq.mutex);
	/* Pairs with atomic_dec_and_test() in vd_zcopy_land(). */
	if (!atomic_read_acquire(&zc->flying))
		return 0;
	if (current->flags & (PF_EXITING | PF_KTHREAD))
		return -EINTR;
	return wait_event_killable(zc->wait,
				   !atomic_read_acquire(&zc->flying)) ?
	       -EINTR : 0;
}

/**
 * vd_zcopy_settle - as vd_zcopy_wait(), and give the chains back
 * @q: the queue
 *
 * Return: 0 or -EINTR. Context: device mutex, and the owner, who alone can
 * write the ring; may sleep.
 */
int vd_zcopy_settle(struct vd_net_queue *q)
{
	int err;

	if (!q->zcopy)
		return 0;
	err = vd_zcopy_wait(q);
	if (err)
		return err;
	vd_vq_lock(&q->vq);
	vd_zcopy_reap(q);
	/* A ring that can't be written has its chains noted until it can. */
	if (vd_vq_ready(&q->vq))
		vd_vq_flush(&q->vq);
	mutex_unlock(&q->vq.mutex);
	return 0;
}

/**
 * vd_zcopy_resume - frames may go uncopied again
 * @q: the queue
 *
 * Context: device mutex; may sleep.
 */
void vd_zcopy_resume(struct vd_net_queue *q)
{
	if (!q->zcopy)
		return;
	vd_vq_lock(&q->vq);
	q->zcopy->blocked = false;
	mutex_unlock(&q->vq.mutex);
}

/**
 * vd_zcopy_exit - before the module goes: nobody is in its functions
 *
 * Context: may sleep.
 */
void vd_zcopy_exit(void)
{
	if (!experimental_zcopytx)
		return;
	/* vd_zcopy_free(), which let us go. */
	rcu_barrier();
	/* A task preempted in a completion's last instructions. */
	synchronize_rcu_tasks();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Driver and device in two threads, with real barriers, real sleep and contents
 * checked on both sides. A wakeup that is lost leaves one of them asleep until
 * its limit is over, which is a failure.
 *
 * Small rings, so that both sides fall asleep often: the race between asking
 * to be woken and looking once more is what this is after. In order, three of
 * four chains have nothing to write to, so that used elements stand for several.
 * Under ThreadSanitizer see user/words.h for what it can prove.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "random.h"
#include "../mock_packed.h"
#include "ktap.h"

#define CHAINS		6000
#define LIMIT_MS	10000
#define SLOTS		256u
#define BUFFER		64u
#define REPLY(seq)	((seq) * 0x9e3779b97f4a7c15ull)

static struct mock_arena mem;
static struct mock_split drv;
static struct mock_packed pk;
static bool packed, in_order;
static struct vd_ring ring;
static u64 buffers;
static u64 total;
static bool indirect;
static int kick_fd, call_fd;
static u64 device_slept, driver_slept;
/* Set by either thread, with the reason; both then give up. */
static const char *failed;

static void fail(const char *why)
{
	const char *none = NULL;

	__atomic_compare_exchange_n(&failed, &none, why, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static bool is_failed(void)
{
	return __atomic_load_n(&failed, __ATOMIC_RELAXED);
}

static void wake(int fd)
{
	u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		fail("eventfd write");
}

static void sleep_on(int fd, const char *who)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	u64 count;
	int ms;

	for (ms = 0; ms < LIMIT_MS && !is_failed(); ms += 100)
		if (poll(&p, 1, 100) == 1)
			break;
	if (ms >= LIMIT_MS)
		fail(who);
	else if (!is_failed() && read(fd, &count, sizeof(count)) < 0)
		fail("eventfd read");
}

/* Does a chain have a buffer for the reply? */
static bool has_reply(u64 seq)
{
	return !in_order || seq % 4 == 3;
}

/* The device reads the sequence number, writes its reply. */
static void serve(struct vd_chain *c, const struct vd_seg *seg, u64 seq)
{
	u64 *out, *in;

	if (c->nr_out != 1 || c->nr_in != has_reply(seq) ||
	    seg[0].len != BUFFER)
		return fail("device: chain is not what was made available");
	out = mock_at(&mem, seg[0].addr, BUFFER);
	if (!out || out[0] != seq || out[BUFFER / 8 - 1] != ~seq)
		return fail("device: contents");
	if (!c->nr_in)
		return;
	in = mock_at(&mem, seg[1].addr, BUFFER);
	if (!in)
		return fail("device: where to write");
	in[0] = REPLY(seq);
	in[BUFFER / 8 - 1] = ~REPLY(seq);
}

static void serve_burst(struct vd_burst *b, u64 seq)
{
	struct vd_table_io io = { mock_read, &mem };
	struct vd_seg seg[VD_CHAIN_SEGS];
	struct vd_used elem[VD_BURST];
	u16 slots[VD_BURST];
	u32 i;

	for (i = 0; i < b->count && !is_failed(); i++) {
		struct vd_chain *c = &b->chain[i];
		const struct vd_seg *at = b->seg + c->first;

		if (c->indirect) {
			at = seg;
			if (vd_chain_expand(&ring, c, b, seg, &io))
				fail("device: table");
		}
		serve(c, at, seq + i);
		elem[i] = vd_used_elem(&ring, c->head, c->nr_in ? BUFFER : 0);
		slots[i] = c->slots;
	}
	if (packed)
		vd_packed_push(&ring, &vd_plain_ops, &pk.ring, elem, slots,
			       b->count);
	else
		vd_split_push(&ring, &vd_plain_ops, &drv.ring, elem, b->count);
	if (packed ? vd_packed_need_signal(&ring, &vd_plain_ops, &pk.ring) :
		     vd_split_need_signal(&ring, &vd_plain_ops, &drv.ring))
		wake(call_fd);
}

static int pop(struct vd_burst *b, u32 max)
{
	return packed ? vd_packed_pop(&ring, &vd_plain_ops, &pk.ring, b, max) :
			vd_split_pop(&ring, &vd_plain_ops, &drv.ring, b, max);
}

static void no_notify(void)
{
	if (packed)
		vd_packed_no_notify(&ring, &vd_plain_ops, &pk.ring);
	else
		vd_split_no_notify(&ring, &vd_plain_ops, &drv.ring);
}

static int notify(void)
{
	return packed ? vd_packed_notify(&ring, &vd_plain_ops, &pk.ring) :
			vd_split_notify(&ring, &vd_plain_ops, &drv.ring);
}

static void *device_thread(void *arg)
{
	static struct vd_burst b;
	u64 seq = 0;
	int ret;

	(void)arg;
	while (seq < total && !is_failed()) {
		ret = pop(&b, 1 + seq % VD_BURST);
		if (ret < 0) {
			fail(vd_reason_name(-ret));
		} else if (ret) {
			no_notify();
			serve_burst(&b, seq);
			seq += ret;
		} else if (!notify()) {
			device_slept++;
			sleep_on(kick_fd, "device: a kick was lost");
		}
	}
	return NULL;
}

static bool offer(u64 seq, u16 slot)
{
	u64 at = buffers + 2ull * BUFFER * slot;
	struct vd_seg seg[2] = { { at, BUFFER }, { at + BUFFER, BUFFER } };
	struct mock_chain c = {
		.seg = seg, .nr_out = 1, .nr_in = has_reply(seq),
		.cookie = slot, .shuffle = seq,
	};
	u64 *out = mock_at(&mem, at, BUFFER);

	out[0] = seq;
	out[BUFFER / 8 - 1] = ~seq;
	c.direct = c.nr_out + c.nr_in;
	if (indirect)
		c.direct = packed ? seq % 3 ? c.direct : 0 :
			   min_t(u32, c.direct, seq % 3);
	return packed ? mock_packed_add(&pk, &c) >= 0 : mock_add(&drv, &c) >= 0;
}

static int reap(struct mock_done *done)
{
	return packed ? mock_packed_reap(&pk, done) : mock_reap(&drv, done);
}

/* One check of a chain that came back. */
static void look_at(const struct mock_done *done, u64 seq)
{
	u64 *in = mock_at(&mem, buffers + 2ull * BUFFER * done->cookie + BUFFER,
			  BUFFER);

	if (done->len != (has_reply(seq) ? BUFFER : 0))
		fail("driver: length");
	if (has_reply(seq) &&
	    (in[0] != REPLY(seq) || in[BUFFER / 8 - 1] != ~in[0]))
		fail("driver: contents");
}

/* Takes back what is there; @seq of each slot is what was sent in it. */
static u64 take_back(const u64 *sent, u16 *spare, u32 *nspare)
{
	struct mock_done done;
	u64 n = 0;
	int ret;

	while ((ret = reap(&done)) > 0) {
		look_at(&done, sent[done.cookie]);
		spare[(*nspare)++] = done.cookie;
		n++;
	}
	if (ret < 0)
		fail("driver: a chain came back that was not out");
	return n;
}

static void publish(void)
{
	if (packed)
		mock_packed_publish(&pk);
	else
		mock_publish(&drv);
	if (packed ? mock_packed_need_kick(&pk) : mock_need_kick(&drv))
		wake(kick_fd);
	if (packed)
		mock_packed_no_interrupt(&pk);
	else
		mock_no_interrupt(&drv);
}

static bool want_interrupt(void)
{
	return packed ? mock_packed_want_interrupt(&pk) :
			mock_want_interrupt(&drv);
}

static void *driver_thread(void *arg)
{
	u64 seq = 0, back = 0, sent[SLOTS], got;
	u32 nspare, lot;
	u16 spare[SLOTS];

	(void)arg;
	for (nspare = 0; nspare < SLOTS; nspare++)
		spare[nspare] = nspare;
	while (back < total && !is_failed()) {
		for (lot = 1 + seq % 7; lot && seq < total && nspare; lot--) {
			u16 slot = spare[nspare - 1];

			if (!offer(seq, slot))
				break;
			nspare--;
			sent[slot] = seq++;
		}
		publish();
		got = take_back(sent, spare, &nspare);
		back += got;
		/* Full, or all sent: nothing to do until something is back. */
		if (!got && (seq == total || lot) &&
		    !want_interrupt()) {
			driver_slept++;
			sleep_on(call_fd, "driver: an interrupt was lost");
		}
	}
	return NULL;
}

static void race(u32 num, bool event_idx)
{
	struct mock_layout lay = {
		.num = num, .event_idx = event_idx, .le = true,
		.tables = indirect ? 4 : 0, .start = 65000,
		.packed = packed, .in_order = in_order, .salt = 12345,
		.offset = { 4080, packed ? 4088 : 4090, 4092 },
	};
	pthread_t thread[2];

	failed = NULL;
	device_slept = 0;
	driver_slept = 0;
	total = random_env("VD_CHAINS", CHAINS);
	mock_arena_alloc(&mem, 1 << 20, 0x100000000ull);
	buffers = mock_arena_take(&mem, 2 * BUFFER * SLOTS, 8, 0);
	if (packed) {
		mock_packed_init(&pk, &mem, &lay);
		ring = mock_packed_device(&pk);
	} else {
		mock_split_init(&drv, &mem, &lay);
		ring = mock_device(&drv);
	}
	kick_fd = eventfd(0, 0);
	call_fd = eventfd(0, 0);
	if (pthread_create(&thread[0], NULL, device_thread, NULL) ||
	    pthread_create(&thread[1], NULL, driver_thread, NULL)) {
		perror("pthread_create");
		exit(1);
	}
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	if (failed)
		printf("# num %u: %s\n", num, failed);
	CHECK(!failed);
	printf("# num %u: device slept %" PRIu64 " times, driver %" PRIu64 "\n",
	       num, device_slept, driver_slept);
	close(kick_fd);
	close(call_fd);
	if (packed)
		mock_packed_exit(&pk);
	else
		mock_split_exit(&drv);
	mock_arena_exit(&mem);
}

/* Rings with and without event indices, with and without tables. */
static void race_all(void)
{
	static const u32 split_num[] = { 2, 4, 32, 256 };
	static const u32 packed_num[] = { 2, 5, 32, 255 };
	u32 i, how;

	for (how = 0; how < 4 && !ktap_errors; how++) {
		indirect = how & 2;
		for (i = 0; i < ARRAY_SIZE(split_num) && !ktap_errors; i++)
			race(packed ? packed_num[i] : split_num[i], how & 1);
	}
}

static void split(void)
{
	packed = false;
	in_order = false;
	race_all();
}

static void split_in_order(void)
{
	packed = false;
	in_order = true;
	race_all();
}

static void packed_ring(void)
{
	packed = true;
	in_order = false;
	race_all();
}

static void packed_in_order(void)
{
	packed = true;
	in_order = true;
	race_all();
}

static const struct ktap_test tests[] = {
	TEST(split),
	TEST(split_in_order),
	TEST(packed_ring),
	TEST(packed_in_order),
};

KTAP_MAIN(tests)

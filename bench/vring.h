/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vring: what its files share. One queue pair is one vhost file and one tap
 * queue; all pairs share one memory pool, as the queues of one guest do.
 */
#ifndef BENCH_VRING_H
#define BENCH_VRING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#define VR_MAX_QUEUES	16
#define VR_MAX_CHAIN	64
#define VR_MAX_REGIONS	512
#define VR_MAX_FRAME	65536
#define VR_BATCH	64	/* frames a call of the packet socket */
#define VR_SPARE_PAGES	64	/* behind the buffers, for a balloon */

enum { VR_DIR_TX = 1, VR_DIR_RX = 2 };
enum { VR_MODE_STREAM, VR_MODE_BURST, VR_MODE_RTT };
enum {
	VR_MEM_4K, VR_MEM_THP, VR_MEM_HUGETLB, VR_MEM_HUGE1G, VR_MEM_MEMFD, VR_MEM_FILE,
	VR_MEM_SECRET,
};

enum { VR_LAYOUT_SPLIT, VR_LAYOUT_PACKED, VR_LAYOUT_IN_ORDER };
enum { VR_FEED_PACKET, VR_FEED_PKTGEN };
enum { VR_XDP_NONE, VR_XDP_DROP, VR_XDP_CHECK };
enum { VR_WAIT_POLL, VR_WAIT_CALL, VR_WAIT_NAP };
enum { VR_STORM_NO, VR_STORM_HIT, VR_STORM_MISS, VR_STORM_NONE, VR_STORM_NUMA };

struct vr_opts {
	char *dev;
	char *tap;
	char *events;
	char *mem_path;		/* the file of --mem file */
	char *reclaim;
	unsigned int dir;
	unsigned int mode;
	unsigned int layout;
	unsigned int feeder;
	unsigned int size;
	unsigned int size_max;
	unsigned int ring;
	unsigned int burst;
	unsigned int chain;
	unsigned int buf;
	unsigned int mem;
	unsigned int offset;
	unsigned int queues;
	unsigned int regions;
	unsigned int xdp;
	unsigned int wait;
	unsigned int timeout;
	unsigned int event_us;
	unsigned int rest_ms;
	unsigned int account_ms;
	unsigned int tx_share;	/* frames sent for each received; 0: as it comes */
	unsigned int gap;	/* pages of other memory around each ring */
	unsigned int storm;
	unsigned int storm_rate;
	unsigned int slice_ms;
	unsigned int latency_us;
	unsigned int misses;
	int miss_gap;		/* the n-th from below, or the last; -1 for all in turn */
	int pin_worker;
	int pin_driver;
	double seconds;
	double warmup;
	uint64_t packets;
	bool indirect;
	bool event_idx;
	bool mergeable;
	bool legacy;
	bool check;
	bool spoil;
	bool mark;
	bool separate;
	bool idle;
	bool gso;
	bool shared;		/* hugetlb pages of a file, not private ones */
};

/* The guest's memory: one mapping, announced to vhost as one or more regions. */
struct vr_mem {
	uint8_t *base;
	size_t size;
	size_t ring_bytes;	/* the rings come first, buffers after */
	size_t used;
	uint64_t gpa;
	int fd;
	unsigned long huge_kb;	/* how much of it huge pages backed in the beginning */
};

/* Which sequence numbers were seen; the window tells a late frame from a twin. */
#define VR_SEQ_WINDOW 65536
struct vr_seq {
	uint64_t next;
	uint64_t seen;
	uint64_t dup;
	uint64_t reordered;
	uint64_t corrupt;
	uint64_t map[VR_SEQ_WINDOW / 64];
};

struct vr_mock;

struct vr_vq {
	struct vring vr;
	struct vr_mock *mock;	/* NULL for a plain split ring */
	struct vring_desc *own;	/* with it: the slots' chains, not in guest memory */
	bool indirect;
	bool tx;
	bool event_idx;
	bool want_calls;
	unsigned int chain;
	unsigned int hdr_len;
	unsigned int slots;
	unsigned int descs_per_slot;	/* in the ring: 1 with indirect tables */
	uint8_t *bufs;
	size_t slot_stride;
	size_t seg_stride;
	unsigned int seg_cap[VR_MAX_CHAIN];
	struct vring_desc *tables;	/* one indirect table a slot, or NULL */
	const struct vr_mem *mem;
	int kick_fd;
	int call_fd;
	int err_fd;
	uint16_t avail_idx;	/* ours, not yet published beyond pub_idx */
	uint16_t pub_idx;
	uint16_t last_used;
	uint16_t *free;		/* a first-in first-out queue of slots */
	unsigned int free_head;
	unsigned int free_count;
	uint8_t *busy;
	uint64_t submitted;	/* buffers handed over */
	uint64_t completed;	/* buffers that came back */
	uint64_t kicks;
	uint64_t calls;
	uint64_t bad_used;
};

struct vr_pair {
	int vhost_fd;
	int tap_fd;
	int ifindex;
	char ifname[16];
	unsigned int index;
	struct vr_vq tx, rx;
	int feed_fd;
	uint64_t tx_sent;	/* frames put into the ring */
	uint64_t tx_got;	/* frames the far side took from the tap */
	uint64_t rx_fed;	/* frames put into the tap */
	uint64_t rx_got;	/* frames taken out of the ring */
	struct vr_seq tx_seq, rx_seq;
};

/* What was measured of a direction: packets, and the time they took. */
struct vr_window {
	uint64_t packets;
	uint64_t ns;
};

/* Some of the process's memory. */
struct vr_range {
	uint8_t *at;
	size_t len;
};

struct vr_run {
	const struct vr_opts *o;
	struct vr_mem mem;
	struct vr_pair *pairs;
	struct vr_range gaps[2 * VR_MAX_QUEUES];	/* between the rings */
	unsigned int ngaps;
	unsigned int npairs;
	unsigned int hdr_len;
	uint64_t offered;
	uint64_t features;
	int steer_prog;
	int recv_fd[VR_MAX_QUEUES];
	unsigned int nrecv;
	int worker[VR_MAX_QUEUES * 2];
	unsigned int nworkers;
	struct vr_window tx_win, rx_win;
	uint64_t worker_ns;
	uint64_t steps, idle_steps;	/* is the driver ahead of the worker? */
	uint64_t own_ns, looked;	/* the run's own time, and the clock at its last look */
	uint64_t tap_frames;	/* what the tap says it got from the ring */
	uint64_t vring_errs;
	const char *failure;	/* why the run ended early, or NULL */
	char failure_buf[256];
};

/* vring.c */
extern volatile int vr_stop;
void vr_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void vr_die_errno(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void vr_fail(struct vr_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t vr_now(void);

/* opts.c */
void vr_opts_parse(struct vr_opts *o, int argc, char **argv);
extern const char *const vr_dir_names[], *const vr_mode_names[];
extern const char *const vr_mem_names[], *const vr_xdp_names[];
extern const char *const vr_layout_names[], *const vr_feeder_names[];
extern const char *const vr_wait_names[], *const vr_storm_names[];

/* mem.c */
void vr_mem_alloc(struct vr_mem *m, size_t bytes, const struct vr_opts *o);
unsigned long vr_mem_huge_kb(const struct vr_mem *m);
size_t vr_mem_page(const struct vr_opts *o);
int vr_mem_flags(const struct vr_opts *o, int fd);
void vr_mem_advise(void *at, size_t len, const struct vr_opts *o);
void *vr_mem_take(struct vr_mem *m, size_t bytes, size_t align, size_t offset);
unsigned int vr_mem_regions(const struct vr_mem *m, unsigned int want, uint64_t start[],
			    uint64_t len[]);

static inline uint64_t vr_gpa(const struct vr_mem *m, const void *p)
{
	return m->gpa + (uint64_t)((const uint8_t *)p - m->base);
}

/* ring_mock.c: what ring.c leaves to it if the layout isn't plainly split */
void vr_mock_place(struct vr_vq *q, struct vr_mem *m, const struct vr_opts *o);
struct vring_desc *vr_mock_slots(struct vr_vq *q);
void vr_mock_add(struct vr_vq *q, unsigned int slot);
bool vr_mock_publish(struct vr_vq *q);
bool vr_mock_returned(struct vr_vq *q);
unsigned int vr_mock_waiting(struct vr_vq *q);
int vr_mock_slot(const struct vr_vq *q, unsigned int ahead, unsigned int *len);
void vr_mock_next(struct vr_vq *q);
bool vr_mock_arm(struct vr_vq *q);
uint32_t vr_mock_base(const struct vr_vq *q);

/* ring.c */
size_t vr_ring_bytes(const struct vr_opts *o);
size_t vr_bufs_bytes(const struct vr_opts *o, unsigned int hdr_len);
void vr_ring_place(struct vr_vq *q, struct vr_mem *m, const struct vr_opts *o);
struct vr_range vr_ring_pages(const struct vr_vq *q);
struct vr_range vr_ring_range(const struct vr_run *r);
struct vr_range vr_gap_range(const struct vr_run *r);
void vr_ring_fill(struct vr_vq *q, struct vr_mem *m, const struct vr_opts *o,
		  unsigned int hdr_len, bool tx);
void vr_ring_set_len(struct vr_vq *q, unsigned int slot, unsigned int frame_len);
void vr_ring_publish(struct vr_vq *q);
unsigned int vr_ring_reap(struct vr_vq *q, unsigned int max);
void vr_ring_scatter(struct vr_vq *q, unsigned int slot, const uint8_t *bytes);
bool vr_ring_gather(const struct vr_vq *q, unsigned int slot, uint8_t *bytes, unsigned int len);
bool vr_ring_guards_ok(const struct vr_vq *q, unsigned int slot);
int vr_ring_used_slot(const struct vr_vq *q, unsigned int ahead, unsigned int *len);
bool vr_ring_arm(struct vr_vq *q);
void vr_ring_count_calls(struct vr_vq *q);

static inline uint8_t *vr_seg(const struct vr_vq *q, unsigned int slot, unsigned int seg)
{
	return q->bufs + (size_t)slot * q->slot_stride + seg * q->seg_stride;
}

static inline unsigned int vr_slot_take(struct vr_vq *q)
{
	unsigned int slot = q->free[q->free_head];

	if (++q->free_head == q->slots)
		q->free_head = 0;
	q->free_count--;
	return slot;
}

static inline void vr_slot_give(struct vr_vq *q, unsigned int slot)
{
	unsigned int at = q->free_head + q->free_count++;

	q->free[at >= q->slots ? at - q->slots : at] = slot;
}

/* Puts a slot's chain on the ring; the device sees it at the next publish. */
static inline void vr_ring_add(struct vr_vq *q, unsigned int slot)
{
	q->busy[slot] = 1;
	if (q->mock)
		vr_mock_add(q, slot);
	else
		q->vr.avail->ring[q->avail_idx & (q->vr.num - 1)] = slot * q->descs_per_slot;
	q->avail_idx++;
	q->submitted++;
}

static inline uint16_t vr_used_idx(const struct vr_vq *q)
{
	return __atomic_load_n(&q->vr.used->idx, __ATOMIC_ACQUIRE);
}

/* Has any buffer come back? By a look that costs the same for all layouts. */
static inline bool vr_ring_returned(struct vr_vq *q)
{
	return q->mock ? vr_mock_returned(q) : vr_used_idx(q) != q->last_used;
}

/* Buffers that came back and were not reaped yet. */
static inline unsigned int vr_ring_waiting(struct vr_vq *q)
{
	return q->mock ? vr_mock_waiting(q) : (uint16_t)(vr_used_idx(q) - q->last_used);
}

/* backend.c */
uint64_t vr_backend_features(struct vr_run *r);
void vr_backend_open(struct vr_run *r, struct vr_pair *p);
void vr_backend_start(struct vr_run *r, struct vr_pair *p);
void vr_backend_stop(struct vr_run *r, struct vr_pair *p);
const char *vr_feature_name(unsigned int bit);

/* tap.c */
void vr_tap_open(struct vr_run *r, struct vr_pair *p);
uint64_t vr_tap_stat(const char *ifname, const char *name);

/* xdp.c */
union bpf_attr;
struct bpf_insn;
int vr_bpf(int cmd, union bpf_attr *attr);
int vr_bpf_load(unsigned int type, const struct bpf_insn *insns, unsigned int n);
int vr_xdp_return_load(int action);
void vr_xdp_attach(int prog, int ifindex);
int vr_steer_attach(int tap_fd, unsigned int byte);

/* xdp_check.c */
int vr_xdp_check_load(const struct vr_run *r);
unsigned int vr_xdp_check_recv(struct vr_run *r);

/* frame.c */
#define VR_ETHERTYPE	0x88b5	/* IEEE: local experimental */
#define VR_FRAME_QUEUE	14	/* the byte that holds the queue's number, without --gso */
#define VR_FRAME_MIN_CHECK 36
void vr_frame_init(const struct vr_opts *o);
unsigned int vr_frame_ethertype(void);
unsigned int vr_frame_queue_at(void);
void vr_frame_header(uint8_t *hdr, unsigned int hdr_len);
bool vr_frame_header_ok(const uint8_t *hdr);
unsigned int vr_frame_len(const struct vr_opts *o, uint64_t seq);
void vr_frame_build(uint8_t *f, unsigned int len, unsigned int queue, uint64_t seq);
bool vr_frame_ok(uint8_t *f, unsigned int len, unsigned int *queue, uint64_t *seq);
void vr_seq_take(struct vr_seq *s, uint64_t seq);

/* peer.c */
void vr_peer_open(struct vr_run *r);
unsigned int vr_peer_feed(struct vr_run *r, struct vr_pair *p, unsigned int n);
unsigned int vr_peer_recv(struct vr_run *r);

/* worker.c */
void vr_worker_find(struct vr_run *r);
void vr_worker_pin(struct vr_run *r, int cpu);
void vr_driver_pin(int cpu);
uint64_t vr_worker_ns(const struct vr_run *r);
bool vr_worker_asleep(const struct vr_run *r);
void vr_worker_tell(const struct vr_run *r);

/* tx.c, rx.c: a step returns whether anything moved */
unsigned int vr_tx_submit(struct vr_run *r, struct vr_pair *p, unsigned int max);
void vr_tx_prepare(struct vr_run *r, struct vr_pair *p);
bool vr_tx_step(struct vr_run *r, struct vr_pair *p, bool more);
bool vr_tx_resting(const struct vr_run *r, const struct vr_pair *p);
void vr_tx_burst(struct vr_run *r, struct vr_pair *p, struct vr_window *w);
unsigned int vr_rx_feed(struct vr_run *r, struct vr_pair *p);
unsigned int vr_rx_take(struct vr_run *r, struct vr_pair *p, unsigned int max);
void vr_rx_post(struct vr_vq *q, unsigned int max);
bool vr_rx_step(struct vr_run *r, struct vr_pair *p, bool more);
bool vr_rx_resting(const struct vr_run *r, const struct vr_pair *p);
void vr_rx_burst(struct vr_run *r, struct vr_window *w);

/* both.c */
void vr_both_burst(struct vr_run *r, bool timed);
void vr_trips(struct vr_run *r);
void vr_trips_print(void);

/* pktgen.c */
void vr_pktgen_open(const struct vr_run *r, const struct vr_pair *p);
void vr_pktgen_feed(struct vr_run *r, unsigned int n);
void vr_pktgen_end(const struct vr_run *r);

/* drive.c */
void vr_drive(struct vr_run *r);
void vr_idle(struct vr_run *r, uint64_t *since, bool moved);
bool vr_over(const struct vr_run *r);

/* events.c */
struct vr_event;
void vr_events_check(const char *list);
void vr_events_start(struct vr_run *r);
bool vr_events_quiet_due(void);
void vr_events_quiet(struct vr_run *r);
void vr_events_stop(void);
const struct vr_event *vr_events_get(unsigned int i);

/*
 * events_swap.c: pages found on the swap device; @pinned_kb is of all samples together. Of the
 * rings' pages those that were asked to move, those that didn't, and how many windows went for it.
 */
struct vr_census {
	uint64_t samples, pages, ring_pages, out_sum, out_most, ring_out_sum, ring_out_most;
	uint64_t pinned_kb;
	uint64_t held_samples, held_asked, held, held_hits;
};

const struct vr_census *vr_census_get(void);

/* storm.c */
void vr_storm_start(struct vr_run *r);
void vr_storm_step(uint64_t packets);
void vr_storm_stop(void);
void vr_storm_print(const struct vr_opts *o);
void vr_thread_first(pthread_t thread);
struct vr_range vr_isolated(struct vr_range w);

/* latency.c */
void vr_latency_start(struct vr_run *r);
void vr_latency_stop(void);
void vr_latency_print(const struct vr_opts *o);
void vr_misses(struct vr_run *r);

/* stats.c */
uint64_t vr_stats_sum(const struct vr_run *r, const char *name);
void vr_stats_mark(const struct vr_run *r);
void vr_stats_take(const struct vr_run *r);
void vr_stats_print(void);

/* told.c */
void vr_told_around(bool late);
void vr_told_print_all(void);

/* report.c */
int vr_report(const struct vr_run *r);
void vr_account(const struct vr_run *r);

#endif

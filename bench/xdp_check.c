// SPDX-License-Identifier: GPL-2.0-only
/*
 * The far side as an XDP program: it checks each frame where the tap gets it,
 * with the sums of frame.c, counts, and drops. No frame becomes an skb or is
 * copied out to a socket, so that many more can be checked in the same time.
 *
 * All frames are of one length, and those of a queue come in order.
 */
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vring.h"

/* Frame layout: see frame.c. */
#define AT_SEQ	16
#define AT_LEN	24
#define AT_SUM	28

/* What the program keeps of a queue; the last one's are frames of no queue. */
struct tally {
	uint64_t next;
	uint64_t seen;
	uint64_t late;
	uint64_t corrupt;
};

static const struct tally *tallies;

struct code {
	struct bpf_insn insn[160];
	unsigned int n;
	unsigned int to_bad[8], nbad;
	unsigned int to_stray[4], nstray;
};

static void emit(struct code *c, uint8_t op, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	if (c->n == sizeof(c->insn) / sizeof(c->insn[0]))
		vr_die("the XDP program is too long");
	c->insn[c->n++] = (struct bpf_insn){ .code = op, .dst_reg = dst, .src_reg = src,
					     .off = off, .imm = imm };
}

#define MOV(d, s)	emit(c, BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOVI(d, i)	emit(c, BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU(op, d, s)	emit(c, BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define ALUI(op, d, i)	emit(c, BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define LD(size, d, s, off) emit(c, BPF_LDX | BPF_MEM | (size), d, s, off, 0)
#define ST(size, d, off, s) emit(c, BPF_STX | BPF_MEM | (size), d, s, off, 0)
#define JMP(op, d, s)	emit(c, BPF_JMP | (op) | BPF_X, d, s, 0, 0)
#define JMPI(op, d, i)	emit(c, BPF_JMP | (op) | BPF_K, d, 0, 0, i)
/* The jump just emitted goes to the end of this kind. */
#define ELSE_BAD	(c->to_bad[c->nbad++] = c->n - 1)
#define ELSE_STRAY	(c->to_stray[c->nstray++] = c->n - 1)

static void land(struct code *c, unsigned int *from, unsigned int n)
{
	while (n--)
		c->insn[from[n]].off = c->n - from[n] - 1;
}

static void count(struct code *c, unsigned int offset)
{
	LD(BPF_DW, 1, 9, offset);
	ALUI(BPF_ADD, 1, 1);
	ST(BPF_DW, 9, offset, 1);
	MOVI(0, XDP_DROP);
	emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* r9 = the tally of the key at r10 - 4, or r0 is zero. */
static void lookup(struct code *c, int map)
{
	emit(c, BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map);
	emit(c, 0, 0, 0, 0, 0);
	MOV(2, 10);
	ALUI(BPF_ADD, 2, -4);
	emit(c, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	MOV(9, 0);
}

/* The sum of frame.c over the frame at r7, its own field taken as zero: in r1. */
static void sum(struct code *c, unsigned int len)
{
	unsigned int i;

	MOVI(3, len);
	MOVI(4, 0);
	for (i = 0; i < len / 8; i++) {
		LD(BPF_DW, 2, 7, i * 8);
		if (i == AT_SUM / 8) {
			ALUI(BPF_LSH, 2, 32);
			ALUI(BPF_RSH, 2, 32);
		} else if (i == AT_SUM / 8 + 1) {
			ALUI(BPF_RSH, 2, 32);
			ALUI(BPF_LSH, 2, 32);
		}
		ALU(BPF_ADD, 3, 2);
		ALU(BPF_ADD, 4, 3);
	}
	ALU(BPF_ADD, 4, 3);
	MOV(1, 4);
	ALUI(BPF_LSH, 1, 32);
	ALUI(BPF_RSH, 4, 32);
	ALU(BPF_OR, 1, 4);
	ALU(BPF_XOR, 1, 3);
}

/* r7 = the frame, of this length; its queue's tally in r9. */
static void enter(struct code *c, int map, unsigned int len)
{
	LD(BPF_W, 7, 1, offsetof(struct xdp_md, data));
	LD(BPF_W, 8, 1, offsetof(struct xdp_md, data_end));
	MOV(1, 7);
	ALUI(BPF_ADD, 1, len);
	JMP(BPF_JGT, 1, 8);
	ELSE_STRAY;
	ALUI(BPF_ADD, 1, 1);
	JMP(BPF_JLE, 1, 8);
	ELSE_STRAY;
	LD(BPF_B, 1, 7, VR_FRAME_QUEUE);
	ST(BPF_W, 10, -4, 1);
	lookup(c, map);
	JMPI(BPF_JEQ, 0, 0);
	ELSE_STRAY;
}

static void check(struct code *c, unsigned int len)
{
	unsigned int late;

	LD(BPF_W, 2, 7, AT_LEN);
	JMPI(BPF_JNE, 2, len);
	ELSE_BAD;
	sum(c, len);
	LD(BPF_DW, 2, 7, AT_SUM);
	JMP(BPF_JNE, 1, 2);
	ELSE_BAD;
	LD(BPF_DW, 2, 7, AT_SEQ);
	LD(BPF_DW, 3, 9, offsetof(struct tally, next));
	late = c->n;
	JMP(BPF_JLT, 2, 3);
	ALUI(BPF_ADD, 2, 1);
	ST(BPF_DW, 9, offsetof(struct tally, next), 2);
	count(c, offsetof(struct tally, seen));
	land(c, &late, 1);
	count(c, offsetof(struct tally, late));
}

static void build(struct code *c, int map, unsigned int len, unsigned int queues)
{
	unsigned int drop;

	enter(c, map, len);
	check(c, len);
	land(c, c->to_stray, c->nstray);
	MOVI(1, queues);
	ST(BPF_W, 10, -4, 1);
	lookup(c, map);
	drop = c->n;
	JMPI(BPF_JEQ, 0, 0);
	land(c, c->to_bad, c->nbad);
	count(c, offsetof(struct tally, corrupt));
	land(c, &drop, 1);
	MOVI(0, XDP_DROP);
	emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* An array of tallies that user space reads without a call. */
static int make_map(unsigned int entries)
{
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_ARRAY;
	a.key_size = sizeof(uint32_t);
	a.value_size = sizeof(struct tally);
	a.max_entries = entries;
	a.map_flags = BPF_F_MMAPABLE;
	fd = vr_bpf(BPF_MAP_CREATE, &a);
	if (fd < 0)
		vr_die_errno("BPF array of %u entries", entries);
	tallies = mmap(NULL, entries * sizeof(struct tally), PROT_READ, MAP_SHARED, fd, 0);
	if (tallies == MAP_FAILED)
		vr_die_errno("mapping the BPF array");
	return fd;
}

/* Makes the program for frames of the run's length; returns its descriptor. */
int vr_xdp_check_load(const struct vr_run *r)
{
	static struct code c;
	int map = make_map(r->npairs + 1), prog;

	build(&c, map, r->o->size, r->npairs);
	prog = vr_bpf_load(BPF_PROG_TYPE_XDP, c.insn, c.n);
	close(map);
	return prog;
}

/* Brings the counts of the far side up to date; returns how many frames are new. */
unsigned int vr_xdp_check_recv(struct vr_run *r)
{
	unsigned int i, total = 0;

	for (i = 0; i < r->npairs; i++) {
		const struct tally *t = &tallies[i];
		struct vr_pair *p = &r->pairs[i];
		uint64_t got;

		p->tx_seq.seen = __atomic_load_n(&t->seen, __ATOMIC_RELAXED);
		p->tx_seq.dup = __atomic_load_n(&t->late, __ATOMIC_RELAXED);
		p->tx_seq.corrupt = __atomic_load_n(&t->corrupt, __ATOMIC_RELAXED);
		/* Frames of no queue: whose, nobody knows. */
		if (!i)
			p->tx_seq.corrupt += __atomic_load_n(&tallies[r->npairs].corrupt,
							     __ATOMIC_RELAXED);
		got = p->tx_seq.seen + p->tx_seq.dup + p->tx_seq.corrupt;
		total += got - p->tx_got;
		p->tx_got = got;
	}
	return total;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * tcgcount: a QEMU plugin that counts what each vCPU executes between vring's
 * markers: instructions, and among them those that a user access costs.
 *
 *   -plugin tcgcount.so,out=FILE[,profile=on]
 *
 * FILE gets one line of JSON for each run (that is, for each MARK_DUMP): the sums
 * of its windows, a vCPU each, and with profile=on the blocks executed, for tcgprof.
 *
 * The unit is the translation block, counted when it is entered. One left early
 * through a fault counts in full; that is rare enough not to matter. Each
 * iteration of a rep instruction enters a block of its own and so counts as one.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"
#include "qemu_plugin_api.h"

#define MAX_VCPUS 8

enum { INSNS, STAC, CLAC, LFENCE, LOCK, REP, NKINDS };

static const char *const kind_names[NKINDS] = { "insns", "stac", "clac", "lfence", "lock", "rep" };

struct block {
	struct block *next;
	uint64_t vaddr;
	uint16_t n[NKINDS];
	bool special;		/* holds more than plain instructions */
	uint64_t runs[MAX_VCPUS];
};

static struct {
	uint64_t n[NKINDS];
	uint64_t user;		/* instructions below the kernel's half */
} __attribute__((aligned(64))) counts[MAX_VCPUS];

static struct block *blocks;
static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static bool window_open, profile;
static uint64_t windows;
static int nvcpus = 1;
static FILE *out;

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv);

static void block_entered(unsigned int vcpu, void *udata)
{
	struct block *b = udata;
	int k;

	if (!__atomic_load_n(&window_open, __ATOMIC_RELAXED))
		return;
	counts[vcpu].n[INSNS] += b->n[INSNS];
	if (!(b->vaddr >> 63))
		counts[vcpu].user += b->n[INSNS];
	if (b->special)
		for (k = INSNS + 1; k < NKINDS; k++)
			counts[vcpu].n[k] += b->n[k];
	b->runs[vcpu]++;
}

static void put_profile(void)
{
	const char *sep = "";
	struct block *b;
	int v, k;

	fputs(",\"blocks\":[", out);
	for (b = blocks; b; b = b->next)
		for (v = 0; v < nvcpus; v++) {
			if (!b->runs[v])
				continue;
			fprintf(out, "%s[%d,%" PRIu64 ",%" PRIu64, sep, v, b->vaddr, b->runs[v]);
			for (k = 0; k < NKINDS; k++)
				fprintf(out, ",%u", b->n[k]);
			fputc(']', out);
			sep = ",";
		}
	fputc(']', out);
}

static void reset(void)
{
	struct block *b;

	memset(counts, 0, sizeof(counts));
	for (b = blocks; b; b = b->next)
		memset(b->runs, 0, sizeof(b->runs));
	windows = 0;
}

static void dump(void)
{
	int v, k;

	pthread_mutex_lock(&blocks_lock);
	fprintf(out, "{\"windows\":%" PRIu64 ",\"vcpus\":[", windows);
	for (v = 0; v < nvcpus; v++) {
		fprintf(out, "%s{", v ? "," : "");
		for (k = 0; k < NKINDS; k++)
			fprintf(out, "\"%s\":%" PRIu64 ",", kind_names[k], counts[v].n[k]);
		fprintf(out, "\"user\":%" PRIu64 "}", counts[v].user);
	}
	fputc(']', out);
	if (profile)
		put_profile();
	fputs("}\n", out);
	fflush(out);
	reset();
	pthread_mutex_unlock(&blocks_lock);
}

static void marker(unsigned int vcpu, void *udata)
{
	uint32_t value = (uintptr_t)udata;

	switch (value) {
	case MARK_OPEN:
		windows++;
		__atomic_store_n(&window_open, true, __ATOMIC_SEQ_CST);
		break;
	case MARK_CLOSE:
		__atomic_store_n(&window_open, false, __ATOMIC_SEQ_CST);
		break;
	case MARK_DUMP:
		__atomic_store_n(&window_open, false, __ATOMIC_SEQ_CST);
		dump();
		break;
	}
}

/* The marker's value if these bytes are one, else 0. */
static uint32_t marker_value(const uint8_t *p, size_t len)
{
	static const uint8_t prefix[MARK_PREFIX_LEN] = MARK_PREFIX;
	uint32_t value;

	if (len != sizeof(prefix) + sizeof(value) || memcmp(p, prefix, sizeof(prefix)))
		return 0;
	memcpy(&value, p + sizeof(prefix), sizeof(value));
	return value == MARK_OPEN || value == MARK_CLOSE || value == MARK_DUMP ? value : 0;
}

struct prefixes {
	bool lock, rep, operand;
};

static size_t skip_prefixes(const uint8_t *p, size_t len, struct prefixes *f)
{
	size_t i;

	for (i = 0; i < len; i++) {
		switch (p[i]) {
		case 0xf0:
			f->lock = true;
			break;
		case 0xf2: case 0xf3:
			f->rep = true;
			break;
		case 0x66:
			f->operand = true;
			break;
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x67:
			break;
		default:
			/* REX comes last, right before the opcode. */
			return (p[i] & 0xf0) == 0x40 ? i + 1 : i;
		}
	}
	return i;
}

static bool string_opcode(uint8_t op)
{
	return (op >= 0x6c && op <= 0x6f) || (op >= 0xa4 && op <= 0xa7) ||
	       (op >= 0xaa && op <= 0xaf);
}

static void classify(struct block *b, const uint8_t *p, size_t len)
{
	struct prefixes f = { 0 };
	size_t at = skip_prefixes(p, len, &f);

	b->n[INSNS]++;
	b->n[LOCK] += f.lock;
	if (at < len && f.rep && string_opcode(p[at]))
		b->n[REP]++;
	if (len - at != 3 || p[at] != 0x0f || f.rep || f.operand)
		return;
	if (p[at + 1] == 0x01 && p[at + 2] == 0xcb)
		b->n[STAC]++;
	else if (p[at + 1] == 0x01 && p[at + 2] == 0xca)
		b->n[CLAC]++;
	else if (p[at + 1] == 0xae && p[at + 2] >= 0xe8 && p[at + 2] <= 0xef)
		b->n[LFENCE]++;
}

static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t i, n = qemu_plugin_tb_n_insns(tb);
	struct block *b = calloc(1, sizeof(*b));
	int k;

	if (!b) {
		fputs("tcgcount: out of memory\n", stderr);
		abort();
	}
	b->vaddr = qemu_plugin_tb_vaddr(tb);
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *bytes = qemu_plugin_insn_data(insn);
		size_t len = qemu_plugin_insn_size(insn);
		uint32_t value = marker_value(bytes, len);

		classify(b, bytes, len);
		if (value)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marker, QEMU_PLUGIN_CB_NO_REGS,
							       (void *)(uintptr_t)value);
	}
	for (k = INSNS + 1; k < NKINDS; k++)
		b->special |= b->n[k];
	pthread_mutex_lock(&blocks_lock);
	b->next = blocks;
	blocks = b;
	pthread_mutex_unlock(&blocks_lock);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, block_entered, QEMU_PLUGIN_CB_NO_REGS, b);
}

static void at_exit(qemu_plugin_id_t id, void *udata)
{
	fclose(out);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
					   char **argv)
{
	int i;

	if (strcmp(info->target_name, "x86_64") || !info->system_emulation) {
		fputs("tcgcount: for qemu-system-x86_64 only\n", stderr);
		return -1;
	}
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4) && !out)
			out = fopen(argv[i] + 4, "w");
		else if (!strcmp(argv[i], "profile=on"))
			profile = true;
		else
			fprintf(stderr, "tcgcount: argument '%s' not understood\n", argv[i]);
	}
	nvcpus = info->system.smp_vcpus;
	if (nvcpus > MAX_VCPUS) {
		fprintf(stderr, "tcgcount: at most %d vCPUs\n", MAX_VCPUS);
		return -1;
	}
	if (!out) {
		fputs("tcgcount: needs out=FILE, a file that can be written\n", stderr);
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
	qemu_plugin_register_atexit_cb(id, at_exit, NULL);
	return 0;
}

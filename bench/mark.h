/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The window markers that vring executes and tcgcount looks for.
 *
 * QEMU 7.2's plugin interface can't read registers, so the message has to be
 * in the instruction itself: a NOP with a 32-bit displacement. The processor
 * ignores the displacement, no compiler emits these values.
 */
#ifndef BENCH_MARK_H
#define BENCH_MARK_H

#define MARK_OPEN	0x76642101u
#define MARK_CLOSE	0x76642102u
/* The run is over: write down what its windows counted and start afresh. */
#define MARK_DUMP	0x76642103u

/* The bytes in front of the value: nopl disp32(%rax). */
#define MARK_PREFIX_LEN	3
#define MARK_PREFIX	{ 0x0f, 0x1f, 0x80 }

#ifdef __x86_64__
#define MARK_INSN(value) \
	asm volatile(".byte 0x0f, 0x1f, 0x80\n\t.long %c0" : : "i"(value) : "memory")
#else
#define MARK_INSN(value) ((void)(value))
#endif

static inline void mark_open(int wanted)
{
	if (wanted)
		MARK_INSN(MARK_OPEN);
}

static inline void mark_close(int wanted)
{
	if (wanted)
		MARK_INSN(MARK_CLOSE);
}

static inline void mark_dump(int wanted)
{
	if (wanted)
		MARK_INSN(MARK_DUMP);
}

#endif

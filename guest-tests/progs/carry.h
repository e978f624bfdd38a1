/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames whose contents follow from their number, and the counts of both ends. */
#ifndef GT_CARRY_H
#define GT_CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CARRY_MIN	60
#define CARRY_MAX	9014
/* Frames that one end may number: more than any test sends. */
#define CARRY_FRAMES	(1u << 23)

enum carry_phase {
	CARRY_WAIT,	/* until the other end is there, too */
	CARRY_RUN,
	CARRY_QUIET,	/* send no more */
	CARRY_TAKE,	/* and keep nothing back of what came */
	CARRY_END,
};

/* Shared with whoever asks, in a file: each word is written by one side. */
struct carry_counts {
	uint32_t phase;		/* written by who asks, enum carry_phase */
	uint32_t answer;	/* phase that the program is in */
	uint64_t sent;
	uint64_t received;	/* different ones */
	uint64_t twice;
	uint64_t late;		/* numbered below one that came before it */
	uint64_t corrupt;
	uint64_t other;		/* not of this program */
	uint64_t dropped;	/* by this end's own socket */
	uint64_t link_received[2];
	uint64_t link;		/* the link that frames go to */
	uint64_t held;		/* bytes in the socket that are not read yet */
	uint64_t pages;		/* checked and written anew */
	uint64_t pages_bad;
	char first[128];	/* what was wrong with the first corrupt one */
};

/* From the guest to the network, and back: frames of one aren't the other's. */
enum carry_way { CARRY_OUT, CARRY_IN };

/**
 * carry_build - the frame of a number
 * @frame: room for CARRY_MAX bytes
 * @way: who sends it
 * @number: its number; with it come length, UDP source port and contents
 * @max: bytes of the longest frame, CARRY_MAX at most
 *
 * Returns its length.
 */
size_t carry_build(uint8_t *frame, enum carry_way way, uint64_t number, size_t max);

/**
 * carry_ours - is it a frame of this program?
 * @frame: what came
 * @length: its bytes
 * @way: who should have sent it
 */
bool carry_ours(const uint8_t *frame, size_t length, enum carry_way way);

/**
 * carry_take - check a frame and count it
 * @counts: the counts
 * @seen: a bit for each of CARRY_FRAMES
 * @frame: what came, one of ours
 * @length: its bytes
 * @way: who sent it
 * @max: as it was built with
 */
void carry_take(struct carry_counts *counts, uint8_t *seen, const uint8_t *frame,
		size_t length, enum carry_way way, size_t max);

#endif /* GT_CARRY_H */

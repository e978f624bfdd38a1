/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mock driver's other face: it writes what it likes where it likes. Nothing
 * here keeps the state of struct mock_split in step, so that after one of these
 * the ring is no longer fit for mock_add() and mock_reap().
 */
#ifndef VD_MOCK_RAW_H
#define VD_MOCK_RAW_H

#include "mock_driver.h"

static inline void mock_raw_desc(struct mock_split *d, u32 i, u64 addr, u32 len,
				 u16 flags, u16 next)
{
	mock_write_desc(d, d->ring.part[VD_PART_DESC], i, addr, len, flags,
			next);
}

/* Entry @i of the table that belongs to descriptor @slot. */
static inline void mock_raw_entry(struct mock_split *d, u32 slot, u32 i,
				  u64 addr, u32 len, u16 flags, u16 next)
{
	mock_write_desc(d, mock_at(d->arena, mock_table(d, slot),
				   16ull * d->lay.tables),
			i, addr, len, flags, next);
}

/* Slot of the avail ring for index @idx. */
static inline void mock_raw_head(struct mock_split *d, u16 idx, u16 head)
{
	word_store16(mock_avail(d, 4 + 2 * (idx & (d->lay.num - 1))),
		     mock16(d, head));
}

static inline void mock_raw_avail_idx(struct mock_split *d, u16 idx)
{
	/* Heads before the index; pairs with the device's read barrier. */
	smp_wmb();
	word_store16_sync(mock_avail(d, 2), mock16(d, idx));
}

static inline void mock_raw_avail_flags(struct mock_split *d, u16 flags)
{
	word_store16_sync(mock_avail(d, 0), mock16(d, flags));
}

static inline void mock_raw_used_event(struct mock_split *d, u16 event)
{
	word_store16_sync(mock_used_event(d), mock16(d, event));
}

/* What the device wrote. */
static inline u16 mock_raw_used_flags(const struct mock_split *d)
{
	return mock16(d, word_load16_sync(mock_used(d, 0)));
}

static inline u16 mock_raw_used_idx(const struct mock_split *d)
{
	return mock16(d, word_load16_sync(mock_used(d, 2)));
}

static inline u16 mock_raw_avail_event(const struct mock_split *d)
{
	return mock16(d, word_load16_sync(mock_avail_event(d)));
}

#endif /* VD_MOCK_RAW_H */

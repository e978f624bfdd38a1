// SPDX-License-Identifier: GPL-2.0-only
/*
 * An indirect table of any contents behind a chain of any kind, without a ring
 * around it. The input: whether the ring is packed, the segments in front, the
 * table's length in bytes, its address, and its entries, again and again: an
 * input is shorter than the longest table.
 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

struct table_head {
	u8 features;
	u8 nr_out;
	u8 nr_in;
	u8 reserved;
	u32 len;
	u64 gpa;
};

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct fuzz f;
	struct vd_chain c;
	struct table_head h;
	u32 i, n;

	f.data = data;
	f.size = size;
	fuzz_take(&f, &h, sizeof(h));
	n = min_t(u32, f.size, sizeof(f.tables));
	fuzz_take(&f, f.tables, sizeof(f.tables));
	for (i = n; n && i < sizeof(f.tables); i += n) {
		n = min_t(u32, i, sizeof(f.tables) - i);
		memcpy(f.tables + i, f.tables, n);
	}
	f.ring = (struct vd_ring){
		.num = 256, .le = h.features & FUZZ_LE, .indirect = true,
		.packed = h.features & FUZZ_IN_ORDER,
		.out_only = h.features & FUZZ_EVENT_IDX,
	};
	c = (struct vd_chain){ .nr_out = h.nr_out, .nr_in = h.nr_in,
			       .slots = 1, .indirect = true, };
	for (i = 0; i < (u32)c.nr_out + c.nr_in; i++)
		f.burst.seg[i] = (struct vd_seg){ i, i + 1 };
	/* What no pop would let through is none of the table's business. */
	h.len = h.len % (1 << 17) / 16 * 16;
	f.burst.seg[i] = (struct vd_seg){ h.gpa, h.len ? h.len : 16 };
	fuzz_expand(&f, &c);
	return 0;
}

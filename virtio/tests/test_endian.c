// SPDX-License-Identifier: GPL-2.0-only
/*
 * A processor of the other byte order, in effect: where "little endian" and
 * "native" are the same, a word that is not converted, or converted twice, is
 * seen by nobody. With the conversions turned round, a little-endian ring is
 * the mirror image of what it would be on such a machine.
 */
#undef le16_to_cpu
#undef le32_to_cpu
#undef le64_to_cpu
#undef cpu_to_le16
#undef cpu_to_le32
#undef cpu_to_le64
#define le16_to_cpu(x)	__builtin_bswap16(x)
#define le32_to_cpu(x)	__builtin_bswap32(x)
#define le64_to_cpu(x)	__builtin_bswap64(x)
#define cpu_to_le16(x)	__builtin_bswap16(x)
#define cpu_to_le32(x)	__builtin_bswap32(x)
#define cpu_to_le64(x)	__builtin_bswap64(x)

#include "rig.h"

static struct rig r;

/* Everything once: both ways, tables, indices, events, used elements. */
static void round_trips(bool packed, bool le, bool event_idx)
{
	struct mock_layout lay = { .num = 64, .start = 65000, .tables = 40,
				   .event_idx = event_idx, .le = le,
				   .packed = packed, .salt = 0x1234 };
	u32 i, key = 0;

	rig_open(&r, &lay);
	r.ring.signalled_used = r.ring.last_used;
	r.ring.signalled_wrap = r.ring.used_wrap;
	r.ring.signalled_valid = true;
	while (key < 2000 && !ktap_errors) {
		CHECK_EQ(rig_notify(&r), 0);
		CHECK(!rig_want_interrupt(&r));
		for (i = 0; i < 10; i++)
			rig_add(&r, key + i, 1, 1, 2);
		rig_add(&r, key + 10, 2, key % 37 + 1, !packed);
		rig_publish(&r);
		CHECK(rig_need_kick(&r));
		CHECK_EQ(rig_no_notify(&r), 0);
		CHECK_EQ(rig_notify(&r), 1);
		if (!CHECK_EQ(rig_pop(&r, VD_BURST), 11))
			break;
		for (i = 0; i < 10; i++)
			rig_chain_is(&r, i, key + i, 1, 1);
		CHECK_EQ(rig_expand(&r, 10), 0);
		rig_is(&r.burst.chain[10], r.seg, key + 10, 2, key % 37 + 1);
		rig_return_all(&r);
		CHECK_EQ(rig_need_signal(&r), 1);
		rig_reaps(&r, key, 11);
		rig_no_interrupt(&r);
		CHECK((event_idx && !packed) || !rig_need_signal(&r));
		key += 11;
	}
	rig_close(&r);
}

static void little_endian_ring(void)
{
	round_trips(false, true, false);
	round_trips(false, true, true);
	round_trips(true, true, false);
	round_trips(true, true, true);
}

static void native_ring(void)
{
	round_trips(false, false, false);
	round_trips(false, false, true);
	round_trips(true, false, false);
	round_trips(true, false, true);
}

/* The driver and the engine don't err alike: the bytes are what they must be. */
static void used_element_bytes(void)
{
	struct vd_ring ring = { .num = 8, .le = true };
	struct vd_used e = vd_used_elem(&ring, 0x1234, 0x567890ab);

	CHECK_EQ((u32)e.id, 0x34120000);
	CHECK_EQ((u32)e.len, 0xab907856);
	ring.le = false;
	e = vd_used_elem(&ring, 0x1234, 0x567890ab);
	CHECK_EQ((u32)e.id, 0x1234);
	CHECK_EQ((u32)e.len, 0x567890ab);
}

static void packed_used_descriptor_bytes(void)
{
	u8 *at;

	rig_packed(&r, 4, 0);
	r.slots[0x1234] = 1;
	at = mock_packed_desc(&r.pk, 0);
	CHECK_EQ(rig_push(&r, &(struct vd_used){ 0x34120000, 0xab907856 }, 1),
		 0);
	CHECK_EQ(word_load32(at + 8), 0xab907856);
	CHECK_EQ(word_load16(at + 12), 0x3412);
	CHECK_EQ(word_load16(at + 14), 0x8280);
	rig_close(&r);
}

static const struct ktap_test tests[] = {
	TEST(little_endian_ring),
	TEST(native_ring),
	TEST(used_element_bytes),
	TEST(packed_used_descriptor_bytes),
};

KTAP_MAIN(tests)

/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames whose contents can be told: made here, or known from testpmd. */
#ifndef VD_VHOST_USER_FRAMES_H
#define VD_VHOST_USER_FRAMES_H

#include "../ring_env.h"

/* The longest frame, without the virtio header. */
#define FRAME_MAX	9014u
#define FRAME_MIN	60u

u32 frame_length(u32 seq, u32 low, u32 high);
void frame_make(u8 *frame, u32 len, u32 seq);
bool frame_is(const u8 *frame, u32 len, u32 seq, bool swapped);
bool frame_is_udp(const u8 *frame, u32 len);

#endif /* VD_VHOST_USER_FRAMES_H */

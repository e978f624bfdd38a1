/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The head of a frame that is handed to tun or tap in an XDP batch.
 *
 * Up to 7.1 a struct tun_xdp_hdr stands at data_hard_start: the buffer's size,
 * then the virtio header. 7.2 dropped the structure: the header stands there
 * itself and the size is xdp->frame_sz. A wrong guess compiles and corrupts,
 * so this is decided by version.
 */
#ifndef VD_COMPAT_TUN_XDP_H
#define VD_COMPAT_TUN_XDP_H

#include <linux/if_tun.h>
#include <linux/version.h>
#include <linux/virtio_net.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
static inline void *vd_xdp_vnet_hdr(void *buf, int buflen)
{
	struct tun_xdp_hdr *hdr = buf;

	hdr->buflen = buflen;
	return &hdr->gso;
}

#define VD_XDP_VNET_LEN	sizeof(struct virtio_net_hdr)
#else
static inline void *vd_xdp_vnet_hdr(void *buf, int buflen)
{
	return buf;
}

/*
 * The longest header that tun may look at. It looks no farther than the one
 * that was negotiated, so that copying a constant length, which is cheaper,
 * does no harm: header and the shortest frame are no shorter than this.
 */
#define VD_XDP_VNET_LEN	sizeof(struct virtio_net_hdr_v1_hash_tunnel)
#endif

#endif /* VD_COMPAT_TUN_XDP_H */

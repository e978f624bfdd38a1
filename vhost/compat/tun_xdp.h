/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The head of a frame that is handed to tun or tap in an XDP batch.
 *
 * On 6.1 and 6.12 a struct tun_xdp_hdr stands at data_hard_start: the buffer's
 * size, then the virtio header. By 7.2 the structure had gone: the header stands
 * there itself and the size is xdp->frame_sz. A wrong guess compiles and
 * corrupts, so this is decided by version; where the structure went earlier than
 * that, which isn't built for, the older branch doesn't compile.
 */
#ifndef VD_COMPAT_TUN_XDP_H
#define VD_COMPAT_TUN_XDP_H

#include <linux/if_tun.h>
#include <linux/version.h>
#include <linux/virtio_net.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
/* Such a tun would look for the tunnel's offsets behind what is copied below. */
#ifdef TUN_F_UDP_TUNNEL_GSO
#error "vhost-direct isn't built for kernels before 7.2 whose tun knows tunnels"
#endif

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

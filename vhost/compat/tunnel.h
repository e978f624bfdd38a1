/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Segmentation of UDP tunnels: feature bits 65 and 67, and a header of 24 bytes.
 *
 * A kernel whose tun can't do it (up to 6.16) doesn't know the names either;
 * there the bits are not offered, as that needs the socket's help.
 */
#ifndef VD_COMPAT_TUNNEL_H
#define VD_COMPAT_TUNNEL_H

#include <linux/bits.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

/* Of the second word of features. */
#ifdef TUN_F_UDP_TUNNEL_GSO
#define VD_FEATURES_TUNNEL \
	(BIT_ULL(VIRTIO_NET_F_GUEST_UDP_TUNNEL_GSO - 64) | \
	 BIT_ULL(VIRTIO_NET_F_HOST_UDP_TUNNEL_GSO - 64))
#define VD_TUNNEL_HLEN	sizeof(struct virtio_net_hdr_v1_hash_tunnel)
#else
#define VD_FEATURES_TUNNEL	0ULL
#define VD_TUNNEL_HLEN		24
#endif

#endif /* VD_COMPAT_TUNNEL_H */

// SPDX-License-Identifier: GPL-2.0-only
/* Which files may be a back end: raw packet sockets, tun and tap queues. */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/if_packet.h>
#include <linux/if_tap.h>
#include <linux/if_tun.h>
#include <linux/net.h>
#include <net/sock.h>

#include "net.h"

static struct socket *vd_net_packet_socket(int fd)
{
	int err;
	struct socket *sock = sockfd_lookup(fd, &err);

	if (!sock)
		return ERR_PTR(-ENOTSOCK);
	if (sock->sk->sk_type != SOCK_RAW || sock->sk->sk_family != AF_PACKET) {
		sockfd_put(sock);
		return ERR_PTR(-ENOTSOCK);
	}
	return sock;
}

static struct socket *vd_net_tap_socket(int fd)
{
	struct file *file = fget(fd);
	struct socket *sock;

	if (!file)
		return ERR_PTR(-ENOTSOCK);
	sock = tun_get_socket(file);
	if (IS_ERR(sock))
		sock = tap_get_socket(file);
	if (IS_ERR(sock)) {
		fput(file);
		return ERR_PTR(-ENOTSOCK);
	}
	/* The reference on the file is the reference on the socket. */
	return sock;
}

/**
 * vd_net_socket - the socket of a descriptor
 * @fd: of a raw packet socket, a tun or a tap; -1 for no back end
 *
 * Return: the socket with a reference that sockfd_put() drops, NULL for -1,
 * or ERR_PTR(-ENOTSOCK) for all else, as stock answers. Context: may sleep.
 */
struct socket *vd_net_socket(int fd)
{
	struct socket *sock;

	if (fd == -1)
		return NULL;
	sock = vd_net_packet_socket(fd);
	if (IS_ERR(sock))
		sock = vd_net_tap_socket(fd);
	return sock;
}

/**
 * vd_net_ring - the ring in which a tun or tap queues frames for its reader
 * @file: of the socket
 *
 * Return: the ring, or NULL for a socket that has none. Context: any; the caller has
 * a reference on @file.
 */
struct ptr_ring *vd_net_ring(struct file *file)
{
	struct ptr_ring *ring = tun_get_tx_ring(file);

	if (IS_ERR(ring))
		ring = tap_get_ptr_ring(file);
	return IS_ERR(ring) ? NULL : ring;
}

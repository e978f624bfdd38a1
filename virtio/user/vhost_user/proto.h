/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vhost-user protocol, as far as a net device with one queue pair needs
 * it. Reference: QEMU's docs/interop/vhost-user.rst.
 */
#ifndef VD_VHOST_USER_PROTO_H
#define VD_VHOST_USER_PROTO_H

#include <string.h>
#include <sys/socket.h>
#include "../ring_env.h"

/* Most regions of a memory table without CONFIGURE_MEM_SLOTS. */
#define VU_REGIONS	8

enum vu_request {
	VU_GET_FEATURES = 1,
	VU_SET_FEATURES = 2,
	VU_SET_OWNER = 3,
	VU_RESET_OWNER = 4,
	VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8,
	VU_SET_VRING_ADDR = 9,
	VU_SET_VRING_BASE = 10,
	VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12,
	VU_SET_VRING_CALL = 13,
	VU_SET_VRING_ERR = 14,
	VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16,
	VU_GET_QUEUE_NUM = 17,
	VU_SET_VRING_ENABLE = 18,
	VU_SET_STATUS = 39,
	VU_GET_STATUS = 40,
	VU_REQUESTS
};

/* Feature bits that the protocol takes from the virtio ones. */
#define VU_F_PROTOCOL_FEATURES	30

/* Protocol feature bits. */
#define VU_PROTOCOL_F_REPLY_ACK	3
#define VU_PROTOCOL_F_STATUS	16

/* Header flags. */
#define VU_VERSION		1u
#define VU_VERSION_MASK		3u
#define VU_REPLY		(1u << 2)
#define VU_NEED_REPLY		(1u << 3)

/* Payload of the messages that carry an eventfd: queue, or no descriptor. */
#define VU_VRING_INDEX		0xffu
#define VU_VRING_NO_FD		(1u << 8)

/* A packed ring's base: slot, and wrap counter in this bit. */
#define VU_BASE_WRAP		(1u << 15)

struct vu_vring_state {
	u32 index;
	u32 num;
};

struct vu_vring_addr {
	u32 index;
	u32 flags;
	u64 desc;	/* addresses of the front end's own */
	u64 used;
	u64 avail;
	u64 log;
};

struct vu_mem_region {
	u64 gpa;
	u64 size;
	u64 uaddr;
	u64 offset;	/* in the descriptor that goes with it */
};

struct vu_mem_table {
	u32 count;
	u32 padding;
	struct vu_mem_region region[VU_REGIONS];
};

union vu_payload {
	u64 word;
	struct vu_vring_state state;
	struct vu_vring_addr addr;
	struct vu_mem_table mem;
};

struct vu_header {
	u32 request;
	u32 flags;
	u32 size;	/* of the payload */
};

/**
 * struct vu_message - a message with the descriptors that came along
 * @head: its header
 * @body: its payload
 * @fd: descriptors
 * @nfds: how many
 */
struct vu_message {
	struct vu_header head;
	union vu_payload body;
	int fd[VU_REGIONS];
	u32 nfds;
};

/**
 * vu_send - send a message
 * @sock: the connection
 * @m: header, payload and descriptors, which remain the caller's
 *
 * Return: 0 or -1.
 */
static inline int vu_send(int sock, const struct vu_message *m)
{
	union {
		char buf[CMSG_SPACE(sizeof(m->fd))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov[2] = {
		{ (void *)&m->head, sizeof(m->head) },
		{ (void *)&m->body, m->head.size },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t len = m->nfds * sizeof(int);
	struct cmsghdr *c;

	if (m->nfds) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(len);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(len);
		memcpy(CMSG_DATA(c), m->fd, len);
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) ==
	       (ssize_t)(sizeof(m->head) + m->head.size) ? 0 : -1;
}

/**
 * vu_receive - receive a message
 * @sock: the connection
 * @m: receives it; its descriptors become the caller's
 *
 * Return: 1, 0 at the end of the connection, -1 for an error or a message that
 * breaks the protocol.
 */
static inline int vu_receive(int sock, struct vu_message *m)
{
	union {
		char buf[CMSG_SPACE(sizeof(m->fd))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { &m->head, sizeof(m->head) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
	struct cmsghdr *c;

	m->nfds = 0;
	if (got <= 0)
		return (int)got;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		m->nfds = (u32)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fd, CMSG_DATA(c), m->nfds * sizeof(int));
	}
	if (got != sizeof(m->head) || m->head.size > sizeof(m->body) ||
	    (m->head.flags & VU_VERSION_MASK) != VU_VERSION)
		return -1;
	if (m->head.size && recv(sock, &m->body, m->head.size, MSG_WAITALL) !=
			    (ssize_t)m->head.size)
		return -1;
	return 1;
}

#endif /* VD_VHOST_USER_PROTO_H */

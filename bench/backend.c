// SPDX-License-Identifier: GPL-2.0-only
/* The vhost-net node: what QEMU does to start and stop a queue pair. */
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vring.h"

#define BIT(n) (1ULL << (n))
/* Not in bookworm's headers. */
#define F_IN_ORDER 35

static const struct {
	unsigned int bit;
	const char *name;
} feature_names[] = {
	{ VIRTIO_NET_F_MRG_RXBUF, "MRG_RXBUF" },
	{ VIRTIO_F_NOTIFY_ON_EMPTY, "NOTIFY_ON_EMPTY" },
	{ VHOST_F_LOG_ALL, "LOG_ALL" },
	/* Bit 27: virtio's ANY_LAYOUT, but on this interface vhost's own meaning. */
	{ VHOST_NET_F_VIRTIO_NET_HDR, "VHOST_NET_F_VIRTIO_NET_HDR" },
	{ VIRTIO_RING_F_INDIRECT_DESC, "INDIRECT_DESC" },
	{ VIRTIO_RING_F_EVENT_IDX, "EVENT_IDX" },
	{ VIRTIO_F_VERSION_1, "VERSION_1" },
	{ VIRTIO_F_ACCESS_PLATFORM, "ACCESS_PLATFORM" },
	{ VIRTIO_F_RING_PACKED, "RING_PACKED" },
	{ F_IN_ORDER, "IN_ORDER" },
};

const char *vr_feature_name(unsigned int bit)
{
	unsigned int i;

	for (i = 0; i < sizeof(feature_names) / sizeof(feature_names[0]); i++)
		if (feature_names[i].bit == bit)
			return feature_names[i].name;
	return NULL;
}

static uint64_t wanted_features(const struct vr_opts *o)
{
	uint64_t f = o->legacy ? 0 : BIT(VIRTIO_F_VERSION_1);

	if (o->event_idx)
		f |= BIT(VIRTIO_RING_F_EVENT_IDX);
	if (o->indirect)
		f |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (o->mergeable)
		f |= BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (o->layout == VR_LAYOUT_PACKED)
		f |= BIT(VIRTIO_F_RING_PACKED);
	if (o->layout == VR_LAYOUT_IN_ORDER)
		f |= BIT(F_IN_ORDER);
	return f;
}

static void missing_features(const struct vr_opts *o, uint64_t missing)
{
	unsigned int bit;

	for (bit = 0; bit < 64; bit++)
		if (missing & BIT(bit))
			fprintf(stderr, "vring: %s doesn't offer %s\n", o->dev,
				vr_feature_name(bit) ? vr_feature_name(bit) : "a feature");
	exit(2);
}

uint64_t vr_backend_features(struct vr_run *r)
{
	uint64_t want = wanted_features(r->o);
	uint64_t offered;
	int fd = open(r->o->dev, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		vr_die_errno("%s", r->o->dev);
	if (ioctl(fd, VHOST_GET_FEATURES, &offered))
		vr_die_errno("%s: VHOST_GET_FEATURES", r->o->dev);
	close(fd);
	r->offered = offered;
	if (want & ~offered)
		missing_features(r->o, want & ~offered);
	return want;
}

#define DO(p, req, arg) do {						\
	if (ioctl((p)->vhost_fd, req, arg))				\
		vr_die_errno("queue pair %u: " #req, (p)->index);	\
} while (0)

static void set_memory(struct vr_run *r, struct vr_pair *p)
{
	static uint64_t start[VR_MAX_REGIONS], len[VR_MAX_REGIONS];
	unsigned int i, n = vr_mem_regions(&r->mem, r->o->regions, start, len);
	struct vhost_memory *t = calloc(1, sizeof(*t) + n * sizeof(t->regions[0]));

	if (!t)
		vr_die("out of memory");
	t->nregions = n;
	for (i = 0; i < n; i++) {
		t->regions[i].guest_phys_addr = r->mem.gpa + start[i];
		t->regions[i].userspace_addr = (uintptr_t)r->mem.base + start[i];
		t->regions[i].memory_size = len[i];
	}
	DO(p, VHOST_SET_MEM_TABLE, t);
	free(t);
}

static void set_eventfd(struct vr_pair *p, unsigned int idx, unsigned long req, int *fd)
{
	struct vhost_vring_file f = { .index = idx };

	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd < 0)
		vr_die_errno("eventfd");
	f.fd = *fd;
	DO(p, req, &f);
}

/* Where a ring of which all came back would go on. */
static unsigned int base_of(const struct vr_vq *q)
{
	return q->mock ? vr_mock_base(q) : (uint16_t)q->completed;
}

static void set_ring(struct vr_pair *p, struct vr_vq *q, unsigned int idx)
{
	struct vhost_vring_state num = { .index = idx, .num = q->vr.num };
	struct vhost_vring_state base = { .index = idx, .num = base_of(q) };
	struct vhost_vring_addr a = {
		.index = idx,
		.desc_user_addr = (uintptr_t)q->vr.desc,
		.avail_user_addr = (uintptr_t)q->vr.avail,
		.used_user_addr = (uintptr_t)q->vr.used,
	};
	struct vhost_vring_file tap = { .index = idx, .fd = p->tap_fd };

	DO(p, VHOST_SET_VRING_NUM, &num);
	DO(p, VHOST_SET_VRING_BASE, &base);
	DO(p, VHOST_SET_VRING_ADDR, &a);
	set_eventfd(p, idx, VHOST_SET_VRING_KICK, &q->kick_fd);
	set_eventfd(p, idx, VHOST_SET_VRING_CALL, &q->call_fd);
	set_eventfd(p, idx, VHOST_SET_VRING_ERR, &q->err_fd);
	DO(p, VHOST_NET_SET_BACKEND, &tap);
}

void vr_backend_open(struct vr_run *r, struct vr_pair *p)
{
	p->vhost_fd = open(r->o->dev, O_RDWR | O_CLOEXEC);
	if (p->vhost_fd < 0)
		vr_die_errno("%s", r->o->dev);
	DO(p, VHOST_SET_OWNER, NULL);
	DO(p, VHOST_SET_FEATURES, &r->features);
}

void vr_backend_start(struct vr_run *r, struct vr_pair *p)
{
	set_memory(r, p);
	if (r->o->dir & VR_DIR_RX)
		set_ring(p, &p->rx, 0);
	if (r->o->dir & VR_DIR_TX)
		set_ring(p, &p->tx, 1);
}

static void stop_ring(struct vr_run *r, struct vr_pair *p, struct vr_vq *q, unsigned int idx)
{
	struct vhost_vring_state s = { .index = idx };
	struct vhost_vring_file off = { .index = idx, .fd = -1 };
	uint64_t n;

	DO(p, VHOST_NET_SET_BACKEND, &off);
	DO(p, VHOST_GET_VRING_BASE, &s);
	/* All traffic came to rest before the stop: what was taken was given back. */
	if (!r->failure && s.num != base_of(q))
		vr_fail(r, "queue pair %u ring %u: base %u after the stop, expected %u",
			p->index, idx, s.num, base_of(q));
	vr_ring_count_calls(q);
	if (read(q->err_fd, &n, sizeof(n)) == sizeof(n))
		r->vring_errs += n;
}

void vr_backend_stop(struct vr_run *r, struct vr_pair *p)
{
	if (r->o->dir & VR_DIR_RX)
		stop_ring(r, p, &p->rx, 0);
	if (r->o->dir & VR_DIR_TX)
		stop_ring(r, p, &p->tx, 1);
	close(p->vhost_fd);
}

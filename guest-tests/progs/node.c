// SPDX-License-Identifier: GPL-2.0-only
/* A vhost node: the ioctls as functions that return 0 or -errno. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../vhost/uapi/vhost_direct.h"
#include "../../vhost/uapi/vhost_new.h"
#include "node.h"
#include "proc.h"
#include "test.h"

#define STATS_ROOM 64

int node_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	MUST(fd >= 0, "%s", path);
	return fd;
}

int node_call(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

uint64_t node_offered(const char *path)
{
	int fd = node_open(path);
	uint64_t offered = 0;

	MUST(!node_call(fd, VHOST_GET_FEATURES, &offered), "VHOST_GET_FEATURES");
	close(fd);
	return offered;
}

int node_owner(int fd)
{
	return node_call(fd, VHOST_SET_OWNER, NULL);
}

int node_features(int fd, uint64_t features)
{
	return node_call(fd, VHOST_SET_FEATURES, &features);
}

int node_num(int fd, unsigned int q, unsigned int num)
{
	struct vhost_vring_state s = { q, num };

	return node_call(fd, VHOST_SET_VRING_NUM, &s);
}

int node_base(int fd, unsigned int q, unsigned int base)
{
	struct vhost_vring_state s = { q, base };

	return node_call(fd, VHOST_SET_VRING_BASE, &s);
}

int node_get_base(int fd, unsigned int q)
{
	struct vhost_vring_state s = { q };
	int ret = node_call(fd, VHOST_GET_VRING_BASE, &s);

	return ret < 0 ? ret : (int)s.num;
}

int node_addr(int fd, unsigned int q, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct vhost_vring_addr a = {
		.index = q,
		.desc_user_addr = desc,
		.avail_user_addr = avail,
		.used_user_addr = used,
	};

	return node_call(fd, VHOST_SET_VRING_ADDR, &a);
}

int node_file(int fd, unsigned long cmd, unsigned int q, int file)
{
	struct vhost_vring_file f = { q, file };

	return node_call(fd, cmd, &f);
}

int node_backend(int fd, unsigned int q, int file)
{
	return node_file(fd, VHOST_NET_SET_BACKEND, q, file);
}

int node_table(int fd, const struct node_region *r, unsigned int n)
{
	struct vhost_memory *m = calloc(1, sizeof(*m) + n * sizeof(m->regions[0]));
	unsigned int i;
	int ret;

	MUST(m, "calloc");
	m->nregions = n;
	for (i = 0; i < n; i++) {
		m->regions[i].guest_phys_addr = r[i].gpa;
		m->regions[i].memory_size = r[i].size;
		m->regions[i].userspace_addr = r[i].user;
	}
	ret = node_call(fd, VHOST_SET_MEM_TABLE, m);
	free(m);
	return ret;
}

uint64_t node_stat(int fd, unsigned int q, const char *name)
{
	uint64_t room[(sizeof(struct vd_stats) + STATS_ROOM * sizeof(struct vd_stat)) / 8 + 1];
	struct vd_stats *s = (void *)room;
	unsigned int i;

	s->index = q;
	s->count = STATS_ROOM;
	MUST(!ioctl(fd, VD_GET_STATS, s), "VD_GET_STATS");
	for (i = 0; i < s->count && i < STATS_ROOM; i++)
		if (!strcmp(s->entry[i].name, name))
			return s->entry[i].value;
	errno = ENOENT;
	t_die("statistic %s", name);
}

int event_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	MUST(fd >= 0, "eventfd");
	return fd;
}

uint64_t event_wait(int fd, unsigned int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n = 0;

	if (poll_ms(&p, 1, ms) == 1 && read(fd, &n, sizeof(n)) != sizeof(n))
		n = 0;
	return n;
}

void event_post(int fd)
{
	uint64_t one = 1;

	MUST(write(fd, &one, sizeof(one)) == sizeof(one), "eventfd");
}

int node_worker_new(int fd)
{
	struct vhost_worker_state s = { 0xaaaa };
	int ret = node_call(fd, VHOST_NEW_WORKER, &s);

	return ret ?: (int)s.worker_id;
}

int node_worker_free(int fd, unsigned int id)
{
	struct vhost_worker_state s = { id };

	return node_call(fd, VHOST_FREE_WORKER, &s);
}

int node_attach(int fd, unsigned int q, unsigned int id)
{
	struct vhost_vring_worker v = { q, id };

	return node_call(fd, VHOST_ATTACH_VRING_WORKER, &v);
}

int node_attached(int fd, unsigned int q)
{
	struct vhost_vring_worker v = { q, 0xaaaa };
	int ret = node_call(fd, VHOST_GET_VRING_WORKER, &v);

	return ret ?: (int)v.worker_id;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* A vhost node: the ioctls as functions that return 0 or -errno. */
#ifndef GT_NODE_H
#define GT_NODE_H

#include <linux/vhost.h>
#include <stdint.h>

#define Q_RX 0
#define Q_TX 1

#define F_MRG		(1ull << 15)
#define F_OWN_HDR	(1ull << 27)
#define F_INDIRECT	(1ull << 28)
#define F_EVENT		(1ull << 29)
#define F_V1		(1ull << 32)

int node_open(const char *path);
int node_call(int fd, unsigned long cmd, void *arg);
/* The features that a node offers, asked of an open of its own. */
uint64_t node_offered(const char *path);
int node_owner(int fd);
int node_features(int fd, uint64_t features);
int node_num(int fd, unsigned int q, unsigned int num);
int node_base(int fd, unsigned int q, unsigned int base);
int node_get_base(int fd, unsigned int q);
int node_addr(int fd, unsigned int q, uint64_t desc, uint64_t avail, uint64_t used);
int node_file(int fd, unsigned long cmd, unsigned int q, int file);
int node_backend(int fd, unsigned int q, int file);
/* The number of the worker, or -errno. */
int node_worker_new(int fd);
int node_worker_free(int fd, unsigned int id);
int node_attach(int fd, unsigned int q, unsigned int id);
int node_attached(int fd, unsigned int q);

struct node_region {
	uint64_t gpa, size, user;
};

int node_table(int fd, const struct node_region *r, unsigned int n);

/* VD_GET_STATS; the value of one, ended if there is none of the name. */
uint64_t node_stat(int fd, unsigned int q, const char *name);

int event_new(void);
/* What the eventfd counted, waiting for it up to @ms; 0 if nothing came. */
uint64_t event_wait(int fd, unsigned int ms);
void event_post(int fd);

#endif /* GT_NODE_H */

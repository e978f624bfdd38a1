/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that a process lends to the kernel (vhost_task). They came with 6.4;
 * we use them from 6.12 on, where their interface is that of today.
 */
#ifndef VD_COMPAT_TASK_H
#define VD_COMPAT_TASK_H

#include <linux/err.h>
#include <linux/version.h>

struct vhost_task;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && IS_ENABLED(CONFIG_VHOST_TASK)
#include <linux/sched/vhost_task.h>

#define VD_TASK_POSSIBLE true

/* A failure was NULL before it was an error. */
static inline struct vhost_task *
vd_task_create(bool (*fn)(void *), void (*killed)(void *), void *arg,
	       const char *name)
{
	return vhost_task_create(fn, killed, arg, name) ?: ERR_PTR(-ENOMEM);
}

static inline void vd_task_start(struct vhost_task *t)
{
	vhost_task_start(t);
}

static inline void vd_task_wake(struct vhost_task *t)
{
	vhost_task_wake(t);
}

static inline void vd_task_stop(struct vhost_task *t)
{
	vhost_task_stop(t);
}
#else
#define VD_TASK_POSSIBLE false

static inline struct vhost_task *
vd_task_create(bool (*fn)(void *), void (*killed)(void *), void *arg,
	       const char *name)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void vd_task_start(struct vhost_task *t) { }
static inline void vd_task_wake(struct vhost_task *t) { }
static inline void vd_task_stop(struct vhost_task *t) { }
#endif

#endif /* VD_COMPAT_TASK_H */

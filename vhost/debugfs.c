// SPDX-License-Identifier: GPL-2.0-only
/* debugfs: vhost_direct/<pid of the owner>-<serial>/<queue>: its counters. */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "dev.h"

static struct dentry *vd_debugfs_root;

static int vd_queue_show(struct seq_file *m, void *unused)
{
	const struct vd_virtqueue *vq = m->private;

	seq_printf(m, "%-16s %s\n", "metadata",
		   !vq->dev->direct ? "user" :
		   READ_ONCE(vq->win.valid) ? "direct" : "fallback");
	seq_printf(m, "%-16s %u\n", "ring_size", READ_ONCE(vq->ring.num));
	seq_printf(m, "%-16s %s%s\n", "ring_kind",
		   READ_ONCE(vq->ring.packed) ? "packed" : "split",
		   READ_ONCE(vq->ring.in_order) ? ",in-order" : "");
	vd_stats_show(&vq->counters, m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vd_queue);

/**
 * vd_debugfs_add - show a device
 * @dev: the device, which has its pid and serial
 *
 * Context: device mutex; may sleep.
 */
void vd_debugfs_add(struct vd_dev *dev)
{
	unsigned int i;
	char name[32];

	snprintf(name, sizeof(name), "%d-%u", dev->pid, dev->serial);
	dev->debugfs = debugfs_create_dir(name, vd_debugfs_root);
	for (i = 0; i < dev->nvqs; i++)
		debugfs_create_file(dev->vqs[i]->name, 0400, dev->debugfs,
				    dev->vqs[i], &vd_queue_fops);
}

/**
 * vd_debugfs_del - show it no longer; waits for readers
 * @dev: the device
 *
 * Context: device mutex or the last user; may sleep.
 */
void vd_debugfs_del(struct vd_dev *dev)
{
	debugfs_remove(dev->debugfs);
	dev->debugfs = NULL;
}

/**
 * vd_debugfs_init - make the folder; without debugfs nothing happens
 *
 * Context: the module is being loaded.
 */
void vd_debugfs_init(void)
{
	vd_debugfs_root = debugfs_create_dir("vhost_direct", NULL);
}

/**
 * vd_debugfs_exit - remove the folder
 *
 * Context: the module goes, or can't be loaded; may sleep.
 */
void vd_debugfs_exit(void)
{
	debugfs_remove(vd_debugfs_root);
}

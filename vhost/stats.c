// SPDX-License-Identifier: GPL-2.0-only
/* Statistics of a virtqueue as users see them: names and values. */
#include <linux/kernel.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "stats.h"
#include "uapi/vhost_direct.h"

static const struct {
	const char *name;
	size_t offset;
} vd_stat_table[] = {
#define X(field) { #field, offsetof(struct vd_counters, field) },
	VD_STATS_LIST(X)
#undef X
};

static u64 vd_stat_value(const struct vd_counters *c, unsigned int i)
{
	const u64 *v = (const void *)c + vd_stat_table[i].offset;

	return READ_ONCE(*v);
}

/**
 * vd_stats_count - how many statistics a virtqueue has
 *
 * Return: their number. Context: any.
 */
unsigned int vd_stats_count(void)
{
	return ARRAY_SIZE(vd_stat_table);
}

/**
 * vd_stats_copy - answer VD_GET_STATS
 * @c: the virtqueue's counters
 * @arg: the user's struct vd_stats, with its room in count
 *
 * Return: 0 or -EFAULT. Context: may sleep.
 */
int vd_stats_copy(const struct vd_counters *c, struct vd_stats __user *arg)
{
	unsigned int i, n = vd_stats_count();
	struct vd_stat s;
	u32 room;

	if (get_user(room, &arg->count) || put_user(n, &arg->count))
		return -EFAULT;
	for (i = 0; i < min(n, room); i++) {
		memset(&s, 0, sizeof(s));
		strscpy(s.name, vd_stat_table[i].name, sizeof(s.name));
		s.value = vd_stat_value(c, i);
		if (copy_to_user(&arg->entry[i], &s, sizeof(s)))
			return -EFAULT;
	}
	return 0;
}

/**
 * vd_stats_show - print the counters, a line each
 * @c: the virtqueue's counters
 * @m: a debugfs file
 *
 * Context: any; counters are read without a lock.
 */
void vd_stats_show(const struct vd_counters *c, struct seq_file *m)
{
	unsigned int i;

	for (i = 0; i < vd_stats_count(); i++)
		seq_printf(m, "%-16s %llu\n", vd_stat_table[i].name,
			   vd_stat_value(c, i));
}

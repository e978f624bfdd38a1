/* SPDX-License-Identifier: GPL-2.0-only */
/* device: what its files share. */
#ifndef GT_DEVICE_H
#define GT_DEVICE_H

extern const char *path;

/* An owned device with a memory table. */
int opened_with_memory(void);

/* Each call so many times, with what it may leave behind counted. */
void loops(unsigned int times);

#endif /* GT_DEVICE_H */

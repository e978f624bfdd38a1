/* SPDX-License-Identifier: GPL-2.0-only */
/* A vhost-user front end: hands a guest to a back end behind a socket. */
#ifndef BENCH_RING_FRONTEND_H
#define BENCH_RING_FRONTEND_H

#include "guest.h"

u64 kind_features(enum kind kind);
int frontend_connect(const char *path, const struct guest *g, enum kind kind);

#endif /* BENCH_RING_FRONTEND_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints, group vhost_direct. None stands in the path of a packet. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vhost_direct

#if !defined(VD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VD_TRACE_H

#include <linux/tracepoint.h>

#include "dev.h"

/* trace-cmd and perf have the format alone: in there these become numbers. */
TRACE_DEFINE_ENUM(VD_MAP_OK);
TRACE_DEFINE_ENUM(VD_MAP_FAILED);
TRACE_DEFINE_ENUM(VD_MAP_RACED);
TRACE_DEFINE_ENUM(VD_MAP_BUSY);

/*
 * dev=PID-SERIAL is the device's folder in debugfs, queue= the file in it: an
 * invalidation comes from whatever thread changes the memory.
 */
TRACE_EVENT(vd_map,
	TP_PROTO(const struct vd_winset *ws, int result),
	TP_ARGS(ws, result),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(unsigned int, serial)
		__array(char, queue, VD_NAME_SIZE)
		__field(int, result)
	),
	TP_fast_assign(
		const struct vd_virtqueue *vq = vd_winset_queue(ws);

		__entry->pid = vq->dev->pid;
		__entry->serial = vq->dev->serial;
		strscpy(__entry->queue, vq->name, VD_NAME_SIZE);
		__entry->result = result;
	),
	TP_printk("dev=%d-%u queue=%s result=%s", __entry->pid,
		  __entry->serial, __entry->queue,
		  __print_symbolic(__entry->result, { VD_MAP_OK, "mapped" },
				   { VD_MAP_FAILED, "failed" },
				   { VD_MAP_RACED, "raced" },
				   { VD_MAP_BUSY, "busy" }))
);

TRACE_EVENT(vd_invalidate,
	TP_PROTO(const struct vd_winset *ws, unsigned long start,
		 unsigned long end),
	TP_ARGS(ws, start, end),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(unsigned int, serial)
		__array(char, queue, VD_NAME_SIZE)
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		const struct vd_virtqueue *vq = vd_winset_queue(ws);

		__entry->pid = vq->dev->pid;
		__entry->serial = vq->dev->serial;
		strscpy(__entry->queue, vq->name, VD_NAME_SIZE);
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("dev=%d-%u queue=%s range=%lx-%lx", __entry->pid,
		  __entry->serial, __entry->queue, __entry->start, __entry->end)
);

DECLARE_EVENT_CLASS(vd_queue,
	TP_PROTO(const struct vd_virtqueue *vq, s64 value),
	TP_ARGS(vq, value),
	TP_STRUCT__entry(
		__field(pid_t, pid)
		__field(unsigned int, serial)
		__array(char, queue, VD_NAME_SIZE)
		__field(s64, value)
	),
	TP_fast_assign(
		__entry->pid = vq->dev->pid;
		__entry->serial = vq->dev->serial;
		strscpy(__entry->queue, vq->name, VD_NAME_SIZE);
		__entry->value = value;
	),
	TP_printk("dev=%d-%u queue=%s value=%lld", __entry->pid,
		  __entry->serial, __entry->queue, __entry->value)
);

/*
 * A burst that had to take the user path while windows are wanted; the value
 * is what it returned.
 */
DEFINE_EVENT(vd_queue, vd_fallback,
	TP_PROTO(const struct vd_virtqueue *vq, s64 value),
	TP_ARGS(vq, value));

/* The driver kicked, or the owner woke the queue; the value is how often so far. */
DEFINE_EVENT(vd_queue, vd_kick,
	TP_PROTO(const struct vd_virtqueue *vq, s64 value),
	TP_ARGS(vq, value));

/* The driver was interrupted; the value is the used index. */
DEFINE_EVENT(vd_queue, vd_signal,
	TP_PROTO(const struct vd_virtqueue *vq, s64 value),
	TP_ARGS(vq, value));

/* The queue was stopped, or lost frames; the value is of enum vd_reason. */
DEFINE_EVENT(vd_queue, vd_error,
	TP_PROTO(const struct vd_virtqueue *vq, s64 value),
	TP_ARGS(vq, value));

#endif /* VD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

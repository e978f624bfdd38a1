/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints, group vhost_direct. None stands in the path of a packet. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vhost_direct

#if !defined(VD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define VD_TRACE_H

#include <linux/tracepoint.h>

struct vd_virtqueue;
struct vd_winset;

TRACE_EVENT(vd_map,
	TP_PROTO(const struct vd_winset *ws, int result),
	TP_ARGS(ws, result),
	TP_STRUCT__entry(
		__field(const void *, set)
		__field(int, result)
	),
	TP_fast_assign(
		__entry->set = ws;
		__entry->result = result;
	),
	TP_printk("set=%p result=%s", __entry->set,
		  __print_symbolic(__entry->result, { 0, "mapped" },
				   { 1, "failed" }, { 2, "raced" },
				   { 3, "busy" }))
);

TRACE_EVENT(vd_invalidate,
	TP_PROTO(const struct vd_winset *ws, unsigned long start,
		 unsigned long end),
	TP_ARGS(ws, start, end),
	TP_STRUCT__entry(
		__field(const void *, set)
		__field(unsigned long, start)
		__field(unsigned long, end)
	),
	TP_fast_assign(
		__entry->set = ws;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("set=%p range=%lx-%lx", __entry->set, __entry->start,
		  __entry->end)
);

DECLARE_EVENT_CLASS(vd_queue,
	TP_PROTO(const struct vd_virtqueue *vq, int value),
	TP_ARGS(vq, value),
	TP_STRUCT__entry(
		__field(const void *, vq)
		__field(int, value)
	),
	TP_fast_assign(
		__entry->vq = vq;
		__entry->value = value;
	),
	TP_printk("vq=%p value=%d", __entry->vq, __entry->value)
);

/* A burst that had to take the user path while windows are wanted. */
DEFINE_EVENT(vd_queue, vd_fallback,
	TP_PROTO(const struct vd_virtqueue *vq, int value),
	TP_ARGS(vq, value));

/* The driver kicked. */
DEFINE_EVENT(vd_queue, vd_kick,
	TP_PROTO(const struct vd_virtqueue *vq, int value),
	TP_ARGS(vq, value));

/* The driver was interrupted; the value is the used index. */
DEFINE_EVENT(vd_queue, vd_signal,
	TP_PROTO(const struct vd_virtqueue *vq, int value),
	TP_ARGS(vq, value));

/* The queue was stopped; the value is of enum vd_reason. */
DEFINE_EVENT(vd_queue, vd_error,
	TP_PROTO(const struct vd_virtqueue *vq, int value),
	TP_ARGS(vq, value));

#endif /* VD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Going to sleep on an empty ring, in Promela: the driver's publish and kick
 * against the device's "ask for a kick, look once more" (vd_split_notify(),
 * vd_packed_notify()), the worker's queued bit against its clearing
 * (vd_worker_queue(), vd_worker_run_all()), and its sleep against being woken
 * (vd_worker_main()).
 *
 * Both sides' stores go through a store buffer that drains at any time, but
 * at the latest at a barrier. Checked: once the driver has published all, and
 * everybody is at rest, the device has consumed all: no wake-up was lost.
 *
 * -DFAULT_x seeds a fault that must be found: see the script beside this file.
 */

#define ROUNDS	3
#define EMPTY	255

byte idx, taken;		/* published, consumed */
bool want_kick = true;		/* the device's suppression word */
byte idx_buf = EMPTY, want_buf = EMPTY;
bool queued;			/* VD_WORK_QUEUED */
bool pending;			/* on the worker's list */
bool asleep;			/* the worker's task state: it may be, or is about to be */
bool driver_done;

proctype drain()
{
end:	do
	:: atomic { idx_buf != EMPTY -> idx = idx_buf; idx_buf = EMPTY }
	:: atomic { want_buf != EMPTY -> want_kick = want_buf; want_buf = EMPTY }
	od
}

proctype driver()
{
	byte n;

	do
	:: n < ROUNDS ->
		n++;
		idx_buf == EMPTY; idx_buf = n;
#ifndef FAULT_NO_DRIVER_BARRIER
		idx_buf == EMPTY;
#endif
		if
		:: want_kick ->
			/* eventfd -> vd_worker_queue() */
			atomic {
				if
				:: !queued -> queued = true; pending = true
				:: else
				fi
			};
			/* wake_up_process() */
			asleep = false
		:: else
		fi
	:: n == ROUNDS -> break
	od;
	idx_buf == EMPTY;
	driver_done = true
}

proctype worker()
{
	byte seen;
	bool some;

	do
	:: true ->
		/* The state before the look: set_current_state() has a barrier. */
#ifdef FAULT_STATE_LATE
		some = pending;
		asleep = true;
#else
		asleep = true;
		some = pending;
#endif
		if
		:: some -> asleep = false
		/* schedule() */
		:: else ->
endrest:		!asleep
		fi;
		if
		:: some -> pending = false
		:: else -> goto next
		fi;
#ifndef FAULT_CLEAR_LATE
		queued = false;
#endif
		/* vd_split_no_notify() */
		want_buf == EMPTY; want_buf = 0;
again:		seen = idx;
		taken = seen;
		/* vd_split_notify() */
#ifdef FAULT_LOOK_FIRST
		seen = idx;
#endif
		want_buf == EMPTY; want_buf = 1;
#ifndef FAULT_NO_DEVICE_BARRIER
		want_buf == EMPTY;
#endif
#ifndef FAULT_NO_SECOND_LOOK
#ifndef FAULT_LOOK_FIRST
		seen = idx;
#endif
		if
		:: seen != taken ->
			want_buf == EMPTY; want_buf = 0;
			goto again
		:: else
		fi;
#endif
#ifdef FAULT_CLEAR_LATE
		queued = false;
#endif
next:		some = false
	od
}

/* When nobody can do anything any more, nothing may be left to do. */
proctype at_rest()
{
	timeout -> assert(driver_done && taken == ROUNDS)
}

init { atomic { run drain(); run driver(); run worker(); run at_rest() } }

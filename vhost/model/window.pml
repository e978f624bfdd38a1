/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The window protocol of vhost/notifier.c, in Promela.
 *
 * One window, which may lie at one of two addresses; a worker that maps and
 * uses it; notifiers that take pages away, nested and overlapping; an ioctl
 * that moves the ring; close. The stores of the store-buffering pair (A), of
 * which the publisher has two, the set's own span and then the table of all,
 * go through a buffer each, and so does what says that a notifier waits: it
 * drains at any time but at the latest at the barrier, so that leaving the
 * barrier out has its effect. These are the stores that a processor makes without
 * a lock and whose order with a later load of its own counts; what the worker and
 * close store is read under the lock that they held, and a locked instruction, as
 * taking and counting are, drains the buffer of its processor.
 *
 * Checked: no window is used once start has returned for its address, nor a
 * page after it was freed, nor a set after it was freed; no count goes wrong;
 * a notifier that waits for the window lock, unfair as it is, sees the worker
 * have it once at most, for a burst or to install; and (ltl) it comes to its end.
 *
 * -DFAULT_x seeds a fault that must be found: see the script beside this file.
 * -DPUBLISH_FAILS: there is no memory for the table of the moved ring.
 * -DANY_WAIT: a notifier may wait longer, so that what else is wrong is found.
 */

#define NONE	255
#define PAGES	6
#ifndef ROUNDS
#define ROUNDS	2
#endif

/* Page tables: the page at each of two addresses, and which pages are gone. */
byte pte[2];
bool freed[PAGES];
byte next_page = 2;

/* struct vd_mm */
byte in_flight, seq;
byte spans = 0;			/* the table published: it has this address */
byte own = 0;			/* the set's own span, looked at without a lock */
#define EMPTY	2		/* of either: no address */
bool spans_freed[3];

/* struct vd_winset; lock and mutex are held by a process or free */
bool lock, mutex;
bool valid;
byte win_page, win_addr;
bool described = true;		/* else the queue goes by user access */
bool listed = true, set_freed;

/* The ring as the ioctl left it, and the worker's life. */
byte ring = 0;
bool closing, worker_done;
byte readers;			/* inside rcu_read_lock() */
byte waiters;			/* notifiers that want the window lock */
bool waiting;			/* the first one does */
byte passed;			/* times that the worker has had it meanwhile */

/* For the checks alone: at each address, starts that have returned and not ended. */
byte away[2];

#define take(l)		atomic { !l -> l = true }
#define drop(l)		l = false

/* The same by the worker: whoever is first, nothing orders those who wait. */
inline overtake()
{
	take(lock);
	passed = passed + (waiting && passed < 2);
#ifndef ANY_WAIT
	assert(passed <= 1)
#endif
}

/* A store buffer of one entry for each of the two publishers. */
byte spans_buf = 254;		/* 254: empty */
byte own_buf = 254;
byte count_buf[2];		/* increments on their way */
bool waiters_buf[2];		/* the same, of waiters */

proctype drain_spans()
{
end:	do
	:: atomic { own_buf != 254 -> own = own_buf; own_buf = 254 }
	/* rcu_replace_pointer(): not before what was stored before it. */
	:: atomic { spans_buf != 254 && own_buf == 254 -> spans = spans_buf; spans_buf = 254 }
	od
}

proctype drain_count()
{
end:	do
	:: atomic { count_buf[0] > 0 -> in_flight++; count_buf[0]-- }
	:: atomic { count_buf[1] > 0 -> in_flight++; count_buf[1]-- }
	:: atomic { waiters_buf[0] -> waiters++; waiters_buf[0] = false }
	:: atomic { waiters_buf[1] -> waiters++; waiters_buf[1] = false }
	od
}

/* get_user_pages_fast(): finds the page or faults in a new one. */
inline gup(a, p)
{
	atomic {
		if
		:: pte[a] != NONE -> p = pte[a]
		:: else ->
			if
			:: next_page < PAGES ->
				p = next_page; next_page++; pte[a] = p
			:: else -> p = NONE
			fi
		fi
	}
}

inline use_window()
{
	/* vd_winset_enter() ... leave() */
	if
#ifdef FAULT_OVERTAKE
	:: true ->
#else
	:: waiters == 0 ->
#endif
		overtake();
		assert(!set_freed);
		if
		:: valid ->
			assert(!freed[win_page] && !away[win_addr]);
			assert(win_addr == ring);
#ifdef FAULT_FAULT_UNDER_LOCK
			/* A page fault waits for who changes the mapping. */
			in_flight == 0;
#endif
			/* The burst: the window is used again and again. */
			assert(!freed[win_page] && !away[win_addr])
		:: else
		fi;
		drop(lock)
#ifndef FAULT_OVERTAKE
	:: else
#endif
	fi
}

/* vd_mm_unchanged(): two loads, of which the second decides. */
#ifdef FAULT_RECHECK_ORDER
#define FIRST	(seq == s)
#define SECOND	(in_flight == 0)
#else
#define FIRST	(in_flight == 0)
#define SECOND	(seq == s)
#endif

inline map_window()
{
	s = seq;
	if
#ifdef FAULT_MAP_IN_FLIGHT
	:: true ->
#else
	:: in_flight == 0 ->
#endif
		gup(ring, page);
		if
		:: page != NONE ->
#ifdef FAULT_RECHECK_EARLY
			fine = FIRST && SECOND;
			overtake();
#else
			overtake();
			fine = FIRST;
#endif
			if
#ifdef FAULT_NO_RECHECK
			:: true ->
#elif defined(FAULT_RECHECK_EARLY)
			:: fine ->
#else
			:: fine && SECOND ->
#endif
				win_page = page; win_addr = ring; valid = true
#ifndef FAULT_NO_RECHECK
			:: else
#endif
			fi;
			fine = false;
			drop(lock)
		:: else
		fi
#ifndef FAULT_MAP_IN_FLIGHT
	:: else
#endif
	fi
}

proctype worker()
{
	byte n, s, page;
	bool fine;

	do
	:: n < 3 ->
		n++;
		take(mutex);
		if
		:: valid -> use_window()
		:: !valid && described -> map_window(); use_window()
#ifdef PUBLISH_FAILS
		:: !valid && !described
#endif
		fi;
		drop(mutex)
	:: closing || n == 3 -> break
	od;
	worker_done = true
}

#ifdef PUBLISH_FAILS
/*
 * vd_mm_publish() gets no memory: the table is the old one, and the set's span again
 * what it was. Then either the ring stays where it is, and SET_VRING_ADDR fails, or it
 * is elsewhere already and nothing is mapped of it: to say so may fail as well.
 */
inline publish()
{
	own_buf = 1;
	own_buf == 254;
#ifndef FAULT_SPAN_NOT_RESTORED
	own_buf = 0;
	own_buf == 254;
#endif
	if
	/* vd_vq_move() */
	:: true ->
#ifdef FAULT_ERROR_LOST
		ring = 1
#else
		skip
#endif
	/* vd_vq_describe(), vd_winset_clear() */
	:: true ->
		ring = 1;
#ifndef FAULT_STILL_DESCRIBED
		described = false;
#endif
		own_buf = EMPTY;
		if
		:: true -> spans_buf = EMPTY
		:: true
		fi;
		spans_buf == 254 && own_buf == 254
	fi
}
#else
/* vd_mm_publish() */
inline publish()
{
	ring = 1;
#ifndef FAULT_SPAN_AFTER_BARRIER
	own_buf = 1;
#endif
	spans_buf = 1;
#ifndef FAULT_NO_PUBLISH_BARRIER
	spans_buf == 254 && own_buf == 254;
#endif
#ifdef FAULT_SPAN_AFTER_BARRIER
	own_buf = 1;
#endif
}
#endif

/* vd_winset_describe(): the ring moves to the other address. */
proctype ioctl()
{
	take(mutex);
#ifndef FAULT_NO_DROP
	take(lock); valid = false; drop(lock);
#endif
	publish();
	drop(mutex);
	/* kvfree_rcu() of the old table */
	spans_buf == 254;
#ifndef FAULT_TABLE_RCU
	readers == 0;
#endif
	spans_freed[0] = spans != 0
}

/* Invalidates one address: start, the page goes, another may come, end. */
proctype notifier(byte me; byte a)
{
	byte n, table;

	do
	:: n < ROUNDS ->
		n++;
		/* vd_mn_start() */
#ifdef FAULT_COUNT_AFTER_SCAN
		skip;
#else
#ifdef FAULT_END_BEFORE_START
		/* Registered since: mm_take_all_locks() is what keeps that from being. */
		if
		:: me == 1 && n == 1
		:: else -> count_buf[me]++
		fi;
#else
		count_buf[me]++;
#endif
#ifndef FAULT_NO_COUNT_BARRIER
		count_buf[me] == 0;
#endif
#endif
		readers++;
		table = spans;
		assert(!spans_freed[table]);
		/* The table, then in the list of sets the span that it came from. */
		if
		:: table == a && listed && own == a ->
			/* vd_winset_invalidate() */
			waiters_buf[me] = true;
#ifndef FAULT_NO_WAITING_BARRIER
			!waiters_buf[me];
#endif
			waiting = me == 0 || waiting;
			take(lock);
			atomic {
				/* What is taken back has arrived. */
				!waiters_buf[me] -> waiters--;
				waiting = me != 0 && waiting;
				passed = (waiting -> passed : 0)
			}
			assert(!set_freed);
			if
			:: valid && win_addr == a -> valid = false
			:: else
			fi;
			drop(lock)
		:: else
		fi;
		readers--;
#ifdef FAULT_COUNT_AFTER_SCAN
		atomic { in_flight++ };
#endif
		away[a]++;
#ifdef FAULT_END_BEFORE_UNMAP
		seq++; in_flight--;
#endif
		/* The caller: the page is unmapped and freed. */
		atomic {
			if
			:: pte[a] != NONE -> freed[pte[a]] = true; pte[a] = NONE
			:: else
			fi
		};
		/* vd_mn_end() */
		away[a]--;
#ifndef FAULT_END_BEFORE_UNMAP
		count_buf[me] == 0;
#ifdef FAULT_RESET_COUNT
		seq++; in_flight = 0
#elif defined(FAULT_NO_SEQ)
		assert(in_flight > 0); in_flight--
#elif defined(FAULT_COUNT_BEFORE_SEQ)
		assert(in_flight > 0); in_flight--; seq++
#else
		seq++;
		assert(in_flight > 0);
		in_flight--
#endif
#endif
		skip
	:: n == ROUNDS -> break
	od
}

/* Close: the worker, the notifier's list, a grace period, the memory. */
proctype close_device()
{
	closing = true;
#ifndef FAULT_TEARDOWN_WORKER
	worker_done;
#endif
	take(lock); valid = false; drop(lock);
	listed = false;
#ifndef FAULT_TEARDOWN_RCU
	/* synchronize_rcu(): a superset of the readers is waited for. */
	readers == 0;
#endif
	set_freed = true;
}

init {
	atomic {
		pte[0] = 0; pte[1] = 1;
		run drain_spans(); run drain_count();
		run worker(); run ioctl(); run close_device();
		run notifier(0, 0);
#ifdef SAME_ADDRESS
		run notifier(1, 0)
#else
		run notifier(1, 1)
#endif
	}
}

#ifdef BOUNDED
/* A notifier that waits for the window lock gets it: the first, as the other is no different. */
ltl bounded { [] (waiting -> <> !waiting) }
#endif

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The race windows of the protocol, held open on purpose: by a probe that makes a function
slow, so that what is tested is the module as it is shipped. Each test shows that the window
was open (injections), that somebody came through it (met), what the module made of it, and
that nothing was lost or corrupted.
"""
# Freed memory is poisoned, pages too: whoever uses it is found out also without KASAN. All that
# is free is written at boot, hence no more than 2G.
# vm: numa=2 mem=2G timeout=500 append="numa=fake=2 slub_debug=FPU page_poison=1"

import glob
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from inject import Ask, Inject, Late, Maps, Readers, Waits, missing  # noqa: E402
from vdtest import CASES, NODE, SLOW, Ktap, Run, ended, load, unload, write  # noqa: E402

LIFE = "/vd/build/guest-tests/life"
CORE = "vhost_direct:"
TRAFFIC = "--dir both --warmup 0 --seconds 1 --size 60:600"
ATTEMPTS = 8
HUGE_PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
# Those that take all of a huge page at once, and leave it one.
HUGE_BURSTS = (("readonly-busy", 300), ("noaccess-busy", 300), ("mremap-busy", 2000), ("fork-busy", 2000))


class Meddler:
    """Invalidates all memory of vring from outside, so that it overlaps the driver's own events."""

    def __init__(self, on):
        self._on, self._over = on, threading.Event()
        self._thread = threading.Thread(target=self._run)

    @staticmethod
    def _pid():
        for path in glob.glob("/proc/[0-9]*/comm"):
            try:
                with open(path, encoding="ascii", errors="replace") as file:
                    if file.read().strip() == "vring":
                        return path.split("/")[2]
            except OSError:
                pass
        return None

    def _run(self):
        pid = None
        while not self._over.wait(0.003):
            pid = pid or self._pid()
            try:
                if pid:
                    write(f"/proc/{pid}/clear_refs", "4")
            except OSError:
                pid = None

    def __enter__(self):
        if self._on:
            self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        if self._on:
            self._thread.join()


class Count:
    """What happened, over as many attempts as it takes: emulated processors share real ones,
    and who meets whom in a given second is anybody's guess."""

    def __init__(self, result=""):
        self.done = self.met = self.given_up = 0
        self._result, self._about = result, []

    def add(self, slow, maps=None):
        """One attempt's."""
        self.done += slow.done
        self.met += slow.met
        self.given_up += maps[self._result] if maps and self._result else 0
        self._about.append(f"{slow}{f'; maps {maps.results}' if maps else ''}")

    def enough(self):
        """Whether all was seen that had to be."""
        return self.done >= 3 and self.met >= 1 and (not self._result or self.given_up >= 3)

    def __str__(self):
        return "\n".join(self._about)


def under(run, meddle):
    """Why traffic in a race isn't right, or an empty string."""
    why = run.wrong()
    tail = run.each("bursts_direct", "stats_tail")
    # A meddler doesn't end with the events.
    if not why and not meddle and (min(tail) < 1 or
                                   run.stat("bursts_user", "stats_tail") > 4 + sum(tail) // 50):
        why = (f"afterwards not all is direct: {tail} bursts, "
               f"{run.each('bursts_user', 'stats_tail')} by user access")
    return why and f"{why}\n{run.json.get('events')}\n{run.about()}"


def uncounted(run, maps):
    """Why the statistic doesn't agree with the trace, or an empty string: that saw the start, too."""
    traced, counted = maps["raced"] + maps["busy"], run.stat("map_races")
    if counted < traced // 2:
        return f"{traced} times to map was given up for an invalidation, map_races says {counted}"
    return ""


def seen(t, name, count, attempts):
    """The test that the race took place."""
    t.diag(f"{name}, {attempts} attempts:\n{count}")
    t.check(f"{name}: the window was held open, and somebody came through", count.enough(),
            f"done {count.done}, met {count.met}, given up {count.given_up}\n{count}")


def race(t, name, func, events, result="", meddle=False, **params):
    """A named test: traffic with events and FUNC made slow. RESULT: one that maps must have had."""
    count, why = Count(result), ""
    for attempt in range(1, ATTEMPTS + 1):
        with Meddler(meddle), Inject(func, **params) as slow, Maps() as maps:
            run = Run(f"{TRAFFIC} --events {events}")
        count.add(slow, maps)
        why = why or under(run, meddle) or uncounted(run, maps)
        if why or count.enough():
            break
    seen(t, name, count, attempt)
    t.check(f"{name}: nothing lost or corrupted{'' if meddle else ', the windows come back'}", not why,
            why)


def life(t, name, case, func, command=None, result="", **params):
    """The same for a case of the program life, or another COMMAND that checks all of its traffic."""
    count, why = Count(result), ""
    command = command or [LIFE, case, NODE]
    for attempt in range(1, ATTEMPTS + 1):
        with Inject(func, **params) as slow, Maps() as maps:
            done = ended(command, 60 * SLOW)
        count.add(slow, maps)
        why = why or (done.returncode and done.stdout)
        if why or count.enough():
            break
    seen(t, name, count, attempt)
    t.check(f"{name}: no harm", not why, why)


def mapping(t):
    """A worker maps while memory changes."""
    # Between the sample and the installation: pages are found, then go.
    slow = {"at_return": 1, "usecs": 2000, "comm": "vhost-", "watch": f"{CORE}vd_mn_end"}
    race(t, "sample to install", "get_user_pages_fast", "split,movepages --event-us 1000", "raced",
         **slow)
    race(t, "sample to install, shared memory", "get_user_pages_fast",
         "movepages,pageout --mem memfd --event-us 1000", "raced", meddle=True, **slow)
    # Between start and end: an attempt to map finds one in flight.
    slow = {"usecs": 4000, "comm": "vring", "watch": f"{CORE}vd_winset_map"}
    race(t, "start to end", f"{CORE}vd_mn_start", "split,softdirty --event-us 4000", "busy",
         at_return=1, **slow)
    race(t, "end, before it counts", f"{CORE}vd_mn_end", "split,movepages --event-us 4000", "busy", **slow)
    # It has started before the pages are installed, and ends after that.
    life(t, "install in flight", "", "get_user_pages_fast", [CASES, "flight"], at_return=1, usecs=1000,
         comm="vhost-", watch=f"{CORE}vd_mn_start")
    # Two at a time.
    life(t, "start to end, overlapping", "overlaps", f"{CORE}vd_mn_start", at_return=1, usecs=3000,
         comm="life", watch=f"{CORE}vd_mn_start")
    # Another begins and ends meanwhile, and the worker has time to map: before the pages go, and
    # before start has done all that it does.
    for name, func in (("start to end, another beside it", "vd_mn_start"),
                       ("windows taken to start's end", "vd_mm_invalidate")):
        life(t, name, "", f"{CORE}{func}", [CASES, "beside-busy"], "busy", at_return=1, usecs=5000,
             comm="mem-cases", watch=f"{CORE}vd_mn_end")
    # A callback has found the spans and comes late to the lock.
    race(t, "spans to lock", f"{CORE}vd_winset_invalidate", "split,movepages --event-us 2000",
         usecs=2000, watch=f"{CORE}vd_winset_map")


def late(t):
    """A worker comes late to the window lock, of which it knew what it would find there."""
    name, why, taken, changed, given_up, marked, unlocked = "look to lock", "", 0, 0, 0, 0, 0
    for attempt in range(1, ATTEMPTS + 1):
        with Late(usecs=2000) as late_by, Maps() as maps:
            run = Run(f"{TRAFFIC} --events split,movepages --event-us 2000")
        t.diag(f"{name}: {late_by}; maps {maps.results}")
        taken += late_by.taken
        changed += late_by.changed
        given_up += maps["raced"]
        marked += late_by.marked
        unlocked += late_by.unlocked
        why = why or under(run, False)
        if why or (taken >= 3 and changed >= 3):
            break
    # Each tells for certain: of a busy machine no more is asked.
    t.check(f"{name}: windows went meanwhile", why or taken, f"{taken} in {attempt} attempts")
    t.check(f"{name}: memory changed before pages were installed", why or changed,
            f"{changed} in {attempt} attempts")
    t.check(f"{name}: which then they were not", given_up >= changed,
            f"memory changed {changed} times, given up {given_up} times")
    t.check(f"{name}: pages are marked dirty, each under the lock", not unlocked and (why or marked),
            f"{marked} marked, {unlocked} of them without it")
    t.check(f"{name}: nothing lost or corrupted, the windows come back", not why, why)


def burst(t, case, usecs, kind="4k"):
    """One of the cases in the middle of a burst that lasts so much longer."""
    life(t, f"burst to start, {case}{'' if kind == '4k' else ', ' + kind}", "",
         f"{CORE}vd_flush_split_contig", ["env", f"MEM_KIND={kind}", CASES, case],
         usecs=usecs, comm="vhost-", watch=f"{CORE}vd_mn_start")


def bursts(t):
    """A burst that has begun ends before start returns: then nobody writes what is gone."""
    # Longer where it takes long from there until the call returns, or a child runs.
    for case, usecs in (("munmap-busy", 300), ("readonly-busy", 300), ("noaccess-busy", 300),
                        ("mremap-busy", 2000), ("dontneed-busy", 300), ("punch-busy", 2000),
                        ("truncate-busy", 2000), ("migrate", 300), ("fork-busy", 2000)):
        burst(t, case, usecs)
    # Two, and what a fork or a move has besides.
    write(HUGE_PAGES, "8")
    for case, usecs in HUGE_BURSTS:
        for kind in ("thp", "hugetlb"):
            burst(t, case, usecs, kind)
    # Unmapped, one of no file is gone.
    burst(t, "munmap-busy", 300, "hugetlb")
    write(HUGE_PAGES, "0")


def waiting(t, name, func):
    """A callback that finds the window lock taken waits for that burst, and for no other.

    FUNC, which runs under the lock, is slow: so most callbacks wait, and a worker that did not
    let them pass would mostly have the lock again before they do.
    """
    most, waits, why = 0, 0, ""
    for attempt in range(1, ATTEMPTS + 1):
        with Meddler(True), Inject(func, usecs=300, comm="vhost-") as slow, Waits() as wait:
            run = Run(f"{TRAFFIC} --events split,movepages --event-us 1000")
        t.diag(f"{name}: {slow}; {wait}")
        waits += wait.waited
        most = max(most, wait.most)
        why = why or under(run, True)
        if why or waits >= 10:
            break
    t.check(f"{name}: callbacks waited for bursts", waits >= 3, f"{waits} in {attempt} attempts")
    t.check(f"{name}: each for one at most", most == 1, f"one waited for {most}")
    t.check(f"{name}: nothing lost or corrupted", not why, why)


def held_off(t):
    """While a callback takes windows away, no queue of the mm begins a burst, whichever it is over.

    It is slow at each set; so bursts that began meanwhile would be many. When it comes to the
    first, each queue's worker may be in one, about to begin it, or about to count it.
    """
    most, took, why = 0, 0, ""
    for attempt in range(1, ATTEMPTS + 1):
        with Inject(f"{CORE}vd_winset_invalidate", usecs=2000, comm="vring") as slow, Waits() as wait:
            run = Run(f"{TRAFFIC} --queues 2 --events split --event-us 20000")
        t.diag(f"held off: {slow}; {wait}")
        took, most = took + wait.took, max(most, wait.meanwhile)
        why = why or under(run, True)
        if why or took >= 10:
            break
    t.check("held off: callbacks took windows, slowly", took >= 10, f"{took} in {attempt} attempts")
    t.check("held off: no queue begins a burst meanwhile", most <= 1, f"one had {most}")
    t.check("held off: nothing lost or corrupted", not why, why)


def moving(t):
    """A ring moves, or its device closes, while callbacks are on their way."""
    for when in (0, 1):
        life(t, f"{'after' if when else 'before'} publishing a moved ring", "moves",
             f"{CORE}vd_mm_publish", at_return=when, usecs=3000, watch=f"{CORE}vd_mn_start")
    # It was elsewhere at the start of what ends when it is here, or the other way round.
    life(t, "a ring moves between start and end", "moves", f"{CORE}vd_mn_start", at_return=1,
         usecs=3000, comm="life", watch=f"{CORE}vd_mm_publish")
    life(t, "close under a callback", "closes", f"{CORE}vd_winset_invalidate", usecs=4000,
         watch=f"{CORE}vd_mm_del")
    life(t, "callback after the set was taken out", "closes", f"{CORE}vd_mm_del", at_return=1,
         usecs=4000, watch=f"{CORE}vd_mn_start")
    life(t, "callback before the notifier is put", "closes", f"{CORE}vd_mm_put", usecs=4000,
         watch=f"{CORE}vd_mn_start")


def misread(read):
    """What callbacks read though it was not theirs, or an empty string."""
    if read.gone:
        return f"certain: of {read.replaced} tables replaced under a reader {read.gone} went"
    return read.outside and f"certain: {read.outside} of {read.walks} sets were found by no reader"


def reading(t):
    """What callbacks read, while it changes, is theirs as long as they read it."""
    replaced, why = 0, ""
    for attempt in range(1, ATTEMPTS + 1):
        with Readers(usecs=3000) as read:
            done = ended([LIFE, "moves", NODE], 60 * SLOW)
        t.diag(f"{read}")
        replaced += read.replaced
        why = why or (done.returncode and done.stdout) or misread(read)
        if why or replaced >= 3:
            break
    t.check("the spans were replaced while a callback had them", why or replaced,
            f"{replaced} in {attempt} attempts")
    t.check("they stay as long as it has them, and it is a reader", not why, why)
    with Ask(), Readers() as read:
        done = ended([CASES, "young"], 60 * SLOW)
    t.check("a callback that asks for the age of pages is a reader",
            not done.returncode and read.walks >= 10 and not read.outside, f"{read}\n{done.stdout}")


def main():
    """The suite."""
    with Ktap() as t:
        if missing():
            t.skip("all", missing())
            return
        load()
        write("/proc/sys/kernel/numa_balancing", "0")
        mapping(t)
        late(t)
        bursts(t)
        waiting(t, "waiting for a pop", f"{CORE}vd_pop_split_contig")
        waiting(t, "waiting for a push", f"{CORE}vd_flush_split_contig")
        held_off(t)
        moving(t)
        reading(t)
        said = unload()
        t.check("the modules unload", not said, said)


main()

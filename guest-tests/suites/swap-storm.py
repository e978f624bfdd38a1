#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The driver's whole memory is swapped in and out, rings included, while traffic runs.

In turn: a hog that allocates and frees more than there is RAM, in a loop; a control group
whose limit is a fraction of what the driver has; reclaim of all of it by its owner. The
driver counts the pages that it finds on the swap device while the device is open and
running, those of its rings among them, with VD_FULL=1 in each part: nothing is pinned. Half a
minute; five and a half with VD_FULL=1.
"""
# vm: mem=384M disk=2G timeout=240 full-timeout=900

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import SLOW, Ktap, Run, load, sh, unload, write  # noqa: E402

FULL = os.environ.get("VD_FULL", "0") != "0"
HOG = "/vd/build/guest-tests/mem-hog"
GROUP = "/sys/fs/cgroup/storm"
# 16 MiB of buffers and rings: a driver of some size that TCG can still fill.
DRIVER = ("--dir both --warmup 0 --mem 4k --offset 64 --ring 2048 --queues 2 --size 60:600 "
          f"--timeout {60 * SLOW} --rest-ms {30000 * SLOW}")
# Times that the hog has all of its memory, at least: four in the short run, emulated, on a busy machine.
TURNS = 2
# name, events, their pace in us, seconds, and seconds with VD_FULL=1
PARTS = {
    "hog": ("rest,census", 3_000_000, 20, 180),
    "limit": ("rest,census", 1_500_000, 8, 90),
    "owner": ("pageall,pageout", 300_000, 5, 60),
}


class Hog:
    """The hog, or nobody."""

    def __init__(self, mib):
        self._process = None
        if mib:
            self._process = subprocess.Popen([HOG, str(mib)], stdin=subprocess.DEVNULL, text=True,
                                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self):
        """Kill it; returns how many times it had all its memory, and why it ended before."""
        if not self._process:
            return 0, ""
        early = self._process.poll()
        self._process.kill()
        said = self._process.communicate()[0].splitlines()
        turns = [line for line in said if line.isdigit()]
        return len(turns), f"the hog ended by itself: {early} {said[-1:]}" if early is not None else ""


def vmstat():
    """The kernel's counters."""
    with open("/proc/vmstat", encoding="ascii") as file:
        return {name: int(value) for name, value in map(str.split, file)}


def memory_kb(name):
    """A line of /proc/meminfo."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + ":"))


def part(t, name):
    """One of the storms."""
    events, pace, short, long = PARTS[name]
    seconds = long if FULL else short
    before = vmstat()
    write(f"{GROUP}/memory.max", str(8 << 20) if name == "limit" else "max")
    hog = Hog(memory_kb("MemTotal") // 1024 * 5 // 4 if name == "hog" else 0)
    try:
        run = Run(f"{DRIVER} --seconds {seconds * SLOW} --events {events} --event-us {pace}",
                  limit=seconds * 4 + 120, group=GROUP)
    finally:
        turns, early = hog.end()
    after = vmstat()
    census = run.json.get("census", {})
    about = (f"{run.json.get('events')}\n{run.about()}\n{census} swapped in "
             f"{after['pswpin'] - before['pswpin']}, out {after['pswpout'] - before['pswpout']}")
    why = run.wrong() or early
    t.check(f"{name}: {run.packets} packets, none lost or corrupted", not why, why + about)
    if name == "hog":
        t.check(f"the hog took all of its memory, more than there is RAM ({turns} times)",
                turns >= TURNS, f"{TURNS} wanted\n{about}")
    t.diag(f"{name}: {seconds} s, {after['pswpout'] - before['pswpout']} pages out, "
           f"{after['pswpin'] - before['pswpin']} in; {json.dumps(census)}")
    # Reclaim spares rings that are in use: the device says so when it asks (suite aging). Within
    # seconds only their owner has them swapped out for certain.
    sure = name == "owner"
    key, what = ("ring_out_most", "pages of the rings") if sure or FULL else ("out_most", "pages")
    t.check(f"{name}: {what} were on the swap device while the device ran "
            f"({census.get('ring_out_most', 0)} of {census.get('ring_pages', 0)} of the rings at once, "
            f"{census.get('out_most', 0)} of all {census.get('pages', 0)})", census.get(key, 0) > 0,
            about)
    t.check(f"{name}: nothing is pinned or locked", census.get("samples") and not census["pinned_kb"],
            about)
    hits, misses = run.stat("inval_hit"), run.stat("inval_missed")
    t.check(f"{name}: windows were taken away ({hits}; {misses} times none was mapped), and came back",
            (hits > 0 or not sure) and run.stat("maps") > hits // 2
            and min(run.each("bursts_direct", "stats_tail")) > 0, about)
    return run.packets


def main():
    """The suite."""
    with Ktap() as t:
        load()
        done = sh(f"mkswap /dev/vda && swapon /dev/vda && mkdir -p {GROUP} && "
                  "echo +memory >/sys/fs/cgroup/cgroup.subtree_control")
        t.check("there are swap and a control group", not done.returncode, done.stdout)
        packets = sum(part(t, name) for name in PARTS)
        t.diag(f"{packets} packets")
        said = unload()
        t.check("the modules unload", not said, said)


main()

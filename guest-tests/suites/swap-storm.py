#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The driver's whole memory is swapped in and out, rings included, while traffic runs.

In turn: a hog that allocates and frees more than there is RAM, in a loop; a control group
whose limit is a fraction of what the driver has; reclaim of all of it by its owner. The
driver counts the pages that it finds on the swap device while the device is open and
running, those of its rings among them, with VD_FULL=1 in each part. And it has those of its
rings that are in memory sent to the machine's other node, now and then: a page that somebody
holds a reference on would stay. Half a minute; five and a half with VD_FULL=1.
"""
# vm: mem=384M disk=2G numa=2 append="numa=fake=2" timeout=400 full-timeout=1500
# allow-log: page allocation failure: order:0, mode:0x[0-9a-f]+\(GFP_ATOMIC  # the network's, which drops a frame; the modules have none of these

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
          f"--timeout {60 * SLOW}")
# Each ring once around, at least.
PACKETS = 2 * 2 * 2048
# Times that the hog has all of its memory, at least: four in the short run, emulated, on a busy machine.
TURNS = 2
# name, events, their pace in us, the longest rest in ms (within a limit nobody takes a page from
# who rests), seconds, and seconds with VD_FULL=1
PARTS = {
    "hog": ("rest,census,held", 3_000_000, 30_000, 20, 180),
    "limit": ("rest,census,held", 1_500_000, 3_000, 8, 90),
    "owner": ("pageall,pageout,held", 300_000, 0, 5, 60),
}
# Of the pages, how many were on the swap device at once: of all, and of the rings; at its owner's
# wish each time, else once. Reclaim spares rings that are in use: the device says so when it asks
# (suite aging). Within seconds only their owner has them swapped out for certain.
OUT = {"hog": (1 / 16, 0), "limit": (1 / 4, 0), "owner": (3 / 4, 3 / 4)}
FULL_OUT = 1 / 4


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


def storm(name, seconds):
    """One of the storms: its run, the hog's turns, what is wrong, all that was seen."""
    events, pace, rest, *_ = PARTS[name]
    before = vmstat()
    write(f"{GROUP}/memory.max", str(8 << 20) if name == "limit" else "max")
    hog = Hog(memory_kb("MemTotal") // 1024 * 5 // 4 if name == "hog" else 0)
    try:
        run = Run(f"{DRIVER} --seconds {seconds * SLOW} --events {events} --event-us {pace} "
                  f"--rest-ms {rest * SLOW}", limit=seconds * 4 + 120, group=GROUP)
    finally:
        turns, early = hog.end()
    after = vmstat()
    census = run.json.get("census", {})
    about = (f"{run.json.get('events')}\n{run.about()}\n{census} swapped in "
             f"{after['pswpin'] - before['pswpin']}, out {after['pswpout'] - before['pswpout']}")
    print(f"# {name}: {seconds} s, {after['pswpout'] - before['pswpout']} pages out, "
          f"{after['pswpin'] - before['pswpin']} in; {json.dumps(census)}", flush=True)
    return run, turns, run.wrong() or early, about


def part(t, name):
    """One of the storms, judged. Returns packets, and windows taken away."""
    seconds = PARTS[name][4 if FULL else 3]
    run, turns, why, about = storm(name, seconds)
    packets = run.packets
    census = run.json.get("census", {})
    if name == "hog" and not why and (turns < TURNS or not census.get("out_most")):
        # A machine that is busy with other things may need longer for so much memory.
        run, turns, why, about = storm(name, 3 * seconds)
        packets, census = packets + run.packets, run.json.get("census", {})
    t.check(f"{name}: {run.packets} packets, none lost or corrupted",
            not why and run.packets >= PACKETS, f"{why}\n{PACKETS} wanted\n{about}")
    if name == "hog":
        t.check(f"the hog took all of its memory, more than there is RAM ({turns} times)",
                turns >= TURNS, f"{TURNS} wanted\n{about}")
    return packets, judge(t, name, run, census, about)


def judge(t, name, run, census, about):
    """What the driver saw of its pages, and the device of its windows, of which it returns how many went."""
    pages, rings, samples = (census.get(key, 0) for key in ("pages", "ring_pages", "samples"))
    out, ring_out = census.get("out_most", 0), census.get("ring_out_most", 0)
    if name == "owner" and samples:
        out, ring_out = census["out_sum"] // samples, census["ring_out_sum"] // samples
    least, ring_least = OUT[name]
    if FULL:
        ring_least = max(ring_least, FULL_OUT)
    what = "pages of the rings" if ring_least else "pages"
    t.check(f"{name}: {what} were on the swap device while the device ran "
            f"({ring_out} of {rings} of the rings at once, {out} of all {pages})",
            samples and out >= pages * least and ring_out >= rings * ring_least,
            f"{pages * least:.0f} and {rings * ring_least:.0f} wanted\n{about}")
    t.check(f"{name}: nothing is pinned or locked", samples and not census["pinned_kb"], about)
    asked = census.get("held_asked", 0)
    t.check(f"{name}: nobody holds a page of the rings: each can be moved ({asked} times one was)",
            asked >= rings > 0 and not census["held"], about)
    # Without those whose pages went to the other node.
    hits = run.stat("inval_hit") - census.get("held_hits", 0)
    least = floor(name, run)
    t.check(f"{name}: windows were taken away ({hits}; {run.stat('inval_missed')} times none was "
            "mapped), and came back", hits >= least and run.stat("maps") > run.stat("inval_hit") // 2
            and min(run.each("bursts_direct", "stats_tail")) > 0, f"{least} wanted\n{about}")
    return hits


def floor(name, run):
    """How many windows reclaim must have taken away."""
    if name == "owner":
        # Each time all of them, unless they aren't back yet.
        return max(1, run.json.get("events", {}).get("pageall", {}).get("done", 0))
    # Pages may go before the device has looked at them: then none is mapped. The long run wants
    # one of both parts together.
    return 0


def main():
    """The suite."""
    with Ktap() as t:
        load()
        # It would take windows away, too.
        write("/proc/sys/kernel/numa_balancing", "0")
        done = sh(f"mkswap /dev/vda && swapon /dev/vda && mkdir -p {GROUP} && "
                  "echo +memory >/sys/fs/cgroup/cgroup.subtree_control")
        t.check("there are swap and a control group", not done.returncode, done.stdout)
        done = {name: part(t, name) for name in PARTS}
        t.diag(f"{sum(packets for packets, _ in done.values())} packets")
        if FULL:
            taken = done["hog"][1] + done["limit"][1]
            t.check(f"reclaim itself took {taken} windows away", taken > 0, done)
        said = unload()
        t.check("the modules unload", not said, said)


main()

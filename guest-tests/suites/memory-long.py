#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Many packets in both directions, contents checked, with memory events all the while.

With VD_FULL=1 in run-tests' environment until there are 10^7, which takes some minutes
under emulation; without, one short turn of each kind.
"""
# vm: disk=1G numa=2 timeout=600 append="numa=fake=2 secretmem.enable=1"

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import Ktap, Run, load, sh, unload, write  # noqa: E402

FULL = os.environ.get("VD_FULL") == "1"
WANTED = 10_000_000 if FULL else 100_000
SECONDS, TURNS = (8, 30) if FULL else (2, 1)
LIVE = "pageout,cold,fork,movepages,compact,split,neighbour,ksm,softdirty,age,unrelated"
QUIET = "readonly,noaccess,mremap,dontneed,munmap"
# In turn; together all events on all kinds of memory.
PARTS = (
    f"--mem 4k --events {LIVE},{QUIET}",
    f"--mem thp --offset 4088 --events {LIVE},collapse,readonly,noaccess",
    f"--mem memfd --no-event-idx --events {LIVE},{QUIET},punch",
    f"--mem hugetlb --events fork,split,neighbour,unrelated,softdirty,{QUIET}",
    f"--mem 4k --queues 2 --offset 1004 --no-mergeable --events {LIVE},{QUIET}",
)


def part(args):
    """One run; why it isn't right, and the run."""
    run = Run(f"--dir both --ring 1024 --seconds {SECONDS} --event-us 10000 --warmup 0 "
              f"--size 60:200 {args}", limit=SECONDS + 60)
    why = run.wrong()
    if not why and min(run.each("inval_hit")) < 1:
        why = "no window was ever taken away"
    if not why and any(u > d for u, d in zip(run.each("bursts_user"), run.each("bursts_direct"))):
        why = "most went by user access"
    if not why and (min(run.each("bursts_direct", "stats_tail")) < 1
                    or run.stat("bursts_user", "stats_tail") > 4 + run.packets // 1000):
        why = "the windows did not come back"
    return why and f"{why}\n{run.json.get('events')}\n{run.about()}", run


def turns(t):
    """All parts in turn until enough packets went through; returns how many did."""
    sums, wrong = {args: [0, 0, 0] for args in PARTS}, {}
    for _ in range(TURNS):
        for args in PARTS:
            why, run = part(args)
            wrong.setdefault(args, why)
            wrong[args] = wrong[args] or why
            done = sum(event["done"] for event in run.json.get("events", {}).values())
            sums[args] = [a + b for a, b in zip(sums[args],
                                                (run.packets, done, run.stat("inval_hit")))]
        total = sum(packets for packets, _, _ in sums.values())
        if total >= WANTED or any(wrong.values()):
            break
    for args, (packets, done, hits) in sums.items():
        t.diag(f"{packets} packets, {done} events, {hits} windows taken away")
        t.check(args.split(" --events")[0], not wrong[args], wrong[args])
    return total


def main():
    """The suite."""
    with Ktap() as t:
        load()
        sh("grep -q /dev/vda /proc/swaps || { mkswap /dev/vda && swapon /dev/vda; }")
        write("/proc/sys/vm/nr_hugepages", "16")
        total = turns(t)
        write("/proc/sys/vm/nr_hugepages", "0")
        t.check(f"{total} packets with contents checked, none lost or corrupted "
                f"({WANTED} wanted{'' if FULL else '; 10^7 with VD_FULL=1'})", total >= WANTED)
        said = unload()
        t.check("the modules unload", not said, said)


main()

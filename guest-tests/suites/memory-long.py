#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Many packets in both directions, contents checked, with memory events all the while.

10^7 packets with VD_FULL=1 in run-tests' environment, which takes some minutes under
emulation; 10^6 without.
"""
# vm: disk=1G numa=2 timeout=600 append="numa=fake=2 secretmem.enable=1"

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import Ktap, Run, load, sh, unload, write  # noqa: E402

FULL = os.environ.get("VD_FULL") == "1"
WANTED = 10_000_000 if FULL else 1_000_000
LIVE = "pageout,cold,fork,movepages,compact,split,neighbour,ksm,softdirty,age,unrelated"
QUIET = "readonly,noaccess,mremap,dontneed,munmap"
# Each a share of the packets; together all events on all kinds of memory.
PARTS = (
    f"--mem 4k --events {LIVE},{QUIET}",
    f"--mem thp --offset 4088 --events {LIVE},collapse,readonly,noaccess",
    f"--mem memfd --no-event-idx --events {LIVE},{QUIET},punch",
    f"--mem hugetlb --events fork,split,neighbour,unrelated,softdirty,{QUIET}",
    f"--mem 4k --queues 2 --offset 1004 --no-mergeable --events {LIVE},{QUIET}",
)


def part(args, packets):
    """One run; why it isn't right, and the packets that were checked."""
    run = Run(f"--dir both --ring 1024 --packets {packets // 2} --event-us 20000 "
              f"--warmup 0 --size 60:200 {args}", limit=300)
    why = run.wrong()
    if not why and min(run.each("inval_hit")) < 1:
        why = "no window was ever taken away"
    if not why and any(u > d for u, d in zip(run.each("bursts_user"), run.each("bursts_direct"))):
        why = "most went by user access"
    if not why and (min(run.each("bursts_direct", "stats_tail")) < 1
                    or run.stat("bursts_user", "stats_tail") > 4 + run.packets // 1000):
        why = "the windows did not come back"
    return why and f"{why}\n{run.json.get('events')}\n{run.about()}", run


def main():
    """The suite."""
    total = 0
    with Ktap() as t:
        load()
        sh("grep -q /dev/vda /proc/swaps || { mkswap /dev/vda && swapon /dev/vda; }")
        write("/proc/sys/vm/nr_hugepages", "16")
        for args in PARTS:
            why, run = part(args, WANTED // len(PARTS))
            total += run.packets
            done = sum(event["done"] for event in run.json.get("events", {}).values())
            t.check(f"{run.packets} packets, {done} events, {run.stat('inval_hit')} windows taken "
                    f"away: {args.split(' --events')[0]}", not why, why)
        write("/proc/sys/vm/nr_hugepages", "0")
        t.check(f"{total} packets with contents checked in all, none lost or corrupted; "
                f"{WANTED} wanted{'' if FULL else ' (10^7 with VD_FULL=1)'}", total >= WANTED)
        said = unload()
        t.check("the modules unload", not said, said)


main()

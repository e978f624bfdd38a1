#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""SIGKILL of the driver under load, again and again: the worker goes, the memory comes
back, the modules unload.

The drivers run in a memory cgroup: what it's charged for once they are dead is what they left (lib/charge.py).
"""
# vm: timeout=300

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
import charge  # noqa: E402
from owner import doing, gone, loaded, moved, wait, worker  # noqa: E402
from vdtest import ENDLESS, NODE, SLOW, VRING, Ktap, in_group  # noqa: E402
from vdtest import load, sh, traffic, unload, write  # noqa: E402

ROUNDS = 20
MOST_KB = 6144
GROUP = charge.Group("vd-kill")


def memory():
    """KiB free, and KiB that the kernel holds for itself, once caches are dropped."""
    # Compaction gives back what each CPU keeps for a rainy day.
    sh("sync; echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory")
    with open("/proc/meminfo", encoding="ascii") as file:
        kb = {line.split(":")[0]: int(line.split()[1]) for line in file}
    # What it keeps all the same, by the page: 15 MB and more on a sanitizer kernel.
    with open("/proc/zoneinfo", encoding="ascii") as file:
        kept = sum(int(line.split()[1]) for line in file if line.strip().startswith("count:"))
    return kb["MemFree"] + 4 * kept, sum(kb[key] for key in ("SUnreclaim", "KernelStack", "Percpu"))


def kill_one(args, number):
    """One driver, killed at some moment of its work. Returns why it's not right."""
    # Not a pipe: a child that the driver forked may hold its end for a while.
    with (tempfile.TemporaryFile("w+") as said,
          subprocess.Popen([VRING, "--dev", NODE, "--dir", "both", "--check", *ENDLESS, *args.split()],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                           preexec_fn=in_group(GROUP.path)) as driver):
        under_load = wait(lambda: loaded(driver.pid) or driver.poll() is not None)
        time.sleep(random.random() * 0.1)
        # Once it is dead there is nothing left to be said of it.
        about = "" if under_load else doing(driver.pid)
        status, served, had = driver.poll(), worker(driver.pid), moved(driver.pid)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        if not under_load or status is not None or not served:
            said.seek(0)
            return (f"round {number}: no traffic to kill: "
                    f"{'in time' if under_load else 'not in time'}, status {status}, "
                    f"{'a' if served else 'no'} worker, (packets, bursts by windows) {had}: {said.read()}\n{about}")
        why = gone(driver.pid)
        return why and f"round {number}: {why}"


def now():
    """What there is before kills, or after."""
    empty = wait(GROUP.empty)
    return *memory(), *GROUP.settled(), empty


def group(args, count, before):
    """COUNT kills. Why they're not right, and what is left of memory: (KiB less free, KiB more
    held by the kernel, bytes of pages and bytes of slab that the group is charged for)."""
    why = ""
    for number in range(count):
        why = why or kill_one(args, number)
    free, held, *left, empty = now()
    if not empty:
        why = why or f"processes are left in {GROUP.path}"
    return why, (before[0] - free, held - before[1], left[0] - before[2], left[1] - before[3])


def too_much(lost, count):
    """Whether that looks like a leak of so many kills: (of the machine's, of the group's)."""
    return (lost[0] > MOST_KB or lost[1] > MOST_KB // 4,
            charge.much(*lost[2:], count))


def rounds(t, name, args, count=ROUNDS):
    """A named test of COUNT kills, after which memory is what it was before.

    Rings and buffers are 2 MB and more a driver, what the back end has is some 100 KB; the
    kernel's own use goes up and down by several MB. So what looks like a leak has to show
    again, twice, in as many kills.
    """
    first = kill_one(args, 0)
    why, lost = group(args, count - 1, now())
    t.check(f"{name}: killed {count} times, the worker goes each time", not (first or why),
            first or why)
    seen = [lost]
    while len(seen) < 3 and any(too_much(seen[-1], count - 1)):
        seen.append(group(args, count - 1, now())[1])
    about = ("(KiB less free, KiB more held by the kernel, bytes of pages and of slab charged) "
             f"after {count - 1} kills each: {seen}")
    machine, left = too_much(seen[-1], count - 1)
    t.diag(f"{name}: {about}")
    t.check(f"{name}: the memory is free again", not machine, about)
    t.check(f"{name}: nothing is left that the drivers' control group is charged for", not left,
            about)


@contextlib.contextmanager
def rest():
    """khugepaged sleeps: it copies what drivers leave and touch at that moment, and was seen at one
    page of 2 MB for a minute on emulated processors, with the driver behind it. Its work is
    that of other suites, by MADV_COLLAPSE.
    """
    path = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"
    with open(path, encoding="ascii") as file:
        was = file.read()
    write(path, "3600000")
    try:
        yield
    finally:
        write(path, was)


def main():
    """The suite."""
    random.seed(1)
    with Ktap() as t, rest(), GROUP.there():
        load()
        rounds(t, "stream", "")
        rounds(t, "two queues, memory events", "--queues 2 --events fork,split,unrelated,mremap", 6)
        traffic(t, "the next driver finds all in order", "--dir both --seconds 0.3")
        said = unload()
        t.check("the modules unload", not said, said)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Devices opened, set up and closed, again and again: nothing is left, of memory, files,
subscriptions, threads or address spaces. With VD_FULL=1 in run-tests' environment 10^5 times.

What is left once a process doesn't show where few processes do it all: so there are thousands of
short ones besides, of which a small part that is left fails."""
# vm: timeout=300 full-timeout=7200

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
import charge  # noqa: E402
from inject import Calls  # noqa: E402
from owner import wait  # noqa: E402
from vdtest import NODE, SLOW, Ktap, in_group, load, unload, write  # noqa: E402

FULL = os.environ.get("VD_FULL", "0") != "0"
CYCLES = 100_000 if FULL else 400
# What it does beside them: some before, so that caches are there, and 200 one by one.
LEAST = CYCLES + 400
CHILDREN = (20_000 if FULL else 2_000) // (4 if SLOW > 1 else 1)
# Of them, and of what else runs here. Half of CHILDREN would be one of two that stays.
CPUS_KEEP = 64
WHAT = {"mm_struct": "address space", "task_struct": "thread"}


def there():
    """Address spaces and threads that there are."""
    for name in WHAT:
        # What a processor keeps, or KASAN, counts as there.
        shrink = f"/sys/kernel/slab/{name}/shrink"
        if os.path.exists(shrink):
            write(shrink, "1")
    with open("/proc/slabinfo", encoding="ascii") as file:
        words = [line.split() for line in file]
    return {name: sum(int(word[1]) for word in words if word[0] == name) for name in WHAT}


def device(case, group=None, **env):
    """A part of the program; its CompletedProcess."""
    return subprocess.run(["/vd/build/guest-tests/device", case, NODE], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                          stderr=subprocess.STDOUT, env={**os.environ, **env},
                          preexec_fn=in_group(group))


def charged(t, group):
    """As many cycles again, in a memory cgroup: what it is charged for then is what they left."""
    # What is made once, first.
    device("cycles", group.path, VD_CYCLES="16")
    wait(group.empty)
    before = group.settled()
    done = device("cycles", group.path, VD_CYCLES=str(CYCLES))
    wait(group.empty)
    left = [now - then for now, then in zip(group.settled(), before)]
    about = f"bytes of pages and of slab more: {left}\n{done.stdout}"
    t.diag(about)
    t.check("nothing is left that their control group is charged for",
            done.returncode == 0 and not charge.much(*left, CYCLES), about)


def main():
    """The suite."""
    with Ktap() as t, charge.Group("vd-cycles").there() as group:
        load()
        before, began = there(), time.monotonic()
        functions = {"alloc": "vhost_direct:vd_mn_alloc", "free": "vhost_direct:vd_mn_free",
                     "owner": "vhost_direct:vd_dev_set_owner", "end": "vhost_direct:vd_dev_cleanup",
                     "map": "vhost_direct:vd_winset_map"}
        with Calls(functions) as calls:
            done = device("cycles", VD_CYCLES=str(CYCLES))
            took = [time.monotonic() - began]
            owned, maps = calls.read()["owner"], calls.read()["map"]
            many = device("children", VD_CHILDREN=str(CHILDREN))
            took.append(time.monotonic() - began - took[0])
            wait(lambda: calls.read()["free"] >= calls.read()["alloc"])
        said = {name: calls[name] for name in functions}
        t.diag(f"{took[0]:.0f} s and {took[1]:.0f} s; {said}; {done.stdout}{many.stdout}")
        t.check(f"{CYCLES} devices opened, set up and closed{'' if FULL else ' (10^5 with VD_FULL=1)'}",
                done.returncode == 0 and owned >= LEAST, f"{owned} {said}\n{done.stdout}")
        t.check(f"{CHILDREN} processes owned a device and ended",
                many.returncode == 0 and said["owner"] - owned >= CHILDREN,
                f"{owned} {said}\n{many.stdout}")
        # Half of the devices are closed only once a frame was served; of the others some are in time.
        t.check(f"of the devices' rings {maps} were looked for, to be mapped", maps >= CYCLES // 2, said)
        charged(t, group)
        t.check("each subscription was freed, each device cleaned up",
                said["alloc"] == said["free"] > 0 and said["end"] >= said["owner"], said)
        for name, what in WHAT.items():
            wait(lambda name=name: there()[name] - before[name] <= CPUS_KEEP)
            left = there()[name] - before[name]
            t.diag(f"{name}: {before[name]} before, {left} more after {CHILDREN + 17} processes")
            t.check(f"no {what} is left", before[name] > 0 and left <= CPUS_KEEP,
                    f"{before}, {left} more")
        left = os.listdir("/sys/kernel/debug/vhost_direct")
        t.check("no device is left", not left, left)
        said = unload()
        t.check("the modules unload", not said, said)


main()

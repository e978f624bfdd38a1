#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Devices opened, set up and closed, again and again: nothing is left, of memory, files,
subscriptions or address spaces. With VD_FULL=1 in run-tests' environment 10^5 times."""
# vm: timeout=2400

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from inject import Calls  # noqa: E402
from vdtest import NODE, Ktap, load, unload  # noqa: E402

FULL = os.environ.get("VD_FULL") == "1"
CYCLES = 100_000 if FULL else 400
# What it does beside them: some before, so that caches are there, and 200 one by one.
LEAST = CYCLES + 400
CPUS_KEEP = 64


def spaces():
    """Address spaces that there are."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        for line in file:
            words = line.split()
            if words[0] == "mm_struct":
                return int(words[1])
    return 0


def main():
    """The suite."""
    with Ktap() as t:
        load()
        before, began = spaces(), time.monotonic()
        functions = {"alloc": "vhost_direct:vd_mn_alloc", "free": "vhost_direct:vd_mn_free",
                     "owner": "vhost_direct:vd_dev_set_owner", "end": "vhost_direct:vd_dev_cleanup"}
        with Calls(functions) as calls:
            done = subprocess.run(["/vd/build/guest-tests/device", "cycles", NODE], text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                                  stderr=subprocess.STDOUT,
                                  env={**os.environ, "VD_CYCLES": str(CYCLES)})
            took = time.monotonic() - began
            end = time.monotonic() + 10
            while calls.read()["free"] < calls.read()["alloc"] and time.monotonic() < end:
                time.sleep(0.1)
        said = {name: calls[name] for name in functions}
        t.diag(f"{took:.0f} s; {said}; {done.stdout}")
        t.check(f"{CYCLES} devices opened, set up and closed{'' if FULL else ' (10^5 with VD_FULL=1)'}",
                done.returncode == 0 and said["owner"] >= LEAST, f"{said}\n{done.stdout}")
        t.check("each subscription was freed, each device cleaned up",
                said["alloc"] == said["free"] > 0 and said["end"] >= said["owner"], said)
        # Objects that are free count as there while a CPU keeps them.
        t.check("no address space is left", spaces() - before <= CPUS_KEEP, (before, spaces()))
        left = os.listdir("/sys/kernel/debug/vhost_direct")
        t.check("no device is left", not left, left)
        said = unload()
        t.check("the modules unload", not said, said)


main()

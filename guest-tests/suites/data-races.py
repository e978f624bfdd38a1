#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Words that several processors use: on a kernel with KCSAN all who use them meet, often and
for long enough that its samples see an access that isn't marked. The verdict is the kernel
log's. On other kernels there is nothing to see: suite races has the same traffic and more.
"""
# vm: timeout=120

import glob
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import SLOW, Ktap, Run, load, unload  # noqa: E402

KCSAN = "/sys/module/kcsan/parameters"
STATS = "/sys/kernel/debug/vhost_direct"
SECONDS = 3
TRAFFIC = "--dir both --warmup 0 --size 60:600 --event-us 500"


class Reader:
    """Reads all statistics, again and again."""

    def __init__(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._over.is_set():
            for path in glob.glob(f"{STATS}/*/*"):
                try:
                    with open(path, "rb", buffering=0) as file:
                        for _ in range(50):
                            file.seek(0)
                            file.read()
                except OSError:
                    pass

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def watched(t, name, events):
    """Traffic with events and a reader of statistics."""
    with Reader():
        run = Run(f"{TRAFFIC} --seconds {SECONDS * SLOW} --events {events}")
    why = run.wrong()
    t.check(f"{name}: nothing lost or corrupted", not why, why)
    # Else nobody met anybody.
    least = min(run.each("inval_hit"))
    t.check(f"{name}: windows of both rings went, and came back", least >= 3, f"{least}\n{run.about()}")


def main():
    """The suite."""
    with Ktap() as t:
        if not os.path.exists(KCSAN):
            t.skip("all", "no KCSAN in this kernel (run-tests --sanitizer kcsan)")
            return
        load()
        watched(t, "protection", "split,unrelated")
        watched(t, "protection and aging", "split,age")
        said = unload()
        t.check("the modules unload", not said, said)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Words that several processors use: on a kernel with KCSAN all who use them meet, and none of
them may be used without a mark or a lock. KCSAN watches a sample of the plain accesses of our
modules, each for a while in which nobody else may touch the same word.

On other kernels there is nothing to see: suite races has the same traffic and more. That the
suite sees races is shown by `guest-tests/mutate-modules --only 'race-*'`.
"""
# vm: timeout=300

import contextlib
import glob
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from cell import Log  # noqa: E402
from vdtest import NODE, SLOW, Ktap, Run, ended, load, unload, write  # noqa: E402

KCSAN = "/sys/module/kcsan/parameters"
REPORT = "/sys/kernel/debug/kcsan"
STATS = "/sys/kernel/debug/vhost_direct"
PROGS = "/vd/build/guest-tests"
# One access in so many is watched, for so many microseconds at most: longer than a vCPU that
# shares its processor with others is usually away, else the two never meet. A prime, as the kernel
# doesn't vary it: a reader of all statistics has 32 accesses a round, and of every 200th of them
# only four were ever watched.
SKIP, USECS = 199, 2000
# Of those of a program that polls all the time, or it does little but wait: 100,000 were 200 s.
SKIP_POLLING = 1999
SECONDS = 2
TRAFFIC = f"--dir both --warmup 0 --size 60:600 --event-us 500 --timeout {60 * SLOW}"
# Accesses that must have been watched, or the test has shown nothing.
LEAST = 100


class Reader:
    """Reads all statistics, again and again.

    By pread() alone: what read() of a file object asks before, where it is and how long, has KCSAN
    take what comes next for a part of a seqlock's section, a thousand accesses, and watch none.
    """

    def __init__(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._over.is_set():
            for path in glob.glob(f"{STATS}/*/*"):
                try:
                    file = os.open(path, os.O_RDONLY)
                except OSError:
                    continue
                with contextlib.suppress(OSError):
                    for _ in range(50):
                        os.pread(file, 1 << 13, 0)
                os.close(file)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


class Watch:
    """KCSAN watches often and long while the context lasts."""

    def __init__(self, skip=SKIP):
        self._wanted = {"skip_watch": skip, "udelay_task": USECS}
        self._before, self._from = {}, 0
        self.watched = 0

    @staticmethod
    def _count():
        with open(REPORT, encoding="ascii") as file:
            counts = dict(line.split(":", 1) for line in file if ":" in line)
        return int(counts["setup_watchpoints"])

    def __enter__(self):
        for name, value in self._wanted.items():
            with open(f"{KCSAN}/{name}", encoding="ascii") as file:
                self._before[name] = file.read()
            write(f"{KCSAN}/{name}", str(value))
        self._from = self._count()
        return self

    def __exit__(self, *_):
        for name, value in self._before.items():
            write(f"{KCSAN}/{name}", value)
        self.watched = self._count() - self._from


def verdict(t, name, watch, log):
    """The tests of each part: KCSAN looked, and saw nothing."""
    t.diag(f"{name}: {watch.watched} accesses watched")
    t.check(f"{name}: accesses of ours were watched", watch.watched >= LEAST, f"{watch.watched}")
    races = log.trouble()
    t.check(f"{name}: no data race", not races, races)


def traffic(t, log, name, events, more=""):
    """Traffic with events and a reader of statistics."""
    with Watch() as watch, Reader():
        run = Run(f"{TRAFFIC} --seconds {SECONDS * SLOW} --events {events} {more}")
    why = run.wrong()
    t.check(f"{name}: nothing lost or corrupted", not why, why)
    # Else nobody met anybody.
    least = min(run.each("inval_hit"))
    t.check(f"{name}: windows of both rings went, and came back", least >= 3, f"{least}\n{run.about()}")
    verdict(t, name, watch, log)


def program(t, log, name, words, skip=SKIP):
    """A program of other suites, with a reader of statistics."""
    with Watch(skip) as watch, Reader():
        done = ended([f"{PROGS}/{words[0]}", *words[1:]], 60 * SLOW)
    t.check(f"{name}: no harm", not done.returncode, done.stdout)
    verdict(t, name, watch, log)


def main():
    """The suite."""
    with Ktap() as t:
        if not os.path.exists(KCSAN):
            t.skip("all", "no KCSAN in this kernel (run-tests --sanitizer kcsan)")
            return
        load()
        log = Log()
        traffic(t, log, "protection", "split,unrelated")
        traffic(t, log, "protection and aging", "split,age", "--queues 2")
        program(t, log, "rings that move", ["life", "moves", NODE])
        program(t, log, "invalidations that overlap", ["life", "overlaps", NODE])
        program(t, log, "workers that come and go", ["workers", NODE])
        program(t, log, "polling that is set meanwhile", ["busy", NODE], SKIP_POLLING)
        said = unload()
        t.check("the modules unload", not said, said)


main()

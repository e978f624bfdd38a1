# SPDX-License-Identifier: GPL-2.0-only
"""How much of a VM's processor time this machine gave to others.

Limits and watchdogs inside a VM go by its clock, which runs on while its processors wait for
one of this machine's. So that a failure on a crowded machine can be told from one of the
modules, the wait is measured: the run queue's share (schedstat of each of QEMU's threads)
and what a hypervisor above took from this machine (steal time). A machine that stood still
with all that it counts by shows in the clock alone: calls of look() are late then.
"""

import collections
import glob
import os
import time

from .paths import read_text

# Seconds that a share is taken over, and between two looks.
WINDOW, STEP = 10.0, 1.0
# So much after the last call of look(), which run.py makes each 0.2 s, and the machine stood still in
# between: there are limits in the VM that a second exceeds.
PAUSE = 0.8
# More than this in one window, and the VM was held up. Two processors that do nothing but
# emulate two busy ones show 8 %, with one more busy process beside them 51 % (`vm run --verbose`).
LIMIT = 0.20

_Sample = collections.namedtuple("_Sample", "when ran waited")


def _threads(pid):
    """Of each of a process's threads: nanoseconds that it ran, and waited to run."""
    found = {}
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        words = read_text(path, "").split()
        if len(words) == 3:
            found[path] = int(words[0]), int(words[1])
    return found


def _stolen():
    """Nanoseconds that this machine's processors were taken from it, all together."""
    words = read_text("/proc/stat", "").split("\n", 1)[0].split()
    ticks = int(words[8]) if len(words) > 8 else 0
    return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def _share(first, last):
    ran, waited = last.ran - first.ran, last.waited - first.waited
    return waited / (ran + waited) if ran + waited > 0 else 0.0


class Held:
    """The measurement of one VM: look() at it about once a second while it runs."""

    def __init__(self, pid=None):
        self._pid, self._samples = pid, []
        # Threads end, and their figures with them: what they had by then is added up.
        self._threads, self._ran, self._waited = {}, 0, 0
        # When the machine stood still: (from, to). Then all of it, as if waited for.
        self._called, self._pauses, self._stood = None, [], 0.0

    def look(self):
        """Take a sample, if it is time for one."""
        now = time.monotonic()
        if self._called is not None and now - self._called > PAUSE:
            self._pauses.append((self._called, now))
            self._stood += (now - self._called) * os.cpu_count() * 1e9
        self._called = now
        since = now - self._samples[-1].when if self._samples else STEP
        if not self._pid or since < STEP:
            return
        threads = _threads(self._pid)
        for path, (ran, waited) in threads.items():
            before = self._threads.get(path, (0, 0))
            self._ran += ran - before[0]
            self._waited += waited - before[1]
        self._threads = threads
        self.add(now, self._ran, self._waited + _stolen() + self._stood)

    def add(self, when, ran, waited):
        """A sample: sums of nanoseconds at the time WHEN (monotonic, in seconds)."""
        self._samples.append(_Sample(when, ran, waited))

    def stood(self, begin=float("-inf"), end=float("inf")):
        """The longest time that the machine stood still of what touches BEGIN to END, in seconds."""
        return max((to - since for since, to in self._pauses if to >= begin and since <= end), default=0.0)

    def share(self):
        """The part of all the time that the VM wanted and didn't get, 0 to 1."""
        return _share(self._samples[0], self._samples[-1]) if self._samples else 0.0

    def worst(self, begin=float("-inf"), end=float("inf")):
        """The largest such part in any WINDOW between BEGIN and END, of those in which it adds up to
        LIMIT of a processor: a VM that stands still wants so little that any wait is much of it."""
        inside = [sample for sample in self._samples if begin <= sample.when <= end]
        found, first = 0.0, 0
        for last, sample in enumerate(inside):
            while sample.when - inside[first].when > WINDOW:
                first += 1
            span = sample.when - inside[first].when
            enough = sample.waited - inside[first].waited > LIMIT * span * 1e9
            if span > WINDOW / 2 and enough:
                found = max(found, _share(inside[first], inside[last]))
        return found

# SPDX-License-Identifier: GPL-2.0-only
"""Faults and delays made by the module vd_inject, and calls counted by kprobes.

    with Inject("get_user_pages_fast", at_return=1, usecs=2000, comm="vhost-") as slow:
        ...
    slow.done      # injections
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from vdtest import MODULES, sh, write  # noqa: E402

KMOD = f"{MODULES}/guest-tests/kmod"
MODULE = f"{KMOD}/vd_inject.ko"
_TRACING = "/sys/kernel/tracing"


def missing():
    """Why there are no injections here, or an empty string."""
    if not os.path.exists(MODULE):
        return "guest-tests/kmod isn't built (make modules VD_TESTS=y)"
    return ""


class Inject:
    """Makes one function slow or failing while the context lasts."""

    def __init__(self, func, **params):
        self._words = [f"func={func}"] + [f"{key}={value}" for key, value in params.items()]
        self.hits = self.done = self.met = 0

    def __enter__(self):
        said = sh(["insmod", MODULE, *self._words])
        if said.returncode:
            raise RuntimeError(f"vd_inject {self._words}: {said.stdout}")
        return self

    def read(self):
        """Bring hits, done and met up to date."""
        for name in ("hits", "done", "met"):
            with open(f"/sys/module/vd_inject/parameters/{name}", encoding="ascii") as file:
                setattr(self, name, int(file.read()))
        return self

    def __exit__(self, *_):
        self.read()
        said = sh("rmmod vd_inject")
        if said.returncode:
            raise RuntimeError(f"rmmod vd_inject: {said.stdout}")

    def __str__(self):
        return f"{' '.join(self._words)}: {self.hits} calls, {self.done} injections, {self.met} met"


class _Loaded:
    """A module that is there as long as a with statement."""

    name, params = "", {}

    def __enter__(self):
        words = [f"{key}={value}" for key, value in self.params.items()]
        said = sh(["insmod", f"{KMOD}/{self.name}.ko", *words])
        if said.returncode:
            raise RuntimeError(f"{self.name}: {said.stdout}")
        return self

    def __exit__(self, *_):
        said = sh(["rmmod", self.name])
        if said.returncode:
            raise RuntimeError(f"rmmod {self.name}: {said.stdout}")


class _Counting(_Loaded):
    """One whose counts are known at the end."""

    counts = ()

    def __init__(self, **params):
        self.params = params

    def __exit__(self, *_):
        for name in self.counts:
            with open(f"/sys/module/{self.name}/parameters/{name}", encoding="ascii") as file:
                setattr(self, name, int(file.read()))
        super().__exit__()

    def __str__(self):
        return f"{self.name}: {', '.join(f'{getattr(self, name)} {name}' for name in self.counts)}"


class Waits(_Counting):
    """How long callbacks wait for the window lock, in bursts: by the module vd_wait."""

    name, counts = "vd_wait", ("waits", "waited", "most", "took", "meanwhile")
    waits = waited = most = took = meanwhile = 0

    def __str__(self):
        return (f"{self.waits} waited, {self.waited} for a burst that ended, at most {self.most} bursts; "
                f"of a set {self.meanwhile} at most while one of {self.took} took windows")


class Late(_Counting):
    """Workers come late to the window lock, by the module vd_late."""

    name, counts = "vd_late", ("taken", "changed", "marked", "unlocked")
    taken = changed = marked = unlocked = 0


class Readers(_Counting):
    """Whether what callbacks read by RCU is read and freed so, by the module vd_reader."""

    name, counts = "vd_reader", ("walks", "outside", "replaced", "gone")
    walks = outside = replaced = gone = 0


class Told(_Loaded):
    """What the kernel tells our mmu notifier, counted by the module vd_told; vring reports it."""

    name = "vd_told"

    @staticmethod
    def forget():
        """From now on."""
        write("/sys/module/vd_told/parameters/told", "0")

    @staticmethod
    def read():
        """What it told until now: {kind: callbacks over the rings}; "sets" for each ring."""
        with open("/sys/module/vd_told/parameters/told", encoding="ascii") as file:
            return {kind: int(over) for kind, over, _ in map(str.split, file)}

    @staticmethod
    def returned():
        """As read()["sets"], but of callbacks that have returned: those were counted."""
        with open("/sys/module/vd_told/parameters/told", encoding="ascii") as file:
            return int(file.readline().split()[2])

    @staticmethod
    def inside():
        """How many callbacks have not returned."""
        with open("/sys/module/vd_told/parameters/inside", encoding="ascii") as file:
            return int(file.read())


class Ask(_Loaded):
    """mem-cases can ask, as page_idle and DAMON do, whether pages were used: by the module vd_ask."""

    name = "vd_ask"


class Hold:
    """No mmu notifier that is put is freed for so many milliseconds: by the module vd_hold."""

    def __init__(self, msecs):
        self._msecs = msecs

    def __enter__(self):
        # It sleeps while it ends.
        self._insmod = subprocess.Popen(["insmod", f"{KMOD}/vd_hold.ko", f"msecs={self._msecs}"],
                                        stdin=subprocess.DEVNULL)
        while self._insmod.poll() is None and not self.holding():
            time.sleep(0.01)
        return self

    @staticmethod
    def holding():
        """Whether it is so now."""
        try:
            with open("/sys/module/vd_hold/parameters/holding", encoding="ascii") as file:
                return file.read().strip() == "Y"
        except OSError:
            return False

    def __exit__(self, *_):
        if self._insmod.wait():
            raise RuntimeError("insmod vd_hold failed")
        said = sh("rmmod vd_hold")
        if said.returncode:
            raise RuntimeError(f"rmmod vd_hold: {said.stdout}")


def _append(line):
    # Python's append mode seeks, which this file refuses.
    fd = os.open(f"{_TRACING}/kprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


class Calls:
    """Counts calls of functions; FUNCS: {name: "module:symbol"}."""

    def __init__(self, funcs):
        self._funcs, self._counts = funcs, {}

    def __enter__(self):
        for name, func in self._funcs.items():
            _append(f"p:vdcount/{name} {func}")
        write(f"{_TRACING}/events/vdcount/enable", "1")
        return self

    def read(self):
        """{name: calls so far}"""
        with open(f"{_TRACING}/kprobe_profile", encoding="ascii") as file:
            lines = [line.split() for line in file]
        return {words[0]: int(words[1]) for words in lines if words[0] in self._funcs}

    def __exit__(self, *_):
        self._counts = self.read()
        write(f"{_TRACING}/events/vdcount/enable", "0")
        for name in self._funcs:
            _append(f"-:vdcount/{name}")

    def __getitem__(self, name):
        return self._counts[name]


class Maps:
    """Counts what became of attempts to map, by the tracepoint vd_map."""

    _EVENT = f"{_TRACING}/events/vhost_direct/vd_map"

    def __enter__(self):
        write(f"{_TRACING}/trace", "")
        write(f"{self._EVENT}/enable", "1")
        self.results = {}
        return self

    def __exit__(self, *_):
        write(f"{self._EVENT}/enable", "0")
        with open(f"{_TRACING}/trace", encoding="ascii", errors="replace") as file:
            for line in file:
                _, found, result = line.rpartition("result=")
                if found:
                    result = result.strip()
                    self.results[result] = self.results.get(result, 0) + 1
        write(f"{_TRACING}/trace", "")

    def __getitem__(self, result):
        return self.results.get(result, 0)

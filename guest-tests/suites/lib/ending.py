# SPDX-License-Identifier: GPL-2.0-only
"""The owner of a device ends under load, or becomes another program."""

import json
import os
import re
import signal
import subprocess
import tempfile

import verdict
from inject import Told
from owner import counted, gone, loaded, moved, wait
from vdtest import CASES, ENDLESS, NODE, SLOW, VRING, in_group, sh, write

KILL, OOM, EXEC = "@kill", "@oom", "@exec"
# What the kernel may tell of the rings of one who ends; nothing of what isn't here. The OOM
# reaper comes if somebody takes two seconds to die; a disk's copy is written back at any
# time, and is all that a group without swap has to give.
_MAY = {(OOM, False): {"unmap"}, (OOM, True): {"unmap", "clean", "clear", "young"},
        (KILL, True): {"clean"}, (EXEC, True): {"clean"}}
_LOST = ("lost", "corrupt", "dup", "reordered", "bad_used")


class End:
    """How one ended: why that's not right, what it had received and lost, what was counted."""

    def __init__(self, how, mem, user):
        self.how, self.mem, self.user = how, mem, user
        self.why = ""
        self.packets = self.lost = self.hits = self.misses = 0
        self.told = {}

    def _quiet(self, before, after, counted_before):
        """Why the kernel told of what it should not, or the modules counted something else."""
        self.told = {"told_before": before, "told_after": after}
        more = {kind: n - before[kind] for kind, n in after.items() if n != before[kind]}
        wrong = set(more) - _MAY.get((self.how, self.user), set()) - {"sets"}
        if wrong or ("sets" in more and len(more) == 1):
            return f"as its owner ended the kernel told of the rings: {more}"
        if not counted_before[0] <= self.hits + self.misses <= counted_before[1]:
            return (f"certain: the kernel told of {counted_before} invalidations of rings, "
                    f"{self.hits} hits and {self.misses} misses were counted")
        return ""

    def _account(self, text):
        """What the driver said last; why there is something wrong with it."""
        lines = [line for line in text.split("\n")[:-1] if line]
        if not lines:
            return "the driver gave no account"
        last = json.loads(lines[-1])
        self.packets = sum(last[way]["total_received"] for way in ("tx", "rx"))
        self.lost = sum(last[way][what] for way in ("tx", "rx") for what in _LOST)
        changed = self.lost - sum(last[way]["lost"] for way in ("tx", "rx"))
        if self.lost or min(last[way]["seen"] for way in ("tx", "rx")) < 1:
            return f"{'certain: ' if changed else ''}before its end not all was right: {lines[-1]}"
        return verdict.huge(self.mem, last)

    def exec(self):
        """Its memory changes hands, some times over."""
        kind, _, path = self.mem.partition(" --mem-path ")
        env = {**os.environ, "MEM_KIND": kind, "MEM_PATH": path}
        Told.forget()
        none = Told.read()
        try:
            done = sh([CASES, "exec"], env=env, timeout=120 * SLOW)
        except subprocess.TimeoutExpired as error:
            self.why = f"mem-cases exec: {error}"
            return
        said = [tuple(map(int, numbers)) for numbers in re.findall(
            r"packets=(\d+) inval_hit=(\d+) inval_missed=(\d+) mem_kb=(\d+) huge_kb=(\d+)",
            done.stdout)]
        self.packets, self.hits, self.misses = (sum(owner[i] for owner in said) for i in range(3))
        after = Told.read()
        # Nothing may take a window of theirs but what the memory's disk does.
        self.why = "" if done.returncode == 0 else f"mem-cases exec: {done.returncode}: {done.stdout}"
        if not self.why and not self.packets:
            self.why = f"no packet arrived: {done.stdout}"
        for *_, mem_kb, huge_kb in said:
            self.why = self.why or verdict.huge(kind, {"mem_kb": mem_kb, "huge_kb": huge_kb})
        self.why = self.why or self._quiet(none, after, (0, after["sets"]))

    def _under_load(self, driver, said):
        """Why the driver doesn't get there; else its counters, and what the kernel told around them."""
        def ready():
            return driver.poll() is not None or (loaded(driver.pid, self.user) and "\n" in _all(said))
        if not wait(ready, 30) or driver.poll() is not None:
            driver.kill()
            return f"no traffic to end: {moved(driver.pid)} {driver.stderr.read()}", None, None
        low = Told.returned()
        self.hits = sum(counted(driver.pid, "inval_hit").values())
        self.misses = sum(counted(driver.pid, "inval_missed").values())
        high = Told.read()
        direct = sum(moved(driver.pid)[1].values())
        why = f"{direct} bursts by windows, which this memory has not" if self.user and direct else ""
        return why, (low, high["sets"]), high

    def driver(self, group):
        """A driver with traffic in both directions."""
        words = [VRING, "--dev", NODE, "--dir", "both", "--check", *ENDLESS, "--account-ms", "50",
                 "--mem", *self.mem.split()]
        Told.forget()
        with (tempfile.TemporaryFile("w+") as said,
              subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.PIPE,
                               text=True, preexec_fn=in_group(group)) as driver):
            self.why, around, before = self._under_load(driver, said)
            if before:
                self.why = self.why or _end(self.how, driver, group) or gone(driver.pid)
                self.why = self.why or self._quiet(before, Told.read(), around)
            if not self.why:
                self.why = self._account(_all(said))


def _all(said):
    """What is in a file that another writes to: where it is in there is both's, so that stays."""
    return os.pread(said.fileno(), os.fstat(said.fileno()).st_size, 0).decode()


def _kills(group):
    with open(f"{group}/memory.events", encoding="ascii") as file:
        return dict(line.split() for line in file)["oom_kill"]


def _end(how, driver, group):
    """End it; why that didn't work, or an empty string."""
    if how == KILL:
        driver.send_signal(signal.SIGKILL)
    else:
        before = _kills(group)
        # Nothing may be swapped out instead; and the limit is below what it has.
        write(f"{group}/memory.swap.max", "0")
        write(f"{group}/memory.max", "64K")
        if not wait(lambda: driver.poll() is not None, 30):
            return "the OOM killer did not come"
        if _kills(group) == before:
            return "it died, but not of the OOM killer"
    driver.wait()
    return "" if driver.returncode == -signal.SIGKILL else f"status {driver.returncode}"


def end(how, mem, user, group):
    """End the owner of a device with this memory. Returns an End."""
    it = End(how, mem, user)
    try:
        if how == EXEC:
            it.exec()
        else:
            it.driver(group)
    finally:
        write(f"{group}/memory.max", "max")
        write(f"{group}/memory.swap.max", "max")
    return it

# SPDX-License-Identifier: GPL-2.0-only
"""One cell of the memory-event matrix: its traffic, its verdict, its results."""

import contextlib
import glob
import os
import sys
import time

import ending
import verdict
from inject import Told
from vdtest import Run, SLOW, sh, write

sys.path.insert(0, "/vd/guest-tests/lab")
# pylint: disable=wrong-import-position
from vdlab import scan  # noqa: E402

EXT4 = "/tmp/ext4"
GROUP = "/sys/fs/cgroup/matrix"
_BALANCING = "/sys/kernel/debug/sched/numa_balancing"
MEM = {"4k": "4k", "thp": "thp", "2m": "hugetlb", "1g": "hugetlb1g", "memfd": "memfd",
       "ext4": f"file --mem-path {EXT4}/ring"}
_KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged"
# What "many at once" does: all that a kind of memory knows and no other disturbs.
_LIVE = "neighbour,unrelated,clearsoft,age,hugeother,compact"
_QUIET = "readonly,noaccess,mremap,dontneed,munmap"
_MIXED = {"4k": "pageout,cold,movepages,split,ksm,", "thp": "pageout,cold,movepages,split,",
          "memfd": "pageout,cold,movepages,split,punch,truncate,", "2m": "movepages,", "1g": "",
          "ext4": "pageout,movepages,split,punch,truncate,writeback,verify,resize,"}
# These lose pages for good: once, and last, for the others may need them.
_SPENDS = ("softoffline", "hwpoison")


def set_up(t):
    """Swap, the file system, huge pages, and nothing that moves memory unasked."""
    for name, command in (
            ("a swap device", "grep -q ^/dev/vda /proc/swaps || { mkswap /dev/vda && swapon /dev/vda; }"),
            ("ext4 on a disk", f"mkdir -p {EXT4}; grep -q {EXT4} /proc/mounts || "
                               f"{{ mkfs.ext4 -q /dev/vdb && mount /dev/vdb {EXT4}; }}"),
            ("a control group", f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control && mkdir -p {GROUP}")):
        done = sh(command)
        t.check(f"there is {name}", not done.returncode, done.stdout)
    for path, text in (("/proc/sys/kernel/numa_balancing", "0"),
                       (f"{_BALANCING}/scan_delay_ms", "10"),
                       (f"{_BALANCING}/scan_period_min_ms", "10"),
                       (f"{_BALANCING}/scan_period_max_ms", "100"),
                       # Only memory that asks for it: the column of memfd stays small otherwise.
                       ("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise")):
        write(path, text)


@contextlib.contextmanager
def khugepaged_at_hand():
    """It sleeps, but for the event that wakes it, and takes all of a memory at once then."""
    was = {}
    for name, value in (("scan_sleep_millisecs", "3600000"), ("alloc_sleep_millisecs", "10"),
                        ("pages_to_scan", "65536")):
        with open(f"{_KHUGEPAGED}/{name}", encoding="ascii") as file:
            was[name] = file.read()
        write(f"{_KHUGEPAGED}/{name}", value)
    try:
        yield
    finally:
        for name, value in was.items():
            write(f"{_KHUGEPAGED}/{name}", value)


def _find(name):
    """The folder of a kernel thread. pgrep would wait for memory that khugepaged has locked."""
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                if file.read().strip() == name:
                    return os.path.dirname(path)
        except OSError:
            pass
    raise RuntimeError(f"there is no {name}")


def _khugepaged():
    """Looks at it, as verdict.stuck() judges them."""
    folder, looks = _find("khugepaged"), []
    for _ in range(10):
        with open(f"{folder}/stat", encoding="ascii") as file:
            state = file.read().rpartition(")")[2].split()[0]
        with open(f"{folder}/stack", encoding="ascii") as file:
            looks.append((state, " ".join(file.read().split()), Told.inside()))
        time.sleep(0.1)
    return looks


def _no_thp():
    """Why no huge pages are to be had here, or an empty string."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled", encoding="ascii") as file:
            said = file.read().strip()
    except OSError as error:
        said = f"[never]: {error}"
    return f"this machine has no transparent huge pages: {said}" if "[never]" in said else ""


class Log:
    """The kernel log, from now on."""

    def __init__(self):
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)

    def trouble(self):
        """What the scan finds in the lines since the last call, or an empty string."""
        lines = []
        while True:
            try:
                lines.append(os.read(self._fd, 8192).decode(errors="replace").split(";", 1)[-1])
            except BlockingIOError:
                break
            except OSError:     # lines were overwritten before they could be read
                continue
        found = scan.scan("".join(lines))
        return "\n".join(f"kernel log: {finding}" for finding in found[:4])


class Cell:
    """An event on a kind of memory."""

    def __init__(self, row, column, events, word, skip):
        self.row, self.column, self.skip = row, column, skip
        self.name = f"{row} on {column}"
        self.events = events
        packed = events == "@packed"
        if events == "@mixed" or packed:
            # A fork copies a page on write: 1 GiB takes longer than all the rest.
            self.events = f"{_MIXED[column]}{'' if column == '1g' else 'fork,'}{_LIVE},{_QUIET}"
        self._mixed, self._user = events in ("@mixed", "@packed"), word[0] == "u"
        # Only in a packed ring the number of descriptors may be any.
        self._layout = "--layout packed --ring 200" if packed else ""
        word = word.removeprefix("u")
        self._expect = word[0]
        # It ends its driver: once is enough.
        self._ends = self._expect == "x"
        self._shared, self._slow = "s" in word[1:], "!" in word
        self.why, self.ran = "", False
        # Whether its driver can't be killed: then this machine is good for nothing more.
        self.stuck = False
        self.packets = self.lost = self.hits = self.misses = self.done = self.tries = 0
        self._seen = {}
        self.last = events in _SPENDS

    def _verdict(self):
        return "skip" if self.skip else "fail" if self.why else "pass" if self.ran else "not run"

    def json(self):
        """For matrix.json."""
        return {"row": self.row, "column": self.column, "expected": self._expect,
                "verdict": self._verdict(),
                "packets": self.packets, "lost_or_corrupt": self.lost, "events": self.done,
                "hits": self.hits, "misses": self.misses, "tries": self.tries,
                "told": self._seen, "why": self.why or self.skip}

    def short(self):
        """For the table."""
        if self.skip:
            return "-"
        if not self.ran:
            return "..."
        return f"{self.packets / 1000:.0f}k {self.hits}h {'FAIL' if self.why else 'ok'}"

    def _args(self, turn, longer):
        mem = "secret" if self._expect == "r" else MEM[self.column]
        shape = "--ring 256 --offset 64"
        if self._mixed:
            shape = f"--queues 2 --offset 4088 --no-event-idx --no-mergeable {self._layout}"
        size, pace, seconds = "60:600", 5000, 0.4
        if turn:
            # Now it's packets that count: small ones in large rings, checked where the tap gets
            # them, but for a turn now and then.
            pace, seconds = 50_000, 8
            if turn % 4 != 3:
                size = "64 --xdp check --tx-share 16"
                shape = shape.replace("--ring 256", "--ring 1024")
        if self.column == "1g":
            seconds = max(seconds, 0.8)
        if self._slow:
            # One event takes that long.
            pace, seconds = 5_000_000, 15
        if self.column == "2m" and "hwpoison" in self.events:
            pace = 50_000
        events = f"--events {self.events} --event-us {pace}" if self.events else ""
        return (f"--dir both --warmup 0 --timeout {60 * SLOW} {shape} --size {size} --mem {mem} "
                f"--seconds {seconds * longer * SLOW} {'--shared' if self._shared else ''} {events}")

    def _once(self, turn, longer):
        """One run of the driver; why it doesn't pass, and whether more time might help."""
        write("/proc/sys/vm/nr_hugepages", "24")
        write("/proc/sys/kernel/numa_balancing", "1" if self.events == "numa" else "0")
        Told.forget()
        self.tries += 1
        try:
            run = Run(self._args(turn, longer), limit=240, group=GROUP)
        finally:
            write("/proc/sys/kernel/numa_balancing", "0")
        self.packets += run.packets
        self.lost += run.stray
        self.hits += run.stat("inval_hit")
        self.misses += run.stat("inval_missed")
        self.done += sum(event["done"] for event in run.json.get("events", {}).values())
        self._seen = {key: run.json.get(key) for key in ("events", "told_before", "told_after")}
        self.stuck = run.stuck
        spec = verdict.Spec(self.column, self._expect, self._user, self._mixed, short=not turn)
        why, again = verdict.judge(spec, run)
        return why and f"{why}\n{run.json.get('events')}\n{run.about()}", again

    def _end(self):
        """Its owner ends; what it received until just before counts. Returns why that's not right."""
        write("/proc/sys/vm/nr_hugepages", "24")
        end = ending.end(self.events, MEM[self.column], self._user, GROUP)
        self.packets += end.packets
        self.lost += end.lost
        self.hits += end.hits
        self.misses += end.misses
        self.done += not end.why
        self._seen = end.told
        return end.why

    def _next_owner(self):
        """The windows went with their owner: whoever comes then has windows, if the memory can have any."""
        run = Run(f"--dir both --warmup 0 --seconds {0.2 * SLOW} --timeout {60 * SLOW} --size 60:600 "
                  f"--mem {MEM[self.column]}", limit=120, group=GROUP)
        self.packets += run.packets
        self.lost += run.stray
        why = (run.wrong() or run.off_path("user" if self._user else "direct")
               or verdict.huge(self.column, run.json))
        return why and f"the next owner: {why}\n{run.about()}"

    def run(self, log, turn):
        """The cell's TURN (0 is the first); what it says is kept in the cell."""
        if self.skip or turn and (self._ends or self._slow or self.why or not self.events):
            return
        if self.column == "thp" and _no_thp():
            self.skip = _no_thp()
            return
        if self._ends:
            why = self._end() or self._next_owner()
        else:
            why, again = self._once(turn, 1)
            if why and self.events == "khugepaged" and not self.lost:
                later = not os.uname().release.startswith("6.1.")
                ours, others = verdict.stuck(_khugepaged(), later)
                if others and not why.startswith("certain: "):
                    self.skip = others
                    return
                why, again = (f"{ours}\n{why}", False) if ours else (why, again)
            # On a machine that is busy with other things a short time may see too little.
            if again:
                why, again = self._once(turn, 2 if self._slow else 6)
        self.why, self.ran = why or log.trouble(), True

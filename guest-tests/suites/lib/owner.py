# SPDX-License-Identifier: GPL-2.0-only
"""For suites that end the owner of a device: its worker, what it has moved, waiting."""

import glob
import os
import time

from vdtest import SLOW

STATS = "/sys/kernel/debug/vhost_direct"


def worker(pid):
    """Whether the worker of a process runs, and its state."""
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                if file.read().strip() == f"vhost-{pid}":
                    return True
        except OSError:
            pass
    return False


def wait(what, limit=60.0):
    """Wait until WHAT() holds; returns whether it came to that."""
    end = time.monotonic() + limit * SLOW
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def counted(pid, name):
    """A statistic of all queues of a process: {direction: value}."""
    sums = {}
    for path in glob.glob(f"{STATS}/{pid}-*/[rt]x"):
        try:
            with open(path, encoding="ascii") as file:
                values = dict(line.split()[:2] for line in file)
        except OSError:
            continue
        direction = os.path.basename(path)
        sums[direction] = sums.get(direction, 0) + int(values[name])
    return sums


def moved(pid):
    """Packets of all queues of a process, and bursts that went through the windows."""
    return counted(pid, "packets"), counted(pid, "bursts_direct")


def doing(pid):
    """What there is to be seen of an owner that stands still, and of its worker."""
    said = []
    threads = glob.glob(f"/proc/{pid}/task/[0-9]*")
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                if file.read().strip() in (f"vhost-{pid}", "khugepaged"):
                    threads.append(os.path.dirname(path))
        except OSError:
            pass
    names = [f"{thread}/{name}" for thread in threads for name in ("comm", "stat", "stack", "schedstat")]
    for path in names + ["/proc/uptime"] + sorted(glob.glob(f"{STATS}/{pid}-*/[rt]x")):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                said.append(f"{path}: {' '.join(file.read().split())}")
        except OSError as error:
            said.append(f"{path}: {error.strerror}")
    return "\n".join(said)


def loaded(pid, user=False):
    """Both directions move, through the windows; by user access if USER is set."""
    packets, direct = moved(pid)
    return all(sorted(part) == ["rx", "tx"] and min(part.values()) > 50
               for part in ((packets,) if user else (packets, direct)))


def gone(pid):
    """Why something of a dead owner is still there, or an empty string."""
    if not wait(lambda: not worker(pid)):
        return f"vhost-{pid} is still there"
    if glob.glob(f"{STATS}/{pid}-*"):
        return "its statistics are still there"
    return ""

# SPDX-License-Identifier: GPL-2.0-only
"""A guest with several pairs of queues: how many are used, who serves them, which carry frames."""

import os
import time

from . import stats

ETHTOOL = "/usr/sbin/ethtool"


def ethtool(guest, words):
    """ethtool in the guest, on its card."""
    option, rest = words.split(" ", 1)
    return guest.sh(f"{ETHTOOL} {option} eth0 {rest}".strip(), timeout=120)


def workers(pid):
    """Processor time, in ticks, of each thread that serves this QEMU."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            for path in ([f"/proc/{entry}/stat"] if entry != str(pid) else
                         [f"/proc/{pid}/task/{task}/stat" for task in os.listdir(f"/proc/{pid}/task")]):
                with open(path, encoding="ascii", errors="replace") as file:
                    head, _, rest = file.read().rpartition(")")
                if entry.isdigit() and head.endswith(f"(vhost-{pid}"):
                    found[path] = sum(map(int, rest.split()[11:13]))
        except OSError:
            continue
    return found


def all_carry(guest, traffic, pairs, limit=90.0):
    """Wait until each queue of PAIRS pairs has moved frames; those that haven't."""
    before, end = stats.queues(guest.pid), time.monotonic() + limit
    while True:
        traffic.flows(50)
        now = stats.queues(guest.pid)
        idle = [name for name in now if int(name.split("/")[0]) < pairs
                and now[name]["packets"] <= before[name]["packets"]]
        if not idle or time.monotonic() > end:
            return idle

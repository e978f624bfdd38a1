# SPDX-License-Identifier: GPL-2.0-only
"""What a nested guest does that says nothing: for the report of a hang.

Where its processor is, the code there as the guest's page tables lead to it, and what KVM counted
meanwhile tell a guest that loops or waits from one that its host emulates wrongly or whose
memory has changed.
"""

import glob
import os
import re
import time

from vdlab.paths import LabError

_REGISTERS = re.compile(r"(?:RIP|RSP|RFL|HLT|CR2|CR3)=\S+")
_KVM = "/sys/kernel/debug/kvm"
# Of KVM's counters those that moved; a busy guest moves dozens.
_SHOWN = 12


def _monitor(qmp, command):
    return qmp.command("human-monitor-command", **{"command-line": command}).strip()


def _counters(pid):
    """KVM's counters of the machines of process PID, its processors' among them, summed by name."""
    found = {}
    for path in glob.glob(f"{_KVM}/{pid}-*/*") + glob.glob(f"{_KVM}/{pid}-*/vcpu*/*"):
        if os.path.isdir(path):
            continue
        try:
            with open(path, encoding="ascii") as file:
                value = int(file.read())
        except (OSError, ValueError):
            continue
        name = os.path.basename(path)
        found[name] = found.get(name, 0) + value
    return found


def _moved(before, after):
    moved = {name: value - before.get(name, 0) for name, value in after.items()}
    names = sorted((name for name in moved if moved[name]), key=lambda name: -abs(moved[name]))
    return " ".join(f"{name}={moved[name]:+d}" for name in names[:_SHOWN]) or "no counter moved"


def doing(qmp, pid):
    """Lines about the guest behind QMP, of process PID. Takes two seconds; never raises."""
    found = []
    try:
        found.append(str(qmp.command("query-status")["status"]))
        before = _counters(pid)
        for _ in range(3):
            found.append(" ".join(_REGISTERS.findall(_monitor(qmp, "info registers"))))
            time.sleep(0.5)
        found.append("KVM, in 1.5 s: " + _moved(before, _counters(pid)))
        rip = re.search(r"RIP=(\w+)", found[-2])
        if rip:
            found += [_monitor(qmp, f"gva2gpa 0x{rip[1]}"), _monitor(qmp, f"x /32xb 0x{rip[1]}")]
    except (OSError, ValueError, LabError) as error:
        found.append(str(error))
    return [line.rstrip() for text in found for line in text.splitlines()]

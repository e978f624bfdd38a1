# SPDX-License-Identifier: GPL-2.0-only
"""The machines that ran, as bench.json has them: each under the id that figures name."""

import copy
import itertools
import os

from . import lab

# A boot loads those back ends that its rows need: a machine that says less of them isn't another one.
_OF_BACKENDS = ("parameters", "features", "versions")
# What each run sets anew: on the running host one boot finds what the last run of another has left.
_SET_BY_RUNS = ("vhost_direct.metadata",)
# The parts of bench-mm that go by the clock on the wall; the others are emulated whatever these are.
BY_CLOCK = ("timed", "latency", "numa")


def describe(facts, folder):
    """A machine by what it says of itself and by the command line that the lab left in FOLDER."""
    with open(os.path.join(folder, "qemu.command"), encoding="utf-8", errors="replace") as file:
        command = file.read().strip()
    return {"accel": lab.accel(command), "qemu_command": command, "facts": facts}


def _alike(one, two):
    """Do two boots contradict each other in nothing that they say of their machine?"""
    if one["accel"] != two["accel"]:
        return False
    facts = one["facts"], two["facts"]
    whole = [{key: value for key, value in each.items() if key not in _OF_BACKENDS} for each in facts]
    parts = [[each.get(part, {}) for each in facts] for part in _OF_BACKENDS]
    return whole[0] == whole[1] and all(a[key] == b[key] for a, b in parts
                                        for key in a.keys() & b.keys() if key not in _SET_BY_RUNS)


def described(found):
    """Of a file's boots, FOUND, that of which its own facts and accel are: the first by the clock, else
    the first; None of none."""
    return next((boot for boot in found if boot["id"] in BY_CLOCK), found[0] if found else None)


class Boots:
    """Those of one file, in the order in which they were added."""

    def __init__(self):
        self._found = {}

    def add(self, name, boot):
        """Keep BOOT as NAME, or as NAME-2 and so on where that is another machine; returns its id.

        The same machine is one entry however often it was booted: command lines differ by the
        names of sockets at least, so what it says of itself decides.
        """
        for number in itertools.count(1):
            key = name if number == 1 else f"{name}-{number}"
            there = self._found.setdefault(key, {**copy.deepcopy(boot), "id": key})
            if _alike(there, boot):
                for part in _OF_BACKENDS:
                    if part in boot["facts"]:
                        there["facts"][part] = {**boot["facts"][part], **there["facts"].get(part, {})}
                return key

    def all(self):
        """For bench.json."""
        return list(self._found.values())

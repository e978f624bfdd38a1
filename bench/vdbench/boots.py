# SPDX-License-Identifier: GPL-2.0-only
"""The machines that ran, as bench.json has them: each under the id that figures name."""

import itertools
import os

from . import lab


def describe(facts, folder):
    """A machine by what it says of itself and by the command line that the lab left in FOLDER."""
    with open(os.path.join(folder, "qemu.command"), encoding="utf-8", errors="replace") as file:
        command = file.read().strip()
    return {"accel": lab.accel(command), "qemu_command": command, "facts": facts}


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
            there = self._found.setdefault(key, {**boot, "id": key})
            if (there["accel"], there["facts"]) == (boot["accel"], boot["facts"]):
                return key

    def all(self):
        """For bench.json."""
        return list(self._found.values())

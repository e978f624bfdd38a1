#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The suite workload's judgement of what is lost: a full queue excuses its own direction's frames. KTAP.

Its guest, its host and their counters are made up.
"""

import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402

COUNTERS = ("tap rx_dropped", "tap tx_dropped", "eth0 tx_dropped", "eth0 rx_dropped")
TO_HOST = ("tap rx_dropped", "eth0 tx_dropped")


def _suite():
    spec = importlib.util.spec_from_file_location("workload", os.path.join(LAB, "..", "suites", "workload.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _result(count, lost):
    """vdload's, as far as it is judged."""
    return {"verdict": "made up", "one_way": {"why_not": "clocks not comparable"}, "received": {
        "expected": count, "lost": lost, "queue_full": 0, "duplicated": 0, "reordered": 0, "corrupt": 0, "stale": 0,
        "foreign": 0}}


class Machine:
    """The tap's counters in a folder, the card's in the guest. During a run the counter FULL gets 1 more."""

    def __init__(self, folder, full, at_host, in_guest):
        self._folder, self._full, self._at_host, self._in_guest = folder, full, at_host, in_guest
        self._counters = {name: 7 for name in COUNTERS}
        self._write()

    def _write(self):
        for name, value in self._counters.items():
            if name.startswith("tap "):
                with open(os.path.join(self._folder, name[4:]), "w", encoding="ascii") as file:
                    file.write(f"{value}\n")

    def sh(self, command, _limit=0):
        """In the guest: its counters in the order of the command, or a run of vdload."""
        if not command.startswith("cat "):
            return json.dumps(self._in_guest)
        return "".join(f"{self._counters['eth0 ' + os.path.basename(path)]}\n" for path in command.split()[1:])

    def send(self, _command):
        """Both ways: begin."""

    def receive(self, _command, _limit):
        """Both ways: the guest's results."""
        return json.dumps(self._in_guest)

    def run(self, _process):
        """The host's results, and what it said."""
        if self._full:
            self._counters[self._full] += 1
            self._write()
        return self._at_host, ""


class Load:
    """vdload on the host."""

    stderr = ["vdload: ready\n"]


class Said:
    """Stands in for Ktap: which tests were good."""

    def __init__(self):
        self.good = {}

    def check(self, name, good, _why=""):
        """As the original."""
        self.good[name] = bool(good)

    def equal(self, name, found, wanted):
        """As the original."""
        self.good[name] = found == wanted


def _judged(suite, part, full, lost):
    """[is what came to the host good?, what came to the guest?], where so many were lost on their ways."""
    with tempfile.TemporaryDirectory() as folder:
        suite.STATISTICS = folder
        machine = Machine(folder, full, *(_result(suite.COUNT, each) for each in lost))
        suite.host_load, suite.host_result = (lambda words: Load()), machine.run
        t = Said()
        with contextlib.redirect_stdout(io.StringIO()):
            getattr(suite, part)(t, "made up", machine, "udp")
    return list(t.good.values())[:2]


def main():
    """All cases."""
    suite = _suite()
    with Ktap() as t:
        t.equal("nothing is lost", _judged(suite, "both_ways", None, (0, 0)), [True, True])
        for full in COUNTERS:
            to_host = full in TO_HOST
            own, other = ((1, 0), (0, 1)) if to_host else ((0, 1), (1, 0))
            t.equal(f"{full}: a frame of that direction is excused", _judged(suite, "both_ways", full, own), [True, True])
            t.equal(f"{full}: one of the other isn't", _judged(suite, "both_ways", full, other), [to_host, not to_host])
            t.equal(f"{full}: two of that direction aren't",
                    _judged(suite, "both_ways", full, tuple(2 * each for each in own)), [not to_host, to_host])
            t.equal(f"{full}: a round trip has both, its way there one", _judged(suite, "round_trips", full, (1, 1)),
                    [to_host, True])


if __name__ == "__main__":
    main()

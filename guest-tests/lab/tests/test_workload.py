#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The suite workload's judgement of what is lost: a full queue excuses its own direction's frames; and what is
asked of vdload's calls, by suite and by workload-paths. KTAP.

Its guest, its host, their counters and vdload's results are made up.
"""

import contextlib
import importlib.util
import io
import json
import os
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [LAB, os.path.join(os.path.dirname(LAB), "workload", "tests")]

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from netlab.batches import BURST, CASES, complaints  # noqa: E402
from netlab.runs import COUNT  # noqa: E402

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


def _told(suite, kernel, path, sends, receives):
    """Is it good, what a guest's vdload says that it was given?"""
    t = Said()
    with contextlib.redirect_stdout(io.StringIO()):
        suite.told(t, "made up", {
            "kernel": kernel, "path": path, "host": {"interface": "driver virtio_net", "virtio": "VERSION_1", "offloads": ""},
            "granted_to_send": {"send": sends}, "granted_to_receive": {"receive": receives}})
    return all(t.good.values())


def _granted(t, suite):
    """A guest whose kernel has zero copy and multishot has to be given both."""
    zero_copy, multishot = "zero copy (SEND_ZC) from registered buffers", "multishot RECV, 1024 provided buffers"
    for kernel, path, sends, receives, good in (
            ("6.1.0-40-amd64", "uring", zero_copy, multishot, True), ("6.1.0-40-amd64", "uring", "copies (WRITE_FIXED)", multishot, False),
            ("6.1.0-40-amd64", "uring", zero_copy, "a request a packet (RECV)", False), ("7.3.1", "uring", "copies (SEND)", multishot, False),
            ("5.19.17", "uring", "copies (WRITE_FIXED)", "a request a packet (RECV)", True), ("6.1.0", "udp", "sendmmsg", "recvmmsg", True)):
        t.equal(f"{kernel}, {path}: {sends}; {receives}", _told(suite, kernel, path, sends, receives), good)


def _batches(t):
    """A generator that moves packets one by one, or by what is slower, is noticed."""
    udp, auto, zc, fixed, plain = CASES
    texts = {"zero copy": "zero copy (SEND_ZC) from registered buffers, linked, up to 16 a submission",
             "fixed": "copies (WRITE_FIXED) from registered buffers, linked, up to 16 a submission",
             "plain": "copies (SEND), linked, up to 16 a submission", "one": "copies (SEND), linked, up to 1 a submission",
             "sendmmsg": "sendmmsg of up to 16", "recvmmsg": "recvmmsg of up to 64",
             "multishot": "multishot RECV, 1024 provided buffers of 9280", "single": "a request a packet (READ_FIXED), chains of 64"}
    right = COUNT // BURST + 9
    for what, kernel, case, sends, receives, calls, wrong in (
            ("udp", "6.1.0", udp, "sendmmsg", "recvmmsg", (right, 60), 0), ("udp sends one by one", "6.1.0", udp, "sendmmsg", "recvmmsg", (COUNT, 60), 1),
            ("udp receives one by one", "5.4.0", udp, "sendmmsg", "recvmmsg", (right, COUNT), 1),
            ("io_uring", "6.1.0", auto, "zero copy", "multishot", (right, 100), 0), ("a packet a submission", "6.1.0", zc, "zero copy", "multishot", (COUNT, 100), 1),
            ("io_uring receives one by one", "6.1.0", zc, "zero copy", "multishot", (right, COUNT), 1),
            ("no zero copy by itself", "6.1.0", auto, "fixed", "multishot", (right, 100), 1), ("nor if asked for", "6.1.0", zc, "fixed", "multishot", (right, 100), 1),
            ("no multishot", "6.1.0", auto, "zero copy", "single", (right, 100), 1),
            ("a kernel that has neither", "5.15.0", auto, "fixed", "single", (right, COUNT), 0), ("copies", "6.1.0", fixed, "fixed", "multishot", (right, 100), 0),
            ("a request a packet", "6.1.0", plain, "plain", "single", (right, COUNT), 0), ("plain, one by one", "6.1.0", plain, "one", "single", (COUNT, COUNT), 2)):
        here = {"kernel": kernel, "granted_to_send": {"send": texts[sends]}, "sent": {"kernel_full": 0}, "system_calls": calls[0]}
        there = {"granted_to_receive": {"receive": texts[receives]}, "system_calls": calls[1]}
        found = complaints(case, here, there)
        t.check(f"{what}: {wrong or 'no'} complaints", len(found) == wrong, found)
    here = {"kernel": "6.1.0", "granted_to_send": {"send": texts["sendmmsg"]}, "sent": {"kernel_full": 50}, "system_calls": right + 50}
    t.equal("what met a full queue was tried again", complaints(udp, here, {
        "granted_to_receive": {"receive": texts["recvmmsg"]}, "system_calls": 60}), [])


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
        _granted(t, suite)
        _batches(t)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The matrix's verdicts on runs that are made up: each fault is seen, and counts when it should."""

import copy
import os
import sys

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [LAB, os.path.join(os.path.dirname(LAB), "suites", "lib")]

# pylint: disable=wrong-import-position
import vdtest  # noqa: E402
import verdict  # noqa: E402
from ktap import Ktap  # noqa: E402

_STATS = {"inval_hit": 20, "inval_missed": 5, "maps": 20, "bursts_direct": 900, "bursts_user": 30,
          "map_failures": 0}
_TAIL = {"bursts_direct": 300, "bursts_user": 2}
_TRAFFIC = {"total_received": 9000, "lost": 0, "corrupt": 0, "dup": 0, "reordered": 0,
            "bad_used": 0}
# What vring says of a run of "move_pages on 4k" in which all is right; 50 callbacks over the rings.
_GOOD = {"dir": "both", "ok": True, "failure": None, "mem_kb": 4096, "huge_kb": 0, "huge_kb_end": 0,
         "rx": _TRAFFIC, "tx": _TRAFFIC,
         "stats": {"rx": _STATS, "tx": _STATS}, "stats_tail": {"rx": _TAIL, "tx": _TAIL},
         "events": {"movepages": {"done": 40, "failed": 2, "rings": [20, 1],
                                  "told": {"clear": [20, 40]}}},
         "told_before": {"sets": [50, 50], "clear": [40, 80]},
         "told_after": {"sets": [50, 50], "clear": [40, 80]}}
_MOVE = verdict.Spec("4k", "H")


class _Made(vdtest.Run):
    """A run that wasn't."""

    def __init__(self, said, status=0):  # pylint: disable=super-init-not-called
        self.text, self.status, self.stuck = "", status, False
        self.read(said)


def _run(changes=None, status=0):
    """As the good one, but for CHANGES: {"a.b": value}."""
    said = copy.deepcopy(_GOOD)
    for path, value in (changes or {}).items():
        *way, last = path.split(".")
        at = said
        for key in way:
            at = at[key]
        at[last] = value
    return _Made(said, status)


def _verdict(changes=None, spec=_MOVE, status=0):
    """How it is judged: '', 'certain', 'once' or 'again'."""
    why, again = verdict.judge(spec, _run(changes, status))
    if not why:
        return ""
    return "again" if again else "certain" if "certain: " in why else "once"


def _event(name, **fields):
    """A change: that event instead of the other."""
    return {"events": {name: {"done": 40, "failed": 0, "told": {}, **fields}}}


def _sides(t):
    t.equal("what is right passes", _verdict(), "")
    t.equal("some refusals are nothing", _verdict({"events.movepages.rings": [20, 2]}), "")
    for name, done, failed, rings in (
            ("refusals of the rings' events, behind successes beside them", 40, 30, [15, 25]),
            ("those beside the rings", 40, 30, [30, 0]),
            ("an event that never struck the rings", 40, 0, [0, 0]),
            ("an event that they refused each time", 40, 20, [0, 20])):
        t.equal(name, _verdict({"events.movepages.done": done, "events.movepages.failed": failed,
                                "events.movepages.rings": rings}), "again")
    t.equal("of an event without sides all counts",
            _verdict(_event("compacted", failed=41, told={"clear": [40, 40]})), "again")
    t.equal("one that didn't happen, of which vring says nothing",
            _verdict({"events": {"compacted": {"done": 0, "failed": 3}}}), "again")
    many = verdict.Spec("4k", "H", mixed=True, short=True)
    t.equal("among many at once, too", _verdict({"events.movepages.rings": [0, 1]}, many), "again")
    t.equal("which need not all happen", _verdict({"events.movepages.rings": [0, 0]}, many), "")


def _certain(t):
    late = {"stats_tail.rx": {**_TAIL, "bursts_user": 100}}
    for name, changes, spec in (
            ("more counted than told",
             {"told_after.sets": [49, 49], "told_before.sets": [49, 49]}, _MOVE),
            ("fewer counted than told",
             {"told_before.sets": [51, 51], "told_after.sets": [51, 51]}, _MOVE),
            ("an event that was not told", {"events.movepages.told": {"clear": [20, 19]}}, _MOVE),
            ("told of rings that the kernel leaves alone", _event("age"), verdict.Spec("4k", "n")),
            ("windows taken away by an event beside them",
             _event("unrelated", told={"unmap": [0, 40]}), verdict.Spec("4k", "b")),
            ("windows where there are none", {}, verdict.Spec("ext4", "H", user=True))):
        t.equal(f"counts the first time: {name}", _verdict(changes, spec), "certain")
        t.equal(f"also if time was wanting: {name}", _verdict({**changes, **late}, spec), "certain")
    t.equal("who was inside of a callback may have been counted or not",
            _verdict({"told_before.sets": [51, 49], "told_after.sets": [51, 51]}), "")
    quiet = _event("cold", told={})
    for name, column, kind, wanted in (
            ("a file's pages that are written back when it is time are no event's", "ext4", "clean", ""),
            ("but taken away they must not be", "ext4", "clear", "certain"),
            ("nor made clean where there is no disk", "memfd", "clean", "certain")):
        told = {"sets": [8, 8], kind: [8, 504], "protect": [0, 1]}
        stats = {**_STATS, "inval_hit": 0, "inval_missed": 4, "maps": 0, "bursts_direct": 0}
        tail = {"bursts_direct": 0, "bursts_user": 300}
        t.equal(name, _verdict({**quiet, "told_before": told, "told_after": told, "stats.rx": stats,
                                "stats.tx": stats, "stats_tail.rx": tail, "stats_tail.tx": tail},
                               verdict.Spec(column, "n", user=True)), wanted)
    t.equal("changed frames", _verdict({"rx.corrupt": 1, "ok": False}, status=1), "certain")
    t.equal("a write of the device's that is gone",
            _verdict({"failure": "free: reclaim threw away", "ok": False}, status=1), "certain")
    t.equal("lost frames count, though they may be late",
            _verdict({"rx.lost": 1, "ok": False}, status=1), "once")
    t.equal("a traffic that stood still",
            _verdict({"failure": "nothing moved for 60 s", "ok": False}, status=1), "once")
    t.equal("without a module that counts", _verdict({"told_before": None}), "once")


def _again(t):
    for name, changes, spec in (
            ("no event", {"events.movepages.done": 0}, _MOVE),
            ("too few to look back",
             _event("softdirty", done=1, told={"softdirty": [1, 0]}), _MOVE),
            ("no window taken away",
             {"stats.rx": {**_STATS, "inval_hit": 0, "inval_missed": 25}}, _MOVE),
            ("reclaim that took nothing", _event("pageout", rings=[20, 0], told={"clear": [0, 40]}),
             verdict.Spec("4k", "h")),
            ("reclaim that asked nobody",
             _event("cgroup", told={"clear": [40, 40]}), verdict.Spec("4k", "h")),
            ("a scan of other memory",
             _event("numa", told={"protect": [0, 0]}), verdict.Spec("4k", "h")),
            ("windows that weren't mapped again", {"stats.rx": {**_STATS, "maps": 1}}, _MOVE),
            ("windows that aren't back yet",
             {"stats_tail.rx": {**_TAIL, "bursts_user": 100}}, _MOVE)):
        t.equal(f"is tried again: {name}", _verdict(changes, spec), "again")


def _huge(t):
    thp = verdict.Spec("thp", "H")
    whole = {"huge_kb": 4096, "huge_kb_end": 2048}
    t.equal("huge pages in the beginning", _verdict(whole, thp), "")
    t.equal("small pages where huge ones should be",
            _verdict({**whole, "huge_kb": 2048}, thp), "once")
    t.equal("huge pages where small ones should be", _verdict({"huge_kb": 2048}), "once")
    numa = _event("numa", told={"protect": [20, 20]})
    t.equal("an event that leaves them", _verdict({**whole, **numa, "huge_kb_end": 4096}, thp), "")
    t.equal("and didn't", _verdict({**whole, **numa}, thp), "once")


def _stuck(t):
    for name, looks, later, ours, others in (
            ("khugepaged asleep again is no excuse",
             [("R", "", 0), ("S", "", 0)], True, False, False),
            ("khugepaged at one page is one", [("R", "", 0)] * 2, True, False, True),
            ("but not on 6.1", [("R", "", 0)] * 2, False, False, False),
            ("in a callback of ours it is our fault",
             [("R", "", 0), ("D", "vd_mn_start+0x1c/0x90 [vhost_direct]", 1)], True, True, False),
            ("also while a processor runs it, which shows no stack",
             [("R", "", 1)] * 2, True, True, False),
            ("not in a callback that returned", [("R", "", 1), ("R", "", 0)], True, False, True)):
        t.equal(name, tuple(map(bool, verdict.stuck(looks, later))), (ours, others))


def main():
    """The tests."""
    with Ktap() as t:
        _sides(t)
        _certain(t)
        _again(t)
        _huge(t)
        _stuck(t)


main()

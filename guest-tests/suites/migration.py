#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Live migration of a nested guest under traffic, by Debian's unmodified QEMU.

The guest moves from back end to back end: stock's, this project's with windows and without.
Both directions carry numbered frames whose contents follow from the number; the guest leaves
four megabytes of them unread, in the pages into which the back end wrote them: those that came
after their page was copied reach the new place by the dirty log alone. At some of the switches the
guest is held and all of its memory compared from outside.

With VD_FULL=1 36 moves of one guest, 4 of one with packed rings, and both ways of one that started on
ours with stock's features. Or some of that, by hand:

  guest-tests/lab/vm run --smp 1 --append "nohz=off highres=off" --timeout 900 -- \
      guest-tests/suites/migration.py split:2 packed

is a guest that goes the whole route (9 moves) twice, then the one with packed rings. Four such
runs of split:1, or whatever fits, are the long run in pieces, but for a guest's long life.
"""
# vm: timeout=420 full-timeout=3000 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"

import os
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_HERE, "lib"), os.path.join(_HERE, "..", "lab")]
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from moves import ending, hop  # noqa: E402
from nested import backend  # noqa: E402
from nested.guest import GuestError  # noqa: E402
from nested.migrate import Journey  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

# What is named on the command line is gone through to its end, too.
FULL = os.environ.get("VD_FULL", "0") != "0" or len(sys.argv) > 1
# Each pair of back ends once, then post-copy, then without windows, too.
ROUTE = (("direct", ""), ("direct", ""), ("stock", ""), ("direct", "post"), ("stock", "post"),
         ("user", ""), ("user", "post"), ("direct", ""), ("direct", "post"))
# A migration takes seconds here: the quick run makes these, and more only within its time.
ALWAYS, QUICK_SECONDS = 3, 60
# Stock has no packed rings.
PACKED = (("direct", ""), ("user", ""), ("direct", "post"), ("direct", ""))


def travel(t, journey, route):
    """All of ROUTE in the full run, what there is time for in the quick one."""
    began = time.monotonic()
    for number, (target, mode) in enumerate(route):
        spent = time.monotonic() - began
        if not FULL and number >= ALWAYS and spent > QUICK_SECONDS:
            t.skip(f"{len(route) - number} more migrations", f"{number} took {spent:.0f} s: the "
                   f"quick run stops after {QUICK_SECONDS}; VD_FULL=1 makes all")
            return
        hop(t, journey, target, mode)
        print(f"# {time.monotonic() - began:.0f} s", flush=True)


def journey_of(t, name, first, route, device="", net=()):
    """A guest on its way along ROUTE."""
    try:
        with Journey(first, device=device, net=net) as journey:
            print(f"# {name}: booted in {journey.guest.boot_seconds:.1f} s", flush=True)
            journey.under_way()
            travel(t, journey, route)
            ending(t, journey, name)
        backend.unload_all()
        t.check(f"{name}: the modules unload afterwards", True)
    except (GuestError, LabError, backend.BackendError, OSError) as error:
        t.check(f"{name}: no error", False, error)


# name: (where it starts, its route, of the card, of our net back end). A guest that started on
# ours has accepted all that we offer: stock's module takes it over if that was no more than its own.
KINDS = {"split": ("stock", ROUTE, "", ()), "packed": ("direct", PACKED, ",packed=on", ()),
         "back": ("direct", (("stock", ""), ("direct", "")), "", ("stock_features=1",))}


def wanted(words):
    """[(name, how many times its whole route)] of NAME[:TIMES]..., or an exit."""
    found = []
    for word in words:
        name, _, times = word.partition(":")
        if name not in KINDS or not (times or "1").isdigit() or times == "0":
            sys.exit(f"usage: migration.py [NAME[:TIMES]...], NAME {' or '.join(KINDS)}: not {word}")
        found.append((name, int(times or 1)))
    return found


def main():
    """Run."""
    pieces = wanted(sys.argv[1:])
    with Ktap() as t:
        if backend.missing("direct"):
            t.skip("migration", "the modules are not built")
            return
        if not FULL:
            journey_of(t, "split", "stock", ROUTE[:5])
            journey_of(t, "back", *KINDS["back"])
            return
        for name, times in pieces or (("split", 4), ("packed", 1), ("back", 1)):
            first, route, *more = KINDS[name]
            journey_of(t, name, first, route * times, *more)


if __name__ == "__main__":
    main()

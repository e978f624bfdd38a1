#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Live migration of a nested guest under traffic, by Debian's unmodified QEMU.

The guest moves from back end to back end: stock's, this project's with windows and without.
Both directions carry numbered frames whose contents follow from the number; the guest leaves
four megabytes of them unread, in the pages into which the back end wrote them: those that came
after their page was copied reach the new place by the dirty log alone. At some of the switches the
guest is held and all of its memory compared from outside.
"""
# vm: timeout=420 full-timeout=3000 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# There TCG may run a stale breakpoint on one processor while another patches kvm's static keys.
# vm 7.2: smp=1

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from nested import backend, carry  # noqa: E402
from nested.guest import GuestError  # noqa: E402
from nested.migrate import QEMU_READS, Journey  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

FULL = os.environ.get("VD_FULL", "0") != "0"
# Each pair of back ends once, then post-copy, then without windows, too.
ROUTE = (("direct", ""), ("direct", ""), ("stock", ""), ("direct", "post"), ("stock", "post"),
         ("user", ""), ("user", "post"), ("direct", ""), ("direct", "post"))
# A migration takes seconds here: the quick run makes these, and more only within its time.
ALWAYS, QUICK_SECONDS = 3, 60
# Stock has no packed rings.
PACKED = (("direct", ""), ("user", ""), ("direct", "post"), ("direct", ""))


def hop(t, journey, target, mode):
    """One migration; its checks."""
    source = journey.guest.backend
    name = f"{source} to {target}{', post-copy' if mode else ''}"
    facts = journey.hop(target, post=bool(mode), compare=not mode)
    stats = facts.pop("stats")
    differ = facts.pop("differ", None)
    print(f"# {name}: {facts} logged={stats.get('logged')}", flush=True)
    t.check(f"{name}: it moves", True)
    if differ is not None:
        t.check(f"{name}: all memory is equal at the switch", not differ,
                f"{len(differ)} pages differ: {' '.join(f'{at:#x}' for at in differ[:12])}")
    if source != "stock":
        t.check(f"{name}: the source logged its writes, all of them",
                stats.get("logged", 0) > 0 and stats.get("log_failures") == 0, stats)
    journey.under_way()
    counts = journey.traffic.counts()
    t.equal(f"{name}: traffic goes on, nothing in it is wrong", carry.wrong(counts), {})


def ending(t, journey, name):
    """Every frame is accounted for."""
    found = journey.finish()
    guest, net = found["guest"], found["net"]
    print(f"# {name}: {found}", flush=True)
    for stay in journey.stays:
        print(f"# {name}: {stay}", flush=True)
    t.equal(f"{name}: what the guest sent came, each once", net["received"] + net["dropped"],
            guest["sent"])
    ours = [stay for stay in journey.stays if "delivered" in stay]
    stock = [stay for stay in journey.stays if "delivered" not in stay]
    for stay in ours:
        read = stay["taken"] - stay["delivered"] - stay["given_up"]
        t.check(f"{name}: on {stay['backend']}: what left the tap was delivered",
                0 <= read <= QEMU_READS and not stay["given_up"], stay)
    # Stock doesn't count: what QEMU read for itself can't be told from what stock lost.
    came = guest["received"] + guest["dropped"] - sum(stay["delivered"] for stay in ours)
    missing = sum(stay["taken"] for stay in stock) - came
    t.check(f"{name}: what was delivered came, each once",
            0 <= missing <= QEMU_READS * len(stock), f"{missing} missing, {journey.stays}")
    t.equal(f"{name}: nothing twice, nothing changed", carry.wrong({"guest": guest, "net": net}), {})


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


def journey_of(t, name, first, route, device=""):
    """A guest on its way along ROUTE."""
    try:
        with Journey(first, device=device) as journey:
            print(f"# {name}: booted in {journey.guest.boot_seconds:.1f} s", flush=True)
            journey.under_way()
            travel(t, journey, route)
            ending(t, journey, name)
        backend.unload_all()
        t.check(f"{name}: the modules unload afterwards", True)
    except (GuestError, LabError, backend.BackendError, OSError) as error:
        t.check(f"{name}: no error", False, error)


def main():
    """Run."""
    with Ktap() as t:
        if backend.missing("direct"):
            t.skip("migration", "the modules are not built")
            return
        if not FULL:
            journey_of(t, "split", "stock", ROUTE[:5])
            return
        journey_of(t, "split", "stock", ROUTE * 4)
        journey_of(t, "packed", "direct", PACKED, ",packed=on")


if __name__ == "__main__":
    main()

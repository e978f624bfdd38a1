# SPDX-License-Identifier: GPL-2.0-only
"""Runs of vdload between two hosts of a network, and what a clean one counts."""

import argparse
import os

from ktap import Ktap
from . import net

PROGRAM = os.environ.get("VDLOAD") or os.path.join(
    os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4)), "build", "guest-tests", "vdload")
PATHS = ("packet", "udp", "uring")
# Slow enough for the relay, and for an emulated machine.
RATE, COUNT = 5000, 3000
# A cable of veth has a queue a processor: frames sent from two of them may overtake each other.
PIN = f"--pin {min(os.sched_getaffinity(0))}"
CONTROL = 8     # packets of the words before and after, a flow
ENDLESS = 10 ** 9


def pair(cable, sender, receiver, before=None):
    """A receiver at host B, then a sender at A; both have ended."""
    there = net.Load(PROGRAM, cable.b, *receiver, before=before).wait_ready()
    here = net.Load(PROGRAM, cable.a, *sender, before=before)
    here.finish()
    return here, there.finish()


def send(cable, paths, more="", at_b="", before=None, role="send", to=None):
    """From A to B by these paths; for role ping, B echoes."""
    other, pin_b = ("receive", "") if role == "send" else ("echo", PIN)
    return pair(cable, (role, f"--path {paths[0]} --dev va --to {to or cable.b.address} --rate {RATE} --count {COUNT} "
                              f"--linger 300 {PIN} {more}"),
                (other, f"--path {paths[1]} --dev vb --duration 40 --linger 300 {pin_b} {at_b}"),
                before)


def send_six(cable, paths, more="", at_b="", role="send", to=None):
    """The same over IPv6."""
    return send(cable, paths, more, f"--ipv6 {at_b}", role=role, to=to or cable.b.six)


def counts(load):
    """What a receiver counted, by the names that the relay has for it."""
    got = load.json.get("received") or {}
    return {name: got.get(what) for name, what in (
        ("expected", "expected"), ("lose", "lost"), ("double", "duplicated"), ("hold", "reordered"),
        ("corrupt", "corrupt"))}


def clean(t, name, cable, here, there, count=COUNT, before=0, order=True):
    """Everything came once, unless a queue was full: that is counted, too. And in ORDER."""
    got = there.json.get("received") or {}
    full = got.get("queue_full", 0) + cable.b.dropped() - before
    wanted = {"expected": count, "lose": got.get("lost"), "double": 0, "hold": 0 if order else got.get("reordered"),
              "corrupt": 0}
    good = counts(there) == wanted and got["lost"] <= full and here.status in (0, 1 if full else 0)
    sent = (here.json.get("sent") or {}).get("packets")
    t.check(name, good and sent == count and (there.status == 0 or full),
            f"sent {sent}, {counts(there)}, {full} met a full queue\n{here.about()}\n{there.about()}")


def at_once(cable, cases):
    """Pairs of (role and options at A, role and options at B), all at once, of ports of their own; ended."""
    there = [net.Load(PROGRAM, cable.b, role, f"--dev vb --port {7701 + i} --duration 40 --linger 100 {more}")
             for i, (_, (role, more)) in enumerate(cases)]
    for load in there:
        load.wait_ready()
    here = [net.Load(PROGRAM, cable.a, role, f"--dev va --port {7701 + i} --source-port {20000 + 100 * i} --rate 2000 --linger 100 "
                     f"{PIN} {more}") for i, ((role, more), _) in enumerate(cases)]
    return [(load.finish(), other.finish()) for load, other in zip(here, there)]


def main(doc, parts, offloads=()):
    """Run the parts, each on cables of its own: those OFFLOADS with what cards do."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=parts, help="this part, and others so named")
    args = parser.parse_args()
    with Ktap() as t:
        if not os.access(PROGRAM, os.X_OK):
            t.skip("vdload", "not built: make programs")
            return
        try:
            net.enter_new()
            net.Cable(True).close()
        except (net.NetError, OSError) as error:
            t.skip("vdload between namespaces", str(error))
            return
        for name in args.only or parts:
            joined, part = parts[name]
            with net.Cable(joined, offloads=name in offloads) as cable:
                part(t, cable)

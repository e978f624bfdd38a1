#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A nested guest with four pairs of queues: a file, a device and a worker of ours for each.

Each queue has to carry traffic; then the guest changes their number (ethtool -L) and, where
its kernel can, their size (ethtool -G, which resets queue after queue) under traffic.
"""
# vm: timeout=300 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=480

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from nested import backend, carry, stats  # noqa: E402
from nested.guest import TAP, Guest, GuestError, make_tap, processor, remove_tap  # noqa: E402
from nested.queues import ETHTOOL, all_carry, ethtool, workers  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

PAIRS, RATE = 4, 300
INITRD = "/tmp/queues.cpio"
FULL = os.environ.get("VD_FULL", "0") != "0"


def spread(t, guest, traffic):
    """Four pairs, each with its worker."""
    ethtool(guest, f"-L combined {PAIRS}")
    t.equal("every queue of four pairs carries frames", all_carry(guest, traffic, PAIRS), [])
    found = stats.queues(guest.pid)
    for name, now in sorted(found.items()):
        print(f"# {name}: packets {now['packets']}, bursts {now['bursts_direct']} direct, "
              f"{now['bursts_user']} user, kicks {now['kicks']}", flush=True)
    t.equal("there are eight queues", len(found), 2 * PAIRS)
    t.equal("a worker for each pair", len(workers(guest.pid)), PAIRS)


def numbers(t, guest, traffic):
    """The number of pairs changes under traffic."""
    for count in (1, 3, 2, 4) if FULL else (1, 4):
        ethtool(guest, f"-L combined {count}")
        t.equal(f"{count} pairs: every queue of them carries frames",
                all_carry(guest, traffic, count), [])
    counts = traffic.counts()
    t.equal("nothing twice, nothing changed", carry.wrong(counts), {})


def can_resize(guest):
    """Does the guest's driver know how to change the rings' size?"""
    status = guest.sh(f"{ETHTOOL} -G eth0 rx 128 tx 128; echo status $?", timeout=120)
    return status.strip().endswith("status 0"), status


def sizes(t, guest, traffic):
    """The rings' size changes under traffic: QEMU resets queue after queue."""
    able, said = can_resize(guest)
    if not able:
        t.skip("rings of another size", f"the guest's kernel refuses: {said.splitlines()[0]}")
        return
    for size in (64, 256, 128) if FULL else (64,):
        ethtool(guest, f"-G rx {size} tx {size}")
        t.equal(f"rings of {size}: every queue carries frames", all_carry(guest, traffic, PAIRS), [])
        found = {name: now["ring_size"] for name, now in stats.queues(guest.pid).items()}
        t.equal(f"rings of {size}: ours have that size", found, dict.fromkeys(found, size))
    t.equal("after the resets: nothing twice, nothing changed", carry.wrong(traffic.counts()), {})


def ending(t, guest, traffic):
    """What a reset loses is the driver's to lose; everything else is counted."""
    counts = traffic.finish()
    print(f"# {counts}", flush=True)
    t.equal("nothing twice, nothing changed at the end", carry.wrong(counts), {})
    bad = {name: now["faults"] + now["malformed"] for name, now in stats.queues(guest.pid).items()}
    t.equal("no fault in any queue", bad, dict.fromkeys(bad, 0))


def main():
    """Run."""
    with Ktap() as t:
        if backend.missing("direct"):
            t.skip("four pairs of queues", "the modules are not built")
            return
        carry.initrd(INITRD, [ETHTOOL])
        make_tap(TAP, PAIRS)
        try:
            with Guest("direct", name="queues", cpu=processor(), initrd=INITRD, own_tap=False,
                       memory=256, queues=PAIRS) as guest:
                print(f"# booted in {guest.boot_seconds:.1f} s", flush=True)
                guest.check_vhost()
                with carry.Traffic(guest, [TAP], RATE) as traffic:
                    for part in (spread, numbers, sizes, ending):
                        part(t, guest, traffic)
            backend.unload_all()
            t.check("the modules unload afterwards", True)
        except (GuestError, LabError, OSError) as error:
            t.check("no error", False, error)
        finally:
            remove_tap(TAP)


if __name__ == "__main__":
    main()

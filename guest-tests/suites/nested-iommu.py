#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A nested guest behind QEMU's emulated Intel IOMMU, under strict invalidation.

Its driver maps each buffer before the card may use it and unmaps it after: the back end asks
QEMU for translations, is told them, and loses them again, under traffic whose contents are
checked.
"""
# vm: timeout=420 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=600

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from nested import backend, carry, stats  # noqa: E402
from nested.guest import TAP, Guest, GuestError, make_tap, processor, remove_tap  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

RATE, FRAMES = 150, 400
INITRD = "/tmp/iommu.cpio"


def machine(name, device):
    """The guest; vhost gets addresses of the IOMMU, and asks for translations (ATS)."""
    return Guest("direct", name=name, cpu=processor(), initrd=INITRD, own_tap=False, memory=256,
                 machine=",kernel-irqchip=split", append="intel_iommu=on iommu.strict=1",
                 words=("-device", "intel-iommu,intremap=on,device-iotlb=on"),
                 device=f",iommu_platform=on,ats=on,disable-legacy=on{device}")


def behind(guest):
    """What shows that the card really is behind an IOMMU that invalidates at once."""
    group = guest.sh("readlink -f /sys/class/net/eth0/device/../iommu_group || true").strip()
    kind = guest.sh(f"cat {group}/type || true").strip()
    return os.path.basename(os.path.dirname(group)) == "iommu_groups" and kind == "DMA", (group, kind)


def tap_dropped(tap):
    """Frames for which the tap had no room."""
    with open(f"/sys/class/net/{tap}/statistics/tx_dropped", encoding="ascii") as file:
        return int(file.read())


def case(t, name, kind, device):
    """One guest with rings of one kind."""
    before = tap_dropped(TAP)
    with machine(name, device) as guest:
        print(f"# {name}: booted in {guest.boot_seconds:.1f} s", flush=True)
        guest.check_vhost()
        t.check(f"{name}: the card is behind the IOMMU, which invalidates at once", *behind(guest))
        with carry.Traffic(guest, [TAP], RATE) as traffic:
            traffic.flows(FRAMES // 2)
            first = stats.queues(guest.pid)
            traffic.flows(FRAMES)
            found = stats.queues(guest.pid)
            counts = traffic.finish()
            full = tap_dropped(TAP) - before
    print(f"# {name}: {counts}", flush=True)
    for queue, now in sorted(found.items()):
        print(f"# {name}: {queue}: {now}", flush=True)
        for what in ("iotlb_misses", "iotlb_updates", "iotlb_invals", "packets"):
            t.check(f"{name}: {queue}: {what} under traffic", now[what] > first[queue][what], now)
        t.equal(f"{name}: {queue}: rings are {kind}", now["ring_kind"].split(",")[0], kind)
        t.equal(f"{name}: {queue}: no fault", now["faults"] + now["malformed"], 0)
        t.check(f"{name}: {queue}: bursts through the windows", now["bursts_direct"] > 0, now)
    t.equal(f"{name}: nothing twice, nothing changed", carry.wrong(counts), {})
    # A slow guest lets the tap's queue run full: what that drops no back end has seen.
    for sender, receiver, lost in (("guest", "net", 0), ("net", "guest", full)):
        t.equal(f"{name}: what {sender} sent came", counts[receiver]["received"]
                + counts[receiver]["dropped"] + lost, counts[sender]["sent"])


def main():
    """Run."""
    with Ktap() as t:
        if backend.missing("direct"):
            t.skip("a guest behind an IOMMU", "the modules are not built")
            return
        carry.initrd(INITRD)
        make_tap(TAP)
        try:
            for name, kind, device in (("iommu", "split", ""), ("iommu-packed", "packed", ",packed=on")):
                try:
                    case(t, name, kind, device)
                except (GuestError, LabError, OSError) as error:
                    t.check(f"{name}: no error", False, error)
            backend.unload_all()
            t.check("the modules unload afterwards", True)
        finally:
            remove_tap(TAP)


if __name__ == "__main__":
    main()

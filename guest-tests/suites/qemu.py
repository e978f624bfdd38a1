#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU of qemu-patches/, which `make qemu` builds, on this project's module.

Its own qtest; then a nested guest by vhostdev=: the counters over QMP beside those of debugfs,
the module's limit of memory slots, card and netdev unplugged and plugged again; then a guest
that migrates from Debian's QEMU to the patched one and back, under traffic.
"""
# vm: timeout=300 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=600

import os
import re
import subprocess
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_HERE, "lib"), os.path.join(_HERE, "..", "lab")]
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from moves import ending, hop  # noqa: E402
from nested import backend, measure, stats  # noqa: E402
from nested.guest import (  # noqa: E402
    GUEST_IP, GUEST_MAC, PROGRAM, TAP, Guest, GuestError, processor)
from nested.migrate import Journey  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

# Which series is for this Debian, by VERSION_CODENAME.
VERSIONS = {"bookworm": "7.2", "trixie": "10.0"}
NODE = "/dev/vhost-direct-net"
# The guest alone has fewer regions; each memory module that is plugged is one more.
SLOTS = 8


def build():
    """The folder with the patched QEMU for this Debian."""
    with open("/etc/os-release", encoding="utf-8") as file:
        name = re.search(r"^VERSION_CODENAME=(\w+)", file.read(), re.M)[1]
    return os.path.join(_HERE, "..", "..", "build", "qemu", VERSIONS.get(name, name))


def qtest(t, folder):
    """The series' own test, with a device."""
    env = {**os.environ, "QTEST_VHOSTDEV": NODE,
           "QTEST_QEMU_BINARY": os.path.join(folder, PROGRAM)}
    done = subprocess.run([os.path.join(folder, "vhost-net-dev-test"), "--tap", "-k"], env=env,
                          capture_output=True, text=True, timeout=200, check=False)
    for line in done.stdout.splitlines():
        # A test that aborts bears no number.
        found = re.match(r"(not ok|ok)(?: \d+)? (/\S+)", line)
        if found:
            t.check(f"qtest {found[2]}", found[1] == "ok", f"{line}\n{done.stderr[-600:]}")
    t.equal("qtest: it ends well", done.returncode, 0)


def queried(guest, **arguments):
    """{"0/rx": {name: number}} as QMP tells."""
    found = {}
    for queue in guest.qmp.command("x-query-vhost-net-stats", **arguments):
        name = f"{queue['queue'] // 2}/{('rx', 'tx')[queue['queue'] % 2]}"
        found[name] = {item["name"]: item["value"] for item in queue["stats"]}
    return found


def counters(t, guest, netdev):
    """QMP's numbers lie between debugfs' before and after."""
    before = stats.queues(guest.pid)
    now = queried(guest, netdev=netdev)
    after = stats.queues(guest.pid)
    t.equal(f"{netdev}: x-query-vhost-net-stats has both queues", sorted(now), ["0/rx", "0/tx"])
    wrong = [(queue, name, value) for queue, values in now.items() for name, value in values.items()
             if name in before[queue]
             and not before[queue][name] <= value <= after[queue][name]]
    t.equal(f"{netdev}: its counters are debugfs'", wrong, [])
    moved = {queue: values["packets"] for queue, values in now.items()}
    t.check(f"{netdev}: packets are counted both ways", all(moved.values()), moved)
    told = guest.qmp.command("human-monitor-command",
                             **{"command-line": f"info vhost-net-stats {netdev}"})
    t.check(f"{netdev}: info vhost-net-stats shows them", f"{netdev}: queue 1 (tx):" in told
            and re.search(r"^  packets +\d+", told, re.M), told)


def refusal(call):
    """What QEMU says against it; an empty string if nothing."""
    try:
        call()
    except LabError as error:
        return str(error)
    return ""


def slots(t, guest):
    """Memory is plugged until the module's limit is met; stock's limit is 64."""
    why, plugged = "", 0
    while not why and plugged < SLOTS:
        guest.qmp.command("object-add", **{"qom-type": "memory-backend-ram", "id": f"m{plugged}",
                                           "size": 128 << 20})
        why = refusal(lambda: guest.qmp.command("device_add", driver="pc-dimm", id=f"d{plugged}",
                                                memdev=f"m{plugged}"))
        plugged += not why
    print(f"# {plugged} memory modules, then: {why}", flush=True)
    t.check("memory is plugged up to the limit of the device's own module",
            plugged and "free memory slots" in why, (plugged, why))
    t.equal("and vhost goes on", lost(guest), 0)


def lost(guest):
    """Pings of 20 that don't come back."""
    found = measure.ping(guest, 20)
    return found["sent"] - found["received"]


def gone(guest, device, limit=60.0):
    """Wait until the guest has let go of the card."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if not refusal(lambda: guest.qmp.command("qom-list", path=f"/machine/peripheral/{device}")):
            time.sleep(0.2)
            continue
        return True
    return False


def replug(t, guest):
    """Card and netdev go, and others come."""
    guest.qmp.command("device_del", id="nic0")
    if not t.check("the card is unplugged", gone(guest, "nic0")):
        return
    guest.qmp.command("netdev_del", id="net0")
    t.equal("with its netdev the device is closed", stats.queues(guest.pid), {})
    t.check("a netdev that is gone has no counters",
            "net0" in refusal(lambda: queried(guest, netdev="net0")))
    guest.qmp.command("netdev_add", type="tap", id="net1", ifname=TAP, script="no", downscript="no",
                      vhostdev=NODE)
    guest.qmp.command("device_add", driver="virtio-net-pci", id="nic1", netdev="net1", bus="port0",
                      mac=GUEST_MAC, romfile="")
    guest.sh(f"while ! ip link set eth0 up; do sleep 0.2; done; ip addr add {GUEST_IP}/24 dev eth0",
             timeout=90)
    t.equal("plugged again: no ping is lost", lost(guest), 0)
    counters(t, guest, "net1")


def one_guest(t, program):
    """All that one guest shows."""
    backend.load_beside(f"max_mem_regions={SLOTS}")
    qtest(t, os.path.dirname(program))
    port = ("-device", "pcie-root-port,id=port0,chassis=1")
    with Guest("direct", name="qemu", program=program, node=NODE, vhostdev=True, cpu=processor(),
               more_memory=f",slots={SLOTS},maxmem=4G", words=port,
               device=",bus=port0,id=nic0") as guest:
        print(f"# booted in {guest.boot_seconds:.1f} s", flush=True)
        guest.check_vhost()
        t.check("vhostdev=: QEMU holds the node that it was told", True)
        t.equal("no ping is lost", lost(guest), 0)
        counters(t, guest, "net0")
        slots(t, guest)
        replug(t, guest)


def moves(t, program):
    """From Debian's QEMU to the patched one and back."""
    with Journey("direct", programs=(PROGRAM, program, PROGRAM)) as journey:
        journey.under_way()
        for who in ("Debian's QEMU to the patched one", "the patched QEMU to Debian's"):
            hop(t, journey, "direct", "", who)
        ending(t, journey, "between Debian's QEMU and the patched one")


def main():
    """Run."""
    with Ktap() as t:
        program = os.path.join(build(), PROGRAM)
        if backend.missing("direct"):
            t.skip("the patched QEMU", "the modules are not built")
        elif not os.path.exists(program):
            t.skip("the patched QEMU", "it isn't built here: make test-qemu builds and runs it")
        else:
            try:
                one_guest(t, os.path.realpath(program))
                moves(t, os.path.realpath(program))
                backend.unload_all()
                t.check("the modules unload afterwards", True)
            except (GuestError, LabError, backend.BackendError, OSError) as error:
                t.check("no error", False, error)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU of qemu-patches/, which `make qemu` builds, on this project's module.

Its own qtest; then a nested guest by vhostdev=: the counters over QMP beside those of debugfs,
the module's limit of memory slots, card and netdev unplugged and plugged again, and a second card on
stock's module, which has no counters; unplugging and plugging with four pairs of queues; a guest
that migrates from Debian's QEMU to the patched one and back, under traffic; and one on stock's
module, by vhost=on and by vhostdev=.
"""
# vm: timeout=600 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=1200

import contextlib
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
from nested import backend, carry, measure, stats  # noqa: E402
from nested.guest import (  # noqa: E402
    GUEST_IP, GUEST_MAC, PROGRAM, TAP, Guest, GuestError, processor)
from nested.migrate import Journey  # noqa: E402
from nested.queues import ETHTOOL, all_carry, ethtool, workers  # noqa: E402
from vdlab import patched  # noqa: E402
from vdlab.paths import REPO, LabError  # noqa: E402
from vdtest import write  # noqa: E402

NODE, STOCK = "/dev/vhost-direct-net", "/dev/vhost-net"
# The guest alone has fewer regions; each memory module that is plugged is one more.
SLOTS = 8
MORE = f",slots={SLOTS},maxmem=4G"
PAIRS, RATE, INITRD = 4, 300, "/tmp/queues.cpio"
TRACING = "/sys/kernel/tracing"
# What debugfs says of a queue besides its counters (vhost/debugfs.c).
NO_COUNTERS = {"metadata", "ring_size", "ring_kind"}


def series():
    """Which series is for this Debian."""
    with open("/etc/os-release", encoding="utf-8") as file:
        return patched.version_for(re.search(r"^VERSION_CODENAME=(\w+)", file.read(), re.M)[1])


def to_test(t, version, tree=REPO):
    """Is there a QEMU to test? None is a skip, one that isn't of the series as it is here a failure."""
    if not patched.built(version, tree):
        t.skip("the patched QEMU", "it isn't built here: make test-qemu builds and runs it")
        return False
    why = patched.stale(version, tree)
    return t.check("the patched QEMU is of the series as it is now", not why, why)


@contextlib.contextmanager
def closed_twice():
    """A list that has in the end what QEMU closed though it wasn't open, as the kernel traces it."""
    found, close = [], f"{TRACING}/events/syscalls/sys_exit_close"
    # EBADF
    for name, text in ((f"{close}/filter", 'comm == "qemu-system-x86" && ret == -9'),
                       (f"{TRACING}/trace", ""), (f"{close}/enable", "1")):
        write(name, text)
    try:
        yield found
    finally:
        write(f"{close}/enable", "0")
        with open(f"{TRACING}/trace", encoding="ascii", errors="replace") as file:
            found += [line.strip() for line in file if "sys_close" in line]


def qtest(t, folder):
    """The series' own test, with a device; no file is closed twice, be it another's by then."""
    with closed_twice() as found:
        run_qtest(t, folder)
    t.equal("qtest: QEMU closes nothing that isn't open", found, [])


def run_qtest(t, folder):
    """Each of its cases is a check."""
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


def told_of(schema, helped):
    """What of the series QEMU's introspection, SCHEMA, and its -help, HELPED, lack: texts."""
    commands = {item["name"]: item for item in schema if item["meta-type"] == "command"}
    taps = [names for item in schema if item["meta-type"] == "object"
            and {"vhostfds", "ifname"} <= (names := {member["name"] for member in item["members"]})]
    lacking = [] if taps and all("vhostdev" in names for names in taps) else ["QMP: netdev tap has no vhostdev"]
    query = commands.get("x-query-vhost-net-stats", {})
    lacking += [] if "unstable" in query.get("features", ()) else ["QMP: no command x-query-vhost-net-stats, unstable"]
    tap = re.search(r"^-netdev tap,.*?^-netdev \w", helped, re.M | re.S)
    return lacking + [f"-help: -netdev tap has no {words}" for words in ("[,vhostdev=path]", "use 'vhostdev=path' to open")
                      if words not in (tap[0] if tap else "")]


def interfaces(t, guest, program):
    """The option and the command are where programs and people look for them."""
    done = subprocess.run([program, "-help"], capture_output=True, text=True, check=False)
    t.equal("what introspection and -help lack", told_of(
        guest.qmp.command("query-qmp-schema"), done.stdout), [])


def rule(t):
    """What docs/operators.md tells AppArmor to allow is the file that QEMU reads."""
    number = os.stat(NODE).st_rdev
    path = os.path.realpath(f"/sys/dev/char/{os.major(number)}:{os.minor(number)}/max_mem_regions")
    with open(os.path.join(_HERE, "..", "..", "docs", "operators.md"), encoding="utf-8") as file:
        rules = [line.strip() for line in file if re.match(r"    /.* rw?,$", line)]
    t.check("AppArmor: docs/operators.md allows the node, and the limit that QEMU reads there",
            os.path.exists(path) and {f"{path} r,", f"{NODE} rw,"} <= set(rules), (path, rules))


def queried(guest, **arguments):
    """{"0/rx": {name: number}} as QMP tells."""
    found = {}
    for queue in guest.qmp.command("x-query-vhost-net-stats", **arguments):
        name = f"{queue['queue'] // 2}/{('rx', 'tx')[queue['queue'] % 2]}"
        found[name] = {item["name"]: item["value"] for item in queue["stats"]}
    return found


def told(guest, netdev=""):
    """What `info vhost-net-stats` prints."""
    return guest.qmp.command("human-monitor-command",
                             **{"command-line": f"info vhost-net-stats {netdev}"}).replace("\r", "")


def printed(text, netdev):
    """{"0/rx": {name: number}} as `info vhost-net-stats` prints."""
    found, values = {}, {}
    for line in text.splitlines():
        head = re.fullmatch(rf"{netdev}: queue (\d+) \((rx|tx)\):", line)
        if head:
            values = found[f"{int(head[1]) // 2}/{head[2]}"] = {}
        else:
            name, number = line.split()
            values[name] = int(number)
    return found


def unlike(before, now, after):
    """What NOW, counters by queue, has otherwise than debugfs BEFORE and AFTER: names, or numbers."""
    wrong = []
    for queue, values in now.items():
        names = set(before.get(queue, ())) - NO_COUNTERS
        wrong += [(queue, name, "in debugfs alone" if name in names else "not in debugfs")
                  for name in sorted(names ^ set(values))]
        wrong += [(queue, name, value) for name, value in values.items() if name in names
                  and not before[queue][name] <= value <= after.get(queue, {}).get(name, -1)]
    return wrong


def counters(t, guest, netdev, pairs=1):
    """QMP has debugfs' counters, and so has what is for people: none less, none more, and each
    number lies between debugfs' before and after, of each queue.
    """
    who, before = f"{guest.setup.name}: {netdev}", stats.queues(guest.pid)
    shown = {"x-query-vhost-net-stats": queried(guest, netdev=netdev),
             "info vhost-net-stats": printed(told(guest, netdev), netdev)}
    after = stats.queues(guest.pid)
    wanted = sorted(f"{pair}/{way}" for pair in range(pairs) for way in ("rx", "tx"))
    for name, now in shown.items():
        if not t.equal(f"{who}: {name} has all queues", sorted(now), wanted):
            continue
        t.equal(f"{who}: {name}: each queue's counters are debugfs'", unlike(before, now, after), [])
        moved = {queue: values.get("packets") for queue, values in now.items()}
        print(f"# {who}: packets {moved}", flush=True)
        t.check(f"{who}: {name}: packets are counted in each queue", all(moved.values()), moved)


def no_counters(t, guest, netdev, whose):
    """A back end that has none is said to have none, and isn't in the list of all."""
    t.check(f"{whose}: x-query-vhost-net-stats says that there are none",
            "keeps no statistics" in refusal(lambda: queried(guest, netdev=netdev)))
    text = told(guest, netdev)
    t.check(f"{whose}: so does info vhost-net-stats", "keeps no statistics" in text, text)
    t.equal(f"{whose}: asked for all netdevs neither has any",
            (queried(guest), told(guest)), ({}, ""))


def refusal(call):
    """What QEMU says against it; an empty string if nothing."""
    try:
        call()
    except LabError as error:
        return str(error)
    return ""


def slots(t, guest, whose):
    """Memory is plugged until the limit that was set is met; without one it is 64."""
    why, plugged = "", 0
    while not why and plugged < SLOTS:
        guest.qmp.command("object-add", **{"qom-type": "memory-backend-ram", "id": f"m{plugged}",
                                           "size": 128 << 20})
        why = refusal(lambda: guest.qmp.command("device_add", driver="pc-dimm", id=f"d{plugged}",
                                                memdev=f"m{plugged}"))
        plugged += not why
    print(f"# {plugged} memory modules, then: {why}", flush=True)
    t.check(f"memory is plugged up to the limit of {whose}",
            plugged and "free memory slots" in why, (plugged, why))
    t.equal(f"{guest.setup.name}: and vhost goes on", lost(guest), 0)


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


def unplug(t, guest, number, node):
    """Card and netdev go; the node's descriptors with them."""
    guest.qmp.command("device_del", id=f"nic{number}")
    if not t.check(f"{guest.setup.name}: nic{number} is unplugged", gone(guest, f"nic{number}")):
        raise GuestError(f"nic{number} stays")
    guest.qmp.command("netdev_del", id=f"net{number}")
    t.equal(f"{guest.setup.name}: with net{number} the node is closed", guest.holds(node), 0)
    t.check(f"{guest.setup.name}: a netdev that is gone has no counters",
            f"net{number}" in refusal(lambda: queried(guest, netdev=f"net{number}")))


def plug(t, guest, number, node, pairs=1):
    """Others come, with as many descriptors as pairs of queues."""
    many = {"queues": pairs} if pairs > 1 else {}
    guest.qmp.command("netdev_add", type="tap", id=f"net{number}", ifname=TAP, script="no",
                      downscript="no", vhostdev=node, **many)
    t.equal(f"{guest.setup.name}: net{number}: an open file for each pair of queues",
            guest.holds(node), pairs)
    many = {"mq": True, "vectors": 2 * pairs + 2} if pairs > 1 else {}
    guest.qmp.command("device_add", driver="virtio-net-pci", id=f"nic{number}",
                      netdev=f"net{number}", bus="port0", mac=GUEST_MAC, romfile="", **many)
    guest.sh(f"while ! ip link set eth0 up; do sleep 0.2; done; ip addr add {GUEST_IP}/24 dev eth0",
             timeout=90)


def beside(t, guest, netdev):
    """Another card, on stock's module: the list of all has the counters of the one that has some."""
    guest.qmp.command("netdev_add", type="tap", id="beside", script="no", downscript="no",
                      vhostdev=STOCK)
    guest.qmp.command("device_add", driver="virtio-net-pci", netdev="beside", bus="port1", romfile="")
    found = guest.qmp.command("x-query-vhost-net-stats")
    t.equal("a card on stock's module beside: the list of all has the queues of the other, and no more",
            [(queue["netdev"], queue["queue"]) for queue in found], [(netdev, 0), (netdev, 1)])
    t.check("and stock's is said to have no counters",
            "keeps no statistics" in refusal(lambda: queried(guest, netdev="beside")))


def machine(module, name, program, **setup):
    """A guest of the patched QEMU whose card can be unplugged, and another plugged."""
    return Guest(module, name=name, program=program, cpu=processor(),
                 words=("-device", "pcie-root-port,id=port0,chassis=1",
                        "-device", "pcie-root-port,id=port1,chassis=2"),
                 device=",bus=port0,id=nic0", **setup)


def one_guest(t, program):
    """All that one guest with one pair of queues shows."""
    backend.load_beside(f"max_mem_regions={SLOTS}")
    rule(t)
    qtest(t, os.path.dirname(program))
    with machine("direct", "one-pair", program, node=NODE, vhostdev=True,
                 more_memory=MORE) as guest:
        print(f"# booted in {guest.boot_seconds:.1f} s", flush=True)
        guest.check_vhost()
        interfaces(t, guest, program)
        t.equal("vhostdev=: QEMU holds the node that it was told, once", guest.holds(NODE), 1)
        t.equal("no ping is lost", lost(guest), 0)
        counters(t, guest, "net0")
        slots(t, guest, "the device's own module")
        unplug(t, guest, 0, NODE)
        t.equal("no device of ours is left", stats.queues(guest.pid), {})
        plug(t, guest, 1, NODE)
        t.equal("plugged again: no ping is lost", lost(guest), 0)
        counters(t, guest, "net1")
        beside(t, guest, "net1")


def every_queue(t, guest, netdev):
    """Each pair has a device, a worker and traffic, and its own counters are shown."""
    ethtool(guest, f"-L combined {PAIRS}")
    with carry.Traffic(guest, [TAP], RATE) as traffic:
        t.equal(f"{netdev}: every queue of {PAIRS} pairs carries frames",
                all_carry(guest, traffic, PAIRS), [])
        counts = traffic.finish()
    t.equal(f"{netdev}: nothing twice, nothing changed", carry.wrong(counts), {})
    t.equal(f"{netdev}: a device for each pair", len(stats.queues(guest.pid)), 2 * PAIRS)
    t.equal(f"{netdev}: a worker for each pair", len(workers(guest.pid)), PAIRS)
    counters(t, guest, netdev, PAIRS)


def many_queues(t, program):
    """Several pairs of queues: the node is opened for each, and plugged again for each."""
    backend.load_beside()
    with machine("direct", "four-pairs", program, node=NODE, vhostdev=True, queues=PAIRS,
                 initrd=carry.initrd(INITRD, [ETHTOOL]), memory=256) as guest:
        print(f"# {PAIRS} pairs: booted in {guest.boot_seconds:.1f} s", flush=True)
        guest.check_vhost()
        t.equal(f"{PAIRS} pairs: vhostdev= is opened for each", guest.holds(NODE), PAIRS)
        every_queue(t, guest, "net0")
        unplug(t, guest, 0, NODE)
        t.equal("no device, no worker of ours is left",
                (stats.queues(guest.pid), workers(guest.pid)), ({}, {}))
        plug(t, guest, 1, NODE, PAIRS)
        every_queue(t, guest, "net1")


def stock_guest(t, program):
    """Stock's module, plain vhost=on: as without the patches; then its node by vhostdev=."""
    backend.unload_all()
    # The parameter is vhost's, which may have stayed behind vhost_net.
    for words in ("-r vhost", f"vhost max_mem_regions={SLOTS}"):
        subprocess.run(["modprobe", *words.split()], check=True)
    try:
        with machine("stock", "stock-node", program, more_memory=MORE) as guest:
            print(f"# on stock's module: booted in {guest.boot_seconds:.1f} s", flush=True)
            guest.check_vhost()
            t.equal("stock by vhost=on: QEMU opens stock's node, once", guest.holds(STOCK), 1)
            t.equal("stock by vhost=on: no ping is lost", lost(guest), 0)
            no_counters(t, guest, "net0", "stock by vhost=on")
            slots(t, guest, "stock's module")
            unplug(t, guest, 0, STOCK)
            plug(t, guest, 1, STOCK)
            guest.check_vhost()
            t.equal("stock by vhostdev=: no ping is lost", lost(guest), 0)
            no_counters(t, guest, "net1", "stock by vhostdev=")
            t.check("stock: QEMU doesn't warn of a limit that the device lacks",
                    "memory slots from the device" not in guest.said(), guest.said())
    finally:
        subprocess.run(["modprobe", "-r", "vhost_net"], check=True)


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
        version = series()
        if not to_test(t, version):
            return
        if backend.missing("direct"):
            t.skip("the patched QEMU", "the modules are not built")
            return
        program = os.path.realpath(os.path.join(patched.folder_for(version), PROGRAM))
        for part in (one_guest, many_queues, moves, stock_guest):
            try:
                part(t, program)
                backend.unload_all()
                t.check(f"{part.__name__}: the modules unload afterwards", True)
            except (GuestError, LabError, backend.BackendError, OSError,
                    subprocess.CalledProcessError) as error:
                t.check(f"{part.__name__}: no error", False, error)


if __name__ == "__main__":
    main()

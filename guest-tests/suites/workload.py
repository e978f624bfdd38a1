#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The load generator in a nested guest: by rings of packets, UDP and io_uring, both ways at once and
as round trips, on stock's back end and on ours. Nothing is lost but where a queue was full, which is
counted; nothing comes twice, out of order or changed.
"""
# vm: timeout=480 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=480

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from nested import backend, carry  # noqa: E402
from nested.guest import GUEST_IP, HOST_IP, TAP, Guest, GuestError, processor  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

PROGRAM, INITRD = "/vd/build/guest-tests/vdload", "/tmp/workload.cpio"
PATHS = ("packet", "udp", "uring")
FULL = os.environ.get("VD_FULL", "0") != "0"
# An emulated guest in an emulated machine: what it manages is not the question.
RATE, COUNT = 1000, 100000 if FULL else 1500
LIMIT = 60 + 3 * COUNT / RATE
# On a crowded machine a guest was seen to need more than the usual 90 s.
BOOT = 180
BACKENDS = ("stock", "direct", "user") if FULL else ("stock", "direct")


def host_load(words):
    """vdload on the host VM."""
    return subprocess.Popen([PROGRAM, *words.split(), "--dev", TAP, "--json"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def host_result(process):
    """Its results, and what it said."""
    try:
        out, said = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        raise GuestError(f"vdload on the host: no end after {LIMIT:.0f} s: {said}") from None
    return json.loads(out or "{}"), said


def in_guest(words):
    """The command for vdload in the guest, whose standard output is its JSON."""
    return f"rm -f /tmp/json; {PROGRAM} {words} --dev eth0 --json=/tmp/json >/tmp/said 2>&1; cat /tmp/json || cat /tmp/said"


def full_queues(guest):
    """Frames that some queue on the way had no room for."""
    def read(name):
        with open(f"/sys/class/net/{TAP}/statistics/{name}", encoding="ascii") as file:
            return int(file.read())
    there = guest.sh("cat /sys/class/net/eth0/statistics/rx_dropped /sys/class/net/eth0/statistics/tx_dropped")
    return read("tx_dropped") + read("rx_dropped") + sum(map(int, there.split()))


def judge(t, name, result, said, full):
    """Everything came once and unchanged, or met a full queue."""
    got = result.get("received") or {}
    print(f"# {name}: {result.get('verdict')}, {json.dumps(got)}", flush=True)
    for way in ("one_way", "round_trip"):
        if "p50" in result.get(way, {}):
            print(f"# {name}: {way}: {json.dumps(result[way])}", flush=True)
    wrong = [f"{what} {got.get(what)}" for what in ("duplicated", "reordered", "corrupt", "stale", "foreign")
             if got.get(what) != 0]
    lost = got.get("lost", COUNT) - got.get("queue_full", 0) - full
    t.check(name, got.get("expected") == COUNT and not wrong and lost <= 0,
            f"{', '.join(wrong)}; {got.get('lost')} lost, {full} and {got.get('queue_full')} met a full queue\n"
            f"{said}\n{json.dumps(result)}")


def both_ways(t, name, guest, path):
    """Guest and host each send to the other."""
    common = f"both --path {path} --rate {RATE} --count {COUNT} --flows 4 --mix imix --burst 8 --wait 30"
    before = full_queues(guest)
    there = in_guest(f"{common} --to {HOST_IP}")
    guest.send(there)
    host, said = host_result(host_load(f"{common} --to {GUEST_IP}"))
    answer = guest.receive(there, LIMIT)
    try:
        here = json.loads(answer)
    except ValueError:
        raise GuestError(f"vdload in the guest: {answer}") from None
    full = full_queues(guest) - before
    judge(t, f"{name}: guest to host", host, said, full)
    judge(t, f"{name}: host to guest", here, "", full)
    t.equal(f"{name}: two kernels, so one-way latency isn't told", here.get("one_way"),
            {"why_not": "clocks not comparable"})
    return here


def round_trips(t, name, guest, path):
    """The guest asks, the host answers."""
    before = full_queues(guest)
    echo = host_load(f"echo --path {path} --duration {LIMIT - 10}")
    for line in echo.stderr:
        if line.startswith("vdload: ready"):
            break
    answer = guest.sh(in_guest(f"ping --path {path} --to {HOST_IP} --rate {RATE} --count {COUNT} --burst 1 "
                               "--window 64 --timeout 5000 --linger 3000"), LIMIT)
    host, said = host_result(echo)
    full = full_queues(guest) - before
    judge(t, f"{name}: at the echo", host, said, full)
    judge(t, f"{name}: round trips", json.loads(answer), "", full + host["received"]["queue_full"])


def told(t, name, result):
    """What the guest's end says it was given: by which card, and which path."""
    host, sent = result.get("host", {}), result.get("granted_to_send", {})
    for what, facts in (("host", host), ("granted_to_send", sent), ("granted_to_receive", result.get("granted_to_receive"))):
        print(f"# {name}: {what}: {json.dumps(facts)}", flush=True)
    t.check(f"{name}: it names card, features and path", "driver virtio_net" in host.get("interface", "") and
            "VERSION_1" in host.get("virtio", "") and "offloads" in host and "send" in sent, json.dumps(result))


def on_backend(t, name):
    """All of it in a guest on this back end."""
    with Guest(name, cpu=processor(), initrd=INITRD, memory=384, boot_limit=BOOT) as guest:
        print(f"# {name}: booted in {guest.boot_seconds:.1f} s", flush=True)
        guest.check_vhost()
        for path in PATHS:
            result = both_ways(t, f"{name}, {path}", guest, path)
            told(t, f"{name}, {path}", result)
            round_trips(t, f"{name}, {path}", guest, path)
    backend.unload_all()
    t.check(f"{name}: the modules unload afterwards", True)


def main():
    """Run."""
    with Ktap() as t:
        carry.initrd(INITRD, [PROGRAM])
        for name in BACKENDS:
            if backend.missing(name):
                t.skip(f"{name}: vdload in a guest", "the modules are not built")
                continue
            try:
                on_backend(t, name)
            except (GuestError, LabError, OSError) as error:
                t.check(f"{name}: no error", False, error)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The load generator in a nested guest: by rings of packets, UDP and io_uring, both ways at once and
as round trips, on stock's back end and on ours; over IPv6, and two senders at once. Nothing is lost but where a queue was full, which is
counted; nothing comes twice, out of order or changed.
"""
# vm: timeout=480 no-sanitizer="a nested guest needs kvm_amd and is too slow there"
# One processor that ticks all the time: docs/maintainers.md, "Nested guests".
# vm: smp=1 append="nohz=off highres=off"
# vm 7.2: timeout=480

import json
import os
import re
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
STATISTICS = f"/sys/class/net/{TAP}/statistics"
HOST_SIX, GUEST_SIX = "fd00:77::1", "fd00:77::2"
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
    """Frames that some queue on the way had no room for: [guest to host, host to guest]."""
    def read(name):
        with open(os.path.join(STATISTICS, name), encoding="ascii") as file:
            return int(file.read())
    there = guest.sh("cat /sys/class/net/eth0/statistics/tx_dropped /sys/class/net/eth0/statistics/rx_dropped")
    # The tap receives what the guest sends.
    return [read(name) + int(card) for name, card in zip(("rx_dropped", "tx_dropped"), there.split())]


def full_since(guest, before):
    """Those of full_queues() that weren't BEFORE. Each direction for itself: one's may not excuse the other's loss."""
    return [now - then for now, then in zip(full_queues(guest), before)]


def judge(t, name, result, said, full, count=COUNT):
    """Everything came once and unchanged, or met a full queue."""
    got = result.get("received") or {}
    print(f"# {name}: {result.get('verdict')}, {json.dumps(got)}", flush=True)
    for way in ("one_way", "round_trip"):
        if "p50" in result.get(way, {}):
            print(f"# {name}: {way}: {json.dumps(result[way])}", flush=True)
    wrong = [f"{what} {got.get(what)}" for what in ("duplicated", "reordered", "corrupt", "stale", "foreign")
             if got.get(what) != 0]
    lost = got.get("lost", count) - got.get("queue_full", 0) - full
    t.check(name, got.get("expected") == count and not wrong and lost <= 0,
            f"{', '.join(wrong)}; {got.get('lost')} lost, {full} and {got.get('queue_full')} met a full queue\n"
            f"{said}\n{json.dumps(result)}")


def both_ways(t, name, guest, path, host_ip=HOST_IP, guest_ip=GUEST_IP):
    """Guest and host each send to the other."""
    common = f"both --path {path} --rate {RATE} --count {COUNT} --flows 4 --mix imix --burst 8 --wait 30"
    before = full_queues(guest)
    there = in_guest(f"{common} --to {host_ip}")
    guest.send(there)
    host, said = host_result(host_load(f"{common} --to {guest_ip}"))
    answer = guest.receive(there, LIMIT)
    try:
        here = json.loads(answer)
    except ValueError:
        raise GuestError(f"vdload in the guest: {answer}") from None
    to_host, to_guest = full_since(guest, before)
    judge(t, f"{name}: guest to host", host, said, to_host)
    judge(t, f"{name}: host to guest", here, "", to_guest)
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
    to_host, to_guest = full_since(guest, before)
    judge(t, f"{name}: at the echo", host, said, to_host)
    judge(t, f"{name}: round trips", json.loads(answer), "", to_host + to_guest + host["received"]["queue_full"])


def six(t, name, guest):
    """IPv6: both ways by rings of packets, and two senders of the guest to one receiver. Comes last: the tap speaks by itself then."""
    for command in (f"sysctl -qw net.ipv6.conf.{TAP}.disable_ipv6=0", f"ip addr add {HOST_SIX}/64 dev {TAP} nodad"):
        subprocess.run(command.split(), check=True)
    guest.sh(f"echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; ip addr add {GUEST_SIX}/64 dev eth0")
    name += ", IPv6"
    result = both_ways(t, name, guest, "packet", HOST_SIX, GUEST_SIX)
    t.equal(f"{name}: it says so", result.get("family"), "ipv6")
    before = full_queues(guest)
    receiver = host_load(f"receive --ipv6 --senders 2 --path udp --duration {LIMIT - 10} --linger 2000")
    for line in receiver.stderr:
        if line.startswith("vdload: ready"):
            break
    common = f"--to {HOST_SIX} --dev eth0 --rate {RATE / 2:g} --count {COUNT // 2} --mix imix --burst 8"
    guest.sh(f"{PROGRAM} send --path packet --source-port 20000 {common} >/tmp/one 2>&1 & "
             f"{PROGRAM} send --path uring --source-port 30000 {common} >/tmp/two 2>&1; wait", LIMIT)
    host, said = host_result(receiver)
    to_host, _ = full_since(guest, before)
    judge(t, f"{name}: two senders of the guest to one receiver", host, said, to_host, COUNT // 2 * 2)
    found = sorted((sender["from"], sender["state"], sender["expected"], sender["one_way"]) for sender in host.get("senders") or [])
    t.equal(f"{name}: each by itself", found, [
        (f"[{GUEST_SIX}]:{port}", "ended", COUNT // 2, {"why_not": "clocks not comparable"}) for port in (20000, 30000)])


def told(t, name, result):
    """What the guest's end says it was given: by which card, and which path."""
    host, sent = result.get("host", {}), result.get("granted_to_send", {})
    for what, facts in (("host", host), ("granted_to_send", sent), ("granted_to_receive", result.get("granted_to_receive"))):
        print(f"# {name}: {what}: {json.dumps(facts)}", flush=True)
    t.check(f"{name}: it names card, features and path", "driver virtio_net" in host.get("interface", "") and
            "VERSION_1" in host.get("virtio", "") and "offloads" in host and "send" in sent, json.dumps(result))
    # Both came with 6.0; without them it goes on, by what is slower, and is to say so.
    if result.get("path") == "uring" and [int(word) for word in re.findall(r"\d+", result["kernel"])[:2]] >= [6, 0]:
        t.check(f"{name}: zero copy, and a request that stays, as this kernel has them", "SEND_ZC" in sent.get("send", "") and
                "multishot" in (result.get("granted_to_receive") or {}).get("receive", ""), json.dumps(result))


def on_backend(t, name):
    """All of it in a guest on this back end."""
    with Guest(name, cpu=processor(), initrd=INITRD, memory=384, boot_limit=BOOT) as guest:
        print(f"# {name}: booted in {guest.boot_seconds:.1f} s", flush=True)
        guest.check_vhost()
        for path in PATHS:
            result = both_ways(t, f"{name}, {path}", guest, path)
            told(t, f"{name}, {path}", result)
            round_trips(t, f"{name}, {path}", guest, path)
        six(t, name, guest)
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

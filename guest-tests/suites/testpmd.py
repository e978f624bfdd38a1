#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""DPDK's testpmd, unmodified, with virtio_user on /dev/vhost-net: stock's module first, to
know what to expect, then this project's in its place."""
# vm: timeout=400

import glob
import os
import re
import select
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import SLOW, Ktap, load, sh, unload  # noqa: E402

TAP = "vdpmd0"
ETHERTYPE = 0x88b7  # IEEE: local experimental
FRAMES = 3000
# So many must be sent where testpmd makes them, and more are waited for.
LEAST, SENT = 5000, 8000
# Fewer under way than any queue on the road holds.
BATCH = 128
# Queue size, what virtio_user is told, and the kind of ring that makes.
KINDS = ((256, "", "split,in-order"), (1024, ",in_order=0", "split"),
         (256, ",packed_vq=1,in_order=0", "packed"), (1024, ",packed_vq=1", "packed,in-order"))


class Testpmd:
    """A testpmd with one virtio_user port, told what to do by its prompt."""

    def __init__(self, queue_size, rings):
        self.out = ""
        # The main thread keeps off the forwarding thread's processor.
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            # Its output must not wait in a buffer: the prompt doesn't.
            ["stdbuf", "-o0", "dpdk-testpmd", "-l", "0-1", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry",
             f"--vdev=net_virtio_user0,path=/dev/vhost-net,iface={TAP},queue_size={queue_size}{rings}",
             "--", "-i", f"--txd={queue_size}", f"--rxd={queue_size}", "--port-topology=loop",
             "--total-num-mbufs=8192"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)

    def until(self, text, limit=40 * SLOW):
        """Read until TEXT appears; returns what was read."""
        seen, end = "", time.monotonic() + limit
        while text not in seen:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                self.out += seen
                raise RuntimeError(f"testpmd did not say {text!r}, but:\n{self.out[-3000:]}")
            seen += data.decode(errors="replace")
        self.out += seen
        return seen

    def tell(self, *commands):
        """Type commands; returns what it said to them."""
        said = ""
        for command in commands:
            self.process.stdin.write(f"{command}\n".encode())
            said += self.until("testpmd> ")
        return said

    def counts(self):
        """Its own statistics of the port."""
        said = self.tell("show port stats 0")
        return {name: int(value) for name, value in re.findall(r"([RT]X-[a-z]+): +(\d+)", said)}

    def quit(self):
        """End it; returns its exit status."""
        self.process.stdin.write(b"quit\n")
        try:
            return self.process.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def backend_stats(pid):
    """What our back end counted for a process; None for stock's."""
    found = {}
    for path in glob.glob(f"/sys/kernel/debug/vhost_direct/{pid}-*/[rt]x"):
        with open(path, encoding="ascii") as file:
            found[os.path.basename(path)] = dict(line.split()[:2] for line in file)
    return found or None


def tap_stat(name):
    """A counter of the tap."""
    with open(f"/sys/class/net/{TAP}/statistics/{name}", encoding="ascii") as file:
        return int(file.read())


def tap_seen():
    """Frames that came to it, whatever became of them."""
    return tap_stat("rx_packets") + tap_stat("rx_dropped")


def packet_socket():
    """The far side."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    sock.bind((TAP, ETHERTYPE))
    sock.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    sock.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
    sock.setblocking(False)
    return sock


def frame(number):
    """A frame that tells from others, of varying length."""
    head = b"\x02peer\x01\x02peer\x02" + ETHERTYPE.to_bytes(2, "big")
    body = number.to_bytes(4, "big")
    return head + body * (12 + number % 300)


def feed(sock, pmd, back):
    """Sends FRAMES frames, BATCH at a time; returns those that came back, if BACK."""
    got, sent = [], 0
    while sent < FRAMES:
        for _ in range(min(BATCH, FRAMES - sent)):
            sock.send(frame(sent))
            sent += 1
        end = time.monotonic() + 5 * SLOW
        while time.monotonic() < end and (len(got) if back else pmd.counts()["RX-packets"]) < sent:
            while back:
                try:
                    got.append(sock.recv(4096))
                except BlockingIOError:
                    break
            time.sleep(0.001)
    return got


def flow(pmd, before):
    """Lets testpmd send until the tap has seen enough, which takes longer on some kernels."""
    end = time.monotonic() + 20 * SLOW
    pmd.tell("start")
    while tap_seen() - before < SENT and time.monotonic() < end:
        time.sleep(0.1)
    pmd.tell("stop")
    time.sleep(0.3)


def transmit(t, name, pmd):
    """txonly: what testpmd says it sent is what the tap got."""
    pmd.tell("set fwd txonly", "clear port stats all")
    before = tap_seen()
    flow(pmd, before)
    counts = pmd.counts()
    taken = tap_seen() - before
    t.check(f"{name}: txonly sends", counts["TX-packets"] > LEAST, counts)
    # Up to a ring of them may wait still.
    t.check(f"{name}: txonly, the tap got what was sent",
            counts["TX-packets"] - 1024 <= taken <= counts["TX-packets"], f"{counts}, tap {taken}")
    return counts


def transmit_segments(t, name, pmd):
    """txonly, frames in three segments: of our back end in indirect tables, whose header DPDK
    22.11 marks as writable in packed rings, against section 2.8.6."""
    pmd.tell("set fwd txonly", "set txpkts 100,200,90", "clear port stats all")
    frames, size = tap_stat("rx_packets"), tap_stat("rx_bytes")
    flow(pmd, tap_seen())
    pmd.tell("set txpkts 64")
    counts = pmd.counts()
    frames, size = tap_stat("rx_packets") - frames, tap_stat("rx_bytes") - size
    t.check(f"{name}: txonly sends frames in segments", counts["TX-packets"] > LEAST and frames > 1000,
            f"{counts}, tap {frames}")
    t.check(f"{name}: frames in segments arrive whole", size == 390 * frames, f"{size} of {frames}")
    return counts


def receive(t, name, pmd, sock):
    """rxonly: what was fed is what testpmd received."""
    pmd.tell("set fwd rxonly", "clear port stats all", "start")
    feed(sock, pmd, False)
    pmd.tell("stop")
    counts = pmd.counts()
    t.check(f"{name}: rxonly receives all", counts["RX-packets"] == FRAMES and not counts["RX-missed"],
            counts)
    return counts


def forward(t, name, pmd, sock):
    """io: every frame comes back as it was."""
    while True:
        try:
            sock.recv(4096)
        except BlockingIOError:
            break
    pmd.tell("set fwd io", "clear port stats all", "start")
    got = feed(sock, pmd, True)
    pmd.tell("stop")
    counts = pmd.counts()
    t.check(f"{name}: io forwards all, in order, unchanged", got == [frame(i) for i in range(FRAMES)],
            f"{len(got)} of {FRAMES} came back; {counts}")
    return counts


def direct(t, name, pmd, kind):
    """The back end's own statistics: all of it went through the windows, without a fault."""
    stats = backend_stats(pmd.process.pid)
    if not t.check(f"{name}: the back end is ours", stats, "no statistics in debugfs"):
        return
    kinds = {queue: values["ring_kind"] for queue, values in stats.items()}
    t.check(f"{name}: the rings are {kind}", set(kinds.values()) == {kind}, kinds)
    number = {queue: {key: int(value) for key, value in values.items() if value.isdigit()}
              for queue, values in stats.items()}
    good = all(n["bursts_direct"] > 20 and n["bursts_user"] * 50 < n["bursts_direct"]
               for n in number.values())
    t.check(f"{name}: through the windows", good and len(number) == 2, number)
    bad = [(queue, key) for queue, n in number.items() for key in ("faults", "malformed") if n[key]]
    t.check(f"{name}: no faults", not bad, number)


def session(t, name, queue_size, rings="", kind=None):
    """One testpmd, all three ways of forwarding. KIND of ring: on our back end."""
    pmd = Testpmd(queue_size, rings)
    try:
        pmd.until("testpmd> ")
        sh(f"sysctl -qw net.ipv6.conf.{TAP}.disable_ipv6=1; ip link set {TAP} up")
        sock = packet_socket()
        counts = [transmit(t, name, pmd), transmit_segments(t, name, pmd),
                  receive(t, name, pmd, sock), forward(t, name, pmd, sock)]
        errors = [(key, n) for c in counts for key, n in c.items() if "errors" in key and n]
        t.check(f"{name}: testpmd counts no errors", not errors, errors)
        if kind:
            direct(t, name, pmd, kind)
        status = pmd.quit()
        t.check(f"{name}: testpmd ends well", status == 0, f"status {status}\n{pmd.out[-2000:]}")
    except (RuntimeError, OSError, KeyError) as error:
        t.check(f"{name}: testpmd works", False, f"{error!r}\n{pmd.out[-3000:]}")
        pmd.process.kill()
        pmd.process.wait()


def main():
    """The suite."""
    with Ktap() as t:
        unload()
        done = sh("modprobe tun; modprobe vhost_net && test -c /dev/vhost-net")
        if t.check("stock's /dev/vhost-net", not done.returncode, done.stdout):
            session(t, "stock", 1024)
        done = sh("rmmod vhost_net")
        t.check("stock unloads", not done.returncode, done.stdout)
        load(takeover=True)
        for size, rings, kind in KINDS:
            session(t, f"takeover, queue_size={size}{rings}", size, rings, kind)
        said = unload()
        t.check("the modules unload", not said, said)


main()

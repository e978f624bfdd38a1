# SPDX-License-Identifier: GPL-2.0-only
"""What is asked of a nested guest: round trips, packets per second, contents.

Under emulation the figures are for orientation; that packets flow, all of them and
unchanged, is the point.
"""

import hashlib
import os
import re
import socket
import subprocess
import threading
import time

from .guest import GUEST_IP, GUEST_MAC, HOST_IP, TAP, GuestError

_PKTGEN = "/proc/net/pktgen"
_COUNTERS = "/sys/class/net/{}/statistics/{}"
# Not the tap's own address: the host VM's stack drops the frames early, unanswered.
_NOWHERE = "02:00:00:00:77:99"


def ping(guest, count=50, size=56):
    """Round trips from the host VM to the guest, in microseconds."""
    guest.sh("true")
    done = subprocess.run(["ping", "-n", "-q", "-c", str(count), "-i", "0.02", "-s", str(size),
                           "-W", "5", GUEST_IP], capture_output=True, text=True, check=False)
    got = re.search(r"(\d+) packets transmitted, (\d+) received", done.stdout)
    times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/", done.stdout)
    if not got or not times:
        raise GuestError(f"ping got no answer: {done.stdout.strip()[-300:]}{done.stderr.strip()}")
    low, mean, high = (round(float(value) * 1000) for value in times.groups())
    return {"sent": int(got[1]), "received": int(got[2]), "min_us": low, "avg_us": mean,
            "max_us": high}


def _read(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())


def _pktgen_lines(device, mac, source, target, size):
    """(file, line) pairs that set up pktgen; it runs until told to stop."""
    thread, card = f"{_PKTGEN}/kpktgend_0", f"{_PKTGEN}/{device}"
    lines = [(thread, "rem_device_all"), (thread, f"add_device {device}")]
    # pktgen counts the frame without its checksum of 4 bytes.
    settings = ("count 0", "clone_skb 0", f"pkt_size {max(size - 4, 42)}", "delay 0", f"dst {target}",
                f"src_min {source}", f"dst_mac {mac}", "udp_dst_min 9", "udp_dst_max 9")
    return lines + [(card, line) for line in settings]


def guest_to_host(guest, seconds=3.0, size=64):
    """Frames a second that pktgen in the guest gets out of the host VM's tap."""
    # "start" blocks its writer for the whole run, so it goes to the background.
    sent = f"cat {_COUNTERS.format('eth0', 'tx_packets')}"
    guest.sh("; ".join(f"echo '{line}' >{path}" for path, line in
                       _pktgen_lines("eth0", _NOWHERE, GUEST_IP, HOST_IP, size)))
    path = _COUNTERS.format(TAP, "rx_packets")
    received_before = _read(path)
    guest.sh(f"(echo start >{_PKTGEN}/pgctrl) >/dev/null 2>&1 &")
    _flowing(path, received_before + 100)
    before, began = _read(path), time.monotonic()
    time.sleep(seconds)
    count, spent = _read(path) - before, time.monotonic() - began
    guest.sh(f"echo stop >{_PKTGEN}/pgctrl", timeout=90)
    lost = _settled(lambda: int(guest.sh(sent)) - _read(path))
    return {"frames": count, "pps": round(count / spent), "size": size, "lost": lost}


def _flowing(path, count, limit=30.0):
    """Wait until pktgen is under way: on a loaded machine its thread may start late."""
    end = time.monotonic() + limit
    while _read(path) < count:
        if time.monotonic() > end:
            raise GuestError(f"pktgen did not get under way in {limit:.0f} s")
        time.sleep(0.1)


def _settled(difference, limit=20.0):
    """What is still missing on the far side once nothing moves any more.

    Both sides count from zero, the tap's and the guest's start: of two counters that are read one
    after the other while the guest says something of its own, a difference would be wrong by it.
    The guest counts a frame as sent when it takes note of its completion, which may be a
    while after the host has it: only a difference that stays for three seconds is one.
    """
    end, last, since = time.monotonic() + limit, None, 0
    while time.monotonic() < end:
        now = difference()
        if now != last:
            last, since = now, time.monotonic()
        if now == 0 or time.monotonic() - since > 3:
            break
        time.sleep(0.5)
    return now


def host_to_guest(guest, seconds=3.0, size=64):
    """Frames a second that reach the guest's card when pktgen fills the tap."""
    subprocess.run(["modprobe", "pktgen"], check=True)
    for path, line in _pktgen_lines(TAP, GUEST_MAC, HOST_IP, GUEST_IP, size):
        with open(path, "w", encoding="ascii") as file:
            file.write(line + "\n")

    def start():
        with open(f"{_PKTGEN}/pgctrl", "w", encoding="ascii") as file:
            file.write("start\n")

    # Timed in the guest by its own clock: its answers may come late under this load.
    counter = _COUNTERS.format("eth0", "rx_packets")
    probe = (f"a=$(cat {counter}); read s _ </proc/uptime; sleep {seconds:g}; "
             f"b=$(cat {counter}); read e _ </proc/uptime; echo $a $b $s $e")
    # The tap counts what the back end took out of its ring: that must all reach the card.
    taken, received = _COUNTERS.format(TAP, "tx_packets"), f"cat {counter}"
    taken_before = _read(taken)
    sender = threading.Thread(target=start, daemon=True)
    sender.start()
    try:
        _flowing(taken, taken_before + 100)
        first, last, began, ended = guest.sh(probe, timeout=seconds * 10 + 60).split()
    finally:
        # A stop that comes before the start has taken effect is forgotten.
        while sender.is_alive():
            with open(f"{_PKTGEN}/pgctrl", "w", encoding="ascii") as file:
                file.write("stop\n")
            sender.join(2)
    count = int(last) - int(first)
    lost = _settled(lambda: _read(taken) - int(guest.sh(received)))
    return {"frames": count, "pps": round(count / (float(ended) - float(began))), "size": size,
            "lost": lost}


def send_to_guest(guest, size=4 << 20):
    """A file of random bytes to the guest through TCP; both ends' checksums must agree."""
    data = os.urandom(size)
    command = "nc -l -p 7001 >/tmp/in && sha256sum /tmp/in && rm /tmp/in"
    guest.send(command)
    began = time.monotonic()
    with _connect(7001) as link:
        link.sendall(data)
        link.shutdown(socket.SHUT_WR)
        link.recv(1)
    there = guest.receive(command, timeout=120).split()[0]
    return _compared(there, hashlib.sha256(data).hexdigest(), size, began)


def _connect(port):
    """The guest's listener may need a moment."""
    end = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection((GUEST_IP, port), timeout=60)
        except OSError as error:
            if time.monotonic() > end:
                raise GuestError(f"cannot connect to the guest: {error}") from error
            time.sleep(0.2)


def fetch_from_guest(guest, size=4 << 20):
    """A file of random bytes from the guest through TCP; checksums as above."""
    there = guest.sh(f"head -c {size} /dev/urandom >/tmp/out && sha256sum /tmp/out").split()[0]
    total, began = hashlib.sha256(), time.monotonic()
    with socket.create_server((HOST_IP, 7002)) as server:
        server.settimeout(60)
        command = f"nc {HOST_IP} 7002 </tmp/out; rm /tmp/out"
        guest.send(command)
        link, _ = server.accept()
        with link:
            link.settimeout(60)
            while data := link.recv(1 << 16):
                total.update(data)
    guest.receive(command, timeout=120)
    return _compared(there, total.hexdigest(), size, began)


def _compared(there, here, size, began):
    if there != here:
        raise GuestError(f"contents differ: sha256 {there} in the guest, {here} in the host VM")
    return {"bytes": size, "mbit_s": round(size * 8e-6 / (time.monotonic() - began), 1),
            "sha256": here[:16]}

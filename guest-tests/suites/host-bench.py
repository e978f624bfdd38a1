#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""bench/host, where the running host is this virtual machine: it asks, measures, puts everything back."""
# vm: timeout=700 own-boot no-sanitizer="what it tests isn't in the modules"

import glob
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import METADATA, Ktap, sh, write  # noqa: E402

HERE = "/srv/host-bench"
HOST = f"{HERE}/bench/host"
OUT, OUT_MM = "/tmp/host-bench.json", "/tmp/host-bench-mm.json"
JOURNAL = "/var/lib/vhost-direct/bench-host.json"
PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
NODES = "/sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages"
UNLOAD = "modprobe -r vhost_net; modprobe -r tap tun vhost_iotlb"
LIMIT = 120


def checkout():
    """What a checkout on a host has; /vd is read-only."""
    shutil.copytree("/vd/bench", f"{HERE}/bench", ignore=shutil.ignore_patterns("__pycache__"))
    os.makedirs(f"{HERE}/build/bench")
    for name in ("vhost_direct.ko", "vhost_direct_net.ko", "build/bench/vring"):
        shutil.copy2(f"/vd/{name}", f"{HERE}/{name}")
    sys.path.insert(0, f"{HERE}/bench")
    # pylint: disable=import-outside-toplevel,import-error
    from vdbench import cells
    return (getattr(cells, "CORE", None) or cells.CELLS)[0].name


def state():
    """What a measurement could leave changed."""
    modules = {line.split()[0] for line in open("/proc/modules", encoding="ascii")}
    links = sorted(os.listdir("/sys/class/net"))
    names = ("/sys/kernel/mm/transparent_hugepage/enabled", PAGES, METADATA, *glob.glob(NODES))
    values = {path: open(path, encoding="ascii").read() for path in names if os.path.exists(path)}
    running = sorted(words for _, words in processes() if f"{HERE}/" in words)
    return {"modules": modules, "links": links, "values": values, "running": running,
            "journal": os.path.exists(os.path.dirname(JOURNAL)), "tmp": sorted(set(os.listdir("/tmp")) - {OUT[5:], OUT_MM[5:]})}


def processes():
    """(pid, command line) of all that live; who has ended has none."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                found.append((int(pid), file.read().replace("\0", " ").strip()))
        except OSError:
            pass
    return found


class Host:
    """bench/host with a terminal of its own, as a person starts it."""

    def __init__(self, *words, terminal=True):
        self.text, self.status = "", None
        ours, theirs = pty.openpty() if terminal else (None, subprocess.DEVNULL)
        self._terminal = ours
        self._process = subprocess.Popen([HOST, "--no-build", *words], stdin=theirs,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if terminal:
            os.close(theirs)

    def until(self, wanted, limit=LIMIT):
        """Read until the text WANTED has come; whether it has."""
        end = time.monotonic() + limit
        while wanted not in self.text and time.monotonic() < end:
            if not select.select([self._process.stdout], [], [], 0.5)[0]:
                continue
            more = os.read(self._process.stdout.fileno(), 65536)
            if not more:
                break
            self.text += more.decode(errors="replace")
        return wanted in self.text

    def say(self, text):
        """Type a line."""
        os.write(self._terminal, f"{text}\n".encode())

    def signal(self, number):
        """Send a signal to it alone."""
        self._process.send_signal(number)

    def end(self, limit=LIMIT):
        """Wait for its end; returns the status."""
        self.until("\0", limit)
        try:
            self.status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.status = "still running"
        if self._terminal is not None:
            os.close(self._terminal)
        return self.status


def running(what, limit=60):
    """Wait for a process with WHAT in its command line; its pid."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        for pid, words in processes():
            if what in words:
                return pid
        time.sleep(0.05)
    return None


def traffic():
    """Wait for vring to run."""
    return running("/files/vring ")


def as_before(t, what, before):
    """A test: nothing of BEFORE has changed."""
    t.equal(f"{what}: everything is as it was", state(), before)


def refusals(t, quick):
    """Before anything is changed."""
    before = state()
    host = Host("bench", "--", *quick, terminal=False)
    t.check("without a terminal it refuses", host.end() == 2 and "no terminal" in host.text, host.text)
    host = Host("bench", "--", *quick)
    asked = host.until("Type yes to go on")
    t.check("it says what it will do and asks", asked and "load modules" in host.text and
            "this machine is a virtual machine itself" in host.text, host.text)
    host.say("y")
    t.check("anything but yes is no", host.end() == 2 and "nothing was changed" in host.text, host.text)
    done = sh(["setpriv", "--reuid", "65534", "--clear-groups", HOST, "--yes", "--no-build"])
    t.check("not without root", done.returncode == 2 and "as root" in done.stdout, done.stdout)
    as_before(t, "refused", before)
    sh("modprobe vhost_net")
    with open("/dev/vhost-net", "rb"):
        done = sh([HOST, "--yes", "--no-build"])
        t.check("not while a guest uses vhost-net: it says who", done.returncode == 2 and
                f"in use by process {os.getpid()}" in done.stdout, done.stdout)
    sh(UNLOAD)
    done = sh([HOST, "--check", "--no-build"])
    t.check("--check explains and changes nothing", done.returncode == 0 and "It will" in done.stdout, done.stdout)
    as_before(t, "checked", before)


def measures(t, quick):
    """It works, says that it was the host, and leaves nothing."""
    before = state()
    host = Host("bench", "--", *quick)
    host.until("Type yes to go on")
    host.say("yes")
    status = host.end()
    t.check("a measurement works", status == 0, f"status {status}\n{host.text[-3000:]}")
    with open(OUT, encoding="utf-8") as file:
        found = json.load(file)
    t.equal("bench.json says that it was the host", found.get("accel"), "host")
    runs = [run for run in found["runs"] if run["kind"] == "timed"]
    t.equal("all back ends were measured", {run["backend"] for run in runs}, {"stock", "user", "direct"})
    t.check("and all runs are good", runs and all(run.get("result", {}).get("ok") for run in runs), f"{runs[:1]}")
    t.check("from this checkout", runs[0]["command"][0].startswith(HERE), f"{runs[0]['command']}")
    as_before(t, "measured", before)


def special(t):
    """Huge pages of both kinds, and the kernel's pktgen: rows that want something of the host."""
    before, names = state(), ("tx 64 hugetlb", "tx 64 thp", "rx 64 pktgen")
    host = Host("--yes", "bench", "--", "--json", OUT, "--backends", "direct", "--rounds", "1", "--seconds", "0.1",
                *(word for name in names for word in ("--cells", name)))
    status = host.end()
    t.check("rows on huge pages and of pktgen: measured", status == 0, f"status {status}\n{host.text[-3000:]}")
    with open(OUT, encoding="utf-8") as file:
        found = json.load(file)
    t.equal("all of them, on stock and on ours", [(entry["short"], sorted(entry["rate"])) for entry in found["cells"]],
            [(name, ["direct", "stock"]) for name in names])
    t.equal("nothing of them is left out", found["skipped"], [])
    as_before(t, "huge pages and pktgen", before)


def events(t):
    """bench-mm: what memory events cost, on the host."""
    before = state()
    host = Host("bench-mm", "--", "--json", OUT_MM, "--rates", "100", "--rounds", "1", "--slices", "4",
                "--slice-ms", "90", "--seconds", "0.3")
    t.check("bench-mm asks, too", host.until("Type yes to go on"), host.text)
    host.say("yes")
    status = host.end(2 * LIMIT)
    # 5: on a busy machine a storm may miss its rate, which bench-mm says.
    t.check("bench-mm: it works", status in (0, 5), f"status {status}\n{host.text[-3000:]}")
    with open(OUT_MM, encoding="utf-8") as file:
        found = json.load(file)
    t.equal("bench-mm: it was the host, and nothing failed", (found.get("accel"), found["failures"]), ("host", []))
    t.equal("bench-mm: all storms are there", [(row["where"], row["rate"]) for row in found["timed"]],
            [("none", 0), ("none", 100), ("miss", 100), ("hit", 100)])
    t.check("bench-mm: those that hit took windows away, on ours alone", [
        bool(found["timed"][-1]["taken"][name]) for name in ("stock", "direct")] == [False, True], f"{found['timed']}")
    t.equal("bench-mm: latencies are of three operations, here and there, at rest and at work, on both", len({
        (row["operation"], row["place"], row["state"], row["backend"]) for row in found["latency"]}), 24)
    as_before(t, "bench-mm", before)
    for part in ("misses", "storms", "numa"):
        host = Host("--yes", "bench-mm", "--", "--json", OUT_MM, "--only", part)
        status = host.end()
        t.check(f"bench-mm, {part}: it says that this needs a virtual machine",
                status == 2 and "without HOST=1" in host.text, f"status {status}\n{host.text[-2000:]}")
    as_before(t, "parts that need a virtual machine", before)


def kept(t, quick):
    """What was there before stays: modules, and the way they were set."""
    sh(f"modprobe -a vhost_net tun tap vhost_iotlb; insmod {HERE}/vhost_direct.ko metadata=user; "
       f"insmod {HERE}/vhost_direct_net.ko")
    write(PAGES, "3")
    before = state()
    host = Host("--yes", "bench", "--", *quick)
    status = host.end()
    t.check("modules that are loaded are used", status == 0, f"status {status}\n{host.text[-3000:]}")
    as_before(t, "modules were loaded", before)
    write(PAGES, "0")
    sh(f"rmmod vhost_direct_net vhost_direct; {UNLOAD}")


def ended(t, long):
    """Signals and failures in the middle of it."""
    before = state()
    for first, second, status in ((signal.SIGINT, None, 130), (signal.SIGTERM, None, 143),
                                  (signal.SIGHUP, None, 129), (signal.SIGQUIT, None, 131),
                                  (signal.SIGINT, signal.SIGTERM, 130)):
        host = Host("--yes", "bench", "--", *long)
        name = first.name if not second else f"{first.name}, and {second.name} behind it"
        t.check(f"{name}: while frames flow", traffic())
        host.signal(first)
        if second:
            time.sleep(0.05)
            host.signal(second)
        t.equal(f"{name}: the status says so", host.end(), status)
        as_before(t, name, before)
    host = Host("--yes", "bench", "--", *long)
    traffic()
    os.kill(running(f"{HERE}/bench/inside"), signal.SIGKILL)
    status = host.end()
    t.check("a failure in the middle is one", status not in (0, None, "still running"), f"{status} {host.text[-2000:]}")
    as_before(t, "after a failure", before)


def crashed(t, long):
    """It was killed outright: the journal knows."""
    before = state()
    host = Host("--yes", "bench", "--", *long)
    traffic()
    host.signal(signal.SIGKILL)
    host.end(3)
    write(PAGES, "4")
    t.check("killed outright, it leaves a journal", os.path.exists(JOURNAL))
    done = sh([HOST, "--yes", "--no-build"])
    t.check("nothing new begins before that", done.returncode == 2 and "--restore" in done.stdout, done.stdout)
    done = sh([HOST, "--restore"])
    t.check("--restore works", done.returncode == 0 and "everything is as it was" in done.stdout, done.stdout)
    as_before(t, "--restore", before)
    t.check("a second one has nothing to do", "nothing to put back" in sh([HOST, "--restore"]).stdout)


def unloadable(t, quick):
    """A module that the kernel doesn't take."""
    before = state()
    path = f"{HERE}/vhost_direct_net.ko"
    shutil.copy2(path, f"{path}.good")
    # What modinfo reads is still there; the symbol table isn't.
    sh(f"truncate -s -4096 {path}")
    host = Host("--yes", "bench", "--", *quick)
    status = host.end()
    t.check("a module that can't be loaded is said to be one", status in (1, 2) and
            ("doesn't take vhost_direct_net" in host.text or "vhost_direct_net.ko" in host.text), host.text)
    shutil.move(f"{path}.good", path)
    as_before(t, "a module can't be loaded", before)


def main():
    """All of it."""
    with Ktap() as t:
        if not os.path.exists("/vd/vhost_direct_net.ko"):
            t.skip("all", "the modules are not built")
            return
        cell = checkout()
        common = ["--cells", cell, "--json", OUT, "--backends", "user,direct"]
        quick = [*common, "--rounds", "1", "--seconds", "0.1"]
        long = [*common, "--rounds", "60", "--seconds", "0.5"]
        refusals(t, quick)
        measures(t, quick)
        special(t)
        events(t)
        kept(t, quick)
        ended(t, long)
        crashed(t, long)
        unloadable(t, quick)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rings of every shape and page kind, both directions, contents checked.

Each is run through the windows and the statistics must say so; a ring in a file that
has to be written back is refused the windows by design and goes by user access.
"""
# vm: timeout=400

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import METADATA, NODE, VRING, Ktap, Run, load, sh, traffic, unload, write  # noqa: E402

TIME = "--warmup 0 --seconds 0.2"
BOTH = f"--dir both {TIME}"
# Rings at offset 0 mod 8 have elements that straddle pages: they are 8 bytes long and
# begin 4 behind the ring. At 4088 the first one does; at 4094 a page ends between
# avail's flags and index; at 4092 between used's index and elements.
OFFSETS = (2, 8, 1000, 4088, 4092, 4094)


def page_kinds(t):
    """What backs ring and buffers."""
    for kind in ("4k", "thp", "memfd", "hugetlb"):
        for offset in (0, 4088):
            run = traffic(t, f"{kind}, offset {offset}",
                          f"{BOTH} --mem {kind} --offset {offset} --ring 1024")
            if kind in ("thp", "hugetlb") and not offset:
                t.check(f"{kind} is really huge pages", run.json.get("huge_kb", 0) >= 2048,
                        f"huge_kb {run.json.get('huge_kb')}")


def file_backed(t):
    """ext4 wants to know of each write: the used ring stays on user access."""
    steps = ("modprobe loop; modprobe ext4; truncate -s 64M /tmp/rings.img",
             "mkfs.ext4 -q -F /tmp/rings.img", "mkdir -p /tmp/rings.mnt",
             "mount -o loop /tmp/rings.img /tmp/rings.mnt")
    for step in steps:
        done = sh(step)
        if done.returncode:
            t.check("a ring in a file of ext4", False, f"{step}: {done.stdout}")
            return
    for offset in (0, 4088):
        traffic(t, f"ext4 file, offset {offset}: refused, by user access",
                f"{BOTH} --mem file --mem-path /tmp/rings.mnt/ring --offset {offset}", "refused")
    sh("umount /tmp/rings.mnt; rm /tmp/rings.img")


def shapes(t):
    """Sizes, chains, indirect tables, buffers."""
    for size in (1, 2, 8, 256, 1024, 32768):
        traffic(t, f"ring of {size}", f"{BOTH} --ring {size}")
    for offset in OFFSETS:
        traffic(t, f"offset {offset}", f"{BOTH} --offset {offset} --ring 1024")
        traffic(t, f"offset {offset}, ring of 32768", f"{BOTH} --offset {offset} --ring 32768")
    for chain in (1, 2, 3, 20):
        traffic(t, f"chains of {chain}", f"{BOTH} --chain {chain} --size 60:1500")
        traffic(t, f"chains of {chain}, indirect", f"{BOTH} --chain {chain} --size 60:1500 --indirect")
    traffic(t, "ring of 2, indirect chains of 20", f"{BOTH} --ring 2 --chain 20 --indirect --size 60:600")
    traffic(t, "small mergeable buffers", f"{BOTH} --buf 128 --size 36:1514")
    traffic(t, "small mergeable buffers in chains", f"{BOTH} --buf 300 --chain 3 --size 36:1514")
    traffic(t, "large frames", f"{BOTH} --size 36:9000")


def features(t):
    """Negotiated features in all combinations that change the ring's format."""
    for event in ("--event-idx", "--no-event-idx"):
        for merge in ("--mergeable", "--no-mergeable"):
            for version in ("", "--legacy"):
                traffic(t, f"{event[2:]}, {merge[2:]}{', legacy' if version else ''}",
                        f"{BOTH} --size 36:1514 {event} {merge} {version}")
        traffic(t, f"{event[2:]}, driver sleeps", f"{BOTH} {event} --wait call")
    traffic(t, "no event idx, odd offset, no mergeable, two queues",
            f"{BOTH} --no-event-idx --offset 1004 --no-mergeable --queues 2 --ring 128")


def many(t):
    """Several queues and memory regions; bursts."""
    traffic(t, "four queue pairs", f"{BOTH} --queues 4")
    traffic(t, "four queue pairs, a tap each", f"{BOTH} --queues 4 --separate")
    for regions in (2, 33, 64):
        traffic(t, f"{regions} memory regions", f"{BOTH} --regions {regions} --size 36:1514 --ring 1024")
    for way in ("tx", "rx"):
        for burst in (1, 64, 200):
            traffic(t, f"bursts of {burst}, {way}", f"--dir {way} --mode burst --burst {burst} {TIME}")
        traffic(t, f"bursts, {way}, driver sleeps", f"--dir {way} --mode burst --wait call {TIME}")


def layouts(t):
    """Packed rings, and split ones used in order."""
    for layout in ("packed", "in-order"):
        for args in ("", "--size 36:1514 --wait call", "--chain 4 --size 60:1500", "--no-event-idx",
                     "--chain 3 --indirect --size 60:1500", "--offset 1000 --ring 1024",
                     "--buf 128 --size 36:1514", "--queues 2", "--mem thp --ring 1024"):
            traffic(t, f"{layout} {args}".strip(), f"{BOTH} --layout {layout} {args}")
        run = Run(f"--dir tx --warmup 0 --packets 20000 --size 64 --spoil --layout {layout}")
        t.check(f"{layout}: spoiled frames are found out", run.json.get("tx", {}).get("corrupt"), run.text)


def trips(t):
    """Bursts both ways, and frames that come back."""
    for layout in ("split", "packed", "in-order"):
        at = f"--layout {layout} {TIME}"
        traffic(t, f"{layout}: bursts both ways", f"--dir both --mode burst --ring 1024 {at}")
        for more in ("", "--queues 2", "--size 1500", "--size 9000", "--gso --size 65535"):
            run = traffic(t, f"{layout}: round trips {more}".rstrip(), f"--dir both --mode rtt {more} {at}")
            trip = run.json.get("rtt", {})
            t.check("they have their times in order", 0 < trip.get("p50", 0) <= trip["p99"] <=
                    trip["p999"] <= trip["max"] if trip else False, trip)


def large(t):
    """Frames that stand for many segments, which the tap agreed to."""
    for layout in ("split", "packed", "in-order"):
        for args in ("--dir tx", "--dir rx --mode burst --ring 1024", "--dir both --size 4000:65535"):
            traffic(t, f"{layout}: GSO frames {args}", f"{args} --gso --layout {layout} {TIME} " +
                    ("" if ":" in args else "--size 65535"))
    traffic(t, "GSO frames in chains", f"{BOTH} --gso --size 65535 --chain 18 --indirect --buf 4096")


def generator(t):
    """The kernel's pktgen fills the tap."""
    sh("modprobe pktgen")
    # Its frames are not ours: there is nothing to check in them but how many there are.
    done = sh(f"{VRING} --dev {NODE} --dir rx --mode burst --ring 1024 --feeder pktgen --size 64 {TIME}")
    t.check("pktgen feeds, all arrives", not done.returncode, done.stdout)


def user(t):
    """The same module without windows."""
    write(METADATA, "user")
    for args in ("", "--offset 4088 --ring 1024", "--no-event-idx --no-mergeable --legacy",
                 "--chain 3 --indirect", "--queues 2", "--mem thp", "--buf 128 --size 36:1514"):
        traffic(t, f"metadata=user {args}".strip(), f"{BOTH} {args}", "user")
    write(METADATA, "direct")
    traffic(t, "metadata=direct again", BOTH)


def checked(t):
    """The checks themselves: of four spoiled frames in 1,000, three are corrupt and one a twin."""
    for far in ("none", "check"):
        run = Run(f"--dir tx --warmup 0 --packets 20000 --size 64 --xdp {far} --spoil")
        tx = run.json.get("tx", {})
        each = tx.get("total_sent", 0) // 1000
        t.check(f"spoiled frames are found out, --xdp {far}",
                run.status not in (0, None) and each >= 20
                and abs(tx.get("corrupt", 0) - 3 * each) <= 3 and abs(tx.get("dup", 0) - each) <= 1,
                f"{tx}\n{run.text}")
        traffic(t, f"whole frames are not, --xdp {far}", f"--dir tx {TIME} --size 64 --xdp {far}")


def paused(t):
    """A driver, as all in its VM, that stands still for longer than its patience is: that isn't the back end's doing."""
    over = threading.Event()

    def stop_and_go():
        while not over.wait(0.1):
            sh("pkill -STOP -x vring; sleep 2.2; pkill -CONT -x vring")
    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        run = Run("--dir both --mode rtt --warmup 0 --seconds 9 --timeout 2")
    finally:
        over.set()
        thread.join()
    t.check("a driver that stands still for longer than it is patient", not run.wrong(), run.wrong())


def main():
    """The suite."""
    with Ktap() as t:
        load()
        write("/proc/sys/vm/nr_hugepages", "16")
        checked(t)
        paused(t)
        page_kinds(t)
        write("/proc/sys/vm/nr_hugepages", "0")
        file_backed(t)
        shapes(t)
        features(t)
        many(t)
        layouts(t)
        trips(t)
        large(t)
        generator(t)
        user(t)
        said = unload()
        t.check("the modules unload", not said, said)


main()

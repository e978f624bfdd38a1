#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Rings and buffers in a shared mapping of a file on ext4, while the file is written back.

fsync, sync_file_range, truncate up and down, hole punch and drop_caches run under traffic.
Whenever it rests, what fsync wrote is read from the disk and compared with what the driver
sees, used rings included. The file system must never be refused, nor kept waiting longer than
with stock's vhost-net in the same boot, and must not meet a page that was written behind
its back (a BUG, with the window of such a page).
"""
# vm: mem=2G disk=1G timeout=300 full-timeout=1500

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import NODE, SLOW, Ktap, Run, load, sh, unload  # noqa: E402

FULL = os.environ.get("VD_FULL", "0") != "0"
SECONDS = 60 if FULL else 6
DISK, MOUNT = "/dev/vda", "/tmp/writeback"
# Far more than a burst and the disk's work take, far less than being kept out.
LONGEST_MS = 10_000 * SLOW
# What the disk takes differs from one time to the next; and ours may take so much more than stock's.
TIMES, SLACK_MS = 3, 500 * SLOW
STOCK = "/dev/vhost-net"
DRIVER = (f"--dir both --warmup 0 --mem file --mem-path {MOUNT}/rings --size 60:600 "
          f"--timeout {60 * SLOW}")
LIVE = "writeback,resize,dropcaches"
PARTS = {
    "written back": ("writeback,verify", "--offset 64"),
    "truncated and punched behind the rings": ("resize,verify", "--offset 64"),
    "holes and cuts in the rings themselves": ("punch,truncate,verify", ""),
    "all of it": (f"{LIVE},punch,truncate,verify,fork,pageout,munmap", "--queues 2 --offset 4088"),
    "all of it, ext4 with blocks of 1 KiB": (f"{LIVE},punch,truncate,verify", ""),
}


def drive(events, args, node=NODE):
    """Traffic with these events: the run, and what became of each event."""
    run = Run(f"{DRIVER} {args} --seconds {SECONDS * SLOW} --events {events} --event-us 20000",
              node=node, limit=SECONDS * 4 + 120)
    return run, run.json.get("events", {})


def longest(done):
    """The longest that each event took, in milliseconds."""
    return {event: count["longest_ms"] for event, count in done.items()}


def delayed(ours, stock):
    """The events that took far longer on ours."""
    return [event for event, ms in ours.items() if ms > LONGEST_MS or ms > TIMES * stock[event] + SLACK_MS]


def waiting(t, name, events, args, done):
    """A named test: nothing waits for the back end, beside stock's as they both run here."""
    run, other = drive(events, args, STOCK)
    ours, stock, again = longest(done), longest(other), ""
    good = run.status == 0 and run.json.get("ok") and sorted(ours) == sorted(stock)
    # The disk's one long pause may have been ours alone.
    if good and delayed(ours, stock):
        again = f" after {ours}, stock {stock}"
        ours, stock = longest(drive(events, args)[1]), longest(drive(events, args, STOCK)[1])
        good = ours and sorted(ours) == sorted(stock)
    t.check(f"{name}: stock ran beside it", good, f"{run.text}\n{ours} {stock}")
    t.check(f"{name}: nothing was kept waiting, beside stock", good and not delayed(ours, stock),
            f"ms: ours {ours}, stock {stock}{again}")
    t.diag(f"{name}: longest in ms: ours {ours}, stock {stock}{again}")


def part(t, name, events, args):
    """A named test: traffic with these events."""
    run, done = drive(events, args)
    about = f"{done}\n{run.about()}"
    why = run.wrong()
    idle = [event for event, count in done.items() if not count["done"]]
    if not why and idle:
        why = f"events that did not happen: {idle}"
    t.check(f"{name}: {run.packets} packets, none lost or corrupted; the disk has what the driver "
            f"saw ({done.get('verify', {}).get('done', 0)} times)", not why, f"{why}\n{about}")
    refused = {event: count for event, count in done.items() if count["failed"]}
    t.check(f"{name}: nothing was refused", not refused, f"{refused}")
    waiting(t, name, events, args, done)
    # By design: window.c says why.
    t.check(f"{name}: no window was mapped, all by user access", not run.off_path("refused"),
            f"{run.off_path('refused')}\n{about}")
    return run.packets


def mount(t, options):
    """A new file system on the disk."""
    done = sh(f"mkdir -p {MOUNT}; umount {MOUNT} 2>/dev/null; "
              f"mkfs.ext4 -qF {options} {DISK} && mount {DISK} {MOUNT}")
    t.check(f"there is a file system {options}".strip(), not done.returncode, done.stdout)


def main():
    """The suite."""
    with Ktap() as t:
        load()
        t.check("there is stock's node", not sh("modprobe vhost_net").returncode and os.path.exists(STOCK))
        mount(t, "")
        packets = 0
        for name, (events, args) in PARTS.items():
            if "blocks" in name:
                mount(t, "-b 1024")
            packets += part(t, name, events, args)
        t.diag(f"{packets} packets")
        done = sh(f"umount {MOUNT} && e2fsck -fn {DISK}")
        t.check("the file system is in order afterwards", not done.returncode, done.stdout)
        said = unload()
        t.check("the modules unload", not said, said)


main()

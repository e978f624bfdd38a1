#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Memory events under the rings: nothing lost, nothing corrupted, the windows come back.

mem-cases does one event after the other, step by step, where it is known what must happen;
vring has them come as fast as they can. Each event under each kind of memory: matrix.py.
"""
# A page that was freed is poisoned: whoever writes to it is found out. All that is free is
# written at boot, hence no more than 2G.
# vm: disk=1G numa=2 mem=2G timeout=420
# vm: append="numa=fake=2 secretmem.enable=1 memmap=64M!1G page_poison=1"

import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from inject import Ask, Inject  # noqa: E402
from vdtest import CASES, SLOW, Ktap, Run, load, sh, unload, write  # noqa: E402

ALL = ("pageout,cold,fork,movepages,compact,split,neighbour,ksm,clearsoft,age,unrelated,readonly,"
       "noaccess,mremap,dontneed,munmap").split(",")

DISK = "/tmp/disk"

# Cases after which it matters that the device has written to the ring, or where the ring is:
# packed, its descriptors are what the device writes to.
PACKED = ("madv-free,teardown,swap-read,soft-dirty,uffd-wp,fork,ksm,"
          "mremap,set-addr,migrate,swap").split(",")


def swap(t):
    """A swap device, unless another suite of this boot made it."""
    done = sh("grep -q ^/dev/vda /proc/swaps || { mkswap /dev/vda && swapon /dev/vda; }")
    t.check("there is a swap device", not done.returncode, done.stdout)


def disk(option):
    """An ext4 mounted at DISK, or why there is none."""
    # Memory that the kernel was told to take for storage (memmap=). It is looked for behind our back.
    done = sh("modprobe -a nd_e820 nd_pmem && for i in $(seq 50); do"
              " [ ! -e /dev/pmem0 ] || break; sleep 0.1; done; ls /dev/pmem0")
    if done.returncode:
        return f"this kernel makes no storage of memory: {done.stdout.strip()}"
    done = sh(f"mkfs.ext4 -q -F -b 4096 /dev/pmem0 && mkdir -p {DISK} && mount -o {option} /dev/pmem0 {DISK}")
    return f"this kernel's ext4 can't: {done.stdout.strip()}" if done.returncode else ""


def on_disk(name):
    """For mem-cases: a file of a file system of the kind that the case needs, or why there is none."""
    option, variable = {"dax": ("dax", "DAX"), "read-only-file": ("defaults", "FILE")}.get(name, (None, None))
    if not option:
        return {}
    why = disk(option)
    return {f"MEM_NO_{variable}": why} if why else {f"MEM_{variable}": f"{DISK}/ring"}


def held(name):
    """What holds up bursts for as long as the case says, or another's event, if it is one that needs it."""
    if name == "hugetlb-marked":
        return Inject("try_to_unmap", usecs=300000, comm="poisoner", times=1)
    if name == "young-in-burst":
        return Inject("vhost_direct:vd_pop_split_contig", usecs=0, comm="vhost-")
    return contextlib.nullcontext()


def case(t, name, about, layout="split", **more):
    """One of them; MORE goes into its environment."""
    try:
        with held(name):
            done = sh([CASES, name], timeout=60 * SLOW,
                      env={**os.environ, **more, "MEM_LAYOUT": layout})
        status, said = done.returncode, done.stdout.strip()
    except subprocess.TimeoutExpired as error:
        status, said = -1, f"{error}: {error.stdout}"
    title = f"{name}: {about}" if layout == "split" else f"{layout} {name}: {about}"
    if status == 77:
        t.skip(title, said)
    else:
        t.check(title, status == 0, f"status {status}: {said}")


def cases(t):
    """One event at a time, where it is known what must happen."""
    known = dict(map(str.strip, line.split(" ", 1)) for line in sh(CASES).stdout.splitlines())
    for name, about in known.items():
        case(t, name, about, **on_disk(name))
        if name in ("dax", "read-only-file"):
            sh(f"umount {DISK}")
    for name in PACKED:
        case(t, name, known[name], "packed")


def judge(run, events, expect):
    """Why a run with events doesn't count, or an empty string."""
    why = run.wrong()
    if why:
        return why
    done = run.json["events"]
    idle = [e for e in events if not done[e]["done"] or done[e]["failed"] > done[e]["done"]]
    if idle:
        return f"events that did not happen: {[(e, done[e]) for e in idle]}"
    return taken(run, done[events[0]]["done"], expect) or back(run)


def taken(run, done, expect):
    """Why windows were not taken away as EXPECTed, or an empty string."""
    hits, maps = run.each("inval_hit"), run.each("maps")
    if expect == "hits" and min(hits) < 1:
        return f"no window was taken away: inval_hit {hits}"
    if expect == "misses" and sum(hits) > done // 5 + 4:
        return f"events that concern no ring took windows away: inval_hit {hits}"
    if any(h and m < 2 for h, m in zip(hits, maps)):
        return f"windows were not mapped again: inval_hit {hits}, maps {maps}"
    return ""


def back(run):
    """Why the windows did not come back, or an empty string."""
    tail = run.each("bursts_direct", "stats_tail")
    # ksmd or a writeback may come late: single bursts, not a window that stays away.
    if min(tail) < 1 or run.stat("bursts_user", "stats_tail") > 4 + sum(tail) // 50:
        return (f"after the events not all is direct again: {tail} bursts, "
                f"{run.each('bursts_user', 'stats_tail')} by user access")
    return ""


def event(t, name, events, args, expect=""):
    """A named test: traffic with these events."""
    # On a machine that is busy with other things a short time may see too little.
    for seconds in (1, 10):
        run = Run(f"--dir both --warmup 0 --seconds {seconds} --timeout {60 * SLOW} {args} "
                  f"--events {','.join(events)}", limit=120)
        why = judge(run, events, expect)
        if not why or run.wrong():
            break
    t.check(name, not why, why and f"{why}\n{run.json.get('events')}\n{run.about()}")
    return run


def storms(t):
    """As fast as they come, on the rings and beside them."""
    run = event(t, "a storm of events that hit", ["split"], "--event-us 0", "hits")
    t.check("the storm was one", run.stat("inval_hit") >= 10, run.about())
    event(t, "a storm of events that miss", ["unrelated", "neighbour"], "--event-us 0", "misses")
    event(t, "all at once, two queues, odd offset", ALL,
          "--event-us 200 --queues 2 --offset 4088 --no-event-idx "
          "--no-mergeable --size 60:1500", "hits")
    event(t, "a storm of events that hit, packed", ["split"], "--event-us 0 --layout packed", "hits")
    event(t, "all at once, packed", ALL, "--event-us 200 --queues 2 --layout packed --size 60:1500", "hits")


def main():
    """The suite."""
    with Ktap() as t:
        load()
        swap(t)
        write("/proc/sys/vm/nr_hugepages", "8")
        # It unmaps what it likes when it likes: no counter could be trusted.
        write("/proc/sys/kernel/numa_balancing", "0")
        with Ask():
            cases(t)
        write("/proc/sys/kernel/numa_balancing", "1")
        storms(t)
        said = unload()
        t.check("the modules unload", not said, said)


main()

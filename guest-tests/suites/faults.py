#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What fails, fails cleanly: every allocation and copy of every call and of the worker, one
after the other (a kernel with fault injection), and registration, the worker's thread,
its cgroups, the search for pages, a ring's move and the used ring (any kernel, by a probe).
Afterwards nothing has leaked.
"""
# As memory.py's: pages are moved from node to node.
# vm: disk=1G numa=2 timeout=300 append="numa=fake=2 secretmem.enable=1"

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from inject import Calls, Inject, missing  # noqa: E402
from vdtest import MODULES, NODE, SLOW, Ktap, load, sh, unload, write  # noqa: E402

FAULTS = "/vd/build/guest-tests/faults"
DEBUG = "/sys/kernel/debug"
STATS = f"{DEBUG}/vhost_direct"
METADATA = "/sys/module/vhost_direct/parameters/metadata"
ENOMEM, EFAULT = 12, 14


def program(t, what, *args, limit=60):
    """A run of the program; its tests become this suite's."""
    start = time.monotonic()
    try:
        done = sh([FAULTS, what, NODE, *map(str, args)], timeout=limit * SLOW)
        lines, status = done.stdout.splitlines(), done.returncode
    except subprocess.TimeoutExpired as error:
        lines, status = (error.stdout or b"").decode(errors="replace").splitlines(), "timeout"
    bad = 0
    for line in lines:
        if line.startswith(("ok ", "not ok ")):
            bad += not t.check(line.partition(" - ")[2], line.startswith("ok "))
        elif line.startswith(("# ", "Bail")):
            t.diag(line.removeprefix("# "))
    t.diag(f"faults {what}: {time.monotonic() - start:.0f} s")
    if status not in (0, 1) or bool(status) != bool(bad):
        t.check(f"faults {what} ran to its end", False, f"status {status}\n{chr(10).join(lines)}")


def probed(t, name, func, *args, what="owner", least=1, **params):
    """The program with a function that fails."""
    with Inject(func, fail=1, **params) as failing:
        program(t, what, *args)
    t.check(f"{name}: it was hit", failing.done >= least, str(failing))


def registration(t):
    """What VHOST_SET_OWNER needs, one after the other."""
    probed(t, "registration, no memory", "mmu_notifier_get_locked", -ENOMEM, ret=-ENOMEM,
           comm="faults", times=1)
    probed(t, "no thread", "kthread_create_on_node", -ENOMEM, ret=-ENOMEM, comm="faults", times=1)
    probed(t, "no cgroup", "cgroup_attach_task_all", -ENOMEM, ret=-ENOMEM, comm="vhost-", times=1)
    # The same of another worker, beside one that works.
    probed(t, "no thread for another worker", "kthread_create_on_node", -ENOMEM, what="worker",
           ret=-ENOMEM, comm="faults-worker", times=1)
    probed(t, "no cgroup for another worker", "cgroup_attach_task_all", -ENOMEM, what="worker",
           ret=-ENOMEM, comm="vhost-", first=1, times=1)


def pages(t):
    """The worker finds no pages: no error, user access until it does."""
    for name, ret in (("EFAULT", -EFAULT), ("ENOMEM", -ENOMEM), ("none at all", 0)):
        probed(t, f"get_user_pages_fast: {name}", "get_user_pages_fast", what="map", ret=ret,
               comm="vhost-", times=6, least=6)
    for what in ("iotlb-map", "log-map"):
        probed(t, f"get_user_pages_fast, {what}", "get_user_pages_fast", what=what, ret=-EFAULT,
               comm="vhost-", times=6, least=6)
    # First only the last page of a ring isn't found: those before it are let go.
    # Then the time until the next attempt doubles, of one queue or of two that share them.
    for what, first, times in (("map", 2, 6), ("iotlb-map", 4, 8)):
        probed(t, f"get_user_pages_fast, {what}, amid a ring", "get_user_pages_fast", what=what,
               ret=-EFAULT, comm="vhost-", first=first, times=times, least=6)


# What a ring's move allocates: its spans, for each part two tables of its pages, then the
# notifier's table.
SPANS, WINDOWS, ALL = 1, 6, 8


def allocator():
    """What kvmalloc() calls, by the name that this kernel has for it."""
    with open("/proc/kallsyms", encoding="ascii") as file:
        known = {line.split()[2] for line in file}
    return next(one for one in ("kvmalloc_node", "kvmalloc_node_noprof", "__kvmalloc_node_noprof")
                if one in known)


def moves(t):
    """No memory to move a ring: all is where it was, that which the notifier knows, too."""
    for name, first in (("spans", 0), ("windows", SPANS), ("table", SPANS + WINDOWS)):
        probed(t, f"no memory for the {name} of a ring that moves", allocator(), -ENOMEM,
               what="moves", ret=0, comm="faults-moves", first=first, times=1)
    with Inject(allocator(), fail=1, ret=0, comm="faults-moves", first=ALL) as failing:
        program(t, "moves", 0)
    t.check("that was the last allocation of such a call",
            failing.hits == ALL and not failing.done, str(failing))


def pieces(t):
    """No memory to put down where a ring's pieces are: the worker tries again by itself."""
    probed(t, "no memory for the pieces of a ring", allocator(), what="iotlb-pieces", ret=0,
           comm="vhost-", times=3, least=3)


def flush(t):
    """A used ring that fails though it is there: as a page fault amid the hand-over would.

    By user access: windows can't fail, which gcc 14 knows, so nobody would look.
    """
    write(METADATA, "user")
    probed(t, "used ring, amid a receiver's visit", "vhost_direct:vd_flush_split_user",
           what="flush", ret=-1, comm="vhost-", times=1)
    write(METADATA, "direct")


def arm():
    """Fault injection as wanted: any allocation, silently. Whether the kernel has it."""
    wanted = {"failslab": {"ignore-gfp-wait": "N", "verbose": "0"},
              "fail_page_alloc": {"ignore-gfp-wait": "N", "ignore-gfp-highmem": "N",
                                  "min-order": "0", "verbose": "0"},
              "fail_usercopy": {"verbose": "0"}}
    if not os.path.exists("/proc/self/fail-nth") and not os.path.exists("/proc/thread-self/fail-nth"):
        return False
    for folder, values in wanted.items():
        for name, value in values.items():
            write(f"{DEBUG}/{folder}/{name}", value)
    return True


def uncopied(t):
    """What sending without copying needs besides. The core stays, whose calls are counted."""
    done = sh(f"rmmod vhost_direct_net && insmod {MODULES}/vhost_direct_net.ko experimental_zcopytx=1")
    if t.check("the module is loaded with experimental_zcopytx=1", not done.returncode, done.stdout):
        program(t, "zcopy")


def leaks(t, calls):
    """Subscriptions and, where the kernel can tell, any memory."""
    end = time.monotonic() + 10
    while calls.read()["free"] < calls.read()["put"] and time.monotonic() < end:
        time.sleep(0.1)
    said = calls.read()
    # One device a process. The kernel frees those, too, that it could not register.
    t.check("each subscription that was put was freed", said["free"] >= said["put"] > 0, said)
    t.check("no device is left", not os.listdir(STATS), os.listdir(STATS))
    if not os.path.exists(f"{DEBUG}/kmemleak"):
        t.skip("no memory leaked", "no kmemleak in this kernel")
        return
    for _ in range(2):
        write(f"{DEBUG}/kmemleak", "scan")
        time.sleep(5)
    with open(f"{DEBUG}/kmemleak", encoding="ascii", errors="replace") as file:
        found = file.read()
    t.check("no memory leaked", not found, found)


def main():
    """The suite."""
    with Ktap() as t:
        load()
        # It takes windows away when it likes.
        write("/proc/sys/kernel/numa_balancing", "0")
        with Calls({"put": "vhost_direct:vd_mm_put", "free": "vhost_direct:vd_mn_free"}) as calls:
            if missing():
                t.skip("registration and pages", missing())
            else:
                registration(t)
                pages(t)
                moves(t)
                pieces(t)
                flush(t)
            if arm():
                program(t, "setup", limit=150)
                program(t, "move")
                program(t, "inflight")
                program(t, "iotlb", limit=150)
                program(t, "log", limit=150)
                uncopied(t)
            else:
                t.skip("every allocation and copy",
                       "no /proc/thread-self/fail-nth: not a kernel with fault injection")
            leaks(t, calls)
        said = unload()
        t.check("the modules unload", not said, said)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who owns a device, and when that ends: fork, SCM_RIGHTS, signals, the OOM killer, rmmod."""
# vm: timeout=400

import fcntl
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from inject import Calls, Hold, Inject, missing  # noqa: E402
from vdtest import NODE, SLOW, Ktap, load, sh, unload, write  # noqa: E402

LIFE = "/vd/build/guest-tests/life"
STATS = "/sys/kernel/debug/vhost_direct"
GROUP = "/sys/fs/cgroup/vd-lifetime"
SET_OWNER = 0xaf01  # VHOST_SET_OWNER
OWNERS, DEVICES, PROTECTIONS = 300, 6, 200
UNLOADS = 6


def life(t, case):
    """One case of the program; its tests become this suite's. Whether all passed."""
    try:
        done = sh([LIFE, case, NODE], timeout=60 * SLOW)
        lines, status = done.stdout.splitlines(), done.returncode
    except subprocess.TimeoutExpired as error:
        lines, status = str(error.stdout).splitlines(), "timeout"
    good = status == 0 and f"1..{sum(line.startswith(('ok ', 'not ok ')) for line in lines)}" in lines
    for line in lines:
        if line.startswith(("ok ", "not ok ")):
            good &= t.check(line.partition(" - ")[2], line.startswith("ok "))
        elif line.startswith("# ") or line.startswith("Bail"):
            t.diag(line.removeprefix("# "))
    if not good:
        t.check(f"life {case}", False, f"status {status}\n{chr(10).join(lines)}")
    return good


def interrupted(t):
    """Signals at any time, and then for certain in the middle of the registration."""
    life(t, "interrupted")
    if missing():
        t.skip("registration interrupted", missing())
        return
    # Each call is held up until a signal is there; only so many, or it would never end.
    with Inject("vhost_direct:vd_mm_get", usecs=1000, comm="life", times=60) as slow:
        life(t, "interrupted")
    t.diag(str(slow))
    t.check("VHOST_SET_OWNER was interrupted while it registered, and started over",
            slow.hits >= OWNERS + 30, str(slow))


def one_notifier(t):
    """All devices and queues of a process have one subscription, and so one callback."""
    functions = {"alloc": "vhost_direct:vd_mn_alloc", "free": "vhost_direct:vd_mn_free",
                 "start": "vhost_direct:vd_mn_start", "sets": "vhost_direct:vd_mm_add"}
    write("/proc/sys/kernel/numa_balancing", "0")
    with Calls(functions) as calls:
        life(t, "notifier")
        end = time.monotonic() + 10
        while calls.read()["free"] < calls.read()["alloc"] and time.monotonic() < end:
            time.sleep(0.05)
    said = {name: calls[name] for name in functions}
    t.check(f"{DEVICES} devices, {2 * DEVICES} queues, one notifier: made once, freed once",
            said["alloc"] == 1 and said["free"] == 1 and said["sets"] == 2 * DEVICES, said)
    t.check(f"{PROTECTIONS} changes of protection, one callback each",
            PROTECTIONS <= said["start"] < 2 * PROTECTIONS, said)


def oom(t):
    """The OOM killer in a small cgroup."""
    write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
    os.mkdir(GROUP)
    write(f"{GROUP}/memory.max", "64M")
    if os.path.exists(f"{GROUP}/memory.swap.max"):
        write(f"{GROUP}/memory.swap.max", "0")
    os.environ["VD_CGROUP_PROCS"] = f"{GROUP}/cgroup.procs"
    life(t, "oom")
    with open(f"{GROUP}/memory.events", encoding="ascii") as file:
        events = dict(line.split() for line in file)
    t.check("the cgroup counts an OOM kill", int(events["oom_kill"]) >= 1, events)
    os.rmdir(GROUP)
    t.check("the cgroup can be removed", not os.path.exists(GROUP))


def unload_while_closing(t):
    """Both modules unloaded, over and over, until they go: while a process and its devices end."""
    refused, why = [], ""
    for number in range(UNLOADS):
        done = sh([LIFE, "leave", NODE], timeout=60 * SLOW)
        words = done.stdout.split()
        if words[:1] != ["gone,"]:
            why = why or f"round {number}: status {done.returncode}, {done.stdout}{unload()}"
        else:
            refused.append(int(words[2]))
        load()
    t.check(f"unloaded as soon as the devices are closed, under traffic, {UNLOADS} times", not why, why)
    t.check("not before", len(refused) == UNLOADS and min(refused, default=0) > 0, refused)


def unload_waits(t):
    """A subscription is freed by the module, some time after its end: unloading waits for that."""
    if missing():
        t.skip("unloading waits for subscriptions", missing())
        return
    tried = waited = 0
    said, msecs = "", 500
    # A machine may be so slow that nothing is held any more when it comes to that.
    while not tried and msecs < 20_000:
        msecs *= 2
        load()
        with Hold(msecs) as hold:
            node = os.open(NODE, os.O_RDWR)
            fcntl.ioctl(node, SET_OWNER)
            os.close(node)
            tried += hold.holding()
            said += unload()
            waited += not hold.holding()
    t.check("unloading waits for the subscription that is still to be freed", tried and waited and not said,
            f"tried {tried}, waited {waited} {said}")


def main():
    """The suite."""
    with Ktap() as t:
        load()
        for case in ("inherited", "passed", "handed-over", "slow", "killed", "sibling", "stranger", "both", "closer", "moves", "closes"):
            life(t, case)
        interrupted(t)
        one_notifier(t)
        oom(t)
        unload_while_closing(t)
        left = os.listdir(STATS)
        t.check("no device is left", not left, left)
        said = unload()
        t.check("the modules unload", not said, said)
        unload_waits(t)


main()

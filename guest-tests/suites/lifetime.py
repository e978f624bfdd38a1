#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Who owns a device, and when that ends: fork, SCM_RIGHTS, signals, the OOM killer, rmmod."""
# As on a machine of over a hundred processors, each has a list of its own of SRCU's callbacks.
# vm: timeout=400 append="srcutree.convert_to_big=1"

import fcntl
import glob
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


def haste_over(t):
    """A worker that was told to hurry looks why its access failed when the haste is over: it is held up until then."""
    if missing():
        t.skip("a worker that looks late whether it had to hurry", missing())
        return
    with Inject("vhost_direct_net:vd_tx_special", usecs=0, comm="vhost-") as slow:
        life(t, "haste")
    t.diag(str(slow))


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


# Ends by itself, whatever becomes of who has to end it.
_HOG = """import time
end = time.monotonic() + 20
while time.monotonic() < end:
    pass
"""


def _big():
    with open("/proc/cmdline", encoding="ascii") as file:
        return "srcutree.convert_to_big=1" in file.read()


def _closes(device, processor):
    """Close the device, which was the last of its process's, as a task of that processor."""
    child = os.fork()
    if not child:
        # First what gets it a turn there.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
        os.sched_setaffinity(0, {processor})
        device()
        os._exit(0)
    os.waitpid(child, 0)


def _owner():
    node = os.open(NODE, os.O_RDWR)
    fcntl.ioctl(node, SET_OWNER)
    os.close(node)


def unload_waits_for_all(t):
    """A processor that real-time work keeps from freeing its subscription: unloading waits for that one, too."""
    name = "unloading waits for a subscription that another processor is to free"
    if missing() or os.cpu_count() < 2 or not _big():
        t.skip(name, "one processor, or SRCU has one list for all")
        return
    load()
    write("/proc/sys/kernel/sched_rt_runtime_us", "-1")
    for path in glob.glob("/sys/kernel/debug/sched/fair_server/cpu*/runtime"):
        write(path, "0")
    # RCU's part of the processor's work goes on; what the kernel's workers have to do there waits.
    sh("chrt -f -p 3 $(pgrep -x ksoftirqd/0)")
    hog = subprocess.Popen(["chrt", "-f", "1", "taskset", "-c", "0", sys.executable, "-c", _HOG])
    os.sched_setaffinity(0, {1})
    try:
        time.sleep(0.5)
        with Calls({"freed": "vhost_direct:vd_mn_free"}) as calls:
            # While a grace period that the first began is held up: or the second's would begin
            # where nothing is done, and whoever waits for any would wait for this.
            with Hold(2000):
                _closes(_owner, 1)
                _closes(_owner, 0)
            time.sleep(2)
            freed = calls.read()["freed"]
        gone = subprocess.Popen(["sh", "-c", "rmmod vhost_direct_net && rmmod vhost_direct"])
        time.sleep(3)
        waits = gone.poll() is None
    finally:
        hog.kill()
        hog.wait()
    ended = gone.wait(30)
    os.sched_setaffinity(0, range(os.cpu_count()))
    try:
        write("/proc/sys/kernel/sched_rt_runtime_us", "950000")
    except OSError as error:
        # Once there were fair servers without a runtime 6.12 reckons wrongly what they take. No
        # other suite has this machine.
        t.diag(f"real-time work stays without a limit: {error}")
    if freed == 2:
        t.skip(name, "both were freed at once")
    else:
        t.check(name, waits and not ended, f"freed {freed}, waits {waits}, status {ended}")


def main():
    """The suite."""
    with Ktap() as t:
        load()
        for case in ("inherited", "passed", "handed-over", "slow", "killed", "sibling", "stranger", "both", "closer", "moves", "closes"):
            life(t, case)
        haste_over(t)
        interrupted(t)
        one_notifier(t)
        oom(t)
        unload_while_closing(t)
        left = os.listdir(STATS)
        t.check("no device is left", not left, left)
        said = unload()
        t.check("the modules unload", not said, said)
        unload_waits(t)
        unload_waits_for_all(t)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Aging under pressure: reclaim spares rings that only the back end touches, and takes those
that nobody does. Under the classic LRU lists and under the multi-generational ones.
"""
# vm: disk=1G timeout=300 own-boot

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from vdtest import NODE, Ktap, load, sh, unload, write  # noqa: E402

AGING = "/vd/build/guest-tests/aging"
GROUP = "/sys/fs/cgroup/vd-aging"
LRU_GEN = "/sys/kernel/mm/lru_gen/enabled"
ROOM_MB, LIMIT_MB, HOT_MB, COLD_MB = 64, 16, 8, 32
SECONDS = 10
# More memory than the group may have. A part of it is in use all the time and so becomes
# active: only if there are more active pages than others does the classic reclaim look at
# the active ones again, and rings, touched more than once, are among those.
HOG = f"""
hot, end = {HOT_MB} << 20, {HOT_MB + COLD_MB} << 20
m = bytearray(end)
n, at = 0, hot
while True:
    n += 1
    for i in range(0, hot, 4096):
        m[i] = n & 255
    for i in range(400):
        m[at] = n & 255
        at = at + 4096 if at + 4096 < end else hot
"""


def start(words):
    """A process of the group."""
    return subprocess.Popen(["sh", "-c", f'echo $$ >{GROUP}/cgroup.procs; exec "$@"', "sh", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def swapped():
    """Pages swapped out so far."""
    with open("/proc/vmstat", encoding="ascii") as file:
        return int(dict(line.split() for line in file)["pswpout"])


def pressure():
    """The program's words for the busy and the idle rings, and what it said."""
    write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
    os.mkdir(GROUP)
    write(f"{GROUP}/memory.max", f"{ROOM_MB}M")
    before = swapped()
    with start([AGING, NODE, str(SECONDS)]) as rings:
        try:
            said = [rings.stdout.readline()]
            with start([sys.executable, "-c", HOG]) as hog:
                # Much less than the rings' owner has: the active pages must be looked at, too.
                write(f"{GROUP}/memory.max", f"{LIMIT_MB}M")
                said += rings.stdout.readlines()
                hog.kill()
        finally:
            rings.kill()
    for _ in range(100):
        try:
            os.rmdir(GROUP)
            break
        except OSError:
            time.sleep(0.05)
    found = {}
    for line in said:
        words = line.split()
        if words and words[0] in ("busy", "idle"):
            found[words[0]] = {key: int(value) for key, value in (word.split("=") for word in words[1:])}
    return found, f"{''.join(said)}status {rings.returncode}, {swapped() - before} pages swapped out", \
        rings.returncode


def judge(t, name):
    """One kind of LRU."""
    found, about, status = pressure()
    t.diag(f"{name}: {about}")
    if not t.check(f"{name}: the rings work all the time", status == 0 and len(found) == 2, about):
        return
    busy, idle = found["busy"], found["idle"]
    t.check(f"{name}: rings that nobody touches are reclaimed",
            idle["resident"] * 10 <= idle["pages"], about)
    # With the answer "not young" 32 pages are taken some 95 times. A worker that waits for a
    # processor leaves its rings untouched meanwhile, which costs some on a busy machine.
    t.check(f"{name}: rings that only the back end touches stay",
            busy["present"] * 100 >= busy["samples"] * 98 and busy["hits"] <= busy["pages"], about)
    t.check(f"{name}: they were in use by the back end alone, through windows",
            busy["bursts"] >= 100 and busy["user"] * 10 <= busy["bursts"] and idle["bursts"] == 0, about)


def main():
    """The suite."""
    with Ktap() as t:
        load()
        done = sh("mkswap /dev/vda && swapon /dev/vda")
        t.check("there is a swap device", not done.returncode, done.stdout)
        if os.path.exists(LRU_GEN):
            for name, value in (("classic", "n"), ("multi-generational", "y")):
                write(LRU_GEN, value)
                judge(t, name)
        else:
            judge(t, "classic")
            t.skip("multi-generational", "this kernel is built without CONFIG_LRU_GEN")
        said = unload()
        t.check("the modules unload", not said, said)


main()

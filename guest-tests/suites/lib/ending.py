# SPDX-License-Identifier: GPL-2.0-only
"""The owner of a device ends under load, or becomes another program."""

import os
import signal
import subprocess

from owner import gone, loaded, moved, wait
from vdtest import CASES, ENDLESS, NODE, SLOW, VRING, in_group, sh, write

KILL, OOM, EXEC = "@kill", "@oom", "@exec"


def _exec(mem):
    kind, _, path = mem.partition(" --mem-path ")
    env = {**os.environ, "MEM_KIND": kind, "MEM_PATH": path}
    try:
        done = sh([CASES, "exec"], env=env, timeout=120 * SLOW)
    except subprocess.TimeoutExpired as error:
        return f"mem-cases exec: {error}"
    return "" if done.returncode == 0 else f"mem-cases exec: {done.returncode}: {done.stdout}"


def _kills(group):
    with open(f"{group}/memory.events", encoding="ascii") as file:
        return dict(line.split() for line in file)["oom_kill"]


def _end(how, driver, group):
    """End it; why that didn't work, or an empty string."""
    if how == KILL:
        driver.send_signal(signal.SIGKILL)
    else:
        before = _kills(group)
        # Nothing may be swapped out instead; and the limit is below what it has.
        write(f"{group}/memory.swap.max", "0")
        write(f"{group}/memory.max", "64K")
        if not wait(lambda: driver.poll() is not None, 30):
            return "the OOM killer did not come"
        if _kills(group) == before:
            return "it died, but not of the OOM killer"
    driver.wait()
    return "" if driver.returncode == -signal.SIGKILL else f"status {driver.returncode}"


def end(how, mem, user, group):
    """End the owner of a device with this memory. Returns why it's not right."""
    if how == EXEC:
        return _exec(mem)
    try:
        with subprocess.Popen([VRING, "--dev", NODE, "--dir", "both", "--check", *ENDLESS,
                               "--mem", *mem.split()], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              preexec_fn=in_group(group)) as driver:
            under_load = wait(lambda: loaded(driver.pid, user) or driver.poll() is not None, 30)
            if not under_load or driver.poll() is not None:
                driver.kill()
                return f"no traffic to end: {moved(driver.pid)} {driver.stderr.read()}"
            return _end(how, driver, group) or gone(driver.pid)
    finally:
        write(f"{group}/memory.max", "max")
        write(f"{group}/memory.swap.max", "max")

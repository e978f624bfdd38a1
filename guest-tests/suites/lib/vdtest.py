# SPDX-License-Identifier: GPL-2.0-only
"""For suites that drive vhost-direct with vring: loading the modules, one run, its verdict.

A run counts only if the back end took the way it was meant to: direct (through the
windows) or user (by user access). Its own statistics tell.
"""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, "/vd/guest-tests/lab")
# pylint: disable=wrong-import-position,unused-import
from ktap import Ktap  # noqa: E402,F401

VRING = "/vd/build/bench/vring"
CASES = "/vd/build/guest-tests/mem-cases"
NODE = "/dev/vhost-direct-net"
# mutate-modules puts others in their place.
MODULES = os.environ.get("VD_MODULES", "/vd")
METADATA = "/sys/module/vhost_direct/parameters/metadata"
# On a sanitizer kernel everything takes longer; only how long we wait depends on it.
SLOW = int(os.environ.get("VD_SLOW_FACTOR", "1"))
# For a driver that is going to be killed: by itself it neither ends nor gives up.
# Gives up before those who wait for it do: it can say what it sees.
ENDLESS = ("--seconds", str(600 * SLOW), "--timeout", str(40 * SLOW))
# What may take the other way in a direct run: a page's first copy-on-write, say.
_STRAY, _STRAY_SHARE = 8, 0.01
# What these events say of the device's writes has nothing to do with time.
_CERTAIN = re.compile("(free|fork|ksmtwin|softdirty|uffdwp|verify): ")


def sh(command, **kwargs):
    """A command line; its CompletedProcess with text output."""
    return subprocess.run(command, shell=isinstance(command, str), text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **kwargs)


def ended(command, seconds):
    """The same of one that has so long; else its status says so: "timeout"."""
    try:
        return sh(command, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        said = error.stdout or ""
        said = said if isinstance(said, str) else said.decode(errors="replace")
        return subprocess.CompletedProcess(command, "timeout", f"{said}\nno end in {seconds} s")


def write(path, text):
    """Put text into a file of the kernel's."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def load(takeover=False):
    """Load the modules afresh. Whoever can't has nothing to test: raises."""
    unload()
    for command in ("modprobe -a tun tap vhost_iotlb", f"insmod {MODULES}/vhost_direct.ko",
                    f"insmod {MODULES}/vhost_direct_net.ko" + (" takeover=1" if takeover else "")):
        done = sh(command)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}")


def unload():
    """Unload them if they are there; returns what rmmod said, empty if it worked."""
    said = ""
    for module in ("vhost_direct_net", "vhost_direct"):
        if os.path.exists(f"/sys/module/{module}"):
            said += sh(f"rmmod {module}").stdout
    return said


def in_group(group):
    """For Popen's preexec_fn: the child goes into a control group, if there is one."""
    return (lambda: write(f"{group}/cgroup.procs", "0")) if group else None


def drive(command, limit, group=None):
    """Run a driver: what it printed, its errors, its status, whether it can't be killed.

    One that waits in the kernel for what never comes can't: who waited for its end had no verdict.
    """
    # pylint: disable=consider-using-with
    driver = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, preexec_fn=in_group(group))
    try:
        out, text = driver.communicate(timeout=limit)
        return out, text, driver.returncode, False
    except subprocess.TimeoutExpired as error:
        driver.kill()
        try:
            driver.communicate(timeout=20 * SLOW)
        except subprocess.TimeoutExpired:
            return "", f"{error}; it can't be killed", None, True
        return "", f"{error}", None, False
    finally:
        driver.kill()


class Run:
    """One run of vring: its JSON in .json, what it printed for people in .text."""

    def __init__(self, args, node=NODE, limit=60, group=None):
        command = [VRING, "--dev", node, "--check", *args.split()]
        out, self.text, self.status, self.stuck = drive(command, limit * SLOW, group)
        self.read(json.loads(out) if out else {})

    def read(self, said):
        """What the driver SAID."""
        self.json = said
        self.dirs = {"both": ("rx", "tx")}.get(self.json.get("dir"), (self.json.get("dir"),))
        self.packets = sum(self.json.get(d, {}).get("total_received", 0) for d in self.dirs if d)
        # What is lost may be late; what was changed was changed.
        self.changed = self._sum("corrupt", "dup", "reordered", "bad_used")
        self.stray = self.changed + self._sum("lost")

    def _sum(self, *names):
        return sum(self.json.get(d, {}).get(what, 0) for d in self.dirs if d for what in names)

    def stat(self, name, which="stats"):
        """A statistic, summed over the directions of the run."""
        stats = self.json.get(which, {})
        return sum(stats.get(d, {}).get(name, 0) for d in self.dirs)

    def each(self, name, which="stats"):
        """A statistic of each direction."""
        return [self.json.get(which, {}).get(d, {}).get(name, 0) for d in self.dirs]

    def wrong(self):
        """Why the traffic itself isn't right, or an empty string."""
        if self.status != 0 or not self.json.get("ok"):
            certain = (f"certain: {self.changed} frames or used elements are wrong\n"
                       if self.changed else "")
            if _CERTAIN.match(self.json.get("failure") or ""):
                certain += f"certain: {self.json['failure']}\n"
            return f"{certain}vring: status {self.status}\n{self.text}"
        if not self.json.get("stats", {}).get("tx"):
            return "vring reports no statistics of the back end: build it again"
        return ""

    def off_path(self, path):
        """Why the traffic did not take PATH, or an empty string."""
        direct, user = self.each("bursts_direct"), self.each("bursts_user")
        limits = [_STRAY + _STRAY_SHARE * n for n in direct]
        if path == "direct" and (min(direct) < 5 or any(u > l for u, l in zip(user, limits))):
            return f"not direct: {direct} bursts direct, {user} by user access"
        if path == "user" and (sum(direct) or min(user) < 5 or self.stat("maps")):
            return f"not by user access: {direct} bursts direct, {self.stat('maps')} maps"
        if path == "refused" and (sum(direct) or min(user) < 5 or min(self.each("map_failures")) < 1):
            return (f"the windows were not refused: {direct} direct, map_failures "
                    f"{self.each('map_failures')}")
        return ""

    def about(self):
        """The statistics, for the reader of a failure."""
        return f"{self.text}\n{json.dumps(self.json.get('stats', {}))}"


def traffic(t, name, args, path="direct"):
    """A named test: the traffic is right and took the path. Returns the run."""
    run = Run(args)
    why = run.wrong() or run.off_path(path)
    t.check(name, not why, why and f"{why}\nvring {args}\n{run.about()}")
    return run

# SPDX-License-Identifier: GPL-2.0-only
"""What the running host was like before a measurement, and making it so again.

The snapshot is on disk before anything is changed, so that bench/host --restore can put things
back after a crash. Nothing of what is changed survives a boot: then there is nothing to do.
"""

import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import time

from . import lab

PATH = "/var/lib/vhost-direct/bench-host.json"
# Names the journal to everything that a measurement starts: who has it is part of it.
VARIABLE = "VD_BENCH_HOST"
# What may be loaded, in the order of unloading.
MODULES = ("vhost_direct_net", "vhost_direct", "vhost_net", "vhost", "vhost_iotlb", "pktgen", "tap", "tun",
           "af_packet")
# A node's huge pages before those of all: setting all of them spreads what is added, or taken away,
# over the nodes. With these as they were the sum is.
VALUES = (lab.HUGE_OF_NODES, lab.HUGE, "/sys/kernel/mm/transparent_hugepage/enabled",
          "/sys/module/vhost_direct/parameters/metadata",
          # Preferences last: a governor "performance" zeroes them, and refuses others (EBUSY).
          "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
          "/sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference")
_TAPS = re.compile(r"vring\d|vdpmd\d")
_PATIENCE = 5


def read(path):
    """A file's text without the newline, or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return None


def boot():
    """Which boot this is."""
    return read("/proc/sys/kernel/random/boot_id")


def loaded(names=MODULES):
    """Those of NAMES that are loaded as modules."""
    there = {line.split()[0] for line in (read("/proc/modules") or "").splitlines()}
    return [name for name in names if name in there]


def _chosen(text):
    """Files that show all choices mark the one in force."""
    mark = re.search(r"\[([^\]]+)\]", text or "")
    return mark[1] if mark else text


def values(patterns=VALUES, root=""):
    """{path: value} of the settings that a measurement may change, in the order of putting back."""
    return {path: _chosen(read(path)) for pattern in patterns
            for path in sorted(glob.glob(glob.escape(root) + pattern))}


def taps(folder="/sys/class/net"):
    """Links by the names that our programs give."""
    return sorted(name for name in os.listdir(folder) if _TAPS.match(name))


def snapshot(**more):
    """The host as it is."""
    return {"boot": boot(), "modules": loaded(), "values": values(), "taps": taps(), **more}


def write(path, found):
    """Have the snapshot FOUND on disk."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def load(path):
    """The journal in PATH, or None."""
    text = read(path)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise lab.BenchError(f"{path} can't be read ({error}): look at it, then remove it") from error


def _members(path):
    """Processes that were started for the measurement with the journal PATH."""
    wanted, found = f"{VARIABLE}={path}".encode(), []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            pass
    return found


def _until(call, seconds=_PATIENCE):
    """CALL()'s first empty result, or its last after SECONDS."""
    end = time.monotonic() + seconds
    while (left := call()) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def _end(path):
    """End what still runs; returns what can't be ended."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end, quiet = time.monotonic() + _PATIENCE, 0
        # A program that is just being started shows no environment yet: look more than once.
        while quiet < 3 and time.monotonic() < end:
            there = _members(path)
            quiet = 0 if there else quiet + 1
            for pid in there:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
            time.sleep(0.1)
        if quiet == 3:
            return []
    return [f"process {pid} doesn't end" for pid in _members(path)]


def _remove_taps(before):
    """They go with their process; one that stays is removed by name."""
    def new():
        return [name for name in taps() if name not in before]
    for name in _until(new, 2):
        subprocess.run(["ip", "link", "delete", name], check=False, stderr=subprocess.DEVNULL)
    return [f"link {name} is still there" for name in new()]


def _write_back(before, say):
    wrong = []
    for path, value in before.items():
        now = _chosen(read(path))
        if now == value or now is None or value is None:
            continue
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(value)
        except OSError as error:
            wrong.append(f"{path} is {now}, was {value}: {error.strerror}")
            continue
        if _chosen(read(path)) == value:
            say(f"{path}: {value} again")
        else:
            wrong.append(f"{path} is {_chosen(read(path))}, was {value}")
    return wrong


def _unload(before, say):
    def new():
        return [name for name in loaded() if name not in before]
    complaints = {}

    def once():
        for name in new():
            done = subprocess.run(["rmmod", name], capture_output=True, text=True, check=False)
            if done.returncode:
                complaints[name] = done.stderr.strip()
            else:
                say(f"unloaded {name}")
        return new()
    wrong = []
    for name in _until(once):
        # All that was ours has ended: another program has come to use it meanwhile.
        if "in use" in complaints[name] and not name.startswith("vhost_direct"):
            say(f"{name} stays loaded: somebody else uses it now")
        else:
            wrong.append(f"module {name} stays: {complaints[name]}")
    return wrong


def restore(path, say=lab.say):
    """Make the host what the journal in PATH says; returns what couldn't be: texts.

    The journal goes when everything is as it was.
    """
    before = load(path)
    if before is None:
        return []
    wrong = []
    if before["boot"] != boot():
        say("the machine has booted since: nothing of the measurement is left")
    else:
        wrong += _end(path)
        wrong += _remove_taps(before["taps"])
        # While the module is there that has one of them.
        wrong += _write_back(before["values"], say)
        wrong += _unload(before["modules"], say)
    if not wrong:
        os.unlink(path)
    return wrong

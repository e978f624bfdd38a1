# SPDX-License-Identifier: GPL-2.0-only
"""The running host in the place of a virtual machine: carries out what would run in there.

bench/host sets the variable that makes lab.run() come here, after it has asked and has written
down what the host was like. Plans are those for a VM: their paths are translated.
"""

import glob
import json
import os
import re
import shlex
import subprocess
import sys
import threading

from . import host_journal, lab

# What only a virtual machine has.
_ONLY_VM = {"--plugin": "an instruction counter", "--icount": "an emulated clock",
            "--numa": "emulated nodes", "--disk": "a disk of its own", "--append": "a boot",
            "--kernel": "a boot", "--sanitizer": "a boot"}


def wanted():
    """Is the running host to be measured?"""
    return bool(os.environ.get(host_journal.VARIABLE))


def journal():
    """What bench/host has written down: how the host was, and how it is to be measured."""
    path = os.environ[host_journal.VARIABLE]
    found = host_journal.load(path)
    if not found:
        raise lab.BenchError(f"no {path}: only bench/host measures on the running host")
    return found


def _local(text, folder):
    """A VM's path as it is here."""
    for there, here in (("/vd/", lab.REPO + "/"), ("/results/", os.path.join(folder, "files") + "/")):
        if text.startswith(there):
            return here + text[len(there):]
    return text


def _everywhere(value, folder):
    if isinstance(value, dict):
        return {key: _everywhere(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [_everywhere(each, folder) for each in value]
    return _local(value, folder) if isinstance(value, str) else value


def _pinned(args, driver, worker):
    """ARGS with this host's processors in the place of a VM's."""
    found = list(args)
    for at, word in enumerate(found[:-1]):
        if word == "--pin-driver":
            found[at + 1] = str(driver)
        elif word == "--pin-worker":
            found[at + 1] = str(worker)
    return found


def _never_fewer(commands):
    """Setup commands without one that would take huge pages away from the host."""
    def takes(command):
        match = re.match(rf"echo (\d+) >{lab.HUGE} ", command)
        return match and int(match[1]) <= int(host_journal.read(lab.HUGE) or 0)
    return [command for command in commands if not takes(command)]


def translate(plan, folder, cpus):
    """The plan for a VM as one for this host."""
    plan = _everywhere(plan, folder)
    plan["setup"] = _never_fewer(plan.get("setup", ()))
    plan["scratch"] = os.path.join(folder, "files")
    for run in plan["runs"]:
        for key in ("args", "instead"):
            if run.get(key):
                run[key] = _pinned(run[key], *cpus)
    return plan


def smap():
    """Has this host SMAP, and is it on?"""
    return bool(re.search(r"^flags\s*:.*\bsmap\b", host_journal.read("/proc/cpuinfo") or "", re.MULTILINE))


def _other_smap(options):
    """Why runs for the processor that OPTIONS ask for can't be made here, or nothing."""
    at = options.index("--cpu") if "--cpu" in options else -1
    if at < 0 or ("-smap" not in options[at + 1]) == smap():
        return ""
    return ("SMAP is on; boot this host with clearcpuid=smap for these" if smap() else
            "SMAP is off on this host")


def _has_pktgen():
    return not subprocess.run(["modprobe", "-n", "-q", "pktgen"], check=False).returncode


def pktgen_devices(root="/"):
    """Devices that the kernel's pktgen has been given: who starts it starts all of them."""
    found = set()
    for path in glob.glob(os.path.join(glob.escape(root), "proc/net/pktgen/kpktgend_*")):
        for line in (host_journal.read(path) or "").splitlines():
            kind, _, names = line.partition(":")
            found.update(names.split() if kind in ("Running", "Stopped") else ())
    return sorted(found)


def lacking(run, pktgen=_has_pktgen, devices=pktgen_devices):
    """Why RUN can't be made on this host, or nothing."""
    if run.get("program") == "testpmd":
        return "testpmd's threads are placed for a virtual machine: measured there, without HOST=1"
    if "pktgen" in run["args"] and not pktgen():
        return "this kernel has no pktgen"
    if "pktgen" in run["args"] and devices():
        return f"pktgen has devices of somebody else ({', '.join(devices())}), which it would start and remove"
    return ""


def divide(plan, reason):
    """Take out of PLAN what can't be made here; returns it as lines.

    REASON is one against all but the checks of contents, which any boot can make; another boot
    may make the rest, so that such runs aren't finished: "unfinished".
    """
    found, other = [], []
    for run in plan["runs"]:
        if reason and run.get("kind") != "check":
            other.append({"run": {**run, "skipped": reason, "unfinished": True}})
        else:
            found.append((run, lacking(run)))
    plan["runs"] = [run for run, why in found if not why]
    if not any("pktgen" in run["args"] for run in plan["runs"]):
        plan["setup"] = [command for command in plan["setup"] if command != "modprobe pktgen"]
    return other + [{"run": {**run, "skipped": why}} for run, why in found if why]


def _prepare(command, folder, options):
    """The words to run here, and the runs that can't be made: as lines."""
    for option, what in _ONLY_VM.items():
        if option in options:
            raise lab.BenchError(f"this part needs {what}, which the running host hasn't: it is "
                                 "measured in virtual machines, without HOST=1")
    path = os.path.join(folder, "files", "plan.json")
    if not command[0].endswith("/inside") or not os.path.exists(path):
        raise lab.BenchError("this part needs a virtual machine: it isn't measured on the running host")
    with open(path, encoding="utf-8") as file:
        plan = translate(json.load(file), folder, journal()["cpus"])
    skipped = divide(plan, _other_smap(list(options)))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(plan, file, indent=1)
    return [_local(word, folder) for word in command], skipped


def run(command, folder, options=(), timeout=300):
    """As lab.run(): yields what COMMAND's JSON lines hold as they come."""
    words, skipped = _prepare(command, folder, options)
    with open(os.path.join(folder, "qemu.command"), "w", encoding="utf-8") as file:
        file.write(f"host: {shlex.join(words)}\n")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=sys.stderr,
                          text=True, errors="replace") as process:
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    yield json.loads(line)
        finally:
            if sys.exc_info()[0] is not None:
                process.terminate()
            status = process.wait()
            timer.cancel()
    if status:
        raise lab.BenchError(f"{os.path.basename(words[0])} ended with status {status}")
    yield from skipped

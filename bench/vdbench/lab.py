# SPDX-License-Identifier: GPL-2.0-only
"""The lab as seen from the bench: run a command in a host VM, get its JSON lines."""

import contextlib
import json
import os
import subprocess
import sys
import threading

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPO = os.path.dirname(BENCH)
VM = os.path.join(REPO, "guest-tests", "lab", "vm")
BUILD = os.path.join(REPO, "build", "bench")
CPU = "max,-erms,-fsrm"
# Of the pages that vring maps; /proc/sys/vm/nr_hugepages is of the default size, maybe 1 GiB.
HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
# And how many each memory node has, where the kernel knows nodes.
HUGE_OF_NODES = "/sys/devices/system/node/node*/hugepages/hugepages-2048kB/nr_hugepages"


class BenchError(Exception):
    """Something the user can mend; shown without a traceback."""


def say(text):
    """One progress line; stdout is for the table. A terminal that is gone stops nobody: what puts the
    host back says what it does.
    """
    with contextlib.suppress(OSError):
        print(f"bench: {text}", file=sys.stderr, flush=True)


def call(words, what):
    """Run WORDS on this machine, return what they print; their stderr passes through."""
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{what} failed (status {done.returncode}): {' '.join(words)}\n"
                         f"{done.stdout[-3000:]}")
    return done.stdout


# pylint: disable=wrong-import-position,cyclic-import
from . import host_run  # noqa: E402  # it says what to say as this module does


def _follow(stream, log):
    """The VM's stderr goes to the log; what the lab itself has to say is progress."""
    for line in stream:
        log.write(line)
        log.flush()
        if line.startswith("lab:"):
            sys.stderr.write(line)
            sys.stderr.flush()


def _descendants(pid):
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            for child in file.read().split():
                found += [int(child), *_descendants(int(child))]
    except OSError:
        pass
    return found


def _put_first(pid):
    """Weigh the VM that PID started above its neighbours, as far as we may.

    Each session is a scheduling group of its own, so nice alone counts for nothing across
    them: the group's weight is what has to go up.
    """
    for child in _descendants(pid):
        try:
            with open(f"/proc/{child}/comm", encoding="ascii") as file:
                if not file.read().startswith("qemu"):
                    continue
            os.setpriority(os.PRIO_PROCESS, child, -20)
            with open(f"/proc/{child}/autogroup", "w", encoding="ascii") as file:
                file.write("-20")
        except OSError:
            pass


def accel(command):
    """What carried out a run, by the text of its qemu.command: kvm, tcg, or the running host."""
    if command.startswith("host:"):
        return "host"
    return "kvm" if "-accel kvm" in command else "tcg"


def run(command, folder, options=(), timeout=300, first=False):
    """Boot a host VM for COMMAND; yields what its JSON lines hold as they come.

    FIRST: ahead of everything else on this machine, so that neighbours spoil less.
    """
    os.makedirs(folder, exist_ok=True)
    if host_run.wanted():
        yield from host_run.run(command, folder, options, timeout)
        return
    words = [VM, "run", "--pin", "--cpu", CPU, "--results", folder, "--timeout", str(timeout),
             *options, "--", *command]
    log_path = os.path.join(folder, "bench-stderr.log")
    with open(log_path, "w", encoding="utf-8") as log, subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace") as process:
        follower = threading.Thread(target=_follow, args=(process.stderr, log), daemon=True)
        follower.start()
        try:
            for line in process.stdout:
                if first:
                    _put_first(process.pid)
                    first = False
                if line.startswith("{"):
                    yield json.loads(line)
        finally:
            # Also when the caller stops early: the lab cleans up on its own then.
            if sys.exc_info()[0] is not None and process.poll() is None:
                process.terminate()
            process.wait()
            follower.join(10)
    if process.returncode:
        with open(log_path, encoding="utf-8") as log:
            tail = "".join(log.readlines()[-15:])
        raise BenchError(f"the VM run ended with status {process.returncode} (99: the kernel log "
                         f"has a warning, 124: time-out, 125: the VM failed):\n{tail}"
                         f"see {folder}")

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A plain kill of run-tests or vm, or a terminal that is gone, ends what they started, too."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab.paths import read_text  # noqa: E402

# Says which process it is, and, when it is told to end, that it was.
_SLEEPER = """#!/bin/sh
trap 'echo told >"$AT/told"; exit 1' TERM
echo $$ >"$AT/started.new" && mv "$AT/started.new" "$AT/started"
sleep 60 &
wait
"""
_APT = "#!/bin/sh\necho 'http://mirror/debian/|bookworm|bookworm|main|/keys/a.gpg|Debian'\n"


def _write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def _within(seconds, true):
    """Did it become true in time?"""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def _signalled(folder, words, numbers, way="--default-signal=HUP"):
    """(how many of the signals NUMBERS it lived to see, once all was started; status; was what
    WORDS started told?; what they said).

    WAY: how SIGHUP is handed down: nohup, under which we may run, ignores it.
    """
    for name in ("started", "told"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, name))
    env = {**os.environ, "AT": folder, "VD_CACHE": os.path.join(folder, "cache"), "PATH": f"{folder}:{os.environ['PATH']}"}
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(
            ["env", way, *words], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            seen, started = 0, _within(60, lambda: os.path.exists(os.path.join(folder, "started")) or process.poll() is not None)
            for number in numbers if started else ():
                seen += process.poll() is None
                process.send_signal(number)
                time.sleep(0.3)
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int(read_text(os.path.join(folder, "started"))), signal.SIGKILL)
        out.seek(0)
        return seen, process.wait(), os.path.exists(os.path.join(folder, "told")), out.read()


def _ends(t, folder, name, words, numbers, *more):
    seen, status, told, said = _signalled(folder, words, numbers, *more)
    # Python puts signals back when it has cleaned up: one of several may come then.
    ends = [130, *(-number for number in numbers[1:])]
    t.check(name, status in ends and told, f"status {status}, told: {told}\n{said}")
    return seen


def main():
    """All cases."""
    with Ktap() as t, tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "sleeper")
        _write(program, _SLEEPER)
        words = [os.path.join(LAB, "..", "run-tests"), "--programs", program, "--only", "unit/sleeper"]
        _ends(t, folder, "run-tests, killed, ends its programs", words, [signal.SIGTERM])
        _ends(t, folder, "also when it is told by the group and by make", words, [signal.SIGTERM, signal.SIGTERM, signal.SIGHUP])
        _ends(t, folder, "and when its terminal is gone", words, [signal.SIGHUP])
        seen = _ends(t, folder, "under nohup a kill does", words, [signal.SIGHUP, signal.SIGTERM], "--ignore-signal=HUP")
        t.equal("and only that", seen, 2)
        if os.geteuid():
            t.skip("vm image, killed, ends mmdebstrap", "making an image wants root")
            return
        _write(os.path.join(folder, "mmdebstrap"), _SLEEPER)
        _write(os.path.join(folder, "apt-get"), _APT)
        for number in (signal.SIGTERM, signal.SIGHUP):
            _ends(t, folder, f"vm image, by {number.name}, ends mmdebstrap", [os.path.join(LAB, "vm"), "image"], [number])


if __name__ == "__main__":
    main()

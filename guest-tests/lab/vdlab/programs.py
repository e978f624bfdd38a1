# SPDX-License-Identifier: GPL-2.0-only
"""Runs the test programs of this machine and feeds their KTAP into a report.

Programs come in lanes, which go on side by side: those of one lane follow each other, but the
last lane's are for all; whichever lane has none left of its own takes from there. What a program
says is shown when it has ended, so that no two mix.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time

from .paths import LAB, REPO, say

sys.path.insert(0, LAB)
# pylint: disable=wrong-import-position
from ktap import Stream  # noqa: E402

# The slowest, the models, take five minutes of a processor: eight beside another lane.
LIMIT = 900


class _Program:
    """One that runs, in a session of its own."""

    def __init__(self, path, stack):
        self.name, self._began = os.path.basename(path), time.monotonic()
        self._out = stack.enter_context(tempfile.TemporaryFile())
        self._late = False
        say(f"unit/{self.name}")
        self._process = subprocess.Popen([path], stdin=subprocess.DEVNULL, stdout=self._out,
                                         stderr=subprocess.STDOUT, cwd=REPO, start_new_session=True)
        stack.callback(self.end)

    def _kill(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def running(self):
        """Does it still run? It is ended at its limit."""
        if self._process.poll() is not None:
            return False
        if not self._late and time.monotonic() - self._began > LIMIT:
            self._late = True
            self._kill(signal.SIGKILL)
        return True

    def end(self):
        """End it, if it runs: a word first, so that it can clean up."""
        if self._process.poll() is None:
            self._kill(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._kill(signal.SIGKILL)
            self._process.wait()

    def tell(self, report):
        """What it said, now that it has ended."""
        stream, status, note = Stream(self.name, report), self._process.returncode, ""
        self._out.seek(0)
        for line in self._out.read().decode(errors="replace").splitlines():
            stream.feed(line + "\n")
        if self._late:
            note = f"timeout after {LIMIT} s"
        elif status < 0:
            note = f"died of signal {-status}"
        stream.end(status, note)
        report.took(self.name, time.monotonic() - self._began)


def run(lanes, report):
    """Run all programs (paths) of LANES, a list of lists; results go to REPORT."""
    waiting, running = [list(lane) for lane in lanes], {}
    with contextlib.ExitStack() as stack:
        while any(waiting) or running:
            for lane, own in enumerate(waiting):
                paths = own or waiting[-1]
                if lane not in running and paths:
                    running[lane] = _Program(paths.pop(0), stack)
            for lane, program in list(running.items()):
                if not program.running():
                    program.tell(report)
                    del running[lane]
            time.sleep(0.05)

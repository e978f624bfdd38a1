#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""One boot for several suites: a VM that stands still is given up, the suites after it are not."""

import io
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import results, run, suites, testrun  # noqa: E402


def _vm(said, asked):
    """A VM that prints SAID about its first suite and then nothing; ASKED receives why it is ended."""
    def run_vm(_options, command, on_out, overdue):
        token = command[1]
        first = command[2].partition(":")[0]
        on_out(f"{token} begin {first}\nKTAP version 1\n{said}".encode())
        asked.append(overdue())
        testrun.time = _Later(1000)
        asked.append(overdue())
        testrun.time = _Later(0)
        return run.Result(reason=f"timeout {asked[-1]}", folder="/nonexistent")
    return run_vm


class _Later:
    """The clock, so much later."""

    def __init__(self, seconds):
        self._seconds = seconds

    def monotonic(self):
        """Seconds."""
        return 5000 + self._seconds


def main():
    """Run."""
    with Ktap() as t, tempfile.TemporaryDirectory() as folder:
        report = results.Recorder("none", os.path.join(folder, "results"), out=io.StringIO())
        group = [suites.Suite("a.sh", limit=300), suites.Suite("b.sh", limit=300)]
        kept, asked = (run.run_vm, testrun.time), []
        run.run_vm, testrun.time = _vm("ok 1 - fine\n", asked), _Later(0)
        left = testrun.Boot(group, report).go("bookworm")
        run.run_vm, testrun.time = kept
        report.save()
        found = results.load("none", os.path.join(folder, "results"))
        t.equal("within its limit a suite is waited for", asked[0], "")
        t.check("then the VM is ended, and why is said", "360 s of a.sh" in asked[1], asked)
        t.equal("the suites after it are still to be run", [suite.name for suite in left], ["b.sh"])
        verdicts = [test["verdict"] for test in found["a"]["tests"]]
        t.check("what it showed counts, and that it hung", verdicts[0] == "pass" and "fail" in verdicts, found)


if __name__ == "__main__":
    main()

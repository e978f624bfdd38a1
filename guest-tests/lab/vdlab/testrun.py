# SPDX-License-Identifier: GPL-2.0-only
"""Runs the suites in VMs and feeds their KTAP into a report."""

import os
import secrets
import sys
import time

from . import run, sanitizer, scan, suites
from .paths import LAB, say, LabError

sys.path.insert(0, LAB)
# pylint: disable=wrong-import-position
from ktap import Stream  # noqa: E402


# Seconds after its limit when a suite's VM is given up: the limit is the VM's own to keep.
_GRACE = 60


class Boot:
    """One boot that runs several suites: cuts its output at the marks."""

    def __init__(self, group, report, kernel=""):
        self._group, self._report, self._kernel = group, report, kernel
        self._token = "vd-" + secrets.token_hex(8)
        self._tail, self._stream, self._current = b"", None, None
        self.ended = {}
        self._began = 0.0

    def _line(self, line):
        if not line.startswith(self._token):
            if self._stream:
                self._stream.feed(line)
            return
        words = line.split()
        if words[1] == "begin":
            self._current, self._stream = words[2], Stream(words[2], self._report)
            self._began = time.monotonic()
            say(f"suite {self._current}")
        elif words[1] == "end":
            status = int(words[3])
            limit = status in (124, 137)
            self._stream.end(status, f"timeout (status {status})" if limit else "")
            self.ended[self._current] = time.monotonic() - self._began
            self._report.took(self._current, self.ended[self._current])
            self._current = self._stream = None

    def _feed(self, data):
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            self._line(line.decode(errors="replace"))

    def _overdue(self):
        """A VM that stands still keeps no limit: ends it, for those that are to come."""
        for suite in self._group:
            limit = suite.limit * (sanitizer.SLOW if self._kernel else 1) + _GRACE
            if suite.name == self._current and time.monotonic() - self._began > limit:
                return f"after {limit:.0f} s of {suite.name}: the VM doesn't keep its limit"
        return ""

    def _logs(self, result):
        parts = suites.split_log(result.kernel_log())
        begun = [suite for suite in self._group if suite.name in parts]
        for suite in begun:
            found = scan.scan(parts[suite.name], scan.compile_allowed(suite.allow))
            self._judge(suite.name, found)
        found = scan.scan(parts["boot"])
        if found:
            self._judge("boot", found)
        for finding in result.findings:
            if finding.kind == "kmemleak":
                self._judge("boot", [finding])

    def _judge(self, name, found):
        lines = []
        for finding in found[:4]:
            lines += [str(finding), *("  " + line for line in finding.context)]
        self._report.result(name, "kernel log is clean", "fail" if found else "pass", "", lines)

    def go(self, image):
        """Boot and run; returns the suites that never got to run."""
        command = ["/vd/guest-tests/lab/guest/run-suites", self._token]
        if "VD_FULL" in os.environ:
            command = ["env", f"VD_FULL={os.environ['VD_FULL']}", *command]
        slow = sanitizer.SLOW if self._kernel else 1
        command += [f"{suite.name}:{suite.limit * slow}" for suite in self._group]
        result = run.run_vm(suites.options(self._group, image, self._kernel), command,
                            on_out=self._feed, overdue=self._overdue)
        if self._current:
            self._stream.end(0, f"the VM ended under it: {result.reason or result.status}")
            self.ended[self._current] = 0
        self._logs(result)
        left = [suite for suite in self._group if suite.name not in self.ended]
        if left and not self.ended:
            raise LabError(f"the VM ran no suite: {result.reason or result.status}")
        return left


def _fit(chosen, report):
    """The suites that can run on a sanitizer kernel; the others are reported as skipped."""
    for suite in chosen:
        if suite.no_sanitizer:
            report.result(suite.name, "all", "skip", suite.no_sanitizer)
    return [suite for suite in chosen if not suite.no_sanitizer]


def run_suites(chosen, image, report, kernel=""):
    """All chosen suites. After a crash the ones that were to follow get a fresh boot.

    KERNEL: the sanitizer kernel to run them on; default the image's own.
    """
    if kernel:
        chosen = _fit(chosen, report)
    for group in suites.boots(chosen):
        while group:
            group = Boot(group, report, kernel).go(image)
            if group:
                say(f"booting again for {', '.join(suite.name for suite in group)}")

# SPDX-License-Identifier: GPL-2.0-only
"""Runs the suites in VMs and feeds their KTAP into a report."""

import os
import secrets
import sys
import time

from . import run, sanitizer, scan, suites
from .held import LIMIT, WINDOW
from .paths import LAB, say, LabError

sys.path.insert(0, LAB)
# pylint: disable=wrong-import-position
from ktap import Stream  # noqa: E402


# Seconds after its limit when a suite's VM is given up: the limit is the VM's own to keep.
_GRACE = 60
# Seconds that a VM has to begin a suite: its boot, and what it does between and behind them. The VM's
# own limit is all suites' together.
_IDLE = 300


# What a kernel says of processors that it believes to run; all else it says counts anyway.
_WATCHDOGS = ("stall", "hung task")
_LOG = "kernel log is clean"


class Trial:
    """What a boot's suites say: shown at once, counted when it is known whether it counts."""

    def __init__(self, report):
        self._report, self._said = report, {}

    def result(self, source, name, verdict, note="", diagnostics=()):
        """Take one test. What there is to say of a failure is shown with its judgement."""
        self._said.setdefault(source, []).append((name, verdict, note, list(diagnostics)))
        self._report.show(source, name, "fail?" if verdict == "fail" else verdict, note)

    def failures(self, source):
        """The tests of SOURCE that failed."""
        return [test for test in self._said.get(source, ()) if test[1] == "fail"]

    def certain(self, source):
        """Did a test of SOURCE fail by what no want of time explains? It says so in a line of its own."""
        return any("certain: " in line for *_, diagnostics in self.failures(source) for line in diagnostics)

    def judge(self, source, counts=True):
        """The suite is over: its tests count, or are only shown as what a repetition is for."""
        for name, verdict, note, diagnostics in self._said.pop(source, ()):
            if verdict == "fail":
                self._report.show(source, name, "fail" if counts else "held", note, diagnostics)
            if counts:
                self._report.count(source, name, verdict, note)


class Boot:
    """One boot that runs several suites: cuts its output at the marks.

    A suite that failed while this machine was busy with others (vdlab.held) is to be run
    once more, unless it is LAST, a test said that it is certain (of corrupt data, which no haste
    explains), or the kernel complained about more than time. So is one whose kernel log begins
    with what an emulated processor did and none does (scan.impossible()), but for sanitizer kernels.
    """

    def __init__(self, group, report, kernel="", last=False):
        self._group, self._report, self._kernel, self._last = group, report, kernel, last
        self._trial, self._spans = Trial(report), {}
        self.again = []
        self._token = "vd-" + secrets.token_hex(8)
        self._tail, self._stream, self._current = b"", None, None
        self.ended = {}
        self._began = 0.0
        # Since when no suite runs, by the clock; the boot's begin is when we are asked first.
        self._idle = None

    def _line(self, line):
        if not line.startswith(self._token):
            if self._stream:
                self._stream.feed(line)
            return
        words = line.split()
        if words[1] == "begin":
            self._current, self._stream = words[2], Stream(words[2], self._trial)
            self._began = time.monotonic()
            say(f"suite {self._current}")
        elif words[1] == "end":
            status = int(words[3])
            limit = status in (124, 137)
            self._stream.end(status, f"timeout (status {status})" if limit else "")
            self._end()
            self._report.took(self._current, self.ended[self._current])
            self._current, self._stream, self._idle = None, None, time.monotonic()

    def _end(self):
        now = time.monotonic()
        self.ended[self._current] = now - self._began
        self._spans[self._current] = (self._began, now)

    def _feed(self, data):
        lines = (self._tail + data).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            self._line(line.decode(errors="replace"))

    def _overdue(self):
        """A VM that stands still keeps no limit: ends it, for those that are to come."""
        now, slow = time.monotonic(), sanitizer.SLOW if self._kernel else 1
        if self._idle is None:
            self._idle = now
        if not self._current and now - self._idle > _IDLE * slow:
            return f"after {_IDLE * slow} s {'without a suite' if self.ended else 'in its boot'}"
        for suite in self._group:
            limit = suite.limit * slow + _GRACE
            if suite.name == self._current and now - self._began > limit:
                return f"after {limit:.0f} s of {suite.name}: the VM doesn't keep its limit"
        return ""

    def _died(self, reason):
        """The VM died under no suite: as with what its log says, that is the last one's doing."""
        # A sanitizer kernel's last words, of all suites, aren't had again by one's repetition.
        lost = ["certain: what kmemleak found is lost"] if self._kernel else []
        self._trial.result(list(self.ended)[-1], "the VM outlives it", "fail", reason, lost)

    def _logs(self, result):
        """Judge each suite, with its part of the kernel log."""
        parts = suites.split_log(result.kernel_log())
        for suite in self._group:
            found = []
            if suite.name in parts:
                found = scan.scan(parts[suite.name], scan.compile_allowed(suite.allow))
                self._log(self._trial, suite.name, found)
            elif suite.name in self.ended:
                # A log that was cut short, or that overflowed, shows nothing clean.
                self._trial.result(suite.name, _LOG, "fail", "it doesn't have this suite's beginning")
            self._judge(suite, found, result)
        found = scan.scan(parts["boot"])
        found += [finding for finding in result.findings if finding.kind == "kmemleak"]
        if found:
            self._log(self._report, "boot", found)

    def _judge(self, suite, found, result):
        worst = stood = 0.0
        if suite.name in self._spans:
            worst, stood = result.held.worst(*self._spans[suite.name]), result.held.stood(*self._spans[suite.name])
        failures = self._trial.failures(suite.name)
        # What came first is what the others may follow from; a sanitizer kernel is there for what it reports.
        emulated = found and result.accel == "tcg" and not self._kernel
        erred = scan.impossible(found[0]) if emulated else ""
        held = (worst > LIMIT or stood) and all(finding.kind in _WATCHDOGS for finding in found)
        doubtful = failures and not self._last and not self._trial.certain(suite.name) and (erred or held)
        self._trial.judge(suite.name, not doubtful)
        if failures:
            again = ": it is to run again" if doubtful else ""
            say(f"during {suite.name} this machine kept up to {worst:.0%} of the processors' "
                f"time in {WINDOW:.0f} s from the VM" + (f", and stood still for {stood:.1f} s" if stood else "")
                + ("" if erred else again))
            if erred:
                say(f"during {suite.name} QEMU emulated wrongly, {erred}{again}")
        if doubtful:
            self.again.append(suite)

    @staticmethod
    def _log(report, name, found):
        lines = []
        for finding in found[:4]:
            lines += [str(finding), *("  " + line for line in finding.context)]
        report.result(name, _LOG, "fail" if found else "pass", "", lines)

    def go(self, image):
        """Boot and run; returns the suites that never got to run. If none did: run.NoBoot."""
        command = ["/vd/guest-tests/lab/guest/run-suites", self._token]
        if "VD_FULL" in os.environ:
            command = ["env", f"VD_FULL={os.environ['VD_FULL']}", *command]
        slow = sanitizer.SLOW if self._kernel else 1
        command += [f"{suite.name}:{suite.limit * slow}" for suite in self._group]
        try:
            result = run.run_vm(suites.options(self._group, image, self._kernel), command,
                                on_out=self._feed, overdue=self._overdue)
        except BaseException:
            # Ctrl-C, or the lab's own failure: what had ended by then is known.
            for name in self.ended:
                self._trial.judge(name)
            raise
        if not self._current and not self.ended:
            # What its log has the next boot's may not have: nobody has loaded a module yet.
            raise run.NoBoot(f"the VM ran no suite: {result.reason or result.status}")
        if self._current:
            self._stream.end(0, f"the VM ended under it: {result.reason or result.status}")
            self._end()
        elif result.reason and self.ended:
            self._died(result.reason)
        self._logs(result)
        return [suite for suite in self._group if suite.name not in self.ended]


def _fit(chosen, report):
    """The suites that can run on a sanitizer kernel; the others are reported as skipped."""
    for suite in chosen:
        if suite.no_sanitizer:
            report.result(suite.name, "all", "skip", suite.no_sanitizer)
    return [suite for suite in chosen if not suite.no_sanitizer]


def _go(group, image, report, kernel, last=False):
    """(suites that never got to run, suites to run again) of a boot that ran one at least."""
    boot = Boot(group, report, kernel, last)
    try:
        return boot.go(image), boot.again
    except run.NoBoot as error:
        say(f"{error}\nbooting once more")
    boot = Boot(group, report, kernel, last)
    return boot.go(image), boot.again


def run_suites(chosen, image, report, kernel=""):
    """All chosen suites. After a crash the ones that were to follow get a fresh boot. Those whose VM comes
    to no suite, twice, have failed; others still run.

    KERNEL: the sanitizer kernel to run them on; default the image's own.
    """
    if kernel:
        chosen = _fit(chosen, report)
    again = []
    for group in suites.boots(chosen):
        while group:
            try:
                group, more = _go(group, image, report, kernel)
            except run.NoBoot as error:
                say(str(error))
                for suite in group:
                    report.result(suite.name, "its VM boots", "fail", str(error).split("\n", 1)[0])
                break
            except LabError:
                for suite in again:
                    report.result(suite.name, "was run once more", "fail", "the lab failed before that")
                raise
            again += more
            if group:
                say(f"booting again for {', '.join(suite.name for suite in group)}")
    for suite in again:
        say(f"once more, because of the machine: {suite.name}")
        try:
            _go([suite], image, report, kernel, last=True)
        except LabError as error:
            report.result(suite.name, "was run once more", "fail", str(error))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""KTAP, both ways: Ktap writes it in a test, Stream reads it, Report counts and prints.

As a program: ktap.py [FILE...] reads KTAP from files or standard input and ends with
"N passed, N failed" (", N skipped" if any); the exit status is 1 if anything failed.

A test in Python:
    from ktap import Ktap
    with Ktap() as t:
        t.check("two and two", 2 + 2 == 4)
        t.skip("one gigabyte pages", "the processor has none")
"""

import argparse
import re
import sys
import traceback


class Ktap:
    """Writes KTAP. As a context manager it reports an exception as a failed test."""

    def __init__(self, out=None):
        self._out = out or sys.stdout
        self._count = self.failed = 0
        self._line("KTAP version 1")

    def _line(self, text):
        print(text, file=self._out, flush=True)

    def diag(self, text):
        """Explain something; shown with the next failure."""
        for line in str(text).splitlines():
            self._line(f"# {line}")

    def check(self, name, good, why=""):
        """A test passes if GOOD is true. Returns it."""
        self._count += 1
        if not good:
            self.failed += 1
            self.diag(why)
        self._line(f"{'ok' if good else 'not ok'} {self._count} - {name}")
        return good

    def equal(self, name, found, wanted):
        """A test passes if FOUND is WANTED."""
        return self.check(name, found == wanted, f"found {found!r}, wanted {wanted!r}")

    def raises(self, name, error, call):
        """A test passes if CALL() raises ERROR."""
        try:
            call()
        except error:
            return self.check(name, True)
        return self.check(name, False, f"no {error.__name__} was raised")

    def skip(self, name, reason):
        """A test that can't run here, and why."""
        self._count += 1
        self._line(f"ok {self._count} - {name} # SKIP {reason}")

    def done(self):
        """The plan, at the end."""
        self._line(f"1..{self._count}")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and not isinstance(error, (SystemExit, KeyboardInterrupt)):
            self.check("no exception", False, "".join(traceback.format_exception(error)))
        if not isinstance(error, KeyboardInterrupt):
            self.done()
            sys.exit(1 if self.failed else 0)


_RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:- )?(.*?)(?:\s+# (SKIP|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*))?$",
                     re.IGNORECASE)
_PLAN = re.compile(r"^1\.\.(\d+)(?:\s*# SKIP\s*(.*))?$", re.IGNORECASE)
_SHOWN_DIAGNOSTICS = 40


class Report:
    """Counts results from several streams, prints each test as a readable line."""

    def __init__(self, out=None):
        self._out = out or sys.stdout
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def _line(self, text):
        print(text, file=self._out, flush=True)

    def show(self, source, name, verdict, note="", diagnostics=()):
        """Print one test, without counting it. VERDICT: pass, fail or skip; else a word, of
        up to five letters, for a failure that may not count.
        """
        if verdict == "pass":
            self._line(f"  ok    {source}: {name}")
        elif verdict == "skip":
            self._line(f"  skip  {source}: {name} ({note or 'no reason given'})")
        else:
            word = "FAIL" if verdict == "fail" else verdict
            self._line(f"  {word:<5} {source}: {name}{f' ({note})' if note else ''}")
            for line in list(diagnostics)[-_SHOWN_DIAGNOSTICS:]:
                self._line(f"        {line}")

    def count(self, source, name, verdict, _note=""):
        """Count one test, without printing it."""
        if verdict == "pass":
            self.passed += 1
        elif verdict == "skip":
            self.skipped += 1
        else:
            self.failed += 1
            self.failures.append(f"{source}: {name}")

    def result(self, source, name, verdict, note="", diagnostics=()):
        """Print and count one test."""
        self.count(source, name, verdict, note)
        self.show(source, name, verdict, note, diagnostics)

    def summary(self):
        """The closing lines; the last holds the counts alone."""
        if self.failures:
            self._line("failed:")
            for name in self.failures:
                self._line(f"  {name}")
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        self._line(f"{self.passed} passed, {self.failed} failed{skipped}")
        return 1 if self.failed or not self.passed + self.skipped else 0


class Stream:
    """Reads one source's KTAP line by line into a Report.

    Subtests (indented) count, and so does the line that sums them up only if it says
    something new: that it failed although none of them did, or was skipped.
    """

    def __init__(self, source, report):
        self._source, self._report = source, report
        self._diagnostics, self._plan, self._seen, self._skip_all = [], None, 0, None
        self._nested = self._nested_failed = 0
        self.any_failed = False

    def _fail(self, name, note, diagnostics=()):
        self.any_failed = True
        self._report.result(self._source, name, "fail", note, diagnostics)

    def feed(self, line):
        """Take one line of the source's output."""
        line = line.rstrip("\r\n")
        text = line.lstrip()
        indented = text != line
        result, plan = _RESULT.match(text), _PLAN.match(text)
        if plan and not indented:
            self._plan, self._skip_all = int(plan[1]), plan[2]
        elif result:
            self._result(result, indented)
        elif text.startswith("KTAP version") or text.startswith("TAP version") or plan:
            pass
        elif text:
            self._diagnostics.append(text.removeprefix("# "))

    def _result(self, match, indented):
        negative, _, name, directive, reason = match.groups()
        verdict = "fail" if negative else "pass"
        if directive and directive.upper() == "SKIP":
            verdict = "skip"
        elif directive and directive.upper() == "XFAIL":
            verdict = "pass"
        if indented:
            self._nested += 1
            self._nested_failed += verdict == "fail"
        else:
            self._seen += 1
            summed, bad = self._nested, self._nested_failed
            self._nested = self._nested_failed = 0
            if summed and (verdict == "pass" or verdict == "fail" and bad):
                self._diagnostics = []
                return
        self.any_failed |= verdict == "fail"
        self._report.result(self._source, name or "(unnamed)", verdict, reason or "",
                            self._diagnostics)
        self._diagnostics = []

    def end(self, status=0, note=""):
        """The source is over: its exit STATUS and plan must agree with what was seen."""
        if self._plan == 0 and not self._seen and not status and not note:
            self._report.result(self._source, "all", "skip", self._skip_all or "")
        elif status == 77 and not self._seen:
            why = self._diagnostics[-1] if self._diagnostics else ""
            self._report.result(self._source, "all", "skip", why)
        elif note:
            self._fail("ran to its end", note, self._diagnostics)
        elif self._plan is None:
            self._fail("ran to its end", f"no plan in its output, status {status}",
                       self._diagnostics)
        elif self._plan != self._seen:
            self._fail("ran to its end", f"{self._plan} tests planned, {self._seen} seen, "
                       f"status {status}", self._diagnostics)
        elif status and not self.any_failed:
            self._fail("exit status", f"status {status} though no test failed", self._diagnostics)


def main():
    """Read files or standard input, print the report."""
    parser = argparse.ArgumentParser(prog="ktap.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="KTAP; default: standard input")
    report = Report()
    for name in parser.parse_args().files or ["-"]:
        stream = Stream(name, report)
        try:
            with (sys.stdin if name == "-" else
                  open(name, encoding="utf-8", errors="replace")) as lines:
                for line in lines:
                    stream.feed(line)
        except OSError as error:
            print(f"ktap.py: {name}: {error.strerror}", file=sys.stderr)
            return 2
        stream.end()
    return report.summary()


if __name__ == "__main__":
    sys.exit(main())

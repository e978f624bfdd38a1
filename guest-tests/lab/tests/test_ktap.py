#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The KTAP reader counts right, above all where a test program misbehaves."""

import io
import os
import subprocess
import sys

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap, Report, Stream  # noqa: E402


def counts(text, status=0, note=""):
    """(passed, failed, skipped) of one stream."""
    report = Report(io.StringIO())
    stream = Stream("x", report)
    for line in text.splitlines():
        stream.feed(line)
    stream.end(status, note)
    return report.passed, report.failed, report.skipped


def last_line(texts):
    """The summary's last line for several streams."""
    out = io.StringIO()
    report = Report(out)
    for text in texts:
        stream = Stream("x", report)
        for line in text.splitlines():
            stream.feed(line)
        stream.end()
    report.summary()
    return out.getvalue().splitlines()[-1]


def from_sh(body):
    """What a sh test that sources ktap.sh comes to."""
    done = subprocess.run(["sh", "-c", f". {LAB}/ktap.sh\n{body}"], capture_output=True,
                          text=True, check=False)
    return counts(done.stdout, done.returncode)


STREAMS = (
    ("plan first", "KTAP version 1\n1..2\nok 1 - a\nok 2 - b", 0, (2, 0, 0)),
    ("plan last", "ok 1 - a\nnot ok 2 - b\n1..2", 1, (1, 1, 0)),
    ("no dash, no number", "1..2\nok a\nnot ok", 1, (1, 1, 0)),
    ("skip is not a pass", "1..2\nok 1 - a # SKIP no kvm\nok 2 - b", 0, (1, 0, 1)),
    ("skip all", "1..0 # SKIP nothing to do", 0, (0, 0, 1)),
    ("a plan of none, then a crash", "1..0", 139, (0, 1, 0)),
    ("status 77 with no output", "why", 77, (0, 0, 1)),
    ("a test is missing", "1..3\nok 1 - a\nok 2 - b", 0, (2, 1, 0)),
    ("no plan: died early", "ok 1 - a", 139, (1, 1, 0)),
    ("nothing at all", "", 0, (0, 1, 0)),
    ("all passed, bad status", "1..1\nok 1 - a", 3, (1, 1, 0)),
    ("failed and bad status counts once", "1..1\nnot ok 1 - a", 1, (0, 1, 0)),
    ("expected failure", "1..1\nnot ok 1 - a # XFAIL known", 0, (1, 0, 0)),
    ("subtests", "1..1\n    1..2\n    ok 1 - a\n    not ok 2 - b\nnot ok 1 - group", 1, (1, 1, 0)),
    ("subtests fine, their group not", "1..1\n    1..1\n    ok 1 - a\nnot ok 1 - g", 1, (1, 1, 0)),
    ("a # in a name", "1..1\nok 1 - issue #7 is gone", 0, (1, 0, 0)),
    ("other output", "hello\n1..1\nnoise ok\nok 1 - a\nokay then", 0, (1, 0, 0)),
)


def main():
    """All cases."""
    with Ktap() as t:
        for name, text, status, wanted in STREAMS:
            t.equal(name, counts(text, status), wanted)
        t.equal("a note is a failure", counts("1..1\nok 1 - a", 0, "timeout"), (1, 1, 0))
        t.equal("also where none was planned", counts("1..0", 0, "timeout"), (0, 1, 0))
        t.equal("the last line", last_line(["1..1\nok 1 - a", "1..1\nnot ok 1 - b"]),
                "1 passed, 1 failed")
        t.equal("the last line with a skip", last_line(["1..1\nok 1 - a # SKIP x"]),
                "0 passed, 0 failed, 1 skipped")
        t.equal("sh: check and refuse", from_sh(
            "check a true; check b false; refuse c false; refuse d true; ktap_done"), (2, 2, 0))
        t.equal("sh: refuse doesn't take a signal for a refusal",
                from_sh("refuse a sh -c 'kill -9 $$'; ktap_done"), (0, 1, 0))
        t.equal("sh: a death before the end", from_sh("check a true; exit 0"), (1, 1, 0))
        t.equal("sh: skip", from_sh("skip a because; ktap_done"), (0, 0, 1))
        t.equal("sh: a plan not kept", from_sh("ktap_plan 2; pass a; ktap_done"), (1, 1, 0))
        t.equal("sh: skip_all", from_sh("skip_all 'no kvm'"), (0, 0, 1))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Results are kept and replaced by suite; `features` counts what passed and nothing else."""

import io
import os
import subprocess
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import results  # noqa: E402

PROGRAM = os.path.join(os.path.dirname(LAB), "features")
LIST = """# a list
feature one
  since 1.0
  test a: first*
feature two
  since 2.0
  test a: first*
  test b: second
feature three
  since 3.0
  impossible 6.1 : it has none
  test *: *third
"""


def _save(folder, kernel, tests):
    """Results of a run, as run-tests leaves them: (source, name, verdict)."""
    recorder = results.Recorder(kernel, folder, io.StringIO())
    for source, name, verdict in tests:
        recorder.result(source, name, verdict)
    recorder.save()
    return recorder


def _features(folder, *words, text=LIST):
    """(status, output) of the program."""
    path = os.path.join(folder, "list")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run([PROGRAM, "--results", os.path.join(folder, "r"), "--list", path, *words],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def _sums(folder, *words):
    status, text = _features(folder, "--kernel", "6.1", "--kernel", "7.2", *words)
    return status, [line for line in text.splitlines() if line.startswith("features: ")]


def _counting(t, folder):
    runs = os.path.join(folder, "r")
    t.equal("without results nothing passed", _sums(folder),
            (0, ["features: 6.1 0/2", "features: 7.2 0/3"]))
    _save(runs, "6.1", [("a.sh", "first of all", "pass"), ("b.py", "other", "pass")])
    t.equal("one of two tests is no pass, what is impossible doesn't count", _sums(folder)[1],
            ["features: 6.1 1/2", "features: 7.2 0/3"])
    _save(runs, "6.1", [("b.py", "second", "skip")])
    t.equal("a skip is no pass", _sums(folder)[1][0], "features: 6.1 1/2")
    _save(runs, "6.1", [("b.py", "second", "pass")])
    t.equal("another run of a suite takes the place of the last", _sums(folder)[1][0],
            "features: 6.1 2/2")
    t.equal("all passed: status 0 with --strict", _features(folder, "--kernel", "6.1", "--strict")[0], 0)
    path = os.path.join(runs, "6.1", "a.sh.json")
    with open(path, encoding="utf-8") as file:
        kept = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(kept.replace(f'"{results.revision()}"', '"before"'))
    status, text = _features(folder, "--kernel", "6.1", "--strict")
    t.check("all passed, one of them by a result of another revision: status 1 with --strict, and it is named",
            status == 1 and "6.1: before" in text and "features: 6.1 2/2" in text, text)
    t.equal("but not without", _features(folder, "--kernel", "6.1")[0], 0)
    _save(runs, "6.1", [("a.sh", "first of all", "pass"), ("a.sh", "first, too", "fail")])
    status, text = _features(folder, "--kernel", "6.1", "--strict")
    t.check("one that failed among many is none", "features: 6.1 0/2" in text, text)
    t.check("the reason is named", "6.1: one: a: first*: failed 1 times" in text, text)
    t.equal("status 1 with --strict", status, 1)
    _save(runs, "7.2", [("c.sh", "third", "pass")])
    t.equal("each kernel by itself", _sums(folder)[1], ["features: 6.1 0/2", "features: 7.2 1/3"])
    _save(runs, "7.2", [("d.sh", "stock: third", "fail"), ("a.sh", "stock: first", "pass")])
    t.equal("what stock's node does counts neither way", _sums(folder)[1][1], "features: 7.2 1/3")
    _save(runs, "6.1", [("a.sh", "first of all", "pass"), ("a.sh", "kernel log is clean", "fail")])
    status, text = _features(folder, "--kernel", "6.1")
    t.check("nothing passed where the kernel complained, whatever the test says",
            "features: 6.1 0/2" in text and "one: a: the kernel's log wasn't clean" in text, text)
    _names(t, folder, runs)
    words = ("--kernel", "6.1", "--names")
    _save(runs, "6.1", [("e.sh", "stock to direct", "pass"), ("e.sh", "direct to stock", "pass")])
    t.equal("but a test that is asked for as stock's is found", _features(
        folder, *words, text="feature four\n  test e: stock to direct\n  test e: direct*\n"),
            (0, "features: all names are those of tests, as far as suites ran\n"))
    t.check("and a pattern of others isn't it", _features(
        folder, *words, text="feature four\n  test e: *to direct\n")[0] == 1)
    _save(runs, "7.2-kasan", [("a.sh", "first", "pass")])
    t.equal("a sanitizer's run is not the kernel's", _sums(folder)[1][1], "features: 7.2 1/3")


def _names(t, folder, runs):
    """Names that no test has, in suites that ran."""
    def names():
        return _features(folder, "--kernel", "6.1", "--names")
    _save(runs, "6.1", [("a.sh", "first of all", "pass"), ("b.py", "second", "pass")])
    t.equal("all names are those of tests", names()[0], 0)
    _save(runs, "6.1", [("b.py", "seconds", "pass")])
    t.check("a name that its suite lacks is told",
            names() == (1, 'features: 6.1: two: b has no test named "second"\n'), names())
    _save(runs, "6.1", [("b.py", "b", "skip")])
    t.equal("not so if the suite skipped all", names()[0], 0)
    _save(runs, "6.1", [("b.py", "other", "pass"), ("b.py", "ended well", "fail")])
    t.equal("nor if something failed", names()[0], 0)


def main():
    """All cases."""
    with Ktap() as t, tempfile.TemporaryDirectory() as folder:
        recorder = _save(os.path.join(folder, "x"), "6.1", [("a.sh", "n", "pass"), ("a.sh", "m", "fail")])
        t.equal("a recorder counts like a report", (recorder.passed, recorder.failed), (1, 1))
        run = results.load("6.1", os.path.join(folder, "x"))["a"]
        t.equal("what was kept", [(test["name"], test["verdict"]) for test in run["tests"]],
                [("n", "pass"), ("m", "fail")])
        t.equal("how long it took isn't known", run["seconds"], None)
        recorder.took("a.sh", 2.34)
        recorder.result("a.sh", "n", "pass")
        recorder.save()
        t.equal("how long it took", results.load("6.1", os.path.join(folder, "x"))["a"]["seconds"], 2.3)
        _counting(t, folder)
        status, text = _features(folder, text="feature one\n  tests a: b\n")
        t.check("a list that makes no sense is an error", status == 2 and "list:2" in text, text)
        status, text = _features(folder, text="feature one\n  since 1\n")
        t.check("a feature without a test is an error", status == 2 and "no test" in text, text)
        done = subprocess.run([PROGRAM, "--results", os.path.join(folder, "none")],
                              capture_output=True, text=True, check=False)
        t.check("the project's own list can be read", done.returncode == 0, done.stderr)


if __name__ == "__main__":
    main()

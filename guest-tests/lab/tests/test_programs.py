#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Test programs of this machine, in lanes: what they say is counted, and they end."""

import io
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import programs, results  # noqa: E402

_ONE = "#!/bin/sh\necho KTAP version 1\necho 1..1\n"


def _program(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(_ONE + text)
    os.chmod(path, 0o755)
    return path


def _ran(folder, *lanes):
    """{program: verdicts} of programs {name: text} in LANES."""
    report = results.Recorder("none", os.path.join(folder, "results"), out=io.StringIO())
    programs.run([[_program(folder, name, text) for name, text in lane.items()] for lane in lanes],
                 report)
    report.save()
    return {name: [test["verdict"] for test in run["tests"]]
            for name, run in results.load("none", os.path.join(folder, "results")).items()}


def main():
    """Run."""
    with Ktap() as t, tempfile.TemporaryDirectory() as folder:
        # Each waits for the other: neither would end by itself before its limit.
        meet = "touch {0}/{1}; until [ -e {0}/{2} ]; do sleep 0.05; done; echo ok 1 - met\n"
        programs.LIMIT, kept = 20, programs.LIMIT
        found = _ran(folder, {"a": meet.format(folder, "from-a", "from-c"), "b": "echo not ok 1 - b\nexit 1\n"},
                     {"c": meet.format(folder, "from-c", "from-a"), "d": "kill -9 $$\n"}, {})
        t.equal("lanes go on side by side", (found["a"], found["c"]), (["pass"], ["pass"]))
        t.equal("what failed has failed", found["b"], ["fail"])
        t.check("one that dies has failed", "fail" in found["d"], found)
        order = _ran(folder, {"first": f"sleep 0.5; touch {folder}/made; echo ok 1 - first\n",
                              "second": f"[ -e {folder}/made ] && echo ok 1 - second\n"})
        t.equal("one lane's follow each other", order["second"], ["pass"])
        # Behind each other, these would not meet, either.
        taken = _ran(folder, {"own": "echo ok 1 - own\n"},
                     {"e": meet.format(folder, "from-e", "from-f"),
                      "f": meet.format(folder, "from-f", "from-e")})
        t.equal("a lane that is done takes from the last", (taken["e"], taken["f"]),
                (["pass"], ["pass"]))
        alone = _ran(folder, {"one": f"sleep 0.5; touch {folder}/one-ended; echo ok 1 - one\n",
                              "two": f"[ -e {folder}/one-ended ] && echo ok 1 - two\n"}, {})
        t.equal("the last takes from no other", alone["two"], ["pass"])
        programs.LIMIT = 1
        late = _ran(folder, {"late": "sleep 60; echo ok 1 - late\n"})
        programs.LIMIT = kept
        t.check("one that doesn't end is ended, and has failed", "fail" in late["late"], late)


if __name__ == "__main__":
    main()

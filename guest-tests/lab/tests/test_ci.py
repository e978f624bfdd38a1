#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
""".ci/run: what it leaves out is run at another turn, and in which order it goes when time is short.

In a folder with programs of the same names that do nothing, by a clock that these move on.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab.paths import REPO  # noqa: E402

# Seconds: programs and suites of 6.1, of the other kernel, of that with KASAN.
_MAKE = """#!/bin/sh
took=0
case "$*" in
check) took=265 ;;
"test KERNEL="*) took=800 what=other ;;
"test TESTS=--only vm/races.py") took=100 what=races ;;
"test TESTS=--only vm/iotlb.sh --only vm/races.py") took=250 what=both ;;
"test TESTS="*) took=$SUITES; n=0; while [ ! -e "$AWAITED" ] && [ $((n += 1)) -le 1500 ]; do sleep 0.1; done ;;
fuzz-ci*) took=100 what=fuzz ;;
test-sanitize*) took=400 what=kasan ;;
esac
[ -z "${what:-}" ] || echo "$what $(cat "$AT/clock")" >>"$AT/order"
echo $(($(cat "$AT/clock") + took)) >"$AT/clock"
echo "1 passed, 0 failed"
"""
# The first to ask, which is who makes it meanwhile, has to wait, where it isn't there from the beginning.
_KASAN = """#!/bin/sh
! mkdir "$AT/asked" 2>/dev/null || [ "$READY" = 1 ] || exec sleep 60
"""
# One of them does not apply, if STALE says so.
_PATCHES = """#!/bin/sh
echo "patches $(cat "$AT/clock") $*" >>"$AT/order"
echo $(($(cat "$AT/clock") + 25)) >"$AT/clock"
[ -z "${STALE:-}" ]
"""
_NONE = "#!/bin/sh\n:\n"


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def _order(turn, suites, ready=True, **more):
    """[what, ...] in order, and the output, of a turn whose suites on 6.1 take so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        tree = os.path.join(folder, "tree")
        os.makedirs(os.path.join(tree, ".ci"))
        shutil.copy(os.path.join(REPO, ".ci", "run"), os.path.join(tree, ".ci", "run"))
        for name in (".ci/setup", "guest-tests/lab/vm", "guest-tests/features"):
            _write(os.path.join(tree, name), _NONE)
        _write(os.path.join(tree, "guest-tests", "kernels", "build"), _KASAN)
        _write(os.path.join(tree, "qemu-patches", "build"), _PATCHES)
        _write(os.path.join(folder, "bin", "make"), _MAKE)
        _write(os.path.join(folder, "bin", "date"), '#!/bin/sh\ncat "$AT/clock"\n')
        _write(os.path.join(folder, "clock"), "1000\n")
        env = {name: value for name, value in os.environ.items() if name not in ("CI_MINUTES", "FUZZ_TIME")}
        env |= {"PATH": f"{folder}/bin:{os.environ['PATH']}", "AT": folder, "TURN": turn, "OTHER_KERNEL": "6.12",
               "SUITES": str(suites), "READY": str(int(ready)), "AWAITED": "build/ci/kasan-made" if ready else f"{folder}/asked", **more}
        done = subprocess.run([os.path.join(tree, ".ci", "run")], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=400)
        order = ""
        if os.path.exists(os.path.join(folder, "order")):
            with open(os.path.join(folder, "order"), encoding="utf-8") as file:
                order = file.read()
        return [line.split()[0] for line in order.splitlines()], f"{done.returncode}\n{order}\n{done.stdout}"


def _is(t, name, wanted, left_out, found):
    """The order, and what is said to be left out for want of time."""
    order, said = found
    late = re.findall(r"skip  ci: (.*): more than 46 minutes", said)
    t.check(name, order == wanted and late == left_out and said.startswith("0\n"), said)


def _orders(t):
    _is(t, "an even turn: fuzzing and KASAN first", ["fuzz", "kasan", "other"], [], _order("0", 1700))
    _is(t, "an odd turn: fuzzing first, KASAN last", ["fuzz", "other", "kasan"], [], _order("3", 1500))
    _is(t, "one of four applies QEMU's patches, before all that", ["patches", "fuzz", "other", "kasan"], [], _order("1", 1500))
    _is(t, "nobody waits for the kernel with KASAN", ["fuzz", "other", "kasan"], [], _order("0", 1500, ready=False))
    _is(t, "little time: KASAN doesn't keep the other kernel's suites out", ["fuzz", "other", "races"],
        ["suites on the kernel with KASAN"], _order("0", 2300))
    _is(t, "less: nor does fuzzing", ["other", "races"], ["fuzzing", "suites on the kernel with KASAN"], _order("0", 2450))
    _is(t, "none: that is said of all three, and 6.1 has what was theirs", ["both"], ["suites on 6.12", "fuzzing", "suites on the kernel with KASAN"],
        _order("0", 2800))
    _is(t, "all fuzzing that is asked for is reckoned with", ["patches", "other"], ["fuzzing", "suites on the kernel with KASAN"],
        _order("1", 2000, FUZZ_TIME="300"))
    _is(t, "no time for QEMU's patches: that is said", [], ["suites on 6.12", "qemu-patches", "fuzzing", "suites on the kernel with KASAN"],
        _order("1", 2800))


def _patches(t):
    """QEMU's patches on Debian's source: at turn 1, and with all; one that doesn't apply fails the run."""
    for turn, there in (("0", False), ("1", True), ("2", False), ("3", False), ("all", True)):
        order, said = _order(turn, 100)
        t.check(f"turn {turn}: QEMU's patches are {'applied' if there else 'left out, which is said'}", said.startswith("0\n") and
                order.count("patches") == there and (" --apply\n" in said) == there and
                ("skip  ci: qemu-patches: applied to Debian's source" in said) == (not there), said)
    order, said = _order("1", 100, STALE="1")
    t.check("a patch that doesn't apply fails the run, which goes on", said.startswith("1\n") and order == ["patches", "fuzz", "other", "kasan"]
            and "FAIL  ci: qemu-patches apply to Debian's source" in said, said)


def _tables(t):
    with open(os.path.join(REPO, ".ci", "run"), encoding="utf-8") as file:
        table = re.search(r"^left_out\(\) \{\n\tcat <<-'EOF'\n(.*?)\n\tEOF\n", file.read(), re.MULTILINE | re.DOTALL)[1]
    rows = [row.split(None, 2) for row in table.splitlines()]
    done = subprocess.run([os.path.join(LAB, "..", "run-tests"), "--list"], capture_output=True, text=True, check=True)
    known = {re.sub(r"^vm/(.*)\.(sh|py)$", r"\1", name) for name in done.stdout.split()}
    left = {where: [what for at, what, _ in rows if at == where] for where in ("0", "1", "2", "3", "other")}
    t.equal("what is left out is known", [row for row in rows if row[1] not in known or row[0] not in left], [])
    turns = [what for where, part in left.items() if where != "other" for what in part]
    t.equal("each is run at one turn, and said once", (len(turns), len(left["other"])),
            (len(set(turns)), len(set(left["other"]))))
    # What is left to the other kernel must not be left out there.
    t.check("what the other kernel has at all turns it has", all(
        what not in left["other"] for _, what, why in rows if "the other kernel's has it" in why), rows)


def main():
    """All cases."""
    with Ktap() as t:
        _tables(t)
        _orders(t)
        _patches(t)


if __name__ == "__main__":
    main()

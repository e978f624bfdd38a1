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
"test KERNEL="*) took=560 what=other ;;
"test TESTS=--only vm/races.py") took=100 what=races ;;
"test TESTS=--only vm/iotlb.sh") took=155 what=iotlb ;;
"test TESTS=--only vm/iotlb.sh --only vm/races.py") took=250 what=both ;;
"test TESTS="*) took=$SUITES; n=0; while [ ! -e "$AWAITED" ] && [ $((n += 1)) -le 1500 ]; do sleep 0.1; done ;;
fuzz-ci*) took=100 what=fuzz ;;
test-sanitize*races.py) took=430 what=kasan ;;
test-sanitize*) took=180 what=kasan-faults ;;
esac
[ -z "${what:-}" ] || echo "$what $(cat "$AT/clock")" >>"$AT/order"
echo $(($(cat "$AT/clock") + took)) >"$AT/clock"
echo "1 passed, 0 failed"
"""
# The first to ask, which is who makes it meanwhile, has to wait, where it isn't there from the beginning.
# It can't be made, or not by the first, if BROKEN says so.
_KASAN = """#!/bin/sh
if mkdir "$AT/asked" 2>/dev/null; then first=yes; fi
case ${BROKEN:-}-${first:-} in
always-* | first-yes) echo "lab: error: no compiler" && exit 1 ;;
esac
[ -z "${first:-}" ] || [ "$READY" = 1 ] || exec sleep 60
"""
_VM = """#!/bin/sh
echo "$*" >>"$AT/vm"
[ "$1-$2" != modules---image ] || : >"$AT/modules"
"""
# At idle priority all this would take minutes on a busy machine.
_CHRT = '#!/bin/sh\nshift 2\nexec "$@"\n'
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
        for name in (".ci/setup", "guest-tests/features"):
            _write(os.path.join(tree, name), _NONE)
        _write(os.path.join(tree, "guest-tests", "lab", "vm"), _VM)
        _write(os.path.join(tree, "guest-tests", "kernels", "build"), _KASAN)
        _write(os.path.join(tree, "qemu-patches", "build"), _PATCHES)
        _write(os.path.join(folder, "bin", "make"), _MAKE)
        _write(os.path.join(folder, "bin", "chrt"), _CHRT)
        _write(os.path.join(folder, "bin", "date"), '#!/bin/sh\ncat "$AT/clock"\n')
        _write(os.path.join(folder, "clock"), "1000\n")
        env = {name: value for name, value in os.environ.items() if name not in ("CI_MINUTES", "FUZZ_TIME")}
        # The modules of the other kernel are the last that is made.
        awaited = f"{folder}/modules" if ready else f"{folder}/asked"
        env |= {"PATH": f"{folder}/bin:{os.environ['PATH']}", "AT": folder, "TURN": turn, "OTHER_KERNEL": "6.12",
               "SUITES": str(suites), "READY": str(int(ready)), "AWAITED": awaited, **more}
        done = subprocess.run([os.path.join(tree, ".ci", "run")], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False, timeout=400)
        order = ""
        if os.path.exists(os.path.join(folder, "order")):
            with open(os.path.join(folder, "order"), encoding="utf-8") as file:
                order = file.read()
        with open(os.path.join(folder, "vm"), encoding="utf-8") as file:
            asked = file.read()
        return [line.split()[0] for line in order.splitlines()], f"{done.returncode}\n{order}\n{asked}\n{done.stdout}"


def _is(t, name, wanted, left_out, found):
    """The order, and what is said to be left out for want of time."""
    order, said = found
    late = re.findall(r"skip  ci: (.*): would end after more than 55 minutes", said)
    t.check(name, order == wanted and late == left_out and said.startswith("0\n"), said)


_KASAN_SUITES = "suites on the kernel with KASAN"


def _orders(t):
    _is(t, "an even turn: fuzzing and KASAN first", ["fuzz", "kasan", "other"], [], _order("0", 1700))
    _is(t, "the other one has the shorter suite there", ["fuzz", "kasan-faults", "other"], [], _order("2", 1950))
    _is(t, "so much later the longer one would end too late", ["fuzz", "other", "races"], [_KASAN_SUITES], _order("0", 1950))
    _is(t, "an odd turn: fuzzing first, and no KASAN", ["fuzz", "other"], [], _order("3", 1500))
    _is(t, "one of four applies QEMU's patches, before all that", ["patches", "fuzz", "other"], [], _order("1", 1500))
    _is(t, "nobody waits for the kernel with KASAN", ["fuzz", "other", "kasan"], [], _order("0", 1000, ready=False))
    _is(t, "nor is it begun where it would be made too late", ["fuzz", "other", "races"], [_KASAN_SUITES], _order("0", 1500, ready=False))
    _is(t, "little time: KASAN doesn't keep the other kernel's suites out", ["fuzz", "other", "races"], [_KASAN_SUITES], _order("0", 2300))
    _is(t, "less: nor does fuzzing", ["other", "races"], ["fuzzing", _KASAN_SUITES], _order("0", 2400))
    _is(t, "too little for the other kernel's suites, but enough for fuzzing", ["fuzz", "both"], ["suites on 6.12", _KASAN_SUITES], _order("0", 2500))
    _is(t, "none: that is said of all three, and 6.1 has what was theirs", ["both"], ["suites on 6.12", "fuzzing", _KASAN_SUITES], _order("0", 3000))
    _is(t, "with faults on KASAN, races isn't theirs", ["iotlb"], ["suites on 6.12", "fuzzing", _KASAN_SUITES], _order("2", 3000))
    _is(t, "all fuzzing that is asked for is reckoned with", ["patches", "other"], ["fuzzing"], _order("1", 1700, FUZZ_TIME="300"))
    _is(t, "no time for QEMU's patches: that is said", ["iotlb"], ["suites on 6.12", "qemu-patches", "fuzzing"], _order("1", 3000))
    _is(t, "6.1 has it all at turn 3", [], ["suites on 6.12", "fuzzing"], _order("3", 3000))


def _broken(t):
    """A kernel with KASAN that can't be built: that is told, also where there was no time for it."""
    for suites, wanted, why in ((1000, ["fuzz", "other", "races"], "FAIL  ci: set-up: a kernel with KASAN, made in"),
                                (2300, ["fuzz", "other", "races"], "FAIL  ci: set-up: a kernel with KASAN: lab: error: no compiler")):
        order, said = _order("0", suites, BROKEN="always")
        t.check(f"suites of {suites} s, and a kernel that can't be built: told once", said.startswith("1\n") and order == wanted
                and said.count("  FAIL  ci: ") == 1 and why in said, said)
    order, said = _order("0", 1000, BROKEN="first")
    t.check("one that is built at the second try is tested", said.startswith("0\n") and order == ["fuzz", "other", "kasan"], said)


def _patches(t):
    """QEMU's patches on Debian's source: at turn 1, and with all; one that doesn't apply fails the run.

    Returns what each turn said.
    """
    heard = {}
    for turn, there in (("0", False), ("1", True), ("2", False), ("3", False), ("all", True)):
        order, said = _order(turn, 100)
        heard[turn] = said
        t.check(f"turn {turn}: QEMU's patches are {'applied' if there else 'left out, which is said'}", said.startswith("0\n") and
                order.count("patches") == there and (" --apply\n" in said) == there and
                ("skip  ci: qemu-patches: applied to Debian's source" in said) == (not there), said)
    order, said = _order("1", 100, STALE="1")
    t.check("a patch that doesn't apply fails the run, which goes on", said.startswith("1\n") and order == ["patches", "fuzz", "other"]
            and "FAIL  ci: qemu-patches apply to Debian's source" in said, said)
    return heard


def _others(t, rows, heard):
    """What the other kernel is said to leave out, at each turn; modules for it are made meanwhile."""
    for turn, said in heard.items():
        found = re.findall(r"^  skip  ci: (\S+) on 6\.12: ", said, re.MULTILINE)
        t.equal(f"turn {turn}: the other kernel leaves out what is said, and nothing else", sorted(found), sorted(
            what for where, what, _ in rows if where == "other" or where.startswith("other") and turn in where))
        t.check(f"turn {turn}: its modules are made meanwhile", "modules --image 6.12\n" in said, said)
        t.equal(f"turn {turn}: so are those on KASAN where they are needed", "modules --sanitizer kasan\n" in said, turn not in "13")


def _tables(t):
    with open(os.path.join(REPO, ".ci", "run"), encoding="utf-8") as file:
        table = re.search(r"^left_out\(\) \{\n\tcat <<-'EOF'\n(.*?)\n\tEOF\n", file.read(), re.MULTILINE | re.DOTALL)[1]
    rows = [row.split(None, 2) for row in table.splitlines()]
    done = subprocess.run([os.path.join(LAB, "..", "run-tests"), "--list"], capture_output=True, text=True, check=True)
    known = {re.sub(r"^vm/(.*)\.(sh|py)$", r"\1", name) for name in done.stdout.split()}
    left = {where: [what for at, what, _ in rows if at == where] for where in ("0", "1", "2", "3", "other", "other01", "other23")}
    t.equal("what is left out is known", [row for row in rows if row[1] not in known or row[0] not in left], [])
    turns = [what for where, part in left.items() if len(where) == 1 for what in part]
    other = [what for where, part in left.items() if len(where) > 1 for what in part]
    t.equal("each is run at one turn, and said once", (len(turns), len(other)), (len(set(turns)), len(set(other))))
    # One of the other kernels has even turns, one odd ones.
    t.check("the other kernels have at one of their turns what isn't left out at all", all(
        sorted(int(turn) % 2 for turn in where[5:]) == [0, 1] for where in left if len(where) > 5), list(left))
    # What is left to the other kernel must not be left out there.
    t.check("what the other kernel has at all turns it has", all(
        what not in other for _, what, why in rows if "the other kernel's has it" in why), rows)
    return rows


def main():
    """All cases."""
    with Ktap() as t:
        rows = _tables(t)
        _orders(t)
        _broken(t)
        _others(t, rows, _patches(t))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The Makefile's ways to tests: what they build before, and what they run; what it hands to Kbuild and cleans. KTAP.

In a folder with programs of the same names that only say that they were called.
"""

import os
import shutil
import subprocess
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab.paths import REPO  # noqa: E402

PROGRAMS = (".ci/setup", "guest-tests/lab/vm", "guest-tests/run-tests", "qemu-patches/build", "submake")
# vm's answer is the folder with headers.
_PROGRAM = '#!/bin/sh\necho "$(basename "$0") $*" >>"$AT/calls"\n[ "$(basename "$0")" != vm ] || echo /headers\n'
HEADERS = "vm kdir --install"


def _tree(folder):
    """Such a folder."""
    os.makedirs(folder, exist_ok=True)
    for name in ("Makefile", "Kbuild"):
        shutil.copy(os.path.join(REPO, name), folder)
    for name in PROGRAMS:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(_PROGRAM)
        os.chmod(path, 0o755)


def _make(folder, *words):
    """((status, errors), calls) of `make WORDS` there."""
    env = {name: value for name, value in os.environ.items()
           if name not in ("KERNEL", "KERNELS", "QEMU", "TESTS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-s", "-C", folder, f"MAKE='{folder}/submake'", "J=2", *words],
                          env={**env, "AT": folder}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    calls = os.path.join(folder, "calls")
    if not os.path.exists(calls):
        return (done.returncode, done.stderr), []
    with open(calls, encoding="ascii") as file:
        said = file.read().splitlines()
    os.remove(calls)
    return (done.returncode, done.stderr), said


def _calls(*words):
    """What `make WORDS` calls, and ends well."""
    with tempfile.TemporaryDirectory() as folder:
        _tree(folder)
        (status, errors), calls = _make(folder, *words)
        return calls if not status else [f"failed: {errors}"]


def _touch(*path):
    path = os.path.join(*path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii"):
        pass


def _kbuild(t):
    """What Kbuild is called with."""
    with tempfile.TemporaryDirectory() as folder:
        _touch(folder, "headers", "Makefile")
        kdir = "KDIR=" + os.path.join(folder, "headers")
        for name in ("a b", "a:b", "ab"):
            tree = os.path.join(folder, name)
            _tree(tree)
            for goal in ("modules", "clean"):
                (status, errors), calls = _make(tree, goal, kdir)
                bad = name != "ab"
                t.check(f"make {goal} in a folder '{name}': {'is refused' if bad else 'goes to Kbuild'}",
                        bool(status) == bad and len(calls) == (not bad)
                        and errors.count("no blank and no colon") == bad, f"{status} {calls} {errors}")
        # With -n nothing is run but make.
        tree = os.path.join(folder, "install")
        for destdir, wanted in (("out", f"{tree}/out"), ("/out", "/out"), ("", "")):
            _tree(tree)
            calls = _make(tree, "-n", "install", kdir, f"DESTDIR={destdir}")[1]
            t.check(f"make install DESTDIR={destdir}: Kbuild gets it as it is from here",
                    f"INSTALL_MOD_PATH={wanted} " in (calls or [""])[-1], calls)


KEPT = ("sign/MOK.priv", "results/6.1/iotlb.json", "bench/bench.json", "bench/bench.html", "bench/partial/timed_tx.json",
        "bench/ring/bench-ring.json")
GONE = ("bench/vring", "bench/guard-sources/baseline.json", "bench/ring/ring", "tests/units", "check/tree/bench/baseline.json")


def _clean(t):
    """What `make clean` leaves."""
    with tempfile.TemporaryDirectory() as folder:
        _tree(folder)
        for name in (*KEPT, *GONE):
            _touch(folder, "build", name)
        result = _make(folder, "clean", "KDIR=/none")[0]
        left = [os.path.relpath(os.path.join(path, name), os.path.join(folder, "build"))
                for path, _, names in os.walk(os.path.join(folder, "build")) for name in names]
        t.check("make clean leaves keys and results alone", (result, sorted(left)) == ((0, ""), sorted(KEPT)), (result, left))
        t.equal("and no folder of anything else", sorted(os.listdir(os.path.join(folder, "build"))), ["bench", "results", "sign"])


def _built(calls):
    """Whether Debian 12's headers were asked for, and how often modules were built with them."""
    return HEADERS in calls, sum("modules KDIR=/headers" in call for call in calls)


def main():
    """All cases."""
    run = "run-tests --kernel {} --only vm/qemu.py"
    with Ktap() as t:
        for words, modules, kernels in (([], True, ("6.1", "6.12")), (["QEMU=7.2"], True, ("6.1",)),
                                        (["QEMU=10.0"], False, ("6.12",)), (["QEMU=10.0 7.2"], True, ("6.12", "6.1"))):
            calls = _calls("test-qemu", *words)
            name = " ".join(["make test-qemu", *words])
            t.equal(f"{name}: modules for 6.1 are built where they are tested", _built(calls), (modules, int(modules)))
            t.equal(f"{name}: each QEMU on its release's kernel", [call for call in calls if "run-tests" in call],
                    [run.format(kernel) for kernel in kernels])
        for kernel, modules in (("6.1", True), ("6.12", False)):
            calls = _calls("test", f"KERNEL={kernel}")
            t.equal(f"make test KERNEL={kernel}: the same", _built(calls), (modules, int(modules)))
        _kbuild(t)
        _clean(t)


if __name__ == "__main__":
    main()

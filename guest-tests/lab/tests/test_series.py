#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The heads of QEMU's patches: what qemu-patches/build finds in them without QEMU's source."""

import glob
import importlib.machinery
import importlib.util
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab.paths import REPO  # noqa: E402

_HEAD = """Description: net/tap: what it does
 And why.
Author: {who}
Forwarded: no
Last-Update: 2026-11-30
---
 net/tap.c | 1 +
Author: of something in the patch
"""


def _build():
    """qemu-patches/build, as a module that leaves nothing beside it."""
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("qemu_build", os.path.join(REPO, "qemu-patches", "build"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("qemu_build", loader))
    loader.exec_module(module)
    return module


def main():
    """All cases."""
    build = _build()
    right = _HEAD.format(who=build.maintainer())
    with Ktap() as t:
        t.check("the packages have a maintainer with an address", build.maintainer().endswith(">"), build.maintainer())
        t.equal("a head as it should be", build.head_complaints("x", right), [])
        t.equal("a field is missing", build.head_complaints("x", right.replace("Forwarded: no\n", "")),
                ["x: no field Forwarded at its head"])
        for line in ("Author", "From", "Signed-off-by"):
            wrong = f"{line}: Someone Else <else@nowhere.example>"
            found = build.head_complaints("x", right.replace("Forwarded", f"{wrong}\nForwarded"))
            t.check(f"{line} of somebody else", len(found) == 1 and found[0].startswith(f"x: {wrong}: "), found)
        found = []
        for path in sorted(glob.glob(os.path.join(REPO, "qemu-patches", "*", "*.patch"))):
            with open(path, encoding="utf-8") as file:
                found += build.head_complaints(os.path.relpath(path, REPO), file.read())
        t.equal("the heads of both series", found, [])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
""".ci/setup: it asks for packages of this machine's release. KTAP.

With programs of apt's and dpkg's names that say what a machine would, and install nothing.
"""

import os
import subprocess
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab.paths import REPO  # noqa: E402

# As that of Debian 13 has it; 12's has the first two alone.
_DEPENDS = "Depends: cpp (= 4:{0}.2.0-1), gcc-{0} (>= {0}.2.0-6~), gcc-x86-64-linux-gnu (= 4:{0}.2.0-1)"
_PROGRAMS = {
    "id": "echo $USER_ID",
    # Asked for one package, and for all; gcc alone may be installed. It is known as what others suggest.
    "dpkg-query": 'case "$*" in *" gcc") echo "${INSTALLED:-Depends: }" ;; *) [ -z "$INSTALLED" ] || echo "= gcc installed" ;; esac',
    "apt-cache": '! [ -e "$AT/updated" ] || echo "$KNOWN"',
    "apt-get": 'case "$*" in *update*) : >"$AT/updated" ;; *) [ -e "$AT/updated" ] && echo "$*" >>"$AT/asked" ;; esac',
}


def _setup(updated, user="0", installed="", known=""):
    """(status, what it prints, the last packages that apt was asked for) of `.ci/setup build`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _PROGRAMS.items():
            path = os.path.join(folder, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\n{text}\n")
            os.chmod(path, 0o755)
        if updated:
            os.mkdir(os.path.join(folder, "updated"))
        done = subprocess.run([os.path.join(REPO, ".ci", "setup"), "build"], text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "AT": folder,
                                   "USER_ID": user, "INSTALLED": installed, "KNOWN": known})
        asked = ""
        if os.path.exists(os.path.join(folder, "asked")):
            with open(os.path.join(folder, "asked"), encoding="ascii") as file:
                asked = file.read().splitlines()[-1]
        return done.returncode, done.stdout, asked


def _lib32(text):
    return [word for word in text.split() if word.startswith("lib32gcc")]


def main():
    """All cases."""
    old, new = _DEPENDS.format(12), _DEPENDS.format(14)
    with Ktap() as t:
        for name, more in (("gcc is installed", {"updated": False, "installed": new, "known": old}),
                           ("apt has indexes", {"updated": True, "known": new}),
                           ("its indexes come first", {"updated": False, "known": new})):
            status, output, asked = _setup(**more)
            t.check(f"Debian 13, {name}: lib32gcc is of its gcc", status == 0 and _lib32(asked) == ["lib32gcc-14-dev"],
                    output + asked)
        status, output, asked = _setup(True, known=old)
        t.check("Debian 12: the same", status == 0 and _lib32(asked) == ["lib32gcc-12-dev"], output + asked)
        status, output, asked = _setup(True, user="1000", known=new)
        t.check("a plain user is told their names", status == 1 and _lib32(output.splitlines()[-1]) == ["lib32gcc-14-dev"]
                and not asked, output + asked)


if __name__ == "__main__":
    main()

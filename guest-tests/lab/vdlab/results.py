# SPDX-License-Identifier: GPL-2.0-only
"""What test runs found out, kept as JSON under build/results: a file a suite and kernel.

build/results/KERNEL/SUITE.json is of the last run of that suite on that kernel:
    {"suite", "kernel", "revision", "when", "seconds", "tests": [{"name", "verdict", "note"}]}
"seconds" is how long it ran, by this machine's clock; null where it didn't come to its end.
KERNEL is a version (6.1), with the sanitizer's name behind it if there was one; "here" for
programs of user space.
"""

import glob
import json
import os
import re
import subprocess
import sys
import time

from .paths import LAB, REPO, LabError, read_text, say

sys.path.insert(0, LAB)
# pylint: disable=wrong-import-position
from ktap import Report  # noqa: E402

FOLDER = os.path.join(REPO, "build", "results")
# What a run says of itself, only when it fails: no later run would replace it.
_NO_SUITES = ("lab", "boot")


def revision():
    """The commit that is tested, with "+" behind it if files differ from it."""
    words = ["git", "-c", f"safe.directory={REPO}", "-C", REPO, "describe", "--always",
             "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


class Recorder(Report):
    """A Report that keeps each result; save() writes what began since."""

    def __init__(self, kernel, folder=FOLDER, out=None):
        super().__init__(out)
        self._kernel, self._folder = kernel, folder
        self._tests, self._seconds = {}, {}

    def took(self, source, seconds):
        """How long SOURCE ran: shown, and kept."""
        self._seconds[source] = round(seconds, 1)
        say(f"{source} took {seconds:.0f} s")

    def count(self, source, name, verdict, note=""):
        """Count one test, and keep it."""
        super().count(source, name, verdict, note)
        self._tests.setdefault(source, []).append(
            {"name": name, "verdict": verdict, "note": note})

    def save(self, kernel=""):
        """Write what there is of each source; the files of its last run are replaced."""
        folder = os.path.join(self._folder, kernel or self._kernel)
        os.makedirs(folder, exist_ok=True)
        now, state = time.strftime("%Y-%m-%d %H:%M:%S"), revision()
        for source, tests in self._tests.items():
            if source in _NO_SUITES:
                continue
            suite = re.sub(r"[^\w.-]", "_", source)
            text = json.dumps({"suite": source, "kernel": kernel or self._kernel,
                               "revision": state, "when": now,
                               "seconds": self._seconds.get(source), "tests": tests}, indent=1)
            path = os.path.join(folder, suite + ".json")
            with open(path + ".new", "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.replace(path + ".new", path)
        self._tests, self._seconds = {}, {}


def kernels(folder=FOLDER):
    """The kernels that there are results of."""
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(folder, "*"))
                  if os.path.isdir(path))


def load(kernel, folder=FOLDER):
    """The runs on a kernel: {suite without its suffix: what its file holds}."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, kernel, "*.json"))):
        try:
            run = json.loads(read_text(path))
            found[os.path.splitext(run["suite"])[0]] = run
        except (ValueError, KeyError) as error:
            raise LabError(f"{path}: {error}") from error
    return found

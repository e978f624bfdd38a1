# SPDX-License-Identifier: GPL-2.0-only
"""The page of a bench.json, its picture, and the comparison of two of them."""

import json
import os
import subprocess

REPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "report")
_LIMIT = 600


def write(out, path, png=""):
    """Makes the page of OUT (bench.json's object) in the file PATH and, if named, the picture PNG.

    Returns a sentence for people: where they are, or why there is none. Never raises for what keeps
    a page from being made: the figures are there without it. Drawing is a program of its own
    because it takes Debian's matplotlib, so Debian's Python, whichever runs the caller.
    """
    words = [REPORT, "-", "--html", path, *(["--png", png] if png else [])]
    try:
        done = subprocess.run(words, input=json.dumps(out), capture_output=True, text=True,
                              timeout=_LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return f"no page was made: {error}"
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"{REPORT} ended with status {done.returncode}"]
        return f"no page was made: {said[-1].removeprefix('report: ')}"
    return done.stdout.strip()

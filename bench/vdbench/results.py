# SPDX-License-Identifier: GPL-2.0-only
"""The file that a measurement ends with: where it can't be written that is said before anything was measured,
and what it would have held is printed whatever becomes of it."""

import contextlib
import json
import os

from . import lab


def check(path):
    """Refuse a file that can't be written; what is in it stays."""
    there = os.path.lexists(path)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            pass
        if not there:
            os.unlink(path)
    except OSError as error:
        raise lab.BenchError(f"can't write {path}: {error.strerror}") from error


def write(path, out):
    """Write OUT to PATH; returns what went wrong, as texts."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(out, file, indent=1)
    except OSError as error:
        return [f"the figures are in no file: {path}: {error.strerror}"]
    return []


def give(path, out, blocks):
    """Print BLOCKS, which are lines, then write OUT to PATH; returns what went wrong with the file."""
    try:
        # Who reads the tables may be gone: there is the file.
        with contextlib.suppress(OSError):
            print("\n\n".join("\n".join(block) for block in blocks if block), flush=True)
    finally:
        wrong = write(path, out)
    lab.say(wrong[0] if wrong else f"{out['seconds']:.0f} s in all; everything is in {os.path.relpath(path)}")
    return wrong

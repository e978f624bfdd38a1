# SPDX-License-Identifier: GPL-2.0-only
"""Finished pieces of a full run, kept so that it can be interrupted and resumed.

One JSON file a piece, written at once or not at all. What they were made with is beside
them: pieces made otherwise are never mixed with these.
"""

import json
import os
import shutil

from . import lab

FOLDER = os.path.join(lab.BUILD, "partial")
_ABOUT = "about.json"


class Partial:
    """The kept pieces of one full run."""

    def __init__(self, about, folder=FOLDER, fresh=False):
        """ABOUT: what has to be the same for pieces to be of one run."""
        self._folder = folder
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, exist_ok=True)
        kept = self._read(_ABOUT)
        if kept is None:
            self._write(_ABOUT, about)
        elif kept != about:
            differ = sorted(key for key in {*kept, *about} if kept.get(key) != about.get(key))
            raise lab.BenchError(
                f"{os.path.relpath(folder)} holds an unfinished run with another "
                f"{', '.join(differ)} ({', '.join(str(kept.get(key)) for key in differ)}); "
                f"--fresh throws it away")

    def _path(self, name):
        return os.path.join(self._folder, name)

    def _read(self, name):
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def _write(self, name, value):
        path = self._path(name)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(f"{path}.new", path)

    @staticmethod
    def _name(part, cell):
        return f"{part} {cell}.json".replace(" ", "_")

    def load(self, part, cell):
        """What was kept of a cell, or None."""
        return self._read(self._name(part, cell))

    def save(self, part, cell, value):
        """Keep it."""
        self._write(self._name(part, cell), value)

    def finish(self, parts):
        """These PARTS are whole: the next run takes them anew."""
        for name in os.listdir(self._folder):
            if name.split("_")[0] in parts:
                os.unlink(os.path.join(self._folder, name))
        if os.listdir(self._folder) == [_ABOUT]:
            shutil.rmtree(self._folder)


class Nothing:
    """Keeps nothing: a quick run is made anew each time."""

    def load(self, _part, _cell):
        """Nothing was kept."""

    def save(self, _part, _cell, _value):
        """Nothing is."""

    def finish(self, _parts):
        """There is nothing to do."""

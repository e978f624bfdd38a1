#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""qemu-patches/build --apply: patches on a source package, and what they must not need. KTAP.

The package and the patches are made up.
"""

import contextlib
import difflib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import debsource  # noqa: E402
from vdlab.paths import REPO, LabError, read_text  # noqa: E402

_LINES = [f"line {number}\n" for number in range(40)]
_PLAIN = "".join(_LINES)
_SCRIPT = "# the top of a qemu tree\n"
_SOURCE = {"net/tap.c": _PLAIN, "net/far.c": _PLAIN, "net/old.c": _PLAIN, "net/none.c": _PLAIN,
           "scripts/checkpatch.pl": _SCRIPT, "roms/other/scripts/checkpatch.pl": "another's\n"}


def _changed(text, *changes):
    """TEXT with other words in some lines."""
    lines = text.splitlines(True)
    for number, words in changes:
        lines[number] = f"{words}\n"
    return "".join(lines)


def _diff(name, old, new):
    """A patch of one file; of one that wasn't there if OLD is empty."""
    return f"About {name}.\n---\n" + "".join(difflib.unified_diff(
        old.splitlines(True), new.splitlines(True), f"a/{name}" if old else "/dev/null", f"b/{name}"))


_DEBIAN = _changed(_PLAIN, (5, "Debian's"))
_OURS = _changed(_DEBIAN, (20, "ours"))
_RENAMED = ("diff --git a/net/old.c b/net/new.c\nsimilarity index 100%\n"
            "rename from net/old.c\nrename to net/new.c\n")
_DEBIANS = {"one.diff": _diff("net/tap.c", _PLAIN, _DEBIAN), "two.diff": _RENAMED}


def _pack(path, files, top=""):
    with tarfile.open(path, "w:xz") as tar:
        for name, text in files.items():
            item = tarfile.TarInfo(top + name)
            item.size = len(text.encode())
            tar.addfile(item, io.BytesIO(text.encode()))


def _package(folder, debians):
    """A source package as apt-get leaves it."""
    files = {f"debian/patches/{name}": text for name, text in debians.items()}
    files["debian/patches/series"] = "# Debian's\n" + "".join(f"{name}\n" for name in debians)
    _pack(os.path.join(folder, "qemu_1.orig.tar.xz"), _SOURCE, "qemu-1/")
    _pack(os.path.join(folder, "qemu_1-1.debian.tar.xz"), {**files, "debian/control": ""})


class Builder:
    """qemu-patches/build with a package in the place of Debian's, and with a cache of its own."""

    def __init__(self):
        sys.dont_write_bytecode = True
        loader = importlib.machinery.SourceFileLoader(
            "qemu_build", os.path.join(REPO, "qemu-patches", "build"))
        self._build = importlib.util.module_from_spec(
            importlib.util.spec_from_loader("qemu_build", loader))
        loader.exec_module(self._build)
        self.folder, self.tree = "", {}

    def get(self, *_words):
        """As apt-get source: the package is there already."""

    @contextlib.contextmanager
    def _apt(self, _version):
        yield self
        top = os.path.join(self.folder, "tree")
        found = [os.path.join(path, name) for path, _, names in os.walk(top) for name in names]
        self.tree = {os.path.relpath(path, top): read_text(path) for path in found
                     if "debian" not in path}

    def apply(self, patches, debians):
        """The error of it, or nothing; and what check() found in the cache."""
        checked = []
        with tempfile.TemporaryDirectory(prefix="vd-patches-") as self.folder:
            paths = [os.path.join(self.folder, f"{number}.patch") for number in range(len(patches))]
            for path, text in zip(paths, patches):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            _package(self.folder, debians)
            build, cache = self._build, os.path.join(self.folder, "cache")
            os.makedirs(cache)
            build._apt, build.say = self._apt, lambda text: None
            build.cache_dir = lambda *parts: cache
            build.locked = lambda *words: contextlib.nullcontext()
            build.patched.series = lambda version: paths
            build.check = lambda version: checked.append(
                read_text(f"{cache}/checkpatch-{version}.pl", ""))
            try:
                build.apply("1")
            except LabError as error:
                return str(error), checked
            return "", checked


def _applied(t, builder):
    """Debian's patches, then ours, each on what those before it leave."""
    new, more = "net/more.c", _changed(_PLAIN, (3, "more"))
    again = _changed(_OURS, (30, "again"))
    patches = [_diff("net/tap.c", _DEBIAN, _OURS) + _diff(new, "", more),
               _diff("net/tap.c", _OURS, again), _diff(new, more, _PLAIN)]
    t.equal("each applies; then they are checked, by the script of that source",
            builder.apply(patches, _DEBIANS), ("", [_SCRIPT]))
    t.equal("what was unpacked is what they touch, with all of them in it", builder.tree,
            {"net/tap.c": again, new: _PLAIN, "net/new.c": _PLAIN,
             "scripts/checkpatch.pl": _SCRIPT})
    t.equal("where Debian has none", builder.apply([_diff("net/tap.c", _PLAIN, _OURS)], {})[0], "")


def _refused(t, builder):
    """What doesn't apply, or not as it stands."""
    moved = "".join(["a line more\n", *_LINES])
    fuzzy = _diff("net/far.c", _changed(_PLAIN, (17, "another neighbour")), _changed(
        _PLAIN, (17, "another neighbour"), (20, "ours")))
    for what, patch, bad in (
            ("at another line", _diff("net/far.c", moved, _changed(moved, (21, "ours"))), False),
            ("with fuzz", fuzzy, True),
            ("made for what Debian has changed",
             _diff("net/tap.c", _PLAIN, _changed(_PLAIN, (4, "ours"))), True),
            ("applied already", _diff("net/tap.c", _PLAIN, _DEBIAN), True),
            ("of a file that isn't there", _diff("net/gone.c", _PLAIN, _OURS), True),
            ("makes a file that is there", _diff("net/none.c", "", _OURS), True),
            ("of a name that Debian has taken away", _diff("net/old.c", _PLAIN, _OURS), True)):
        error, checked = builder.apply([patch], _DEBIANS)
        t.check(f"a patch {what}: {'an error that names it' if bad else 'applies'}",
                ("0.patch doesn't apply" in error, checked) == (
                    (True, []) if bad else (False, [_SCRIPT])), (error, checked))
    error, _ = builder.apply([], {**_DEBIANS, "three.diff": _diff("net/far.c", _OURS, _PLAIN)})
    t.check("one of Debian's that we can't apply is said to be theirs",
            error.startswith("Debian's three.diff"), error)
    with tempfile.TemporaryDirectory() as folder:
        t.raises("no source package", LabError,
                 lambda: debsource.part(folder, f"{folder}/tree", []))


def main():
    """All cases."""
    with Ktap() as t:
        if not shutil.which("patch"):
            t.skip("patches on a source package", "there is no patch here")
            return
        builder = Builder()
        _applied(t, builder)
        _refused(t, builder)


if __name__ == "__main__":
    main()

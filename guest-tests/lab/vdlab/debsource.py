# SPDX-License-Identifier: GPL-2.0-only
"""Patches on a Debian source package, of which only the files are unpacked that they touch.

A whole QEMU is half a gigabyte; what its patches, Debian's and ours, touch is a few hundred files.
Debian's come first, as dpkg-source has it: what ours are made for is what they leave.
"""

import glob
import os
import re
import subprocess
import tarfile

from .paths import LabError, read_text

# Without fuzz, as dpkg-source wants it, and without a question to anybody's terminal.
_PATCH = ("patch", "-p1", "-F0", "-s", "-f")
_NAMES = re.compile(r"(?:---|\+\+\+) [^/\s]+/([^\t]+)|diff --git [^/\s]+/(\S+) |"
                    r"(?:rename|copy) from (.+)")


def names(text):
    """The files that the patch TEXT names, below its first folder: those it makes among them."""
    found = filter(None, map(_NAMES.match, text.splitlines()))
    return {name.strip() for match in found for name in match.groups() if name}


def apply(tree, path, said_of):
    """Apply one patch, called SAID_OF, in TREE: without fuzz, or an error."""
    done = subprocess.run([*_PATCH, "-i", path], cwd=tree, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or done.stdout:
        raise LabError(f"{said_of} doesn't apply:\n  {(done.stdout + done.stderr).strip()}")


def _unpack(archive, tree, wanted, top):
    """The regular files of ARCHIVE that are WANTED. TOP: below its first folder."""
    with tarfile.open(archive, "r|*") as tar:
        for member in tar:
            name = os.path.normpath(member.name)
            name = name.partition("/")[2] if top else name
            if not member.isfile() or not wanted(name) or ".." in name.split("/"):
                continue
            path = os.path.join(tree, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(tar.extractfile(member).read())


def _archive(package, kind):
    found = glob.glob(os.path.join(glob.escape(package), f"*.{kind}.tar.?z"))
    if len(found) != 1:
        raise LabError(f"one {kind}.tar of a source package expected, got {found}")
    return found[0]


def _series(folder):
    """Debian's patches, in order. Options behind a name aren't of a source of format 3.0."""
    lines = read_text(os.path.join(folder, "series"), "").splitlines()
    found = [line.split("#")[0].split() for line in lines]
    return [os.path.join(folder, words[0]) for words in found if words]


def part(package, tree, patches, more=()):
    """Have in TREE, as Debian builds them, the files that PATCHES touch, and MORE.

    PACKAGE: the folder into which apt-get has put a source package.
    """
    os.makedirs(tree, exist_ok=True)
    _unpack(_archive(package, "debian"), tree,
            lambda name: name.startswith("debian/patches/"), False)
    own = _series(os.path.join(tree, "debian", "patches"))
    wanted = set(more)
    for path in [*own, *patches]:
        wanted |= names(read_text(path))
    _unpack(_archive(package, "orig"), tree, wanted.__contains__, True)
    for path in own:
        apply(tree, path, f"Debian's {os.path.basename(path)}")

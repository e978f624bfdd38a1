# SPDX-License-Identifier: GPL-2.0-only
"""This project's modules, built for another kernel than the one that `make` builds for.

They are built from a copy of the sources in the cache, so the working tree's own build isn't
touched, and lie over /vd in the VM (an overlay): /vd/*.ko are the right ones whatever is
built here. A folder of the cache is named by a hash of all that the modules are made from.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import time

from .paths import REPO, LabError, cache_dir, locked, read_text, say

_SOURCES = ("Kbuild", "vhost/**/*.[ch]", "vhost/**/Kbuild", "virtio/*.h", "guest-tests/kmod/*.c")
_KEEP = 4
_DONE = "modules.json"


def _sources():
    """The files that make the modules, as paths in the repository."""
    found = set()
    for pattern in _SOURCES:
        for path in glob.glob(os.path.join(REPO, pattern), recursive=True):
            if not path.endswith(".mod.c"):
                found.add(os.path.relpath(path, REPO))
    return sorted(found)


def changed_since(module, tree=REPO):
    """A source that was changed or removed since MODULE was built from it in TREE, or an empty string.

    By what the compiler noted of each object, which make goes by, too: not all sources are a
    module's, and one that isn't would be newer for ever. Without notes nothing is known. Kbuild
    itself isn't noted: make looks at the commands in which it results.
    """
    tree, linked = os.path.realpath(tree), os.path.getmtime(module)
    for item in read_text(module.removesuffix(".ko") + ".mod", "").split():
        folder, name = os.path.split(os.path.join(tree, item))
        notes = os.path.join(folder, f".{name}.cmd")
        for word in read_text(notes, "").split():
            if not word.startswith(tree + "/") or not word.endswith((".c", ".h")):
                continue
            # Old objects are linked anew, too, by `make -n` even.
            if not os.path.exists(word) or os.path.getmtime(word) > min(linked, os.path.getmtime(notes)):
                return os.path.relpath(word, tree)
    return ""


def _digest(key, sources, recipe):
    total = hashlib.sha256(key.encode())
    for path in [*(os.path.join(REPO, name) for name in sources), __file__, *recipe]:
        with open(path, "rb") as file:
            total.update(os.path.basename(path).encode() + b"\0"
                         + hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


def _copy(sources, tree):
    for source in sources:
        target = os.path.join(tree, source)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(REPO, source), target)


def _make(name, command, tree, folder):
    """Run the build COMMAND and keep the modules alone."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode:
        raise LabError(f"the modules don't build against the {name} kernel:\n{done.stdout[-3000:]}")
    if "warning:" in done.stdout:
        raise LabError(f"the modules build with warnings on {name}:\n{done.stdout[-3000:]}")
    for path in glob.glob(os.path.join(tree, "**", "*.ko"), recursive=True):
        target = os.path.join(folder, "ko", os.path.relpath(path, tree))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(path, target)
    shutil.rmtree(tree)


def get(name, key, recipe, command, finish=None):
    """The folder whose ko/ holds the modules for the kernel NAME, made if it isn't there.

    KEY: what else they depend on; RECIPE: files whose change makes them anew; COMMAND: a
    function from the folder of the sources to the words that build them; FINISH: called
    with the folder to add to it.
    """
    sources = _sources()
    top = cache_dir("modules")
    path = os.path.join(top, f"{name}-{_digest(key, sources, recipe)}")
    if os.path.exists(os.path.join(path, _DONE)):
        os.utime(path)
        return path
    with locked("modules.lock", "another process that builds modules"):
        old = sorted(glob.glob(os.path.join(top, f"{name}-*")), key=os.path.getmtime)
        for stale in old[:-_KEEP]:
            shutil.rmtree(stale, ignore_errors=True)
        began, temporary = time.monotonic(), f"{path}.new-{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(temporary)
        try:
            tree = os.path.join(temporary, "tree")
            _copy(sources, tree)
            _make(name, command(tree), tree, temporary)
            if finish:
                finish(temporary)
            with open(os.path.join(temporary, _DONE), "w", encoding="utf-8") as file:
                file.write("{}\n")
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    say(f"modules for the {name} kernel built in {time.monotonic() - began:.0f} s")
    return path

# SPDX-License-Identifier: GPL-2.0-only
"""The guard's baseline: a file in the repository, and the sources it was counted of.

The file names the sources by git's object names, not by a commit: they are found again in any
clone whose history has them, also after a rebase.
"""

import json
import os
import re
import shutil
import subprocess

from . import lab

PATH = os.path.join(lab.BENCH, "baseline.json")
# What the modules are made of.
_SOURCES = ("Kbuild", "vhost", "virtio")
_ABOUT = ("Instructions that the worker executes for a packet, by bench/guard, and that a notifier's "
          "callback takes, by bench/tests/notifier-cost, which compare with them. bench/guard --update "
          "writes this file.")
VERSIONS = ("kernel", "qemu", "compiler", "cpu")


def _git(*words, binary=False):
    """What git prints, or None if it fails (no repository, no such object)."""
    try:
        done = subprocess.run(["git", "-c", f"safe.directory={lab.REPO}", "-C", lab.REPO, *words],
                              capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode:
        return None
    return done.stdout if binary else done.stdout.decode().rstrip("\n")


def sources(revision="HEAD"):
    """{path: git's name of it} in REVISION; None if git doesn't know it."""
    found = {path: _git("rev-parse", "--verify", "--quiet", f"{revision}:{path}") for path in _SOURCES}
    return found if all(found.values()) else None


def changed():
    """Paths of the sources that differ from HEAD's, or None without git."""
    text = _git("status", "--porcelain", "--", *_SOURCES)
    return None if text is None else [line[3:] for line in text.splitlines()]


def compiler(folder):
    """The compiler that the modules in FOLDER say they are made with."""
    with open(os.path.join(folder, "vhost_direct.ko"), "rb") as file:
        found = re.search(rb"GCC: \(([^)\0]*)\) ([\w.]+)|clang version ([\w.]+)", file.read())
    return found[0].decode() if found else "unknown"


def versions(facts, machine, folder):
    """What the counts depend on beside our sources; before a boot FACTS has no "version"."""
    return {"kernel": " ".join([facts["kernel"], *filter(None, [facts.get("version")])]), "qemu": machine["qemu"],
            "compiler": compiler(folder), "cpu": lab.CPU}


def load(path):
    """The baseline in PATH."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise lab.BenchError(f"no baseline: {error}; bench/guard --update makes one") from error
    if not isinstance(found, dict) or {type(found.get(key)) for key in ("cells", "versions")} != {dict}:
        raise lab.BenchError(f"{path} isn't a baseline: no cells or versions in it")
    return found


def save(path, cells, about):
    """Write a baseline: a line a cell and back end, so that git shows which changed."""
    head = {"about": _ABOUT, "versions": about["versions"], "sources": about["sources"],
            "notifier": about.get("notifier")}
    lines = [f'"{key}": {json.dumps(value)}' for key, value in head.items()]
    rows = []
    for cell, each in cells.items():
        inner = ",\n  ".join(f'"{name}": {json.dumps(figures)}' for name, figures in each.items())
        rows.append(f' "{cell}": {{\n  {inner}}}')
    text = "{" + ",\n".join([*lines, '"cells": {\n' + ",\n".join(rows) + "}"]) + "}\n"
    json.loads(text)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


def kdir():
    """Headers of the kernel that the guard boots."""
    return lab.call([lab.VM, "kdir", "--install"], "finding kernel headers").strip()


def available(wanted):
    """Does this clone's history have these sources?"""
    return bool(wanted) and all(_git("cat-file", "-e", name) is not None for name in wanted.values())


def build(wanted, folder):
    """Modules of the sources WANTED (as sources() returns them), in FOLDER."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, name in wanted.items():
        target = os.path.join(folder, path)
        if _git("cat-file", "-t", name) == "tree":
            os.makedirs(target)
            archive = _git("archive", "--format=tar", name, binary=True)
            if archive is None:
                raise lab.BenchError(f"git archive of {path} ({name}) failed")
            subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)
        else:
            os.makedirs(folder, exist_ok=True)
            with open(target, "wb") as file:
                file.write(_git("cat-file", "blob", name, binary=True))
    make(folder)
    return folder


def make(folder):
    """Build the modules in FOLDER for the guard's kernel."""
    lab.call(["make", "-s", f"-j{os.cpu_count()}", "-C", kdir(), f"M={os.path.abspath(folder)}", "modules"],
             f"building modules in {folder}")

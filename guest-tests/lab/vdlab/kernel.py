# SPDX-License-Identifier: GPL-2.0-only
"""Sanitizer kernels: Debian's kernel source, a small configuration, one checker each.

A kernel is a folder in the cache, named by a hash of everything it is made from. It holds
bzImage, vmlinux and System.map (for symbols), config, lib/modules/RELEASE, and kdir/, what
modules are built against: headers, scripts, Module.symvers. The source tree is not kept.
"""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import subprocess
import time

from . import kbuild
from .paths import LAB, LabError, cache_dir, locked, read_text, say

KERNELS = os.path.join(os.path.dirname(LAB), "kernels")
NAMES = ("lockdep", "kasan", "kcsan")
# Of linux-source-VERSION, if none is named.
VERSION = "6.1"


class Kernel:
    """A finished kernel in the cache."""

    def __init__(self, path):
        self.path = path
        info = json.loads(read_text(os.path.join(path, "kernel.json")))
        self.name, self.release, self.source = info["name"], info["release"], info["source"]
        # Not vmlinux, which Debian's kernels are started from: in a sanitizer kernel the entry
        # point for that runs instrumented code before there is any shadow memory.
        self.image = os.path.join(path, "bzImage")
        self.kdir = os.path.join(path, "kdir")
        self.modules = os.path.join(path, "lib", "modules", self.release)


def _output(words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"{words[0]} failed: {error}") from error


def _installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package],
                          capture_output=True, text=True, check=False)
    state, _, version = done.stdout.partition(" ")
    return version if done.returncode == 0 and state == "installed" else ""


def _need(packages):
    """Install what is missing; says so first."""
    missing = [package for package in packages if not _installed(package)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise LabError(f"needed to build a kernel: apt-get install {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *words], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, check=False)
    missing = [package for package in missing if not _installed(package)]
    if missing:
        raise LabError(f"apt-get could not install {' '.join(missing)}")


def fragments(name, version=VERSION):
    """The configuration fragments of the kernel NAME; what they say of a VERSION comes last."""
    if name not in NAMES:
        raise LabError(f"no sanitizer kernel called {name} (there are: {', '.join(NAMES)})")
    paths = [os.path.join(KERNELS, part + ".config") for part in ("common", name, version)]
    return [path for path in paths if path != paths[-1] or os.path.exists(path)]


def make_variables(name, version=VERSION):
    """What the fragments of NAME want on make's command line: their lines "# make: WORD..."."""
    return [word for path in fragments(name, version) for line in read_text(path).splitlines()
            if line.startswith("# make: ") for word in line.split()[2:]]


@contextlib.contextmanager
def command_line(words):
    """WORDS are on the command line of each make that is started here."""
    # By the environment, which make passes on to its children in the same way: a new
    # argument of kbuild.build() would make every kernel anew for one kernel's sake.
    before = os.environ.get("MAKEFLAGS")
    if words:
        os.environ["MAKEFLAGS"] = " ".join(words)
    try:
        yield
    finally:
        if words:
            os.environ.pop("MAKEFLAGS")
            if before is not None:
                os.environ["MAKEFLAGS"] = before


def _key(name, version, source):
    """Everything the result depends on; modules must come from the same compiler, too."""
    total = hashlib.sha256()
    for text in (source, _output(["gcc", "-dumpfullversion"])):
        total.update(text.encode() + b"\0")
    for path in [*fragments(name, version), kbuild.__file__]:
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


def _build(name, version, source, path):
    """Make the kernel in a temporary folder; it gets its name when it is whole."""
    began = time.monotonic()
    for stale in glob.glob(os.path.join(os.path.dirname(path), f"{name}-*.new-*")):
        shutil.rmtree(stale, ignore_errors=True)
    out = f"{path}.new-{os.getpid()}"
    tree = f"{path}.new-{os.getpid()}-tree"
    log_path = os.path.join(os.path.dirname(path), f"{name}.log")
    say(f"kernel {name}: building from linux-source-{version} {source} "
        "(10 minutes on two idle cores)")
    try:
        os.makedirs(out)
        with open(log_path, "w", buffering=1, encoding="utf-8") as log:
            with command_line(make_variables(name, version)):
                release = kbuild.build(version, fragments(name, version), tree, out, log)
        seconds = round(time.monotonic() - began)
        with open(os.path.join(out, "kernel.json"), "w", encoding="utf-8") as file:
            json.dump({"name": name, "release": release, "source": source, "seconds": seconds}, file)
        os.rename(out, path)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(tree, ignore_errors=True)
    say(f"kernel {name}: {release} made in {seconds} s")


def _prune(name, path):
    """Older kernels of the same name: nothing asks for them after a change."""
    for old in glob.glob(os.path.join(os.path.dirname(path), f"{name}-*")):
        if old != path and ".new-" not in old and os.path.isdir(old):
            say(f"kernel {os.path.basename(old)}: out of date, removing it")
            shutil.rmtree(old, ignore_errors=True)


def get(name, version=VERSION):
    """The kernel NAME made from linux-source-VERSION, built first if the cache lacks it."""
    fragments(name, version)
    package = f"linux-source-{version}"
    _need((package, *kbuild.TOOLS))
    source = _installed(package)
    path = os.path.join(cache_dir("kernels"), f"{name}-{version}-{_key(name, version, source)}")
    if not os.path.exists(os.path.join(path, "kernel.json")):
        with locked("kernels/build.lock", "another process that builds a kernel"):
            if not os.path.exists(os.path.join(path, "kernel.json")):
                _build(name, version, source, path)
                _prune(f"{name}-{version}", path)
    return Kernel(path)

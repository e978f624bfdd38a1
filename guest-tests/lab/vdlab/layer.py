# SPDX-License-Identifier: GPL-2.0-only
"""More packages over an image's file system, which stays as it is: a layer for overlayfs.

A layer is a folder in the cache, named by the image and the packages. What mounts it
does so in a mount namespace of its own, so that nothing is left mounted.
"""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import time

from . import apt
from .paths import LabError, cache_dir, locked, say

_KEEP = 2
_APT = """
set -e
root=$1 up=$2 work=$3
shift 3
mount -t overlay overlay -o "lowerdir=$root,upperdir=$up,workdir=$work" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$work/../run" "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive APT_CONFIG=/run/apt.conf
chroot "$root" apt-get -q update
chroot "$root" apt-get -q -y --no-install-recommends install "$@"
chroot "$root" apt-get -q clean
rm -rf "$root"/var/lib/apt/lists/*
"""


def _configure(spec, folder):
    """apt's configuration for the inside: this machine's, which may name a proxy."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True,
                          check=True).stdout
    lines = []
    for line in apt.debian_sources(spec.suite, spec.extra):
        keyring = re.search(r"signed-by=([^]]+)", line)[1]
        shutil.copy(keyring, folder)
        lines.append(line.replace(keyring, "/run/" + os.path.basename(keyring)))
    for name, text in (("sources.list", "\n".join(lines) + "\n"),
                       ("apt.conf", dump + 'Dir::Etc::SourceList "/run/sources.list";\n'
                                           'Dir::Etc::SourceParts "-";\n')):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


def _install(vm, spec, packages, folder):
    for name in ("up", "work", "run"):
        os.makedirs(os.path.join(folder, name))
    _configure(spec, os.path.join(folder, "run"))
    words = ["unshare", "--mount", "sh", "-c", _APT, "sh", os.path.realpath(vm.root),
             os.path.join(folder, "up"), os.path.join(folder, "work"), *packages]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode:
        raise LabError(f"image {spec.name} with {' '.join(packages)}: apt-get failed "
                       f"(an image that is older than the archive: vm image --rebuild):\n{done.stdout[-3000:]}")
    shutil.rmtree(os.path.join(folder, "run"))
    shutil.rmtree(os.path.join(folder, "work"))


def get(vm, spec, packages):
    """The folder to lay over the root of the image VM, of which SPEC is the list."""
    if os.geteuid() != 0:
        raise LabError("installing packages over an image needs root (it mounts and chroots)")
    # An image that is made anew bears the same name.
    born = os.stat(os.path.join(os.path.realpath(vm.root), "boot")).st_ino
    key = "\n".join([os.path.realpath(vm.root), str(born), *packages])
    top = cache_dir("layers")
    path = os.path.join(top, f"{spec.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}")
    up = os.path.join(path, "up")
    with locked("layers.lock", "another process that installs packages over an image"):
        if os.path.exists(path):
            os.utime(path)
            return up
        old = sorted(glob.glob(os.path.join(top, f"{spec.name}-{'?' * 16}*")), key=os.path.getmtime)
        for stale in old[:-_KEEP]:
            shutil.rmtree(stale, ignore_errors=True)
        say(f"image {spec.name}: installing {' '.join(packages)} over it")
        began, temporary = time.monotonic(), f"{path}.new-{os.getpid()}"
        try:
            _install(vm, spec, packages, temporary)
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    say(f"image {spec.name}: installed in {time.monotonic() - began:.0f} s")
    return up

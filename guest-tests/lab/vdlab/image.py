# SPDX-License-Identifier: GPL-2.0-only
"""Images of the host VM: a Debian file system, the kernel, two initramfs archives.

An image is a folder in the cache, named by a hash of everything it is made from, so a
changed list or builder gives a new one and the old one stays usable by its own commit.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

from . import apt, initramfs, vmlinux
from .paths import IMAGES, LAB, LabError, cache_dir, locked, read_text, say

_KEEP_DAYS = 14
HOST_MODULES = ("virtio_pci", "virtio_console", "virtio_blk", "9pnet_virtio", "9p", "overlay")
GUEST_MODULES = ("virtio_pci", "virtio_console", "virtio_net", "pktgen")


class Spec:
    """A package list file, read."""

    def __init__(self, name):
        path = os.path.join(IMAGES, name + ".list")
        if not os.path.exists(path):
            raise LabError(f"no image called {name} (there are: {', '.join(names())})")
        self.name, self.suite, self.version = name, None, ""
        self.extra, self.packages = [], []
        for number, line in enumerate(read_text(path).splitlines(), 1):
            words = line.split("#")[0].split()
            if len(words) == 1:
                self.packages.append(words[0])
            elif len(words) == 2 and words[0] == "suite":
                self.suite = words[1]
            elif len(words) == 2 and words[0] == "kernel":
                self.version = words[1]
            elif len(words) == 2 and words[0] == "extra":
                self.extra.append(words[1])
            elif len(words) == 2 and words[0] == "prefer":
                self.packages.append(words[1])
            elif words:
                raise LabError(f"{path}:{number}: not understood: {line}")
        if not self.suite or not self.version:
            raise LabError(f"{path}: it needs the lines 'suite NAME' and 'kernel VERSION'")


def names():
    """The images there are lists of."""
    return sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(IMAGES, "*.list")))


def named(text):
    """The image called TEXT, or the one whose kernel is of version TEXT (6.12)."""
    for name in names():
        if text in (name, Spec(name).version):
            return name
    raise LabError(f"no image or kernel called {text} (there are: "
                   + ", ".join(f"{name} with {Spec(name).version}" for name in names()) + ")")


class Image:
    """A finished image: paths of its parts and the kernel's release."""

    def __init__(self, path):
        self.path = path
        self.root = os.path.join(path, "root")
        self.kernel = os.path.join(path, "vmlinux")
        self.initrd = os.path.join(path, "host.cpio")
        info = json.loads(read_text(os.path.join(path, "image.json")))
        self.release, self.name = info["release"], info["name"]

    def kdir(self):
        """Where this kernel's headers are on the machine outside, or None."""
        path = f"/lib/modules/{self.release}/build"
        return path if os.path.exists(os.path.join(path, "Makefile")) else None


def _inputs(spec):
    """The files an image is made from."""
    here = os.path.dirname(os.path.abspath(__file__))
    return [os.path.join(IMAGES, spec.name + ".list"),
            os.path.join(here, "image.py"), os.path.join(here, "initramfs.py"),
            os.path.join(here, "vmlinux.py"), os.path.join(LAB, "guest", "init"),
            os.path.join(LAB, "nested", "init")]


def _digest(paths):
    total = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


def _root_digest(spec):
    """What the file system depends on: the packages alone, not the boot scripts."""
    wanted = [spec.suite, *sorted(spec.extra), *sorted(spec.packages)]
    return hashlib.sha256("\n".join(["1", *wanted]).encode()).hexdigest()[:16]


def _mmdebstrap(spec, target):
    if not shutil.which("mmdebstrap"):
        raise LabError("mmdebstrap is missing: apt-get install mmdebstrap")
    if os.geteuid() != 0:
        raise LabError("making an image needs root (mmdebstrap unpacks device nodes and owners)")
    command = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=directory",
               "--include=" + ",".join(spec.packages),
               "--aptopt=APT::Install-Recommends \"false\"",
               # The lab has its own initramfs: Debian's would take 20 s to make.
               "--essential-hook=mkdir -p \"$1/etc/initramfs-tools\" && "
               "echo update_initramfs=no > \"$1/etc/initramfs-tools/update-initramfs.conf\"",
               "--dpkgopt=force-confold",
               "--dpkgopt=path-exclude=/usr/share/doc/*",
               "--dpkgopt=path-exclude=/usr/share/man/*",
               "--dpkgopt=path-exclude=/usr/share/locale/*",
               spec.suite, target, *apt.debian_sources(spec.suite, spec.extra)]
    # Its own session: Ctrl-C must reach us first, and we take the whole group down.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", start_new_session=True) as process:
        try:
            tail = _follow(process.stdout)
            if process.wait() != 0:
                raise LabError("mmdebstrap failed:\n  " + "\n  ".join(tail))
        except BaseException:
            _stop_group(process)
            raise


def _follow(stream):
    """Show mmdebstrap's own stage lines as progress; keep the last lines for errors."""
    tail, began = [], time.monotonic()
    for line in stream:
        line = line.rstrip()
        tail = (tail + [line])[-15:]
        if line.startswith("I: ") and "running --" not in line:
            say(f"  [{time.monotonic() - began:3.0f} s] {line[3:]}")
    return tail


def _stop_group(process):
    """mmdebstrap unmounts what it mounted when told by SIGTERM; give it time for that."""
    try:
        os.killpg(process.pid, 15)
        process.wait(timeout=20)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()


def _remove(path):
    """Delete a tree, unless something is still mounted in it."""
    for line in read_text("/proc/self/mounts").splitlines():
        # A space in it, a tab, a newline or a backslash stands there as its octal number.
        place = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[1])
        if place.startswith(os.path.realpath(path) + "/"):
            raise LabError(f"{place} is still mounted: unmount it, then remove {path}")
    shutil.rmtree(path, ignore_errors=True)


def _make_root(spec):
    """The Debian file system, made once for a list of packages."""
    path = os.path.join(cache_dir("images"), f"root-{spec.name}-{_root_digest(spec)}")
    if os.path.isdir(path):
        return path
    say(f"image {spec.name}: making the file system with mmdebstrap (about 90 s)")
    began = time.monotonic()
    for stale in glob.glob(path + ".new-*"):
        _remove(stale)
    temporary = f"{path}.new-{os.getpid()}"
    try:
        _mmdebstrap(spec, temporary)
        os.rename(temporary, path)
    finally:
        if os.path.exists(temporary):
            _remove(temporary)
    say(f"image {spec.name}: file system made in {time.monotonic() - began:.0f} s")
    return path


def _kernel_release(spec, root):
    releases = [os.path.basename(path)[len("vmlinuz-"):]
                for path in glob.glob(os.path.join(root, "boot", "vmlinuz-*"))]
    if len(releases) != 1:
        raise LabError(f"{root}/boot should hold one kernel, holds: {releases or 'none'}")
    if not releases[0].startswith(spec.version + "."):
        raise LabError(f"image {spec.name}: its kernel is {releases[0]}, its list says "
                       f"{spec.version}: the archive has moved on")
    return releases[0]


def _assemble(spec, root, path):
    """The boot parts beside a root: kernel without its compression, both initramfs."""
    release = _kernel_release(spec, root)
    with open(os.path.join(root, "boot", "vmlinuz-" + release), "rb") as file:
        plain = vmlinux.extract(file.read())
    with open(os.path.join(path, "vmlinux"), "wb") as file:
        file.write(plain)
    initramfs.build(os.path.join(path, "host.cpio"), root, release,
                    os.path.join(LAB, "guest", "init"), HOST_MODULES)
    initramfs.build(os.path.join(path, "guest.cpio"), root, release,
                    os.path.join(LAB, "nested", "init"), GUEST_MODULES)
    os.symlink(os.path.relpath(root, path), os.path.join(path, "root"))
    with open(os.path.join(path, "image.json"), "w", encoding="utf-8") as file:
        json.dump({"name": spec.name, "suite": spec.suite, "release": release}, file)


def _touch(path):
    """Remember when an image was last used."""
    try:
        os.utime(path)
    except OSError:
        pass


def _prune(spec):
    """Drop this suite's images that nobody used for two weeks: each root takes 1 GB."""
    limit = time.time() - _KEEP_DAYS * 86400
    top = cache_dir("images")
    for name in os.listdir(top):
        path = os.path.join(top, name)
        if (name.startswith((f"{spec.name}-", f"root-{spec.name}-"))
                and os.stat(path).st_mtime < limit):
            say(f"image {name}: unused for {_KEEP_DAYS} days, removing it")
            _remove(path)


def rebuild(name):
    """Make the image NAME anew, with the packages the archive has now."""
    spec = Spec(name)
    with locked("run.lock", "a VM run that uses the image"):
        with locked("image.lock", "another process that makes an image"):
            top = cache_dir("images")
            for old in glob.glob(os.path.join(top, f"{spec.name}-{_root_digest(spec)[:8]}-*")):
                _remove(old)
            _remove(os.path.join(top, f"root-{spec.name}-{_root_digest(spec)}"))
    return get(name)


def _found(path):
    """The finished image at PATH, or None."""
    if not os.path.exists(os.path.join(path, "image.json")):
        return None
    _touch(path)
    _touch(os.path.join(path, "root"))
    return Image(path)


def get(name):
    """The image NAME, made first if the cache doesn't hold it."""
    spec = Spec(name)
    tag = f"{spec.name}-{_root_digest(spec)[:8]}-{_digest(_inputs(spec))}"
    path = os.path.join(cache_dir("images"), tag)
    if found := _found(path):
        return found
    with locked("image.lock", "another process that makes an image"):
        if found := _found(path):
            return found
        _prune(spec)
        root = _make_root(spec)
        temporary = f"{path}.new-{os.getpid()}"
        shutil.rmtree(temporary, ignore_errors=True)
        os.mkdir(temporary)
        try:
            _assemble(spec, root, temporary)
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Image(path)

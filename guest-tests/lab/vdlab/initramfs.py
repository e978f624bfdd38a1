# SPDX-License-Identifier: GPL-2.0-only
"""Small initramfs archives: static busybox, an init script, the modules it asks for.

Written directly in cpio's "newc" format, uncompressed: the emulated processor would
spend longer decompressing than QEMU spends copying the bytes.
"""

import lzma
import os
import stat

from .paths import LabError


class Archive:
    """A newc cpio archive in the making."""

    def __init__(self):
        self._out = bytearray()
        self._dirs = set()
        self._inode = 1

    def _entry(self, name, mode, data=b""):
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self._inode += 1
        self._out += b"070701" + b"".join(b"%08X" % field for field in fields)
        self._out += name.encode() + b"\0"
        self._out += b"\0" * (-len(self._out) % 4)
        self._out += data + b"\0" * (-len(data) % 4)

    def directory(self, name):
        """Add a folder and the ones above it."""
        name = name.strip("/")
        if name and name not in self._dirs:
            self.directory(os.path.dirname(name))
            self._dirs.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        """Add a file with these bytes."""
        name = name.strip("/")
        self.directory(os.path.dirname(name))
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        """Add a symbolic link."""
        name = name.strip("/")
        self.directory(os.path.dirname(name))
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def write(self, path):
        """Finish the archive and write it."""
        self._entry("TRAILER!!!", 0)
        with open(path, "wb") as file:
            file.write(self._out)


class Modules:
    """One kernel's modules under ROOT/lib/modules/RELEASE."""

    def __init__(self, root, release):
        self._top = os.path.join(root, "lib", "modules", release)
        self._deps, self._path = {}, {}
        with open(os.path.join(self._top, "modules.dep"), encoding="ascii") as file:
            for line in file:
                path, _, deps = line.partition(":")
                self._path[self._name(path)] = path
                self._deps[path] = deps.split()
        with open(os.path.join(self._top, "modules.builtin"), encoding="ascii") as file:
            self._builtin = {self._name(line.strip()) for line in file}

    @staticmethod
    def _name(path):
        return os.path.basename(path).split(".ko")[0].replace("-", "_")

    def _order(self, name, seen):
        if name in self._builtin:
            return
        if name not in self._path:
            raise LabError(f"kernel has no module {name} (looked under {self._top})")
        for dep in self._deps[self._path[name]]:
            self._order(self._name(dep), seen)
        seen.setdefault(name)

    def load_order(self, names):
        """The modules needed for NAMES, each after the ones it depends on."""
        seen = {}
        for name in names:
            self._order(name, seen)
        return list(seen)

    def read(self, name):
        """The module's plain bytes (later suites keep them compressed)."""
        path = os.path.join(self._top, self._path[name])
        with open(path, "rb") as file:
            data = file.read()
        if path.endswith(".xz"):
            return lzma.decompress(data)
        if not path.endswith(".ko"):
            raise LabError(f"{path}: unknown compression of a kernel module")
        return data


def build(path, root, release, init, modules, extra=(), modules_root=None):
    """Write an initramfs whose init script loads MODULES in order (from /load-order).

    EXTRA: (name in the archive, bytes, mode) of further files. MODULES_ROOT: where the
    kernel's modules are, if not in ROOT.
    """
    archive = Archive()
    kernel = Modules(modules_root or root, release)
    order = kernel.load_order(modules)
    for folder in ("proc", "sys", "dev", "tmp", "root", "run", "mnt"):
        archive.directory(folder)
    for busybox in ("bin/busybox", "usr/bin/busybox"):
        if os.path.exists(os.path.join(root, busybox)):
            with open(os.path.join(root, busybox), "rb") as file:
                archive.file("bin/busybox", file.read(), 0o755)
            break
    else:
        raise LabError(f"no busybox in {root}: is busybox-static in the image's list?")
    archive.link("bin/sh", "busybox")
    archive.file("load-order", "".join(f"{name}\n" for name in order).encode())
    for name in order:
        archive.file(f"modules/{name}.ko", kernel.read(name))
    for name, data, mode in extra:
        archive.file(name, data, mode)
    with open(init, "rb") as file:
        archive.file("init", file.read(), 0o755)
    archive.write(path)

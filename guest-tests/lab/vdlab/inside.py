# SPDX-License-Identifier: GPL-2.0-only
"""Images that bring headers and compiler: modules are built inside them, for their kernel.

Newer kernels' headers want a newer compiler and libc than this machine may have. So the
build runs in the image's own file system, which stays as it is: the sources are mounted
into it, in a mount namespace of the build's own.
"""

import os
import shlex

from . import modules
from .paths import LabError


class Boot:
    """The image with this project's modules for its kernel; stands in for the image."""

    def __init__(self, vm, folder):
        self.path, self.root, self.name = vm.path, vm.root, vm.name
        self.kernel, self.initrd, self.release = vm.kernel, vm.initrd, vm.release
        self.shares = [("vdmodules", "modules", os.path.join(folder, "ko"))]


def _headers(vm):
    return os.path.join("/lib/modules", vm.release, "build")


def wanted(vm):
    """Does the image VM hold the headers of its kernel?"""
    # A link to /usr/src of the image: it leads nowhere outside.
    return os.path.islink(os.path.realpath(vm.root) + _headers(vm))


def _command(vm):
    root = os.path.realpath(vm.root)

    def words(tree):
        if os.geteuid() != 0:
            raise LabError("building modules inside an image needs root (it mounts and chroots)")
        build = ["chroot", root, "make", "-s", f"-j{os.cpu_count()}", "-C", _headers(vm),
                 "M=/mnt", "VD_TESTS=y", "modules"]
        # objtool asks /proc for its stack's limit.
        script = (f"mount --bind {shlex.quote(tree)} {shlex.quote(root)}/mnt && "
                  f"mount --rbind /proc {shlex.quote(root)}/proc && exec {shlex.join(build)}")
        return ["unshare", "--mount", "sh", "-c", script]
    return words


def boot(vm):
    """The Boot of the image VM."""
    here = os.path.dirname(os.path.abspath(__file__))
    folder = modules.get(vm.name, vm.path, [os.path.join(here, "inside.py")], _command(vm))
    return Boot(vm, folder)

# SPDX-License-Identifier: GPL-2.0-only
"""The lab on a sanitizer kernel: its boot parts and this project's modules built for it.

The image stays Debian's; only the kernel is another. The modules are built from a copy of
the sources in the cache, so the working tree's own build isn't touched, and lie over /vd
in the VM (an overlay), so /vd/*.ko are the right ones whatever is built here.
"""

import glob
import hashlib
import json
import os
import shutil
import subprocess
import time

from . import image, initramfs, kernel
from .paths import LAB, REPO, LabError, cache_dir, locked, say

# How much longer a time limit is: emulated KASAN or lockdep code runs that much slower.
SLOW = 5
# Watchdogs give emulated code more time. secretmem is off by default in 6.1. Not pci=noacpi,
# which makes big debug kernels boot quicker: without MP tables it costs all processors but one.
_APPEND = ("secretmem.enable=1 sysctl.kernel.hung_task_timeout_secs=240 "
           "sysctl.kernel.watchdog_thresh=60 workqueue.watchdog_thresh=120 "
           "rcupdate.rcu_cpu_stall_timeout=120")
_SOURCES = ("Kbuild", "vhost/**/*.[ch]", "vhost/**/Kbuild", "virtio/*.h")
_KEEP = 4


class Boot:
    """What a VM on a sanitizer kernel is started from; stands in for the image."""

    def __init__(self, name, vm, built, modules):
        self.path, self.root = vm.path, vm.root
        self.name = f"{vm.name} on {name}"
        self.kernel, self.release = built.image, built.release
        self.initrd = os.path.join(modules, "host.cpio")
        self.append = _APPEND
        # (tag, name under /share, path): the agent puts them where they belong.
        self.shares = [("vdkernel", "kernel", os.path.join(built.path, "lib")),
                       ("vdmodules", "modules", os.path.join(modules, "ko"))]
        self.env = {"VD_SANITIZER": name, "VD_SLOW": "1", "VD_SLOW_FACTOR": str(SLOW)}


def _sources():
    """The files that make the modules, as paths in the repository."""
    found = set()
    for pattern in _SOURCES:
        for path in glob.glob(os.path.join(REPO, pattern), recursive=True):
            if not path.endswith(".mod.c"):
                found.add(os.path.relpath(path, REPO))
    return sorted(found)


def _digest(built, vm, sources):
    total = hashlib.sha256(f"{built.path}\0{vm.path}\0".encode())
    here = os.path.dirname(os.path.abspath(__file__))
    for path in [*(os.path.join(REPO, name) for name in sources), os.path.join(here, "sanitizer.py"),
                 os.path.join(here, "initramfs.py"), os.path.join(LAB, "guest", "init")]:
        with open(path, "rb") as file:
            total.update(path.encode() + b"\0" + hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


def _build(name, built, vm, sources, folder):
    """Modules (ko/) and initramfs of one state of the sources."""
    tree = os.path.join(folder, "tree")
    for source in sources:
        target = os.path.join(tree, source)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(REPO, source), target)
    command = ["make", "-s", "-C", built.kdir, f"M={tree}", f"-j{os.cpu_count()}", "modules"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode:
        raise LabError(f"the modules don't build against the {name} kernel:\n{done.stdout[-3000:]}")
    os.mkdir(os.path.join(folder, "ko"))
    for path in glob.glob(os.path.join(tree, "*.ko")):
        os.rename(path, os.path.join(folder, "ko", os.path.basename(path)))
    shutil.rmtree(tree)
    # What the lab boots from is built in: nothing to load, but the list says so.
    initramfs.build(os.path.join(folder, "host.cpio"), vm.root, built.release,
                    os.path.join(LAB, "guest", "init"), image.HOST_MODULES, modules_root=built.path)
    with open(os.path.join(folder, "modules.json"), "w", encoding="utf-8") as file:
        json.dump({"kernel": built.release}, file)


def _modules(name, built, vm):
    """The folder with the modules for the kernel BUILT, made if the sources are new."""
    sources = _sources()
    top = cache_dir("modules")
    path = os.path.join(top, f"{name}-{_digest(built, vm, sources)}")
    if os.path.exists(os.path.join(path, "modules.json")):
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
            _build(name, built, vm, sources, temporary)
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    say(f"modules for the {name} kernel built in {time.monotonic() - began:.0f} s")
    return path


def boot(name, vm):
    """The Boot on the sanitizer kernel NAME with the root of the image VM."""
    if vm.name != "bookworm":
        raise LabError(f"--sanitizer: its kernels are Debian 12's, the image is {vm.name}")
    built = kernel.get(name)
    return Boot(name, vm, built, _modules(name, built, vm))

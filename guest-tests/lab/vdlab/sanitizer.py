# SPDX-License-Identifier: GPL-2.0-only
"""The lab on a sanitizer kernel: its boot parts and this project's modules built for it.

The image stays Debian's; only the kernel is another, of the same version.
"""

import os

from . import image, initramfs, kernel, modules
from .paths import LAB

# How much longer a time limit is: emulated KASAN or lockdep code runs that much slower.
SLOW = 5
# Watchdogs give emulated code more time. secretmem is off by default in 6.1. Not pci=noacpi,
# which makes big debug kernels boot quicker: without MP tables it costs all processors but one.
_APPEND = ("secretmem.enable=1 sysctl.kernel.hung_task_timeout_secs=240 "
           "sysctl.kernel.watchdog_thresh=60 workqueue.watchdog_thresh=120 "
           "rcupdate.rcu_cpu_stall_timeout=120")


class Boot:
    """What a VM on a sanitizer kernel is started from; stands in for the image."""

    def __init__(self, name, vm, built, folder):
        self.path, self.root = vm.path, vm.root
        self.name = f"{vm.name} on {name}"
        self.kernel, self.release = built.image, built.release
        self.initrd = os.path.join(folder, "host.cpio")
        self.append = _APPEND
        # (tag, name under /share, path): the agent puts them where they belong.
        self.shares = [("vdkernel", "kernel", os.path.join(built.path, "lib")),
                       ("vdmodules", "modules", os.path.join(folder, "ko"))]
        self.env = {"VD_SANITIZER": name, "VD_SLOW": "1", "VD_SLOW_FACTOR": str(SLOW)}


def _modules(name, built, vm):
    """The folder with modules (ko/) and initramfs for the kernel BUILT."""
    here = os.path.dirname(os.path.abspath(__file__))

    def command(tree):
        return ["make", "-s", "-C", built.kdir, f"M={tree}", f"-j{os.cpu_count()}", "VD_TESTS=y",
                "modules"]

    def finish(folder):
        # What the lab boots from is built in: nothing to load, but the list says so.
        initramfs.build(os.path.join(folder, "host.cpio"), vm.root, built.release,
                        os.path.join(LAB, "guest", "init"), image.HOST_MODULES,
                        modules_root=built.path)
    recipe = [os.path.join(here, "sanitizer.py"), os.path.join(here, "initramfs.py"),
              os.path.join(LAB, "guest", "init")]
    return modules.get(name, f"{built.path}\0{vm.path}", recipe, command, finish)


def boot(name, vm):
    """The Boot on the sanitizer kernel NAME with the root of the image VM."""
    built = kernel.get(name, image.Spec(vm.name).version)
    return Boot(name, vm, built, _modules(name, built, vm))

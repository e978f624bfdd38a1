# SPDX-License-Identifier: GPL-2.0-only
"""The recipe of a sanitizer kernel: unpack, configure, compile, keep what is needed.

A kernel's key in the cache includes a hash of this file, so a change here means that the
kernels are built again; kernel.py holds what doesn't change them.
"""

import contextlib
import glob
import os
import re
import shutil
import subprocess
import time

from .paths import LabError, read_text, say

TOOLS = ("gcc", "make", "bison", "flex", "bc", "libelf-dev", "xz-utils", "kmod")
# Large, and not needed even by the configuration program.
_UNWANTED = ("Documentation/[!K]*", "arch/arm*/boot", "drivers/gpu/drm/amd/include", "tools/testing")
# What every stack trace runs through: checked code there makes KASAN's and kmemleak's own work
# several times slower. lib/stackdepot.c is left out by the kernel itself.
_UNCHECKED = ("unwind_frame", "unwind_orc", "kmemleak")
_SHOW_EVERY = 60


def _least_urgent(pid):
    """Where the kernel shares the processors among sessions, nice counts only inside of one."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as file:
            file.write("19")


def _make(tree, log, *words):
    """make in TREE, as the least urgent thing this machine does. Its output goes to LOG."""
    # If this program is killed outright, make ends, too, and its children with it.
    command = ["setpriv", "--pdeathsig", "TERM", "--", "nice", "-n", "19",
               "make", "-C", tree, f"-j{os.cpu_count()}",
               # Neither who built it nor where must show in the result.
               "KBUILD_BUILD_USER=vhost-direct", "KBUILD_BUILD_HOST=lab",
               *(f"KASAN_SANITIZE_{name}.o=n" for name in _UNCHECKED), *words]
    began, shown, count, tail = time.monotonic(), time.monotonic(), 0, []
    # A session of its own, so that all of make's children can be ended together.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as process:
        _least_urgent(process.pid)
        try:
            for line in process.stdout:
                log.write(line)
                count += line.startswith("  CC")
                tail = (tail + [line.rstrip()])[-25:]
                if time.monotonic() - shown > _SHOW_EVERY:
                    shown = time.monotonic()
                    say(f"  [{shown - began:4.0f} s] {count} files compiled")
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, 15)
            # All of them: whoever writes on would keep the folder from being removed.
            process.stdout.read()
            raise
    if status:
        raise LabError(f"make {' '.join(words)} failed (all of it: {log.name}):\n  "
                       + "\n  ".join(tail))


def _options(text):
    """{option: value} of a configuration; an option that is off has the value 'n'."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(CONFIG_\w+)=(.*)", line):
            found[match[1]] = match[2]
        elif match := re.fullmatch(r"# (CONFIG_\w+) is not set", line):
            found[match[1]] = "n"
    return found


def unmet(wanted, have):
    """What the configuration text WANTED asks for and HAVE doesn't hold, a line each."""
    have = _options(have)
    return [f"{name} should be {value}, is {have.get(name, 'n')}"
            for name, value in _options(wanted).items() if have.get(name, "n") != value]


def _configure(tree, fragments, log):
    """All off but the fragments' lines, and proof that each of these lines came true."""
    wanted = "".join(read_text(path) for path in fragments)
    merged = os.path.join(tree, "vd.config")
    with open(merged, "w", encoding="utf-8") as file:
        file.write(wanted)
    _make(tree, log, f"KCONFIG_ALLCONFIG={merged}", "allnoconfig")
    wrong = unmet(wanted, read_text(os.path.join(tree, ".config")))
    if wrong:
        raise LabError("the configuration of the kernel can't be had (a dependency is off, or "
                       "this version has no such option):\n  " + "\n  ".join(wrong))


def _unpack(version, tree):
    archive = f"/usr/src/linux-source-{version}.tar.xz"
    os.makedirs(tree)
    command = ["nice", "-n", "19", "tar", "xf", archive, "-C", tree, "--strip-components=1",
               "--wildcards", "--no-wildcards-match-slash",
               *(f"--exclude=linux-source-{version}/{item}" for item in _UNWANTED)]
    if subprocess.run(command, check=False).returncode:
        raise LabError(f"cannot unpack {archive}")


def _header_files(tree):
    """What a module build needs of a built tree (as the kernel's own builddeb chooses)."""
    keep = [".config", "Module.symvers", "tools/objtool/objtool"]
    keep += [os.path.relpath(path, tree) for folder in ("", "arch/x86")
             for path in glob.glob(os.path.join(tree, folder, "Makefile*"))]
    folders = ["include", "scripts", "arch/x86/include", "arch/x86/scripts"]
    return [item for item in keep + folders if os.path.exists(os.path.join(tree, item))]


def _collect(tree, out, log):
    """Move the parts that stay from the built TREE to the folder OUT."""
    release = read_text(os.path.join(tree, "include/config/kernel.release")).strip()
    _make(tree, log, f"INSTALL_MOD_PATH={out}", "modules_install")
    for link in ("build", "source"):
        path = os.path.join(out, "lib", "modules", release, link)
        if os.path.islink(path):
            os.unlink(path)
    for item in _header_files(tree):
        target = os.path.join(out, "kdir", item)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(os.path.join(tree, item)):
            shutil.copytree(os.path.join(tree, item), target, symlinks=True)
        else:
            shutil.copy2(os.path.join(tree, item), target)
    for item, target in (("vmlinux", "vmlinux"), ("System.map", "System.map"), (".config", "config"),
                         ("arch/x86/boot/bzImage", "bzImage")):
        shutil.copy2(os.path.join(tree, item), os.path.join(out, target))
    return release


def build(version, fragments, tree, out, log):
    """Build linux-source-VERSION in the folder TREE, to be removed by the caller, with the
    configuration FRAGMENTS (paths); what stays goes to OUT. Returns the kernel's release."""
    _unpack(version, tree)
    _configure(tree, fragments, log)
    _make(tree, log, "bzImage", "modules")
    return _collect(tree, out, log)

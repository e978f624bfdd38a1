# SPDX-License-Identifier: GPL-2.0-only
"""Sanitizer kernels: Debian's kernel source, a small configuration, one checker each.

A kernel is a folder in the cache, named by a hash of everything it is made from. It holds
vmlinux (started as it is), config, kdir/ (what modules are built against: headers, scripts,
Module.symvers) and lib/modules/RELEASE. The source tree it came from is not kept.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import time

from .paths import LAB, LabError, cache_dir, locked, read_text, say

KERNELS = os.path.join(os.path.dirname(LAB), "kernels")
NAMES = ("lockdep", "kasan", "kcsan")
_TOOLS = ("gcc", "make", "bison", "flex", "bc", "libelf-dev", "xz-utils", "kmod")
# Large, and not needed even by the configuration program.
_UNWANTED = ("Documentation/[!K]*", "arch/arm*/boot", "drivers/gpu/drm/amd/include", "tools/testing")
_SHOW_EVERY = 60


class Kernel:
    """A finished kernel in the cache."""

    def __init__(self, path):
        self.path = path
        info = json.loads(read_text(os.path.join(path, "kernel.json")))
        self.name, self.release, self.source = info["name"], info["release"], info["source"]
        self.vmlinux = os.path.join(path, "vmlinux")
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
        subprocess.run(["apt-get", "-q", *words], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, check=False)
    missing = [package for package in missing if not _installed(package)]
    if missing:
        raise LabError(f"apt-get could not install {' '.join(missing)}")


def fragments(name):
    """The configuration fragments of the kernel NAME."""
    if name not in NAMES:
        raise LabError(f"no sanitizer kernel called {name} (there are: {', '.join(NAMES)})")
    return [os.path.join(KERNELS, part + ".config") for part in ("common", name)]


def _key(name, source):
    """Everything the result depends on; modules must come from the same compiler, too."""
    total = hashlib.sha256()
    for text in (source, _output(["gcc", "-dumpfullversion"])):
        total.update(text.encode() + b"\0")
    for path in [*fragments(name), os.path.abspath(__file__)]:
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


def _make(tree, log, *words):
    """make in TREE, as the least urgent thing this machine does. Its output goes to LOG."""
    # If this program is killed outright, make ends, too, and its children with it.
    command = ["setpriv", "--pdeathsig", "TERM", "--", "nice", "-n", "19", "make", "-C", tree, f"-j{os.cpu_count()}",
               # Neither who built it nor where must show in the result.
               "KBUILD_BUILD_USER=vhost-direct", "KBUILD_BUILD_HOST=lab", *words]
    began, shown, count, tail = time.monotonic(), time.monotonic(), 0, []
    # A session of its own, so that all of make's children can be ended together.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          start_new_session=True) as process:
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


def _configure(name, tree, log):
    """All off but the fragments' lines, and proof that each of these lines came true."""
    wanted = "".join(read_text(path) for path in fragments(name))
    merged = os.path.join(tree, "vd.config")
    with open(merged, "w", encoding="utf-8") as file:
        file.write(wanted)
    _make(tree, log, f"KCONFIG_ALLCONFIG={merged}", "allnoconfig")
    wrong = unmet(wanted, read_text(os.path.join(tree, ".config")))
    if wrong:
        raise LabError(f"kernel {name}: the configuration can't be had (a dependency is off, or "
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
    for item, target in (("vmlinux", "vmlinux"), (".config", "config"), ("System.map", "System.map")):
        shutil.copy2(os.path.join(tree, item), os.path.join(out, target))
    return release


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
        _unpack(version, tree)
        with open(log_path, "w", buffering=1, encoding="utf-8") as log:
            _configure(name, tree, log)
            _make(tree, log, "vmlinux", "modules")
            release = _collect(tree, out, log)
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


def get(name, version="6.1"):
    """The kernel NAME made from linux-source-VERSION, built first if the cache lacks it."""
    fragments(name)
    package = f"linux-source-{version}"
    _need((package, *_TOOLS))
    source = _installed(package)
    path = os.path.join(cache_dir("kernels"), f"{name}-{version}-{_key(name, source)}")
    if not os.path.exists(os.path.join(path, "kernel.json")):
        with locked("kernel.lock", "another process that builds a kernel"):
            if not os.path.exists(os.path.join(path, "kernel.json")):
                _build(name, version, source, path)
                _prune(f"{name}-{version}", path)
    return Kernel(path)

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The parts of the lab that need no VM: suites' headers, log cutting, sizes, sources."""

import glob
import importlib.machinery
import importlib.util
import os
import re
import struct
import subprocess
import sys
import tempfile
import types

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import apt, image, initramfs, kbuild, kernel, modules, qemu, qmp, scan, suites, vmlinux  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

_TARGETS = [["http://mirror/debian/", "bookworm", "bookworm", "main", "/keys/a.gpg", "Debian"],
            ["http://mirror/debian/", "bookworm-updates", "bookworm-updates", "main", "/keys/a.gpg", "Debian"],
            ["http://mirror/security/", "bookworm-security", "bookworm-security", "main", "/keys/a.gpg", "Debian"],
            ["http://mirror/debian/", "bookworm", "bookworm", "contrib", "/keys/a.gpg", "Debian"],
            ["http://cloud/apt/", "sdk-bookworm", "sdk-bookworm", "main", "", "Cloud"],
            ["http://node/", "nodistro", "nodistro", "main", "/keys/n.gpg", ". nodistro"]]


def _limit(full):
    """What a suite's limit is with this value of VD_FULL."""
    before = os.environ.pop("VD_FULL", None)
    try:
        if full is not None:
            os.environ["VD_FULL"] = full
        return suites.parse("x", "# vm: timeout=9 full-timeout=99").limit
    finally:
        os.environ.pop("VD_FULL", None)
        if before is not None:
            os.environ["VD_FULL"] = before


def _full_lines():
    """(suite, what it asks of VD_FULL), but for the matrix, to which it is a number of seconds."""
    for path in sorted(glob.glob(os.path.join(suites.FOLDER, "*.py"))):
        with open(path, encoding="utf-8") as file:
            found = re.search(r"^FULL = ([^\n]*?)( or len\(sys.argv\) > 1)?$", file.read(), re.MULTILINE)
        if found and not path.endswith("/matrix.py"):
            yield os.path.basename(path), found[1]


def _suites(t):
    suite = suites.parse("x", '#!/bin/sh\n# vm: mem=6G disk=1G disk=2G timeout=9 own-boot\n'
                              '# vm: append="a=1 b=2"\n# allow-log: foo.*  # why\n')
    t.equal("a suite's header", (suite.vm, suite.limit, suite.own_boot, suite.allow),
            ({"mem": "6G", "disk": ["1G", "2G"], "append": "a=1 b=2"}, 9, True, ["foo.*"]))
    t.equal("a suite that a sanitizer kernel can't run",
            suites.parse("x", '# vm: no-sanitizer="too slow"').no_sanitizer, "too slow")
    only = "# vm: smp=2\n# vm 7.2: smp=1 timeout=9"
    t.equal("a line for a kernel and later ones", [(suites.parse("x", only, version).vm["smp"],
                                                    suites.parse("x", only, version).limit)
                                                   for version in ("", "6.1", "6.12", "7.2", "7.10")],
            [(2, 120), (2, 120), (2, 120), (1, 9), (1, 9)])
    t.equal("a limit of the long runs, by VD_FULL as the suites read it", [_limit(full) for full in (None, "0", "1", "600")],
            [9, 9, 99, 99])
    wrong = [name for name, line in _full_lines() if line != 'os.environ.get("VD_FULL", "0") != "0"']
    t.equal("every suite reads it so", wrong, [])
    t.equal("an image by its kernel", [image.named(name) for name in ("6.1", "bookworm", "7.2", "7.3")],
            ["bookworm", "bookworm", "trixie-backports", "trixie-backports-7.3"])
    t.raises("an unknown kernel is refused", LabError, lambda: image.named("5.10"))
    t.raises("an unknown word is refused", LabError, lambda: suites.parse("x", "# vm: memory=6G"))
    t.raises("a bad number is refused", LabError, lambda: suites.parse("x", "# vm: smp=two"))
    t.raises("an allowance needs a reason", LabError, lambda: suites.parse("x", "# allow-log: foo"))
    plain = [suites.parse(name, "# vm: timeout=5") for name in "ab"]
    own = [suites.parse("c", "# vm: own-boot"), suites.parse("d", "# vm: numa=2")]
    grouped = [[suite.name for suite in group] for group in suites.boots(own + plain)]
    t.equal("suites with equal needs share a boot", grouped, [["a", "b"], ["d"], ["c"]])
    log = "early\nvd-suite begin a\none\nvd-suite end a\nlate\n[ 1] vd-suite begin b\ntwo"
    parts = suites.split_log(log)
    t.equal("the log is cut at the marks", [parts["boot"], "one" in parts["a"], "late" in parts["a"],
                                            "two" in parts["b"], "two" in parts["a"]],
            ["early", True, True, True, False])
    t.check("a mark is no finding", not scan.scan("<3>vd-suite begin nested-guest.sh"))


def _machine(t):
    t.equal("sizes", [qemu.size_bytes(text) for text in ("512", "512M", "1G", "4k")],
            [512 << 20, 512 << 20, 1 << 30, 4096])
    t.raises("a bad size", LabError, lambda: qemu.size_bytes("4GB"))
    options = qemu.Options(share=["/tmp=one"], share_rw=["/var=two"])
    t.equal("shares", [entry[1:] for entry in qemu.share_list(options)],
            [("one", "/tmp", "ro"), ("two", "/var", "rw")])
    for name in ("image", "one"):
        options = qemu.Options(share=["/tmp=one", f"/var={name}"])
        t.raises(f"a share's name is taken: {name}", LabError, lambda o=options: qemu.share_list(o))
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "files"))
        image_parts = types.SimpleNamespace(root="/usr", kernel="k", initrd="i", path="/tmp")
        roots = ["path=/usr," in " ".join(qemu.command(qemu.Options(qemu="true", root=root), image_parts,
                                                       "tcg", folder, folder)) for root in ("", "/var")]
    t.equal("another root in the place of the image's", roots, [True, False])
    t.raises("icount with two processors", LabError,
             lambda: qemu.base(qemu.Options(icount=True, qemu="true"), "tcg"))


def _accelerators(t):
    def cpu(accel, **more):
        words = qemu.base(qemu.Options(qemu="true", **more), accel)
        return words[words.index("-cpu") + 1]
    t.equal("what TCG is bad at is hidden from kernels that it runs", cpu("tcg"), "max,-erms,-fsrm")
    t.equal("a real processor shows what it has", cpu("kvm"), "max")
    t.equal("but for what the caller hides", cpu("kvm", cpu="max,-erms,-fsrm,-smap"), "max,-smap")
    threads = {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}
    t.equal("vCPUs get a core each before they share one", qmp.apart([0, 1, 2, 3], threads.get), [0, 1, 2, 3])
    t.equal("however threads are numbered", qmp.apart([0, 1, 2, 3], {0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}.get),
            [0, 2, 1, 3])
    t.equal("nothing is known of threads: as they come", qmp.apart([4, 5], lambda _: ""), [4, 5])


def _kernels(t):
    wanted = "CONFIG_A=y\n# CONFIG_B is not set\n# a comment\nCONFIG_C=7\n"
    t.equal("a configuration that came true", kbuild.unmet(wanted, "CONFIG_C=7\nCONFIG_A=y\n"), [])
    t.equal("one that did not", kbuild.unmet(wanted, "CONFIG_A=m\nCONFIG_B=y\n"),
            ["CONFIG_A should be y, is m", "CONFIG_B should be n, is y", "CONFIG_C should be 7, is n"])
    t.raises("an unknown kernel", LabError, lambda: kernel.fragments("msan"))
    t.equal("what is said of a version comes last",
            [os.path.basename(path) for path in kernel.fragments("kasan", "6.12")],
            ["common.config", "kasan.config", "6.12.config"])
    t.equal("of most nothing is said", [os.path.basename(path) for path in kernel.fragments("kasan", "6.1")],
            ["common.config", "kasan.config"])
    t.equal("what a kernel wants on make's command line",
            [kernel.make_variables(name) for name in kernel.NAMES], [[], [], ["KCSAN_SANITIZE=n"]])
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "Makefile"), "w", encoding="ascii") as file:
            file.write("A := unset\nall: ; @echo $(A)\n")
        with kernel.command_line(["A=b"]):
            made = subprocess.run(["make", "-s", "-C", folder, "-j1", "B=c"], capture_output=True,
                                  text=True, check=False)
    t.equal("and gets there", made.stdout, "b\n")
    t.check("it doesn't stay", "A=b" not in os.environ.get("MAKEFLAGS", ""))


def _note(folder, module, *sources):
    """A module and what its build notes of it, for which SOURCES were read."""
    for path in (*sources, f"{module}.ko"):
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="ascii"):
            os.utime(os.path.join(folder, path), (5000, 5000))
    with open(os.path.join(folder, f"{module}.mod"), "w", encoding="ascii") as file:
        file.write(f"{folder}/vhost/{module}.o\n\n")
    with open(os.path.join(folder, "vhost", f".{module}.o.cmd"), "w", encoding="ascii") as file:
        deps = "".join(f"  {folder}/vhost/../{path} \\\n" for path in sources)
        file.write(f"cmd_{folder}/vhost/{module}.o := gcc -I{folder}/vhost -c -o {folder}/vhost/{module}.o x.c\n"
                   f"deps_{folder}/vhost/{module}.o := \\\n    $(wildcard include/config/X) \\\n  /usr/src/x.h \\\n{deps}\n")
    os.utime(file.name, (5000, 5000))


def _modules(t):
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        _note(folder, "one", "vhost/one.c", "vhost/all.h")
        _note(folder, "two", "vhost/two.c", "vhost/all.h", "virtio/ring.h")
        with open(os.path.join(folder, "vhost", "user.h"), "w", encoding="ascii"):
            pass

        def changed():
            return tuple(modules.changed_since(os.path.join(folder, f"{name}.ko"), folder) for name in ("one", "two"))
        t.equal("modules just built are of their sources, whatever else is newer", changed(), ("", ""))
        os.utime(os.path.join(folder, "vhost", "one.c"), (5001, 5001))
        t.equal("a changed source makes its own module old", changed(), ("vhost/one.c", ""))
        for name, wanted in (("one.ko", "vhost/one.c"), ("vhost/.one.o.cmd", "")):
            os.utime(os.path.join(folder, name), (5001, 5001))
            t.equal(f"until that is linked and compiled again: {name}", changed(), (wanted, ""))
        os.utime(os.path.join(folder, "vhost", "all.h"), (5002, 5002))
        t.equal("a header makes all old that read it", changed(), ("vhost/all.h", "vhost/all.h"))
        os.utime(os.path.join(folder, "vhost", "all.h"), (5000, 5000))
        os.unlink(os.path.join(folder, "virtio", "ring.h"))
        t.equal("so does one that is gone", changed(), ("", "virtio/ring.h"))
        os.unlink(os.path.join(folder, "two.mod"))
        t.equal("of a module that wasn't built here nothing is known", changed(), ("", ""))


def _sources(t):
    found = apt.debian_sources("trixie", ["trixie-backports"], _TARGETS)
    t.equal("another suite's sources follow from this machine's", found, [
        "deb [signed-by=/keys/a.gpg] http://mirror/debian/ trixie main",
        "deb [signed-by=/keys/a.gpg] http://mirror/debian/ trixie-updates main",
        "deb [signed-by=/keys/a.gpg] http://mirror/security/ trixie-security main",
        "deb [signed-by=/keys/a.gpg] http://mirror/debian/ trixie-backports main"])
    by_state = [[uri, release.replace("bookworm", "oldstable"), *rest] for uri, release, *rest in _TARGETS[:4]]
    t.equal("also from one that is configured as stable or oldstable", apt.debian_sources(
        "trixie", ["trixie-backports"], by_state), found)
    old = [["http://mirror/", name, "buster", "main", "/k", "Debian"] for name in ("buster", "buster/updates")]
    t.equal("a suite's name counts before what its archive calls itself", [
        line.split()[3] for line in apt.debian_sources("trixie", (), old)], ["trixie", "trixie/updates"])
    for name, targets, wanted in (("no Debian archive configured", _TARGETS[4:], False), ("no lists yet", [], True)):
        try:
            t.check(name, False, apt.debian_sources("trixie", (), targets))
        except LabError as error:
            t.equal(name, "apt-get update" in str(error), wanted)
    t.check("every image's list is well-formed", image.Spec("bookworm").suite == "bookworm")
    t.raises("an unknown image", LabError, lambda: image.Spec("nosuch"))


def _formats(t):
    archive = initramfs.Archive()
    archive.file("a/b/c", b"text", 0o755)
    archive.link("a/l", "b/c")
    with tempfile.NamedTemporaryFile() as file:
        archive.write(file.name)
        with open(file.name, "rb") as packed:
            data = packed.read()
    names = []
    offset = 0
    while offset < len(data):
        size, length = int(data[offset + 54:offset + 62], 16), int(data[offset + 94:offset + 102], 16)
        names.append(data[offset + 110:offset + 109 + length].decode())
        offset += (110 + length + 3) & ~3
        offset += (size + 3) & ~3
    t.equal("an initramfs has the folders before the files", names,
            ["a", "a/b", "a/b/c", "a/l", "TRAILER!!!"])
    t.raises("not a kernel", LabError, lambda: vmlinux.extract(b"\0" * 4096))
    head = bytearray(4096)
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 0, 16)
    t.raises("an unknown compression", LabError, lambda: vmlinux.extract(bytes(head)))


def _mounted(t):
    """A tree with a mount in it is never deleted, whatever its name."""
    kept = image.read_text
    with tempfile.TemporaryDirectory() as folder:
        for name, shown in (("plain", "plain"), ("with space", r"with\040space"), ("tab\tback\\slash", r"tab\011back\134slash")):
            path = os.path.join(os.path.realpath(folder), name)
            os.mkdir(path)
            image.read_text = lambda _, where=shown: f"proc {os.path.realpath(folder)}/{where}/root/proc proc rw 0 0\n"
            try:
                t.raises(f"not deleted: {name!r}", LabError, lambda p=path: image._remove(p))
            finally:
                image.read_text = kept
            t.check("it is there", os.path.isdir(path))
            image._remove(path)
            t.check("without the mount it goes", not os.path.exists(path))


def _headers(t):
    """What `vm kdir --install` asks of apt."""
    loader = importlib.machinery.SourceFileLoader("vm_program", os.path.join(os.path.dirname(suites.FOLDER), "lab", "vm"))
    vm = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_program", loader))
    loader.exec_module(vm)
    path, kept = os.environ["PATH"], image.get
    image.get = lambda name: types.SimpleNamespace(release="9.9-x", kdir=lambda: None)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "apt-get"), "w", encoding="ascii") as file:
            file.write(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $(cat | wc -c) $*" >>{folder}/calls\n')
        os.chmod(file.name, 0o755)
        try:
            os.environ["PATH"] = f"{folder}:{path}"
            t.raises("headers that the archive lacks are an error", LabError, lambda: vm._cmd_kdir(
                types.SimpleNamespace(image="x", install=True)))
        finally:
            os.environ["PATH"], image.get = path, kept
        with open(os.path.join(folder, "calls"), encoding="ascii") as file:
            calls = file.read().splitlines()
    t.equal("apt updates, and installs", [call.split()[-1] for call in calls], ["update", "linux-headers-9.9-x"])
    t.check("it waits for another's lock, and asks nothing", all(
        call.startswith("noninteractive 0 ") and " DPkg::Lock::Timeout=300 " in call and " -y " in call for call in calls), calls)


def _programs(t):
    for words in (["vm", "--help"], ["vm", "run", "--help"], ["nested-guest", "--help"],
                  ["ktap.py", "--help"], ["../run-tests", "--help"], ["../run-tests", "--list"],
                  ["../kernels/build", "--help"], ["../mutate-modules", "--help"], ["../../.ci/run", "--help"],
                  ["../../packaging/deb", "--help"]):
        done = _said(*words)
        t.check(" ".join(words), done.returncode == 0 and done.stdout and "\nset -" not in done.stdout, done.stdout + done.stderr)
    for words in (["../../.ci/run", "--no-such"], ["../../packaging/deb", "--no-such"]):
        done = _said(*words)
        t.check(f"refused: {' '.join(words)}", done.returncode == 2 and done.stderr and not done.stdout, done.stdout)


def _said(program, *words):
    """What a program by the lab's folder said, and how it ended."""
    lab = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return subprocess.run([os.path.join(lab, program), *words], capture_output=True, text=True, check=False)


_TYPO = ((["--only", "vm/rings.py", "--only", "vm/rigns*"], "--only vm/rigns*"),
         (["--skip", "vm/matrix.py", "--skip", "matrx"], "--skip matrx"),
         (["--kernel", "6.12", "--only", "unit/test_lab.py", "--only", "rings.py"], "--only unit/test_lab.py"),
         (["--programs", "guest-tests/lab/tests/tset*"], "--programs guest-tests/lab/tests/tset*"),
         (["--kernel", "6.12", "--programs", "bench/tests/*"], "--programs goes with"),
         (["--sanitizer", "kasan", "--programs", "bench/tests/*"], "--programs goes with"),
         (["--only", "rings.py", "--skip", "rings.py"], "no test is left"))


def _selectors(t):
    for words, wanted in _TYPO:
        done = _said("../run-tests", "--list", *words)
        t.check(f"run-tests {' '.join(words)}: said, and nothing is run", done.returncode == 1 and wanted in done.stderr
                and not done.stdout, f"{done.returncode}\n{done.stdout}\n{done.stderr}")
    # What .ci/run leaves out may not be of this kernel, or this turn's --only.
    done = _said("../run-tests", "--list", "--kernel", "6.12", "--skip", "unit/test_lab.py", "--skip", "vm/load.*", "--only", "r*.py")
    t.equal("names that are known, and not run here, may be skipped", (done.returncode, done.stdout), (0, "vm/races.py\nvm/rings.py\n"))
    done = _said("../mutate-modules", "--only", "no-mark-dirty", "--only", "no-such-*", "--list")
    t.check("mutate-modules: a glob that names nothing is said", done.returncode == 1 and "--only no-such-*" in done.stderr
            and not done.stdout, f"{done.returncode}\n{done.stdout}\n{done.stderr}")
    done = _said("../mutate-modules", "--only", "race-v*", "--list")
    t.check("mutate-modules: others are listed", done.returncode == 0 and "race-valid-read" in done.stdout, done.stdout)
    done = _said("../mutate-modules", "--due", "--list")
    with open(os.path.join(kernel.KERNELS, "..", "mutations.noticed"), encoding="utf-8") as file:
        known = [line.split()[0] for line in file if not line.startswith("#")]
    t.check("mutate-modules: what was noticed isn't due", known and not set(known) & set(done.stdout.split()),
            f"{known}\n{done.stdout}")


def main():
    """All cases."""
    with Ktap() as t:
        for part in (_suites, _machine, _accelerators, _kernels, _modules, _sources, _formats, _mounted, _headers, _programs, _selectors):
            part(t)


if __name__ == "__main__":
    main()

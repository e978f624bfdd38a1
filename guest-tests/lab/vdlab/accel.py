# SPDX-License-Identifier: GPL-2.0-only
"""Which accelerator can run a kernel here.

A /dev/kvm that is there proves nothing: some machines offer one on which an ordinary
kernel dies in its first instructions or hangs. So a kernel is booted, with a limit.
"""

import json
import os
import subprocess
import tempfile
import time

from . import qemu
from .paths import cache_dir, locked, read_text, say

_LIMIT = 8.0
_ANSWER = "vd-probe-answer"


def _boots_with_kvm(options, image):
    """True if the image's kernel reaches its first program under KVM in time."""
    probe = qemu.Options(smp=1, mem="512M", cpu=options.cpu, qemu=options.qemu)
    with tempfile.TemporaryDirectory(prefix="vd-probe-") as folder:
        console = os.path.join(folder, "console")
        words = qemu.base(probe, "kvm") + [
            "-kernel", image.kernel, "-initrd", image.initrd, "-serial", f"file:{console}",
            "-append", "console=ttyS0 quiet panic=-1 vd.probe"]
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                end = time.monotonic() + _LIMIT
                while time.monotonic() < end and process.poll() is None:
                    time.sleep(0.1)
            finally:
                process.kill()
        return _ANSWER in read_text(console, "")


def choose(options, image):
    """'kvm' or 'tcg'. The probe's answer is kept until the machine boots again."""
    if options.icount or options.plugin:
        return "tcg"
    if options.accel != "auto":
        return options.accel
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = read_text("/proc/sys/kernel/random/boot_id").strip()
    key = f"{boot} {image.release} {options.qemu} {options.cpu}"
    path = os.path.join(cache_dir(), "accel.json")
    with locked("accel.lock", "another process that probes /dev/kvm"):
        known = json.loads(read_text(path, "{}") or "{}")
        if key not in known:
            say(f"/dev/kvm exists: trying to boot a kernel with it (at most {_LIMIT:.0f} s)")
            answer = "kvm" if _boots_with_kvm(options, image) else "tcg"
            known = {name: value for name, value in known.items() if name.startswith(boot)}
            known[key] = answer
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump(known, file)
            os.rename(path + ".new", path)
            if answer == "tcg":
                say("/dev/kvm cannot run a kernel: emulating instead (TCG)")
    return known[key]

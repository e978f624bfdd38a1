# SPDX-License-Identifier: GPL-2.0-only
"""Changes of the modules that the guard is tested with, made in a copy."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

from . import guard_base, lab

# name: (file, what stands there exactly once, what is put in front of it)
_PUSH = "\tfor (done = 0; done < n; done += skip) {\n\t\tat = (old + done) & (r->num - 1);\n"
SEEDS = {
    # Two passes over the burst that nobody needs: some 3 % of a packet of 64 bytes.
    "slow": ("virtio/ring_split.h", _PUSH,
             "\tfor (done = 0; done < 2 * n; done++)\n"
             "\t\t(void)(READ_ONCE(elem[done % n].id) + READ_ONCE(elem[done % n].len));\n"),
    # A check a burst of 64: it costs something, and that is nothing a packet.
    "harmless": ("virtio/ring_split.h", _PUSH,
                 "\tif (unlikely(n > 32768))\n\t\treturn -VD_FAULT;\n"),
}
CELL = ["--cells", "tx 64 split", "--backends", "direct"]


@contextlib.contextmanager
def seeded(name):
    """A folder with modules that were built with the change called NAME."""
    path, before, more = SEEDS[name]
    with tempfile.TemporaryDirectory(prefix="vd-guard-") as folder:
        shutil.copy2(os.path.join(lab.REPO, "Kbuild"), folder)
        for part in ("vhost", "virtio"):
            shutil.copytree(os.path.join(lab.REPO, part), os.path.join(folder, part),
                            ignore=shutil.ignore_patterns("*.o", ".*.cmd"))
        path = os.path.join(folder, path)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.count(before) != 1:
            raise lab.BenchError(f"{name}: what {path} is to be changed at stands there "
                                 f"{text.count(before)} times, not once")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(before, more + before))
        guard_base.make(folder)
        yield folder


def guard(*words):
    """bench/guard with WORDS on one cell: exit status, what it printed."""
    done = subprocess.run([sys.executable, os.path.join(lab.BENCH, "guard"), "--no-build", *CELL, *words],
                          stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Suite qemu's judgement, without a guest: which QEMU it tests, and which counters are debugfs'. KTAP.

Its series, its programs and its counters are made up.
"""

import importlib.machinery
import importlib.util
import os
import sys
import tempfile

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import patched  # noqa: E402
from vdlab.paths import REPO  # noqa: E402

VERSION, STALE = "7.2", "the patched QEMU is of the series as it is now"


def _module(name, path):
    """A program as a module that leaves nothing beside it."""
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def _put(*path, text=""):
    path = os.path.join(*path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


class Monitor:
    """A guest whose QEMU has two queues; QMP has COUNTERS of both, `info` has FOR_PEOPLE."""

    def __init__(self, counters, for_people):
        self.qmp, self.pid, self.setup = self, 1, self
        self.name, self._counters, self._for_people = "made up", counters, for_people

    def command(self, name, **_arguments):
        """What the suite asks for."""
        if name == "x-query-vhost-net-stats":
            return [{"netdev": "net0", "queue": queue, "stats": [
                {"name": what, "value": value} for what, value in self._counters.items()]}
                    for queue in (0, 1)]
        return "".join(f"net0: queue {queue} ({way}):\r\n" + "".join(
            f"  {what:<24} {value}\r\n" for what, value in self._for_people.items())
            for queue, way in enumerate(("rx", "tx")))


class Heard:
    """In the place of a Ktap: what a suite has to say."""

    def __init__(self):
        self.said, self.why = [], ""

    def check(self, name, good, why=""):
        """Kept, and the reason if it fails."""
        self.said.append((name, bool(good)))
        self.why = self.why or ("" if good else str(why))
        return good

    def equal(self, name, found, wanted):
        """As Ktap has it."""
        return self.check(name, found == wanted, f"found {found!r}, wanted {wanted!r}")

    def skip(self, name, _reason):
        """Kept as one."""
        self.said.append((name, "skip"))


def _which(t, suite, build, folder):
    """A build of another series isn't tested as one of this."""
    tree, cache = os.path.join(folder, "tree"), os.path.join(folder, "cache")
    patches, there = os.path.join(tree, "qemu-patches", VERSION), patched.folder_for(VERSION, tree)
    _put(patches, "series", text="one.patch\n# a remark\ntwo.patch  # another\n")
    for name in ("one.patch", "two.patch"):
        _put(patches, name, text=name)
    for name in patched.MADE:
        _put(cache, name, text=name)

    def asked():
        heard = Heard()
        return bool(suite.to_test(heard, VERSION, tree)), heard.said, heard.why

    def share():
        # pylint: disable-next=protected-access
        build._share(VERSION, cache, patched.digest(VERSION, tree), tree)

    def refused(what, words="is of another series"):
        found = asked()
        t.check(f"{what}: a failure that says what mends it", found[:2] == (False, [(STALE, False)]) and
                words in found[2] and f"make qemu QEMU={VERSION}" in found[2], found)
    t.equal("nothing was built: a skip", asked(), (False, [("the patched QEMU", "skip")], ""))
    share()
    good = (True, [(STALE, True)], "")
    t.equal("what the builder leaves is tested", asked(), good)
    for what, path, text in (("a patch changed", "two.patch", "other"),
                             ("another order", "series", "two.patch\none.patch\n"),
                             ("a patch more", "series", "one.patch\ntwo.patch\none.patch\n")):
        before = patched.read_text(os.path.join(patches, path))
        _put(patches, path, text=text)
        refused(what)
        _put(patches, path, text=before)
        t.equal(f"{what}, and back", asked(), good)
    _put(patches, "two.patch", text="other")
    share()
    t.equal("built anew: tested", asked(), good)
    configure, patched.CONFIGURE = patched.CONFIGURE, (*patched.CONFIGURE, "--more")
    refused("another CONFIGURE")
    patched.CONFIGURE = configure
    os.unlink(os.path.join(there, patched.STAMP))
    refused("of a time before there was a digest", "is of an unknown series")
    share()
    os.unlink(os.path.join(there, patched.MADE[1]))
    refused("one program alone", patched.MADE[1])
    t.equal("no more is there than that", sorted(os.listdir(there)),
            sorted({patched.MADE[0], patched.STAMP}))


def _torn(t, build, folder):
    """Who is killed while the programs are copied leaves none that count."""
    tree, cache = os.path.join(folder, "tree"), os.path.join(folder, "cache")
    _put(tree, "qemu-patches", VERSION, "series")
    share = build._share  # pylint: disable=protected-access
    for text in ("old", "new"):
        for name in patched.MADE:
            _put(cache, name, text=text)
        if text == "old":
            share(VERSION, cache, patched.digest(VERSION, tree), tree)
    os.unlink(os.path.join(cache, patched.MADE[1]))
    t.raises("the second program can't be copied", OSError,
             lambda: share(VERSION, cache, "of the new ones", tree))
    why = patched.stale(VERSION, tree)
    t.check("so neither is of a series", "unknown" in why, why)


def _counters(t, suite):
    """A counter that one of the three hasn't, or another number."""
    right = {"packets": 7, "kicks": 3, "zerocopy_bound": 0}
    more, fewer = {**right, "new": 1}, {"packets": 7, "kicks": 3}
    kept = suite.stats.queues
    suite.stats.queues = lambda _pid: {f"0/{way}": {
        "metadata": "direct", "ring_size": 256, "ring_kind": "split", **right} for way in ("rx", "tx")}
    try:
        for what, qmp, people, wanted in (
                ("all have the same", right, right, [True, True]),
                ("QMP lacks one", fewer, right, [False, True]),
                ("info lacks one", right, fewer, [True, False]),
                ("QMP has one more", more, right, [False, True]),
                ("both lack one", fewer, fewer, [False, False]),
                ("QMP has none", {}, right, [False, True]),
                ("QMP has what is no counter", {**right, "ring_size": 256}, right, [False, True]),
                ("a number is another", {**right, "kicks": 4}, right, [False, True])):
            heard = Heard()
            suite.counters(heard, Monitor(qmp, people), "net0")
            found = [good for name, good in heard.said
                     if name.endswith("each queue's counters are debugfs'")]
            t.equal(f"counters: {what}", found, wanted)
    finally:
        suite.stats.queues = kept


def main():
    """All cases."""
    suite = _module("suite_qemu", os.path.join(LAB, "..", "suites", "qemu.py"))
    build = _module("qemu_build", os.path.join(REPO, "qemu-patches", "build"))
    with Ktap() as t:
        t.equal("what is built is what is looked for",
                tuple(map(os.path.basename, build.MADE)), patched.MADE)
        found = [patched.version_for(name) for name in ("bookworm", "trixie", "sid")]
        t.equal("each Debian has its series", found, ["7.2", "10.0", "sid"])
        found = [len(patched.series(version)) for version in patched.SUITES]
        t.check("both series are there", len(found) == 2 and min(found) > 3, found)
        _counters(t, suite)
        for part in (lambda *args: _which(t, suite, *args), lambda *args: _torn(t, *args)):
            with tempfile.TemporaryDirectory(prefix="vd-qemu-") as folder:
                part(build, folder)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-only
"""What stands in for virtual machines in tests of bench/bench: runs that are made up. Nothing was measured."""

import contextlib
import copy
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import tempfile
import time

import tcgprof
from vdbench import lab, partial, plan, timed

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FACTS = {"kernel": "6.1.0", "version": "#1", "cmdline": "quiet", "cpu": "an emulated one",
         "smap": True, "erms": False, "fsrm": False, "flags": ["smap"], "processors": 2,
         "mitigations": {"meltdown": "Not affected", "spectre_v1": "Mitigation: barriers"},
         "parameters": {"vhost_direct.metadata": "direct"}, "versions": {"dpdk": "22.11"},
         "features": {"stock": "0x1", "direct": "0x2"}}
# Packets a second by back end; a round trip takes so many nanoseconds.
PPS = {"stock": 1000.0, "user": 1500.0, "direct": 2000.0, "pinned": 2100.0}
TRIP = {"stock": 4000, "user": 3000, "direct": 2000, "pinned": 2000}


def program(name="bench"):
    """One of bench's programs, as a module."""
    loader = importlib.machinery.SourceFileLoader(f"{name}_program", os.path.join(BENCH, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(f"{name}_program", loader))
    loader.exec_module(module)
    return module


def _result(run, windowless=False):
    """What vring would print; WINDOWLESS: hits find no window."""
    name = run["backend"]
    if run["kind"] == "storm":
        where, rate = run["cell"].split()
        made, hits = int(rate) // 10, where == "hit" and name == "direct" and not windowless
        return {"ok": True, "storm": {"slices": [
            [on, 90 if on else 100, 10 ** 8, made * on, made * on * hits]
            for on in [0, 1] * 4]}}
    if "--mode rtt" in " ".join(run["args"]):
        each = {"pps": 10.0}
        return {"ok": True, "tx": each, "rx": each,
                "rtt": {"p50": TRIP[name], "p99": 2 * TRIP[name], "p999": 3 * TRIP[name]}}
    return {"ok": True, "packets": 100, "tx": {"pps": PPS[name] + run.get("round", 0)}}


def _write_counts(folder, runs, torn=""):
    """What the instruction counter and the VM would have left."""
    with open(os.path.join(folder, "files", "kallsyms"), "w", encoding="ascii") as file:
        file.write("ffffffff81000000 T made_up\n")
    with open(os.path.join(folder, "tcgcount.jsonl"), "w", encoding="ascii") as file:
        for _ in range(runs):
            driver, worker = ({kind: number for kind in tcgprof.KINDS} for number in (7, 50000))
            file.write(json.dumps({"windows": 1, "vcpus": [driver, worker], "blocks": []}) + "\n")
        file.write(torn)


class FakeLab:
    """Stands in for plan.execute(): back ends that offer FEATURES, boots that it counts, and ACCEL for
    those that leave it open."""

    def __init__(self, features=None, fail_at=None, error=KeyboardInterrupt, accel="tcg"):
        self.features = features or {}
        self.accel, self.release = accel, "6.1.0"
        self.fail_at, self._error = fail_at, error
        # How many runs a boot that fails has made before, and what else its counter wrote.
        self.before, self.torn = None, ""
        # A cell whose runs lose frames, one whose runs have no result.
        self.broken, self.mute = None, None
        # No invalidation takes a window away.
        self.windowless = False
        # Words in the names of cells that need another boot of the host.
        self.elsewhere = None
        # Packets a second of metadata=user by (cell, which look at it).
        self.slow = {}
        self.boots, self.setups = [], []
        # What machines say of themselves, boot by boot; the last goes on to.
        self.facts = [FACTS]

    def execute(self, work, folder, options=(), **_kwargs):
        """As the original."""
        self.boots.append(sorted({run["cell"] for run in work["runs"]} - {"check"}))
        self.setups.append(work["setup"])
        fails = self.fail_at == len(self.boots)
        if fails and self.before is None:
            raise self._error
        os.makedirs(os.path.join(folder, "files"), exist_ok=True)
        accel = "tcg" if ["--accel", "tcg"] in map(list, zip(options, options[1:])) else self.accel
        with open(os.path.join(folder, "qemu.command"), "w", encoding="utf-8") as file:
            # Sockets are elsewhere in each boot.
            file.write(f"qemu-system-x86_64 -accel {accel} -qmp {len(self.boots)} {' '.join(options)}")
        yield {"facts": self.facts[min(len(self.boots), len(self.facts)) - 1]}
        made = [self._run(copy.deepcopy(run))
                for run in (work["runs"][:self.before] if fails else work["runs"])]
        if "--plugin" in options:
            _write_counts(folder, sum("result" in run for run in made), self.torn if fails else "")
        for run in made:
            yield {"run": run}
        if fails:
            raise self._error

    def call(self, words, what):
        """lab.call(), for what the lab says without a boot."""
        said = {"image": f"image=/nowhere\nrelease={self.release}\n", "accel": f"{self.accel}\n"}
        if words[0] != lab.VM or words[1] not in said:
            raise lab.BenchError(f"{what}: nothing is built here")
        return said[words[1]]

    def _run(self, run):
        lacking = [bit for bit in run.get("needs", ())
                   if bit not in self.features.get(run["backend"], (34, 35))]
        if lacking and "instead" not in run:
            return {**run, "skipped": f"{run['backend']} lacks {lacking[0]}"}
        if lacking:
            run["instead_of"] = f"{run['backend']} lacks {lacking[0]}"
        if self.elsewhere and self.elsewhere in run["cell"]:
            return {**run, "skipped": "SMAP is on", "unfinished": True}
        if run["cell"] == self.mute:
            return {**run, "status": 2, "command": ["vring", *run["args"]], "error": "no figures"}
        result = {**_result(run, self.windowless), "ok": run["cell"] != self.broken}
        slow = self.slow.get((run["cell"], run.get("look", 1)))
        if slow and run["backend"] == "user":
            result["tx"] = {"pps": slow}
        return {**run, "status": 0, "command": ["vring", *run["args"]], "result": result}


@contextlib.contextmanager
def faked(fake):
    """plan.execute() replaced, progress thrown away, all files in a folder that goes."""
    kept = plan.execute, lab.call, lab.say, lab.BUILD
    with tempfile.TemporaryDirectory() as folder:
        plan.execute, lab.call, lab.say, lab.BUILD = fake.execute, fake.call, lambda text: None, folder
        try:
            yield folder
        finally:
            plan.execute, lab.call, lab.say, lab.BUILD = kept


class Args:
    """What the command line would have said."""

    def __init__(self, chosen, full=False, others=("user", "direct")):
        self.chosen, self.full, self.others = chosen, full, list(others)
        self.rounds, self.side_rounds, self.seconds = 4, 2, 0.1
        self.vm_options, self.accel = [], "tcg"


def measure(chosen, kept=None, full=False, others=("user", "direct"), folder=""):
    """The timed part on these cells: it and their entries."""
    part = timed.Timed(Args(chosen, full, others), kept or partial.Nothing(), lambda run: True, folder)
    return part, part.measure(chosen)


class Clock:
    """Stands in for the module time: each look takes an eighth of a second, and nobody waits."""

    def __init__(self):
        self._now = 0.0

    def sleep(self, seconds):
        """Time goes by."""
        self._now += seconds

    def monotonic(self):
        """A look at the clock."""
        self._now += 0.125
        return self._now

    strftime, gmtime = staticmethod(time.strftime), staticmethod(time.gmtime)


def bench(module, folder, *words):
    """The program with these arguments: its status, its file and what it printed."""
    path = os.path.join(folder, "out.json")
    kept, sys.argv = sys.argv, ["bench", "--no-build", "--json", path, *words]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            status = module.main()
    finally:
        sys.argv = kept
    if not os.path.exists(path):
        return status, None, said.getvalue()
    with open(path, encoding="utf-8") as file:
        return status, json.load(file), said.getvalue()


def without_page(module):
    """Drawing takes seconds and is tested elsewhere."""
    module.Bench._page = lambda self: None  # pylint: disable=protected-access
    return module


@contextlib.contextmanager
def kept_in(module, folder):
    """What the program keeps of a full run is in FOLDER."""
    whole = partial.Partial
    module.partial.Partial = lambda about, fresh: whole(about, os.path.join(folder, "partial"), fresh)
    try:
        yield
    finally:
        module.partial.Partial = whole

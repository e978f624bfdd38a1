# SPDX-License-Identifier: GPL-2.0-only
"""One use of the guard: count, find out what can be compared, judge."""

import os
import shutil

from . import build, guard, guard_base, guard_judge, lab

PASSED, FAILED, UNJUDGED = 0, 1, 77


def choose(texts, backends):
    """The cells with one of TEXTS in their names (all for none), for stock and BACKENDS, and what stock
    is counted on to judge them by.
    """
    every = guard.all_cells()
    found = [cell._replace(backends=[name for name in cell.backends if name in ("stock", *backends)])
             for cell in every if not texts or any(text in cell.name for text in texts)]
    if not found:
        raise lab.BenchError("no cell has that in its name: " + ", ".join(cell.name for cell in every))
    there = {cell.name for cell in found}
    controls = {guard.control_of(name) for name in there} - there
    return [cell._replace(backends=["stock"]) for cell in every if cell.name in controls] + found


def folder(name):
    """An empty folder for a boot's results."""
    path = os.path.join(lab.BUILD, "runs", f"guard-{name}")
    shutil.rmtree(path, ignore_errors=True)
    return path


def elsewhere(base, modules=lab.REPO):
    """Why the counts of BASE aren't those of this machine, as far as that can be told without a boot: texts."""
    return guard_judge.differences(base, guard_base.versions(
        {"kernel": build.image("bookworm")["release"]}, build.machine(), modules))


class Guard:
    """What was counted, and what it is compared with."""

    def __init__(self, chosen, modules, base):
        self._chosen, self._modules, self.base = chosen, modules, base
        self.found, self.versions = {}, {}
        # What each of several boots found, where how far they are apart is asked: the last is in found, too.
        self.boots = []
        self.how, self.reasons = "", []
        self.verdicts = []
        # Where the modules to compare with are built, if that is what is compared with.
        self._then = ""
        # What the second boot said of counts that the first found too high: texts.
        self.again = []

    def _variants(self):
        return {"now": self._modules, **({"then": self._then} if self._then else {})}

    def count(self, then=""):
        """Boot and count; THEN: a folder with modules to count beside."""
        self._then = then
        self.found, facts = guard.measure(self._chosen, self._variants(), folder("then" if then else "now"))
        self.versions = guard_base.versions(facts, build.machine(), self._modules)

    def _beside(self, sources):
        lab.say("guard: building the modules to compare with, from git")
        then = guard_base.build(sources, os.path.join(lab.BUILD, "guard-sources"))
        self.count(then)
        self.how = "sources"

    def against(self, revision):
        """Compare with REVISION of this repository, whatever the baseline says."""
        sources = guard_base.sources(revision)
        if not sources:
            raise lab.BenchError(f"git doesn't know the modules' sources at {revision}")
        self._beside(sources)
        self._judge()

    def _known(self):
        """Differences that can be told without counting."""
        return elsewhere(self.base, self._modules)

    def compare(self):
        """Compare with the baseline, as directly as what has changed since allows."""
        there = guard_base.available(self.base.get("sources"))
        # What is known before a boot saves one.
        self.reasons = self._known()
        if not (there and self.reasons):
            self.count()
            self.reasons = (guard_judge.differences(self.base, self.versions) +
                            guard_judge.strayed(self.base, self.found["stock"]))
        if not self.reasons:
            self.how = "file"
        elif there:
            for text in self.reasons:
                lab.say(f"guard: the baseline's counts don't apply here: {text}")
            self._beside(self.base["sources"])
        else:
            why = guard_judge.no_ratio(self.base, self.versions, self.found["stock"])
            self.how = "" if why else "ratio"
            self.reasons.append("git doesn't have the baseline's sources here")
        self._judge()

    def _judge(self):
        reasons = [*self.reasons, "bench/guard --update makes a baseline of what is here"]
        self.verdicts = guard_judge.judge(self.how, self.base, self.found, reasons)
        self._confirm()

    def _recount(self, chosen):
        return guard.measure(chosen, self._variants(), folder("again"))[0]

    def _confirm(self):
        """Count again, in another boot, what would fail: only what both boots say does.

        A cell was above the limit once, in CI, that no boot has shown again: whatever that was, more
        instructions in our code are there in every boot.
        """
        failing = [one for one in self.verdicts if one.how in guard_judge.FAILING]
        if not failing:
            return
        lab.say(f"guard: {len(failing)} too high or unsteady: counting these in another boot")
        found = self._recount(guard_judge.narrow(self._chosen, failing))
        if self.how != "sources" and guard_judge.strayed(self.base, found["stock"]):
            self.again = ["counted again, but stock's own count moved in that boot: the first stands"]
            return
        second = guard_judge.judge(self.how, self.base, found)
        self.verdicts, self.again = guard_judge.confirmed(self.verdicts, second)
        for one in second:
            if one in self.verdicts:
                for variant in ("now", "then") if self.how == "sources" else ("now",):
                    self.found[variant][one.cell][one.backend] = found[variant][one.cell][one.backend]

    def missing(self, names=("stock", *guard.OURS)):
        """What of the baseline wasn't counted, of back ends NAMES: a guard that forgets is none."""
        there = {(cell, name) for found in (self.found.get("stock", {}), self.found["now"])
                 for cell, each in found.items() for name in each}
        lost = []
        for cell, each in self.base["cells"].items():
            if cell not in self.found["now"]:
                lost.append(cell)
            else:
                lost += [f"{cell}, {name}" for name in each
                         if name in names and (cell, name) not in there]
        return lost

    def lines(self):
        """Everything to be said, as lines."""
        versions = [f"{name}: {self.versions[name]}" for name in guard_base.VERSIONS]
        blocks = [["guard: emulated (TCG, -icount): instructions, not time", *versions],
                  guard_judge.table(self.how, self.base, self.found, self.verdicts),
                  guard_judge.explain(self.how, self.base, self.found, self.verdicts), self.again,
                  guard_judge.script_lines(self.verdicts)]
        return "\n\n".join("\n".join(block) for block in blocks if block)

    def status(self):
        """The exit status."""
        how = {one.how for one in self.verdicts}
        if how & guard_judge.FAILING:
            return FAILED
        return UNJUDGED if "unjudged" in how else PASSED

    def save(self, path, notifier=None):
        """Make what was counted the baseline in PATH; returns what there is to say about it.

        NOTIFIER: what its callbacks take, as misses.guarded() has it.
        """
        own = os.path.realpath(self._modules) == os.path.realpath(lab.REPO)
        changed = guard_base.changed() if own else None
        sources = guard_base.sources() if own and changed == [] else None
        cells = {cell.name: {} for cell in self._chosen}
        for found in (self.found["stock"], self.found["now"]):
            for cell, each in found.items():
                cells[cell].update(each)
        guard_base.save(path, cells, {"versions": self.versions, "sources": sources, "notifier": notifier})
        if sources:
            return []
        return ["the baseline doesn't say which sources it is of, so where packages are newer nothing "
                "can be built to compare with: " + (f"not committed: {', '.join(changed)}" if changed
                                                    else "they aren't git's of this repository")]

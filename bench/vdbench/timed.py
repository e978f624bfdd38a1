# SPDX-License-Identifier: GPL-2.0-only
"""The timed part: boots for the cells that go together, kept cell by cell."""

import contextlib
import os
import shutil

from . import boots, build, cells, lab, plan, stats, verdict

# What a run takes beside its seconds: the start of a program, rings, tap, warm-up.
_OVERHEAD = {"vring": 0.4, "testpmd": 5}
_BOOT = 10
# Cells a boot in a full run: an interruption loses no more than these.
_PIECE = 8
_CPU = {"smap": lab.CPU, "nosmap": f"{lab.CPU},-smap"}


def pieces(chosen, whole):
    """Cells that share a boot; WHOLE: all that can, else a few, so that little is lost."""
    found = []
    for boot in ("smap", "nosmap"):
        of = [cell for cell in chosen if cell.boot == boot]
        step = len(of) or 1 if whole else _PIECE
        found += [of[at:at + step] for at in range(0, len(of), step)]
    return found


def _made_here(runs):
    """Is there one of a cell's RUNS that isn't left for another boot of this host?"""
    return any("unfinished" not in run for run in runs)


class Timed:
    """Measures cells and makes their entries; runs are told to NOTE, boots that failed to FAILED, machines
    that ran are added to FOUND."""

    def __init__(self, args, kept, note, folder, failed=lab.say, found=None):
        self._args = args
        self._kept = kept
        self._note = note
        self._failed = failed
        self._folder = folder
        self._busy = []
        self._again = False
        self.boots = boots.Boots() if found is None else found
        self.runs = []
        self.skipped = []
        # Of the last measure(), also where it was interrupted: of the boots that were finished.
        self.entries = []

    def rounds(self, cell):
        """The cells that are judged get all rounds, others enough for a median; those that take
        seconds to start fewer, unless there is time; in a second look as many as can be judged."""
        most = self._args.rounds
        if cell in cells.CORE or self._again and cell.program == "vring":
            return most
        side = min(most, self._args.side_rounds)
        if cell.program != "vring" and not self._args.full:
            side = min(side, 2)
        return min(most, max(side, verdict.ENOUGH)) if self._again else side

    def others(self, cell):
        """Beside stock; the upper bound only where metadata is what counts: small frames."""
        small = cell.size == 64 and cell.pairs == 1 and cell.unit == "pps"
        bound = small and (cell in cells.CORE or self._args.full and cell.program == "vring")
        return [name for name in self._args.others if name != "pinned" or bound]

    def _plan(self, chosen):
        runs = plan.timed(chosen, self.others, self.rounds, self._args.seconds)
        return [{**run, "look": 2} for run in runs] if self._again else runs

    def estimate(self, chosen):
        """Seconds that these cells will take, boots included."""
        runs = self._plan(chosen)
        return (sum(_OVERHEAD[run["program"]] + self._args.seconds for run in runs) +
                _BOOT * len(pieces(chosen, not self._args.full)))

    @contextlib.contextmanager
    def _second(self, suspects):
        """What is asked for meanwhile is of a second look, at the cells of these SUSPECTS."""
        names = [entry["cell"] for entry in suspects]
        self._again = True
        try:
            yield [cell for cell in cells.full() if cell.name in names]
        finally:
            self._again = False

    def estimate_again(self, suspects):
        """Seconds that a second look at these SUSPECTS will take."""
        with self._second(suspects) as chosen:
            return self.estimate(chosen)

    def look_again(self, entries, suspects):
        """Measures the cells of these SUSPECTS anew, with more rounds; returns ENTRIES with what came out.

        What was found before stays in an entry's "first": of several looks at the same thing the
        worst, or the best, would be no measurement.
        """
        with self._second(suspects) as chosen:
            found = {entry["cell"]: entry for entry in self.measure(chosen)}
        return [{**found[entry["cell"]], "first": entry["ratio"]} if found.get(entry["cell"], {}).get("ratio")
                else entry for entry in entries]

    def _name(self, cell):
        return f"again {cell.name}" if self._again else cell.name

    def measure(self, chosen):
        """All of CHOSEN that isn't kept; returns their entries."""
        kept = {cell: self._kept.load("timed", self._name(cell)) for cell in chosen}
        for cell, each in kept.items():
            if each:
                self.boots.add(cell.boot, each["boot"])
        missing = [cell for cell in chosen if kept[cell] is None]
        if len(missing) < len(chosen):
            lab.say(f"timed: {len(chosen) - len(missing)} of {len(chosen)} cells are kept from before")
        try:
            self._measure(missing, kept)
        finally:
            found = [self._entry(cell, kept[cell]) for cell in chosen if kept[cell] and kept[cell]["runs"]]
            self.entries = [entry for entry in found if entry]
        return self.entries

    def _measure(self, missing, kept):
        """Boots for MISSING; what came out goes into KEPT."""
        left, checked = pieces(missing, not self._args.full), False
        for number, piece in enumerate(left):
            rest = self.estimate([cell for some in left[number:] for cell in some])
            lab.say(f"timed: piece {number + 1} of {len(left)}, {len(piece)} cells; about "
                    f"{rest / 60:.0f} min to go")
            try:
                found, sound, boot, failure = self._piece(piece, not checked)
            except lab.BenchError as error:
                # Of the boots to come, and of what was taken before, nothing is wrong.
                self._failed(f"timed: {error}")
                continue
            if failure:
                self._failed(f"timed: {failure}")
            # Where a boot failed it may have been in the middle of that.
            checked = checked or not failure
            for cell in piece:
                kept[cell] = {"runs": found[cell.name], "boot": boot}
                # What went wrong is to be tried again, and what another boot of this host can make; of a boot
                # that failed, which may have less of each row than was asked for, all.
                if sound and not failure and all("skipped" in run and "unfinished" not in run or plan.good(run)
                                 for run in kept[cell]["runs"]):
                    self._kept.save("timed", self._name(cell), kept[cell])

    def _entry(self, cell, kept):
        """What is known of CELL; None if another boot of this host has to make it: this one isn't its machine."""
        self.runs += kept["runs"]
        entry = stats.entry(cell, [run for run in kept["runs"] if plan.good(run)],
                            ["stock", *self.others(cell)])
        for run in kept["runs"]:
            if "skipped" in run:
                entry["absent"][run["backend"]] = run["skipped"]
        if not entry["rate"]:
            reasons = sorted(set(entry["absent"].values())) or ["every run failed: see failures"]
            self.skipped.append({"cell": cell.name, "reason": "; ".join(reasons)})
        if not _made_here(kept["runs"]):
            return None
        entry["boot"] = self.boots.add(cell.boot, kept["boot"])
        return entry

    def _piece(self, chosen, check):
        """One boot; returns the runs by cell, whether contents were right, where they were checked, which
        machine it was, and why it failed after it had made these runs, or None."""
        kind, boot, failure = chosen[0].boot, None, None
        folder = os.path.join(self._folder, f"timed-{kind}")
        shutil.rmtree(folder, ignore_errors=True)
        runs = self._plan(chosen)
        if check:
            runs = plan.checks(["stock", *self._args.others]) + runs
        # Boots of a kind are set up alike, whichever of the rows are in them: a second look is no other machine.
        work = plan.make(runs, setup=plan.setup([cell for cell in self._args.chosen if cell.boot == kind]))
        found = {cell.name: [] for cell in chosen}
        options = [*self._args.vm_options, "--cpu", _CPU[kind], "--accel", self._args.accel]
        # What the VM has used, its boot as well, is known when it has ended: ahead of all of it.
        before, done, sound = build.load(), 0, True
        try:
            for line in plan.execute(work, folder, options, timeout=90 + 5 * len(runs), first=True):
                if "facts" in line:
                    boot = boots.describe(line["facts"], folder)
                if "run" in line:
                    done += 1
                    sound &= line["run"]["kind"] != "check" or plan.good(line["run"])
                    self._take(line["run"], found)
                    if done % 40 == 0:
                        lab.say(f"timed: {done} of {len(runs)} runs; {self._so_far(chosen, found)}")
        except lab.BenchError as error:
            # What was measured before is none the worse for it.
            if not done:
                raise
            failure = error
        self._busy.append((build.load()["wall"] - before["wall"],
                           build.neighbours(before, build.load())))
        if any(_made_here(runs) for runs in found.values()):
            self.boots.add(kind, boot)
        return found, sound, boot, failure

    def _take(self, run, found):
        if "skipped" not in run:
            self._note(run)
        if run["cell"] in found:
            found[run["cell"]].append(run)
        else:
            self.runs.append(run)

    def _so_far(self, chosen, found):
        parts = []
        for cell in chosen[:4]:
            entry = stats.entry(cell, [run for run in found[cell.name] if plan.good(run)],
                                ["stock", *self.others(cell)])
            parts += [f"{cell.short} {name}/stock {spread['median']:.2f}"
                      for name, spread in entry["ratio"].items() if name == "direct"]
        return ", ".join(parts)

    def neighbours(self):
        """What others took of the machine meanwhile, of all boots together; None if there was none."""
        return build.together(self._busy)

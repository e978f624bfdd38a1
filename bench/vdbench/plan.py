# SPDX-License-Identifier: GPL-2.0-only
"""Plans for bench/inside: which runs, in which order."""

import json
import os

from . import cells, lab

INSIDE = "/vd/bench/inside"


def make(runs, symbols="", setup=()):
    """A plan of RUNS; SYMBOLS: where the VM shall put its kallsyms; SETUP: commands before all."""
    names = {run["backend"] for run in runs}
    return {"vring": cells.VRING, "metadata": cells.METADATA, "symbols": symbols, "runs": runs,
            "setup": list(setup),
            "backends": {name: cells.BACKENDS[name] for name in cells.BACKENDS if name in names}}


def checks(backends):
    """A run with contents checked for each back end."""
    return [{"kind": "check", "cell": "check", "backend": name,
             "args": cells.COMMON + cells.CHECK} for name in backends]


def timed(chosen, others, rounds, seconds):
    """ROUNDS rounds over all cells, each a stock run beside a run of each of OTHERS."""
    runs = []
    for number in range(rounds):
        for cell in chosen:
            runs += [{"kind": "timed", "cell": cell.name, "backend": name, "pair": other,
                      "round": number,
                      "args": cells.COMMON + cell.args + ["--seconds", f"{seconds:g}"]}
                     for name, other in cells.round_order(number, others)]
    return runs


def counted(chosen, backends):
    """One marked run a cell and back end; the counter's lines come in this order."""
    return [{"kind": "counted", "cell": cell.name, "backend": name,
             "args": cells.COMMON + cell.args + ["--mark", "--packets", str(cell.packets)]}
            for cell in chosen for name in backends]


def execute(plan, folder, options=(), timeout=300, first=False):
    """Boot, carry out PLAN, yield the lines that the inside prints."""
    files = os.path.join(folder, "files")
    os.makedirs(files, exist_ok=True)
    with open(os.path.join(files, "plan.json"), "w", encoding="utf-8") as file:
        json.dump(plan, file, indent=1)
    yield from lab.run([INSIDE, "/results/plan.json"], folder, options, timeout, first)

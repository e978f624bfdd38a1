# SPDX-License-Identifier: GPL-2.0-only
"""Plans for bench/inside: which runs, in which order."""

import json
import os

from . import cells, lab

INSIDE = "/vd/bench/inside"
# Pages of 2 MiB that a boot with such cells sets aside.
HUGE_PAGES = 192


def make(runs, symbols="", setup=()):
    """A plan of RUNS; SYMBOLS: where the VM shall put its kallsyms; SETUP: commands before all."""
    names = {run["backend"] for run in runs}
    return {"vring": cells.VRING, "testpmd": cells.TESTPMD, "metadata": cells.METADATA,
            "symbols": symbols, "runs": runs, "setup": list(setup),
            "backends": {name: cells.BACKENDS[name] for name in cells.BACKENDS if name in names}}


def setup(chosen):
    """Commands that a boot for these cells begins with."""
    commands = []
    if any(cell.memory == "hugetlb" for cell in chosen):
        commands.append(f"echo {HUGE_PAGES} >{lab.HUGE} || true")
    if any(cell.memory == "thp" for cell in chosen):
        commands.append("echo madvise >/sys/kernel/mm/transparent_hugepage/enabled || true")
    if any(cell.generator == "pktgen" for cell in chosen):
        commands.append("modprobe pktgen")
    if any(cell.generator == "testpmd" for cell in chosen):
        commands.append("modprobe tun")
    return commands


def checks(backends):
    """A run with contents checked for each back end."""
    return [{"kind": "check", "cell": "check", "backend": name,
             "args": cells.COMMON + cells.CHECK} for name in backends]


def _run(kind, cell, name, *more):
    run = {"kind": kind, "cell": cell.name, "backend": name, "program": cell.program,
           "memory": cell.memory, "needs": cells.NEEDS[cell.layout], "args": [*cell.args, *more]}
    return run


def timed(chosen, others, rounds, seconds):
    """ROUNDS(cell) rounds of each cell, all of OTHERS(cell) beside a stock run.

    Where stock lacks a layout its split ring stands in: "instead".
    """
    runs = []
    for number in range(max((rounds(cell) for cell in chosen), default=0)):
        for cell in chosen:
            if number >= rounds(cell):
                continue
            for name, pair in cells.shared_order(number, others(cell)):
                run = _run("timed", cell, name, "--seconds", f"{seconds:g}")
                run.update(pair=pair, round=number)
                if name == "stock" and run["needs"]:
                    run["instead"] = [*cell.split.args, "--seconds", f"{seconds:g}"]
                runs.append(run)
    return runs


def counted(chosen, backends):
    """One marked run a cell and back end; the counter's lines come in this order.

    BACKENDS: names, or a function that says which for a cell.
    """
    of = backends if callable(backends) else lambda cell: backends
    return [_run("counted", cell, name, "--mark", "--packets", str(cell.packets))
            for cell in chosen for name in of(cell)]


def small_pages(run):
    """Why a run on huge pages wasn't one, or ""."""
    result = run["result"]
    if run.get("memory", "4k") == "4k" or result.get("huge_kb", 0) >= result.get("mem_kb", 0):
        return ""
    return f"only {result['huge_kb']} of {result['mem_kb']} KiB were on huge pages"


def good(run):
    """Does a run's rate count?"""
    return "result" in run and run["result"]["ok"] and not small_pages(run)


def write(plan, folder):
    """Put PLAN where the VM whose results go to FOLDER finds it; returns its path in there."""
    files = os.path.join(folder, "files")
    os.makedirs(files, exist_ok=True)
    with open(os.path.join(files, "plan.json"), "w", encoding="utf-8") as file:
        json.dump(plan, file, indent=1)
    return "/results/plan.json"


def execute(plan, folder, options=(), timeout=300, first=False):
    """Boot, carry out PLAN, yield the lines that the inside prints."""
    yield from lab.run([INSIDE, write(plan, folder)], folder, options, timeout, first)

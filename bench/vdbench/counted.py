# SPDX-License-Identifier: GPL-2.0-only
"""The counted boot: instructions and user-access windows a packet, from tcgcount."""

import json
import os

import tcgprof

from . import boots, lab, plan

WORKER_VCPU = 1


def run(chosen, backends, folder, options=(), on_run=lambda run: None):
    """Returns (entries, runs, boot): one entry a cell and back end whose run went well; counts are those
    of the worker's vCPU, a packet. Which boot it was is for the caller to say in them.
    """
    lines = os.path.join(folder, "tcgcount.jsonl")
    plugin = os.path.join(lab.BUILD, "tcgcount.so")
    os.makedirs(folder, exist_ok=True)
    wanted = plan.counted(chosen, backends)
    work = plan.make(wanted, symbols="/results/kallsyms", setup=plan.setup(chosen))
    runs, boot = [], None
    for line in plan.execute(work, folder, ["--accel", "tcg", *options, "--plugin",
                                            f"{plugin},out={lines},profile=on"],
                             timeout=120 + 12 * len(wanted)):
        if "facts" in line:
            boot = boots.describe(line["facts"], folder)
        if "run" in line:
            runs.append(line["run"])
            on_run(line["run"])
    with open(lines, encoding="ascii") as file:
        counts = [json.loads(line) for line in file]
    marked = [run for run in runs if "result" in run]
    if len(counts) != len(marked):
        raise lab.BenchError(f"{len(marked)} marked runs but {len(counts)} counts in {lines}")
    symbols = tcgprof.Symbols(os.path.join(folder, "files", "kallsyms"))
    fields = {cell.name: cell.fields() for cell in chosen}
    # What lost frames did other work than a packet's.
    return ([_entry(fields[run["cell"]], run, count, symbols) for run, count in zip(marked, counts)
             if plan.good(run)], runs, boot)


def _entry(fields, run, count, symbols):
    packets = run["result"]["packets"]
    entry = {**fields, "backend": run["backend"], "packets": packets,
             "windows": count["windows"], "ok": True}
    sums = count["vcpus"][WORKER_VCPU]
    for kind in tcgprof.KINDS:
        entry[kind] = round(sums[kind] / packets, 3) if packets else None
    entry["top"] = [{"function": name, **{kind: round(value, 2) for kind, value in each.items()}}
                    for name, each in tcgprof.top(count, symbols, packets or 1, WORKER_VCPU)]
    return entry

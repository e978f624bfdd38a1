# SPDX-License-Identifier: GPL-2.0-only
"""The counted boot: instructions and user-access windows a packet, from tcgcount."""

import json
import os

import tcgprof

from . import boots, lab, plan

WORKER_VCPU = 1
# What a boot takes under the instruction counter, and a run of a quick row, in seconds.
_BOOT, _RUN = 15, 2.5


def estimate(chosen, backends, boot_of=None):
    """Seconds that counting these cells will take, in one boot or in boots of BOOT_OF cells."""
    return _BOOT * -(-len(chosen) // (boot_of or len(chosen) or 1)) + _RUN * len(plan.counted(chosen, backends))


def run(chosen, backends, folder, options=(), on_run=lambda run: None):
    """Returns (entries, runs, boot, failure): one entry a cell and back end whose run went well;
    counts are those of the worker's vCPU, a packet. Which boot it was is for the caller to say in
    them. FAILURE is why the boot failed after it had made these runs, or None.
    """
    lines = os.path.join(folder, "tcgcount.jsonl")
    plugin = os.path.join(lab.BUILD, "tcgcount.so")
    os.makedirs(folder, exist_ok=True)
    wanted = plan.counted(chosen, backends)
    work = plan.make(wanted, symbols="/results/kallsyms", setup=plan.setup(chosen))
    runs, boot, failure = [], None, None
    try:
        for line in plan.execute(work, folder, ["--accel", "tcg", *options, "--plugin",
                                                f"{plugin},out={lines},profile=on"],
                                 timeout=120 + 12 * len(wanted)):
            if "facts" in line:
                boot = boots.describe(line["facts"], folder)
            if "run" in line:
                runs.append(line["run"])
                on_run(line["run"])
    except lab.BenchError as error:
        # What was counted before is none the worse for it.
        if not runs:
            raise
        failure = error
    symbols = tcgprof.Symbols(os.path.join(folder, "files", "kallsyms"))
    fields = {cell.name: cell.fields() for cell in chosen}
    # What lost frames did other work than a packet's.
    return ([_entry(fields[run["cell"]], run, count, symbols)
             for run, count in _matched(runs, lines, failure) if plan.good(run)],
            runs, boot, failure)


def _matched(runs, lines, failure):
    """Runs, each with its count out of the file LINES, which doesn't name them."""
    with open(lines, encoding="ascii") as file:
        # Where the counter was killed the last line may be part of one.
        counts = [json.loads(line) for line in file if line.endswith("\n")]
    marked = [run for run in runs if "result" in run]
    # So may the last run have been: counted, but its result didn't get out. Not where another run
    # has none: then nobody knows whose the count is that is too many.
    more = bool(failure) and not any("error" in run for run in runs)
    if len(counts) - len(marked) not in range(1 + more):
        raise lab.BenchError(f"{f'{failure}; ' if failure else ''}{len(marked)} marked runs but "
                             f"{len(counts)} counts in {lines}")
    return zip(marked, counts)


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

# SPDX-License-Identifier: GPL-2.0-only
"""What the guard measures: instructions that the worker executes for a packet.

One emulated processor whose clock are the instructions it executes (-icount): the worker's
processor time, as the scheduler accounts for it, is then the number of instructions it was
given, whoever else used the machine meanwhile. vring hands over a ring full of frames at once
and waits: how driver and worker take turns is the same in every boot. The instruction counter
looks on and says which functions these instructions belong to.
"""

import collections
import json
import os
import statistics
import tempfile

import tcgprof

from . import lab, plan

OURS = ("user", "direct")
# Runs of a cell and back end in one boot; the median counts.
_REPEATS = 3
# A median whose nearest run of the same in one boot is further away than this: no instrument.
UNSTEADY = 0.01
# Functions with fewer instructions a packet aren't worth a line.
_SMALL = 2
_SYMBOLS = "symbols-"

Cell = collections.namedtuple("Cell", "name args backends")

# The kernel's list of free pages of a processor is never full: whether it is, and gives pages back one by
# one, depends on what the boot has left in it, and is 1 % of a frame of 1500 bytes.
_PAGES = "sysctl.vm.percpu_pagelist_high_fraction=8"
# The driver naps while the worker, on the same processor, works: with sched_yield() both settle into
# one of two patterns of turns, which are 1.5 % of a small frame apart.
_BURSTS = ["--warmup", "0.02", "--mode", "burst", "--ring", "256", "--wait", "nap", "--mark"]
_PACKETS = ["--packets", "20000"]
_DIRECTIONS = {"tx": ["--dir", "tx", "--xdp", "drop"], "rx": ["--dir", "rx"]}
_SIZES = (64, 1500)
# What else a guest may have, each by one cell: vring's words, and the cell whose count on stock
# says whether the ground has moved.
_MORE = {
    # Receiving: what TX takes depends more on when the driver, on the same processor, has its turn.
    "rx 64 in-order": ("--dir rx --packets 20000 --size 64 --layout in-order", "rx 64 split"),
    # As Linux's driver sends what isn't in one piece.
    "tx 1500 indirect": ("--dir tx --xdp drop --packets 20000 --size 1500 --chain 2 --indirect",
                         "tx 1500 split"),
    # Six of the driver's buffers a frame.
    "rx 9000 merged": ("--dir rx --packets 3000 --size 9000 --buf 1536", "rx 1500 split"),
    # What no XDP buffer holds: sent by itself, and copied by the kernel's iterators.
    "tx 65535 gso": ("--dir tx --packets 512 --size 65535 --gso", "tx 1500 split"),
}

# Exchanges the modules, so that several builds can be measured in one boot.
# $0: folder, $1: metadata, $2: where their symbols go, or nothing; then the command.
_EXCHANGE = ('rmmod vhost_direct_net vhost_direct && insmod "$0/vhost_direct.ko" metadata="$1" && '
             'insmod "$0/vhost_direct_net.ko" || exit 2; '
             '[ -z "$2" ] || grep "\\[vhost_direct" /proc/kallsyms >"$2" || exit 2; '
             'shift 2; exec "$@"')
_WORDS = ["sh", "-c", _EXCHANGE]


def all_cells():
    """The fixed cells, whatever vring says of itself: one that lacks a layout fails."""
    found = []
    # Stock has no packed rings: nothing to put beside.
    for layout, more, names in (("split", [], ("stock", *OURS)),
                                ("packed", ["--layout", "packed"], OURS)):
        found += [Cell(f"{way} {size} {layout}",
                       [*_BURSTS, *_PACKETS, *words, "--size", str(size), *more], names)
                  for way, words in _DIRECTIONS.items() for size in _SIZES]
    return found + [Cell(name, [*_BURSTS, *words.split()], OURS)
                    for name, (words, _) in _MORE.items()]


def control_of(name):
    """The cell whose stock figure says whether the ground under cell NAME has moved."""
    return _MORE[name][1] if name in _MORE else name.replace(" packed", " split")


def _runs(chosen, folders):
    runs = []
    for turn in range(_REPEATS):
        for cell in chosen:
            for name in cell.backends:
                base = {"kind": "guard", "cell": cell.name, "backend": name, "args": cell.args}
                if name == "stock":
                    runs.append({**base, "variant": "stock"})
                    continue
                # The first run of each is the one whose functions are looked at.
                for variant, inside in folders.items():
                    where = "" if turn else f"/results/{_SYMBOLS}{len(runs)}"
                    runs.append({**base, "variant": variant,
                                 "wrap": [*_WORDS, inside, name, where]})
    return runs


class _Symbols:
    """What each run's addresses mean: its modules were loaded for it alone."""

    def __init__(self, folder):
        self._files = os.path.join(folder, "files")
        with open(os.path.join(self._files, "kallsyms"), encoding="ascii") as file:
            self._kernel = [line for line in file if "[vhost_direct" not in line]

    def of(self, number):
        """The symbols of run NUMBER."""
        own = os.path.join(self._files, f"{_SYMBOLS}{number}")
        lines = list(self._kernel)
        if os.path.exists(own):
            with open(own, encoding="ascii") as file:
                lines += file
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
            file.writelines(lines)
            file.flush()
            return tcgprof.Symbols(file.name)


def _functions(count, symbols, packets):
    """{function: instructions a packet}, the driver's own code left out."""
    found = tcgprof.by_function(count, symbols, 0)
    each = {name: sums["insns"] / packets for name, sums in found.items() if name != "(user space)"}
    return {name: round(each[name], 1) for name in sorted(each, key=each.get, reverse=True)
            if each[name] >= _SMALL}


def spread(values):
    """How far the nearest of the others is from the median of VALUES, as a share of it.

    Two of three have to agree: the third may have met what the kernel does now and then in
    whatever task is there, such as to free what the last run has left.
    """
    middle = statistics.median_low(values)
    others = sorted(abs(value - middle) for value in values)[1:]
    return others[0] / middle if others else 0.0


def _sum_up(runs, counts, symbols):
    """{variant: {cell: {backend: figures}}} of the runs and the counter's lines."""
    groups = collections.defaultdict(list)
    for number, (run, count) in enumerate(zip(runs, counts)):
        groups[run["variant"], run["cell"], run["backend"]].append((run["result"], count, number))
    found = {}
    for (variant, cell, name), each in groups.items():
        values = [result["worker_ns_per_packet"] for result, _, _ in each]
        middle = statistics.median(values)
        result, count, number = each[0]
        found.setdefault(variant, {}).setdefault(cell, {})[name] = {
            "insns": middle, "spread": round(spread(values), 5),
            "functions": _functions(count, symbols.of(number), result["packets"])}
    return found


def measure(chosen, variants, folder):
    """Boot once, count; returns ({variant: {cell: {backend: figures}}}, the VM's facts).

    VARIANTS: {name: folder on this machine with modules}; stock is always beside them,
    as variant "stock". Figures: "insns" a packet, "spread" of its runs, "functions".
    """
    folders, options = {}, ["--accel", "tcg", "--smp", "1", "--icount", "--append", _PAGES]
    for name, path in variants.items():
        same = os.path.realpath(path) == os.path.realpath(lab.REPO)
        folders[name] = "/vd" if same else f"/share/{name}"
        options += [] if same else ["--share", f"{path}={name}"]
    lines = os.path.join(folder, "tcgcount.jsonl")
    plugin = os.path.join(lab.BUILD, "tcgcount.so")
    os.makedirs(folder, exist_ok=True)
    work = plan.make(_runs(chosen, folders), "/results/kallsyms")
    first = next(iter(folders.values()))
    for name in OURS:
        if name in work["backends"]:
            work["backends"][name] = {**work["backends"][name], "modules": [
                f"{first}/vhost_direct.ko", f"{first}/vhost_direct_net.ko"]}
    runs, facts, total = [], {}, len(work["runs"])
    lab.say(f"guard: {total} runs, one processor, its instructions as the clock")
    # Five times what an idle machine takes: others may have most of this one.
    for line in plan.execute(work, folder, [*options, "--plugin", f"{plugin},out={lines},profile=on"],
                             timeout=120 + 6 * total):
        facts = line.get("facts", facts)
        if "run" in line:
            runs.append(_good(line["run"]))
            if not len(runs) % 20:
                lab.say(f"guard: {len(runs)} of {total} runs")
    with open(lines, encoding="ascii") as file:
        counts = [json.loads(line) for line in file]
    if len(counts) != total or len(runs) != total:
        raise lab.BenchError(f"{total} runs, {len(runs)} results, {len(counts)} counts in {lines}")
    return _sum_up(runs, counts, _Symbols(folder)), facts


def _good(run):
    result = run.get("result")
    if not result or run["status"] or not result["ok"]:
        raise lab.BenchError(f"{run['cell']} on {run['backend']} ({run['variant']}): "
                             f"{run.get('error') or json.dumps(result)[:600]}")
    return run

# SPDX-License-Identifier: GPL-2.0-only
"""From runs to figures: rates, and ratios taken pair by pair."""

import collections
import statistics


def pps(run):
    """Packets a second of a timed run, in its direction."""
    result = run["result"]
    return result[result["dir"]]["pps"]


def spread(values):
    """Median, minimum and maximum; every value stays in, outliers too."""
    values = list(values)
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "n": len(values)}


def ratios(runs, cell, other):
    """OTHER's rate over that of the stock run beside it, one value a round."""
    rounds = collections.defaultdict(dict)
    for run in runs:
        if run["cell"] == cell and run["pair"] == other:
            rounds[run["round"]][run["backend"]] = pps(run)
    return [pair[other] / pair["stock"] for _, pair in sorted(rounds.items())
            if len(pair) == 2 and pair["stock"]]


def noise(runs, cell):
    """Stock over stock within a round: how far two runs of the same thing are apart."""
    rounds = collections.defaultdict(list)
    for run in runs:
        if run["cell"] == cell and run["backend"] == "stock":
            rounds[run["round"]].append(pps(run))
    return [rates[1] / rates[0] for _, rates in sorted(rounds.items())
            if len(rates) > 1 and rates[0]]


def table(runs, names, others):
    """One entry a cell: rates by back end, ratios by back end, the noise."""
    found = []
    for name in names:
        mine = [run for run in runs if run["cell"] == name]
        entry = {"cell": name, "pps": {}, "worker_ns": {}, "ratio": {}, "ratios": {}}
        for backend in ("stock", *others):
            of = [run for run in mine if run["backend"] == backend]
            entry["pps"][backend] = spread(pps(run) for run in of)
            entry["worker_ns"][backend] = spread(run["result"]["worker_ns_per_packet"] for run in of)
        for other in others:
            entry["ratios"][other] = ratios(mine, name, other)
            entry["ratio"][other] = spread(entry["ratios"][other])
        entry["noise"] = spread(noise(mine, name))
        found.append(entry)
    return found

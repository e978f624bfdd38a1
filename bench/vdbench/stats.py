# SPDX-License-Identifier: GPL-2.0-only
"""From runs to figures: rates, and ratios taken pair by pair."""

import collections
import statistics

from . import bottleneck

PERCENTILES = ("p50", "p99", "p999")


def rate(run):
    """Packets a second of a timed run, of all its directions; a round trip's median in ns."""
    result = run["result"]
    if "rtt" in result:
        return result["rtt"]["p50"]
    return sum(result[name]["pps"] for name in ("tx", "rx") if name in result)


def spread(values):
    """Median, minimum and maximum; every value stays in, outliers too."""
    values = list(values)
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "n": len(values)}


def full_spread(values, digits=None):
    """The same with the values themselves, in the order of the runs."""
    values = [round(value, digits) for value in values]
    found = spread(values)
    return found and {**found, "values": values}


def ratios(runs, other, inverse=False):
    """OTHER's rate over that of the stock run beside it, one value a round; or INVERSE."""
    groups = collections.defaultdict(dict)
    for run in runs:
        if other in run["pair"].split("+"):
            groups[run["round"]][run["backend"]] = rate(run)
    found = [(group[other], group["stock"]) for _, group in sorted(groups.items())
             if group.get("stock") and group.get(other)]
    return [stock / own if inverse else own / stock for own, stock in found]


def noise(runs):
    """Stock in one round over stock in the round before, rounds two by two: how far runs of the same thing
    are apart. Where a round has several runs of stock, each beside the one that had its place before; where
    one of the two failed there is no value."""
    rates = {(run["round"], run["pair"]): rate(run) for run in runs if run["backend"] == "stock"}
    return [rates[number, pair] / rates[number - 1, pair] for number, pair in sorted(rates)
            if number % 2 and rates.get((number - 1, pair))]


def _busy(runs, backends):
    """By back end, how much of the time its workers ran; stock's also of a ring that stands in."""
    shares = {name: [share for run in runs if run["backend"] == name
                     and (share := bottleneck.share(run)) is not None] for name in backends}
    return {name: full_spread(values, 3) for name, values in shares.items() if values}


def entry(cell, runs, backends):
    """One entry of "cells": RUNS are those of the cell that went well, in order."""
    found = {**cell.fields(), "rate": {}, "ratio": {}, "absent": {},
             "noise": full_spread(noise(runs), 4)}
    instead = any(run.get("instead_of") for run in runs)
    for name in backends:
        of = [run for run in runs if run["backend"] == name]
        if name == "stock" and instead:
            found["against"] = cell.split.name
            found["absent"][name] = of[0]["instead_of"]
        elif of:
            found["rate"][name] = full_spread((rate(run) for run in of), 0)
        if name != "stock":
            found["ratio"][name] = full_spread(ratios(runs, name, cell.unit == "ns"), 4)
    found["ratio"] = {name: value for name, value in found["ratio"].items() if value}
    if cell.unit == "pps":
        found["busy"] = _busy(runs, backends)
    if cell.unit == "ns":
        found["percentiles"] = {
            name: {key: round(statistics.median(run["result"]["rtt"][key] for run in runs
                                                if run["backend"] == name)) for key in PERCENTILES}
            for name in found["rate"]}
    return found

# SPDX-License-Identifier: GPL-2.0-only
"""From bench-mm's runs to figures."""

import collections
import statistics

from . import stats

OPERATIONS = ("munmap", "mprotect", "dontneed")
PLACES = ("other", "ring")
_ON, _PACKETS, _NS, _DONE, _HITS = range(5)


def _pps(one):
    return one[_PACKETS] * 1e9 / one[_NS]


def _storms(run):
    return [one for one in run["result"]["storm"]["slices"] if one[_NS]]


def kept(run):
    """Rate with over rate without, one value for each pair of neighbouring slices."""
    found = _storms(run)
    pairs = zip(found[::2], found[1::2])
    return [_pps(one if one[_ON] else other) / _pps(other if one[_ON] else one)
            for one, other in pairs if one[_ON] != other[_ON] and one[_PACKETS] and other[_PACKETS]]


def _rate_under(run):
    return statistics.median(_pps(one) for one in _storms(run) if one[_ON])


def _a_second(runs, field):
    on = [one for run in runs for one in _storms(run) if one[_ON]]
    return sum(one[field] for one in on) * 1e9 / sum(one[_NS] for one in on) if on else 0


def _against(runs, other):
    """OTHER's rate in the storm over that of the stock run beside it, one value a round."""
    rounds = collections.defaultdict(dict)
    for run in runs:
        if run["pair"] == other:
            rounds[run["round"]][run["backend"]] = _rate_under(run)
    return [pair[other] / pair["stock"] for _, pair in sorted(rounds.items())
            if len(pair) == 2 and pair["stock"]]


def storm(runs, cell, others):
    """One row: what was asked, what was reached, what was kept, beside stock."""
    mine = [run for run in runs if run["cell"] == cell]
    where, rate = cell.split()
    row = {"where": where, "rate": int(rate), "reached": {}, "taken": {}, "kept": {}, "pps": {},
           "over_stock": {}}
    for name in ("stock", *others):
        of = [run for run in mine if run["backend"] == name]
        row["reached"][name] = round(_a_second(of, _DONE))
        row["taken"][name] = round(_a_second(of, _HITS))
        row["kept"][name] = stats.spread(value for run in of for value in kept(run))
        row["pps"][name] = stats.spread(_rate_under(run) for run in of)
    for name in others:
        row["over_stock"][name] = stats.spread(_against(mine, name))
    return row


def percentile(values, share):
    """The value that SHARE of all are at or below."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def latencies(runs, names):
    """One row a back end, state, operation and place: nanoseconds."""
    rows = []
    for operation in OPERATIONS:
        for place in PLACES:
            for state in ("idle", "busy"):
                for name in names:
                    values = [ns for run in runs if run["backend"] == name and run["cell"] == state
                              for ns in run["result"]["latency"][f"{operation} {place}"]]
                    if values:
                        rows.append({"operation": operation, "place": place, "state": state,
                                     "backend": name, "n": len(values), "max": max(values),
                                     "p50": percentile(values, 0.5), "p99": percentile(values, 0.99)})
    return rows

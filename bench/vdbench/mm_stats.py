# SPDX-License-Identifier: GPL-2.0-only
"""From bench-mm's runs to figures."""

import collections
import statistics

from . import stats

OPERATIONS = ("munmap", "mprotect", "dontneed")
PLACES = ("other", "ring")
_ON, _PACKETS, _NS, _DONE, _HITS = range(5)
# The back end that has windows, which an invalidation can take away.
_WINDOWS = "direct"
# What the storm's thread must have made, of what it was asked for, to be called that rate.
_REACHED = 0.9
# Of the operations on a busy ring, how many must have found windows: else even the median is
# that of operations which found none.
_FOUND = 0.5


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


def _under(runs):
    return [one for run in runs for one in _storms(run) if one[_ON]]


def _a_second(on, field):
    return sum(one[field] for one in on) * 1e9 / sum(one[_NS] for one in on) if on else 0


def _against(runs, other):
    """OTHER's rate in the storm over that of the stock run beside it, one value a round."""
    rounds = collections.defaultdict(dict)
    for run in runs:
        if run["pair"] == other:
            rounds[run["round"]][run["backend"]] = _rate_under(run)
    return [pair[other] / pair["stock"] for _, pair in sorted(rounds.items())
            if len(pair) == 2 and pair["stock"]]


def doubt(where, rate, name, runs):
    """Why RUNS of back end NAME aren't of the storm that was asked for; nothing, if they are."""
    on = _under(runs)
    made, taken = (_a_second(on, field) for field in (_DONE, _HITS))
    if not on:
        return "no run went well"
    without = sum(not one[_DONE] for one in on)
    if where == "numa" and without:
        return f"no scan in {without} of {len(on)} slices"
    if where != "numa" and made < _REACHED * rate:
        return f"{made:.0f} of {rate} invalidations a second were made"
    if where in ("hit", "numa") and name == _WINDOWS and not taken:
        return "no window was taken away"
    return ""


def missed(where, name, taken):
    """Did hits, which strike the ring, take no window (TAKEN) although back end NAME has them? That is no doubt
    but a failure: windows don't come back."""
    return where == "hit" and name == _WINDOWS and not taken


def storm(runs, cell, others):
    """One row: what was asked, what was reached, what was kept, beside stock."""
    mine = [run for run in runs if run["cell"] == cell]
    where, rate = cell.split()
    row = {"where": where, "rate": int(rate), "reached": {}, "taken": {}, "kept": {}, "pps": {},
           "over_stock": {}, "doubts": {}}
    for name in ("stock", *others):
        of = [run for run in mine if run["backend"] == name]
        row["reached"][name] = round(_a_second(_under(of), _DONE))
        row["taken"][name] = round(_a_second(_under(of), _HITS))
        why = doubt(where, int(rate), name, of)
        if why:
            row["doubts"][name] = why
        row["kept"][name] = stats.spread(value for run in of for value in kept(run))
        row["pps"][name] = stats.spread(_rate_under(run) for run in of)
    for name in others:
        row["over_stock"][name] = stats.spread(_against(mine, name))
    return row


def percentile(values, share):
    """The value that SHARE of all are at or below."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def _windowless(runs, state, name):
    """By place, why latencies of RUNS aren't those beside windows; what is missing is."""
    of = [run["result"]["latency"] for run in runs
          if run["backend"] == name and run["cell"] == state]
    tried = sum(len(one[f"{operation} ring"]) for one in of for operation in OPERATIONS)
    found = sum(one["inval_hit"] for one in of)
    if state != "busy" or name != _WINDOWS or found >= _FOUND * tried:
        return {}
    why = f"{found} of {tried} operations on the ring found windows"
    # Not one: then nothing says that there were any while other memory was struck.
    return {"ring": why} if found else {place: why for place in PLACES}


def latencies(runs, names):
    """One row a back end, state, operation and place: nanoseconds."""
    rows = []
    doubts = {(state, name): _windowless(runs, state, name)
              for state in ("idle", "busy") for name in names}
    for operation in OPERATIONS:
        for place in PLACES:
            for state in ("idle", "busy"):
                for name in names:
                    values = [ns for run in runs if run["backend"] == name and run["cell"] == state
                              for ns in run["result"]["latency"][f"{operation} {place}"]]
                    if values:
                        why = doubts[state, name].get(place)
                        rows.append({"operation": operation, "place": place, "state": state,
                                     "backend": name, "n": len(values), "max": max(values),
                                     "p50": percentile(values, 0.5),
                                     "p99": percentile(values, 0.99),
                                     **({"doubt": why} if why else {})})
    return rows

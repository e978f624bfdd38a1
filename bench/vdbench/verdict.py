# SPDX-License-Identifier: GPL-2.0-only
"""What a row must reach beside stock, which rows are to be looked at again, and what is said of them.

With two pairs a row's median is a row's worse half as often as not, so nothing is judged by them: a row
that seems to be too slow is measured once more, with more rounds, and that second look alone counts. Nor
is a median alone evidence: of 46 that should be equal some are below. So many of the pairs have to be.
"""

import math

from . import bottleneck

# Nothing may be slower than this.
FLOOR = 0.97
# What windows have to gain where SMAP costs most: small frames sent, on the oldest kernel.
GAIN = 1.15
_GAIN_KERNEL = "6.1."
# Pairs from which a row is judged.
ENOUGH = 4
# A row fails if pairs of a back end that reaches just what it must would be on the wrong side as often as here
# in no more than this share of cases: 4 of 4 pairs, 6 of 7, 8 of 10, 14 of 20. A twentieth would fail no row of 4.
CHANCE = 1 / 16
_NOT_JUDGED = ("pinned",)


def least(entry, name, kernel):
    """What back end NAME must reach in the cell ENTRY, beside stock of KERNEL."""
    gains = (name == "direct" and entry["dir"] == "tx" and entry["size"] == 64 and entry["smap"] and
             entry["generator"] == "vring" and not entry.get("against") and kernel.startswith(_GAIN_KERNEL))
    return GAIN if gains else FLOOR


def below(entry, kernel):
    """The back ends that reach less in this cell by their median: [(name, spread, what is wanted)]."""
    return [(name, ratio, least(entry, name, kernel)) for name, ratio in entry["ratio"].items()
            if name not in _NOT_JUDGED and ratio["median"] < least(entry, name, kernel)]


def _under(ratio, wanted):
    return sum(value < wanted for value in ratio["values"])


def evident(ratio, wanted):
    """Do RATIO's pairs show that it is below WANTED? The sign test, one-sided: outliers count as one pair each."""
    pairs = len(ratio["values"])
    by_chance = sum(math.comb(pairs, under) for under in range(_under(ratio, wanted), pairs + 1)) / 2 ** pairs
    return pairs >= ENOUGH and ratio["median"] < wanted and by_chance <= CHANCE


def failed(cells, kernel):
    """The cells that are below what they must reach, by what noise alone would seldom do."""
    return [entry for entry in cells if any(evident(ratio, wanted) for _, ratio, wanted in below(entry, kernel))]


def _doubt(ratio, wanted):
    """Why a median below WANTED fails nothing, or nothing."""
    if ratio["n"] < ENOUGH:
        return " too few to judge"
    return "" if evident(ratio, wanted) else f" within noise: {_under(ratio, wanted)} of them below"


def _beside(entry):
    """That a row's figures aren't the back end's, for its line; no verdict depends on it."""
    limited = bottleneck.of(entry)
    return f"; the generator was the bottleneck ({bottleneck.said(limited)})" if limited else ""


def lines(cells, kernel):
    """For scripts: what is below; or that nothing is."""
    found = [f"floor: {entry['cell']} {name}/stock={ratio['median']:.2f} below {wanted} pairs={ratio['n']}"
             f"{_doubt(ratio, wanted)}{_beside(entry)}"
             for entry in cells for name, ratio, wanted in below(entry, kernel)]
    found += [f"floor: {entry['cell']} was looked at again, before: " + " ".join(
        f"{name}/stock={ratio['median']:.2f}" for name, ratio in entry["first"].items())
              for entry in cells if entry.get("first")]
    # Rows that were skipped, or of which all runs failed, are below nothing; nor are they as fast as stock.
    seen = [entry for entry in cells if set(entry["ratio"]) - set(_NOT_JUDGED)]
    if not any(below(entry, kernel) for entry in cells):
        found += [f"floor: none of {len(seen)} rows below what it must reach"] * bool(seen)
    return found

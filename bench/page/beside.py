# SPDX-License-Identifier: GPL-2.0-only
"""What a comparison takes of storms and real guests: figures by names that two results share."""

import dataclasses
import statistics

from .result import Spread

# Of a real guest's tests the figure, and what it is called here: others' are not of one sample.
_GUEST = {"ping": ("avg_us", "us, once"), "tx": ("pps", "pps, once"), "rx": ("pps", "pps, once")}


@dataclasses.dataclass(frozen=True)
class Kept:
    """What a back end keeps of its rate in a storm; DOUBT: why it isn't the storm asked for."""
    spread: Spread
    doubt: str


def storms(result):
    """{(what storm it is, back end): Kept}; one in which nothing can be told has no place."""
    found = {}
    for storm in result.storms:
        found.setdefault((f"storm {storm.where} {storm.rate}/s", storm.backend), []).append(storm)
    kept = {}
    for key, of in found.items():
        if values := [share for one in of for share in one.shares()]:
            kept[key] = Kept(_spread(values), next((one.doubt() for one in of if one.doubt()), ""))
    return kept


def _spread(values):
    return Spread(statistics.median(values), min(values), max(values), len(values), tuple(values))


def guests(result):
    """{(which test, back end): (name of the figure, figure)}, one sample each."""
    found = {}
    for name, tests in result.part("nested").items():
        for test, (field, what) in _GUEST.items():
            fields = tests.get(test) if isinstance(tests, dict) else None
            value = fields.get(field) if isinstance(fields, dict) else None
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
                found[f"real guest, {test}", str(name)] = what, value
    return found

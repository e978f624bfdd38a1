# SPDX-License-Identifier: GPL-2.0-only
"""Was the back end what limited a row?

If its worker had time to spare the generator was, and the ratio isn't that of two back ends: of
one that is faster than the generator it is a lower bound, of two an accident.
"""

# A worker that ran for a smaller share of the window than this waited for somebody. Where it has
# all to do it is at 0.93 and above under TCG, in bursts as in streams.
LEAST = 0.9
MARK = "~"
MEANING = (f"worker busy < {LEAST}: the generator was the bottleneck, the ratio is a lower bound "
           "or an accident")
# What is judged: "pinned" is no product, and of itself a bound.
_COMPARED = ("stock", "user", "direct")


def share(run):
    """The share of the measured window in which the workers of RUN ran; None if it isn't known.

    testpmd says it. vring's is the workers' time over the windows': where frames are handed over
    in bursts they may have run a little between windows, too, so that it is the most that it can
    have been. A round trip is waiting.
    """
    result = run["result"]
    if "rtt" in result:
        return None
    if "worker_busy" in result:
        return result["worker_busy"] or None
    windows = [result[name] for name in ("tx", "rx") if name in result]
    seconds = max((window.get("seconds", 0) for window in windows), default=0)
    ran = result.get("worker_ns_per_packet", 0) * result.get("packets", 0) / 1e9
    # All of them share one processor. One whose time can't be read seems not to run at all.
    return min(1.0, ran / seconds) or None if seconds else None


def below(medians):
    """Those of MEDIANS, {back end: share}, whose worker had time to spare."""
    return {name: value for name, value in medians.items() if name in _COMPARED and value < LEAST}


def of(entry):
    """The same of an entry of bench.json's "cells"."""
    return below({name: each["median"] for name, each in (entry.get("busy") or {}).items()})


def said(found):
    """These shares in words."""
    return "worker busy " + ", ".join(f"{name} {value:.2f}" for name, value in found.items())

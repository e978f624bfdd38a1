# SPDX-License-Identifier: GPL-2.0-only
"""What bench-mm runs in its virtual machines."""

import collections

from . import cells

# WHERE and RATE are vring's --storm and --storm-rate.
Storm = collections.namedtuple("Storm", "where rate")

RATES = (100, 1000, 10000)
# TX through a full ring with XDP_DROP: nothing but the back end.
_TX = ["--warmup", "0.1", "--dir", "tx", "--size", "64", "--xdp", "drop"]
# Two processors and a clock: the worker is the bottleneck.
_TRAFFIC = ["--pin-worker", "1", "--pin-driver", "0", *_TX]
# One processor that counts: nobody may spin, or idle time would hide what a storm costs.
_EXACT = [*_TX, "--wait", "call"]
# A scan a few hundredths of a second instead of one a second: a benchmark is short.
_SCHED = "/sys/kernel/debug/sched/numa_balancing"
NUMA_SETUP = ("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug",
              f"echo 10 >{_SCHED}/scan_delay_ms; echo 10 >{_SCHED}/scan_period_min_ms; "
              f"echo 50 >{_SCHED}/scan_period_max_ms")


def storms(rates):
    """Nothing at all; then thread alone, missing, hitting, each at all RATES."""
    return [Storm("none", 0), *(Storm(where, rate) for where in ("none", "miss", "hit")
                                for rate in rates if rate)]


def _rounds(one, others, rounds):
    """A B, B A, ... of what ONE makes for a back end."""
    runs = []
    for number in range(rounds):
        runs += [{**one(name), "backend": name, "pair": other, "round": number}
                 for name, other in cells.round_order(number, others)]
    return runs


def storm_runs(chosen, others, rounds, slices, slice_ms, exact=False):
    """Each storm on each back end; SLICES of SLICE_MS, half of them with the storm."""
    runs = []
    for storm in chosen:
        args = [*(_EXACT if exact else _TRAFFIC), "--storm", storm.where, "--storm-rate", str(storm.rate or 1), "--slice-ms",
                str(slice_ms), "--seconds", f"{(slices + 0.4) * slice_ms / 1000:g}"]
        cell = f"{storm.where} {storm.rate}"
        runs += _rounds(lambda name, args=args, cell=cell: {"kind": "storm", "cell": cell, "args": args},
                        others, rounds)
    return runs


def latency_runs(others, rounds, seconds):
    """The operations on each back end, with traffic and without."""
    runs = []
    for state in ("idle", "busy"):
        args = [*_TRAFFIC, "--mem", "memfd", "--latency-us", "200", "--seconds", f"{seconds:g}"]
        args += ["--idle"] if state == "idle" else []
        runs += _rounds(lambda name, args=args, state=state: {"kind": "latency", "cell": state,
                                                              "args": args}, others, rounds)
    return runs

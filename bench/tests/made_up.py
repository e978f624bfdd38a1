# SPDX-License-Identifier: GPL-2.0-only
"""Makes results of schema 3 up, for tests of what reads them. Nothing in them was measured."""

import random
import statistics

OTHERS = ("user", "direct", "pinned")
# What a back end's rate is over stock's.
GAIN = {"stock": 1.0, "user": 1.5, "direct": 1.8, "pinned": 1.9}
FACTORS = {"layout": "split", "memory": "4k", "pairs": 1, "smap": True, "generator": "vring"}


def spread(values):
    """As bench/bench writes it."""
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "n": len(values), "values": values}


def _place(direction, size, factors):
    place = {**FACTORS, **factors}
    name = (f"{direction} {size} {place['layout']} {place['memory']} q{place['pairs']} "
            f"{'smap' if place['smap'] else 'nosmap'} {place['generator']}")
    return {"cell": name, "short": name, "dir": direction, "size": size, "gso": size == 65535, **place,
            "boot": "smap" if place["smap"] else "nosmap", "unit": "ns" if direction == "rtt" else "pps"}


def cell(dice, direction, size, n=8, noise=0.03, gain=None, **factors):
    """One cell whose rates swing by NOISE and whose workers have all to do; GAIN: what differs from
    GAIN above."""
    entry = _place(direction, size, factors)
    gains = {**GAIN, **(gain or {})}
    base = 5e8 / (900 + size / 8) * factors.get("pairs", 1) ** 0.7
    def rates(name):
        return [base * gains[name] * dice.gauss(1, noise) for _ in range(n)]
    entry["absent"] = {"stock": "stock of this kernel has no such ring"} \
        if factors.get("layout", "split") != "split" else {}
    raw = {name: rates(name) for name in gains if name not in entry["absent"]}
    entry["ratio"] = {name: spread(mine / (base * dice.gauss(1, noise)) for mine in raw[name])
                      for name in OTHERS}
    entry["noise"] = spread(dice.gauss(1, noise) for _ in range(n)) if "stock" in raw else None
    if entry["absent"]:
        entry["against"] = _place(direction, size, {**factors, "layout": "split"})["cell"]
    if direction == "rtt":
        raw = {name: [1e9 / each for each in values] for name, values in raw.items()}
        entry["percentiles"] = {name: {"p50": statistics.median(values), "p99": 2 * max(values),
                                       "p999": 9 * max(values)} for name, values in raw.items()}
    else:
        entry["busy"] = {name: spread([0.97] * n) for name in gains}
    entry["rate"] = {name: spread(values) for name, values in raw.items()}
    return entry


def count(dice, direction, size, backend, **factors):
    """What a packet took: about the same each time."""
    insns = (1000 + size / 6) / GAIN[backend] * dice.gauss(1, 0.001)
    windows = {"stock": 4.05, "user": 2.07, "direct": 1.0, "pinned": 1.0}[backend]
    return {**_place(direction, size, factors), "boot": "counted", "backend": backend, "packets": 1000,
            "windows": 1, "ok": True,
            "top": [], "insns": round(insns, 3),
            "stac": windows, "clac": windows, "lfence": 0.5 * windows, "lock": 3.0, "rep": 0.25}


def storm(dice, backend, where, rate):
    """A timeline in which the storm costs a twentieth."""
    slices = []
    for at in range(16):
        on = at % 4 in (1, 2)
        packets = 40000 * GAIN[backend] * (0.95 if on else 1) * dice.gauss(1, 0.01)
        done = rate // 5 if on else 0
        slices.append([int(on), int(packets), 200000000, done, done if where == "hit" else 0])
    return {"backend": backend, "boot": "storms", "where": where, "rate": rate, "slices": slices}


def facts(smap=True, processors=2):
    """A boot's, as bench/inside has them."""
    flags = ["fpu", "sse2", "avx2", *(["smap"] if smap else [])]
    return {"kernel": "6.1.0-made-up", "version": "#1 SMP", "cmdline": "quiet", "cpu": "made up",
            "smap": smap, "erms": False, "fsrm": False, "flags": flags, "processors": processors,
            "mitigations": {"meltdown": "Not affected", "spectre_v2": "Mitigation: Retpolines"},
            "clocksource": "tsc", "thp": "always [madvise] never",
            "parameters": {"vhost_direct.metadata": "direct", "vhost_net.experimental_zcopytx": "0"},
            "features": {"stock": "0x1", "direct": "0x3"}, "versions": {"dpdk": "made up"}}


def boots(accel="tcg"):
    """One of each part; ACCEL: of the timed one's, as the rest is always emulated or isn't a figure of ours."""
    of = {"smap": (accel, facts()), "nosmap": (accel, facts(False)), "counted": ("tcg", facts()),
          "storms": ("tcg", facts(processors=1)), "nested": (accel, facts())}
    return [{"id": name, "accel": how, "facts": said, "qemu_command": f"qemu-system-x86_64 -made-up {name}"}
            for name, (how, said) in of.items()]


def older(data):
    """The same file as schema 2 had it."""
    return {**data, "schema": 2, "storms": [{key: value for key, value in entry.items() if key != "boot"}
                                            for entry in data["storms"]],
            "counts": [{**entry, "boot": "smap"} for entry in data["counts"]],
            "boots": [{key: boot[key] for key in ("id", "facts", "qemu_command")} for boot in data["boots"][:2]]}


CELLS = (*(("tx", size, {}) for size in (64, 256, 1500, 9000, 65535)),
         *(("rx", size, {}) for size in (64, 1500)), ("both", 64, {}), ("rtt", 64, {}),
         ("tx", 64, {"pairs": 2}), ("tx", 64, {"pairs": 4}), ("tx", 64, {"memory": "thp"}),
         ("tx", 64, {"memory": "hugetlb"}), ("tx", 64, {"layout": "packed"}),
         ("tx", 64, {"layout": "in-order"}), ("tx", 64, {"smap": False}),
         ("tx", 64, {"generator": "testpmd"}))


def result(seed=1, cells=CELLS, **how):
    """A whole file; HOW goes to each cell()."""
    dice = random.Random(seed)
    timed = [cell(dice, direction, size, **{**how, **factors}) for direction, size, factors in cells]
    counted = [count(dice, direction, size, name, **factors) for direction, size, factors in cells
               if direction in ("tx", "rx") and factors.get("smap", True) and
               factors.get("generator", "vring") == "vring"
               for name in GAIN if name != "stock" or factors.get("layout", "split") == "split"]
    return {"schema": 3, "date": "2000-01-01T00:00:00Z", "arguments": ["--made-up"], "seconds": 1.0,
            "failures": [], "skipped": [{"cell": "tx 64 split 1g q1 smap vring",
                                         "reason": "made up: no pages of 1 GiB"},
                                        {"cell": "rx 64 split 4k q1 smap pktgen", "backend": "pinned",
                                         "part": "counted", "reason": "made up: not counted"}],
            "machine": {"kernel": "made up", "cpu": "made up", "processors": 2, "qemu": "made up",
                        "commit": "made up"},
            "accel": "tcg", "neighbours": {"others": 0.01, "stolen": 0.0},
            "versions": {"qemu": "made up", "gcc": "made up"},
            "boots": boots(),
            "cells": timed, "counts": counted,
            "storms": [storm(dice, name, where, rate) for where, rate in
                       (("none", 1000), ("miss", 1000), ("hit", 1000), ("hit", 10000))
                       for name in ("stock", "direct")],
            "nested": {name: {"ping": {"avg_us": 900, "received": 50, "sent": 50},
                              "tx": {"pps": 12000}} for name in ("stock", "direct")}, "runs": []}

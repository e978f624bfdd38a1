# SPDX-License-Identifier: GPL-2.0-only
"""What bench.json and bench-mm.json look like, as something that can check one: bench/SCHEMA.md and
bench/README.md explain them."""

from .boots import described

VERSION = 3
_NUMBER = (int, float)
_ACCELS = ("tcg", "kvm", "host")
_SPREAD = {"median": _NUMBER, "min": _NUMBER, "max": _NUMBER, "n": int, "values": [_NUMBER]}
_CELL = {"cell": str, "short": str, "dir": ("tx", "rx", "both", "rtt"), "size": int, "gso": bool,
         "layout": ("split", "packed", "in-order"), "memory": ("4k", "thp", "hugetlb"),
         "pairs": int, "smap": bool, "generator": ("vring", "testpmd", "pktgen"), "boot": str,
         "unit": ("pps", "ns")}


class Maybe:
    """A field that may be absent, or null."""

    def __init__(self, of):
        self.of = of


class Each:
    """An object whose keys are names (of KEYS, if given) and whose values are alike."""

    def __init__(self, of, keys=None):
        self.of = of
        self.keys = keys


_BACKENDS = ("stock", "user", "direct", "pinned")
_MACHINE = {"kernel": str, "cpu": str, "processors": int, "qemu": str, "commit": str}
_BOOT = {"id": str, "accel": _ACCELS, "qemu_command": str, "facts": {
    "kernel": str, "version": str, "cmdline": str, "cpu": str, "smap": bool, "flags": [str],
    "processors": int, "mitigations": Each(str), "parameters": Each(str), "features": Each(str),
    "versions": Each(str)}}
_NEIGHBOURS = {"others": Maybe(_NUMBER), "stolen": _NUMBER}
_HOST = {"processors": [int], "tuned": bool}
SCHEMA = {
    "schema": (VERSION,), "date": str, "arguments": [str], "seconds": _NUMBER, "failures": [str],
    "skipped": [{"cell": str, "reason": str, "backend": Maybe(str), "part": Maybe(str)}],
    "machine": _MACHINE, "accel": Maybe(_ACCELS), "image": Maybe(Each(str)), "host": Maybe(_HOST),
    "neighbours": Maybe(_NEIGHBOURS), "versions": Each(str), "boots": [_BOOT],
    "cells": [{**_CELL, "rate": Each(_SPREAD, _BACKENDS), "ratio": Each(_SPREAD, _BACKENDS[1:]),
               "noise": Maybe(_SPREAD), "absent": Each(str, _BACKENDS), "against": Maybe(str),
               "first": Maybe(Each(_SPREAD, _BACKENDS[1:])),
               "busy": Maybe(Each(_SPREAD, _BACKENDS)),
               "percentiles": Maybe(Each({"p50": _NUMBER, "p99": _NUMBER, "p999": _NUMBER},
                                         _BACKENDS))}],
    "counts": [{**_CELL, "backend": _BACKENDS, "packets": int, "ok": bool, "insns": _NUMBER,
                "stac": _NUMBER, "clac": _NUMBER, "lfence": _NUMBER, "lock": _NUMBER,
                "rep": _NUMBER}],
    "storms": [{"backend": _BACKENDS, "boot": str, "where": ("hit", "miss", "none"), "rate": int,
                "slices": [[_NUMBER]]}],
    "nested": Maybe(Each(dict)),
    "runs": [{"kind": str, "cell": str, "backend": str, "args": [str], "command": Maybe([str]),
              "skipped": Maybe(str)}],
}

_MIDDLE = {"median": _NUMBER, "min": _NUMBER, "max": _NUMBER, "n": int}
_STORM = {"where": ("none", "miss", "hit", "numa"), "rate": int, "reached": Each(_NUMBER, _BACKENDS),
          "taken": Each(_NUMBER, _BACKENDS), "kept": Each(Maybe(_MIDDLE), _BACKENDS),
          "pps": Each(Maybe(_MIDDLE), _BACKENDS), "over_stock": Each(Maybe(_MIDDLE), _BACKENDS),
          "doubts": Each(str, _BACKENDS)}
# What bench-mm writes; README.md, "What bench-mm's figures are", explains it.
MM = {
    "date": str, "arguments": [str], "seconds": _NUMBER, "failures": [str], "doubts": [str],
    "machine": _MACHINE, "versions": Each(str), "boots": [_BOOT], "facts": Maybe(dict),
    "host": Maybe(_HOST),
    "accel": Maybe(_ACCELS), "image": Maybe(Each(str)), "neighbours": Maybe(_NEIGHBOURS),
    "misses": Maybe([{"queues": int, "rings": int, "miss": _NUMBER, "age": _NUMBER,
                      "callbacks": int, "aged": int, "beside": Each(_NUMBER)}]),
    "storms": Maybe([_STORM]), "timed": Maybe([_STORM]),
    "latency": Maybe([{"operation": str, "place": str, "state": ("idle", "busy"),
                       "backend": _BACKENDS, "n": int, "p50": _NUMBER, "p99": _NUMBER,
                       "max": _NUMBER, "doubt": Maybe(str)}]),
    "runs": [{"kind": str, "cell": str, "backend": str, "args": [str], "boot": Maybe(str),
              "command": Maybe([str]), "skipped": Maybe(str)}],
}


def _object(value, wanted, where):
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    found = []
    for key, of in wanted.items():
        maybe = isinstance(of, Maybe)
        if value.get(key) is None and maybe:
            continue
        if key not in value:
            found.append(f"{where}.{key}: missing")
        else:
            found += errors(value[key], of.of if maybe else of, f"{where}.{key}")
    return found


def _each(value, wanted, where):
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    found = [f"{where}.{key}: not one of {', '.join(wanted.keys)}"
             for key in value if wanted.keys and key not in wanted.keys]
    for key, each in value.items():
        found += errors(each, wanted.of, f"{where}.{key}")
    return found


def _plain(value, wanted, where):
    if isinstance(wanted, tuple) and not isinstance(wanted[0], type):
        return [] if value in wanted else [f"{where}: {value!r} is not one of {wanted}"]
    # True is an int to Python; it is no number here.
    if isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return []
    return [f"{where}: {value!r} is no {wanted}"]


def errors(value, wanted=None, where="bench.json"):
    """What is wrong with VALUE; nothing, if it is as it shall be. Other fields are allowed."""
    wanted = SCHEMA if wanted is None else wanted
    if isinstance(wanted, Maybe):
        return [] if value is None else errors(value, wanted.of, where)
    if isinstance(wanted, dict):
        return _object(value, wanted, where)
    if isinstance(wanted, Each):
        return _each(value, wanted, where)
    if isinstance(wanted, list):
        if not isinstance(value, list):
            return [f"{where}: no array"]
        return [error for at, each in enumerate(value)
                for error in errors(each, wanted[0], f"{where}[{at}]")]
    return _plain(value, wanted, where)


def _boots(out):
    """Machines, and runs, that don't say what they were."""
    found = [f"boots: {boot['id']} has no {key}" for boot in out["boots"] for key, value in (
        ("qemu_command", boot["qemu_command"]), ("flags", boot["facts"]["flags"]),
        ("mitigations", boot["facts"]["mitigations"])) if not value]
    if len({boot["id"] for boot in out["boots"]}) < len(out["boots"]):
        found.append("boots: an id twice")
    if any(boot["accel"] == "host" for boot in out["boots"]) and not out.get("host"):
        found.append("host: how the running host was measured isn't said")
    return found + [f"runs: {run['kind']} {run['cell']} on {run['backend']}: no command"
                    for run in out["runs"] if not run.get("command") and not run.get("skipped")]


def _made_with(out):
    """Figures that don't say what they were made with, one way or the other."""
    boots, found = {boot["id"]: boot for boot in out["boots"]}, _boots(out)
    found += [f"{part}: {entry.get('cell') or entry['where']}: no boot {entry['boot']}"
              for part in ("cells", "counts", "storms") for entry in out[part]
              if entry["boot"] not in boots]
    if out.get("nested") and "nested" not in boots:
        found.append("nested: no boot nested")
    if out["boots"] and out["accel"] != out["boots"][0]["accel"]:
        found.append(f"accel: {out['accel']}, but the first boot's is {out['boots'][0]['accel']}")
    return found


def check_mm(out):
    """What is wrong with bench-mm's file OUT."""
    found = errors(out, MM, "bench-mm.json")
    if found:
        return found
    boots, main = {boot["id"] for boot in out["boots"]}, described(out["boots"])
    found = _boots(out) + [f"{key}: not that of boot {main['id']}" for key in ("facts", "accel")
                           if main and out.get(key) != main[key]]
    return found + [f"runs: {run['kind']} {run['cell']} on {run['backend']}: no boot {run.get('boot')}"
                    for run in out["runs"] if run.get("boot") not in boots and not run.get("skipped")]


def check(out):
    """The same, and what one field says of others."""
    found = errors(out)
    if found:
        return found
    found = _made_with(out)
    for entry in out["cells"]:
        where = f"cells: {entry['cell']}"
        if "stock" in entry["absent"] and entry["ratio"] and not entry.get("against"):
            found.append(f"{where}: a ratio, but not to what")
        for name, spread in entry["rate"].items():
            if len(spread["values"]) != spread["n"]:
                found.append(f"{where}: {name}: {spread['n']} values announced")
        if (entry["unit"] == "ns") != bool(entry.get("percentiles") is not None):
            found.append(f"{where}: percentiles belong to round trips")
    names = [entry["cell"] for entry in out["cells"]]
    found += [f"cells: {name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    return found

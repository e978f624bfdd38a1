# SPDX-License-Identifier: GPL-2.0-only
"""bench.json, read with care: what doesn't have the documented form is named, not guessed.

The form is schema 3, or schema 2, which had fewer boots and runs. A cell or count that can't be understood goes to Result.problems and the rest
is used; a file of another schema is refused as a whole.
"""

import dataclasses
import json
import math
import statistics

from vdbench import bottleneck, mm_stats

SCHEMAS = (2, 3)
# What a cell is made of, besides direction and size, and what it is unless a cell is about just that.
FACTORS = {"layout": "split", "memory": "4k", "pairs": 1, "smap": True, "generator": "vring"}
# In the order in which a reader meets them; what isn't here comes last.
_ORDER = {"layout": ("split", "packed", "in-order"), "memory": ("4k", "thp", "hugetlb"),
          "generator": ("vring", "testpmd", "pktgen"), "dir": ("tx", "rx", "both", "rtt")}
BACKENDS = ("stock", "user", "direct", "pinned")
COUNTS = ("insns", "stac", "clac", "lfence", "lock", "rep")
PERCENTILES = ("p50", "p99", "p999")


class BadResult(Exception):
    """The file is no result of such a schema; shown without a traceback."""


class Unreadable(Exception):
    """A part of it isn't as the schema says."""


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure that was taken several times."""
    median: float
    min: float
    max: float
    n: int
    values: tuple = ()

    def inverse(self, of):
        """The spread of OF / value: of rates, the one of times."""
        return Spread(of / self.median, of / self.max, of / self.min, self.n,
                      tuple(of / value for value in self.values))


def number(value, what):
    """VALUE, if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Unreadable(f"{what} is {value!r}, not a number")
    return value


def spread(value, what):
    """A spread of positive figures; None stays None."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is {value!r}, not a spread")
    values = value.get("values") or []
    if not isinstance(values, list):
        raise Unreadable(f"{what}: values is no list")
    values = tuple(number(each, what) for each in values)
    middle, low, high = (number(value.get(key), f"{what}, {key}") for key in ("median", "min", "max"))
    if not 0 < low <= middle <= high or any(not low <= each <= high for each in values):
        raise Unreadable(f"{what}: {low!r}, {middle!r}, {high!r} are no minimum, median, maximum "
                         "of positive values")
    return Spread(middle, low, high, int(number(value.get("n", len(values)), f"{what}, n")), values)


def mapping(value, what):
    """VALUE, if it is an object; nothing counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is no object")
    return value


def _spreads(value, what):
    found = {name: spread(each, f"{what} of {name}") for name, each in mapping(value, what).items()}
    return {name: each for name, each in found.items() if each}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where something was measured: a cell's direction, size and factors."""
    dir: str
    size: int
    gso: bool
    layout: str
    memory: str
    pairs: int
    smap: bool
    generator: str

    @classmethod
    def read(cls, entry):
        """The place that ENTRY of "cells" or "counts" names."""
        missing = [name for name in ("dir", "size", *FACTORS) if name not in entry]
        if missing:
            raise Unreadable("lacks " + ", ".join(missing))
        return cls(dir=str(entry["dir"]), size=int(number(entry["size"], "size")),
                   gso=bool(entry.get("gso")), layout=str(entry["layout"]),
                   memory=str(entry["memory"]), pairs=int(number(entry["pairs"], "pairs")),
                   smap=bool(entry["smap"]), generator=str(entry["generator"]))

    def without(self, *names):
        """What is left if NAMES may differ: what such places have in common."""
        return tuple(value for name, value in sorted(vars(self).items()) if name not in names)

    def order(self):
        """Sorts as a reader expects."""
        def rank(name):
            known, value = _ORDER[name], getattr(self, name)
            return (known.index(value) if value in known else len(known), value)
        return (rank("dir"), rank("generator"), not self.smap, self.pairs, rank("memory"),
                rank("layout"), self.gso, self.size)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A row of the timed table."""
    name: str
    place: Place
    boot: str
    unit: str
    rate: dict
    ratio: dict
    noise: Spread
    percentiles: dict
    absent: dict
    against: str
    # Of a cell that was measured twice: the ratios of the first time, which are in nothing else.
    first: dict
    # How much of the time the workers ran, by back end.
    busy: dict

    def limited(self):
        """The back ends that had time to spare, so that the ratio isn't theirs: {name: share}."""
        return bottleneck.below({name: value.median for name, value in self.busy.items()})

    def cost(self, backend):
        """Nanoseconds a packet, or a round trip: a Spread or None."""
        rate = self.rate.get(backend)
        return rate.inverse(1e9) if rate and self.unit == "pps" else rate


def _cell(entry):
    if not isinstance(entry.get("cell"), str):
        raise Unreadable("has no name")
    if entry.get("unit") not in ("pps", "ns"):
        raise Unreadable(f"unit is {entry.get('unit')!r}")
    percentiles = {
        name: {key: value for key, value in mapping(each, f"percentiles of {name}").items()
               if value is not None and number(value, f"{key} of {name}") > 0}
        for name, each in mapping(entry.get("percentiles"), "percentiles").items()}
    against = entry.get("against") or ""
    return Cell(entry["cell"], Place.read(entry), str(entry.get("boot", "")), entry["unit"],
                _spreads(entry.get("rate"), "rate"), _spreads(entry.get("ratio"), "ratio"),
                spread(entry.get("noise"), "noise"), percentiles,
                mapping(entry.get("absent"), "absent"), str(against),
                _spreads(entry.get("first"), "first"), _spreads(entry.get("busy"), "busy"))


@dataclasses.dataclass(frozen=True)
class Count:
    """What a packet took of the worker's processor: instructions by kind."""
    name: str
    place: Place
    backend: str
    boot: str
    values: dict


def _count(entry):
    # Older files have counts of runs that lost frames, which is other work than a packet's.
    if entry.get("ok") is False:
        return None
    values = {kind: number(entry[kind], kind) for kind in COUNTS if entry.get(kind) is not None}
    if not isinstance(entry.get("cell"), str) or not isinstance(entry.get("backend"), str):
        raise Unreadable("lacks cell or backend")
    if "insns" not in values:
        raise Unreadable("has no insns")
    return Count(entry["cell"], Place.read(entry), entry["backend"], str(entry.get("boot", "")), values)


@dataclasses.dataclass(frozen=True)
class Slice:
    """One slice of the timeline."""
    storm: bool
    packets: int
    seconds: float
    invalidations: int
    taken: int

    @property
    def rate(self):
        """Packets a second."""
        return self.packets / self.seconds


@dataclasses.dataclass(frozen=True)
class Storm:
    """A run under invalidations, slice by slice."""
    backend: str
    boot: str
    where: str
    rate: int
    slices: tuple

    def _run(self):
        """As the terminal's tables take it: the same slices mustn't say another thing there."""
        return {"result": {"storm": {"slices": [
            [one.storm, one.packets, one.seconds * 1e9, one.invalidations, one.taken] for one in self.slices]}}}

    def shares(self):
        """The rate in a slice with the storm over that of the slice beside it, of each pair."""
        return mm_stats.kept(self._run())

    def kept(self):
        """The median of these, or None."""
        values = self.shares()
        return statistics.median(values) if values else None

    def doubt(self):
        """Why this isn't the storm that was asked for, or nothing."""
        return mm_stats.doubt(self.where, self.rate, self.backend, [self._run()])


def _storm(entry):
    slices = []
    for each in entry.get("slices") or []:
        if not isinstance(each, list) or len(each) != 5:
            raise Unreadable(f"slice {each!r} hasn't five parts")
        on, packets, ns, done, taken = (number(int(part) if isinstance(part, bool) else part, "slice")
                                        for part in each)
        if ns <= 0:
            raise Unreadable(f"a slice of {ns} ns")
        slices.append(Slice(bool(on), packets, ns / 1e9, done, taken))
    if not slices:
        raise Unreadable("has no slices")
    return Storm(str(entry.get("backend")), str(entry.get("boot", "")), str(entry.get("where")),
                 int(number(entry.get("rate") or 0, "rate")), tuple(slices))


class Result:
    """A whole file."""

    def __init__(self, data):
        if not isinstance(data, dict):
            raise BadResult("not an object")
        self.schema = data.get("schema")
        if self.schema not in SCHEMAS:
            raise BadResult(f"its schema is {data.get('schema', 'not given')}, "
                            f"this reads schema {' and '.join(map(str, SCHEMAS))}")
        self.data, self.problems = data, []
        self.cells = self._all("cells", _cell)
        self.counts = self._all("counts", _count)
        self.storms = self._all("storms", _storm)
        self._once("cells", [cell.place for cell in self.cells])
        self._once("counts", [(count.place, count.backend) for count in self.counts])
        self.cells.sort(key=lambda cell: cell.place.order())
        self.counts.sort(key=lambda count: count.place.order())
        self.failures = [str(text) for text in self.listed("failures")]
        self.skipped = [(str(each.get("cell", "?")), " ".join(
            str(each[key]) for key in ("backend", "part") if key in each) or "all",
                         str(each.get("reason", "no reason given")))
                        for each in self.listed("skipped") if isinstance(each, dict)]
        self.accel = str(data.get("accel", "unknown"))
        self.backends = self._backends()
        self.base = self._base()

    def listed(self, name):
        """The top level's list NAME; empty if it isn't there."""
        return self._top(name, list)

    def part(self, name):
        """The top level's object NAME; empty if it isn't there."""
        return self._top(name, dict)

    def _top(self, name, kind):
        found = self.data.get(name)
        if isinstance(found, kind):
            return found
        complaint = f"{name} is no {'list' if kind is list else 'object'}"
        if found is not None and complaint not in self.problems:
            self.problems.append(complaint)
        return kind()

    def _all(self, name, read):
        found = []
        for at, entry in enumerate(self.listed(name)):
            label = entry.get("cell", "") if isinstance(entry, dict) else ""
            try:
                one = read(mapping(entry, "it"))
                found += [one] if one is not None else []
            except (Unreadable, TypeError, ValueError, OverflowError) as error:
                self.problems.append(f"{name} {at}{f' ({label})' if label else ''}: {error}")
        return found

    def _once(self, name, keys):
        """What is there twice would be drawn once."""
        self.problems += [f"{name}: {key} is there {keys.count(key)} times"
                          for key in dict.fromkeys(keys) if keys.count(key) > 1]

    def _backends(self):
        names = {name for cell in self.cells for name in (*cell.rate, *cell.ratio, *cell.absent)}
        names |= {count.backend for count in self.counts} | {storm.backend for storm in self.storms}
        return [name for name in BACKENDS if name in names] + sorted(names - set(BACKENDS))

    def _base(self):
        """What most cells are that aren't about a factor: FACTORS, where such were measured."""
        places = [entry.place for entry in (*self.cells, *self.counts)]
        base = {}
        for name, usual in FACTORS.items():
            values = [getattr(place, name) for place in places]
            base[name] = usual if usual in values or not values else statistics.mode(values)
        return base

    def is_base(self, place):
        """Is no factor of PLACE a special one?"""
        return all(getattr(place, name) == value for name, value in self.base.items())

    def boots(self):
        """{id: (facts, QEMU's command)}."""
        found = {}
        for boot in self.listed("boots"):
            if isinstance(boot, dict):
                facts = boot.get("facts")
                found[str(boot.get("id", "?"))] = (facts if isinstance(facts, dict) else {},
                                                   str(boot.get("qemu_command", "")))
        return found

    def kernel(self):
        """The measured kernel or kernels."""
        found = {str(facts["kernel"]) for facts, _ in self.boots().values() if "kernel" in facts}
        return ", ".join(sorted(found)) or "unknown"

    def virtual(self):
        """Was the measured host a virtual machine itself, by its processor's flags?"""
        flags = [facts.get("flags") for facts in (
            each.get("facts") for each in self.listed("boots")
            if isinstance(each, dict) and each.get("accel", self.accel) == "host")
            if isinstance(facts, dict)]
        return any("hypervisor" in each for each in flags if isinstance(each, list))

    def how(self, boot=None):
        """What carried it out, or one boot of it, in a few words."""
        accel = self.accel
        if boot is not None:
            accel = next((str(each.get("accel", accel)) for each in self.listed("boots")
                          if isinstance(each, dict) and str(each.get("id", "?")) == boot), accel)
        return {"tcg": "emulated (QEMU TCG)", "kvm": "virtual machine (KVM)",
                "host": "the running host, a virtual machine itself" if self.virtual() else
                        "the running host itself"}.get(accel, accel)

    def emulated(self):
        """A sentence about what is emulated although the rest isn't, or nothing."""
        found = " and ".join(name for name, part in (("counted", self.counts), ("storms", self.storms)) if part)
        if self.accel == "tcg" or not found:
            return ""
        return f"{found.capitalize()}: emulated (QEMU TCG): instructions, not time."


def load(path):
    """The result in the file PATH ("-": standard input)."""
    try:
        with open(0 if path == "-" else path, encoding="utf-8") as file:
            return Result(json.load(file))
    except OSError as error:
        raise BadResult(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadResult(f"{path}: no JSON: {error}") from error
    except BadResult as error:
        raise BadResult(f"{path}: {error}") from error

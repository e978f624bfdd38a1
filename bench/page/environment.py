# SPDX-License-Identifier: GPL-2.0-only
"""Whether two results were taken under the same conditions, and what differs."""

import collections

# Of a boot's facts; what isn't here (a version's text) makes no figure differ, or is looked at by
# itself: flags, mitigations, the command line.
_FACTS = ("kernel", "cpu", "smap", "erms", "fsrm", "processors", "clocksource", "thp")
_MACHINE = ("kernel", "cpu", "processors", "qemu")
# What schema 2 has boots of.
_TIMED_BOOTS = ("smap", "nosmap")
_SHOWN = 6
# Of programs; which QEMU it was the machine says, and no figure is Python's.
_VERSIONS = ("compiler", "dpdk", "gcc")
_HOST = ("processors", "tuned")
# Shares of the machine that went elsewhere differ from run to run. This much more isn't noise.
_NEIGHBOURS = 0.05
# What a run was asked for, as its program says.
_ASKED = ("mode", "ring", "burst", "xdp", "wait", "chain", "indirect", "buf", "offset", "regions",
          "separate", "feeder", "size_max")


def _differing(what, a, b, names):
    return [f"{what}{name}: {a.get(name, 'not recorded')} and {b.get(name, 'not recorded')}"
            for name in names if a.get(name) != b.get(name)]


def _sets(what, a, b):
    """Names that only one side has."""
    parts = [f"only {side} has {' '.join(sorted(names))}"
             for side, names in (("A", a - b), ("B", b - a)) if names]
    return [f"{what}: {', '.join(parts)}"] if parts else []


def _few(lines, rest):
    """The first of LINES; how many REST there are."""
    return lines[:_SHOWN] + ([f"{len(lines) - _SHOWN} more {rest}"] if len(lines) > _SHOWN else [])


def _objects(what, a, b):
    if not isinstance(a, dict) or not isinstance(b, dict):
        return [] if a == b else [f"{what}: {a} and {b}"]
    return _few(_differing(f"{what}, ", a, b, sorted({*a, *b})), what)


def _boot(names, a, b):
    label = f"boot{'s' if len(set(names)) > 1 else ''} {' and '.join(dict.fromkeys(names))}: "
    found = _differing(label, a, b, _FACTS)
    found += _sets(f"{label}kernel command line",
                   *(set(str(side.get("cmdline") or "").split()) for side in (a, b)))
    flags = [side.get("flags") for side in (a, b)]
    found += _sets(f"{label}processor's flags",
                   *({str(flag) for flag in each} if isinstance(each, list) else set() for each in flags))
    for part in ("mitigations", "parameters", "features"):
        found += _objects(f"{label}{part}", a.get(part, {}), b.get(part, {}))
    return found


def _used(result):
    """{a figure: the boot that it is of}."""
    found = {cell.place: cell.boot for cell in result.cells}
    # Schema 2 said of counts that they were of the timed row's boot, and nothing of storms.
    if result.schema != 2:
        found.update({(count.place, count.backend): count.boot for count in result.counts})
        found.update({(storm.backend, storm.where, storm.rate): storm.boot for storm in result.storms})
    return found


def _boots(a, b):
    """What differs between the boots of the same figures, whatever the two results call them."""
    old = 2 in (a.schema, b.schema)
    facts = [{name: of for name, (of, _) in result.boots().items()
              # What an older file had no place for isn't missing in it.
              if not old or name.split("-")[0] in _TIMED_BOOTS} for result in (a, b)]
    used = [_used(result) for result in (a, b)]
    pairs = [(one, used[1][figure]) for figure, one in used[0].items() if figure in used[1]]
    # Where no figure that both have names a boot (a real guest's never do), it goes by the boot's own name.
    pairs += [(name, name) for name in facts[0] if name not in {each for pair in pairs for each in pair}]
    pairs = [pair for pair in dict.fromkeys(pairs) if pair[0] in facts[0] and pair[1] in facts[1]]
    alone = [name for at in (0, 1) for name in facts[at]
             if name not in facts[1 - at] and name not in {pair[at] for pair in pairs}]
    found = [f"boot {name} is in one result only" for name in sorted(alone)]
    for pair in sorted(pairs):
        found += _boot(pair, facts[0][pair[0]], facts[1][pair[1]])
    return found


def _features(result):
    """{(cell, back end): what the ring was used with}, by the raw runs."""
    found = {}
    for run in result.listed("runs"):
        what = run.get("result") if isinstance(run, dict) else None
        if isinstance(what, dict) and isinstance(what.get("features_names"), list):
            found[str(run.get("cell")), str(run.get("backend"))] = {
                str(name) for name in what["features_names"]}
    return found


def _neighbours(a, b):
    """Shares of the machine that others took while rows were timed, in both."""
    parts = [side.part("neighbours") for side in (a, b)]
    if not all(parts):
        # One that has no row by the clock has no such figure to spoil.
        return []
    found = []
    for name in sorted({*parts[0], *parts[1]}):
        shares = [part.get(name) for part in parts]
        known = [isinstance(share, (int, float)) for share in shares]
        if known[0] != known[1] or all(known) and abs(shares[0] - shares[1]) > _NEIGHBOURS:
            texts = [f"{share:.0%}" if is_so else "not recorded"
                     for share, is_so in zip(shares, known)]
            found.append(f"neighbours, {name}: {' and '.join(texts)}")
    return found


def _asked(result):
    """{(kind, cell, back end): how it was run}, by the raw runs."""
    found = {}
    for run in result.listed("runs"):
        what = run.get("result") if isinstance(run, dict) else None
        if isinstance(what, dict):
            words = run.get("args") if isinstance(run.get("args"), list) else []
            found[tuple(str(run.get(key)) for key in ("kind", "cell", "backend"))] = {
                **{key: what[key] for key in _ASKED if key in what},
                **{key: words[words.index(f"--{key}") + 1] for key in ("seconds", "packets")
                   if f"--{key}" in words[:-1]}}
    return found


def _runs(a, b):
    """What differs between how the same rows were run: a line for all of which it is the same."""
    sides, found = [_asked(side) for side in (a, b)], collections.defaultdict(list)
    for key in (key for key in sides[0] if key in sides[1]):
        one, two = (side[key] for side in sides)
        for name in one:
            # What one of them didn't say yet needn't have been another.
            if name in two and one[name] != two[name]:
                found[f"runs' {name}: {one[name]} and {two[name]}"].append(
                    f"{key[1]} on {key[2]}, {key[0]}")
    return _few([f"{what} ({of[0]}{f', and {len(of) - 1} more' if len(of) > 1 else ''})"
                 for what, of in found.items()], "differences between runs")


def _versions(a, b):
    parts = [side.part("versions") for side in (a, b)]
    names = [name for name in _VERSIONS
             # Schema 2 had none of the modules' compiler.
             if 2 not in (a.schema, b.schema) or all(name in part for part in parts)]
    return _differing("versions, ", *parts, names)


def differences(a, b):
    """(what forbids a comparison, what has to be known of it): lines of text."""
    forbidden = [] if a.accel == b.accel else [f"accelerator: {a.how()} and {b.how()}"]
    known = _differing("the machine's ", a.part("machine"), b.part("machine"), _MACHINE)
    known += _differing("the host's ", a.part("host"), b.part("host"), _HOST)
    known += [*_versions(a, b), *_neighbours(a, b), *_boots(a, b), *_runs(a, b)]
    rings = [_features(result) for result in (a, b)]
    wrong = [line for key in rings[0] if key in rings[1]
             for line in _sets(f"ring features of {key[0]}, {key[1]}", rings[0][key], rings[1][key])]
    known += _few(wrong, "ring features")
    for name, result in (("A", a), ("B", b)):
        if result.failures:
            known.append(f"{name} has {len(result.failures)} failures, the first: {result.failures[0]}")
        if result.problems:
            known.append(f"{len(result.problems)} parts of {name} can't be read, the first: "
                         f"{result.problems[0]}")
    return forbidden, known

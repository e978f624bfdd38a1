# SPDX-License-Identifier: GPL-2.0-only
"""Whether two results were taken under the same conditions, and what differs."""

# Of a boot's facts; what isn't here (a version's text, the command line) makes no figure differ.
_FACTS = ("kernel", "cpu", "smap", "erms", "fsrm", "processors", "clocksource", "thp")
_MACHINE = ("kernel", "cpu", "processors", "qemu")
# What schema 2 has boots of.
_TIMED_BOOTS = ("smap", "nosmap")
_SHOWN = 6


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


def differences(a, b):
    """(what forbids a comparison, what has to be known of it): lines of text."""
    forbidden = [] if a.accel == b.accel else [f"accelerator: {a.how()} and {b.how()}"]
    known = _differing("the machine's ", a.part("machine"), b.part("machine"), _MACHINE)
    known += _boots(a, b)
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

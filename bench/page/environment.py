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


def _boot(name, a, b):
    label = f"boot {name}: "
    found = _differing(label, a, b, _FACTS)
    flags = [side.get("flags") for side in (a, b)]
    found += _sets(f"{label}processor's flags",
                   *({str(flag) for flag in each} if isinstance(each, list) else set() for each in flags))
    for part in ("mitigations", "parameters", "features"):
        found += _objects(f"{label}{part}", a.get(part, {}), b.get(part, {}))
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
    # What an older file had no place for isn't missing in it.
    old = 2 in (a.schema, b.schema)
    boots = [{name: facts for name, (facts, _) in result.boots().items()
              if not old or name in _TIMED_BOOTS} for result in (a, b)]
    known += [f"boot {name} is in one result only" for name in sorted(boots[0].keys() ^ boots[1].keys())]
    for name in sorted(boots[0].keys() & boots[1].keys()):
        known += _boot(name, boots[0][name], boots[1][name])
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

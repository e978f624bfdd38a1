# SPDX-License-Identifier: GPL-2.0-only
"""The guard's verdicts: what is compared with what, and when nothing can be said.

A count is compared with the baseline's as it stands if kernel, QEMU and compiler are those of
the baseline, and stock's counts, the control, haven't moved. Otherwise the ground has: then the
modules of the baseline's sources are built and counted beside ours, in the same boot, and that
is what is compared. Without these sources ours is compared in relation to stock, if the control
has not moved by more than the limit and the compiler is the same: stock is not made by it.
Failing that, nothing is judged, and that is said.
"""

import collections

from . import guard, guard_base, report

LIMIT = 0.02
# Boots of the same that are further apart than this, as a share: nothing to judge 2 % by.
REPEATS = 0.005
FAILING = {"worse", "unsteady"}

# HOW: "fine", "worse", "better", "unsteady", "unjudged"; THEN and NOW: instructions a packet.
Verdict = collections.namedtuple("Verdict", "cell backend how then now change reason")

_MEANING = {"file": "the baseline as it stands",
            "sources": "the modules of the baseline's sources, counted beside ours in this run",
            "ratio": "the baseline, in relation to stock"}


def change(then, now):
    """By how much NOW is more than THEN."""
    return now / then - 1


def percent(value):
    """As a signed percentage."""
    return f"{value * 100:+.2f} %"


def moved(base, stock):
    """{cell: change} of the control, of the cells that both have."""
    then = {cell: each["stock"]["insns"] for cell, each in base["cells"].items() if "stock" in each}
    return {cell: change(then[cell], each["stock"]["insns"])
            for cell, each in stock.items() if cell in then}


def differences(base, versions):
    """Which versions are not the baseline's: texts. A kernel may be named by its release alone."""
    def same(then, now):
        return then == now or (then or "").startswith(f"{now} #")
    return [f"{name}: {base['versions'].get(name)} in the baseline, {versions[name]} here"
            for name in guard_base.VERSIONS if not same(base["versions"].get(name), versions[name])]


def strayed(base, stock):
    """Cells whose control moved by more than the limit: texts."""
    return [f"stock's own count of {cell} moved by {percent(value)}"
            for cell, value in moved(base, stock).items() if abs(value) > LIMIT]


def no_ratio(base, versions, stock):
    """Why ours in relation to stock says nothing: texts, none if it does."""
    return strayed(base, stock) + [text for text in differences(base, versions)
                                   if text.startswith("compiler")]


def _one(cell, name, then, now, factor=1):
    """FACTOR: what the control's count has become of what it was."""
    by = change(then["insns"] * factor, now["insns"])
    unsteady = max(then["spread"], now["spread"])
    if unsteady > guard.UNSTEADY:
        return Verdict(cell, name, "unsteady", then["insns"], now["insns"], by,
                       f"runs of the same differ by {percent(unsteady)}")
    how = "worse" if by > LIMIT else "better" if by < -LIMIT else "fine"
    return Verdict(cell, name, how, then["insns"], now["insns"], by, "")


def _none(cell, name, now, reason):
    return Verdict(cell, name, "unjudged", None, now["insns"], None, reason)


def judge(how, base, found, reasons=()):
    """A verdict a cell and back end of ours. HOW: a key of _MEANING, or "" for none.

    FOUND: guard.measure()'s; REASONS: why nothing is judged, with HOW "".
    """
    then = found.get("then", {}) if how == "sources" else base["cells"]
    control = moved(base, found.get("stock", {}))
    verdicts = []
    for cell, each in found["now"].items():
        for name, now in each.items():
            before = then.get(cell, {}).get(name)
            beside = guard.control_of(cell)
            if not how:
                verdicts.append(_none(cell, name, now, "; ".join(reasons)))
            elif not before:
                verdicts.append(_none(cell, name, now, "not in the baseline: bench/guard --update"))
            elif how == "ratio" and beside not in control:
                verdicts.append(_none(cell, name, now, f"no control: {beside} on stock wasn't counted"))
            else:
                factor = 1 + control[beside] if how == "ratio" else 1
                verdicts.append(_one(cell, name, before, now, factor))
    return verdicts


def narrow(chosen, verdicts):
    """Of the cells CHOSEN those that VERDICTS are of, and their controls, for these back ends."""
    names = {one.backend for one in verdicts}
    wanted = {one.cell for one in verdicts} | {guard.control_of(one.cell) for one in verdicts}
    return [cell._replace(backends=[name for name in cell.backends if name in names | {"stock"}])
            for cell in chosen if cell.name in wanted]


def confirmed(first, second):
    """FIRST, where what fails gives way to its verdict in SECOND, of another boot, if that doesn't.

    Returns the verdicts, and what there is to say: texts.
    """
    there = {(one.cell, one.backend): one for one in second}
    kept, texts = [], []
    for one in first:
        other = there.get((one.cell, one.backend)) if one.how in FAILING else None
        if other:
            texts.append(f"counted again: {one.cell}, {one.backend}: {one.how}, {percent(one.change)}; "
                         f"in another boot {other.how}, {percent(other.change)}")
        kept.append(other if other and other.how not in FAILING else one)
    return kept, texts


def _number(value):
    return "-" if value is None else f"{value:.1f}"


def table(how, base, found, verdicts):
    """For people: all cells, the control among them."""
    rows = []
    for cell, each in found.get("stock", {}).items():
        now = each["stock"]["insns"]
        then = base["cells"].get(cell, {}).get("stock", {}).get("insns")
        rows.append([f"{cell}, stock", _number(then), _number(now),
                     percent(change(then, now)) if then else "-", "control"])
    for one in verdicts:
        by = "-" if one.change is None else percent(one.change)
        rows.append([f"{one.cell}, {one.backend}", _number(one.then), _number(one.now), by, one.how])
    head = ["instructions a packet", "baseline", "now", "change", ""]
    beside = f"compared with: {_MEANING[how]}" if how else "compared with nothing"
    return [beside, *report.grid(head, sorted(rows, key=lambda row: row[0]))]


def grown(then, now, limit=6):
    """The functions that took on most: texts."""
    names = set(then["functions"]) | set(now["functions"])
    more = {name: now["functions"].get(name, 0) - then["functions"].get(name, 0) for name in names}
    order = sorted((name for name in names if more[name] >= 1), key=lambda name: -more[name])
    return [f"{more[name]:+.1f}  {name}" for name in order[:limit]]


def explain(how, base, found, verdicts):
    """What there is to say beside the table, worst first: texts."""
    then = found.get("then", {}) if how == "sources" else base["cells"]
    lines = []
    for one in verdicts:
        label = f"{one.cell}, {one.backend}"
        if one.how == "worse":
            lines.append(f"ABOVE THE LIMIT of {LIMIT:.0%}: {label}: {percent(one.change)}. "
                         "What took on most, in instructions a packet:")
            lines += [f"    {text}" for text in
                      grown(then[one.cell][one.backend], found["now"][one.cell][one.backend])]
        elif one.how == "unsteady":
            lines.append(f"UNSTEADY: {label}: {one.reason}")
    better = [f"{one.cell}, {one.backend}" for one in verdicts if one.how == "better"]
    if better:
        lines.append(f"better by more than {LIMIT:.0%}: {'; '.join(better)}: bench/guard --update "
                     "lets the baseline know")
    reasons = {one.reason for one in verdicts if one.how == "unjudged"}
    lines += [f"not judged: {reason}" for reason in sorted(reasons)]
    return lines


def script_lines(verdicts):
    """One line a cell, for scripts."""
    return [f"guard: {one.cell} {one.backend} {one.how} then={_number(one.then)} now={_number(one.now)} "
            f"change={'-' if one.change is None else f'{one.change:+.4f}'}" for one in verdicts]


def scattered(boots):
    """How far apart BOOTS are, at worst, as a share; and a line for each cell in which it is too far."""
    found = spreads(boots)
    return max(apart for *_, apart in found), [
        f"guard: {cell}, {name}: {apart * 100:.2f} % apart in {len(boots)} boots, above {REPEATS * 100:.1f} %"
        for cell, name, _, apart in found if apart > REPEATS]


def spreads(boots):
    """Repeatability: (cell, back end, median, (max - min) / median) over BOOTS, measure()'s results."""
    figures = collections.defaultdict(list)
    for found in boots:
        for cells_of in found.values():
            for cell, each in cells_of.items():
                for name, one in each.items():
                    figures[cell, name].append(one["insns"])
    return [(cell, name, sorted(values)[len(values) // 2],
             (max(values) - min(values)) / sorted(values)[len(values) // 2])
            for (cell, name), values in sorted(figures.items())]

# SPDX-License-Identifier: GPL-2.0-only
"""The page's tables: what plots show, in figures, and what has no plot."""

import statistics

from vdbench import bottleneck

from .draw import short
from .figures import factor_text
from .markup import details, facts, join, table, tag

# Runs of the same thing in two rounds, further apart than this: say so.
_NOISY = 1.3


def _none(text):
    return tag("p", text, class_="none")


def _spread(value, form="{:.2f}"):
    if not value:
        return "–"
    if value.n == 1:
        return form.format(value.median)
    return f"{form.format(value.median)} ({form.format(value.min)}–{form.format(value.max)})"


def _rate(value, unit):
    if not value:
        return "–"
    scale = 1000 if unit == "pps" else 1
    return _spread(type(value)(value.median / scale, value.min / scale, value.max / scale, value.n),
                   "{:.0f}" if value.median / scale >= 100 else "{:.1f}")


def noise(result, plots):
    """How far stock was apart from one round to the next."""
    found = [(max(cell.noise.max, 1 / cell.noise.min), cell) for cell in result.cells if cell.noise]
    if not found:
        return _none("stock was not measured beside itself, so what noise does is not known.")
    found.sort(key=lambda each: -each[0])
    worst, cell = found[0]
    sentence = (f"Noise: stock in one round and stock in the next differed by a factor of {worst:.2f} at most "
                f"({cell.name}), {statistics.median(each for each, _ in found):.2f} in the median of cells.")
    neighbours = result.part("neighbours")
    if neighbours:
        shares = ", ".join(f"{name} {value:.0%}" if isinstance(value, (int, float)) else f"{name} {value}"
                           for name, value in neighbours.items())
        sentence += f" Shares of the machine that went elsewhere meanwhile: {shares}."
    rows = [(plots.heading(each.place, True), _spread(each.noise, "{:.3f}"), each.noise.n,
             "noisy" if factor > _NOISY else "") for factor, each in found]
    return join((tag("p", sentence), details("Noise by cell", table(
        ("cell", "stock/stock", "pairs", ""), rows, "stock/stock, median (minimum–maximum)"))))


def _first(cell):
    return ", ".join(f"{name} {_spread(value)}" for name, value in cell.first.items())


def first_looks(result, plots):
    """What was measured twice, and what it was the first time: plots and other tables have the second alone."""
    rows = [(plots.heading(cell.place, True), f"{name}/stock", _spread(first), first.n, _spread(cell.ratio.get(name)),
             cell.ratio[name].n if name in cell.ratio else "–")
            for cell in result.cells for name, first in cell.first.items()]
    if not rows:
        return None
    return join((tag("p", "Rows marked † seemed too slow by the pairs they had and were measured once more. All "
                     "their figures are of that second look; the first is in no other figure than these:"),
                 table(("cell", "ratio", "first look", "pairs", "second look", "pairs"), rows,
                       "Measured twice, median (minimum–maximum)")))


def cells(result):
    """The timed table, and the counted one."""
    parts = []
    if result.cells:
        names = result.backends
        others = [name for name in names if name != "stock"]
        head = ("cell", "unit", *names, *(f"{name}/stock" for name in others), "stock/stock", "remarks")
        parts.append(table(head, [_cell_row(cell, names, others) for cell in result.cells],
                           "Rates and ratios, median (minimum–maximum)"))
    if result.counts:
        kinds = list(dict.fromkeys(kind for count in result.counts for kind in count.values))
        parts.append(table(("cell", "back end", *kinds), [
            (count.name, count.backend, *(short(count.values[kind]) if kind in count.values else "–"
                                          for kind in kinds)) for count in result.counts],
            "Counted a packet, worker's processor"))
    return join(parts) if parts else _none("No cell was measured.")


def _cell_row(cell, names, others):
    remarks = [f"{name}: {reason}" for name, reason in cell.absent.items()]
    if cell.against:
        remarks.append(f"compared with {cell.against}")
    if cell.boot not in ("", "smap", "nosmap"):
        remarks.append(f"boot {cell.boot}")
    if cell.first:
        remarks.append(f"measured twice, this is the second look; the first: {_first(cell)}")
    if limited := cell.limited():
        remarks.append(f"{bottleneck.MARK} {bottleneck.said(limited)}: the generator was the "
                       "bottleneck")
    return (cell.name, "kpps" if cell.unit == "pps" else "ns",
            *(_rate(cell.rate.get(name), cell.unit) for name in names),
            *(_spread(cell.ratio.get(name)) for name in others), _spread(cell.noise),
            "; ".join(remarks))


def storms(result):
    """Storms, a row a slice."""
    rows = [(storm.backend, storm.where, storm.rate, at + 1, "yes" if one.storm else "no",
             f"{one.rate:.0f}", f"{one.invalidations / one.seconds:.0f}", one.taken)
            for storm in result.storms for at, one in enumerate(storm.slices)]
    return table(("back end", "where", "asked a second", "slice", "in the storm", "packets a second",
                  "invalidations a second", "windows taken"), rows, "Storms, slice by slice")


def nested(result):
    """The real guest's figures, whatever tests it made."""
    found = {name: tests for name, tests in result.part("nested").items() if isinstance(tests, dict)}
    if not found:
        return _none("No real guest was measured.")
    tests = list(dict.fromkeys(test for each in found.values() for test in each))
    rows = [(name, *(_fields(each.get(test)) for test in tests)) for name, each in found.items()]
    return table(("back end", *tests), rows, "An unmodified QEMU inside the machine, one sample each",
                 numbers=False)


def _fields(value):
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return "–" if value is None else str(value)


def skipped(result):
    """Cells that are not there, and back ends that a cell lacks."""
    rows = list(dict.fromkeys(result.skipped))
    rows += [(cell.name, backend, reason) for cell in result.cells
             for backend, reason in cell.absent.items()]
    if not rows:
        return _none("Nothing that was asked for was left out.")
    return table(("cell", "back end, part", "reason"), rows, "Left out, with the reason", numbers=False)


def _value(value):
    if isinstance(value, dict):
        return facts([(name, _value(each)) for name, each in value.items()]) if value else "none"
    if isinstance(value, list):
        return " ".join(str(each) for each in value) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "unknown" if value is None else str(value)


def machine(result):
    """Everything that the figures depend on."""
    data = result.data
    first = [("date", _value(data.get("date"))), ("arguments", tag("code", _value(data.get("arguments")))),
             ("seconds", _value(data.get("seconds"))), ("accelerator", result.how()),
             ("cells are", ", ".join(factor_text(name, value) for name, value in result.base.items())
              + " where they don't say otherwise")]
    parts = [facts(first)]
    for name, title in (("machine", "The machine around it"), ("versions", "Versions")):
        parts.append(tag("h3", title))
        found = result.part(name)
        parts.append(facts([(key, _value(value)) for key, value in found.items()]) if found
                     else _none("Not recorded."))
    if result.part("host"):
        parts += [tag("h3", "How the host was measured"),
                  facts([(key, _value(value)) for key, value in result.part("host").items()])]
    if not result.boots():
        parts.append(_none("No boot was recorded."))
    for name, (found, command) in result.boots().items():
        found = {"accelerator": result.how(name), **found}
        rows = [(key, tag("code", _value(value)) if key in ("flags", "cmdline") else _value(value))
                for key, value in found.items()]
        parts.append(details(f"Boot “{name}”: kernel, flags, mitigations, parameters, command line",
                             facts([*rows, ("QEMU's command", tag("pre", command or "none"))])))
    return join(parts)

# SPDX-License-Identifier: GPL-2.0-only
"""The page: one HTML file that needs nothing beside it, made of sections.

No script, no link out of the page; its content security policy forbids a browser to fetch
anything, whatever a result has in its texts.
"""

import os

from vdbench import bottleneck

from . import figures, style, tables
from .figures import Figures
from .markup import Markup, details, join, tag

_TONES = {"--back": ("#f6f8fa", "#0d1117"), "--link": ("#0a58a8", "#79b8ff"),
          "--warn": ("#8a4b00", "#f0b45b"), "--warnback": ("#fff6e5", "#2b2112"),
          "--bad": ("#b3261e", "#ff8a80"), "--badback": ("#fdecea", "#33171a")}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# More plots than this of one kind, and those that aren't the first to look at wait to be asked for.
_SHOWN = 9


def _style_sheet():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.css"),
              encoding="utf-8") as file:
        rules = file.read()
    light, dark = (";".join([*(f"{name}:{pair[at]}" for name, pair in _TONES.items()),
                             style.variables(at)]) for at in (0, 1))
    return Markup(f":root{{color-scheme:light dark;{light}}}\n"
                  f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}")


def _plot(panel, alone=False):
    image = tag("svg", Markup(panel.body), viewBox=panel.box, role="img",
                aria_label=f"{panel.title}. {panel.alt}")
    return tag("figure", tag("figcaption", panel.title), tag("p", panel.note) if panel.note else None,
               image, class_="alone" if alone else None)


def _plots(panels):
    return tag("div", *(_plot(panel) for panel in panels), class_="plots")


def _gallery(panels, absent):
    """Plots; where there are many, those about a factor on request. ABSENT: said if there are none."""
    if not panels:
        return tag("p", absent, class_="none")
    base = [panel for panel in panels if panel.base]
    if len(panels) <= _SHOWN or not base or len(base) == len(panels):
        return _plots(panels)
    rest = [panel for panel in panels if not panel.base]
    return join((_plots(base), details(f"{len(rest)} more, of other sizes, rings, memory, queues or generators",
                                       _plots(rest))))


def _section(anchor, title, *parts):
    return tag("section", tag("h2", title, id=anchor), *parts, aria_labelledby=anchor)


def _listed(title, texts):
    if not texts:
        return None
    return tag("div", tag("h2", title), tag("ul", *(tag("li", text) for text in texts)),
               class_="banner failed", role="alert")


def _banner(result):
    if result.accel == "tcg":
        return tag("p", tag("strong", "EMULATED: ratios are not a forecast for hardware."),
                   " An emulator prices neither serialisation (STAC, CLAC, LFENCE) nor caches. "
                   "Instructions are counted all the same, and are not time. Absolute figures "
                   "compare the lines of this page with each other and nothing else.", class_="banner")
    if result.accel == "host" and result.virtual():
        return tag("p", tag("strong", f"Measured on {result.how()}: its figures are no "
                            "hardware's."), " Whether that is emulated or not, the file doesn't say. ",
                   result.emulated(),
                   class_="banner")
    if result.accel in ("kvm", "host"):
        return tag("p", tag("strong", f"Measured on hardware: {result.how()}."),
                   f" {result.emulated()}" if result.emulated() else None, class_="banner")
    return tag("p", tag("strong", "The file doesn't say what carried this out:"), f" accel is "
               f"{result.accel}.", class_="banner failed")


def _header(result, plots):
    date = str(result.data.get("date", "at an unknown time"))
    smap = {bool(facts.get("smap")) for facts, _ in result.boots().values()}
    smap = {frozenset([True]): "SMAP on", frozenset([False]): "SMAP OFF",
            frozenset([True, False]): "SMAP on, and off where a cell says so"}.get(frozenset(smap),
                                                                                "SMAP unknown")
    return tag("header", tag("h1", "vhost-direct beside stock vhost-net"),
               tag("p", f"Kernel {result.kernel()} · {smap} · {result.how()} · {date}", class_="sub"),
               _listed("Failed", result.failures),
               _listed("Parts of the file that could not be read", result.problems),
               _banner(result), _tiles(result, plots))


def _tiles(result, plots):
    """The ratios that most people look for."""
    chosen = [cell for cell in result.cells if result.is_base(cell.place) and "direct" in cell.ratio]
    tiles = []
    for cell in chosen[:8]:
        ratio = cell.ratio["direct"]
        mark = f" {bottleneck.MARK}" if cell.limited() else ""
        tiles.append(tag("li", tag("span", plots.heading(cell.place, True) + mark),
                         tag("b", f"{ratio.median:.2f} ×"),
                         tag("span", f"{ratio.min:.2f} to {ratio.max:.2f}" if ratio.n > 1 else "one pair")))
    if not tiles:
        return None
    limits = "".join(f"; {text}" for text in figures.limits(chosen[:8]))
    return join((tag("p", "direct over stock: median (lowest to highest of all pairs of runs)",
                     limits),
                 tag("ul", *tiles, class_="tiles")))


_MEANING = {"stock": "the kernel's own vhost_net", "user": "this project's, with user access",
            "direct": "this project's, through the direct map",
            "pinned": "the same with pinned rings: the upper bound, no product"}


def _swatch(number):
    """A bar and a line as they look in plots."""
    with style.canvas(88, 18, f"k{number}") as figure:
        figure.patch.set_visible(False)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 88), ylim=(0, 18))
        axes.axis("off")
        colours, kind = style.Colours(True), style.LOOKS[number]
        axes.barh(9, 40, 12, color=colours.of(number), edgecolor=colours.paper, hatch=kind.hatch,
                  linewidth=0.6)
        axes.plot([48, 66, 84], [9, 9, 9], color=colours.of(number), linewidth=1.8, linestyle=kind.dash)
        axes.plot([66], [9], color=colours.of(number), marker=kind.marker, markersize=7,
                  markeredgecolor=colours.paper)
        box, body = style.svg(figure, f"k{number}")
    return tag("svg", Markup(body), viewBox=box, aria_hidden="true")


def _legend(result, plots):
    return tag("ul", *(tag("li", _swatch(plots.look(name)), tag("span", tag("b", name), (
        f": {_MEANING[name]}" if name in _MEANING else None))) for name in result.backends),
        class_="legend")


def _pairs(result):
    """How many runs there were, which is what the spreads are worth."""
    numbers = {ratio.n for cell in result.cells for ratio in cell.ratio.values()}
    if not numbers:
        return None
    text = f"{min(numbers)} to {max(numbers)}" if len(numbers) > 1 else str(max(numbers))
    few = ": too few for a spread, so differences of these figures say little" if min(numbers) < 4 else ""
    return tag("p", f"Pairs of runs a ratio: {text}{few}.")


def _measured(result, plots):
    return _section(
        "measured", "What is measured",
        tag("p", "One machine drives the vhost-net back ends in turn, each run beside a run of stock, "
            "with the same rings and features. A ratio is that of two adjacent runs, above 1 is "
            "better than stock. Bars and markers are medians, thin lines go from the lowest to the "
            "highest of all runs, dots are the single runs; no outlier is left out, only runs that failed and, of "
            "rows that were measured twice, the first look, which is listed. stock/stock is "
            "stock in one round over stock in the round before: what noise alone does, and more than it does to a "
            "ratio, as a round of the other rows lies between."),
        _pairs(result), tag("p", f"With {len(result.cells)} cells, plots are of those that are special in one way at "
            "most; the tables at the end have all.") if plots.limited else None,
        _legend(result, plots) if result.backends else tag("p", "No back end was measured.", class_="none"))


def _storm_section(result, plots):
    return _section("storms", "Under storms of invalidations",
                    tag("p", "The owner's memory is invalidated at a rate that was asked for, in the "
                        "shaded slices, and left alone in the others."),
                    _gallery(plots.storms(), "No storm was measured."),
                    details("Slices as a table", tables.storms(result)) if result.storms else None)


def _factors(plots):
    """One plot beside the other, and what is missing in one line."""
    panels, absent = [], []
    for name, title in figures.FACTOR_TITLES.items():
        found = plots.factor(name)
        panels += found
        if not found:
            absent.append(title.lower() if title != "SMAP" else title)
    missing = f"No cell was measured with two kinds of: {', '.join(absent)}." if absent else ""
    return [_gallery(panels, missing), tag("p", missing, class_="none") if missing and panels else None]


def _sections(result, plots):
    """(anchor, title, section) in the page's order."""
    yield "ratios", "Ratio to stock", [
        _gallery(plots.ratios(), "No ratio was measured."), tables.noise(result, plots),
        tables.first_looks(result, plots)]
    yield "counts", "Counted a packet", [
        tag("p", "Instructions and user-access windows of the worker's processor, by QEMU's "
            "instruction counter. They aren't time: another boot, or a busy machine, moves them by a few "
            "per cent at most."),
        _gallery(plots.counts(), "Nothing was counted.")]
    yield "sizes", "Cost against packet size", [
        _gallery(plots.sizes(), "No cell was measured with two packet sizes.")]
    yield "pairs", "Cost against queue pairs", [
        tag("p", "All pairs together: 1 second divided by the packets of all queues."),
        _gallery(plots.pairs(), "No cell was measured with two numbers of queue pairs.")]
    yield "factors", "Memory, rings, SMAP, generators", _factors(plots)
    yield "rtt", "Round trips", [_gallery(plots.round_trips(), "No percentiles of round trips were taken.")]


def _contents(entries):
    return tag("nav", tag("ul", *(tag("li", tag("a", title, href=f"#{anchor}"))
                                  for anchor, title in entries)), aria_label="Contents")


def page(result):
    """The whole page, as text."""
    plots = Figures(result)
    entries = [("measured", "What is measured")]
    sections = [_measured(result, plots)]
    for anchor, title, parts in _sections(result, plots):
        entries.append((anchor, title))
        sections.append(_section(anchor, title, *parts))
    sections.append(_storm_section(result, plots))
    last = (("nested", "A real guest", tables.nested(result)),
            ("cells", "All cells", tables.cells(result)),
            ("skipped", "What was not measured", tables.skipped(result)),
            ("machine", "Machine and versions", tables.machine(result)))
    entries += [("storms", "Storms"), *((anchor, title) for anchor, title, _ in last)]
    sections += [_section(anchor, title, part) for anchor, title, part in last]
    head = tag("head", tag("meta", charset="utf-8"),
               tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
               tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
               tag("meta", name="referrer", content="no-referrer"),
               tag("title", f"vhost-direct beside stock vhost-net, {result.kernel()}"),
               tag("style", _style_sheet()))
    body = tag("body", _header(result, plots), _contents(entries), tag("main", *sections))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"

# SPDX-License-Identifier: GPL-2.0-only
"""The kinds of plots, each drawn on matplotlib's axes. Lengths are units of style.canvas()."""

import collections
import re
import textwrap

from matplotlib import ticker

from . import style
from .result import Spread

# GROUP of bars: a heading, and BARS below it. A bar's VALUE is a Spread, a number or None, in which
# case NOTE says why; LABEL stands beside it; LOOK is a number of style.LOOKS.
Group = collections.namedtuple("Group", "heading bars")
Bar = collections.namedtuple("Bar", "label look value note", defaults=("",))
# SERIES of a line: points [(x, Spread or number)].
Series = collections.namedtuple("Series", "label look points")

HEADING, PITCH, THICK, GAP, AXIS = 18, 18, 12, 8, 36
_SMALL = 10
# Figures further apart than this are drawn on a logarithmic axis.
_FAR = 8


def short(value):
    """A figure in few characters: three digits count."""
    scale, mark = next(((scale, mark) for least, scale, mark in (
        (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")) if abs(value) >= least), (1, ""))
    size = abs(value) / scale
    return f"{value / scale:.{2 if size < 10 else 1 if size < 100 else 0}f}{mark}"


def tick(value, _=None):
    """The same for an axis: no digits after round figures."""
    return re.sub(r"\.?0+(?=\D*$)", "", text) if "." in (text := short(value)) else text


def middle(value):
    """The figure that stands for VALUE."""
    return value.median if isinstance(value, Spread) else value


def ends(value):
    """Its lowest and highest."""
    return (value.min, value.max) if isinstance(value, Spread) else (value, value)


def bars_height(groups):
    """What bars() takes, its axis included."""
    return sum(HEADING + PITCH * len(group.bars) + GAP for group in groups) + AXIS


def plain(axes, colours, grid="x"):
    """Axes without a frame: quiet grid lines and small figures."""
    axes.set_facecolor("none")
    for side in axes.spines.values():
        side.set_visible(False)
    axes.grid(axis=grid, color=colours.line, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=colours.soft, which="both")


def _paper(colours):
    """Under a text: no line runs through it."""
    return {"facecolor": colours.paper, "edgecolor": "none", "pad": 0.6}


def _bar(axes, colours, y, bar, room):
    if bar.value is None:
        text = textwrap.shorten(f"{bar.label}: none{', ' + bar.note if bar.note else ''}", room,
                                placeholder=" …")
        axes.text(0, y, text, va="center", fontsize=_SMALL, color=colours.soft, bbox=_paper(colours))
        return
    low, high = ends(bar.value)
    axes.barh(y, middle(bar.value), THICK, color=colours.of(bar.look), edgecolor=colours.paper,
              linewidth=0.6, hatch=style.LOOKS[bar.look].hatch)
    if isinstance(bar.value, Spread):
        axes.plot([low, high], [y, y], color=colours.ink, linewidth=1.2, solid_capstyle="butt")
        axes.plot([low, high], [y, y], color=colours.ink, linestyle="none", marker="|",
                  markersize=7, markeredgewidth=1.2)
        values = bar.value.values
        axes.plot(values, [y + (at % 3 - 1) * 2.6 for at in range(len(values))], linestyle="none",
                  marker="o", markersize=3.2, markerfacecolor=colours.ink,
                  markeredgecolor=colours.paper, markeredgewidth=0.6)
    axes.annotate(f"{bar.label} {short(middle(bar.value))}", (high, y), (6, 0), va="center",
                  textcoords="offset points", fontsize=_SMALL, color=colours.ink, bbox=_paper(colours))


def bars(axes, colours, groups, label, reference=None, room=52):
    """Horizontal bars in groups; REFERENCE: where a line is drawn; ROOM: characters of a note."""
    plain(axes, colours)
    y = 0
    for group in groups:
        axes.text(0, y + HEADING / 2, group.heading, va="center", fontweight="bold",
                  color=colours.ink, bbox=_paper(colours))
        y += HEADING
        for bar in group.bars:
            _bar(axes, colours, y + PITCH / 2, bar, room)
            y += PITCH
        y += GAP
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    # What is right of the longest bar holds its name.
    most = max((ends(bar.value)[1] for group in groups for bar in group.bars
                if bar.value is not None), default=0)
    axes.set_xlim(0, (max(most, reference or 0) or 1) * 1.36)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(tick)
    axes.set_xlabel(label, color=colours.soft, fontsize=_SMALL)
    if reference is not None:
        axes.axvline(reference, color=colours.ink, linewidth=1, linestyle=(0, (4, 3)), zorder=1.5)


def apart(places, least):
    """PLACES moved so that neighbours are LEAST apart, in their order and about where they were."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    clusters = []
    for at in order:
        clusters.append([[at], places[at]])
        # A cluster is centred on its members; one that touches the next swallows it.
        while len(clusters) > 1:
            (first, one), (second, two) = clusters[-2:]
            if two - one >= least * (len(first) + len(second)) / 2:
                break
            members = first + second
            clusters[-2:] = [[members, sum(places[each] for each in members) / len(members)]]
    found = list(places)
    for members, centre in clusters:
        for rank, at in enumerate(members):
            found[at] = centre + (rank - (len(members) - 1) / 2) * least
    return found


def _names(axes, colours, ending):
    """Each line's name at its end, none over another; ENDING: [(label, look, x, y)]."""
    unit, last = axes.figure.dpi / 72, max(x for _, _, x, _ in ending)
    for end in dict.fromkeys(x for _, _, x, _ in ending):
        here = [each for each in ending if each[2] == end]
        heights = [axes.transData.transform((x, y))[1] / unit for _, _, x, y in here]
        for (label, number, x, y), height, place in zip(here, heights, apart(heights, 12)):
            # Where other lines go on, a name stands above them.
            axes.annotate(label, (x, y), (9 if end == last else 3, place - height + (end != last) * 11),
                          textcoords="offset points", va="center",
                          fontsize=_SMALL, color=colours.of(number), fontweight="bold",
                          annotation_clip=False)


def _line(axes, colours, one):
    kind = style.LOOKS[one.look]
    xs = [x for x, _ in one.points]
    lows, highs = zip(*(ends(value) for _, value in one.points))
    colour = colours.of(one.look)
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.18, linewidth=0)
    axes.plot(xs, [middle(value) for _, value in one.points], color=colour, linewidth=1.8,
              linestyle=kind.dash, marker=kind.marker, markersize=6, markeredgecolor=colours.paper,
              markeredgewidth=0.8)


def lines(axes, colours, series, ticks, logarithmic=False):
    """Lines with bands from lowest to highest; TICKS: {x: text}. The y axis tells powers if its
    figures are far apart, else it begins at nothing."""
    plain(axes, colours, "both")
    for one in series:
        _line(axes, colours, one)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    values = [end for one in series for _, value in one.points for end in ends(value)]
    if min(values) > 0 and max(values) > _FAR * min(values):
        axes.set_yscale("log")
        axes.set_ylim(min(values) / 1.4, max(values) * 1.4)
        axes.yaxis.set_major_locator(ticker.LogLocator(10, subs=(1, 2, 5), numticks=20))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
    else:
        axes.set_ylim(0, max(values) * 1.1 or 1)
    axes.yaxis.set_major_formatter(tick)
    _names(axes, colours, [(one.label, one.look, one.points[-1][0], middle(one.points[-1][1]))
                           for one in series])


PERCENTILE_MARKS = {"p50": ("o", "p50"), "p99": ("^", "p99"), "p999": ("D", "p99.9")}


def percentiles(axes, colours, groups, label):
    """A row a back end: its percentiles on a logarithmic axis. VALUE of a bar: {percentile: number}."""
    plain(axes, colours)
    axes.set_xscale("log")
    y, found = 0, [value for group in groups for bar in group.bars for value in (bar.value or {}).values()]
    left, right = min(found) / 1.25, max(found) * 1.6
    for group in groups:
        axes.text(left, y + HEADING / 2, group.heading, va="center", fontweight="bold",
                  color=colours.ink)
        y += HEADING
        for bar in group.bars:
            axes.text(left, y + 7, f"{bar.label}: " + (", ".join(
                f"{PERCENTILE_MARKS.get(name, ('', name))[1]} {short(value)}"
                for name, value in bar.value.items()) if bar.value else f"none, {bar.note}"),
                      va="center", fontsize=_SMALL, color=colours.ink)
            _percentile_row(axes, colours, y + 21, bar)
            y += 2 * PITCH
        y += GAP
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    axes.set_xlim(left, right)
    axes.xaxis.set_major_locator(ticker.LogLocator(10, subs=(1, 2, 5), numticks=20))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(tick)
    axes.set_xlabel(label, color=colours.soft, fontsize=_SMALL)


def _percentile_row(axes, colours, y, bar):
    if not bar.value:
        return
    colour = colours.of(bar.look)
    axes.plot([min(bar.value.values()), max(bar.value.values())], [y, y], color=colour, linewidth=2,
              linestyle=style.LOOKS[bar.look].dash)
    for name, value in bar.value.items():
        axes.plot([value], [y], linestyle="none", color=colour, markersize=7,
                  marker=PERCENTILE_MARKS.get(name, ("x", ""))[0], markeredgecolor=colours.paper)


def timeline(axes, colours, series, storms):
    """Rates slice by slice; the slices of STORMS are shaded."""
    plain(axes, colours, "y")
    for at in storms:
        axes.axvspan(at - 0.5, at + 0.5, color=colours.storm, linewidth=0, zorder=0)
    for one in series:
        _line(axes, colours, one)
    most = max(value for one in series for _, value in one.points)
    count = max(len(one.points) for one in series)
    axes.set_xlim(0.5, count + 0.5)
    axes.set_ylim(0, most * 1.15 or 1)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(tick)
    axes.set_xlabel("slice; those in the storm are shaded", color=colours.soft, fontsize=_SMALL)
    _names(axes, colours, [(one.label, one.look, one.points[-1][0], one.points[-1][1])
                           for one in series])

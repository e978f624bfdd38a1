# SPDX-License-Identifier: GPL-2.0-only
"""Which plots a result has: each function gives panels, and none where the data are absent."""

import collections

from vdbench import bottleneck

from . import draw, style
from .draw import Bar, Group, Series
from .result import PERCENTILES, Spread

# A plot on the page: BOX and BODY are SVG, ALT says the same in words, BASE: it is one of
# those that are shown first.
Panel = collections.namedtuple("Panel", "title note alt box body base")

DIRECTIONS = {"tx": "TX", "rx": "RX", "both": "both ways", "rtt": "round trip"}
MEASURES = {"insns": "instructions a packet", "stac": "STAC a packet", "clac": "CLAC a packet",
            "lfence": "LFENCE a packet"}
WHERE = {"hit": "{} invalidations a second of the ring's own pages",
         "miss": "{} invalidations a second beside the rings",
         "none": "No invalidation, its thread is woken {} times a second"}
FACTOR_TITLES = {"memory": "Memory", "layout": "Ring", "smap": "SMAP", "generator": "Generator"}
_MARGIN = 8
# A result of more cells than this has plots of those that are special in one way at most.
_MANY = 100


def size_text(place):
    """A frame's size as it is read."""
    return f"{place.size} B GSO" if place.gso else f"{place.size} B"


def factor_text(name, value):
    """A factor's value as it is read."""
    if name == "pairs":
        return f"{value} pair{'s' if value != 1 else ''}"
    if name == "smap":
        return f"SMAP {'on' if value else 'off'}"
    return f"{value} ring" if name == "layout" else str(value)


def direction_text(place):
    """A direction as it is read."""
    return DIRECTIONS.get(place.dir, place.dir)


def amount(value):
    """A spread or number in words."""
    if value is None:
        return "none"
    if isinstance(value, Spread):
        return f"{draw.short(value.median)} ({draw.short(value.min)} to {draw.short(value.max)})"
    return draw.short(value)


def _chunks(items, size):
    """ITEMS in pieces of about equal length, SIZE at most."""
    count = -(-len(items) // size)
    ends = [len(items) * at // count for at in range(count + 1)] if count else []
    return [items[first:last] for first, last in zip(ends, ends[1:])]


def limits(cells):
    """What the mark of rows says in which the back end wasn't the bottleneck, if one is."""
    return [f"{bottleneck.MARK} {bottleneck.MEANING}"] * any(cell.limited() for cell in cells)


class Figures:
    """The plots of one result."""

    def __init__(self, result):
        self.result, self._made, self._colours = result, 0, style.Colours(True)
        self.limited = len(result.cells) > _MANY
        smallest = {}
        for entry in (*result.cells, *result.counts):
            known = smallest.setdefault(entry.place.dir, entry.place.size)
            smallest[entry.place.dir] = min(known, entry.place.size)
        self._smallest = smallest

    def _drawn(self, place, most, *but):
        """Is PLACE, which is special but for the factors BUT, worth a plot? MOST: ways if there are many."""
        return not self.limited or len(self.special(place, *but)) <= most

    # -- words ---------------------------------------------------------------

    def special(self, place, *but):
        """What PLACE has that most cells haven't, but for the factors BUT."""
        return [factor_text(name, getattr(place, name)) for name, usual in self.result.base.items()
                if getattr(place, name) != usual and name not in but]

    def heading(self, place, direction=False):
        """A cell's name in a plot."""
        words = [size_text(place), *self.special(place)]
        return " · ".join([f"{direction_text(place)} {words[0]}" if direction else words[0], *words[1:]])

    def look(self, backend):
        """The number of its look."""
        return style.look(backend, self.result.backends)

    # -- drawing -------------------------------------------------------------

    def _panel(self, title, note, alt, height, call, base=True, left=_MARGIN, right=_MARGIN, top=4):
        prefix = f"p{self._made}"
        self._made += 1
        with style.canvas(style.WIDTH, height + top, prefix) as figure:
            figure.patch.set_visible(False)
            axes = figure.add_axes((left / style.WIDTH, draw.AXIS / (height + top),
                                    1 - (left + right) / style.WIDTH,
                                    (height - draw.AXIS) / (height + top)))
            call(axes, self._colours)
            svg = style.svg(figure, prefix)
        return Panel(title, note, alt, *svg, base)

    def _bars(self, title, note, groups, label, base, reference=None):
        alt = "; ".join(f"{group.heading}: " + ", ".join(
            f"{bar.label} {amount(bar.value)}" for bar in group.bars) for group in groups)
        return self._panel(title, note, alt, draw.bars_height(groups),
                           lambda axes, colours: draw.bars(axes, colours, groups, label, reference),
                           base)

    def _lines(self, title, series, ticks, base, logarithmic):
        alt = "; ".join(f"{one.label}: " + ", ".join(f"{ticks[x]} {amount(value)}"
                                                     for x, value in one.points) for one in series)
        return self._panel(title, "", alt, 236, lambda axes, colours: draw.lines(
            axes, colours, series, ticks, logarithmic), base, 44, 56, 8)

    def _chosen(self, places):
        """Places for one plot each, those that are about no factor first."""
        base = [place for place in places if self.result.is_base(place)]
        return [*_chunks(base, 6), *_chunks([place for place in places if place not in base], 6)]

    # -- kinds of plots ------------------------------------------------------

    def _ratio_group(self, cell):
        bars = [Bar(name, self.look(name), cell.ratio[name]) for name in self.result.backends
                if name in cell.ratio]
        bars += [Bar(name, self.look(name), None, str(cell.absent[name]))
                 for name in self.result.backends if name in cell.absent and name != "stock"]
        if cell.noise:
            bars.append(Bar("stock/stock", self.look("stock"), cell.noise))
        marks = {" *": cell.against, " †": cell.first, f" {bottleneck.MARK}": cell.limited()}
        mark = "".join(mark for mark, is_so in marks.items() if is_so)
        return Group(self.heading(cell.place) + mark, bars)

    def ratios(self):
        """Bars of ratio to stock, a panel a direction, or several."""
        panels = []
        for direction in dict.fromkeys(cell.place.dir for cell in self.result.cells):
            cells = [cell for cell in self.result.cells if cell.place.dir == direction and cell.ratio
                     and self._drawn(cell.place, 1)]
            by_place = {cell.place: cell for cell in cells}
            for places in self._chosen(by_place):
                chunk = [by_place[place] for place in places]
                title = DIRECTIONS.get(direction, direction)
                against = {cell.against for cell in chunk if cell.against}
                notes = [f"* compared with stock's {', '.join(sorted(against))}"] if against else []
                notes += ["† measured twice: the second look"] if any(cell.first for cell in chunk) else []
                notes += limits(chunk)
                note = "; ".join(notes)
                unit = "round trip: stock's time over its own" if chunk[0].unit == "ns" else \
                    "packets a second over stock's"
                panels.append(self._bars(f"{title}: ratio to stock", note,
                                         [self._ratio_group(cell) for cell in chunk], unit,
                                         self.result.is_base(chunk[0].place), 1))
        return panels

    def counts(self):
        """Bars of counted instructions, a panel a kind."""
        panels = []
        by_place = collections.defaultdict(dict)
        for count in self.result.counts:
            if self._drawn(count.place, 1):
                by_place[count.place][count.backend] = count.values
        # Big segments are counted in thousands: beside them other bars would be dots.
        for alike in dict.fromkeys((place.dir, place.gso) for place in by_place):
            for chunk in self._chosen([place for place in by_place if (place.dir, place.gso) == alike]):
                panels += self._counted(chunk, by_place)
        return panels

    def _counted(self, places, by_place):
        panels = []
        for kind, title in MEASURES.items():
            groups = [Group(self.heading(place), [
                Bar(name, self.look(name), by_place[place][name][kind])
                for name in self.result.backends if kind in by_place[place].get(name, {})])
                for place in places]
            groups = [group for group in groups if group.bars]
            if groups:
                panels.append(self._bars(f"{direction_text(places[0])}: {title}", "", groups,
                                         "counted, worker's processor", self.result.is_base(places[0])))
        return panels

    def _timed_values(self):
        """[(place, {backend: nanoseconds a packet})]."""
        return [(cell.place, {name: cell.cost(name) for name in cell.rate})
                for cell in self.result.cells]

    def _counted_values(self):
        """[(place, {backend: instructions a packet})]."""
        found = collections.defaultdict(dict)
        for count in self.result.counts:
            found[count.place][count.backend] = count.values["insns"]
        return list(found.items())

    def _against(self, values, factors, x_of, tick_of, logarithmic, label):
        """Lines over what FACTORS name, a panel for each place that is measured at two of them."""
        alike = collections.defaultdict(list)
        for place, of in values:
            alike[place.without(*factors)].append((place, of))
        panels = []
        for members in alike.values():
            members.sort(key=lambda member: x_of(member[0]))
            ticks = {x_of(place): tick_of(place) for place, _ in members}
            if len(ticks) < 2 or not self._drawn(members[0][0], "size" in factors, *factors):
                continue
            series = [Series(name, self.look(name), points) for name in self.result.backends
                      if (points := [(x_of(place), of[name]) for place, of in members if of.get(name)])]
            first = members[0][0]
            words = [direction_text(first), *(() if "size" in factors else (size_text(first),)),
                     *self.special(first, *factors)]
            base = not self.special(first, *factors) and (
                "size" in factors or first.size == self._smallest[first.dir])
            if series:
                panels.append(self._lines(f"{' · '.join(words)}: {label(first)}", series, ticks, base,
                                          logarithmic))
        return panels

    def _over_size(self, values, label):
        return self._against(values, ("size", "gso"), lambda place: place.size,
                             lambda place: "64K\nGSO" if place.gso else str(place.size), True, label)

    def _over_pairs(self, values, label):
        return self._against(values, ("pairs",), lambda place: place.pairs,
                             lambda place: factor_text("pairs", place.pairs), False, label)

    @staticmethod
    def _unit(place):
        return "ns a round trip" if place.dir == "rtt" else "ns a packet"

    def sizes(self):
        """Cost against packet size: time, then instructions."""
        return (self._over_size(self._timed_values(), self._unit)
                + self._over_size(self._counted_values(), lambda place: "instructions a packet"))

    def pairs(self):
        """Cost against queue pairs: time, then instructions."""
        return (self._over_pairs(self._timed_values(), self._unit)
                + self._over_pairs(self._counted_values(), lambda place: "instructions a packet"))

    def factor(self, name):
        """Bars of cost by the values of a factor, a panel for each place measured at two of them."""
        alike = collections.defaultdict(list)
        for cell in self.result.cells:
            alike[cell.place.without(name)].append(cell)
        panels = []
        for cells in alike.values():
            if len(cells) < 2 or not self._drawn(cells[0].place, 0, name):
                continue
            first, groups = cells[0].place, []
            for cell in cells:
                bars = [Bar(backend, self.look(backend), cell.cost(backend),
                            str(cell.absent.get(backend, "")))
                        for backend in self.result.backends
                        if backend in cell.rate or backend in cell.absent]
                groups.append(Group(factor_text(name, getattr(cell.place, name)) +
                                    f" {bottleneck.MARK}" * bool(cell.limited()), bars))
            words = [direction_text(first), size_text(first), *self.special(first, name)]
            base = not self.special(first, name) and first.size == self._smallest[first.dir]
            panels.append(self._bars(f"{FACTOR_TITLES[name]}: {' · '.join(words)}",
                                     "; ".join(limits(cells)), groups, self._unit(first), base))
        return panels

    def round_trips(self):
        """Percentiles of round trips."""
        cells = [cell for cell in self.result.cells if any(cell.percentiles.values())]
        panels = []
        for chunk in _chunks(cells, 4):
            groups = [Group(self.heading(cell.place), [
                Bar(name, self.look(name), {key: cell.percentiles[name][key] / 1000
                                            for key in PERCENTILES if cell.percentiles[name].get(key, 0) > 0})
                for name in self.result.backends if any(cell.percentiles.get(name, {}).values())])
                for cell in chunk]
            groups = [group for group in groups if group.bars]
            alt = "; ".join(f"{group.heading}: " + ", ".join(
                f"{bar.label} " + " ".join(f"{key} {draw.short(value)}" for key, value in bar.value.items())
                for bar in group.bars) for group in groups)
            height = sum(draw.HEADING + 2 * draw.PITCH * len(group.bars) + draw.GAP
                         for group in groups) + draw.AXIS
            panels.append(self._panel(
                "Round trip", "● p50, ▲ p99, ◆ p99.9", alt, height,
                lambda axes, colours, groups=groups: draw.percentiles(axes, colours, groups, "microseconds"),
                self.result.is_base(chunk[0].place)))
        return panels

    def storms(self):
        """Rates slice by slice under invalidations, a panel for each kind of storm."""
        kinds = collections.defaultdict(list)
        for storm in self.result.storms:
            # Storms that come and go at other times don't share a time axis.
            kinds[storm.where, storm.rate, tuple(one.storm for one in storm.slices)].append(storm)
        panels = []
        for (where, rate, on), storms in kinds.items():
            series, kept, doubts = [], [], []
            for storm in sorted(storms, key=lambda one: self.result.backends.index(one.backend)):
                again = any(storm.backend == one.label for one in series)
                series.append(Series("" if again else storm.backend, self.look(storm.backend),
                                     [(at + 1, one.rate) for at, one in enumerate(storm.slices)]))
                if storm.kept() is not None:
                    kept.append(f"{storm.backend} {storm.kept():.3f}")
                if storm.doubt():
                    doubts.append(f"{storm.backend}: {storm.doubt()}")
            note = "Packets a second" + (f"; in the storm over beside it: {', '.join(kept)}"
                                         if kept else "")
            # The title is what was asked for.
            note += "".join(f". Not judged, {doubt}" for doubt in doubts)
            shaded = [at + 1 for at, one in enumerate(on) if one]
            panels.append(self._panel(
                WHERE[where].format(rate) if where in WHERE else f"{where}, {rate} a second", note,
                f"{len(on)} slices, {len(shaded)} of them in the storm. {note}", 236,
                lambda axes, colours, series=series, shaded=shaded: draw.timeline(
                    axes, colours, series, shaded), True, 44, 56, 8))
        return panels

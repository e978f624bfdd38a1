# SPDX-License-Identifier: GPL-2.0-only
"""What differs between two results by more than either one's spread."""

import collections
import dataclasses
import math

from . import beside
from .result import PERCENTILES

# What a judgement takes: values on each side; how often the rank test may be wrong; the least change
# that matters; the same of a counted figure: boots of a crowded machine differ by up to 4 %.
FEWEST, CHANCE, LEAST, COUNTED = 4, 0.01, 0.01, 0.05
# Fewer values than ENOUGH show little of the spread: ranges have to be further apart then. How often
# normal noise parts so few so far, found by trial; of more values the share is known.
ENOUGH = 8
_BY_TRIAL = {4: 0.0034, 5: 0.0005, 6: 0.0001, 7: 0.0001}
# Counted figures, and the least difference of each, a packet: a few thousandths are once in a few hundred
# packets, as an interrupt is, and a third more of them is nothing.
_COUNTED = {"insns": 1, "stac": 0.05, "clac": 0.05, "lfence": 0.05}
SLOWER, FASTER, SAME, UNSURE, SINGLE = "slower", "faster", "same", "too few values", "no spread"
DOUBTED = "another storm"


@dataclasses.dataclass
class Row:
    """One figure in both results. CHANGE: B over A less 1; REGRESSION: counts for the exit status."""
    cell: str
    backend: str
    what: str
    a: object
    b: object
    change: float
    verdict: str = SAME
    chance: float = None
    regression: bool = False


def ranks(values):
    """Twice the rank of each value, equal values sharing theirs: whole numbers."""
    places = collections.defaultdict(list)
    for rank, value in enumerate(sorted(values), 1):
        places[value].append(rank)
    return [places[value][0] + places[value][-1] for value in values]


def rank_test(one, two):
    """The chance that noise alone parts two samples of the same thing so far, in either direction.

    Exact: of all ways to deal the ranks to the sides, the share in which the sum of the first
    side's is as far from its middle as here (Mann and Whitney's test, ties included).
    """
    all_ranks = ranks([*one, *two])
    ways = [collections.Counter() for _ in range(len(one) + 1)]
    ways[0][0] = 1
    for rank in all_ranks:
        for taken in range(len(one), 0, -1):
            for total, count in list(ways[taken - 1].items()):
                ways[taken][total + rank] += count
    centre = len(one) * (len(all_ranks) + 1)
    here = abs(sum(all_ranks[:len(one)]) - centre)
    as_far = sum(count for total, count in ways[len(one)].items() if abs(total - centre) >= here)
    return as_far / math.comb(len(all_ranks), len(one))


def apart(one, two):
    """Do the two sides' ranges not even touch? Of few values: by half the wider one."""
    gap = max(one.min - two.max, two.min - one.max)
    few = min(len(one.values), len(two.values)) < ENOUGH
    return gap > (max(one.max - one.min, two.max - two.min) / 2 if few else 0)


def accident(one, two):
    """How often noise parts two such sides."""
    fewest = min(one, two)
    return _BY_TRIAL[fewest] if fewest < ENOUGH else 2 / math.comb(one + two, one)


def unlikely(chances):
    """The greatest of CHANCES that still parts two samples, -1 if none does.

    Benjamini and Hochberg's rule: where nothing differs, one such comparison in a hundred finds
    something; where much does, less evidence is enough for each.
    """
    found = -1
    for rank, chance in enumerate(sorted(chances), 1):
        if chance <= CHANCE * rank / len(chances):
            found = chance
    return found


def judge(rows):
    """Put a verdict on rows of spreads, [(row, is more better?, the least change that matters)]."""
    for row, *_ in rows:
        if not _few(row):
            row.chance = rank_test(row.a.values, row.b.values)
    limit = unlikely([row.chance for row, *_ in rows if row.chance is not None])
    for row, higher, least in rows:
        if row.chance is None:
            row.verdict = UNSURE
        elif abs(row.change) >= least and (apart(row.a, row.b) or row.chance <= limit):
            row.verdict = FASTER if (row.change > 0) == higher else SLOWER


def _over(a, b):
    return b / a - 1 if a else (0.0 if b == a else math.inf)


def _few(row):
    return min(len(row.a.values), len(row.b.values)) < FEWEST


class Comparison:
    """All figures that both results have, judged."""

    def __init__(self, a, b, least=LEAST, counted=COUNTED):
        self._least, self._counted = least, counted
        cells = [{cell.place: cell for cell in result.cells} for result in (a, b)]
        counts = [{(count.place, count.backend): count for count in result.counts}
                  for result in (a, b)]
        self.only = [self._names(cells[at], counts[at], cells[1 - at], counts[1 - at])
                     for at in (0, 1)]
        both = [(cells[0][place], cells[1][place]) for place in cells[0] if place in cells[1]]
        # Rows of the timed table that both have, and those that have too few pairs to be judged.
        self.timed, self.few = len(both), []
        self.rows, spreads = [], []
        for one, two in both:
            of = self._spreads(one, two)
            spreads += [(*each, least) for each in of]
            self.few += [one.name] * any(_few(row) for row, _ in of)
            self.rows += self._percentiles(one, two)
        spreads += self._storms(a, b)
        judge(spreads)
        for row, *_ in spreads:
            row.regression = row.regression and row.verdict == SLOWER
        self.rows = [row for row, *_ in spreads] + self.rows + self._guests(a, b)
        for key in counts[0]:
            if key in counts[1]:
                self.rows += self._counts(counts[0][key], counts[1][key])

    def _storms(self, a, b):
        """Rows as judge() takes them. A storm's clock is instructions, so it moves as they do from
        boot to boot: its slices, all of one boot, show nothing of that."""
        rows, (one, two) = [], self._apart(a, b, beside.storms)
        for key in (key for key in one if key in two):
            row = Row(*key, "kept", one[key].spread, two[key].spread,
                      _over(one[key].spread.median, two[key].spread.median))
            if one[key].doubt or two[key].doubt:
                row.verdict = DOUBTED
                self.rows.append(row)
            else:
                row.regression = row.backend != "stock"
                rows.append((row, True, max(self._least, self._counted)))
        return rows

    def _guests(self, a, b):
        """One sample each says little: shown."""
        one, two = self._apart(a, b, beside.guests)
        return [Row(*key, what, value, two[key][1], _over(value, two[key][1]), SINGLE)
                for key, (what, value) in one.items() if key in two]

    def _apart(self, a, b, read):
        """What READ finds in each result; what is in one only is noted."""
        found = [read(side) for side in (a, b)]
        for at in (0, 1):
            self.only[at] += [", ".join(key) for key in found[at] if key not in found[1 - at]]
        return found

    @staticmethod
    def _names(cells, counts, other_cells, other_counts):
        """What only one has: cells, counts, back ends of cells that both have, and ratios to another row."""
        names = [cell.name for place, cell in cells.items() if place not in other_cells]
        names += [f"{cell.name}, {name}, ratio to {cell.against or 'stock'}" for place, cell in cells.items()
                  if place in other_cells and cell.against != other_cells[place].against
                  for name in cell.ratio if name in other_cells[place].ratio]
        names += [f"{cell.name}, {name}" for place, cell in cells.items() if place in other_cells
                  for name in sorted({*cell.rate, *cell.ratio}
                                     - {*other_cells[place].rate, *other_cells[place].ratio})]
        return names + [f"{count.name}, {count.backend}, counted" for key, count in counts.items()
                        if key not in other_counts]

    @staticmethod
    def _spreads(one, two):
        """Rows with, for each, whether more is better. A rate depends on what else the machine did;
        a ratio is of adjacent runs. So a rate is a regression only where there is no ratio to the same row."""
        rows, alike = [], one.against == two.against
        for name in one.rate:
            if name in two.rate and one.unit == two.unit:
                a, b = one.rate[name], two.rate[name]
                rows.append((Row(one.name, name, one.unit, a, b, _over(a.median, b.median),
                                 regression=name != "stock" and not (
                                     alike and name in one.ratio and name in two.ratio)), one.unit == "pps"))
        for name in one.ratio:
            # What it was compared with has to be the same, too.
            if name in two.ratio and alike:
                a, b = one.ratio[name], two.ratio[name]
                rows.append((Row(one.name, name, "ratio", a, b, _over(a.median, b.median),
                                 regression=True), True))
        return rows

    @staticmethod
    def _percentiles(one, two):
        return [Row(one.name, name, key, a[key], b[key], _over(a[key], b[key]), SINGLE)
                for name, a in one.percentiles.items() if (b := two.percentiles.get(name))
                for key in PERCENTILES if key in a and key in b]

    def _counts(self, one, two):
        rows = []
        for kind, least in _COUNTED.items():
            if kind not in one.values or kind not in two.values:
                continue
            a, b = one.values[kind], two.values[kind]
            row = Row(one.name, one.backend, kind, a, b, _over(a, b))
            if abs(row.change) > self._counted and abs(b - a) >= least:
                row.verdict = SLOWER if b > a else FASTER
                row.regression = b > a and one.backend != "stock"
            rows.append(row)
        return rows

    def by_accident(self):
        """How many of the judged rows noise alone would be expected to part."""
        judged = [row for row in self.rows if row.chance is not None]
        return sum(accident(len(row.a.values), len(row.b.values)) for row in judged) \
            + CHANCE * bool(judged)

    @property
    def regressions(self):
        """Rows that are one."""
        return [row for row in self.rows if row.regression]

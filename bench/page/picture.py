# SPDX-License-Identifier: GPL-2.0-only
"""The picture for a document: what the page shows first, in one image that can stand alone."""

import collections
import io

from PIL import Image

from . import draw, style
from .draw import Bar, Group
from .figures import Figures

_WIDTH, _HEIGHT, _DPI = 720, 360, 120
_ROWS = 4
_BACKENDS = ("stock", "user", "direct")
_TOP, _BOTTOM, _SIDE, _BETWEEN = 62, 42, 12, 14


def _places(result):
    """The cells shown: streams of small and of full frames, where they were measured."""
    found = [cell.place for cell in result.cells if cell.ratio] + [count.place for count in result.counts]
    base = [place for place in dict.fromkeys(found) if result.is_base(place)
            and place.dir in ("tx", "rx") and not place.gso]
    wanted = [place for place in base if place.size in (64, 1500)]
    return (wanted if len(wanted) > 1 else base or list(dict.fromkeys(found)))[:_ROWS]


def _panels(result, plots):
    """(title, groups, reference) of the three plots."""
    places = _places(result)
    ratios = {cell.place: cell.ratio for cell in result.cells}
    counts = collections.defaultdict(dict)
    for count in result.counts:
        counts[count.place][count.backend] = count.values

    def groups(values, names):
        made = [Group(plots.heading(place, True), [
            Bar(name, plots.look(name), values(place)[name]) for name in names
            if values(place).get(name) is not None]) for place in places]
        return [group for group in made if group.bars]

    def counted(kind):
        return lambda place: {name: of[kind] for name, of in counts[place].items() if kind in of}
    return (("Packets a second, over stock's", groups(lambda place: ratios.get(place, {}), _BACKENDS[1:]), 1),
            ("Instructions a packet, counted", groups(counted("insns"), _BACKENDS), None),
            ("User-access windows (STAC) a packet", groups(counted("stac"), _BACKENDS), None))


def _heading(figure, result, colours):
    emulated = result.accel == "tcg"
    figure.text(_SIDE / _WIDTH, 1 - 20 / _HEIGHT, "vhost-direct beside stock vhost-net", fontsize=14,
                fontweight="bold", color=colours.ink)
    figure.text(_SIDE / _WIDTH, 1 - 38 / _HEIGHT, f"kernel {result.kernel()}, {result.how()}, "
                f"{str(result.data.get('date', ''))[:10]}; bars are medians, lines and dots the single runs",
                fontsize=9.5, color=colours.soft)
    figure.text(_SIDE / _WIDTH, 9 / _HEIGHT, "EMULATED: ratios are not a forecast for hardware. "
                # How far two boots of the same were apart: bench/README.md, "Counts".
                "Counts repeat to 1 % (busy machine: 4 %) and are not time." if emulated else
                f"Measured: {result.how()}. {result.emulated()}", fontsize=9.5, fontweight="bold" if emulated else "normal",
                color=colours.ink)


def png(result):
    """The picture, as PNG."""
    plots, colours = Figures(result), style.Colours(False)
    with style.canvas(_WIDTH, _HEIGHT, dpi=_DPI) as figure:
        figure.patch.set_facecolor(colours.paper)
        _heading(figure, result, colours)
        panels = _panels(result, plots)
        width = (_WIDTH - 2 * _SIDE - _BETWEEN * (len(panels) - 1)) / len(panels)
        for at, (title, groups, reference) in enumerate(panels):
            axes = figure.add_axes(((_SIDE + at * (width + _BETWEEN)) / _WIDTH, _BOTTOM / _HEIGHT,
                                    width / _WIDTH, (_HEIGHT - _TOP - _BOTTOM) / _HEIGHT))
            if groups:
                draw.bars(axes, colours, groups, "", reference, 34)
                axes.tick_params(labelbottom=True)
            else:
                axes.axis("off")
                axes.text(0, 0.5, "not measured", transform=axes.transAxes, color=colours.soft)
            axes.set_title(title, loc="left", fontsize=10, color=colours.ink)
        full, small = io.BytesIO(), io.BytesIO()
        figure.savefig(full, format="png", metadata={"Software": None})
    # Few tones are enough, and a repository keeps every version of it.
    with Image.open(full) as image:
        image.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
    return small.getvalue()

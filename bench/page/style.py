# SPDX-License-Identifier: GPL-2.0-only
"""How plots look, on the page and in the PNG.

A back end is told by its colour, by the hatch of its bars, by the marker and dash of its lines, and
by its name beside them: no reader depends on colours. They are those of Okabe and Ito, darkened
where white paper needs it. On the page a plot has no colours of its own: it names variables of the
page's style sheet, which knows light and dark.
"""

import collections
import contextlib
import io
import logging
import re
import warnings

import matplotlib
from matplotlib import pyplot

matplotlib.use("svg")
# A glyph that this machine's font lacks is the browser's to find.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message="Glyph .* missing from current font")

# A unit of the drawing is a pixel of the page at its normal size.
PIXEL = 1 / 72
WIDTH = 384

Look = collections.namedtuple("Look", "light dark hatch marker dash")
LOOKS = (
    Look("#66707b", "#9ba6b2", "", "o", "-"),
    Look("#b5651d", "#e69f4c", "////", "^", (0, (5, 2))),
    Look("#0072b2", "#56b4e9", "", "s", "-"),
    Look("#00795a", "#2fc39a", "xxxx", "D", (0, (1, 1.5))),
    Look("#a4476f", "#dd8fb0", "....", "v", (0, (6, 2, 1, 2))),
    Look("#6a5acd", "#a99cf0", "\\\\\\\\", "P", (0, (3, 3))),
)
# NAME: (light, dark)
_TONES = {"ink": ("#1b1f24", "#e6edf3"), "soft": ("#57606a", "#a4afba"),
          "line": ("#d0d7de", "#343b44"), "paper": ("#ffffff", "#161b22"),
          "storm": ("#f6d5c6", "#4a2a20")}
_MARK = "#a1b2"


class Colours:
    """What plots are drawn in: .ink, .soft, .line, .paper, .storm and .of(number)."""

    def __init__(self, themed):
        names = list(_TONES)
        for at, name in enumerate(names):
            setattr(self, name, f"{_MARK}{at:02x}" if themed else _TONES[name][0])
        self._themed, self._first = themed, len(names)

    def of(self, number):
        """The colour of LOOKS[NUMBER]."""
        return f"{_MARK}{self._first + number:02x}" if self._themed else LOOKS[number].light


def variables(dark):
    """The style sheet's variables for plots."""
    tones = [f"--{name}:{pair[dark]}" for name, pair in _TONES.items()]
    return ";".join(tones + [f"--b{at}:{(look.light, look.dark)[dark]}"
                             for at, look in enumerate(LOOKS)])


def look(name, names):
    """The number of a back end's look: the known ones keep theirs in every file."""
    known = ("stock", "user", "direct", "pinned")
    if name in known:
        return known.index(name)
    others = [each for each in names if each not in known]
    return len(known) + others.index(name) % (len(LOOKS) - len(known))


@contextlib.contextmanager
def canvas(width, height, salt="", dpi=72):
    """A figure of WIDTH x HEIGHT units; text is never read as a formula."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False,
                "font.family": "DejaVu Sans", "font.size": 11, "hatch.linewidth": 1.1,
                "path.simplify": False, "axes.formatter.useoffset": False}
    with matplotlib.rc_context(settings):
        figure = pyplot.figure(figsize=(width * PIXEL, height * PIXEL), dpi=dpi)
        try:
            yield figure
        finally:
            pyplot.close(figure)


def svg(figure, prefix):
    """The view box and the content of a figure's SVG."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True)
    return _themed(out.getvalue(), prefix)


def _themed(text, prefix):
    """matplotlib's SVG as part of a page: variables for colours, ids of its own, no metadata."""
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    names = [*_TONES, *(f"b{at}" for at in range(len(LOOKS)))]
    text = re.sub(_MARK + r"([0-9a-f]{2})", lambda found: f"var(--{names[int(found[1], 16)]})", text)
    text = re.sub(r'fill="(var\(--\w+\))"', r'style="fill: \1"', text).replace("xlink:href=", "href=")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"',
                 lambda found: f' id="{prefix}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", text)
    # The page's style sheet has the size; here is the shape alone.
    box = re.search(r'viewBox="([^"]*)"', text)[1]
    body = text[text.index(">", text.index("<svg")) + 1:]
    body = re.sub(r"\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    return box, _smaller(re.sub(r"\n\s*", "\n", body).strip().removesuffix("</svg>"))


def _smaller(body):
    """The same drawing in fewer bytes: a hundredth of a pixel is exact enough, and the marks of a
    line share a style."""
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), body)
    body = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", body)
    return re.sub(r'<g([^>]*)>((?:\s*<use [^>]*? style="([^"]*)"/>)(?:\s*<use [^>]*? style="\3"/>)*\s*)</g>',
                  lambda found: f'<g{found[1]} style="{found[3]}">'
                  + found[2].replace(f' style="{found[3]}"', "") + "</g>", body)

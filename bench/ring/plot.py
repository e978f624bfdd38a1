# SPDX-License-Identifier: GPL-2.0-only
"""The plot of bench-ring: ticks a packet of both sides, as an SVG drawing."""

from xml.sax.saxutils import escape

LEFT, WIDTH, BAR, GAP, TOP = 190, 460, 11, 12, 64
COLOURS = {"ours": "#1f6f8b", "dpdk": "#c9c3b4"}


def _text(x, y, text, size=11, anchor="start", colour="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}">{escape(text)}</text>')


def _bar(y, side, at, scale):
    end = LEFT + at["ticks"] * scale
    middle = y + BAR / 2
    low, high = LEFT + at["low"] * scale, LEFT + min(at["high"] * scale, WIDTH * 1.1)
    return [f'<rect x="{LEFT}" y="{y:.1f}" width="{end - LEFT:.1f}" height="{BAR}" '
            f'fill="{COLOURS[side]}"/>',
            f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" stroke="#222"/>',
            _text(max(end, high) + 5, y + BAR - 2, f"{at['ticks']:.1f}", 10)]


def draw(report):
    """The drawing, as text: one panel a frame size, quartiles as lines."""
    rows = report["rows"]
    parts, y = [], TOP
    for size in sorted({at["bytes"] for at in rows}):
        panel = [at for at in rows if at["bytes"] == size]
        scale = WIDTH / max(at[side]["ticks"] for at in panel for side in COLOURS)
        parts.append(_text(10, y, f"{size} bytes, TSC ticks a packet", 13))
        y += 12
        for at in panel:
            goal = f", target {at['target']}" if at["target"] else ""
            parts.append(_text(LEFT - 8, y + BAR + 3, f"{at['kind']} {at['direction']}", 11, "end"))
            parts.append(_text(LEFT + WIDTH + 110, y + BAR + 3, f"ratio {at['ratio']:.2f}{goal}"))
            for side in COLOURS:
                parts += _bar(y, side, at[side], scale)
                y += BAR
            y += GAP
        y += 20
    title = (f"{report['host']['processor']}; {report['peer']['version']}; one core, the better of "
             f"bursts of 32 and 64, ring {report['run']['ring']}, median and quartiles of "
             f"{report['run']['rounds']} rounds")
    head = [_text(10, 20, "Host side of a virtqueue: the ring engine (dark) and DPDK's vhost", 14),
            _text(10, 38, title, 10, colour="#555")]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{y}" '
        f'viewBox="0 0 900 {y}" font-family="sans-serif">',
        "<!-- SPDX-License-Identifier: GPL-2.0-only -->",
        f'<rect width="900" height="{y}" fill="#fff"/>', *head, *parts, "</svg>", ""])

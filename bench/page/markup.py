# SPDX-License-Identifier: GPL-2.0-only
"""HTML that can't be injected into: whatever isn't Markup is text and is escaped."""

import html


class Markup(str):
    """Text that is HTML already."""


VOID = ("meta", "br", "link")


def text(value):
    """VALUE as HTML."""
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def join(parts):
    """Parts one after the other; None is nothing."""
    return Markup("".join(text(part) for part in parts if part is not None))


def tag(name, /, *parts, **attributes):
    """An element. An attribute's name loses a trailing "_", and inner ones become "-"."""
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"')
    opened = f"<{' '.join(words)}>"
    return Markup(opened if name in VOID else f"{opened}{join(parts)}</{name}>")


def table(head, rows, caption=None, numbers=True):
    """A table in a box that scrolls by itself; the first column names the row."""
    kind = "numbers" if numbers else None
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:]))
            for row in rows]
    return tag("div", tag("table", tag("caption", caption) if caption else None,
                          tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head))),
                          tag("tbody", *body), class_=kind),
               class_="scroll", tabindex="0", role="region", aria_label=caption or head[0])


def details(summary, *parts):
    """What is read on request, but always printed."""
    return tag("details", tag("summary", summary), *parts)


def facts(pairs):
    """Names and values."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in pairs))

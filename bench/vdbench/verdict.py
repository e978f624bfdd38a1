# SPDX-License-Identifier: GPL-2.0-only
"""What a row must reach beside stock, which rows are to be looked at again, and what is said of them.

With two pairs a row's median is a row's worse half as often as not, so nothing is judged by them: a row
that seems to be too slow is measured once more, with all rounds, and that second look alone counts.
"""

# Nothing may be slower than this.
FLOOR = 0.97
# What windows have to gain where SMAP costs most: small frames sent, on the oldest kernel.
GAIN = 1.15
_GAIN_KERNEL = "6.1."
# Pairs from which a median is judged.
ENOUGH = 4
_NOT_JUDGED = ("pinned",)


def least(entry, name, kernel):
    """What back end NAME must reach in the cell ENTRY, beside stock of KERNEL."""
    gains = (name == "direct" and entry["dir"] == "tx" and entry["size"] == 64 and entry["smap"] and
             entry["generator"] == "vring" and not entry.get("against") and kernel.startswith(_GAIN_KERNEL))
    return GAIN if gains else FLOOR


def below(entry, kernel):
    """The back ends that reach less in this cell by their median: [(name, spread, what is wanted)]."""
    return [(name, ratio, least(entry, name, kernel)) for name, ratio in entry["ratio"].items()
            if name not in _NOT_JUDGED and ratio["median"] < least(entry, name, kernel)]


def failed(cells, kernel):
    """The cells that are below what they must reach, by enough pairs."""
    return [entry for entry in cells
            if any(ratio["n"] >= ENOUGH for _, ratio, _ in below(entry, kernel))]


def lines(cells, kernel):
    """For scripts: what is below; or that nothing is."""
    found = [f"floor: {entry['cell']} {name}/stock={ratio['median']:.2f} below {wanted} pairs={ratio['n']}"
             f"{'' if ratio['n'] >= ENOUGH else ' too few to judge'}"
             for entry in cells for name, ratio, wanted in below(entry, kernel)]
    found += [f"floor: {entry['cell']} was looked at again, before: " + " ".join(
        f"{name}/stock={ratio['median']:.2f}" for name, ratio in entry["first"].items())
              for entry in cells if entry.get("first")]
    if not any(below(entry, kernel) for entry in cells):
        found += [f"floor: none of {len(cells)} rows below what it must reach"] * bool(cells)
    return found

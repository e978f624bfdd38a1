# SPDX-License-Identifier: GPL-2.0-only
"""The tables that people read and the lines that scripts read."""

from . import bottleneck, verdict

# Runs of the same thing in two rounds, further apart than this: say so.
_NOISY = 1.3
WIDTH = 100


def spread(value, form=lambda value: f"{value:.2f}"):
    """Median and, in brackets, the extremes."""
    if not value:
        return "-"
    return f"{form(value['median'])} ({form(value['min'])}-{form(value['max'])})"


def grid(head, rows):
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(str(row[at])) for row in [head, *rows]) for at in range(len(head))]
    def line(row):
        first, *others = (str(cell) for cell in row)
        return "  ".join([first.ljust(widths[0]),
                          *(cell.rjust(width) for cell, width in zip(others, widths[1:]))])
    return [line(head), *map(line, rows)]


def _wrapped(text, width=WIDTH):
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def heading(out):
    """What the figures were taken on."""
    facts, machine, accel, meanwhile = (out[key] for key in ("facts", "machine", "accel",
                                                             "neighbours"))
    how = "EMULATED (TCG): ratios are not a forecast for hardware" if accel == "tcg" else accel
    if accel == "host" and "hypervisor" in facts["flags"]:
        how += ", a virtual machine itself: its figures are no hardware's"
    bugs = {name: text for name, text in facts["mitigations"].items() if text != "Not affected"}
    lines = [f"stock is vhost_net of {facts['kernel']}; {how}",
             f"{machine['qemu']}; processor {facts['cpu']}, SMAP {'on' if facts['smap'] else 'OFF'}, "
             f"erms {'on' if facts['erms'] else 'off'}, fsrm {'on' if facts['fsrm'] else 'off'}",
             "mitigations: " + ("; ".join(f"{name}: {text}" for name, text in bugs.items()) or "none")]
    # What is counted depends on no neighbour: where nothing was timed they weren't watched.
    if meanwhile:
        others = f"others used {meanwhile['others']:.0%} of this machine and " if "others" in meanwhile else ""
        lines.append(f"meanwhile {others}{meanwhile['stolen']:.0%} was stolen"
                     f"{'' if accel == 'host' else '; the VM went first'}")
    return [part for line in lines for part in _wrapped(line)]


def _ratio(value):
    return f"{value['median']:.2f} {value['min']:.2f}-{value['max']:.2f}" if value else "-"


def _deviation(entry):
    """How far stock beside stock was apart, at worst."""
    noise = entry["noise"]
    return max(noise["max"], 1 / noise["min"]) if noise and noise["min"] else None


def _noise(entry):
    worst = _deviation(entry)
    return f"{worst:.2f}{'!' if worst > _NOISY else ''}" if worst else "-"


def _mark(entry):
    short = entry["short"].replace("65535gso", "64K").replace("hugetlb", "2M")
    marks = {"*": entry.get("against"), "+": entry.get("first"),
             bottleneck.MARK: bottleneck.of(entry)}
    return short + "".join(mark for mark, is_so in marks.items() if is_so)


def _first_looks(entries):
    """Notes on rows that were measured twice: what the row doesn't show."""
    notes = []
    for entry in entries:
        if entry.get("first"):
            seen = ", ".join(f"{name} {_ratio(value)}" for name, value in entry["first"].items())
            pairs = max(value["n"] for value in entry["first"].values())
            notes += _wrapped(f"+ {entry['short']} seemed too slow and was measured once more: its row is of the "
                              f"second look alone; the first was {seen} of stock, pairs: {pairs}")
    return notes


def rates(cells, others):
    """Rates, ratios to stock with their extremes, and what noise alone did."""
    table = [entry for entry in cells if entry["unit"] == "pps" and entry["rate"]]
    names = [name for name in others if any(name in entry["ratio"] for entry in table)]
    rows = [[_mark(entry), _first(entry), *(_ratio(entry["ratio"].get(name)) for name in names),
             _noise(entry)] for entry in table]
    head = ["kpps; others: x stock", "stock", *names, "noise"]
    notes = ["median and extremes of the ratios; noise: stock from round to round, at worst",
             "64K: GSO frames of 65535"]
    if any(entry.get("against") for entry in table):
        notes += _wrapped("* stock lacks this layout: kpps are those of metadata=direct, the ratio is "
                          "to stock's split ring")
    if any((_deviation(entry) or 1) > _NOISY for entry in table):
        notes.append(f"! stock in one round and in the next differed by more than {_NOISY - 1:.0%}")
    if any(bottleneck.of(entry) for entry in table):
        notes.append(f"{bottleneck.MARK} {bottleneck.MEANING}")
    return grid(head, rows) + notes + _first_looks(table) if rows else []


def _first(entry):
    """The rate that the row begins with: stock's, or ours if there is none."""
    for name in ("stock", "direct", "user"):
        if entry["rate"].get(name):
            return f"{entry['rate'][name]['median'] / 1000:.0f}"
    return "-"


def trips(cells, others):
    """Round trips."""
    rows = []
    for entry in cells:
        if entry["unit"] != "ns":
            continue
        for name, each in entry["percentiles"].items():
            rows.append([_mark(entry), name,
                         *(f"{each[key] / 1000:.0f}" for key in ("p50", "p99", "p999")),
                         _ratio(entry["ratio"].get(name)) if name in others else ""])
    notes = _first_looks(entry for entry in cells if entry["unit"] == "ns")
    return grid(["round trip, us", "", "p50", "p99", "p99.9", "stock/this"], rows) + notes if rows else []


def counts(entries):
    """What the worker's processor executes for a packet."""
    kinds = ("insns", "stac", "clac", "lfence", "lock", "rep")
    rows = [[f"{entry['short']}, {entry['backend']}", f"{entry['insns']:.0f}",
             *(f"{entry[kind]:.2f}" for kind in kinds[1:])] for entry in entries]
    return grid(["a packet, counted", "instr", "STAC", "CLAC", "LFENCE", "LOCK", "rep"], rows) + [
        "counted and storms: emulated (TCG), whatever carried out the rest; instructions, not time"]


def nested(found):
    """The real guest's figures."""
    rows = []
    for name, tests in found.items():
        ping, tx, rx = (tests.get(test, {}) for test in ("ping", "tx", "rx"))
        rows.append([name, ping.get("avg_us", "-"), f"{ping.get('received', 0)}/{ping.get('sent', 0)}",
                     tx.get("pps", "-"), rx.get("pps", "-"), tests.get("error", "ok")])
    return grid(["nested guest", "ping us", "answered", "tx pps", "rx pps", ""], rows)


def absences(cells, skipped):
    """Why a row, or a back end in a row, isn't there: a line a reason."""
    reasons = {}
    for entry in cells:
        for name, reason in entry["absent"].items():
            reasons.setdefault((f"not measured, {name}", reason), []).append(entry["short"])
    for each in skipped:
        what = " ".join(["not", each.get("part", "measured")])
        if each.get("backend"):
            what += f", {each['backend']}"
        reasons.setdefault((what, each["reason"]), []).append(each["cell"])
    return [part for (what, reason), of in reasons.items() for part in _wrapped(
        f"{what}: {reason} ({len(of)} row{'s' if len(of) > 1 else ''}: {', '.join(of[:4])}"
        f"{', ...' if len(of) > 4 else ''})")]


def unread(runs):
    """Which runs' programs didn't tell what they negotiated with the back end: a line, if any."""
    found = {f"{run['cell']} on {run['backend']}": None for run in runs
             if "result" in run and run["result"].get("features", "") is None}
    text = f"not known, negotiated features: testpmd's log doesn't tell them ({', '.join(found)})"
    return _wrapped(text) if found else []


def script_lines(cells, entries, others, kernel=""):
    """One line a cell, for scripts: no column moves, no value has a blank."""
    lines = []
    for entry in entries:
        lines.append(f"count: {entry['cell']} {entry['backend']} insns={entry['insns']:.0f} "
                     f"stac={entry['stac']:.2f} clac={entry['clac']:.2f} lfence={entry['lfence']:.2f}")
    for entry in cells:
        values = " ".join(f"{name}/stock={entry['ratio'][name]['median']:.2f}"
                          for name in reversed(others) if entry["ratio"].get(name))
        if values:
            lines.append(f"bench: {entry['cell']} {values}")
    return lines + verdict.lines(cells, kernel)

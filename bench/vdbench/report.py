# SPDX-License-Identifier: GPL-2.0-only
"""The tables that people read and the lines that scripts read."""

# Two runs of the same thing, side by side, further apart than this: say so.
_NOISY = 1.3


def spread(value, form=lambda value: f"{value:.2f}"):
    """Median and, in brackets, the extremes."""
    if not value:
        return "-"
    return f"{form(value['median'])} ({form(value['min'])}-{form(value['max'])})"


def _kpps(value):
    return f"{value / 1000:.0f}"


def grid(head, rows):
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(len(str(row[at])) for row in [head, *rows]) for at in range(len(head))]
    def line(row):
        first, *others = (str(cell) for cell in row)
        return "  ".join([first.ljust(widths[0]),
                          *(cell.rjust(width) for cell, width in zip(others, widths[1:]))])
    return [line(head), *map(line, rows)]


def heading(out):
    """What the figures were taken on."""
    facts, machine, accel, meanwhile = (out[key] for key in ("facts", "machine", "accel",
                                                             "neighbours"))
    how = "EMULATED (TCG): ratios are not a forecast for hardware" if accel == "tcg" else accel
    bugs = {name: text for name, text in facts["mitigations"].items() if text != "Not affected"}
    return [f"stock is vhost_net of {facts['kernel']}; {how}",
            f"{machine['qemu']}; processor {facts['cpu']}, SMAP {'on' if facts['smap'] else 'OFF'}, "
            f"erms {'on' if facts['erms'] else 'off'}, fsrm {'on' if facts['fsrm'] else 'off'}",
            "mitigations: " + ("; ".join(f"{name}: {text}" for name, text in bugs.items()) or "none"),
            f"meanwhile others used {meanwhile['others']:.0%} of this machine and "
            f"{meanwhile['stolen']:.0%} was stolen; the VM went first"]


def rates(table, others):
    """Rates and ratios: median (minimum-maximum)."""
    head = ["kpps, median (min-max)", "stock", *others, *(f"{name}/stock" for name in others),
            "stock/stock"]
    rows = [[entry["cell"], *(spread(entry["pps"][name], _kpps) for name in ("stock", *others)),
             *(spread(entry["ratio"][name]) for name in others),
             spread(entry["noise"])] for entry in table]
    return grid(head, rows) + [_noisy(entry) for entry in table if _noisy(entry)]


def _noisy(entry):
    noise = entry["noise"]
    worst = max(noise["max"], 1 / noise["min"]) if noise else 1
    return f"noisy: {entry['cell']}: stock beside stock differed by {worst:.2f}" if worst > _NOISY else ""


def counts(entries):
    """What the worker's processor executes for a packet."""
    kinds = ("insns", "stac", "clac", "lfence", "lock", "rep")
    rows = [[f"{entry['cell']}, {entry['backend']}", f"{entry['insns']:.0f}",
             *(f"{entry[kind]:.2f}" for kind in kinds[1:])] for entry in entries]
    return grid(["a packet, counted", "instr", "STAC", "CLAC", "LFENCE", "LOCK", "rep"], rows)


def nested(found):
    """The real guest's figures."""
    rows = []
    for name, tests in found.items():
        ping, tx, rx = (tests.get(test, {}) for test in ("ping", "tx", "rx"))
        rows.append([name, ping.get("avg_us", "-"), f"{ping.get('received', 0)}/{ping.get('sent', 0)}",
                     tx.get("pps", "-"), rx.get("pps", "-"), tests.get("error", "ok")])
    return grid(["nested guest", "ping us", "answered", "tx pps", "rx pps", ""], rows)


def script_lines(table, entries, others):
    """One line a cell, for scripts: no column moves, no value has a blank."""
    lines = []
    for entry in entries:
        lines.append(f"count: {entry['cell']} {entry['backend']} insns={entry['insns']:.0f} "
                     f"stac={entry['stac']:.2f} clac={entry['clac']:.2f} lfence={entry['lfence']:.2f}")
    for entry in table:
        values = " ".join(f"{name}/stock={entry['ratio'][name]['median']:.2f}"
                          for name in reversed(others) if entry["ratio"][name])
        lines.append(f"bench: {entry['cell']} {values}")
    return lines

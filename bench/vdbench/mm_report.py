# SPDX-License-Identifier: GPL-2.0-only
"""bench-mm's tables, and its lines for scripts."""

from . import mm_stats, report, stats

# Beside figures that aren't of what their row says; below the table is why.
_MARK = " ?"


def doubts(rows):
    """Which figures aren't of what their row says, and why: a line each."""
    return [f"{row['where']} {row['rate']}, {name}: {why}"
            for row in rows for name, why in row["doubts"].items()]


def windowless(rows):
    """The same of latencies, a line a back end and place."""
    found = {(row["place"], row["backend"]): row["doubt"] for row in rows if "doubt" in row}
    return [f"{_place(place)}, {name}, busy: {why}" for (place, name), why in found.items()]


def _place(place):
    return "the ring" if place == "ring" else "other memory"


def storms(rows, others, title):
    """Rates under invalidations, as shares of the undisturbed rate."""
    names = ("stock", *others)
    head = ["invalidations a second:", *(f"reached, {name}" for name in names), "windows taken",
            *(f"kept, {name}" for name in names), *(f"{name}/stock" for name in others)]
    table = []
    for row in rows:
        mark = _MARK if row["doubts"] else ""
        table.append([f"{row['where']} {row['rate']}{mark}",
                      *(row["reached"][name] for name in names), row["taken"][others[-1]],
                      *(report.spread(row["kept"][name]) for name in names),
                      *(report.spread(row["over_stock"][name]) for name in others)])
    notes = [f"{title}; none: the storm's thread is woken and does nothing"]
    if any(row["where"] == "numa" for row in rows):
        notes.append("numa: reached are page-table entries that NUMA balancing's scans changed")
    return report.grid(head, table) + notes + [f"? {line}" for line in doubts(rows)]


def brief(entries):
    """bench.json's storms: what of the rate is kept during them."""
    found, why = {}, {}
    for entry in entries:
        run, key = {"result": {"storm": entry}}, (entry["where"], entry["rate"])
        found.setdefault(key, {})[entry["backend"]] = stats.spread(mm_stats.kept(run))
        reason = mm_stats.doubt(*key, entry["backend"], [run])
        if reason:
            why.setdefault(key, {})[entry["backend"]] = reason
    names = list(dict.fromkeys(entry["backend"] for entry in entries))
    rows = [[f"{where} {rate}{_MARK if (where, rate) in why else ''}",
             *(report.spread(of.get(name)) for name in names)]
            for (where, rate), of in found.items()]
    notes = doubts({"where": where, "rate": rate, "doubts": of}
                   for (where, rate), of in why.items())
    return report.grid(["invalidations a second", *(f"kept, {name}" for name in names)], rows) + [
        "kept: rate in the storm over that beside it; hit: the ring's pages, miss: others, none: a thread",
        "is woken and does nothing; emulated: one processor, its instructions as the clock",
        *(f"? {line}" for line in notes)]


def latencies(rows, names):
    """Microseconds an operation takes: p50 / p99 / max."""
    columns = [(state, name) for state in ("idle", "busy") for name in names]
    table = []
    for operation in mm_stats.OPERATIONS:
        for place in mm_stats.PLACES:
            mine = {(row["state"], row["backend"]): row for row in rows
                    if (row["operation"], row["place"]) == (operation, place)}
            cells = ["/".join(f"{mine[key][what] / 1000:.0f}" for what in ("p50", "p99", "max")) +
                     (_MARK if "doubt" in mine[key] else "") if key in mine else "-"
                     for key in columns]
            table.append([f"{operation}, {_place(place)}", *cells])
    head = ["us: p50/p99/max", *(f"{name}, {state}" for state, name in columns)]
    return report.grid(head, table) + ["busy: the worker moves packets all the time; munmap is "
                                       "mmap() of the same pages over the old mapping",
                                       *(f"? {line}" for line in windowless(rows))]


def misses(entries):
    """Instructions of callbacks that concern no ring."""
    table = [[entry["queues"], entry["rings"], f"{entry['miss']:.0f}", f"{entry['age']:.0f}"]
             for entry in entries]
    return report.grid(["queue pairs", "rings", "start and end, instr", "a page's age, instr"], table) + [
        "counted: emulated (TCG), whatever carried out the rest; instructions, not time"]


def script_lines(begin, rows, others):
    """A line a row, with BEGIN before it; the last of OTHERS is "ours"."""
    ours, lines = others[-1], []
    for row in rows:
        what = f"{begin} {row['where']} {row['rate']}/s"
        why = [f"{name}: {row['doubts'][name]}" for name in ("stock", ours)
               if name in row["doubts"]]
        if why:
            # No figure: a script would take it for that of the storm that was asked for.
            lines.append(f"{what} not judged: {'; '.join(why)}")
        elif row["kept"][ours] and row["kept"]["stock"] and row["over_stock"][ours]:
            lines.append(f"{what} kept={row['kept'][ours]['median']:.3f} "
                         f"stock-kept={row['kept']['stock']['median']:.3f} "
                         f"ours/stock={row['over_stock'][ours]['median']:.2f}")
    return lines

# SPDX-License-Identifier: GPL-2.0-only
"""bench-mm's tables, and its lines for scripts."""

from . import mm_stats, report, stats

# What the storm's thread reaches, of what it was asked for, to be called that rate.
_REACHED = 0.9


def storms(rows, others, title):
    """Rates under invalidations, as shares of the undisturbed rate."""
    names = ("stock", *others)
    head = ["invalidations a second:", *(f"reached, {name}" for name in names), "windows taken",
            *(f"kept, {name}" for name in names), *(f"{name}/stock" for name in others)]
    table = []
    for row in rows:
        table.append([f"{row['where']} {row['rate']}", *(row["reached"][name] for name in names),
                      row["taken"][others[-1]],
                      *(report.spread(row["kept"][name]) for name in names),
                      *(report.spread(row["over_stock"][name]) for name in others)])
    notes = [f"{title}; none: the storm's thread is woken and does nothing"]
    if any(row["where"] == "numa" for row in rows):
        notes.append("numa: reached are page-table entries that NUMA balancing's scans changed")
    for row in rows:
        short = [name for name in names if row["reached"][name] < _REACHED * row["rate"]]
        if row["where"] != "numa" and short:
            notes.append(f"{row['where']} {row['rate']}: not reached on {', '.join(short)}: this "
                         "machine makes no more")
    return report.grid(head, table) + notes


def brief(entries):
    """bench.json's storms: what of the rate is kept during them."""
    found = {}
    for entry in entries:
        kept = mm_stats.kept({"result": {"storm": entry}})
        found.setdefault((entry["where"], entry["rate"]), {})[entry["backend"]] = stats.spread(kept)
    names = list(dict.fromkeys(entry["backend"] for entry in entries))
    rows = [[f"{where} {rate}", *(report.spread(of.get(name)) for name in names)]
            for (where, rate), of in found.items()]
    return report.grid(["invalidations a second", *(f"kept, {name}" for name in names)], rows) + [
        "kept: rate in the storm over that beside it; hit: the ring's pages, miss: others, none: a thread",
        "is woken and does nothing; emulated: one processor, its instructions as the clock"]


def latencies(rows, names):
    """Microseconds an operation takes: p50 / p99 / max."""
    columns = [(state, name) for state in ("idle", "busy") for name in names]
    table = []
    for operation in mm_stats.OPERATIONS:
        for place in mm_stats.PLACES:
            mine = {(row["state"], row["backend"]): row for row in rows
                    if (row["operation"], row["place"]) == (operation, place)}
            cells = ["/".join(f"{mine[key][what] / 1000:.0f}" for what in ("p50", "p99", "max"))
                     if key in mine else "-" for key in columns]
            table.append([f"{operation}, {'the ring' if place == 'ring' else 'other memory'}", *cells])
    head = ["us: p50/p99/max", *(f"{name}, {state}" for state, name in columns)]
    return report.grid(head, table) + ["busy: the worker moves packets all the time; munmap is "
                                       "mmap() of the same pages over the old mapping"]


def misses(entries):
    """Instructions of callbacks that concern no ring."""
    table = [[entry["queues"], entry["rings"], f"{entry['miss']:.0f}", f"{entry['age']:.0f}"]
             for entry in entries]
    return report.grid(["queue pairs", "rings", "start and end, instr", "a page's age, instr"], table)


def script_lines(begin, rows, others):
    """A line a row, with BEGIN before it; the last of OTHERS is "ours"."""
    ours = others[-1]
    return [f"{begin} {row['where']} {row['rate']}/s kept={row['kept'][ours]['median']:.3f} "
            f"stock-kept={row['kept']['stock']['median']:.3f} "
            f"ours/stock={row['over_stock'][ours]['median']:.2f}"
            for row in rows if row["kept"][ours] and row["kept"]["stock"] and row["over_stock"][ours]]

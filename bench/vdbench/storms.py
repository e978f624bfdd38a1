# SPDX-License-Identifier: GPL-2.0-only
"""The storms' boot: packets in slices of time while invalidations hit or miss the ring."""

from . import boots, lab, mm_plan, mm_stats, plan

_RATE, _SLICES, _SLICE_MS = 1000, 8, 150
# What a boot takes, and a run, in seconds: its clock is slower than that on the wall.
_BOOT, _RUN = 15, 5


def _runs(others):
    chosen = [mm_plan.Storm(where, _RATE) for where in ("none", "miss", "hit")]
    names = [name for name in others if name == "direct"] or list(others[:1])
    return mm_plan.storm_runs(chosen, names, 1, _SLICES, _SLICE_MS, exact=True)


def estimate(others):
    """Seconds that run() will take."""
    return _BOOT + _RUN * len(_runs(others))


def run(others, folder, options=(), on_run=lambda run: True):
    """Returns (entries, runs, boot, failure): one entry a back end and kind, of the runs that ON_RUN calls good.

    Each run, and each entry, is of stock and of metadata=direct, or of what there is of OTHERS. FAILURE is why
    the boot failed after it had made these runs, or None.
    """
    wanted = _runs(others)
    lab.say(f"storms: {len(wanted)} runs on one processor that counts")
    found, runs, boot, failure = [], [], None, None
    try:
        for line in plan.execute(plan.make(wanted), folder,
                                 [*options, "--icount", "--smp", "1", "--accel", "tcg"],
                                 timeout=90 + 20 * len(wanted)):
            if "facts" in line:
                boot = boots.describe(line["facts"], folder)
            if "run" in line:
                runs.append(line["run"])
                if "skipped" not in line["run"] and on_run(line["run"]):
                    found.append(_entry(line["run"]))
    except lab.BenchError as error:
        # What was measured before is none the worse for it.
        if not runs:
            raise
        failure = error
    return found, runs, boot, failure


def wrong(entries):
    """What these ENTRIES of run() show to be broken, as bench-mm has it."""
    return [f"{entry['where']} {entry['rate']}, {entry['backend']}: no window was taken away" for entry in entries
            if mm_stats.missed(entry["where"], entry["backend"], sum(one[-1] for one in entry["slices"]))]


def _entry(run):
    where, rate = run["cell"].split()
    return {"backend": run["backend"], "where": where, "rate": int(rate),
            "slices": run["result"]["storm"]["slices"]}

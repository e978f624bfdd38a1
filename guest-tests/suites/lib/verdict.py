# SPDX-License-Identifier: GPL-2.0-only
"""What a run of a cell of the memory-event matrix comes to.

There are two classes of failure. Want of time explains what _time() finds: events that were few, or
were refused by whoever held a page for a moment, reclaim that took nothing, windows that were not
there when they were struck or aren't back yet. More time may show more: it is tried again, for
longer. All else counts the first time: what _certain() finds was counted wrongly or should not have
happened at all, as traffic that was lost or changed; a second run without it would prove nothing.

Nothing here asks the machine: lab/tests/test_matrix.py has it judge runs that it made up.
"""

import dataclasses

# As which kinds of callback the kernel tells an event; hugetlb pages may have another.
TOLD = {"munmap": "unmap", "mremap": "unmap clear", "readonly": "protect", "noaccess": "protect",
        "split": "protect", "dontneed": "clear", "free": "clear", "pageout": "clear",
        "cgroup": "clear", "fork": "clean clear", "ksm": "clear", "ksmtwin": "clear",
        "thpsplit": "clear", "khugepaged": "clear", "compacted": "clear", "movepages": "clear",
        "numa": "protect", "punch": "clear unmap", "truncate": "clear unmap", "writeback": "clean",
        "verify": "clean", "hugeother": "unmap", "uffdmiss": "clear unmap", "uffdwp": "protect",
        "uffdmove": "clear",
        "softdirty": "softdirty", "clearsoft": "softdirty", "age": "", "cold": "clear",
        "balloon": "clear", "unrelated": "unmap", "neighbour": "protect", "softoffline": "clear",
        "hwpoison": "clear unmap"}
# Before these the kernel asks whether the pages were used lately.
ASKED = ("cgroup",)
# These may find nothing to do: pages that are clean already, a scan of somebody else's memory.
SOMETIMES = ("writeback", "verify", "numa")
# Whether these are told each time isn't theirs to say: reclaim may find no page.
NOT_EACH = SOMETIMES + ("cgroup", "free", "pageout")
# Checks in these look back at what the event before did: there must be several.
LOOK_BACK = {"free": 3, "ksmtwin": 2, "uffdwp": 2, "softdirty": 2}
# These leave memory on huge pages if it was: there it is looked at in the end, too.
STAYS_HUGE = ("age", "hugeother", "unrelated", "neighbour", "clearsoft", "softdirty", "compacted",
              "numa")


@dataclasses.dataclass
class Spec:
    """What a cell is: its column, the table's word, without windows (u), many events at once."""

    column: str
    expect: str
    user: bool = False
    mixed: bool = False
    # A short turn of many hasn't the time for each event.
    short: bool = False


def judge(spec, run):
    """Why a run isn't right, or an empty string; and whether to try again."""
    why = run.wrong()
    if why:
        return why, False
    if run.json.get("told_before") is None:
        return "vring was not told of callbacks", False
    events = run.json.get("events", {})
    why = _certain(spec, run, events)
    if why:
        return f"certain: {why}", False
    why = huge(spec.column, run.json, "" if spec.mixed else next(iter(events), ""))
    if why:
        return why, False
    why = _time(spec, run, events)
    return why, bool(why)


def huge(column, said, event=""):
    """Why memory that a driver SAID this of was not on its COLUMN's pages, or an empty string."""
    if column not in ("4k", "thp"):
        return ""
    whole, begin, end = said["mem_kb"], said["huge_kb"], said.get("huge_kb_end", 0)
    if column == "4k" and begin:
        return f"{begin} of {whole} KiB were on huge pages"
    if column == "thp" and begin < whole:
        return f"only {begin} of {whole} KiB were on huge pages"
    if column == "thp" and event in STAYS_HUGE and end < whole:
        return f"only {end} of {whole} KiB are left on huge pages, though {event} takes none away"
    return ""


def _certain(spec, run, events):
    """What no want of time explains, or an empty string."""
    early, late = run.json["told_before"], run.json["told_after"]
    counted = run.stat("inval_hit") + run.stat("inval_missed")
    # Of those that were under way in between nobody knows.
    low, high = early.get("sets", [0, 0])[1], late.get("sets", [0, 0])[0]
    if not low <= counted <= high:
        return f"the kernel told of {low}..{high} invalidations of rings, {counted} were counted"
    if spec.expect == "n" and _touched(spec, late):
        return f"the kernel should leave the rings alone, and told of {late}"
    if spec.user or spec.expect == "r":
        direct, maps = run.each("bursts_direct"), run.stat("maps")
        return (f"this memory has no windows: {direct} bursts direct, {maps} maps"
                if sum(direct) or maps else "")
    hits = run.each("inval_hit")
    if spec.expect in "bn" and sum(hits):
        return f"an event that concerns no ring took windows away: inval_hit {hits}"
    return _each(events, spec, lambda name: name not in NOT_EACH)


def _touched(spec, told):
    """Whether the kernel did something to rings that an event should leave alone.

    Pages of a file on a disk are written back when it is time, whatever the event: made clean.
    """
    own = {"clean"} if spec.column == "ext4" else set()
    kinds = {kind for kind, (over, _) in told.items() if over and kind != "sets"}
    return bool(told.get("sets", [0])[0]) and not (kinds and kinds <= own)


def _each(events, spec, which):
    """Why not each event was told as its cell says, of those that WHICH chooses."""
    for name, event in events.items():
        why = which(name) and not spec.mixed and _told(name, event, spec.expect)
        if why:
            return f"{name}: {why}"
    return ""


def _over(name, event):
    """How many times an event was told over the rings, and beside them. Of one that hasn't happened yet nothing is said."""
    kinds = [event.get("told", {}).get(kind, [0, 0]) for kind in TOLD[name].split()]
    return tuple(sum(kind[side] for kind in kinds) for side in (0, 1))


def _told(name, event, expect):
    """Why an event was not told each time that it happened, or an empty string."""
    over, beside = _over(name, event)
    each = min(event["done"], 1) if name in SOMETIMES else event["done"]
    if expect == "H" and over + beside < each:
        return f"of {event['done']} times {over} were told over the rings, {beside} beside them"
    if expect == "b" and beside < each:
        return f"of {event['done']} times {beside} were told"
    return ""


def _refused(event):
    """Whether it was refused more often than not: over the rings, beside them, or at all."""
    done, failed = event["rings"] if "rings" in event else (0, 0)
    return (failed > done or event["failed"] - failed > event["done"] - done
            or event["failed"] > event["done"])


def _few(name, event):
    """Whether an event happened too seldom, or never to the rings."""
    return event["done"] < LOOK_BACK.get(name, 1) or event.get("rings", [1])[0] < 1


def _time(spec, run, events):
    """What more time may show, or an empty string."""
    few = {name: event for name, event in events.items() if _few(name, event)}
    if few and not (spec.mixed and spec.short):
        return f"events that did not happen: {few}"
    refused = {name: event for name, event in events.items() if _refused(event)}
    if refused:
        return f"events that were refused: {refused}"
    name = "inval_missed" if spec.user else "inval_hit"
    moved = run.each(name)
    if spec.expect == "H" and min(moved) < 1 or spec.expect == "h" and sum(moved) < 1:
        return f"not counted where it should be: {name} {moved}"
    return _told_enough(spec, events) or _back(spec, run)


def _told_enough(spec, events):
    """Why too little was told of the rings, or an empty string."""
    for name, event in ({} if spec.mixed or spec.expect not in "Hh" else events).items():
        if not _over(name, event)[0]:
            return f"{name}: no callback over the rings"
        if name in ASKED and not event.get("told", {}).get("young", [0])[0]:
            return f"{name}: whether the rings were used lately was not asked"
    return _each(events, spec, lambda name: name in NOT_EACH)


def _back(spec, run):
    """Why the windows did not come back, where there are some, or an empty string."""
    hits, maps = run.each("inval_hit"), run.each("maps")
    if spec.user or spec.expect == "r":
        return run.off_path("user" if spec.user else "refused")
    if any(h and m < 2 for h, m in zip(hits, maps)):
        return f"windows were not mapped again: inval_hit {hits}, maps {maps}"
    tail = run.each("bursts_direct", "stats_tail")
    # ksmd or a writeback may come late: single bursts, not a window that stays away.
    if min(tail) < 1 or run.stat("bursts_user", "stats_tail") > 12 + sum(tail) // 20:
        return (f"after the events not all is direct again: {tail} bursts, "
                f"{run.each('bursts_user', 'stats_tail')} by user access")
    return ""


def stuck(looks, later):
    """Why khugepaged did not do what it was woken for, by ourselves and by the machine.

    LOOKS at it, some time apart: its state, its stack, how many callbacks of ours had not returned.
    While a processor runs it no stack is shown: so that number counts, too. The machine's fault is
    one of LATER kernels alone. If it could, it is asleep again.
    """
    if any(state not in "RD" for state, _, _ in looks):
        return "", ""
    if all(inside for _, _, inside in looks) or any("vd_" in stack for _, stack, _ in looks):
        return f"certain: a callback of ours does not return: {looks[-1]}", ""
    reason = ("khugepaged was at one page for 20 s and is still: seen on emulated processors "
              "(docs/next.md)")
    return "", reason if later else ""

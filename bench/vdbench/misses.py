# SPDX-License-Identifier: GPL-2.0-only
"""What a notifier callback executes that concerns no ring: counted, not timed.

vring sets up queue pairs whose rings lie scattered between other pages, and empties such
pages (MADV_DONTNEED: a start and an end each): behind the first ring, then before the last,
so that the worst case is among them. Or it has a cgroup reclaim some, which asks the notifier
how young each is. tcgcount says what the processor executed meanwhile, by function.
One vCPU, and no clock takes part: the counts repeat.
"""

import json
import os
import re

import tcgprof

from . import lab, plan

QUEUES = (1, 2, 4, 8, 16)
# What the baseline has: the least, and the most that is promised.
GUARDED = (1, 16)
# A callback may take so much more than the baseline's: as the guard's, but a few instructions are
# more than 2 % of it. What reclaim asks for, and so how much of it else is counted in with a page's
# age, isn't the same each time: 32 and 34 were seen of the same code.
_SHARE, _LEAST = 0.02, {"miss": 2, "age": 6}
_OPERATIONS = 2000
_GAPS = {"first": 0, "last": 1000000}
_CGROUP = "/tmp/bench-cgroup"
_SETUP = ("mkswap /dev/vda && swapon /dev/vda",
          f"mkdir -p {_CGROUP} && mount -t cgroup2 none {_CGROUP}",
          f"echo +memory >{_CGROUP}/cgroup.subtree_control && mkdir {_CGROUP}/vring")
_IN_CGROUP = ["sh", "-c", f'echo $$ >{_CGROUP}/vring/cgroup.procs && exec "$@"', "sh"]
# What a callback may call outside of the module; an empty process's share is taken off.
_HELPER = re.compile(r"__rcu_read_|_raw_(spin|read|write)_|preempt_schedule|mutex_|__list_")
# What the kernel does around callbacks, of whom there are none in the process without a notifier.
_AROUND = re.compile(r"__mmu_notifier_invalidate_range_|__srcu_read_(un)?lock$|__x86_indirect_thunk_"
                     r"|__cond_resched$|zap_page_range")
# A function that takes less for each is the clock's.
_SEEN = 1
_START, _AGE = "vd_mn_start", ("vd_mn_clear_young", "vd_mn_test_young")


def _runs(queues, others):
    runs = []
    for number in queues:
        common = ["--pin-driver", "0", "--dir", "both", "--mark", "--queues", str(number)]
        for name in ["stock", *others]:
            run = {"cell": str(number), "backend": name}
            for kind, gap in _GAPS.items():
                runs.append({**run, "kind": kind, "args": [*common, "--misses", str(_OPERATIONS),
                                                           "--miss-gap", str(gap)]})
            if name != "stock":
                runs.append({**run, "kind": "aging", "wrap": _IN_CGROUP,
                             "args": [*common, "--gap", "64", "--reclaim",
                                      f"{_CGROUP}/vring/memory.reclaim"]})
    return runs


def _ours(name):
    return name.endswith(" [vhost_direct]")


def _share(count, symbols, wanted):
    found = tcgprof.by_function(count, symbols, 0)
    return sum(sums["insns"] for name, sums in found.items() if wanted(name))


def _entered(count, symbols, names):
    found = tcgprof.entries(count, symbols, 0)
    return sum(found[f"{name} [vhost_direct]"] for name in names)


def _miss(empty, own, symbols):
    """Instructions of a start with its end; EMPTY is the same where there is no notifier."""
    callbacks = _entered(own, symbols, [_START])
    if callbacks != _OPERATIONS:
        raise lab.BenchError(f"{_OPERATIONS} operations made {callbacks} callbacks")
    helpers = _share(own, symbols, _HELPER.match) - _share(empty, symbols, _HELPER.match)
    return (_share(own, symbols, _ours) + max(0, helpers)) / callbacks


def _beside(empty, own, symbols):
    """{function: instructions} of what else is executed for each start and end: nothing should be."""
    here, there = (tcgprof.by_function(count, symbols, 0) for count in (own, empty))
    more = {name: (sums["insns"] - there.get(name, {"insns": 0})["insns"]) / _OPERATIONS
            for name, sums in here.items()}
    return {name: round(insns, 1) for name, insns in more.items()
            if insns >= _SEEN and not (_ours(name) or _HELPER.match(name) or _AROUND.match(name))}


def _entry(group, symbols):
    """Figures of one number of queues from its (kind, backend) -> count."""
    each = [_miss(group[kind, "stock"], group[kind, "direct"], symbols) for kind in _GAPS]
    miss, aging = max(each), group["aging", "direct"]
    aged = _entered(aging, symbols, _AGE)
    if not aged:
        raise lab.BenchError("the reclaim asked the notifier for the age of no page")
    # Reclaim unmaps, too: those starts and ends cost as much as above, or less.
    age = (_share(aging, symbols, _ours) - _entered(aging, symbols, [_START]) * min(each)) / aged
    beside = {}
    for kind in _GAPS:
        beside.update(_beside(group[kind, "stock"], group[kind, "direct"], symbols))
    return {"miss": round(miss, 1), "age": round(age, 1), "callbacks": _OPERATIONS, "aged": aged,
            "beside": beside}


def measure(folder, options=(), queues=QUEUES, told=lambda line: None):
    """[{"queues", "rings", "miss", "age", "beside"...}]: instructions a callback, start and end in one.

    TOLD gets each line that the VM's inside prints: its facts, its runs.
    """
    lines = os.path.join(folder, "tcgcount.jsonl")
    plugin = os.path.join(lab.BUILD, "tcgcount.so")
    os.makedirs(folder, exist_ok=True)
    work = plan.make(_runs(queues, ["direct"]), "/results/kallsyms", _SETUP)
    runs = []
    for line in plan.execute(work, folder, ["--accel", "tcg", "--smp", "1", "--disk", "256M", *options,
                                            "--plugin", f"{plugin},out={lines},profile=on"]):
        told(line)
        if "run" in line:
            run = line["run"]
            runs.append(run)
            if run["status"]:
                raise lab.BenchError(f"{' '.join(run['command'])}: {run.get('error', 'failed')}")
    with open(lines, encoding="ascii") as file:
        counts = [json.loads(line) for line in file]
    if len(counts) != len(runs):
        raise lab.BenchError(f"{len(runs)} marked runs but {len(counts)} counts in {lines}")
    symbols = tcgprof.Symbols(os.path.join(folder, "files", "kallsyms"))
    found = []
    for number in queues:
        group = {(run["kind"], run["backend"]): count for run, count in zip(runs, counts)
                 if run["cell"] == str(number)}
        found.append({"queues": number, "rings": 2 * number, **_entry(group, symbols)})
    return found


def guarded(entries):
    """For the baseline: {queue pairs: {kind: instructions}}."""
    return {str(entry["queues"]): {kind: entry[kind] for kind in ("miss", "age")} for entry in entries}


def grown(then, now):
    """[(queue pairs, kind, then, now, whether that is too much)] of two such as guarded() makes."""
    return [(pairs, kind, then[pairs][kind], now[pairs][kind],
             now[pairs][kind] > then[pairs][kind] + max(_LEAST[kind], _SHARE * then[pairs][kind]))
            for pairs in now if pairs in then for kind in now[pairs]]


def script_lines(entries):
    """A line each, for scripts."""
    return [f"bench-mm: notifier {kind} queues={entry['queues']} instructions={entry[kind]:.0f}"
            for kind in ("miss", "age") for entry in entries]

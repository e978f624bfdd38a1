#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Instructions a packet by kernel function, from tcgcount's blocks and the VM's kallsyms.

A block belongs to the symbol that it starts in. Blocks that cross into the next function
don't exist: a block ends at a jump or return.
"""

import argparse
import bisect
import collections
import json
import sys

KINDS = ("insns", "stac", "clac", "lfence", "lock", "rep")

_LARGEST = 32 << 10


class Symbols:
    """Address to function, from a copy of /proc/kallsyms read by root."""

    def __init__(self, path):
        found = []
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                parts = line.split()
                if parts[1] in "tTwW":
                    module = f" {parts[3]}" if len(parts) > 3 else ""
                    found.append((int(parts[0], 16), parts[2] + module))
        if not found or not found[-1][0]:
            raise ValueError(f"{path}: no addresses in it (was it read as root?)")
        found.sort()
        self._starts = [start for start, _ in found]
        self._names = [name for _, name in found]
        self._known = set(self._starts)

    def entry(self, address):
        """Does a function begin at ADDRESS?"""
        return address in self._known

    def name(self, address):
        """The function that ADDRESS lies in."""
        at = bisect.bisect_right(self._starts, address) - 1
        if address < 1 << 63:
            return "(user space)"
        # Far behind any symbol: a BPF program made after kallsyms was read.
        if at < 0 or address - self._starts[at] > _LARGEST:
            return "(no symbol: BPF?)"
        return self._names[at]


def by_function(counts, symbols, vcpu=1):
    """{function: {kind: executed}} of one vCPU from one line of tcgcount's output."""
    found = collections.defaultdict(lambda: dict.fromkeys(KINDS, 0))
    for cpu, address, runs, *each in counts.get("blocks", ()):
        if cpu == vcpu:
            sums = found[symbols.name(address)]
            for kind, number in zip(KINDS, each):
                sums[kind] += runs * number
    return found


def entries(counts, symbols, vcpu=1):
    """{function: how often it was entered} of one vCPU."""
    found = collections.Counter()
    for cpu, address, runs, *_ in counts.get("blocks", ()):
        if cpu == vcpu and symbols.entry(address):
            found[symbols.name(address)] += runs
    return found


def top(counts, symbols, packets, vcpu=1, limit=25):
    """The LIMIT largest functions, as (name, {kind: per packet}), largest first."""
    found = by_function(counts, symbols, vcpu)
    order = sorted(found.items(), key=lambda item: -item[1]["insns"])[:limit]
    return [(name, {kind: sums[kind] / packets for kind in KINDS}) for name, sums in order]


def main():
    """Print one run's profile."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", help="what tcgcount wrote (profile=on)")
    parser.add_argument("symbols", help="a copy of the VM's /proc/kallsyms")
    parser.add_argument("--run", type=int, default=0, metavar="N", help="the n-th run, from 0 [0]")
    parser.add_argument("--packets", type=int, default=1, metavar="N",
                        help="divide by so many (vring's packets)")
    parser.add_argument("--vcpu", type=int, default=1, metavar="N", help="[1]")
    parser.add_argument("--top", type=int, default=25, metavar="N", help="[25]")
    args = parser.parse_args()
    with open(args.counts, encoding="ascii") as file:
        lines = file.readlines()
    if not 0 <= args.run < len(lines):
        parser.error(f"{args.counts} holds {len(lines)} runs")
    print("".join(f"{kind:>10}" for kind in KINDS) + "  function")
    for name, each in top(json.loads(lines[args.run]), Symbols(args.symbols), args.packets,
                          args.vcpu, args.top):
        print("".join(f"{each[kind]:10.2f}" for kind in KINDS) + f"  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

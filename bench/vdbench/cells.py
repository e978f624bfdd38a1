# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: the back ends, and the cells of the tables."""

import typing

# One worker on vCPU 1, the driver on vCPU 0.
COMMON = ["--pin-worker", "1", "--pin-driver", "0", "--warmup", "0.05"]

DIRS = ("tx", "rx", "both", "rtt")
GSO_SIZE = 65535
SIZES = (64, 256, 1500, 9000, GSO_SIZE)
LAYOUTS = ("split", "packed", "in-order")
MEMORY = ("4k", "thp", "hugetlb")
PAIRS = (1, 2, 4)
GENERATORS = ("vring", "testpmd", "pktgen")

# Beyond this a frame is no longer handed over as one XDP buffer: tun makes an skb of it before
# XDP sees it, and with a program attached copies it once more. So nothing is attached then.
_LARGEST_XDP = 1500
# RX, both: the ring holds a burst that was fed beforehand.
_BURST = ["--mode", "burst", "--ring", "1024"]
# Feature bits that a layout needs.
NEEDS = {"split": [], "packed": [34], "in-order": [35]}


class Cell(typing.NamedTuple):
    """One row of the tables."""

    dir: str
    size: int
    layout: str = "split"
    memory: str = "4k"
    pairs: int = 1
    smap: bool = True
    generator: str = "vring"

    @property
    def gso(self):
        """Is a frame more than a packet on the wire?"""
        return self.size == GSO_SIZE

    @property
    def _head(self):
        return f"{self.dir} {self.size}{'gso' if self.gso else ''}"

    @property
    def name(self):
        """All that it is, always in the same places."""
        return " ".join([self._head, self.layout, self.memory, f"q{self.pairs}", self.boot,
                         self.generator])

    @property
    def short(self):
        """For people: what differs from the usual."""
        usual = Cell(self.dir, self.size)
        return " ".join([self._head, *(word for word, same in (
            (self.layout, self.layout == usual.layout), (self.memory, self.memory == usual.memory),
            (f"q{self.pairs}", self.pairs == 1), (self.boot, self.smap),
            (self.generator, self.generator == usual.generator)) if not same)])

    @property
    def boot(self):
        """The boot that it belongs to."""
        return "smap" if self.smap else "nosmap"

    @property
    def split(self):
        """The same with the layout that everybody has."""
        return self._replace(layout="split")

    @property
    def unit(self):
        """What is measured."""
        return "ns" if self.dir == "rtt" else "pps"

    @property
    def program(self):
        """Who drives the rings."""
        return "testpmd" if self.generator == "testpmd" else "vring"

    @property
    def args(self):
        """For the program."""
        common = ["--size", str(self.size), "--layout", self.layout]
        if self.program == "testpmd":
            return ["--dir", self.dir, *common]
        args = [*common, "--mem", self.memory, "--queues", str(self.pairs)]
        if self.gso:
            args += ["--gso"]
        if self.generator == "pktgen":
            args += ["--feeder", "pktgen"]
        if self.dir == "rtt":
            return [*COMMON, *args, "--mode", "rtt", "--dir", "both"]
        args += ["--dir", self.dir]
        if self.dir != "rx" and self.size <= _LARGEST_XDP:
            args += ["--xdp", "drop"]
        return [*COMMON, *args, *(_BURST if self.dir != "tx" else [])]

    @property
    def packets(self):
        """How many a counted run takes: about as many instructions for each size."""
        return {9000: 8000, GSO_SIZE: 1500}.get(self.size, 30000 if self.size == 1500 else 60000)

    def fields(self):
        """As in bench.json."""
        return {"cell": self.name, "short": self.short, "dir": self.dir, "size": self.size,
                "gso": self.gso, "layout": self.layout, "memory": self.memory, "pairs": self.pairs,
                "smap": self.smap, "generator": self.generator, "boot": self.boot,
                "unit": self.unit}


# The default: the four that are judged, then one step from the first of them along each way.
CORE = tuple(Cell(name, size) for name in ("tx", "rx") for size in (64, 1500))
QUICK = (
    *CORE,
    Cell("tx", 256), Cell("tx", 9000), Cell("tx", GSO_SIZE), Cell("rx", GSO_SIZE),
    Cell("tx", 64, "packed"), Cell("tx", 64, "in-order"), Cell("rx", 64, "packed"),
    Cell("rx", 64, "in-order"),
    Cell("tx", 64, memory="thp"), Cell("tx", 64, memory="hugetlb"),
    Cell("tx", 64, pairs=2), Cell("tx", 64, pairs=4),
    Cell("both", 64), Cell("rtt", 64),
    Cell("tx", 64, generator="testpmd"), Cell("rx", 64, generator="testpmd"),
    Cell("rx", 64, generator="pktgen"),
    Cell("tx", 64, smap=False), Cell("rx", 64, smap=False),
)


def full():
    """Everything: those of QUICK first, the generators that others know, then the rest."""
    found = dict.fromkeys(QUICK)
    for smap in (True, False):
        for size in (64, 1500):
            for layout in LAYOUTS:
                found.update(dict.fromkeys(Cell(name, size, layout, smap=smap, generator="testpmd")
                                           for name in ("tx", "rx")))
            found[Cell("rx", size, smap=smap, generator="pktgen")] = None
    for smap in (True, False):
        for pairs in PAIRS:
            for memory in MEMORY:
                for layout in LAYOUTS:
                    found.update(dict.fromkeys(Cell(name, size, layout, memory, pairs, smap)
                                               for size in SIZES for name in DIRS))
    return tuple(found)


def counted(everything):
    """The cells whose instructions are counted; the instruments are the same with SMAP or not.

    Of several pairs all workers have the worker's processor, so its count is of them all.
    """
    if everything:
        return (*(Cell(name, size, layout, memory) for memory in MEMORY for layout in LAYOUTS
                  for name in ("tx", "rx") for size in (64, 1500)),
                *(Cell(name, size) for name in ("tx", "rx") for size in (256, 9000, GSO_SIZE)),
                *(Cell("tx", 64, pairs=pairs) for pairs in PAIRS[1:]), Cell("both", 64))
    return (*CORE, *(Cell(name, 64, layout) for layout in ("packed", "in-order")
                     for name in ("tx", "rx")),
            Cell("tx", 64, memory="thp"), Cell("tx", 64, memory="hugetlb"))


# Contents are checked before anything is timed: a fast back end that corrupts is no back end.
CHECK = ["--dir", "both", "--check", "--size", "64:1500", "--packets", "20000"]

# METADATA: what the module's parameter is set to before the node is opened.
BACKENDS = {
    "stock": {"dev": "/dev/vhost-net", "modules": ["vhost_net"]},
    "user": {"dev": "/dev/vhost-direct-net", "metadata": "user",
             "modules": ["/vd/vhost_direct.ko", "/vd/vhost_direct_net.ko"]},
    "direct": {"dev": "/dev/vhost-direct-net", "metadata": "direct",
               "modules": ["/vd/vhost_direct.ko", "/vd/vhost_direct_net.ko"]},
    # Never shipped: see bench/pinned/README.md.
    "pinned": {"dev": "/dev/vhost-pinned-net", "optional": True,
               "modules": ["/vd/build/pinned/vhost_pinned.ko",
                           "/vd/build/pinned/vhost_pinned_net.ko"]},
}
METADATA = "/sys/module/vhost_direct/parameters/metadata"
VRING = "/vd/build/bench/vring"
TESTPMD = "/vd/bench/testpmd"


def select(cells, patterns):
    """Those of CELLS whose name has all words of one of PATTERNS, in order; all for none."""
    def fits(cell, pattern):
        return f" {pattern} " in f" {cell.name} " or f" {pattern} " in f" {cell.short} "
    return [cell for cell in cells
            if not patterns or any(fits(cell, pattern) for pattern in patterns)]


def round_order(number, others):
    """The back ends of round NUMBER: each of OTHERS beside a stock run of its own.

    A B on even rounds, B A on odd ones, so that whatever drifts drifts for both.
    """
    order = []
    for index, other in enumerate(others):
        pair = ["stock", other]
        if (number + index) % 2:
            pair.reverse()
        order += [(name, other) for name in pair]
    return order


def shared_order(number, others):
    """The same with two of OTHERS at either side of one stock run: three runs make two pairs."""
    order = []
    for at in range(0, len(others), 2):
        two = list(others[at:at + 2])
        group = [*two[:1], "stock", *two[1:]]
        if (number + at // 2) % 2:
            group.reverse()
        order += [(name, "+".join(two)) for name in group]
    return order

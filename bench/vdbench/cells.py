# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: the back ends, and the cells of the table."""

import collections

# ARGS are vring's. PACKETS: how many a counted run (TCG plugin) takes.
Cell = collections.namedtuple("Cell", "name args packets")

# One worker on vCPU 1, the driver on vCPU 0.
COMMON = ["--pin-worker", "1", "--pin-driver", "0", "--warmup", "0.05"]

# TX streams through a full ring of QEMU's default size. RX is timed while the worker drains
# a filled tap: a feeder costs as much as the worker, and would be what is measured.
_RX = ["--dir", "rx", "--mode", "burst", "--ring", "1024"]
CELLS = (
    Cell("tx 64 xdp", ["--dir", "tx", "--size", "64", "--xdp", "drop"], 100000),
    Cell("tx 1500 xdp", ["--dir", "tx", "--size", "1500", "--xdp", "drop"], 60000),
    Cell("rx 64", [*_RX, "--size", "64"], 60000),
    Cell("rx 1500", [*_RX, "--size", "1500"], 40000),
)

# Contents are checked before anything is timed: a fast back end that corrupts is no back end.
CHECK = ["--dir", "both", "--check", "--size", "64:1500", "--packets", "20000"]

# METADATA: what the module's parameter is set to before the node is opened.
BACKENDS = {
    "stock": {"dev": "/dev/vhost-net", "modules": ["vhost_net"]},
    "user": {"dev": "/dev/vhost-direct-net", "metadata": "user",
             "modules": ["/vd/vhost_direct.ko", "/vd/vhost_direct_net.ko"]},
    "direct": {"dev": "/dev/vhost-direct-net", "metadata": "direct",
               "modules": ["/vd/vhost_direct.ko", "/vd/vhost_direct_net.ko"]},
}
METADATA = "/sys/module/vhost_direct/parameters/metadata"
VRING = "/vd/build/bench/vring"


def select(patterns):
    """The cells whose name contains one of PATTERNS; all for none."""
    return [cell for cell in CELLS
            if not patterns or any(pattern in cell.name for pattern in patterns)]


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

# SPDX-License-Identifier: GPL-2.0-only
"""This project's statistics of a QEMU's queues, from debugfs."""

import glob
import os


def queues(pid):
    """{"0/tx": {name: number or word}}: pairs of queues count from 0 in order of their opening."""
    found = {}
    folders = glob.glob(f"/sys/kernel/debug/vhost_direct/{pid}-*")
    for pair, folder in enumerate(sorted(folders, key=lambda path: int(path.rpartition("-")[2]))):
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="ascii") as file:
                words = dict(line.split(None, 1) for line in file)
            found[f"{pair}/{name}"] = {key: int(value) if value.strip().isdigit() else value.strip()
                                       for key, value in words.items()}
    return found


def summed(pid):
    """The numbers, summed over the queues; {} if another back end serves this QEMU."""
    found = {}
    for values in queues(pid).values():
        for name, value in values.items():
            if isinstance(value, int):
                found[name] = found.get(name, 0) + value
    return found

# SPDX-License-Identifier: GPL-2.0-only
"""The memory of two guests compared byte by byte, from outside, while both stand still."""

import re

from .guest import GuestError

_PAGE, _CHUNK = 4096, 4 << 20
_KNOWN = 0x100000


def _base(machine):
    """Where QEMU has the guest's address 0; all of it is one block below 2 GB."""
    answer = machine.qmp.command("human-monitor-command", **{"command-line": f"gpa2hva {_KNOWN:#x}"})
    found = re.search(r" is (0x[0-9a-f]+)", answer)
    if not found:
        raise GuestError(f"gpa2hva: {answer.strip()}")
    return int(found[1], 16) - _KNOWN


def _differing(one, two):
    return [at for at in range(0, len(one), _PAGE) if one[at:at + _PAGE] != two[at:at + _PAGE]]


def differences(one, two):
    """Guest addresses of the pages that differ."""
    size = one.setup.memory << 20
    bases, pages = (_base(one), _base(two)), []
    with open(f"/proc/{one.pid}/mem", "rb", 0) as first, \
            open(f"/proc/{two.pid}/mem", "rb", 0) as second:
        for at in range(0, size, _CHUNK):
            length = min(_CHUNK, size - at)
            chunks = []
            for file, base in zip((first, second), bases):
                file.seek(base + at)
                chunks.append(file.read(length))
            if any(len(chunk) != length for chunk in chunks):
                raise GuestError(f"cannot read the guest's memory at {at:#x}")
            if chunks[0] != chunks[1]:
                pages += [at + offset for offset in _differing(*chunks)]
    return pages

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Every memory event under every kind of memory, with traffic in both directions.

TABLE says for each cell what must happen. A cell passes if each packet sent was received,
once, in order and unchanged; the event did happen; windows were taken away as the table
says, and came back; and the kernel log stayed clean. With VD_FULL=1 the cells are run again
and again, until 10^8 packets were checked or 55 minutes are over (VD_FULL=600: 10 minutes);
guest-tests/matrix-total adds such runs up. Results: /results/matrix.txt and matrix.json.

By hand, some cells: guest-tests/lab/vm run (with what is said below) --
guest-tests/suites/matrix.py 'fork*' '* on memfd'
"""
# vm: mem=7G disk=1G disk=1G numa=2 timeout=900 full-timeout=3600
# vm: append="numa=fake=2 secretmem.enable=1 hugepagesz=1G hugepages=0:2,1:1 default_hugepagesz=2M"

import fnmatch
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
import ending  # noqa: E402
from cell import Cell, Log, khugepaged_at_hand, set_up  # noqa: E402
from inject import Told  # noqa: E402
from vdtest import Ktap, load, unload  # noqa: E402

FULL = int(os.environ.get("VD_FULL", "0"))
WANTED = 100_000_000 if FULL else 200_000
BUDGET = FULL if FULL > 1 else 3300
ONLY = sys.argv[1:]
LATER = not os.uname().release.startswith("6.1.")
RESULTS = os.environ.get("VD_RESULTS", "/results")
COLUMNS = ("4k", "thp", "2m", "1g", "memfd", "ext4")
# For each row: its name, the events of vring, and for each column
#   H  windows of both directions are taken away, and come back; the kernel tells each time
#   h  some window is
#   b  none is: the event is beside the rings, and the kernel tells that each time
#   n  none is: the kernel tells of nothing (QUIET says why)
#   x  the owner ends: its memory stays until the device is closed, so nothing is told before; what
#      it had received counts, and the next owner has windows again
#   r  no window is ever mapped: the kernel refuses it
# before it: u there are no windows, user access throughout (window.c says why), but the same is
# told and counted (inval_missed);
#   -  this can't exist; what follows is a key of REASONS
# A|B: A on 6.1, B later (shared memory without a policy has its task's there: it is scanned);
# behind it: ! only with VD_FULL=1 (1 GiB is copied, 12 s under emulation),
# s the hugetlb pages are those of a file.
TABLE = (
    ("munmap", "munmap", "H H H H H uH"),
    ("mremap", "mremap", "H H H H H uH"),
    ("mprotect read-only", "readonly", "H H H H H uH"),
    ("mprotect none", "noaccess", "H H H H H uH"),
    ("mprotect of one page", "split", "H H -cut -cut H uH"),
    ("MADV_DONTNEED", "dontneed", "H H H H H uH"),
    ("MADV_FREE, reclaim", "free", "H H -free -free -free -free"),
    ("MADV_PAGEOUT, swap", "pageout", "h h -swap -swap h uh"),
    ("cgroup reclaim", "cgroup", "h h b b h uh"),
    ("fork, copy on write", "fork", "H H H H! b ub"),
    ("KSM merge and unmerge", "ksm,ksmtwin", "h h -ksm -ksm -ksm -ksm"),
    ("THP split, collapse", "thpsplit", "-small H -huge -huge H -thpfile"),
    ("khugepaged", "khugepaged", "-small H -huge -huge H -thpfile"),
    ("compaction", "compacted", "h n n n h uh"),
    ("move_pages", "movepages", "H H H H! H uH"),
    ("NUMA balancing", "numa", "H H b b b|h uH"),
    ("hole punched", "punch", "-nofile -nofile Hs Hs H uH"),
    ("truncate", "truncate", "-nofile -nofile Hs Hs H uH"),
    ("writeback, fsync", "writeback", "-nofile -nofile ns ns n uH"),
    ("disk compared", "writeback,verify", "-nofile -nofile -nodisk -nodisk -nodisk uH"),
    ("other hugetlb pages", "hugeother", "b b b b b ub"),
    ("userfaultfd missing", "uffdmiss", "H H H H H -uffd"),
    ("userfaultfd write-protect", "uffdwp", "H H H H H -uffd"),
    ("userfaultfd move", "uffdmove", "-move|H -move|H -moved -moved -moved -moved"),
    ("soft-dirty read back", "softdirty", "H H H H H uH"),
    ("soft-dirty any time", "clearsoft", "H H H H H uH"),
    ("aging", "age", "n n n n n un"),
    ("MADV_COLD", "cold", "n h -swap -swap n un"),
    ("balloon", "balloon", "b h -balloon -balloon b ub"),
    ("unrelated memory", "unrelated,neighbour", "b b b b b ub"),
    ("memfd_secret", "", "-secret -secret -secret -secret r -secret"),
    ("SIGKILL", ending.KILL, "x x x x x ux"),
    ("OOM kill", ending.OOM, "x x x x x ux"),
    ("exec", ending.EXEC, "x x x x x ux"),
    ("many at once", "@mixed", "H H H H H uH"),
    ("many at once, packed", "@packed", "H H H H H uH"),
    ("soft offline", "softoffline", "h h h h! h uh"),
    ("hwpoison", "hwpoison", "H H H -poison1g H uH"),
)
REASONS = {
    "cut": "the kernel cuts no huge page of hugetlb",
    "free": "MADV_FREE is for private anonymous memory",
    "swap": "hugetlb pages are never reclaimed",
    "ksm": "KSM merges private anonymous pages only",
    "small": "this column is memory that shall have no huge pages: neither MADV_COLLAPSE nor khugepaged makes one",
    "huge": "hugetlb pages are never split or collapsed",
    "thpfile": "ext4 has huge pages for read-only mappings at most (READ_ONLY_THP_FOR_FS)",
    "nofile": "private memory has no file",
    "nodisk": "there is no disk behind it",
    "uffd": "the kernel offers userfaultfd for anonymous, shared and hugetlb memory only",
    "move": "UFFDIO_MOVE came with Linux 6.8",
    "moved": "UFFDIO_MOVE moves private anonymous pages only, none of hugetlb",
    "balloon": "a balloon takes away pages of 4 KiB: nothing can be taken from these",
    "secret": "secret memory is a kind of its own: see the column of memfd",
    "poison1g": "the kernel can't isolate 1 GiB: 'recovery action for huge page: Failed'",
    "slow": "takes 12 s under emulation: VD_FULL=1",
}

QUIET = {
    "compaction": "moves no page as large as what it makes free at a time, 2 MiB",
    "writeback, fsync": "memory that is no disk's copy is never written back: no page is made clean",
    "aging": "clear_refs clears the page table's own bits; whether a device used a page it doesn't ask",
    "MADV_COLD": "as aging; only a huge page of which a part is cold is split",
}

# What a cell can't see, though its event happens and its windows are judged.
UNREAD = {
    ("soft-dirty read back", "2m"): "hugetlb has no soft-dirty bits to read back",
    ("soft-dirty read back", "1g"): "hugetlb has no soft-dirty bits to read back",
}


def cells():
    """All of the table's cells, row by row."""
    made = []
    for name, events, text in TABLE:
        for column, word in zip(COLUMNS, text.split(), strict=True):
            word = word.split("|")[-1 if LATER else 0]
            skip = REASONS[word[1:]] if word[0] == "-" else ""
            if "!" in word and not FULL:
                skip = REASONS["slow"]
            made.append(Cell(name, column, events, word, skip))
    return [cell for cell in made if not ONLY or any(fnmatch.fnmatch(cell.name, glob)
                                                     for glob in ONLY)]


def shown(made):
    """The table for people: packets in thousands, windows taken away, verdict."""
    lines = [f"{'':26}" + "".join(f"{column:>16}" for column in COLUMNS)]
    for row, _, _ in TABLE:
        texts = [next((cell.short() for cell in made if (cell.row, cell.column) == (row, column)), "")
                 for column in COLUMNS]
        if any(texts):
            lines.append(f"{row:26}" + "".join(f"{text:>16}" for text in texts))
    lines.append("each cell: thousands of packets checked, windows taken away, verdict")
    lines += [f"{row}: no callback on {', '.join(still)}: {QUIET[row]}"
              for row, still in ((row, [column for column, word in zip(COLUMNS, text.split(), strict=True)
                                        if "n" in word and word[0] != "-"])
                                 for row, _, text in TABLE) if still]
    lines += [f"{row} on {column}: {why}" for (row, column), why in UNREAD.items()]
    return "\n".join(lines)


def save(made, seconds):
    """The results, for people and for programs; called often: a run may be cut short."""
    with open(f"{RESULTS}/matrix.txt", "w", encoding="ascii") as file:
        file.write(shown(made) + "\n")
    with open(f"{RESULTS}/matrix.json", "w", encoding="ascii") as file:
        json.dump({"kernel": os.uname().release, "full": FULL, "seconds": round(seconds),
                   "packets": sum(cell.packets for cell in made),
                   "lost_or_corrupt": sum(cell.lost for cell in made),
                   "cells": [cell.json() for cell in made]}, file, indent=1)


def turns(t, made, log):
    """Each cell once, shortly; then, in a full run, for longer and again and again until there
    are packets enough; in the end those that take pages away from the machine."""
    start, turn, total = time.monotonic(), 0, 0
    again = True
    while again:
        for cell in [cell for cell in made if not cell.last]:
            if time.monotonic() - start > BUDGET or any(cell.stuck for cell in made):
                break
            cell.run(log, turn)
            save(made, time.monotonic() - start)
        total, turn = sum(cell.packets for cell in made), turn + 1
        t.diag(f"turn {turn}: {total} packets after {time.monotonic() - start:.0f} s")
        again = (FULL > 0 and total < WANTED and time.monotonic() - start < BUDGET
                 and not any(cell.why for cell in made))
    for cell in [cell for cell in made if cell.last]:
        if not any(cell.stuck for cell in made):
            cell.run(log, 0)
        save(made, time.monotonic() - start)
    return sum(cell.packets for cell in made), time.monotonic() - start


def main():
    """The suite."""
    with Ktap() as t:
        load()
        set_up(t)
        made = cells()
        with Told(), khugepaged_at_hand():
            total, seconds = turns(t, made, Log())
        for cell in made:
            if cell.skip:
                t.skip(cell.name, cell.skip)
            else:
                note = UNREAD.get((cell.row, cell.column), "")
                t.check(cell.name + (note and f" ({note})"), cell.ran and not cell.why,
                        cell.why or "it never got to run")
        t.diag(shown(made))
        name = f"{total} packets with contents checked, none lost or corrupted"
        if ONLY:
            t.check(name, not sum(cell.lost for cell in made))
        elif FULL and total < WANTED and not any(cell.why for cell in made):
            t.skip(name, f"{WANTED} wanted, {seconds:.0f} s were over: guest-tests/matrix-total")
        else:
            t.check(f"{name} ({WANTED} wanted{'' if FULL else '; 10^8 with VD_FULL=1'})",
                    total >= WANTED and not sum(cell.lost for cell in made))
        # Who can't be killed keeps them: rmmod would wait for ever.
        said = "" if any(cell.stuck for cell in made) else unload()
        t.check("the modules unload", not said, said)


main()

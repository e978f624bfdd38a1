# SPDX-License-Identifier: GPL-2.0-only
"""Looks for trouble in a kernel log.

A test whose own checks pass has still failed if the kernel complained meanwhile. What is
expected anyway goes through an allow-list: one regular expression a line, with its reason
behind "  # ", so that nothing is hidden without one.
"""

import re

from .paths import LabError, read_text

# Each: what to call it, and how the kernel prints it.
# A line counts as the first that matches: watchdogs, whose reports a busy machine may excuse, say BUG, too.
PATTERNS = [(name, re.compile(text)) for name, text in (
    ("hung task", r"INFO: task .* blocked for more than|Kernel panic - not syncing: hung_task:"),
    ("stall", r"rcu: INFO: |rcu_\w+ (self-)?detected (expedited )?stall|soft lockup"
              r"|hard LOCKUP|workqueue lockup"),
    ("oops", r"Oops: |Oops\b.*\[#\d+\]|general protection fault|Unable to handle kernel"
             r"|kernel BUG at|invalid opcode: |double fault|stack segment: |stack guard page"),
    ("panic", r"Kernel panic - not syncing"),
    ("bug", r"\bBUG: |\bBUG at "),
    ("bad page", r"Bad page (map|state)|Bad rss-counter|non-zero pgtables_bytes"),
    ("warning", r"\bWARNING: |\bINFO: suspicious RCU usage|DEBUG_LOCKS_WARN_ON"
                r"|\bUBSAN: |refcount_t: |list_(add|del) corruption"),
    ("lockdep", r"possible (circular locking|recursive locking|irq lock inversion)"
                r"|inconsistent lock state|INFO: lockdep is turned off|held lock freed"
                r"|lock held when returning to user space|bad unlock balance"),
    ("sleeping", r"scheduling while atomic|sleeping function called from invalid context"),
    ("memory", r"KASAN: |KFENCE: |KCSAN: |\bkmemleak: \d+ new suspected"
               r"|Slab corruption|Redzone overwritten|Poison overwritten|Object already free"
               r"|Objects remaining in|page allocation failure"
               # A free page that somebody wrote to, where pages are poisoned (page_poison=1).
               r"|pagealloc: (single bit error|memory corruption)"),
    ("fault in user space", r"\bsegfault at |\btraps: .*trap "),
)]
_CONTEXT = 12
# The kernel races with itself in many places; only reports that name our code are ours.
_KCSAN, _KCSAN_END, _OURS = "BUG: KCSAN: ", "=" * 20, "vhost_direct"


class Finding:
    """One line of trouble and what follows it in the log."""

    def __init__(self, kind, line, context):
        self.kind, self.line, self.context = kind, line, context

    def __str__(self):
        return f"{self.kind}: {self.line.strip()}"


# Bits of EFLAGS that are 0 on all x86 processors (3, 5, 15, and from 22 on), and one that is 1.
_ALWAYS_0, _ALWAYS_1 = 0xffc08028, 0x2


def impossible(finding):
    """What in FINDING no processor does, but an emulator that errs; or an empty string.

    Seen with QEMU 7.2, some thousand boots apart: flags that were another register's content,
    and a breakpoint where the memory has none, as the code that was run had been overwritten.
    """
    text = "\n".join([finding.line, *finding.context])
    flags = re.search(r"\bEFLAGS: ([0-9a-f]{8})\b", text)
    if flags and (int(flags[1], 16) & _ALWAYS_0 or not int(flags[1], 16) & _ALWAYS_1):
        return f"EFLAGS can't be {flags[1]}"
    # The byte in angle brackets is the next one; before it is what was run.
    code = re.search(r"\bCode: .*?\b([0-9a-f]{2}) <[0-9a-f]{2}>", text)
    if "Oops: int3" in finding.line and code and code[1] != "cc":
        return f"a breakpoint can't have been met where byte {code[1]} is"
    return ""


def read_allow_list(path):
    """The regular expressions of an allow-list file; each must give its reason."""
    allowed = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        pattern, separator, reason = text.partition("  # ")
        if not separator or not reason.strip():
            raise LabError(f"{path}:{number}: an allowed log line needs a reason: REGEX  # why")
        allowed.append(pattern.strip())
    return allowed


def compile_allowed(patterns):
    """Compiled patterns, with a clear error for one that isn't a regular expression."""
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise LabError(f"not a regular expression: {pattern}: {error}") from error
    return compiled


def _foreign_race(lines, index):
    """True if a KCSAN report begins at INDEX in which none of our functions takes part."""
    if _KCSAN not in lines[index]:
        return False
    for line in lines[index:index + 100]:
        if _OURS in line:
            return False
        if _KCSAN_END in line:
            break
    return True


def scan(text, allowed=()):
    """The findings in a kernel log; lines that match one of ALLOWED (compiled) don't count."""
    lines, found = text.splitlines(), []
    for index, line in enumerate(lines):
        if any(pattern.search(line) for pattern in allowed) or _foreign_race(lines, index):
            continue
        for kind, pattern in PATTERNS:
            if pattern.search(line):
                found.append(Finding(kind, line, lines[index + 1:index + 1 + _CONTEXT]))
                break
    return found

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The kernel-log scanner finds what it must find, and only that."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from ktap import Ktap  # noqa: E402
from vdlab import scan  # noqa: E402
from vdlab.paths import LabError  # noqa: E402

BAD = {
    "oops": "Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "a general protection fault": "general protection fault, probably for non-canonical address",
    "BUG_ON": "kernel BUG at drivers/vhost/vhost.c:42!",
    "a null pointer": "BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "panic": "Kernel panic - not syncing: Fatal exception",
    "WARN_ON": "WARNING: CPU: 1 PID: 77 at mm/gup.c:12 foo+0x1/0x2 [vhost_direct]",
    "lockdep": "WARNING: possible circular locking dependency detected",
    "RCU misuse": "WARNING: suspicious RCU usage",
    "sleeping under a lock": "BUG: sleeping function called from invalid context at mm/x.c:1",
    "scheduling under a lock": "BUG: scheduling while atomic: vhost-77/78/0x00000002",
    "KASAN": "BUG: KASAN: use-after-free in vd_pop+0x1/0x2",
    "kmemleak": "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "a write to a free page": "pagealloc: memory corruption",
    "a bit of a free page": "pagealloc: single bit error",
    "a hung task": "INFO: task vhost-77:78 blocked for more than 60 seconds.",
    "an RCU stall": "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "a soft lockup": "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [vhost-77:78]",
    "a bad page": "BUG: Bad page state in process qemu  pfn:12345",
    "a refcount": "refcount_t: underflow; use-after-free.",
    "a leaked slab object": "BUG x (Tainted: G): Objects remaining in x on __kmem_cache_shutdown()",
    "a leaked page table": "BUG: Bad rss-counter state mm:0000 type:MM_ANONPAGES val:1",
    "UBSAN": "UBSAN: array-index-out-of-bounds in virtio/ring.c:3:4",
    "a crash in user space": "driver[77]: segfault at 0 ip 0 sp 0 error 4 in driver[0+1]",
}
GOOD = (
    "Linux version 6.1.0 (debian-kernel@lists.debian.org)",
    "vhost_direct: loading out-of-tree module taints kernel.",
    "vhost_direct: module verification failed: signature and/or required key missing",
    "x86/mm: Checked W+X mappings: passed, no W+X pages found.",
    "rcu: Preemptible hierarchical RCU implementation.",
    "Spectre V2 : Mitigation: Retpolines",
    "debug: the word bug and the word warning alone",
    "tun: Universal TUN/TAP device driver, 1.6",
    "Out of memory: Killed process 77 (hog)",
)


_OOPS = """[ 9.1] %s
[ 9.2] RIP: 0010:skb_put+0x3c/0x40
[ 9.3] Code: 48 89 c2 %s <0f> 0b 90 90
[ 9.4] RSP: 0018:ffffc9000102faa8 EFLAGS: %s"""


def _impossible(t):
    """Registers as they are and as no processor has them."""
    def why(line="Oops: invalid opcode: 0000 [#1]", byte="cc", flags="00010246"):
        return scan.impossible(scan.scan(_OOPS % (line, byte, flags))[0])
    t.equal("an oops that a processor may have", why(), "")
    t.equal("flags as of the emulator's bug", why(flags="05909606"), "EFLAGS can't be 05909606")
    for flags in ("00000000", "0001024e", "00010266", "00018246", "00410246"):
        t.check(f"no processor has flags {flags}", why(flags=flags))
    for flags in ("00000002", "00000406", "003f7fd7"):
        t.equal(f"one may have flags {flags}", why(flags=flags), "")
    t.check("a breakpoint without its byte", why("Oops: int3: 0000 [#1]", "c3"))
    t.equal("one with it", why("Oops: int3: 0000 [#1]"), "")
    t.equal("an oops of another kind needs none", why(byte="c3"), "")
    t.equal("a line without registers", scan.impossible(scan.scan("WARNING: x")[0]), "")


def _allow_file(text):
    with tempfile.NamedTemporaryFile("w", suffix=".allow") as file:
        file.write(text)
        file.flush()
        return scan.read_allow_list(file.name)


def main():
    """All cases."""
    with Ktap() as t:
        for name, line in BAD.items():
            found = scan.scan(f"[    1.0] before\n[    1.1] {line}\n[    1.2] Call Trace:")
            t.equal(f"finds {name}", len(found), 1)
        for line in GOOD:
            t.equal(f"lets pass: {line[:50]}", [str(f) for f in scan.scan("[ 1.0] " + line)], [])
        _impossible(t)
        race = "=" * 66 + "\n[ 1] BUG: KCSAN: data-race in a / b\n%s\n" + "=" * 66 + "\nvhost_direct"
        t.equal("a race of our code", len(scan.scan(race % " vd_x+0x1/0x2 [vhost_direct]")), 1)
        t.equal("a race of the kernel's alone", scan.scan(race % " b+0x1/0x2"), [])
        text = "[ 1] WARNING: expected thing\n[ 2] WARNING: other thing"
        found = scan.scan(text, scan.compile_allowed(["expected thing"]))
        t.equal("an allowed line hides itself only", [f.line for f in found],
                ["[ 2] WARNING: other thing"])
        t.equal("the lines after a finding come with it",
                scan.scan("WARNING: x\none\ntwo")[0].context, ["one", "two"])
        t.equal("an allow-list file", _allow_file("# head\n\nfoo.*bar  # because\n"), ["foo.*bar"])
        t.raises("an allowance without a reason is refused", LabError,
                 lambda: _allow_file("foo.*bar\n"))
        t.raises("a broken expression is refused", LabError, lambda: scan.compile_allowed(["("]))


if __name__ == "__main__":
    main()

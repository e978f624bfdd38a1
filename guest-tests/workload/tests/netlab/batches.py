# SPDX-License-Identifier: GPL-2.0-only
"""How many packets vdload moves with a system call, and by what.

All else that it counts is right one by one, too.
"""

import re
import signal

from . import net
from .runs import CONTROL, COUNT, PIN, PROGRAM, RATE, clean

BURST = 16
# (path, options to send, options to receive), what the kernel has to have granted for each, and
# whether a call receives many: where each packet is a request of its own it need not.
_ZC, _MULTISHOT = "zero copy (SEND_ZC) from registered buffers", "multishot RECV,"
CASES = ((("udp", "", ""), f"sendmmsg of up to {BURST}", "recvmmsg of up to 64", True),
         (("uring", "", ""), _ZC, _MULTISHOT, True),
         (("uring", "--uring-send zc", "--uring-receive multishot"), _ZC, _MULTISHOT, True),
         (("uring", "--uring-send fixed", ""),
          "copies (WRITE_FIXED) from registered buffers", _MULTISHOT, True),
         (("uring", "--uring-send plain", "--uring-receive single"),
          "copies (SEND)", "a request a packet", False))


def newer(release):
    """Has the kernel RELEASE what vdload does without on older ones? Both came with 6.0, also for UDP."""
    return [int(word) for word in re.findall(r"\d+", release)[:2]] >= [6, 0]


def complaints(case, here, there):
    """What is wrong with the JSON of a sender HERE, and of a receiver THERE that slept: texts."""
    (path, *_), sends, receives, many = case
    found, has = [], newer(here["kernel"])
    told = {"send": here["granted_to_send"]["send"],
            "receive": there["granted_to_receive"]["receive"]}
    for what, wanted in (("send", sends), ("receive", receives)):
        if wanted not in told[what] and (has or wanted not in (_ZC, _MULTISHOT)):
            found.append(f"{what}: {told[what]}; wanted: {wanted}")
    if path == "uring" and f"up to {BURST} a submission" not in told["send"]:
        found.append(f"send: {told['send']}; wanted: {BURST} a submission")
    # Words before and after go one by one, and one that met a full queue is tried again.
    slack = 2 * CONTROL + 4
    most = COUNT / BURST + slack + here["sent"]["kernel_full"]
    if here["system_calls"] > most:
        found.append(f"{here['system_calls']} calls to send {COUNT} packets in bursts of {BURST}; "
                     f"{most:.0f} at most")
    # All were there when it woke: recvmmsg takes 64 of them, and an older kernel's multishot more.
    most = COUNT / BURST + slack
    if many and (has or path == "udp") and there["system_calls"] > most:
        found.append(f"{there['system_calls']} calls to receive {COUNT} packets that were there; "
                     f"{most:.0f} at most")
    return found


def batches(t, cable):
    """A burst is one call to send, and a call receives what there is, by what the kernel has for it."""
    for case in CASES:
        path, more, at_b = case[0]
        before, name = cable.b.dropped(), " ".join(f"{path} {more} {at_b}".split())
        there = net.Load(PROGRAM, cable.b, "receive",
                         f"--path {path} --dev vb --duration 40 --linger 300 {at_b}").wait_ready()
        # Awake it would have read some packets one by one, as they come.
        there.signal(signal.SIGSTOP)
        here = net.Load(PROGRAM, cable.a, "send",
                        f"--path {path} --dev va --to {cable.b.address} --rate {RATE} "
                        f"--count {COUNT} --burst {BURST} {PIN} {more}").finish()
        there.signal(signal.SIGCONT)
        there.finish()
        clean(t, f"{name}: to a receiver that sleeps: all come once", cable, here, there, before=before)
        wrong = ["no results"]
        if here.json and there.json:
            wrong = complaints(case, here.json, there.json)
        t.check(f"{name}: a burst is a call, by what this kernel has for it", not wrong,
                "\n".join([*wrong, here.about(), there.about()]))

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""One boot for several suites: a VM that stands still is given up, the suites after it are not;
one that failed while the machine was busy with others, or as the emulator erred, is run once more.
"""

import contextlib
import io
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
# pylint: disable=wrong-import-position
from ktap import Ktap, Report  # noqa: E402
from vdlab import held, results, run, suites, testrun  # noqa: E402
from vdlab.paths import LabError  # noqa: E402


def _vm(said, asked):
    """A VM that prints SAID about its first suite and then nothing; ASKED receives why it is ended."""
    def run_vm(_options, command, on_out, overdue):
        token = command[1]
        first = command[2].partition(":")[0]
        on_out(f"{token} begin {first}\nKTAP version 1\n{said}".encode())
        asked.append(overdue())
        testrun.time = _Later(1000)
        asked.append(overdue())
        testrun.time = _Later(0)
        return run.Result(reason=f"timeout {asked[-1]}", folder="/nonexistent")
    return run_vm


class _Later:
    """The clock, so much later."""

    def __init__(self, seconds):
        self._seconds = seconds

    def monotonic(self):
        """Seconds."""
        return 5000 + self._seconds


def _stands(said, asked):
    """A VM that prints SAID, and then begins no suite; ASKED receives why it is ended, sooner and later."""
    def run_vm(_options, command, on_out, overdue):
        asked.append(overdue())
        on_out(said.replace("TOKEN", command[1]).encode())
        for seconds in (290, 310):
            testrun.time = _Later(seconds)
            asked.append(overdue())
        testrun.time = _Later(0)
        return run.Result(reason=f"timeout {asked[-1]}", folder="/nonexistent")
    return run_vm


def _no_suite(t):
    """Where no suite runs it isn't all suites' limits that count."""
    whole = "TOKEN begin a.sh\nKTAP version 1\nok 1 - x\n1..1\nTOKEN end a.sh 0\n"
    for name, said, kernel, wanted in (
            ("a boot has its own limit", "", "", "after 300 s in its boot"),
            ("which is longer on a sanitizer kernel", "", "kasan", ""),
            ("so has what is between suites, or behind them", whole, "", "after 300 s without a suite"),
            ("a suite has its own", "TOKEN begin a.sh\n", "", "")):
        asked, report = [], Report(out=io.StringIO())
        report.took = lambda source, seconds: None
        run.run_vm = _stands(said, asked)
        with contextlib.suppress(LabError):
            testrun.Boot([suites.Suite(f"{which}.sh", limit=900) for which in "ab"], report, kernel).go("bookworm")
        t.equal(name, asked, ["", "", wanted])


def _busy(said, log, share, folder, accel="tcg", reason="", whole=None, cut=False, stood=0.0):
    """A VM whose suite prints SAID, whose kernel log is LOG, of whose time others had SHARE.

    REASON: why the VM ended before its last word; WHOLE: all of its log, marks and all; CUT: its
    suite doesn't end; STOOD: seconds that the machine stood still.
    """
    def run_vm(_options, command, on_out, overdue):
        assert not overdue()
        token = command[1]
        name = command[2].partition(":")[0]
        machine = held.Held()
        for second in range(20):
            machine.add(5000 + second, second * (1 - share) * 1e9, second * share * 1e9)
        machine.stood = lambda *_: stood
        on_out(f"{token} begin {name}\nKTAP version 1\n{said}1..1\n".encode())
        testrun.time = _Later(19)
        if not cut:
            on_out(f"{token} end {name} 0\n".encode())
        testrun.time = _Later(0)
        path = os.path.join(folder, "files", ".vd")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "kernel.log"), "w", encoding="ascii") as file:
            file.write(f"vd-suite begin {name}\n{log}\n" if whole is None else whole)
        return run.Result(status=0, folder=folder, held=machine, accel=accel, reason=reason)
    return run_vm


def _verdict(said, log="", share=0.5, last=False, accel="tcg", kernel="", **more):
    """What such a VM's only suite comes to: (passed, failed, how many are to run again, output)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Report(out=io.StringIO())
        report.took = lambda source, seconds: None
        run.run_vm = _busy(said, log, share, folder, accel, **more)
        boot = testrun.Boot([suites.Suite("a.sh")], report, kernel, last=last)
        boot.go("bookworm")
        return report.passed, report.failed, len(boot.again), report._out.getvalue()


def _once_more(t):
    good, bad = "ok 1 - fine\n", "not ok 1 - fine\n"
    stall, oops = "rcu: INFO: rcu_preempt detected stalls", "BUG: something"
    t.equal("what passes on a busy machine passes", _verdict(good)[:3], (2, 0, 0))
    t.equal("what fails there is run again, and doesn't count", _verdict(bad)[:3], (0, 0, 1))
    t.check("that is shown", "held  a.sh: fine" in _verdict(bad)[3], _verdict(bad)[3])
    t.equal("once", _verdict(bad, last=True)[:3], (1, 1, 0))
    t.equal("what says that it is certain counts, however busy the machine", _verdict(f"# certain: corrupt\n{bad}")[:3],
            (1, 1, 0))
    t.equal("of a test that passed that says nothing", _verdict(f"# certain: corrupt\n{good}not ok 2 - bad\n")[:3], (0, 0, 1))
    t.equal("what fails on one that stood still is run again", _verdict(bad, share=0.05, stood=1.2)[:3], (0, 0, 1))
    t.equal("also then what is certain counts, and what the kernel says", [_verdict(f"# certain: x\n{bad}", share=0.05, stood=1.2)[:3],
            _verdict(bad, oops, share=0.05, stood=1.2)[:3]], [(1, 1, 0), (0, 2, 0)])
    t.equal("what fails on a machine of its own counts", _verdict(bad, share=0.05)[:3], (1, 1, 0))
    t.equal("a stall alone is the machine's", _verdict(good, stall)[:3], (0, 0, 1))
    for line in ("watchdog: BUG: soft lockup - CPU#1 stuck for 76s! [vhost-77:78]", "BUG: workqueue lockup - pool cpus=0",
                 "INFO: task a:7 blocked for more than 60 seconds.\nKernel panic - not syncing: hung_task: blocked tasks"):
        t.equal(f"so is: {line[:30]}", _verdict(good, line)[:3], (0, 0, 1))
        t.equal("on a machine of its own that counts", _verdict(good, line, share=0.05)[:3], (1, 1, 0))
    t.equal("another panic is not", _verdict(good, "Kernel panic - not syncing: Fatal exception")[:3], (1, 1, 0))
    t.equal("anything else that the kernel says is not", _verdict(bad, oops)[:3], (0, 2, 0))
    t.equal("nor is it beside a stall", _verdict(good, stall + "\n" + oops)[:3], (1, 1, 0))


def _erred(t):
    """What no processor does is the emulator's doing, on an idle machine, too; once."""
    good, idle = "ok 1 - fine\n", {"share": 0.05}
    wrong = "kernel BUG at net/core/skbuff.c:2612!\nRSP: 0018:ffffc9000102faa8 EFLAGS: 05909606\nKernel panic - not syncing: x"
    verdict = _verdict(good, wrong, **idle)
    t.equal("flags that no processor has", verdict[:3], (0, 0, 1))
    t.check("what was found is shown", "EFLAGS: 05909606" in verdict[3], verdict[3])
    t.equal("the second time they count", _verdict(good, wrong, last=True, **idle)[:3], (1, 1, 0))
    t.equal("on a processor, too", _verdict(good, wrong, accel="kvm", **idle)[:3], (1, 1, 0))
    t.equal("so do those that one has", _verdict(good, wrong.replace("05909606", "00010246"), **idle)[:3], (1, 1, 0))
    t.equal("and what the kernel said before", _verdict(good, "BUG: Bad page state in process x\n" + "a line of it\n" * 20 + wrong, **idle)[:3], (1, 1, 0))
    t.equal("and what a sanitizer kernel says", _verdict(good, wrong, kernel="kasan", **idle)[:3], (1, 1, 0))
    t.equal("and corrupt data", _verdict("# certain: corrupt\nnot ok 1 - fine\n", wrong, **idle)[:3], (0, 2, 0))


def _interrupted(said, error):
    """As _busy(), on an idle machine, but the lab fails after the suite."""
    with tempfile.TemporaryDirectory() as folder:
        whole = _busy(said, "", 0.5, folder)

        def run_vm(*args, **kwargs):
            whole(*args, **kwargs)
            raise error
        return run_vm


def _cut_short(t):
    """What had ended counts, also when the VM's run is cut short."""
    for error in (KeyboardInterrupt(), LabError("no room")):
        report = Report(out=io.StringIO())
        report.took = lambda source, seconds: None
        run.run_vm = _interrupted("not ok 1 - bad\n", error)
        t.raises(f"{type(error).__name__} comes through", type(error), lambda: testrun.Boot(
            [suites.Suite("a.sh"), suites.Suite("b.sh")], report).go("bookworm"))  # pylint: disable=cell-var-from-loop
        t.equal("what had ended by then counts", (report.passed, report.failed), (0, 1))


def _not_again(t):
    """A lab that fails when a suite is to run once more: that is told, of each."""
    said = _busy("not ok 1 - bad\n", "", 0.5, tempfile.gettempdir())
    boots = []

    def run_vm(*args, **kwargs):
        boots.append(1)
        if len(boots) > 2:
            raise LabError("no room")
        return said(*args, **kwargs)
    report = Report(out=io.StringIO())
    report.took = lambda source, seconds: None
    run.run_vm = run_vm
    testrun.run_suites([suites.Suite("a.sh", own_boot=True), suites.Suite("b.sh", own_boot=True)], "bookworm", report)
    t.equal("each fails", report.failures, [f"{name}.sh: was run once more" for name in "ab"])


def _boots(t):
    """VMs that don't come to a suite: tried once more; then their suites have failed, each by name, and others run."""
    good = "ok 1 - fine\n"
    with tempfile.TemporaryDirectory() as folder:
        whole = _busy(good, "", 0.05, folder)
        for name, bad, wanted, boots in (
                ("a boot that fails once", [("a.sh", 1)], (4, []), 3),
                ("one that fails twice", [("a.sh", 1), ("a.sh", 2)], (2, ["a.sh: its VM boots"]), 3),
                ("QEMU that doesn't start", [("b.sh", 1)], (4, []), 3),
                ("nor later", [("b.sh", 1), ("b.sh", 2)], (2, ["b.sh: its VM boots"]), 3)):
            tries = []

            def run_vm(options, command, on_out, overdue):
                suite = command[2].partition(":")[0]
                tries.append(suite)
                if (suite, tries.count(suite)) not in bad:  # pylint: disable=cell-var-from-loop
                    return whole(options, command, on_out, overdue)
                if suite == "b.sh":
                    raise run.NoBoot("QEMU did not start: x")
                return run.Result(reason="the VM ended without a verdict\nlast words", folder="/nonexistent")
            report = Report(out=io.StringIO())
            report.took = lambda source, seconds: None
            run.run_vm = run_vm
            testrun.run_suites([suites.Suite(f"{which}.sh", own_boot=True) for which in "ab"], "bookworm", report)
            t.equal(name, ((report.passed, report.failures), len(tries)), (wanted, boots))


def _died(t):
    """A VM that dies after its suites had ended, before its last word; and one that only ended."""
    good, ended, log = "ok 1 - fine\n", "the VM ended without a verdict (status 137)", "vd-suite begin a.sh\n"
    for name, log, reason, more, wanted in (
            ("one whose suites ended, and that did", log, "", {}, (2, 0, 0)),
            ("one that died then has failed", log, ended, {}, (2, 1, 0)),
            ("or timed out", log, "timeout after 300 s", {}, (2, 1, 0)),
            ("on a busy machine its last suite runs again", log, ended, {"share": 0.5}, (0, 0, 1)),
            ("but not if that doesn't bring back what kmemleak found", log, ended, {"share": 0.5, "kernel": "kasan"}, (2, 1, 0)),
            ("a log without the suite's mark isn't clean", "[ 9.0] cut off\n", "", {}, (1, 1, 0)),
            ("nor is none", "", "", {}, (1, 1, 0))):
        verdict = _verdict(good, **{"share": 0.05, **more}, reason=reason, whole=log)
        t.equal(name, verdict[:3], wanted)
    verdict = _verdict("not ok 1 - fine\n", share=0.05, reason=ended, cut=True)
    t.equal("one that died under a suite is told once", verdict[:3], (1, 2, 0))
    t.check("by that suite", "ran to its end" in verdict[3] and "outlives" not in verdict[3], verdict[3])


def _statuses(t):
    """What `vm run` ends with."""
    died = "the VM ended without a verdict (status 0)\n  last lines of console:\n    a timeout of its own"
    for name, words, wanted in (
            ("the command's", {"status": 3}, 3), ("also from a VM that died then", {"status": 3, "reason": died}, 3),
            ("a dirty log", {"status": 0, "findings": ["x"]}, 99), ("all well", {"status": 0}, 0),
            ("a VM that died, whatever it printed", {"reason": died}, 125), ("a time-out", {"reason": "timeout after 9 s\n"}, 124),
            ("one that died after its command", {"status": 0, "reason": died}, 125),
            ("that with a dirty log", {"status": 0, "reason": died, "findings": ["x"]}, 125),
            ("a time-out after its command", {"status": 0, "reason": "timeout after 9 s\n"}, 124)):
        t.equal(f"status: {name}", run.Result(**words).exit_status, wanted)


def _shares(t):
    machine = held.Held()
    for second in range(100):
        machine.add(second, second * 2e9, 1e9 * min(max(second - 40, 0), 10))
    t.check("of all the time", abs(machine.share() - 10 / 208) < 0.001, machine.share())
    t.check("of the worst ten seconds", abs(machine.worst() - 1 / 3) < 0.001, machine.worst())
    t.equal("of others nothing", machine.worst(60, 99), 0.0)
    t.equal("without samples nothing", held.Held().worst(), 0.0)
    t.equal("a short look says nothing", machine.worst(40, 44), 0.0)
    _pause(t)
    idle = held.Held()
    for second in range(20):
        idle.add(second, second * 1e6, second * 1e6)
    t.equal("nor does what a VM waits that stands still", idle.worst(), 0.0)


def _pause(t):
    """A machine that stands still between two looks at a process, here at ourselves."""
    t.check("a look that comes late shows a machine that stood still", _looked(4).worst(5000, 5016) > 0.2, _looked(4).worst())
    t.equal("before it nothing does", _looked(4).worst(5000, 5009), 0.0)
    for seconds in (1, 1.5, 2, 4):
        # Wherever it falls between two samples.
        for begin in (10, 10.4, 10.8):
            machine = _looked(seconds, begin)
            t.check(f"it stood still for {seconds} s from {begin}", abs(machine.stood(5000, 5020) - seconds) < 0.3, machine.stood())
            t.check("also for who ends, or begins, amid that", machine.stood(5000, 5010.9) and machine.stood(5000 + begin + seconds / 2, 5020))
            t.equal("for nobody before or after", (machine.stood(5000, 5009), machine.stood(5016, 5030)), (0.0, 0.0))
    t.equal("a look that is a little late shows nothing", _looked(0.5).stood(), 0.0)


def _looked(seconds, begin=10):
    """A Held that was asked each 0.2 s, but for so many SECONDS from BEGIN on."""
    machine, kept = held.Held(os.getpid()), held.time
    try:
        for tick in range(100):
            if not begin < tick / 5 < begin + seconds:
                held.time = _Later(tick / 5)
                machine.look()
    finally:
        held.time = kept
    return machine


def main():
    """Run."""
    with Ktap() as t, tempfile.TemporaryDirectory() as folder:
        report = results.Recorder("none", os.path.join(folder, "results"), out=io.StringIO())
        group = [suites.Suite("a.sh", limit=300), suites.Suite("b.sh", limit=300)]
        kept, asked = (run.run_vm, testrun.time), []
        run.run_vm, testrun.time = _vm("ok 1 - fine\n", asked), _Later(0)
        left = testrun.Boot(group, report).go("bookworm")
        run.run_vm, testrun.time = kept
        report.save()
        found = results.load("none", os.path.join(folder, "results"))
        t.equal("within its limit a suite is waited for", asked[0], "")
        t.check("then the VM is ended, and why is said", "360 s of a.sh" in asked[1], asked)
        t.equal("the suites after it are still to be run", [suite.name for suite in left], ["b.sh"])
        verdicts = [test["verdict"] for test in found["a"]["tests"]]
        t.check("what it showed counts, and that it hung", verdicts[0] == "pass" and "fail" in verdicts, found)
        testrun.time = _Later(0)
        _once_more(t)
        _erred(t)
        _no_suite(t)
        _cut_short(t)
        _not_again(t)
        _boots(t)
        _died(t)
        run.run_vm, testrun.time = kept
        _statuses(t)
        _shares(t)


if __name__ == "__main__":
    main()

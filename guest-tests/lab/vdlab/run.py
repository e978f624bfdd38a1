# SPDX-License-Identifier: GPL-2.0-only
"""One run of a host VM: boot, one command, its verdict, the kernel log's verdict."""

import contextlib
import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time

from . import accel, image, inside, qemu, sanitizer, scan
from .channel import Channels, Reader
from .held import Held
from .paths import LabError, cache_dir, locked, read_text, say
from .qmp import Qmp

TIMEOUT_STATUS, LAB_STATUS, LOG_STATUS = 124, 125, 99
_KEEP_RUNS = 30


class NoBoot(LabError):
    """The VM didn't start, or didn't come to its work: the next may."""


@dataclasses.dataclass
class Result:
    """What came of a run. STATUS: the command's own, or None if it never ended. REASON: why the
    VM had to be ended, or ended itself, before its last word; else empty.
    """

    status: int = None
    reason: str = ""
    accel: str = ""
    release: str = ""
    boot_seconds: float = 0.0
    seconds: float = 0.0
    folder: str = ""
    findings: list = dataclasses.field(default_factory=list)
    held: Held = dataclasses.field(default_factory=Held)

    @property
    def exit_status(self):
        """The command's status; 99: dirty kernel log; 124: time-out; 125: the VM failed."""
        # After the command's end the VM still says what kmemleak and the kernel found: died
        # before that, it hasn't succeeded.
        if self.status is None or not self.status and self.reason:
            return TIMEOUT_STATUS if self.reason.startswith("timeout") else LAB_STATUS
        return self.status or (LOG_STATUS if self.findings else 0)

    def kernel_log(self):
        """The saved kernel log, or the console's if the kernel died before it was saved."""
        saved = read_text(os.path.join(self.folder, "files", ".vd", "kernel.log"), "")
        return saved or read_text(os.path.join(self.folder, "console.log"), "")


def _write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


class Run:
    """The state of one run while it lasts."""

    def __init__(self, options, command, on_out=None, on_err=None, overdue=None):
        self._options, self._command = options, command
        self._overdue = overdue or (lambda: "")
        self._sinks = {"out": on_out or self._to(sys.stdout), "err": on_err or self._to(sys.stderr)}
        self._verdict, self._verdict_text = threading.Event(), ""
        self._last = {"out": b"", "err": b""}
        self._logs = {}
        self._qmp = self._process = None
        self._started = 0.0
        self.result = Result()

    @staticmethod
    def _to(stream):
        def sink(data):
            stream.buffer.write(data)
            stream.buffer.flush()
        return sink

    def _folder(self, vm):
        """The run's own folder; old default ones are pruned."""
        if self._options.results:
            path = os.path.abspath(self._options.results)
        else:
            top = cache_dir("runs")
            for old in sorted(os.listdir(top))[:-_KEEP_RUNS]:
                shutil.rmtree(os.path.join(top, old), ignore_errors=True)
            path = os.path.join(top, time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}")
        job = os.path.join(path, "files", ".vd")
        shutil.rmtree(job, ignore_errors=True)
        os.makedirs(job)
        _write(os.path.join(job, "command"),
               "#!/bin/sh\ncd /vd || exit 125\nexec " + shlex.join(self._command) + "\n", 0o755)
        shares = [("vdimage", "image", "ro")]
        shares += [(tag, name, "ro") for tag, name, _ in getattr(vm, "shares", ())]
        shares += [(tag, name, mode) for tag, name, _, mode in qemu.share_list(self._options)]
        _write(os.path.join(job, "shares"), "".join(" ".join(item) + "\n" for item in shares))
        env = getattr(vm, "env", {})
        _write(os.path.join(job, "env"), "".join(f"export {name}={shlex.quote(value)}\n"
                                                 for name, value in env.items()))
        for index, size in enumerate(self._options.disk):
            with open(os.path.join(path, f"disk{index}.raw"), "wb") as file:
                file.truncate(qemu.size_bytes(size))
        return path

    def _receive(self, name, data):
        self._logs[name].write(data)
        self._logs[name].flush()
        self._last[name] = (self._last[name] + data)[-2000:]
        self._sinks[name](data)

    def _on_verdict(self, data):
        self._verdict_text += data.decode(errors="replace")
        for line in self._verdict_text.split("\n")[:-1]:
            word, _, value = line.partition(" ")
            if word == "up" and not self.result.boot_seconds:
                self.result.boot_seconds = time.monotonic() - self._started
            elif word == "exit":
                self.result.status = int(value)
            elif word == "done":
                self._verdict.set()

    def _start(self, words, channels, stack):
        folder = self.result.folder
        _write(os.path.join(folder, "qemu.command"), shlex.join(words) + "\n")
        errors = stack.enter_context(open(os.path.join(folder, "qemu.log"), "wb"))
        self._started = time.monotonic()
        # Its own session: Ctrl-C reaches the lab alone, which then ends QEMU itself.
        # And if the lab itself is killed outright, the kernel kills QEMU after it: the
        # lock goes with the lab, and two VMs must not run at once.
        self._process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *words],
                                         start_new_session=True, **self._stdio(errors))
        stack.callback(self._kill)
        self.result.held = Held(self._process.pid)
        try:
            self._qmp = Qmp(channels.accept("qmp", 20))
            readers = []
            for name in qemu.PORTS:
                connection = channels.accept(name, 20)
                if name == "verdict":
                    readers.append(Reader(connection, self._on_verdict))
                    continue
                self._logs[name] = stack.enter_context(
                    open(os.path.join(folder, f"std{name}.log"), "wb"))
                readers.append(Reader(connection, lambda data, n=name: self._receive(n, data)))
        except (OSError, LabError) as error:
            text = read_text(os.path.join(folder, "qemu.log"), "").strip()
            raise NoBoot(f"QEMU did not start: {text or error}") from error
        return readers

    def _stdio(self, errors):
        """A terminal for `vm shell`; nothing otherwise, QEMU's own complaints to its log."""
        if self._options.interactive:
            return {"stderr": errors}
        return {"stdin": subprocess.DEVNULL, "stdout": errors, "stderr": errors}

    def _kill(self):
        if self._process and self._process.poll() is None:
            self._process.kill()
        if self._process:
            self._process.wait()

    def _wait(self):
        """Until the verdict, QEMU's end or the time-out."""
        limit = self._options.timeout * (sanitizer.SLOW if self._options.sanitizer else 1)
        end = self._started + limit
        while not self._verdict.is_set():
            self.result.held.look()
            if self._process.poll() is not None:
                # The kernel may have powered off right after its last word.
                if not self._verdict.wait(1):
                    self.result.reason = self._why_ended()
                return
            late = f"after {limit:.0f} s" if time.monotonic() > end else self._overdue()
            if late:
                self.result.reason = f"timeout {late}\n" + self._last_words()
                return
            self._verdict.wait(0.2)

    def _why_ended(self):
        text = read_text(os.path.join(self.result.folder, "qemu.log"), "").strip()
        return ("the VM ended without a verdict (status "
                f"{self._process.returncode}){': ' + text if text else ''}\n" + self._last_words())

    def _last_words(self):
        console = read_text(os.path.join(self.result.folder, "console.log"), "")
        parts = [("console", console[-2000:])]
        parts += [(f"std{name}", data.decode(errors="replace")) for name, data in self._last.items()]
        shown = []
        for name, text in parts:
            lines = [line for line in text.splitlines() if line.strip()][-12:]
            if lines:
                shown.append(f"  last lines of {name}:\n" + "\n".join(f"    {l}" for l in lines))
        return "\n".join(shown) or "  (it printed nothing)"

    def _inside_lock(self):
        options, channels = self._options, None
        vm = image.get(options.image)
        self.result.accel = accel.choose(options, vm)
        if options.sanitizer:
            vm = sanitizer.boot(options.sanitizer, vm)
        elif inside.wanted(vm):
            vm = inside.boot(vm)
        self.result.release = vm.release
        self.result.folder = self._folder(vm)
        with contextlib.ExitStack() as stack:
            channels = Channels(("qmp", *qemu.PORTS))
            stack.callback(channels.close)
            words = qemu.command(options, vm, self.result.accel, self.result.folder, channels.folder)
            say(f"booting {vm.name} ({vm.release}), accelerator {self.result.accel}, "
                f"{options.smp} vCPU, {options.mem}, results in {self.result.folder}")
            readers = self._start(words, channels, stack)
            if options.pin:
                self._qmp.pin()
            self._wait()
            self._qmp.quit()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._kill()
            for reader in readers:
                reader.join(5)
        self.result.seconds = time.monotonic() - self._started

    def _scan(self):
        allowed = list(self._options.allow_log)
        for path in self._options.allow_log_file:
            allowed += scan.read_allow_list(path)
        text = self.result.kernel_log()
        leaks = read_text(os.path.join(self.result.folder, "files", ".vd", "kmemleak"), "")
        self.result.findings = scan.scan(text, scan.compile_allowed(allowed))
        if leaks.strip():
            lines = leaks.splitlines()
            self.result.findings.append(scan.Finding("kmemleak", lines[0], lines[1:30]))

    def go(self):
        """Do it all; returns the Result."""
        # Before anything boots: a bad expression shouldn't cost a run.
        scan.compile_allowed(self._options.allow_log)
        if self._options.sanitizer:
            # A kernel takes minutes to build; other VMs can run meanwhile.
            sanitizer.boot(self._options.sanitizer, image.get(self._options.image))
        try:
            with locked("run.lock", "another VM run"):
                self._inside_lock()
        finally:
            for index in range(len(self._options.disk)):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.result.folder, f"disk{index}.raw"))
        self._scan()
        return self.result


def run_vm(options, command, on_out=None, on_err=None, overdue=None):
    """Boot a VM, run COMMAND (a list of words) in it, return the Result.

    ON_OUT, ON_ERR take the command's output as bytes while it comes; default: our own.
    OVERDUE, if given, is asked again and again; what it answers, if anything, ends the VM.
    """
    return Run(options, command, on_out, on_err, overdue).go()

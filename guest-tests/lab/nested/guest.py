# SPDX-License-Identifier: GPL-2.0-only
"""A guest VM inside the host VM: Debian's unmodified QEMU with -netdev tap,vhost=on.

Runs in the host VM. Meant to be used as a context manager; leaving it ends QEMU and
removes the tap, also after an error or Ctrl-C.
"""

import contextlib
import dataclasses
import glob
import os
import socket
import subprocess
import tempfile
import time

from vdlab.paths import LabError
from vdlab.qmp import Qmp
from . import backend as backends
from . import doing

PROGRAM = "qemu-system-x86_64"
KERNEL, INITRD = "/share/image/vmlinux", "/share/image/guest.cpio"
TAP, HOST_IP, GUEST_IP, GUEST_MAC = "vdtap0", "10.77.0.1", "10.77.0.2", "52:54:00:77:00:02"
_APPEND = ("console=ttyS0 quiet loglevel=5 panic=-1 oops=panic tsc=reliable init_on_alloc=0 "
           "random.trust_cpu=on net.ifnames=0 cryptomgr.notests no_timer_check "
           f"vd.ip={GUEST_IP}/24")


class GuestError(Exception):
    """The guest didn't do what was asked."""


def _run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GuestError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _kvm():
    """Nested KVM of whatever vendor the emulated processor claims."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = file.read().split()
    _run("modprobe", "kvm_amd" if "svm" in flags else "kvm_intel")
    if not os.path.exists("/dev/kvm"):
        raise GuestError("no /dev/kvm in the host VM: does its -cpu have svm or vmx?")


def make_tap(name, queues=1, mtu=1500):
    """A tap that is up, with nobody else speaking on it."""
    _run("modprobe", "tun")
    many = ["multi_queue"] if queues > 1 else []
    _run("ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr", *many)
    # No router solicitations among the counted frames.
    with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as file:
        file.write("1")
    _run("ip", "link", "set", name, "mtu", str(mtu), "up")


def remove_tap(name):
    """The opposite, also if there is none."""
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


def _emulated():
    """Is this host's processor QEMU's TCG?"""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return "QEMU TCG CPU" in file.read()


def processor():
    """What Linux takes for a processor in a nested guest here."""
    late = int(os.uname().release.split(".")[0]) >= 7
    return "host,-xsave,-avx,-pclmulqdq,-pku" if late and _emulated() else "host"


def notify():
    """Options of a virtio device: how the guest notifies it.

    Suspected: TCG leaves the type of the last event in EXITINTINFO and takes only its valid bit
    away; a KVM of Linux 7 asks for the type alone, takes a write to a device's memory for one that
    delivers an event, and stops the guest ("internal error, suberror 3"). With ports, whose exits no
    instruction has to be emulated for, that doesn't happen. KVM of 6.1 has been seen to leave a guest
    in an endless page fault at an instruction of a module, or to reset it, once in some twenty on a
    busy machine: QEMU loses interrupts of such a host (docs/maintainers.md), which may be why.
    """
    return ",modern-pio-notify=on" if _emulated() else ""


@dataclasses.dataclass
class Setup:
    """The machine a guest gets; netdev, device, machine are appended to QEMU's options."""

    program: str = PROGRAM
    memory: int = 384
    more_memory: str = ""    # appended to -m
    netdev: str = ""
    device: str = ""
    cpu: str = "host"
    machine: str = ""
    append: str = ""
    initrd: str = INITRD
    words: tuple = ()        # more of QEMU's command line, before the card's
    boot_limit: float = 180
    name: str = ""           # of its logs [the back end's]
    tap: str = TAP
    own_tap: bool = True     # made here, with the host's address, and removed
    node: str = ""           # opened for vhostfd= [QEMU opens /dev/vhost-net]
    vhostdev: bool = False   # QEMU opens that node itself; a patched one can
    queues: int = 1
    incoming: bool = False   # waits for a migration, doesn't boot


class Guest:
    """A running guest with one virtio-net card on a vhost back end."""

    def __init__(self, backend, folder="/results", **setup):
        self.backend, self._folder, self.setup = backend, folder, Setup(**setup)
        self._process = self._control = self._lines = self.qmp = None
        self.console = os.path.join(folder, f"guest-{self.setup.name or backend}-console.log")
        self.boot_seconds = 0.0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def pid(self):
        """QEMU's process."""
        return self._process.pid

    def _log_path(self):
        return os.path.join(self._folder, f"guest-{self.setup.name or self.backend}-qemu.log")

    def _tap(self):
        make_tap(self.setup.tap, self.setup.queues)
        _run("ip", "addr", "add", f"{HOST_IP}/24", "dev", TAP)

    def _netdev(self, node):
        setup = self.setup
        queues = f",queues={setup.queues}" if setup.queues > 1 else ""
        vhostfd = f",vhostfd={node}" if node is not None else ""
        if setup.vhostdev:
            vhostfd = f",vhostdev={setup.node}"
        return (f"tap,id=net0,ifname={setup.tap},script=no,downscript=no,vhost=on{queues}{vhostfd}"
                f"{setup.netdev}")

    def _words(self, folder, node):
        setup = self.setup
        queues = f",mq=on,vectors={2 * setup.queues + 2}" if setup.queues > 1 else ""
        card = (f"virtio-net-pci,netdev=net0,mac={GUEST_MAC},romfile={queues}{notify()}"
                f"{setup.device}")
        words = [setup.program, "-nodefaults", "-no-user-config", "-display", "none",
                 "-no-reboot", "-machine", f"q35,smm=off,vmport=off{setup.machine}",
                 "-accel", "kvm", "-cpu", setup.cpu, "-smp", "1", "-m", f"{setup.memory}{setup.more_memory}",
                 "-kernel", KERNEL, "-initrd", setup.initrd, "-append", f"{_APPEND} {setup.append}",
                 "-serial", f"file:{self.console}", *setup.words, "-netdev", self._netdev(node),
                 "-device", card, "-device", f"virtio-serial-pci{notify()}",
                 "-chardev", f"socket,id=ctl,path={folder}/control",
                 "-device", "virtserialport,chardev=ctl,name=vd.control",
                 "-chardev", f"socket,id=qmp,path={folder}/qmp", "-mon", "chardev=qmp,mode=control"]
        return words + (["-incoming", "defer"] if setup.incoming else [])

    def _launch(self, log, stack):
        """Start QEMU, and take its two connections."""
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        servers = []
        for name in ("qmp", "control"):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(os.path.join(folder, name))
            server.listen(1)
            server.settimeout(120)
            servers.append(server)
        opened = self.setup.node and not self.setup.vhostdev
        node = os.open(self.setup.node, os.O_RDWR) if opened else None
        passed = () if node is None else (node,)
        try:
            self._process = subprocess.Popen(self._words(folder, node), stdin=subprocess.DEVNULL,
                                             stdout=log, stderr=log, pass_fds=passed)
        finally:
            for number in passed:
                os.close(number)
        # QEMU greets on QMP only when it is about to run: take both connections first.
        monitor, self._control = (server.accept()[0] for server in servers)
        self.qmp = Qmp(monitor)

    def start(self):
        """Start QEMU; unless it waits for a migration, until the guest has booted."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self):
        if not self.setup.node:
            backends.load(self.backend)
        _kvm()
        if self.setup.own_tap:
            self._tap()
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(self._log_path(), "wb"))
            try:
                self._launch(log, stack)
            except (OSError, LabError) as error:
                raise GuestError(f"QEMU did not start: {self.said() or error}") from error
        self._lines = self._control.makefile("rb")
        self._control.settimeout(self.setup.boot_limit)
        if not self.setup.incoming:
            self._answer("boot")
        self.boot_seconds = time.monotonic() - began

    def _answer(self, what):
        try:
            head = self._lines.readline()
            if head:
                status, size = head.split()
                return int(status), self._lines.read(int(size)).decode(errors="replace")
        except TimeoutError:
            raise GuestError(f"guest: no answer within {self._control.gettimeout():.0f} s: {what}"
                             + self._doing() + self._last_words()) from None
        except OSError as error:
            raise GuestError(f"guest: {what}: {error}{self._last_words()}") from error
        raise GuestError(f"guest: QEMU closed the control port: {what}{self._end()}{self._last_words()}")

    def _doing(self):
        return "".join(f"\n  guest: {line}" for line in doing.doing(self.qmp, self.pid))

    def _end(self):
        """How QEMU ended, and why: a guest that resets itself ends it, too."""
        try:
            status = self._process.wait(20)
        except subprocess.TimeoutExpired:
            return "\n  QEMU still runs"
        return f"\n  QEMU: status {status}; {self.qmp.last_event() or 'no event'}; {self.said()}"

    def said(self):
        """What QEMU itself has printed."""
        with open(self._log_path(), encoding="utf-8", errors="replace") as file:
            return file.read().strip()

    def _last_words(self):
        try:
            with open(self.console, encoding="utf-8", errors="replace") as file:
                lines = [line.rstrip() for line in file.readlines() if line.strip()][-15:]
        except OSError:
            lines = []
        return "".join(f"\n  guest console: {line}" for line in lines)

    def send(self, command):
        """Start a one-line shell command in the guest; its answer comes with receive()."""
        self._control.sendall(command.encode() + b"\n")

    def receive(self, command, timeout=60):
        """The answer to send(): the output, or GuestError if the status isn't 0."""
        self._control.settimeout(timeout)
        status, text = self._answer(command)
        if status:
            raise GuestError(f"guest: status {status} of: {command}: {text.strip()}")
        return text

    def sh(self, command, timeout=60):
        """Run a one-line shell command in the guest, return its output."""
        self.send(command)
        return self.receive(command, timeout)

    def holds(self, path):
        """How many descriptors of PATH QEMU holds."""
        count = 0
        for link in glob.glob(f"/proc/{self.pid}/fd/*"):
            with contextlib.suppress(OSError):
                count += os.readlink(link) == path
        return count

    def check_vhost(self):
        """Raise unless QEMU really uses the back end: its file, its worker, its module.

        With plain vhost=on QEMU falls back to its own virtio silently when it can't.
        """
        node = self.setup.node or "/dev/vhost-net"
        if not self.holds(node):
            raise GuestError(f"QEMU doesn't hold {node} open: it fell back")
        # A kernel thread up to Linux 6.3, a thread of QEMU's own process since.
        wanted, names = f"vhost-{self.pid}", []
        for path in glob.glob("/proc/[0-9]*/comm") + glob.glob(f"/proc/{self.pid}/task/*/comm"):
            try:
                with open(path, encoding="ascii", errors="replace") as file:
                    names.append(file.read().strip())
            except OSError:
                continue
        if wanted not in names:
            raise GuestError(f"no thread called {wanted}: the back end has no worker")
        if not backends.use_count(self.backend):
            raise GuestError(f"module {backends.BACKENDS[self.backend][0]} isn't in use")

    def close(self):
        """End QEMU, remove the tap."""
        for connection in (self._control, self.qmp):
            if connection:
                connection.close()
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self.setup.own_tap:
            remove_tap(self.setup.tap)

# SPDX-License-Identifier: GPL-2.0-only
"""A guest VM inside the host VM: Debian's unmodified QEMU with -netdev tap,vhost=on.

Runs in the host VM. Meant to be used as a context manager; leaving it ends QEMU and
removes the tap, also after an error or Ctrl-C.
"""

import glob
import os
import socket
import subprocess
import tempfile
import time

from . import backend as backends

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


class Guest:
    """A running guest with one virtio-net card on a vhost back end."""

    def __init__(self, backend, folder="/results", memory=384, netdev="", device="", cpu="host",
                 boot_limit=90):
        self.backend, self._folder, self._memory = backend, folder, memory
        self._netdev, self._device, self._cpu, self._limit = netdev, device, cpu, boot_limit
        self._process = self._control = self._lines = None
        self.console = os.path.join(folder, f"guest-{backend}-console.log")
        self.boot_seconds = 0.0

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    @property
    def pid(self):
        """QEMU's process."""
        return self._process.pid

    def _tap(self):
        _run("modprobe", "tun")
        _run("ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr")
        # Nobody else speaks on this link: no router solicitations among the counted frames.
        with open(f"/proc/sys/net/ipv6/conf/{TAP}/disable_ipv6", "w", encoding="ascii") as file:
            file.write("1")
        _run("ip", "addr", "add", f"{HOST_IP}/24", "dev", TAP)
        _run("ip", "link", "set", TAP, "up")

    def _words(self, control):
        return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
                "-no-reboot", "-machine", "q35,smm=off,vmport=off", "-accel", "kvm", "-cpu", self._cpu,
                "-smp", "1", "-m", str(self._memory), "-kernel", KERNEL, "-initrd", INITRD,
                "-append", _APPEND, "-serial", f"file:{self.console}",
                "-netdev", f"tap,id=net0,ifname={TAP},script=no,downscript=no,vhost=on{self._netdev}",
                "-device", f"virtio-net-pci,netdev=net0,mac={GUEST_MAC},romfile={self._device}",
                "-device", "virtio-serial-pci", "-chardev", f"socket,id=ctl,path={control}",
                "-device", "virtserialport,chardev=ctl,name=vd.control"]

    def _start(self):
        backends.load(self.backend)
        _kvm()
        self._tap()
        began = time.monotonic()
        errors = os.path.join(self._folder, f"guest-{self.backend}-qemu.log")
        with tempfile.TemporaryDirectory() as folder, \
                socket.socket(socket.AF_UNIX) as server, open(errors, "wb") as log:
            server.bind(os.path.join(folder, "control"))
            server.listen(1)
            server.settimeout(15)
            self._process = subprocess.Popen(self._words(os.path.join(folder, "control")),
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                self._control, _ = server.accept()
            except TimeoutError as error:
                with open(errors, encoding="utf-8", errors="replace") as file:
                    raise GuestError(f"QEMU did not start: {file.read().strip()}") from error
        self._lines = self._control.makefile("rb")
        self._control.settimeout(self._limit)
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
                             + self._last_words()) from None
        except OSError as error:
            raise GuestError(f"guest: {what}: {error}{self._last_words()}") from error
        raise GuestError(f"guest: QEMU closed the control port: {what}{self._last_words()}")

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

    def check_vhost(self):
        """Raise unless QEMU really uses the back end: its file, its worker, its module.

        With plain vhost=on QEMU falls back to its own virtio silently when it can't.
        """
        files = set()
        for path in glob.glob(f"/proc/{self.pid}/fd/*"):
            try:
                files.add(os.readlink(path))
            except OSError:
                continue
        if "/dev/vhost-net" not in files:
            raise GuestError("QEMU doesn't hold /dev/vhost-net open: it fell back")
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
        if self._control:
            self._control.close()
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        subprocess.run(["ip", "link", "del", TAP], capture_output=True, check=False)

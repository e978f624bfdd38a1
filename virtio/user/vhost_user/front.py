# SPDX-License-Identifier: GPL-2.0-only
"""A front end that says what no decent one does: refused, and the device goes on.

The requests' numbers and payloads are those of vhost-user; see proto.h.
"""

import array
import os
import socket
import struct
import subprocess
import tempfile
import time

_SET_FEATURES, _MEM_TABLE, _NUM, _ADDR, _BASE, _GET_BASE, _KICK, _PROTOCOL, _ENABLE = 2, 5, 8, 9, 10, 11, 12, 16, 18
_VERSION, _NEED_REPLY = 1, 8
_VERSION_1, _PROTOCOL_FEATURES, _REPLY_ACK = 1 << 32, 1 << 30, 1 << 3
_SIZE, _UADDR, _RX, _TX = 1 << 20, 0x100000, 0, 1
# Of the receive ring, behind the other.
_FAR = _UADDR + _SIZE // 2
_LIMIT = 30


def table(size=_SIZE, uaddr=_UADDR):
    """A memory table of one region."""
    return struct.pack("<IIQQQQ", 1, 0, 0, size, uaddr, 0)


def ring(at=_UADDR, queue=_TX):
    """Where a ring lies."""
    return struct.pack("<IIQQQQ", queue, 0, at, at + 0x8000, at + 0x4000, 0)


class Front:
    """The device as a process, and a connection to it with two queues that run."""

    def __init__(self, program, folder):
        path = os.path.join(folder, "socket")
        # pylint: disable=consider-using-with
        self.device = subprocess.Popen([program, "--socket", path, "--mode", "udp"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.device.stdout.readline()
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(_LIMIT)
        self._sock.connect(path)
        self.memory = os.memfd_create("guest")
        os.truncate(self.memory, _SIZE)
        self.said = []
        self._send(_SET_FEATURES, struct.pack("<Q", _VERSION_1 | _PROTOCOL_FEATURES), (), 0)
        self._send(_PROTOCOL, struct.pack("<Q", _REPLY_ACK), (), 0)
        self.ask(_MEM_TABLE, table(), self.memory)
        for queue, at in ((_RX, _FAR), (_TX, _UADDR)):
            self.ask(_NUM, struct.pack("<II", queue, 256))
            self.ask(_BASE, struct.pack("<II", queue, 0))
            self.start(at, queue)
            self.ask(_ENABLE, struct.pack("<II", queue, 1))

    def start(self, at, queue=_TX):
        """Have a queue run; whether it was refused."""
        kick = os.eventfd(0)
        try:
            return self.ask(_ADDR, ring(at, queue)) or self.ask(_KICK, struct.pack("<Q", queue), kick)
        finally:
            os.close(kick)

    def stop(self):
        """Have the transmit queue stop."""
        self._send(_GET_BASE, struct.pack("<II", _TX, 0), (), 0)
        return self._answer()

    def _send(self, request, body, fds, flags):
        with_it = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._sock.sendmsg([struct.pack("<III", request, _VERSION | flags, len(body)) + body], with_it)

    def _answer(self):
        head = self._sock.recv(12, socket.MSG_WAITALL)
        if len(head) < 12:
            raise ConnectionError("the device has hung up")
        return self._sock.recv(struct.unpack("<III", head)[2], socket.MSG_WAITALL)

    def ask(self, request, body, *fds):
        """A request with its reply; whether it was refused."""
        self._send(request, body, fds, _NEED_REPLY)
        return struct.unpack("<Q", self._answer())[0] != 0

    def end(self):
        """Hang up; what the sanitizers said, if anything."""
        self._sock.close()
        os.close(self.memory)
        try:
            said = self.device.communicate(b"", timeout=_LIMIT)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.device.kill()
            said = "ERROR: it doesn't end\n" + self.device.communicate()[0].decode(errors="replace")
        lines = said.splitlines()
        return [line for line in lines if "ERROR: " in line or "runtime error" in line]


def _unmapped(front, bad):
    """A table that is refused while the queue runs; the device has time to look at its ring."""
    refused = front.ask(_MEM_TABLE, bad, front.memory)
    time.sleep(0.2)
    return [] if refused else ["it was taken"]


def _none(front):
    return _unmapped(front, table(size=0))


def _half(front):
    return _unmapped(front, table(size=_SIZE // 4))


def _short(front):
    """Payloads of fewer bytes than the request has."""
    wrong = [f"request {request} of {size} bytes was taken" for request, size in (
        (_SET_FEATURES, 0), (_SET_FEATURES, 4), (_NUM, 4), (_ADDR, 8), (_ENABLE, 0))
        if not front.ask(request, bytes(size))]
    if not front.ask(_MEM_TABLE, table()[:8], front.memory):
        wrong.append("a table without its region was taken")
    return wrong


def _odd(front):
    front.stop()
    wrong = [f"a ring at {at:#x} was taken" for at in (_UADDR + 1, _UADDR + 8) if not front.start(at)]
    return wrong + ["a good one was refused"] * front.start(_UADDR + 16)


CASES = (("a memory table with an empty region is refused, the ring goes on where it was", _none),
         ("a memory table without one of the rings is refused, that one stops, the other goes on", _half),
         ("requests that are too short are refused", _short),
         ("a ring whose words would straddle is refused", _odd))


def run(call, program):
    """What is wrong with a case."""
    with tempfile.TemporaryDirectory(prefix="vhost-user-front-") as folder:
        front = Front(program, folder)
        try:
            wrong = call(front)
            if not front.stop():
                wrong.append("afterwards it doesn't answer")
        except (OSError, struct.error) as error:
            wrong = [f"the device: {error}"]
        return wrong + front.end()

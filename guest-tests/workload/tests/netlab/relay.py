# SPDX-License-Identifier: GPL-2.0-only
"""A network between two cables that loses, doubles, reorders and changes packets: counted, so that
what a receiver counts can be compared. Only vdload's data packets to its port are harmed."""

import os
import socket
import struct
import threading

_ALL, _PACKET, _STATISTICS, _IGNORE_OUTGOING = 3, 263, 6, 23


def _head(frame):
    """Bytes before the payload of a frame of UDP, of either family; 0 if it is none."""
    if frame[12:14] == b"\x08\0" and len(frame) >= 42 and frame[23] == 17:
        return 42
    return 62 if frame[12:14] == b"\x86\xdd" and len(frame) >= 62 and frame[20] == 17 else 0


class Damage:
    """What is done to which packet: of a number N of data packets, those with N % every == at; RUIN
    changes all there is, the words about them among it. ONLY: from this source port.
    """

    def __init__(self, lose=0, corrupt=0, double=0, hold=0, resum=0, ruin=False, only=0):
        self._ruin, self._only = ruin, only
        self._plan = [(name, every) for name, every in (
            ("lose", lose), ("corrupt", corrupt), ("double", double), ("hold", hold),
            ("resum", resum)) if every]
        self.done = dict.fromkeys(("lose", "corrupt", "double", "hold", "resum", "seen"), 0)
        self._held = {}

    def _fate(self):
        number = self.done["seen"]
        self.done["seen"] += 1
        for name, every in self._plan:
            if number % every == every // 2:
                return name
        return ""

    @staticmethod
    def _changed(frame, number):
        """One byte of the payload is another; no UDP checksum tells."""
        frame = bytearray(frame)
        head = _head(frame)
        frame[head - 2:head] = b"\0\0"
        frame[head + number * 7 % (len(frame) - head)] ^= 1 + number % 255
        return bytes(frame)

    @staticmethod
    def _resummed(frame):
        """Its UDP checksum is another, and not none."""
        frame, head = bytearray(frame), _head(frame)
        frame[head - 2] = frame[head - 2] ^ 0xff or 1
        return bytes(frame)

    def _flow(self, frame, port):
        """Which flow it is of and whether it is data; None if it isn't vdload's to that port."""
        head = _head(frame)
        if not head or len(frame) < head + 18 or struct.unpack(">H", frame[head - 6:head - 4])[0] != port:
            return None, False
        if self._only and struct.unpack(">H", frame[head - 8:head - 6])[0] != self._only:
            return None, False
        word = struct.unpack("<H", frame[head + 8:head + 10])[0]
        return word & 0x3fff, not word >> 14

    def apply(self, frame, port):
        """The frames that go on in this one's place."""
        flow, data = self._flow(frame, port)
        if flow is None:
            return [frame]
        if self._ruin:
            self.done["corrupt"] += 1
            return [self._changed(frame, self.done["corrupt"])]
        if not data:
            # The last word: what was held back comes before it, and so isn't out of order.
            late = self._held.pop(flow, None)
            return [late, frame] if late else [frame]
        fate = self._fate()
        if fate == "hold":
            if flow not in self._held:
                self._held[flow] = frame
                return []
            fate = ""
        if fate:
            self.done[fate] += 1
        if fate == "lose":
            return []
        if fate == "corrupt":
            return [self._changed(frame, self.done["seen"])]
        if fate == "resum":
            return [self._resummed(frame)]
        late = [self._held.pop(flow)] if flow in self._held else []
        self.done["hold"] += len(late)
        return [frame] * (2 if fate == "double" else 1) + late


class Relay:
    """Carries frames both ways; what goes from the first to the second cable is damaged."""

    def __init__(self, first, second, damage, port=7700):
        self._ends = [self._open(first), self._open(second)]
        self._damage, self._port = damage, port
        self._stop = False
        self.dropped = 0
        self._threads = [threading.Thread(target=self._carry, args=(0, 1), daemon=True),
                         threading.Thread(target=self._carry, args=(1, 0), daemon=True)]

    @staticmethod
    def _open(device):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        end.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)     # SO_RCVBUFFORCE
        end.setsockopt(_PACKET, _IGNORE_OUTGOING, 1)
        end.bind((device, _ALL))
        end.settimeout(0.1)
        return end

    def _carry(self, source, target):
        # From one processor, frames stay in order.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        while not self._stop:
            try:
                frame = self._ends[source].recv(65536)
            except TimeoutError:
                continue
            frames = self._damage.apply(frame, self._port) if source == 0 else [frame]
            for one in frames:
                self._send(self._ends[target], one)

    @staticmethod
    def _send(end, frame):
        while True:
            try:
                end.send(frame)
                return
            except (TimeoutError, OSError) as error:
                if getattr(error, "errno", None) not in (None, 11, 105):
                    raise

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._stop = True
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            _, dropped = struct.unpack("II", end.getsockopt(_PACKET, _STATISTICS, 8))
            self.dropped += dropped
            end.close()

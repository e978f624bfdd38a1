# SPDX-License-Identifier: GPL-2.0-only
"""The unix sockets between QEMU's virtio-serial ports and the lab.

The lab listens and QEMU connects: no race about who is there first, and a QEMU that
cannot connect says so itself.
"""

import glob
import os
import shutil
import socket
import tempfile
import threading


_PREFIX = "vd-lab-"


class Channels:
    """Listening sockets in a private folder, named after the ports."""

    def __init__(self, names):
        # Not under the cache: a socket's path may have 107 bytes only.
        self._sweep()
        self.folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        self._listening = {}
        for name in names:
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.bind(os.path.join(self.folder, name))
            server.listen(1)
            self._listening[name] = server

    @staticmethod
    def _sweep():
        """Remove what a lab that was killed outright left behind."""
        for path in glob.glob(os.path.join(tempfile.gettempdir(), f"{_PREFIX}[0-9]*-*")):
            owner = os.path.basename(path)[len(_PREFIX):].split("-")[0]
            if not os.path.exists(f"/proc/{owner}"):
                shutil.rmtree(path, ignore_errors=True)

    def accept(self, name, timeout):
        """The connection QEMU made for NAME."""
        server = self._listening[name]
        server.settimeout(timeout)
        connection, _ = server.accept()
        connection.settimeout(None)
        return connection

    def close(self):
        """Close what listens and remove the folder."""
        for server in self._listening.values():
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Reader(threading.Thread):
    """Copies one channel to SINK(bytes) until QEMU closes it."""

    def __init__(self, connection, sink):
        super().__init__(daemon=True)
        self._connection, self._sink = connection, sink
        self.start()

    def run(self):
        while True:
            try:
                data = self._connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                self._connection.close()
                return
            self._sink(data)

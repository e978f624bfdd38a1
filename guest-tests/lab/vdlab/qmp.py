# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's control socket: commands and their answers."""

import json
import os

from .paths import LabError, read_text, say


def apart(cpus, read=lambda cpu: read_text(
        f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", "")):
    """CPUS with one thread of each core first: two vCPUs on one core get in each other's way."""
    first, rest, seen = [], [], set()
    for cpu in cpus:
        core = read(cpu).strip() or str(cpu)
        (rest if core in seen else first).append(cpu)
        seen.add(core)
    return first + rest


class Qmp:
    """A connected QMP socket; negotiates on construction."""

    def __init__(self, connection):
        connection.settimeout(60)
        self._socket = connection
        self._file = connection.makefile("rw", encoding="utf-8")
        self._file.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """Run one command, return its result; events that come between are dropped."""
        self._file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            line = self._file.readline()
            if not line:
                raise LabError(f"QEMU closed its control socket during {name}")
            answer = json.loads(line)
            if "error" in answer:
                raise LabError(f"QMP {name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def last_event(self):
        """What QEMU, which has closed the connection, said last: '' if nothing, or it is late."""
        last = ""
        try:
            for line in self._file:
                last = line.strip()
        except (OSError, ValueError):
            pass
        return last

    def close(self):
        """Leave QEMU alone."""
        self._file.close()
        self._socket.close()

    def quit(self):
        """Ask QEMU to end now; it may be gone already."""
        try:
            self.command("quit")
        except (OSError, ValueError, LabError):
            pass

    def pin(self):
        """Give vCPU n the n-th core this process may use; threads of one core come last."""
        cores = apart(sorted(os.sched_getaffinity(0)))
        cpus = self.command("query-cpus-fast")
        if len(cpus) > len(cores):
            say(f"--pin: {len(cpus)} vCPUs share {len(cores)} cores")
        for cpu in cpus:
            core = cores[cpu["cpu-index"] % len(cores)]
            os.sched_setaffinity(cpu["thread-id"], {core})

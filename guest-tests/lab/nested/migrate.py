# SPDX-License-Identifier: GPL-2.0-only
"""A guest that moves from QEMU to QEMU inside the host VM, with traffic all the way.

Each QEMU has a back end of its choice, stock's or this project's. Two taps stand for the
two places: the network learns where the guest is from what it says, as a switch does.
"""

import glob
import os
import time

from . import backend as backends
from . import carry, memory, stats
from .guest import PROGRAM, Guest, GuestError, make_tap, processor, remove_tap

TAPS = ("vdtap0", "vdtap1")
_MEMORY = 192
# Bytes of frames that the guest leaves unread: a second of them and more. The longer frames take
# several buffers; into the first one's pages the driver writes, too, into the others' it doesn't.
_KEEP, _MTU = 4 << 20, 9000
_COUNTER = "/sys/class/net/{}/statistics/{}"
# What QEMU itself reads from a tap before its back end runs and once that has stopped: one frame
# each time, which it then keeps for a card that never takes it.
QEMU_READS = 2


def _counter(tap, name):
    with open(_COUNTER.format(tap, name), encoding="ascii") as file:
        return int(file.read())


class Journey:
    """The guest, where it is, and the traffic."""

    def __init__(self, backend, folder="/results", rate=250, device="", programs=(), net=()):
        """PROGRAMS: the QEMU of each stay, in order, for those that aren't Debian's.

        NET: parameters of this project's net back end.
        """
        self._folder, self._rate, self._device = folder, rate, device
        self._programs, self._net = programs, net
        self._hops, self.traffic, self._initrd = 0, None, "/tmp/carry.cpio"
        self.guest = self._coming = None
        self.first = backend
        self.stays = []          # what each QEMU's time came to, in order

    def __enter__(self):
        try:
            backends.load_beside(net=self._net)
            for tap in TAPS:
                make_tap(tap, mtu=_MTU)
            carry.initrd(self._initrd)
            self.guest = self._machine(self.first, False, False)
            self.guest.start()
            self.traffic = carry.Traffic(self.guest, TAPS, self._rate, _KEEP, _MTU + 14)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def _machine(self, backend, incoming, stopped):
        tap = TAPS[self._hops % 2]
        self.stays.append({"backend": backend, "tap": tap, "before": _counter(tap, "tx_packets")})
        program = (self._programs[self._hops:] or (PROGRAM,))[0]
        return Guest(backend, self._folder, program=program, vhostdev=program != PROGRAM, name=f"hop{self._hops}-{backend}", memory=_MEMORY,
                     cpu=processor(), initrd=self._initrd, tap=TAPS[self._hops % 2], own_tap=False,
                     node=backends.node_beside(backend), device=self._device, incoming=incoming,
                     # KVM writes the time into the guest's memory when it likes.
                     append=f"no-kvmclock vd.mtu={_MTU}", words=("-S",) if stopped else ())

    def _leave(self, machine):
        """End the last stay but one, or the last: its QEMU, and the frames that it had."""
        stay = next(item for item in self.stays if "taken" not in item)
        found = [values for name, values in stats.queues(machine.pid).items() if name.endswith("rx")]
        if found:
            stay["delivered"] = sum(values["packets"] for values in found)
            stay["given_up"] = sum(values["dropped"] for values in found)
        machine.close()
        stay["taken"] = _counter(stay["tap"], "tx_packets") - stay.pop("before")

    def under_way(self, frames=100, limit=90.0):
        """Wait until FRAMES more went through this place each way, and the guest's reserve stands."""
        link = f"link_received[{self._hops % 2}]"
        tap = TAPS[self._hops % 2]
        taken = _counter(tap, "tx_packets") + frames
        wanted = self.traffic.network()[link] + frames
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.traffic.network()[link] >= wanted and _counter(tap, "tx_packets") >= taken and \
                    self.traffic.guest()["held"] > _KEEP // 2:
                return
            time.sleep(0.2)
        raise GuestError(f"no traffic at {tap} in {limit:.0f} s: {self.traffic.counts()}")

    def _status(self, machine, limit):
        """Wait for the source's verdict."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found = machine.qmp.command("query-migrate")
            if found["status"] in ("completed", "failed", "cancelled"):
                return found
            time.sleep(0.1)
        raise GuestError(f"migration: no end within {limit:.0f} s: {found}")

    def _postcopy(self, source, limit=60.0):
        """Switch over as soon as the source allows it: most of the memory is still there."""
        end = time.monotonic() + limit
        while source.qmp.command("query-migrate").get("status") != "active":
            if time.monotonic() > end:
                raise GuestError("migration: not active")
            time.sleep(0.02)
        source.qmp.command("migrate-start-postcopy")

    def hop(self, backend, post=False, compare=False, limit=120.0):
        """Move the guest to a QEMU on BACKEND. Returns what was seen of it.

        POST: post-copy. COMPARE: hold the guest at the switch and compare all of its memory.
        """
        began, source = time.monotonic(), self.guest
        self._hops += 1
        self._coming = target = self._machine(backend, True, compare)
        target.start()
        where = f"unix:/tmp/hop{self._hops}"
        for machine in (source, target):
            machine.qmp.command("migrate-set-capabilities", capabilities=[
                {"capability": "postcopy-ram", "state": post}])
        target.qmp.command("migrate-incoming", uri=where)
        source.qmp.command("migrate-set-parameters", **{"downtime-limit": 1000,
                                                        "max-bandwidth": 1 << 33})
        source.qmp.command("migrate", uri=where)
        if post:
            self._postcopy(source)
        found = self._status(source, limit)
        facts = {"status": found["status"], "ms": round(1000 * (time.monotonic() - began)),
                 "down_ms": found.get("downtime"), **self._ram(found), "stats": stats.summed(source.pid)}
        if found["status"] != "completed":
            raise GuestError(f"migration {source.backend} to {backend}: {found}")
        self._arrived(target, compare)
        if compare:
            facts["differ"] = memory.differences(source, target)
            target.qmp.command("cont")
        self.guest, self.traffic.machine, self._coming = target, target, None
        self._leave(source)
        target.check_vhost()
        return facts

    @staticmethod
    def _ram(found):
        ram = found.get("ram", {})
        return {"mb": ram.get("transferred", 0) >> 20, "rounds": ram.get("dirty-sync-count"),
                "asked": ram.get("postcopy-requests", 0)}

    def _arrived(self, target, stopped, limit=60.0):
        """The target may still be loading when the source is done."""
        wanted = ("paused",) if stopped else ("running",)
        end = time.monotonic() + limit
        while (status := target.qmp.command("query-status")["status"]) not in wanted:
            if time.monotonic() > end:
                raise GuestError(f"the target stays {status}")
            time.sleep(0.1)

    def finish(self):
        """Stop the traffic; both ends' last counts, and the taps'."""
        counts = self.traffic.finish()
        self._leave(self.guest)
        counts["tap_dropped"] = sum(_counter(tap, "tx_dropped") for tap in TAPS)
        return counts

    def close(self):
        """End everything that was started."""
        for machine in (self._coming, self.guest):
            if machine:
                machine.close()
        if self.traffic:
            self.traffic.close()
        for tap in TAPS:
            remove_tap(tap)
        for path in glob.glob("/tmp/hop*"):
            os.unlink(path)

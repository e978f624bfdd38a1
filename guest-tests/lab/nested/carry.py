# SPDX-License-Identifier: GPL-2.0-only
"""The program guest-tests/progs/carry.c at both ends: in the guest, and as the network."""

import contextlib
import os
import subprocess
import time

from vdlab.initramfs import Archive

from .guest import INITRD, GuestError

PROGRAM = "/vd/build/guest-tests/carry"
WAIT, RUN, QUIET, TAKE, END = range(5)


def _libraries(program):
    """The files that a dynamic program needs beside its own."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [word for word in done.stdout.split() if word.startswith("/")]


def initrd(path, programs=()):
    """The guest's archive with this program and PROGRAMS of the host behind it.

    The kernel unpacks one archive after the other.
    """
    archive = Archive()
    wanted = {"carry": PROGRAM}
    for program in programs:
        wanted |= {name: name for name in (program, *_libraries(program))}
    for name, source in wanted.items():
        with open(source, "rb") as file:
            archive.file(name, file.read(), 0o755)
    archive.write(path + ".more")
    with open(path, "wb") as out:
        for part in (INITRD, path + ".more"):
            with open(part, "rb") as file:
                out.write(file.read())
    os.unlink(path + ".more")
    return path


def _counts(text):
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        found[name] = int(value) if value.isdigit() else value
    return found


class Network:
    """The network's end, on taps of the host."""

    def __init__(self, taps, rate, longest, folder="/tmp"):
        self._file = os.path.join(folder, "carry.net")
        # An earlier one's would be taken for this one's.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file)
        self._process = subprocess.Popen([PROGRAM, "net", self._file, str(rate), "0", str(longest),
                                          *taps], stdin=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not os.path.exists(self._file) or not os.path.getsize(self._file):
            if self._process.poll() is not None or time.monotonic() > end:
                raise GuestError("the network's end of the traffic did not start")
            time.sleep(0.05)

    def ask(self, phase=None):
        """Its counts, once it has entered PHASE."""
        words = [PROGRAM, "ask", self._file] + ([str(phase)] if phase is not None else [])
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise GuestError(f"carry ask: {done.stdout}{done.stderr}")
        return _counts(done.stdout)

    def close(self):
        """End it, if it hasn't ended by itself."""
        self._process.terminate()
        self._process.wait()


class Traffic:
    """Both ends, around a guest whose card is called eth0."""

    def __init__(self, machine, taps, rate, keep=0, longest=1514):
        self.machine, self._network = machine, None
        network = Network(taps, rate, longest)
        try:
            machine.sh(f"rm -f /tmp/carry; /carry guest /tmp/carry {rate} {keep} {longest} eth0 >/tmp/carry.out 2>&1 & "
                       "for i in 1 2 3 4 5 6 7 8 9; do [ -s /tmp/carry ] && exit; sleep 1; done; "
                       "cat /tmp/carry.out; false")
            self._network = network
            self.counts(RUN)
        except BaseException:
            network.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def guest(self, phase=None):
        """The guest's counts, once it has entered PHASE."""
        return _counts(self.machine.sh(f"/carry ask /tmp/carry {'' if phase is None else phase}"))

    def network(self, phase=None):
        """The same of the network's end."""
        return self._network.ask(phase)

    def counts(self, phase=None):
        """Both ends' counts."""
        return {"guest": self.guest(phase), "net": self.network(phase)}

    def flows(self, frames=100, limit=60.0):
        """Wait until FRAMES more have come each way."""
        before, end = self.counts(), time.monotonic() + limit
        while time.monotonic() < end:
            now = self.counts()
            if all(now[side]["received"] >= before[side]["received"] + frames for side in now):
                return now
            time.sleep(0.2)
        raise GuestError(f"not {frames} frames each way in {limit:.0f} s: {before}, then {now}")

    def finish(self):
        """Stop it, and take what is still under way; both ends' last counts."""
        last = self.counts(QUIET)
        settled(self.network, last["guest"]["sent"])
        self.counts(TAKE)
        settled(self.guest, last["net"]["sent"])
        return self.counts(END)

    def close(self):
        """End the network's end; the guest's ends with the guest."""
        if self._network:
            self._network.close()
            self._network = None


def wrong(counts):
    """What must not be in any counts: frames changed or twice, memory changed."""
    return {f"{side}.{name}": found[name] for side, found in counts.items()
            for name in ("corrupt", "twice", "pages_bad", "first") if found.get(name)}


def settled(call, wanted, limit=60.0):
    """Wait until WANTED frames have come, or none for a while: some may have been lost."""
    end, last, since = time.monotonic() + limit, None, 0
    while time.monotonic() < end:
        counts = call()
        if counts["received"] + counts["dropped"] == wanted:
            break
        if counts["received"] != last:
            last, since = counts["received"], time.monotonic()
        elif time.monotonic() - since > 4:
            break
        time.sleep(0.2)

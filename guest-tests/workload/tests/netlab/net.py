# SPDX-License-Identifier: GPL-2.0-only
"""Two hosts, each a network namespace of its own, on cables (veth) that end in a third, ours.

Nothing outside of these namespaces is touched: this process leaves its own first.
"""

import ctypes
import json
import os
import re
import signal
import subprocess

_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_SIOCETHTOOL = 0x8946
# SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO: what arrives is to be what would be on a wire.
_OFFLOADS = (0x15, 0x17, 0x19, 0x1f, 0x24, 0x2c)


class NetError(Exception):
    """A network can't be made, and why."""


def enter_new():
    """This process gets a network namespace of its own."""
    if _LIBC.unshare(_CLONE_NEWNET):
        raise NetError(f"no network namespace: {os.strerror(ctypes.get_errno())}")


def run(*words, check=True):
    """A command; its standard output."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NetError(f"{words[0]} is missing") from error
    if check and done.returncode:
        raise NetError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Host:
    """A network namespace, held by a process that dies with this one."""

    def __init__(self, device, address, six):
        self.device, self.address, self.six = device, address, six
        self._holder = subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, preexec_fn=self._begin)
        self._inside = ["nsenter", "-t", str(self._holder.pid), "-n"]

    @staticmethod
    def _begin():
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        enter_new()

    @property
    def pid(self):
        """Whose namespace it is."""
        return self._holder.pid

    def words(self, *words):
        """A command line that runs in it."""
        return [*self._inside, *words]

    def run(self, *words, check=True):
        """A command in it; its standard output."""
        return run(*self.words(*words), check=check)

    def of_link(self):
        """Its IPv6 address that is of one link alone, or nothing."""
        found = [a for link in json.loads(self.run("ip", "-6", "-j", "addr", "show", "dev", self.device))
                 for a in link.get("addr_info", ()) if a.get("scope") == "link"]
        return found[0]["local"] if found else ""

    def bring_up(self):
        """Its end of a cable gets its address."""
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "addr", "add", f"{self.address}/24", "dev", self.device)
        # Nobody else has it: no time for finding that out. A kernel without IPv6: its tests skip.
        self.run("ip", "addr", "add", f"{self.six}/64", "dev", self.device, "nodad", check=False)
        self.run("ip", "link", "set", self.device, "up")

    def dropped(self):
        """Frames that came to its card and found the queue behind it full."""
        return json.loads(self.run("ip", "-s", "-j", "link", "show", "dev", self.device)
                          )[0]["stats64"]["rx"]["dropped"]

    def close(self):
        """The namespace goes, with all that is in it."""
        self._holder.kill()
        self._holder.wait()


def plain(host, device):
    """No offload: each frame is one, and its checksums are there."""
    source = ("import fcntl,socket,struct,array,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
              "for c in map(int,sys.argv[2:]):\n a=array.array('B',struct.pack('II',c,0))\n"
              f" fcntl.ioctl(s,{_SIOCETHTOOL},struct.pack('16sP16x',sys.argv[1].encode(),a.buffer_info()[0]))")
    host.run("python3", "-c", source, device, *map(str, _OFFLOADS))


class Cable:
    """Host A and host B: at one cable, or each at its own, both of which end here."""

    def __init__(self, joined, offloads=False):
        self.a, self.b = Host("va", "10.99.0.1", "fd00:99::1"), Host("vb", "10.99.0.2", "fd00:99::2")
        try:
            if joined:
                self._add(("va", self.a), ("vb", self.b))
            else:
                self._add(("va", self.a), ("mida", None))
                self._add(("vb", self.b), ("midb", None))
            for host in (self.a, self.b):
                host.bring_up()
                if not offloads:
                    plain(host, host.device)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _add(one, other):
        run("ip", "link", "add", one[0], "type", "veth", "peer", "name", other[0])
        for name, host in (one, other):
            if host:
                run("ip", "link", "set", name, "netns", str(host.pid))
            else:
                with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w", encoding="ascii") as file:
                    file.write("1")
                run("ip", "link", "set", name, "up")

    def close(self):
        """Take it down."""
        for host in (self.a, self.b):
            host.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Load:
    """vdload in a host. Ends with finish(), or is killed."""

    def __init__(self, program, host, role, args="", before=None):
        self.args = f"{role} {args}"
        self._process = subprocess.Popen(host.words(program, *self.args.split(), "--json"),
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, preexec_fn=before)
        self.told, self.json, self.status = "", {}, None

    def wait_ready(self):
        """Until it says that its sockets are there."""
        for line in self._process.stderr:
            self.told += line
            if line.startswith("vdload: ready"):
                break
        return self

    def _wait_moving(self, what):
        for line in self._process.stderr:
            self.told += line
            if re.search(rf"\b{what} [1-9]", line):
                break
        return self

    def wait_sending(self):
        """With --progress: until some packets are on their way."""
        return self._wait_moving("sent")

    def wait_receiving(self):
        """With --progress: until some packets have come."""
        return self._wait_moving("received")

    def signal(self, number):
        """As Ctrl-C would."""
        # nsenter has become the program.
        self._process.send_signal(number)

    def finish(self, limit=60):
        """Its end: .status, .json, .told."""
        try:
            out, more = self._process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, more = self._process.communicate()
            more += f"\nkilled: no end after {limit} s"
        self.status, self.told = self._process.returncode, self.told + more
        if out:
            self.json = json.loads(out)
        return self

    def about(self):
        """For the reader of a failure."""
        return f"vdload {self.args}: status {self.status}\n{self.told}{json.dumps(self.json.get('received'))}"

# SPDX-License-Identifier: GPL-2.0-only
"""Whether the running host can be measured on: each check returns why not, as texts."""

import glob
import os
import platform
import subprocess

from . import host_journal, lab

NODES = ("/dev/vhost-net", "/dev/vhost-direct-net")
_OURS = ("vhost_direct", "vhost_direct_net")
_CPU = "/sys/devices/system/cpu"


def module(name):
    """Where `make` puts the module."""
    return os.path.join(lab.REPO, f"{name}.ko")


def _modinfo(field, path):
    done = subprocess.run(["modinfo", "-F", field, path], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _users(nodes):
    """(pid, name, node) of processes that have one of NODES open."""
    found = []
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target in nodes:
            pid = path.split("/")[2]
            found.append((int(pid), host_journal.read(f"/proc/{pid}/comm"), target))
    return sorted(set(found))


def privileges():
    """Modules and settings are root's."""
    return [] if os.geteuid() == 0 else ["this loads modules and changes settings: run it as root"]


def former(path):
    """A measurement that wasn't tidied up, or that this one is part of."""
    if os.environ.get(host_journal.VARIABLE):
        return [f"{host_journal.VARIABLE} is set: bench/host sets it for what it starts"]
    if host_journal.load(path):
        return [f"a former measurement was not put back ({path}): bench/host --restore"]
    return []


def in_use():
    """Guests that use a back end: they would disturb, be disturbed, and keep modules loaded."""
    return [f"{node} is in use by process {pid} ({name}): stop that guest first"
            for pid, name, node in _users(NODES)]


def takeover():
    """With our module in its place there is no stock to measure beside."""
    if host_journal.read("/sys/module/vhost_direct_net/parameters/takeover") in ("Y", "1"):
        return ["/dev/vhost-net is vhost-direct's (takeover=1): modprobe -r vhost_direct_net first"]
    return []


def headers():
    """To build for the running kernel."""
    release = platform.release()
    if os.path.exists(f"/lib/modules/{release}/build/Makefile"):
        return []
    return [f"no headers of the running kernel {release} to build modules with: "
            f"apt-get install linux-headers-{release}"]


def processors():
    """A worker and a driver want one each."""
    return [] if len(online()) > 1 else ["only one processor: two are needed"]


def signatures(root="/"):
    """Does this kernel refuse modules without a signature? Texts that say so."""
    enforced = host_journal.read(os.path.join(root, "sys/module/module/parameters/sig_enforce"))
    lockdown = host_journal.read(os.path.join(root, "sys/kernel/security/lockdown")) or "[none]"
    found = ["module.sig_enforce is set"] if enforced in ("Y", "1") else []
    return found + ([] if "[none]" in lockdown else [f"the kernel is locked down ({lockdown}): Secure Boot"])


def modules(root="/"):
    """Are the built modules for this kernel, and will it take them?"""
    found, release = [], platform.release()
    for name in _OURS:
        path = module(name)
        if not os.path.exists(path):
            return [f"{path} isn't built: make"]
        built = _modinfo("vermagic", path).split(" ")[0]
        if built != release:
            found.append(f"{path} is built for {built or 'no kernel'}, this is {release}: make")
        if not _modinfo("signer", path):
            found += [f"{path} isn't signed, and {why}: make sign (docs/operators.md)"
                      for why in signatures(root)]
        own = _modinfo("srcversion", path)
        there = host_journal.read(f"/sys/module/{name}/srcversion")
        if there and there != own:
            found.append(f"another build of {name} is loaded: modprobe -r vhost_direct_net first")
    if subprocess.run(["modprobe", "-n", "-q", "vhost_net"], check=False).returncode:
        found.append("this kernel has no vhost_net to measure beside")
    return found


def remarks():
    """What doesn't forbid a measurement, but should be known: texts."""
    found = []
    flags = host_journal.read("/proc/cpuinfo") or ""
    if " hypervisor" in flags:
        found.append("this machine is a virtual machine itself: its figures are no hardware's")
    if " smap" not in flags:
        found.append("SMAP is off or missing: stock pays less for user access than on most hosts")
    guests = _users(("/dev/kvm",))
    if guests:
        found.append("virtual machines are running and take part in what is measured: " +
                     ", ".join(f"{name} ({pid})" for pid, name, _ in guests))
    return found


def cpus(text):
    """The kernel's notation of processors (0-3,8) as a set."""
    found = set()
    for part in filter(None, (text or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def online():
    """Processors there are, those that were kept from ordinary tasks (isolcpus) among them."""
    return cpus(host_journal.read(f"{_CPU}/online")) or os.sched_getaffinity(0)


def siblings(cpu):
    """The processors that share CPU's core, itself among them."""
    return cpus(host_journal.read(f"{_CPU}/cpu{cpu}/topology/thread_siblings_list")) or {cpu}


def node(cpu):
    """The memory node that CPU belongs to."""
    found = glob.glob(f"{_CPU}/cpu{cpu}/node[0-9]*")
    return os.path.basename(found[0]) if found else ""


def pair():
    """(driver, worker): two cores of one node; isolated ones first, the first one last.

    That serves most interrupts.
    """
    isolated = cpus(host_journal.read(f"{_CPU}/isolated"))
    order = sorted(online(), key=lambda cpu: (cpu not in isolated, cpu == 0, cpu))
    for strict in (True, False):
        for driver in order:
            for worker in order:
                apart = worker not in siblings(driver) and node(worker) == node(driver)
                if worker != driver and (apart or not strict):
                    return driver, worker
    raise lab.BenchError("only one processor: two are needed")

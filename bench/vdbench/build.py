# SPDX-License-Identifier: GPL-2.0-only
"""What has to be there before anything is measured: image, modules, programs."""

import contextlib
import glob
import hashlib
import os
import platform
import re
import resource
import subprocess
import time

from . import host_journal, host_run, lab


def _step(what, call):
    began = time.monotonic()
    lab.say(f"{what} ...")
    result = call()
    lab.say(f"{what}: done ({time.monotonic() - began:.0f} s)")
    return result


def image(name):
    """The host VM's image; made if missing (about 90 s)."""
    text = lab.call([lab.VM, "image", "--image", name], "making the image")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _made_inside(facts):
    """Does the lab build the modules itself, in an image that brings what that takes?"""
    build = os.path.join(facts["root"], "lib", "modules", facts["release"], "build")
    return os.path.islink(build)


def _modules(name):
    headers = lab.call([lab.VM, "kdir", "--image", name, "--install"], "finding kernel headers").strip()
    lab.call(["make", "-s", "-C", lab.REPO, "modules", f"KDIR={headers}"], "building the modules")


def _pinned(name):
    headers = lab.call([lab.VM, "kdir", "--image", name], "finding kernel headers").strip()
    lab.call(["make", "-s", "-C", os.path.join(lab.BENCH, "pinned"), f"KDIR={headers}"],
             "building the pinned variant")


def everything(name, others=("direct",)):
    """Build all of it that the back ends OTHERS need, return the image's facts."""
    facts = _step(f"image {name}", lambda: image(name))
    if others and not _made_inside(facts):
        _step("modules", lambda: _modules(name))
        if "pinned" in others:
            _step("pinned variant", lambda: _pinned(name))
    _step("vring, tcgcount", lambda: lab.call(["make", "-s", "-C", lab.BENCH, "all"], "make"))
    return facts


def _text(words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def load():
    """Processor seconds so far: all that was used, what was stolen, what we and ours used."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    own, ours = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"wall": time.monotonic(), "stolen": ticks[7] / hertz,
            # user, nice, system, irq, softirq; a vCPU thread's time is among them
            "busy": sum(ticks[at] for at in (0, 1, 2, 5, 6)) / hertz,
            "ours": own.ru_utime + own.ru_stime + ours.ru_utime + ours.ru_stime}


def _hidden():
    """Is what our workers use nobody's? Below 6.4 they are kernel threads, none of vring's: beside a VM its own."""
    return host_run.wanted() and [int(word) for word in re.findall(r"\d+", os.uname().release)[:2]] < [6, 4]


def neighbours(before, after):
    """Shares of this machine that others took between two load()s, where they can be told: they spoil rates."""
    gone = {key: after[key] - before[key] for key in before}
    whole = gone["wall"] * os.cpu_count()
    others = {} if _hidden() else {"others": round(max(0, gone["busy"] - gone["ours"]) / whole, 3)}
    return {**others, "stolen": round(gone["stolen"] / whole, 3)}


def together(busy):
    """One of several neighbours(), each behind the seconds that it is of; None of none."""
    whole = sum(seconds for seconds, _ in busy)
    return {key: round(sum(seconds * each[key] for seconds, each in busy) / whole, 3)
            for key in busy[0][1]} if whole else None


def where():
    """What figures are of: virtual machines, or this host's own kernel."""
    return f"host {os.uname().release}" if host_run.wanted() else "vm"


def host():
    """How the running host is measured: on which processors, the driver's first, and whether their
    frequency and idle states are seen to; None of virtual machines."""
    if not host_run.wanted():
        return None
    asked = host_run.journal()
    return {"processors": asked["cpus"], "tuned": asked["tuned"]}


def conditions(name, accel):
    """What the machines that will run are, as far as that can be known before: the kernel, and which of the
    accelerators that ACCEL allows works here. Others would give other figures.

    Of the running host it is how it was booted (mitigations, isolated processors), which processors
    are used, and whether their frequency and idle states are seen to."""
    if asked := host():
        return {"release": os.uname().release, "accel": "host",
                "cmdline": host_journal.read("/proc/cmdline"), **asked}
    if accel == "auto":
        accel = lab.call([lab.VM, "accel", "--image", name], "finding the accelerator").strip()
    return {"release": image(name)["release"], "accel": accel}


def digest():
    """Of what is measured: the programs and modules made here, and what isn't committed."""
    whole = hashlib.sha256(_git("diff", "HEAD").encode())
    for path in (os.path.join(lab.BUILD, "vring"), *sorted(glob.glob(os.path.join(lab.REPO, "vhost_direct*.ko")))):
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            whole.update(hashlib.sha256(file.read()).digest())
    return whole.hexdigest()[:16]


def _git(*words):
    return _text(["git", "-c", f"safe.directory={lab.REPO}", "-C", lab.REPO, *words])


def machine():
    """What this machine contributes to the figures."""
    cpu = ""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {"kernel": os.uname().release, "cpu": cpu, "processors": os.cpu_count(),
            "qemu": _text(["qemu-system-x86_64", "--version"]).split("\n", maxsplit=1)[0],
            "commit": _git("describe", "--always", "--dirty")}


def versions():
    """Of the programs that take part on this machine."""
    found = {"python": platform.python_version()}
    for name, words in (("qemu", ["qemu-system-x86_64", "--version"]), ("gcc", ["gcc", "--version"])):
        found[name] = _text(words).split("\n", maxsplit=1)[0]
    return found

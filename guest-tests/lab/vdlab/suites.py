# SPDX-License-Identifier: GPL-2.0-only
"""The VM test suites: what each declares about the machine it needs, and who shares a boot.

A suite is an executable in guest-tests/suites that prints KTAP. Near its top it may say
  # vm: mem=6G disk=1G numa=2 timeout=300 append="numa=fake=2" own-boot
  # vm: full-timeout=3600 (instead, with VD_FULL=1)
  # vm: no-sanitizer="why it can't run on a sanitizer kernel"
  # vm 7.2: smp=1  (on that kernel, and on later ones)
  # allow-log: REGEX  # reason
"""

import dataclasses
import glob
import os
import re
import shlex

from . import qemu
from .paths import REPO, LabError

FOLDER = os.path.join(REPO, "guest-tests", "suites")
_HEADER_LINES = 40
_DEFAULT_LIMIT = 120


@dataclasses.dataclass
class Suite:
    """One suite's declaration."""

    name: str
    limit: int = _DEFAULT_LIMIT
    own_boot: bool = False
    no_sanitizer: str = ""
    vm: dict = dataclasses.field(default_factory=dict)
    allow: list = dataclasses.field(default_factory=list)

    def group(self):
        """Suites with equal keys share a boot."""
        own = self.name if self.own_boot else ""
        return (own, tuple(sorted((name, str(value)) for name, value in self.vm.items())))


def _declare(suite, word):
    name, equals, value = word.partition("=")
    if word == "own-boot":
        suite.own_boot = True
    elif equals and name == "timeout":
        suite.limit = int(value)
    elif equals and name == "full-timeout":
        if os.environ.get("VD_FULL", "0") != "0":
            suite.limit = int(value)
    elif equals and name in ("smp", "numa"):
        suite.vm[name] = int(value)
    elif equals and name in ("mem", "cpu", "append"):
        suite.vm[name] = value
    elif equals and name == "no-sanitizer":
        suite.no_sanitizer = value
    elif equals and name == "disk":
        suite.vm.setdefault("disk", []).append(value)
    else:
        raise ValueError(f"unknown word {word} (known: mem= smp= cpu= append= disk= numa= "
                         "timeout= full-timeout= own-boot no-sanitizer=)")


def _number(version):
    return tuple(int(part) for part in version.split("."))


def _counts(line, version):
    """Is it a "# vm" line that holds on the kernel VERSION?"""
    since = re.match(r"# vm( \d+\.\d+)?:", line)
    return since and (not since[1] or version and _number(version) >= _number(since[1]))


def parse(name, text, version=""):
    """The Suite that a file's first lines declare for the kernel VERSION."""
    suite = Suite(name)
    for number, line in enumerate(text.splitlines()[:_HEADER_LINES], 1):
        try:
            if _counts(line, version):
                for word in shlex.split(line.partition(":")[2]):
                    _declare(suite, word)
            elif line.startswith("# allow-log:"):
                pattern, separator, reason = line[12:].partition("  # ")
                if not separator or not reason.strip():
                    raise ValueError("an allowed log line needs its reason: REGEX  # why")
                suite.allow.append(pattern.strip())
        except ValueError as error:
            raise LabError(f"guest-tests/suites/{name}:{number}: {error}") from error
    return suite


def find(version=""):
    """All suites, by name, as they are run on the kernel VERSION."""
    found = []
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.sh"))
                       + glob.glob(os.path.join(FOLDER, "*.py"))):
        name = os.path.basename(path)
        if not os.access(path, os.X_OK):
            raise LabError(f"guest-tests/suites/{name} isn't executable: chmod +x it")
        with open(path, encoding="utf-8", errors="replace") as file:
            found.append(parse(name, file.read(), version))
    return found


def boots(suites):
    """The suites in groups, each to be run in one boot; plain ones first."""
    groups = {}
    for suite in suites:
        groups.setdefault(suite.group(), []).append(suite)
    return [groups[key] for key in sorted(groups)]


def options(suites, image, sanitizer=""):
    """The VM for a group: limits add up, with room for the boot and the last words."""
    return qemu.Options(image=image, timeout=sum(suite.limit + 10 for suite in suites) + 60,
                        sanitizer=sanitizer, **suites[0].vm)


def split_log(text):
    """The kernel log cut at the suites' marks: {name: lines}; before the first: 'boot'.

    What comes after a suite's end still belongs to it: late reports are its doing.
    """
    parts, name = {"boot": []}, "boot"
    for line in text.splitlines():
        _, mark, rest = line.partition("vd-suite begin ")
        if mark:
            name = rest.strip()
        parts.setdefault(name, []).append(line)
    return {name: "\n".join(lines) for name, lines in parts.items()}

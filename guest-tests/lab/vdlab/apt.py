# SPDX-License-Identifier: GPL-2.0-only
"""The machine's own apt configuration: which mirrors serve Debian, signed by which keys.

The lab names no mirror. It takes the entries that apt uses here and, for a suite that
isn't configured, puts that suite's name in the place of the configured one.
"""

import os
import re
import subprocess

from .paths import LabError

_CODENAMES = ("buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# One line an index apt would fetch: apt itself parses both source formats for us.
_FORMAT = "$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(COMPONENT)|$(SIGNED_BY)|$(ORIGIN)"


def _index_targets():
    command = ["apt-get", "indextargets", "--format", _FORMAT, "Identifier: Packages"]
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError(f"apt-get indextargets failed: {error}") from error
    return [line.split("|") for line in out.splitlines() if line.count("|") == 5]


def _codename(release):
    """The Debian codename in a suite's name (bookworm-security: bookworm), or None."""
    head = re.split(r"[-/]", release)[0]
    return head if head in _CODENAMES else None


def _keyring(signed_by):
    if signed_by.startswith("/"):
        return signed_by
    if os.path.exists(_KEYRING):
        return _KEYRING
    raise LabError("no keyring for the Debian archive: apt-get install debian-archive-keyring")


def debian_sources(suite, extra=(), targets=None):
    """The deb lines for SUITE, its updates and security, and the EXTRA suites.

    Derived from the entries of whatever Debian release this machine runs; third-party
    archives drop out because their suites don't start with a Debian codename.
    TARGETS: what apt answered, for tests.
    """
    lines, main = {}, None
    targets = _index_targets() if targets is None else targets
    for uri, release, name, component, signed_by, origin in targets:
        # What is configured as stable or oldstable has its name in what the archive says of it.
        release = release if _codename(release) else name
        here = _codename(release)
        if not here or component != "main" or (origin and "Debian" not in origin):
            continue
        keyring = _keyring(signed_by)
        wanted = suite + release[len(here):]
        lines[f"deb [signed-by={keyring}] {uri} {wanted} main"] = None
        if release == here:
            main = (uri, keyring)
    if not main:
        raise LabError("this machine's apt has no Debian main archive to take packages from"
                       + ("" if targets else ", or no lists yet: apt-get update"))
    for name in extra:
        lines[f"deb [signed-by={main[1]}] {main[0]} {name} main"] = None
    return list(lines)

# SPDX-License-Identifier: GPL-2.0-only
"""QEMUs with the series of qemu-patches/: what they are configured with, where they lie for virtual
machines, and whether one that lies there is of the series that is here now.

Suites ask the last in their virtual machine, which sees the repository and no cache: so it goes by
files of the repository alone.
"""

import hashlib
import os

from .paths import REPO, read_text

# Which series is for which Debian.
SUITES = {"7.2": "bookworm", "10.0": "trixie"}
MADE = ("qemu-system-x86_64", "vhost-net-dev-test")
# Back ends that keep no statistics.
OTHERS = ("--enable-vhost-user", "--enable-vhost-vdpa")
CONFIGURE = ("--target-list=x86_64-softmmu", "--without-default-features", "--enable-system",
             "--enable-tcg", "--enable-kvm", "--enable-plugins", "--enable-virtfs", "--enable-attr",
             "--enable-cap-ng", "--enable-vhost-kernel", "--enable-vhost-net", "--enable-fdt=system",
             *OTHERS,
             "--disable-docs", "--disable-tools", "--disable-werror",
             # Debian's source comes without the firmware that QEMU would install.
             "--disable-install-blobs",
             # Outside of the prefix: looked for there, wherever the program itself is.
             "--firmwarepath=/usr/share/qemu:/usr/share/seabios:/usr/lib/ipxe/qemu")
# Beside the programs: the digest of the series that they are of.
STAMP = "series"


def version_for(codename):
    """The series for the Debian release CODENAME; its own name if there is none."""
    return {suite: version for version, suite in SUITES.items()}.get(codename, codename)


def series(version, tree=REPO):
    """The patches of VERSION, in order."""
    folder = os.path.join(tree, "qemu-patches", version)
    lines = read_text(os.path.join(folder, "series")).splitlines()
    names = [line.split("#")[0].strip() for line in lines]
    return [os.path.join(folder, name) for name in names if name]


def add_patches(total, patches):
    """Have the hash TOTAL be of PATCHES, too, in this order."""
    for path in patches:
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())


def digest(version, tree=REPO):
    """What tells a build of this series from one of another: the patches in order, and CONFIGURE.

    Not Debian's source, of which the repository knows nothing: a build with an older one is of this
    series, and `qemu-patches/build --update` is for that.
    """
    total = hashlib.sha256("\0".join(CONFIGURE).encode())
    add_patches(total, series(version, tree))
    return total.hexdigest()


def folder_for(version, tree=REPO):
    """Where virtual machines see the programs of VERSION."""
    return os.path.join(tree, "build", "qemu", version)


def built(version, tree=REPO):
    """Was one built here, whatever it is of?"""
    folder = folder_for(version, tree)
    return any(os.path.exists(os.path.join(folder, name)) for name in MADE)


def stale(version, tree=REPO):
    """Why what was built here doesn't show what this series does, or an empty string."""
    folder, mend = folder_for(version, tree), f"make qemu QEMU={version}"
    lacking = [name for name in MADE if not os.path.exists(os.path.join(folder, name))]
    if lacking:
        return f"build/qemu/{version} has no {', '.join(lacking)}: {mend}"
    found = read_text(os.path.join(folder, STAMP), "").strip()
    if found == digest(version, tree):
        return ""
    return (f"build/qemu/{version} is of {'another' if found else 'an unknown'} series than "
            f"qemu-patches/{version} is now: {mend}")

# SPDX-License-Identifier: GPL-2.0-only
"""What the memory cgroup of some processes is still charged for once they are gone.

It is what they left, to the page and, of slab, to the byte. All other memory of the kernel's
goes up and down by megabytes.
"""

import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from vdtest import SLOW, sh, write  # noqa: E402

_CGROUPS = "/sys/fs/cgroup"
# Less than a page, and less than the least object, for every second of what may have left one.
_PAGE_LEFT, _SLAB_LEFT = 2048, 32


class Group:
    """A memory cgroup of its own, as long as a with statement."""

    def __init__(self, name):
        self.path = f"{_CGROUPS}/{name}"

    @contextlib.contextmanager
    def there(self):
        """Made, and removed at the end."""
        write(f"{_CGROUPS}/cgroup.subtree_control", "+memory")
        os.makedirs(self.path, exist_ok=True)
        try:
            yield self
        finally:
            os.rmdir(self.path)

    def empty(self):
        """Whether no process is in it."""
        return not sh(["cat", f"{self.path}/cgroup.procs"]).stdout

    def _charged(self):
        # Gives back what each processor holds for it, and what can be reclaimed.
        write(f"{self.path}/memory.high", "0")
        write(f"{self.path}/memory.high", "max")
        with open(f"{self.path}/memory.stat", encoding="ascii") as file:
            stat = {name: int(value) for name, value in map(str.split, file)}
        with open(f"{self.path}/memory.current", encoding="ascii") as file:
            pages = int(file.read()) - stat["file"] - stat["slab_reclaimable"]
        return pages, stat["slab_unreclaimable"]

    def settled(self):
        """Bytes of pages, and of slab, that it is charged for, but for what is cache: the least that
        is seen until what dies with a grace period, or is counted later, is gone."""
        seen, quiet = self._charged(), 0
        end = time.monotonic() + 30 * SLOW
        # The kernel adds up what processors count apart every two seconds.
        while quiet < 30 and time.monotonic() < end:
            time.sleep(0.1)
            least = tuple(map(min, seen, self._charged()))
            seen, quiet = least, quiet + 1 if least == seen else 0
        return seen


def much(pages, slab, count):
    """Whether so many bytes more look as if each second one of COUNT had left something."""
    return pages >= count * _PAGE_LEFT or slab >= count * _SLAB_LEFT

# SPDX-License-Identifier: GPL-2.0-only
"""Where things are, progress lines, locks, signals: what every other part of the lab uses."""

import contextlib
import fcntl
import os
import signal
import sys
import time

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPO = os.path.dirname(os.path.dirname(LAB))
IMAGES = os.path.join(REPO, "guest-tests", "images")


class LabError(Exception):
    """Something the user can mend; shown as one line, without a traceback."""


def cache_dir(*parts):
    """A folder under $VD_CACHE (default: .cache of the repository), made if missing."""
    top = os.environ.get("VD_CACHE") or os.path.join(REPO, ".cache")
    path = os.path.join(os.path.abspath(top), *parts)
    os.makedirs(path, exist_ok=True)
    return path


def say(text):
    """One progress line on stderr: stdout belongs to the command that runs in the VM."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def end_by_signals():
    """A plain kill, or a terminal that is gone, ends a program as Ctrl-C does: with what it started.

    Once: make, and timeout, send it to the group besides, while we clean up already.
    """
    numbers = (signal.SIGTERM, signal.SIGHUP)

    def end(_number, _frame):
        for number in numbers:
            # Not SIG_IGN, which what we start from here on would inherit.
            signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt
    for number in numbers:
        # nohup ignores one, for us to go on.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


@contextlib.contextmanager
def locked(name, what):
    """Hold the cache's lock NAME; says so when it has to wait for WHAT."""
    path = os.path.join(cache_dir(), name)
    with open(path, "a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            say(f"waiting for {what} (held by process {holder})")
            began = time.monotonic()
            fcntl.flock(lock, fcntl.LOCK_EX)
            say(f"waited {time.monotonic() - began:.0f} s for {what}")
        # Only a hint for whoever waits: the kernel's flock is what counts.
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def read_text(path, default=None):
    """The file's text, or DEFAULT (if given) when it can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        if default is None:
            raise
        return default

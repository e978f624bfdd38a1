# SPDX-License-Identifier: GPL-2.0-only
"""A process in which a system call fails: a seccomp filter, as a kernel without it would answer."""

import ctypes
import errno
import platform
import struct

_SETUP, _ENTER, _REGISTER = 425, 426, 427
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _ERRNO = 0x7fff0000, 0x00050000
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
BUFFERS, BUFFER_RING = 0, 22

# System call numbers above 423 are the same on all processors; the rest of the filter isn't checked.
POSSIBLE = platform.machine() in ("x86_64", "aarch64")


def _code(op, true, false, value):
    return struct.pack("HBBI", op, true, false, value)


def _install(program):
    libc = ctypes.CDLL(None, use_errno=True)
    code = b"".join(program)
    kept = ctypes.create_string_buffer(code)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(kept)))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
            libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, head, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _forbid(number):
    _install([_code(_LOAD, 0, 0, 0), _code(_EQUAL, 0, 1, number), _code(_RETURN, 0, 0, _ERRNO | errno.EPERM),
              _code(_RETURN, 0, 0, _ALLOW)])


def no_uring():
    """For preexec_fn: io_uring_setup() is forbidden."""
    _forbid(_SETUP)


def no_enter():
    """For preexec_fn: io_uring_enter() is forbidden, though rings can be set up."""
    _forbid(_ENTER)


def no_register(what, error=errno.EINVAL):
    """For preexec_fn: io_uring_register() fails for that operation."""
    # The highest bit says that the ring is named by its registered number.
    return lambda: _install([
        _code(_LOAD, 0, 0, 0), _code(_EQUAL, 0, 4, _REGISTER), _code(_LOAD, 0, 0, 24),
        _code(0x54, 0, 0, 0x7fffffff), _code(_EQUAL, 0, 1, what), _code(_RETURN, 0, 0, _ERRNO | error),
        _code(_RETURN, 0, 0, _ALLOW)])

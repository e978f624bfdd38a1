# SPDX-License-Identifier: GPL-2.0-only
"""The kernel modules behind /dev/vhost-net: Debian's own or this project's."""

import os
import stat
import subprocess
import time

# name: (module that must be in use, [(file or module name, parameters)])
BACKENDS = {
    "stock": ("vhost_net", [("vhost_net", [])]),
    "direct": ("vhost_direct_net", [("/vd/vhost_direct.ko", ["metadata=direct"]),
                                    ("/vd/vhost_direct_net.ko", ["takeover=1"])]),
    "user": ("vhost_direct_net", [("/vd/vhost_direct.ko", ["metadata=user"]),
                                  ("/vd/vhost_direct_net.ko", ["takeover=1"])]),
}
_NODE = "/dev/vhost-net"


class BackendError(Exception):
    """A module can't be loaded or unloaded."""


def _run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _loaded():
    """Loaded modules and their use counts."""
    with open("/proc/modules", encoding="ascii") as file:
        return {line.split()[0]: int(line.split()[2]) for line in file}


def use_count(backend):
    """How often the backend's module is held, by open files above all."""
    return _loaded().get(BACKENDS[backend][0], 0)


def missing(backend):
    """The backend's module files that aren't built."""
    return [name for name, _ in BACKENDS[backend][1]
            if name.startswith("/") and not os.path.exists(name)]


def _name(module):
    return os.path.basename(module).removesuffix(".ko").replace("-", "_")


def unload_all():
    """Unload every backend, users first."""
    for _, modules in BACKENDS.values():
        for module, _ in reversed(modules):
            if _name(module) in _loaded():
                _run("rmmod", _name(module))


def _insert(path, parameters):
    """insmod of a file, after what it depends on from the kernel's own tree."""
    for name in _run("modinfo", "-F", "depends", path).strip().split(","):
        if name and name not in _loaded():
            _run("modprobe", name)
    _run("insmod", path, *parameters)


def _appears(node, backend):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        # No udev here: devtmpfs makes the node, a moment after the module.
        if os.path.exists(node) and stat.S_ISCHR(os.stat(node).st_mode):
            return
        time.sleep(0.05)
    raise BackendError(f"{backend} is loaded but {node} did not appear")


def load_beside(*parameters, net=()):
    """Load stock's module and this project's, each with the node of its own.

    PARAMETERS are of this project's core, NET of its net back end.
    """
    unload_all()
    for module, _ in (*BACKENDS["stock"][1], *BACKENDS["direct"][1]):
        if module.startswith("/"):
            _insert(module, parameters if _name(module) == "vhost_direct" else net)
        else:
            _run("modprobe", module)
    for backend in ("stock", "direct"):
        _appears(node_beside(backend), backend)


def node_beside(backend):
    """The node that serves BACKEND to whoever opens it from now on, after load_beside()."""
    if backend == "stock":
        return _NODE
    with open("/sys/module/vhost_direct/parameters/metadata", "w", encoding="ascii") as file:
        file.write(backend)
    return "/dev/vhost-direct-net"


def load(backend):
    """Make BACKEND serve /dev/vhost-net, whatever served it before."""
    absent = missing(backend)
    if absent:
        raise BackendError(f"not built: {', '.join(absent)} (run make outside the VM)")
    unload_all()
    for module, parameters in BACKENDS[backend][1]:
        if module.startswith("/"):
            _insert(module, parameters)
        else:
            _run("modprobe", module, *parameters)
    _appears(_NODE, backend)

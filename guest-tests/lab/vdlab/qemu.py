# SPDX-License-Identifier: GPL-2.0-only
"""The QEMU command line of a host VM."""

import dataclasses
import os
import re
import shutil

from .paths import REPO, LabError

PORTS = ("out", "err", "verdict")
# What is common to every run; facts behind each:
#  tsc=reliable          else the emulated clock is the hpet, an exit a read
#  init_on_alloc=0       Debian zeroes pages with rep stos, byte by byte under TCG
#  panic=-1, oops=panic  with -no-reboot a crash ends QEMU at once; warnings are
#                        found by the scan, so they don't hide what follows them
#  loglevel=5            warnings and worse reach the console log even if the
#                        kernel dies before dmesg can be saved
_APPEND = ("console=ttyS0 earlyprintk=ttyS0 quiet loglevel=5 log_buf_len=4M panic=-1 oops=panic "
           "tsc=reliable init_on_alloc=0 random.trust_cpu=on sysctl.kernel.hung_task_panic=1 "
           "sysctl.kernel.hung_task_timeout_secs=60 net.ifnames=0 cryptomgr.notests "
           "no_timer_check")
# An emulated processor that waits for one of this machine's is no lockup yet.
_APPEND_TCG = "rcupdate.rcu_cpu_stall_timeout=60 sysctl.kernel.watchdog_thresh=30"


@dataclasses.dataclass
class Options:
    """What a caller may choose about a VM; the defaults are those of `vm run`."""

    image: str = "bookworm"
    smp: int = 2
    mem: str = "4G"
    cpu: str = "max,-erms,-fsrm"
    accel: str = "auto"
    append: str = ""
    plugin: list = dataclasses.field(default_factory=list)
    icount: bool = False
    timeout: float = 300
    pin: bool = False
    disk: list = dataclasses.field(default_factory=list)
    numa: int = 1
    share: list = dataclasses.field(default_factory=list)
    share_rw: list = dataclasses.field(default_factory=list)
    qemu: str = "qemu-system-x86_64"
    qemu_arg: list = dataclasses.field(default_factory=list)
    results: str = ""
    allow_log: list = dataclasses.field(default_factory=list)
    allow_log_file: list = dataclasses.field(default_factory=list)
    kernel: str = ""
    root: str = ""
    sanitizer: str = ""
    verbose: bool = False
    interactive: bool = False


_TAKEN = ("image", "kernel", "modules")
_UNITS = {"": 1 << 20, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size_bytes(text):
    """QEMU's notation of a size (512M, 1G; bare numbers are MiB) in bytes."""
    match = re.fullmatch(r"(\d+)([kKmMgGtT]?)", text)
    if not match or int(match[1]) == 0:
        raise LabError(f"not a size: {text} (try 512M or 1G)")
    return int(match[1]) * _UNITS[match[2].lower()]


def _escape(path):
    """Commas separate options in QEMU's syntax; a doubled one is a comma."""
    return path.replace(",", ",,")


def _shared(index, tag, path, read_only):
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        raise LabError(f"cannot share {path}: not a folder")
    mode = ",readonly=on" if read_only else ""
    return ["-fsdev", f"local,id=fs{index},path={_escape(path)},security_model=none,"
            f"multidevs=remap{mode}", "-device", f"virtio-9p-pci,fsdev=fs{index},mount_tag={tag}"]


def share_list(options):
    """(tag, name, path, mode) of each folder given with --share and --share-rw.

    Some names are taken: "image" for the image's own boot parts (guests inside the VM use
    them), "kernel" and "modules" for a sanitizer kernel's.
    """
    found = []
    for mode, items in (("ro", options.share), ("rw", options.share_rw)):
        for item in items:
            path, _, name = item.partition("=")
            name = name or os.path.basename(os.path.abspath(path))
            if not re.fullmatch(r"[\w.-]+", name):
                raise LabError(f"--share {item}: the name may hold letters, digits, . _ - only")
            if name in _TAKEN or name in (entry[1] for entry in found):
                raise LabError(f"--share {item}: the name {name} is taken; add =OTHERNAME")
            found.append((f"vdshare{len(found)}", name, path, mode))
    return found


def _numa(options):
    if options.numa < 2:
        return []
    if options.smp % options.numa:
        raise LabError(f"--numa {options.numa} needs a number of processors it divides")
    part, words = options.smp // options.numa, []
    memory = size_bytes(options.mem) // options.numa >> 20
    for node in range(options.numa):
        first = node * part
        words += ["-object", f"memory-backend-ram,id=ram{node},size={memory}M",
                  "-numa", f"node,nodeid={node},memdev=ram{node},cpus={first}-{first + part - 1}"]
    return words


def _processors(options):
    # A socket a node: the kernel warns when one package's cores sit in different nodes.
    if options.numa > 1:
        return f"{options.smp},sockets={options.numa},cores={options.smp // options.numa},threads=1"
    return str(options.smp)


def _accel(options, accel):
    if options.icount:
        if options.smp != 1:
            raise LabError("--icount works with one processor only: add --smp 1 "
                           "(two hang under QEMU 7.2)")
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
    return ["-accel", "kvm" if accel == "kvm" else "tcg,thread=multi"]


def _plugins(options, run_dir):
    words = []
    for item in options.plugin:
        path, comma, rest = item.partition(",")
        if not os.path.isfile(path):
            raise LabError(f"--plugin {path}: no such file")
        words += ["-plugin", f"file={_escape(os.path.abspath(path))}{comma}{rest}"]
    if words:
        words += ["-d", "plugin", "-D", os.path.join(run_dir, "plugin.log")]
    return words


def _cpu(options, accel):
    """Without erms and fsrm because TCG copies byte by byte with them: not so a real processor."""
    return re.sub(r",-(erms|fsrm)\b", "", options.cpu) if accel == "kvm" else options.cpu


def base(options, accel):
    """The machine itself, without what is attached to it."""
    if not shutil.which(options.qemu):
        raise LabError(f"{options.qemu} is missing: apt-get install qemu-system-x86")
    return [options.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35,smm=off,vmport=off", *_accel(options, accel), "-cpu", _cpu(options, accel),
            "-smp", _processors(options), "-m", str(size_bytes(options.mem) >> 20) + "M"]


def _append(options, image, accel):
    """The kernel's arguments: the lab's, this kernel's, the caller's; later ones win."""
    slow = "" if accel == "kvm" else _APPEND_TCG
    parts = (_APPEND, slow, getattr(image, "append", ""), options.append)
    return " ".join(part for part in parts if part)


def command(options, image, accel, run_dir, sockets):
    """The full command line. SOCKETS: folder of the listening channel sockets."""
    words = base(options, accel) + _numa(options) + _plugins(options, run_dir)
    console = _escape(os.path.join(run_dir, "console.log"))
    console = (f"stdio,id=con,signal=off,logfile={console}" if options.interactive
               else f"file,id=con,path={console}")
    words += ["-kernel", options.kernel or image.kernel, "-initrd", image.initrd,
              "-append", _append(options, image, accel),
              "-chardev", console, "-serial", "chardev:con",
              "-chardev", f"socket,id=qmp,path={sockets}/qmp", "-mon", "chardev=qmp,mode=control",
              "-device", "virtio-serial-pci"]
    for name in PORTS:
        words += ["-chardev", f"socket,id={name},path={sockets}/{name}",
                  "-device", f"virtserialport,chardev={name},name=vd.{name}"]
    shared = [("vdroot", os.path.realpath(options.root or image.root), True), ("vdrepo", REPO, True),
              ("vdrun", os.path.join(run_dir, "files"), False)]
    shared += [("vdimage", image.path, True)]
    shared += [(tag, path, True) for tag, _, path in getattr(image, "shares", ())]
    shared += [(tag, path, mode == "ro") for tag, _, path, mode in share_list(options)]
    for index, (tag, path, read_only) in enumerate(shared):
        words += _shared(index, tag, path, read_only)
    for index in range(len(options.disk)):
        words += ["-drive", f"if=none,id=disk{index},format=raw,cache=unsafe,"
                  f"file={_escape(os.path.join(run_dir, f'disk{index}.raw'))}",
                  "-device", f"virtio-blk-pci,drive=disk{index}"]
    return words + options.qemu_arg

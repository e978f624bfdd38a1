# SPDX-License-Identifier: GPL-2.0-only
"""Takes the plain ELF kernel out of a bzImage.

An emulated processor spends seconds in the kernel's own decompressor; QEMU can start
the ELF file directly (PVH entry, in Debian's configuration), the same code otherwise.
"""

import lzma
import struct
import subprocess
import zlib

from .paths import LabError

_MAGIC = ((b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b\x08", "gzip"))


def _payload(image):
    """The compressed kernel: the boot protocol says where it lies."""
    if image[0x202:0x206] != b"HdrS":
        raise LabError("the image's kernel is not a bzImage")
    setup = (image[0x1f1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = setup * 512 + offset
    return image[start:start + length]


def _unpack(kind, data):
    if kind == "xz":
        # The last four bytes are the size, appended by the kernel's build.
        return lzma.LZMADecompressor().decompress(data)
    if kind == "gzip":
        return zlib.decompressobj(31).decompress(data)
    try:
        return subprocess.run(["zstd", "-dcq"], input=data, capture_output=True,
                              check=False).stdout
    except FileNotFoundError as error:
        raise LabError("this kernel needs zstd: apt-get install zstd") from error


def extract(image):
    """The vmlinux inside the bytes of a bzImage."""
    data = _payload(image)
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            plain = _unpack(kind, data)
            if plain[:4] == b"\x7fELF":
                return plain
            raise LabError(f"the {kind} payload of the kernel isn't an ELF file")
    raise LabError(f"unknown compression of the kernel: starts with {data[:6].hex()}")

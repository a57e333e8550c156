# SPDX-License-Identifier: BSD-2-Clause
"""Deduplicated, compressed, thin block storage in user space: libvdo.

    import vdo

    vdo.format("disk.vdo", size="1G")
    with vdo.open("disk.vdo") as v:
        v.pwrite(b"hello, world".ljust(4096), 0)
        print(v.pread(4096, 0), v.stats()["path.spaceUsed"])

What the calls do, and what they return as errors, is in the manual pages of the C
library, libvdo(3). Errors are exceptions of class Error, an OSError; their errno is
of errno(3) or one of the numbers here, such as vdo.EDIRTY.
"""

from ._config import Config, LogFunction, Option, options, size
from ._device import Device, Storage, device, memory, open_device
from ._errors import Error, codes, text
from ._jobs import Finding, check, rebuild, trim
from ._lib import lib
from ._volume import (
    Change,
    Extent,
    Sub,
    Volume,
    VolumeFile,
    format,
    inspect,
    open,
    plan,
    sub_changes,
)

#: Of the library that is used.
version = text(lib.vdo_version())

globals().update(codes())

__all__ = [
    "Change", "Config", "Device", "Error", "Extent", "Finding", "LogFunction", "Option",
    "Storage", "Sub", "Volume", "VolumeFile", "check", "device", "format", "inspect",
    "memory", "open", "open_device", "options", "plan", "rebuild", "size",
    "sub_changes", "trim", "version", *codes(),
]  # fmt: skip

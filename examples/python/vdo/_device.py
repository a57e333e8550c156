# SPDX-License-Identifier: BSD-2-Clause
"""Storage under a volume: files, memory, and devices written in Python."""

from __future__ import annotations

from typing import Any

from ._errors import check, errno_of
from ._lib import ffi, lib


class Device:
    """Storage that volumes can be made and opened on; a context manager."""

    def __init__(self, pointer: Any, keep: Any = None):
        self._pointer = pointer
        self._keep = keep

    @property
    def pointer(self) -> Any:
        """The struct vdo_device."""
        if self._pointer is None:
            raise ValueError("the device is closed")
        return self._pointer

    @property
    def size(self) -> int:
        """Bytes."""
        return int(lib.vdo_device_size(self.pointer))

    def close(self) -> None:
        """Close it; what a volume still uses is closed with that."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            lib.vdo_device_close(pointer)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            self.close()


def open_device(
    path: str, *, read_only: bool = False, create: bool = False, unlocked: bool = False
) -> Device:
    """Open a file or block device."""
    flags = (
        (lib.VDO_OPEN_READ_ONLY if read_only else 0)
        | (lib.VDO_OPEN_CREATE if create else 0)
        | (lib.VDO_OPEN_UNLOCKED if unlocked else 0)
    )
    out, error = ffi.new("struct vdo_device **"), ffi.new("struct vdo_error *")
    check(lib.vdo_device_open(str(path).encode(), flags, out, error), error)
    return Device(out[0])


def memory(size: int) -> Device:
    """So many bytes of zeroed memory."""
    out = ffi.new("struct vdo_device **")
    check(lib.vdo_device_open_memory(size, out))
    return Device(out[0])


class Storage:
    """Derive from this for storage of your own, and give it to device().

    The methods are called on threads of the volume, one operation at a time or several
    together, and raise OSError when they fail. Offsets and lengths are multiples of
    4096.
    """

    #: Writes need flush() to be durable.
    volatile_cache = True
    #: Whether discard() does anything.
    can_discard = False
    read_only = False

    def size(self) -> int:
        """Bytes; it may grow while a volume is open (Volume.grow())."""
        raise NotImplementedError

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer."""
        raise NotImplementedError

    def write(self, offset: int, data: memoryview, fua: bool) -> None:
        """Write; with fua it is durable when this returns."""
        raise NotImplementedError

    def flush(self) -> None:
        """Make all that was written durable."""

    def discard(self, offset: int, length: int) -> None:
        """The range is not needed any more."""

    def close(self) -> None:
        """Nobody uses it any more."""




def _storage_of(context: Any) -> Storage:
    return ffi.from_handle(context)


def _transfer(s: Storage, io: Any, write: bool) -> None:
    offset = io.offset
    for i in range(io.iov_count):
        part = io.iov[i]
        view = memoryview(ffi.buffer(part.iov_base, part.iov_len))
        if write:
            s.write(offset, view.toreadonly(), bool(io.flags & lib.VDO_DEVICE_FUA))
        else:
            s.read(offset, view)
        offset += part.iov_len


def _carry_out(s: Storage, io: Any) -> None:
    if io.op == lib.VDO_DEVICE_READ:
        _transfer(s, io, False)
    elif io.op == lib.VDO_DEVICE_WRITE:
        _transfer(s, io, True)
    elif io.op == lib.VDO_DEVICE_FLUSH:
        s.flush()
    else:
        s.discard(io.offset, io.length)


@ffi.callback("void(void *, struct vdo_device_io *)")
def _submit(context: Any, io: Any) -> None:
    result = 0
    try:
        _carry_out(_storage_of(context), io)
    except BaseException as e:  # pylint: disable=broad-except
        result = errno_of(e)
    io.complete(io, result)


@ffi.callback("uint64_t(void *)", error=0)
def _get_size(context: Any) -> int:
    return _storage_of(context).size()


@ffi.callback("unsigned(void *)", error=0)
def _get_flags(context: Any) -> int:
    s = _storage_of(context)
    return (
        (lib.VDO_DEVICE_VOLATILE_CACHE if s.volatile_cache else 0)
        | (lib.VDO_DEVICE_CAN_DISCARD if s.can_discard else 0)
        | (lib.VDO_DEVICE_READ_ONLY if s.read_only else 0)
    )


@ffi.callback("void(void *)")
def _close(context: Any) -> None:
    _storage_of(context).close()


_OPS = ffi.new(
    "struct vdo_device_ops *",
    {
        "size": ffi.sizeof("struct vdo_device_ops"),
        "get_size": _get_size,
        "get_flags": _get_flags,
        "submit": _submit,
        "close": _close,
    },
)


def device(storage: Storage) -> Device:
    """A device of a Storage, which lives as long as that is in use."""
    out, handle = ffi.new("struct vdo_device **"), ffi.new_handle(storage)
    check(lib.vdo_device_open_custom(_OPS, handle, out))
    return Device(out[0], (storage, handle))

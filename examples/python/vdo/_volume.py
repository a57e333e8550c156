# SPDX-License-Identifier: BSD-2-Clause
"""Volumes: format, open, read and write, pools."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Union

from ._config import Config, LogFunction, name_text, value_text
from ._device import Device
from ._errors import check, text
from ._lib import ffi, lib

#: Where a volume is: a file or block device, or a Device.
Place = Union[str, "os.PathLike[str]", Device]
Buffer = Union[bytes, bytearray, memoryview]


class Extent(NamedTuple):
    """Neighbouring blocks of one kind; see vdo_map_extents(3)."""

    offset: int
    length: int
    kind: str  # "hole", "zero", "data" or "compressed"
    physical: int
    references: int


class Change(NamedTuple):
    """Where two ranges differ; see vdo_map_changes(3)."""

    offset: int
    length: int
    a: str
    b: str


class Sub(NamedTuple):
    """A sub-volume in the directory of a pool."""

    name: str
    id: int
    size: int
    parent: int
    created: int
    read_only: bool
    removing: bool
    open: int


def _flags(fua: bool, dedupe: bool = True, compress: bool = True) -> int:
    return (
        (lib.VDO_IO_FUA if fua else 0)
        | (0 if dedupe else lib.VDO_IO_NO_DEDUPE)
        | (0 if compress else lib.VDO_IO_NO_COMPRESS)
    )


def _struct_dict(p: Any) -> dict[str, Any]:
    """The fields of a struct, which are numbers, truth values, text or bytes."""
    found: dict[str, Any] = {}
    for name, field in ffi.typeof(p).item.fields:
        value = getattr(p, name)
        if field.type.cname == "char *":
            value = None if value == ffi.NULL else text(value)
        elif field.type.kind == "array":
            value = bytes(ffi.buffer(value))
        found[name] = value
    return found


class _Call:
    """A C callback that tells a Python function, and keeps what that raises."""

    def __init__(self, signature: str, tell: Callable[[Any], Any]):
        self.raised: BaseException | None = None

        def run(_arg: Any, what: Any) -> int:
            try:
                return 1 if tell(what) else 0
            except BaseException as e:  # pylint: disable=broad-except
                self.raised = e
                return 1

        self.pointer = ffi.callback(signature, run)

    def end(self, result: int, error: Any = None) -> None:
        """Raise what was raised, or what the call returned."""
        if self.raised is not None:
            raise self.raised
        check(result, error)


class Volume:
    """An open volume or sub-volume; a context manager that closes it.

    All calls may come from any thread. They wait, and let other threads of Python run
    meanwhile.
    """

    def __init__(self, pointer: Any, keep: Any = None):
        self._pointer = pointer
        self._keep = keep  # what the library may still call or use

    @property
    def pointer(self) -> Any:
        """The struct vdo_volume."""
        if self._pointer is None:
            raise ValueError("the volume is closed")
        return self._pointer

    # ------------------------------------------------------------------- life

    def close(self) -> None:
        """Save all and close. What cannot be saved is raised; it is closed then, too."""
        if self._pointer is None:
            return
        result = lib.vdo_close(self._pointer)
        # Sub-volumes are open, or this is a callback: it stays open.
        if result not in (-errno.EBUSY, -errno.EDEADLK):
            self._pointer = None
        check(result)

    def abandon(self) -> None:
        """Drop it as a crash would; for tests."""
        if self._pointer is not None:
            lib.vdo_abandon(self._pointer)
            self._pointer = None

    def __enter__(self) -> Volume:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_pointer", None) is not None:
            lib.vdo_close(self._pointer)

    # -------------------------------------------------------------------- i/o

    def pread(self, count: int, offset: int) -> bytes:
        """So many bytes from there."""
        data = bytearray(count)
        self.pread_into(data, offset)
        return bytes(data)

    def pread_into(self, buffer: bytearray | memoryview, offset: int) -> None:
        """Fill a buffer."""
        p = ffi.from_buffer("char[]", buffer, require_writable=True)
        check(lib.vdo_pread(self.pointer, p, len(p), offset, 0))

    def pwrite(
        self,
        data: Buffer,
        offset: int,
        *,
        fua: bool = False,
        dedupe: bool = True,
        compress: bool = True,
    ) -> None:
        """Write; with fua it is durable when this returns."""
        p = ffi.from_buffer("char[]", data)
        check(
            lib.vdo_pwrite(
                self.pointer, p, len(p), offset, _flags(fua, dedupe, compress)
            )
        )

    def flush(self) -> None:
        """Make durable what was written."""
        check(lib.vdo_flush(self.pointer, 0))

    def discard(self, count: int, offset: int, *, fua: bool = False) -> None:
        """Forget a range; it reads as zeroes."""
        check(lib.vdo_discard(self.pointer, count, offset, _flags(fua)))

    def write_zeroes(self, count: int, offset: int, *, fua: bool = False) -> None:
        """Make a range read as zeroes."""
        check(lib.vdo_write_zeroes(self.pointer, count, offset, _flags(fua)))

    def copy_range(self, dst: int, src: int, count: int, *, fua: bool = False) -> None:
        """Copy within the volume, by reference."""
        check(lib.vdo_copy_range(self.pointer, dst, src, count, _flags(fua)))

    def file(self) -> VolumeFile:
        """A raw file over all of it; io.BufferedRandom() takes any offsets."""
        return VolumeFile(self)

    # ----------------------------------------------------------- what there is

    @property
    def size(self) -> int:
        """Bytes that can be addressed."""
        return int(lib.vdo_volume_size(self.pointer))

    @property
    def alignment(self) -> int:
        """What offsets and lengths must be multiples of."""
        return int(lib.vdo_volume_alignment(self.pointer))

    @property
    def read_only(self) -> bool:
        """Was it opened so, or did it become so?"""
        return bool(lib.vdo_volume_is_read_only(self.pointer))

    def stats(self) -> dict[str, int | str]:
        """All statistics, by name."""
        out = ffi.new("struct vdo_stats **")
        check(lib.vdo_stats_get(self.pointer, out))
        try:
            found: dict[str, int | str] = {}
            for i in range(lib.vdo_stats_count(out[0])):
                s = lib.vdo_stats_at(out[0], i)
                found[text(s.name)] = (
                    int(s.value) if s.text == ffi.NULL else text(s.text)
                )
            return found
        finally:
            lib.vdo_stats_free(out[0])

    def extents(
        self,
        offset: int = 0,
        length: int | None = None,
        *,
        places: bool = False,
        references: bool = False,
    ) -> list[Extent]:
        """What is stored where, by kinds."""
        found: list[Extent] = []

        def tell(e: Any) -> None:
            found.append(
                Extent(
                    int(e.offset),
                    int(e.length),
                    text(lib.vdo_map_kind_name(e.kind)),
                    int(e.physical),
                    int(e.references),
                )
            )

        call = _Call("int(void *, const struct vdo_extent *)", tell)
        flags = (lib.VDO_MAP_PLACES if places else 0) | (
            lib.VDO_MAP_REFERENCES if references else 0
        )
        call.end(
            lib.vdo_map_extents(
                self.pointer,
                offset,
                self.size - offset if length is None else length,
                flags,
                call.pointer,
                ffi.NULL,
            )
        )
        return found

    def changes(self, a: int, b: int, length: int, *, holes: bool = False) -> list[Change]:
        """Where two ranges of it differ, without reading data."""
        return _changes(
            lambda fn: lib.vdo_map_changes(
                self.pointer,
                a,
                b,
                length,
                lib.VDO_MAP_HOLES if holes else 0,
                fn,
                ffi.NULL,
            )
        )

    # ----------------------------------------------------------------- changes

    def set(self, name: str, value: Any) -> None:
        """Change an option of the open volume."""
        error = ffi.new("struct vdo_error *")
        check(
            lib.vdo_volume_set(
                self.pointer, name_text(name).encode(), value_text(value).encode(), error
            ),
            error,
        )

    def suspend(self, *, save: bool = True) -> None:
        """Bring it to rest: calls wait until resume()."""
        check(lib.vdo_suspend(self.pointer, save))

    def resume(self) -> None:
        """Go on."""
        check(lib.vdo_resume(self.pointer))

    def grow(self, *, physical: int = 0, logical: int = 0) -> None:
        """Make it larger, to so many bytes; 0: as it is."""
        error = ffi.new("struct vdo_error *")
        check(lib.vdo_grow(self.pointer, physical, logical, error), error)

    # ------------------------------------------------------------------- pools

    def subs(self) -> list[Sub]:
        """The sub-volumes, by name."""
        found: list[Sub] = []

        def tell(s: Any) -> None:
            found.append(
                Sub(
                    os.fsdecode(ffi.string(s.name)),
                    int(s.id),
                    int(s.size),
                    int(s.parent),
                    int(s.created),
                    bool(s.read_only),
                    bool(s.removing),
                    int(s.open),
                )
            )

        call = _Call("int(void *, const struct vdo_sub *)", tell)
        error = ffi.new("struct vdo_error *")
        call.end(
            lib.vdo_sub_list(self.pointer, call.pointer, ffi.NULL, error), error
        )
        return found

    def _sub_call(self, call: Callable[..., int], *arguments: Any) -> None:
        error = ffi.new("struct vdo_error *")
        converted = [os.fsencode(a) if isinstance(a, str) else a for a in arguments]
        check(call(self.pointer, *converted, error), error)

    def sub_create(self, name: str, size: int) -> None:
        """Make an empty sub-volume."""
        self._sub_call(lib.vdo_sub_create, name, size)

    def sub_open(self, name: str, *, read_only: bool = False) -> Volume:
        """Open one; it is a Volume of its own."""
        out = ffi.new("struct vdo_volume **")
        self._sub_call(
            lib.vdo_sub_open, name, lib.VDO_OPEN_READ_ONLY if read_only else 0, out
        )
        return Volume(out[0], self)

    def sub_snapshot(self, source: str, name: str) -> None:
        """Copy one as it is now; the copy is read-only."""
        self._sub_call(lib.vdo_sub_snapshot, source, name)

    def sub_clone(self, source: str, name: str) -> None:
        """Copy one as it is now; the copy can be written to."""
        self._sub_call(lib.vdo_sub_clone, source, name)

    def sub_resize(self, name: str, size: int) -> None:
        """Another size."""
        self._sub_call(lib.vdo_sub_resize, name, size)

    def sub_rename(self, name: str, new_name: str) -> None:
        """Another name."""
        self._sub_call(lib.vdo_sub_rename, name, new_name)

    def sub_remove(self, name: str) -> None:
        """Forget one, with all of its data."""
        self._sub_call(lib.vdo_sub_remove, name)

    def sub_stat(self, name: str) -> dict[str, Any]:
        """What one holds."""
        out, error = ffi.new("struct vdo_sub_usage *"), ffi.new("struct vdo_error *")
        check(
            lib.vdo_sub_stat(
                self.pointer, os.fsencode(name), out, ffi.sizeof(out[0]), error
            ),
            error,
        )
        return _struct_dict(out)


def sub_changes(a: Volume, b: Volume) -> list[Change]:
    """Where two sub-volumes differ, such as two snapshots of one."""
    return _changes(
        lambda fn: lib.vdo_sub_changes(a.pointer, b.pointer, 0, fn, ffi.NULL)
    )


def _changes(run: Callable[[Any], int]) -> list[Change]:
    found: list[Change] = []

    def tell(c: Any) -> None:
        found.append(
            Change(
                int(c.offset),
                int(c.length),
                text(lib.vdo_map_kind_name(c.a)),
                text(lib.vdo_map_kind_name(c.b)),
            )
        )

    call = _Call("int(void *, const struct vdo_change *)", tell)
    call.end(run(call.pointer))
    return found


class VolumeFile(io.RawIOBase):
    """A raw file: offsets and lengths are multiples of the volume's alignment, or
    io.BufferedRandom(volume.file(), buffer_size=65536) makes them so."""

    def __init__(self, volume: Volume):
        super().__init__()
        self._volume = volume
        self._at = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return not self._volume.read_only

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._volume.size}
        at = base[whence] + offset
        if at < 0:
            raise ValueError("before the beginning")
        self._at = at
        return at

    def _around(self, count: int) -> tuple[int, int]:
        """The aligned range around the next bytes."""
        a = self._volume.alignment
        first = self._at // a * a
        return first, -(-(self._at + count) // a) * a - first

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._volume.size - self._at))
        if count == 0:
            return 0
        first, length = self._around(count)
        data = self._volume.pread(length, first)
        view[:count] = data[self._at - first : self._at - first + count]
        self._at += count
        return count

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        count = max(0, min(len(view), self._volume.size - self._at))
        if count == 0:
            if len(view) == 0:
                return 0
            raise OSError(errno.ENOSPC, "beyond the end of the volume")
        first, length = self._around(count)
        if first == self._at and length == count:
            self._volume.pwrite(view[:count], first)
        else:
            whole = bytearray(self._volume.pread(length, first))
            whole[self._at - first : self._at - first + count] = view[:count]
            self._volume.pwrite(whole, first)
        self._at += count
        return count

    def flush(self) -> None:
        """Does not make anything durable: Volume.flush() does."""




def _path(place: Any) -> bytes:
    return os.fsencode(place)


def format(place: Place, *, log: LogFunction | None = None, **options: Any) -> None:
    """Make a new, empty volume. Options: vdo-options(7), with _ for -."""
    c, error = Config(options, log), ffi.new("struct vdo_error *")
    if isinstance(place, Device):
        result = lib.vdo_format_device(place.pointer, c.pointer, error)
    else:
        result = lib.vdo_format(_path(place), c.pointer, error)
    check(result, error)


def plan(place: Place | None = None, **options: Any) -> dict[str, Any]:
    """What format() would make."""
    c, error = Config(options), ffi.new("struct vdo_error *")
    out = ffi.new("struct vdo_plan *")
    size = ffi.sizeof(out[0])
    if isinstance(place, Device):
        result = lib.vdo_format_plan_device(place.pointer, c.pointer, out, size, error)
    else:
        path = ffi.NULL if place is None else _path(place)
        result = lib.vdo_format_plan(path, c.pointer, out, size, error)
    check(result, error)
    return _struct_dict(out)


def inspect(place: Place) -> dict[str, Any]:
    """Geometry and super block of a volume that need not be open."""
    out, error = ffi.new("struct vdo_info *"), ffi.new("struct vdo_error *")
    if isinstance(place, Device):
        result = lib.vdo_inspect_device(
            place.pointer, out, ffi.sizeof(out[0]), error
        )
    else:
        result = lib.vdo_inspect(_path(place), out, ffi.sizeof(out[0]), error)
    check(result, error)
    return _struct_dict(out)


def open(  # pylint: disable=redefined-builtin
    place: Place, *, log: LogFunction | None = None, **options: Any
) -> Volume:
    """Open a volume. Options: vdo-options(7), with _ for -."""
    c, error = Config(options, log), ffi.new("struct vdo_error *")
    out = ffi.new("struct vdo_volume **")
    if isinstance(place, Device):
        result = lib.vdo_open_device(place.pointer, c.pointer, out, error)
    else:
        result = lib.vdo_open(_path(place), c.pointer, out, error)
    check(result, error)
    return Volume(out[0], (c.log, place))

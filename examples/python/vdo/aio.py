# SPDX-License-Identifier: BSD-2-Clause
"""Volumes in an event loop: the same operations, to be awaited.

    async with vdo.aio.open("disk.vdo") as v:
        await asyncio.gather(*(v.pwrite(data, i * 4096) for i in range(100)))
        await v.flush()

Operations that are over come through the descriptor of a completion queue, which the
loop watches: no threads of Python are used, and many operations cost one wake-up. With
executor="inline" the loop runs the volume's work as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from . import _volume
from ._errors import check, error_of
from ._lib import ffi, lib
from ._volume import Buffer, Place, Volume, _flags

_REAP = 64


class AsyncVolume:
    """A volume whose operations are awaited, in the loop that made it."""

    def __init__(self, volume: Volume):
        self.volume = volume
        self._loop = asyncio.get_running_loop()
        out = ffi.new("struct vdo_cq **")
        check(lib.vdo_cq_new(out))
        self._cq = ffi.gc(out[0], lib.vdo_cq_free)
        # By entry: it, its future, and what the operation uses.
        self._pending: dict[Any, tuple[Any, asyncio.Future[None], Any]] = {}
        self._reaped = ffi.new("struct vdo_cq_entry *[]", _REAP)
        self._loop.add_reader(lib.vdo_cq_fd(self._cq), self._reap)
        self._poll_fd = lib.vdo_volume_fd(volume.pointer)
        if self._poll_fd >= 0:
            self._loop.add_reader(self._poll_fd, self._poll)

    async def __aenter__(self) -> AsyncVolume:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for what is under way, save, and close."""
        while self._pending:
            await asyncio.wait([f for _, f, _ in self._pending.values()])
        if self._cq is None:
            return
        self._loop.remove_reader(lib.vdo_cq_fd(self._cq))
        if self._poll_fd >= 0:
            self._loop.remove_reader(self._poll_fd)
        self._cq = None
        if self._poll_fd >= 0:  # nobody else runs its work
            self.volume.close()
        else:
            await asyncio.to_thread(self.volume.close)

    def _poll(self) -> None:
        lib.vdo_poll(self.volume.pointer, 0)

    def _reap(self) -> None:
        n = lib.vdo_cq_reap(self._cq, self._reaped, _REAP)
        for i in range(n):
            entry, future, _ = self._pending.pop(self._reaped[i])
            if future.cancelled():
                continue
            if entry.result == 0:
                future.set_result(None)
            else:
                future.set_exception(error_of(entry.result))

    async def _run(self, submit: Callable[[Any, Any], int], uses: Any = None) -> None:
        entry = ffi.new("struct vdo_cq_entry *", {"cq": self._cq})
        future = self._loop.create_future()
        # Cancelling does not end an operation: memory stays until it is over.
        self._pending[entry] = entry, future, uses
        result = submit(_COMPLETE, entry)
        if result != 0:
            del self._pending[entry]
            raise error_of(result)
        await future

    async def pread(self, count: int, offset: int) -> bytes:
        """So many bytes from there."""
        data = bytearray(count)
        await self.pread_into(data, offset)
        return bytes(data)

    async def pread_into(self, buffer: bytearray | memoryview, offset: int) -> None:
        """Fill a buffer."""
        p, v = ffi.from_buffer("char[]", buffer, require_writable=True), self.volume
        await self._run(
            lambda fn, e: lib.vdo_aio_pread(v.pointer, p, len(p), offset, fn, e, 0), p
        )

    async def pwrite(
        self,
        data: Buffer,
        offset: int,
        *,
        fua: bool = False,
        dedupe: bool = True,
        compress: bool = True,
    ) -> None:
        """Write; with fua it is durable when this returns."""
        p, v = ffi.from_buffer("char[]", data), self.volume
        flags = _flags(fua, dedupe, compress)
        await self._run(
            lambda fn, e: lib.vdo_aio_pwrite(
                v.pointer, p, len(p), offset, fn, e, flags
            ),
            p,
        )

    async def flush(self) -> None:
        """Make durable what was written."""
        v = self.volume
        await self._run(lambda fn, e: lib.vdo_aio_flush(v.pointer, fn, e, 0))

    async def discard(self, count: int, offset: int, *, fua: bool = False) -> None:
        """Forget a range; it reads as zeroes."""
        v, flags = self.volume, _flags(fua)
        await self._run(
            lambda fn, e: lib.vdo_aio_discard(v.pointer, count, offset, fn, e, flags)
        )

    async def write_zeroes(self, count: int, offset: int, *, fua: bool = False) -> None:
        """Make a range read as zeroes."""
        v, flags = self.volume, _flags(fua)
        await self._run(
            lambda fn, e: lib.vdo_aio_write_zeroes(
                v.pointer, count, offset, fn, e, flags
            )
        )

    async def copy_range(
        self, dst: int, src: int, count: int, *, fua: bool = False
    ) -> None:
        """Copy within the volume, by reference."""
        v, flags = self.volume, _flags(fua)
        await self._run(
            lambda fn, e: lib.vdo_aio_copy_range(
                v.pointer, dst, src, count, fn, e, flags
            )
        )


_COMPLETE = ffi.cast("vdo_callback", ffi.addressof(lib, "vdo_cq_complete"))


class _Opening:
    """What open() gives: to be awaited, or for async with."""

    def __init__(self, place: Place, options: dict[str, Any]):
        self._place = place
        self._options = options
        self._volume: AsyncVolume | None = None

    async def _open(self) -> AsyncVolume:
        if self._options.get("executor") == "inline":
            volume = _volume.open(self._place, **self._options)
        else:
            volume = await asyncio.to_thread(
                _volume.open, self._place, **self._options
            )
        return AsyncVolume(volume)

    def __await__(self) -> Any:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncVolume:
        self._volume = await self._open()
        return self._volume

    async def __aexit__(self, *_exc: object) -> None:
        assert self._volume is not None
        await self._volume.close()


def open(place: Place, **options: Any) -> _Opening:  # pylint: disable=redefined-builtin
    """Open a volume, on a thread of the loop's executor, as that takes its time."""
    return _Opening(place, options)

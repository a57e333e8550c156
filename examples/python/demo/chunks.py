# SPDX-License-Identifier: BSD-2-Clause
"""Storage of one's own: a volume whose storage is a directory of chunks, as an object
store would have them. What was never written has no chunk."""

import os
import pathlib

import vdo

CHUNK = 1 << 20


class Chunks(vdo.Storage):
    """Files of 1 MiB, by number."""

    can_discard = True

    def __init__(self, directory: str, size: int):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.bytes = size
        self.dirty: set[pathlib.Path] = set()

    def size(self) -> int:
        return self.bytes

    def pieces(self, offset: int, length: int):
        """The chunks of a range: file, offset in it, and slice of the range."""
        at = 0
        while at < length:
            within = (offset + at) % CHUNK
            n = min(CHUNK - within, length - at)
            yield self.directory / str((offset + at) // CHUNK), within, slice(at, at + n)
            at += n

    def read(self, offset: int, buffer: memoryview) -> None:
        for path, within, part in self.pieces(offset, len(buffer)):
            data = b""
            if path.exists():
                with path.open("rb") as f:
                    data = os.pread(f.fileno(), part.stop - part.start, within)
            buffer[part] = data.ljust(part.stop - part.start, b"\0")

    def write(self, offset: int, data: memoryview, fua: bool) -> None:
        for path, within, part in self.pieces(offset, len(data)):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(fd, data[part], within)
                if fua:
                    os.fsync(fd)
            finally:
                os.close(fd)
            if not fua:
                self.dirty.add(path)

    def flush(self) -> None:
        for path in [*self.dirty, self.directory]:
            if path.exists():
                fd = os.open(path, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
        self.dirty.clear()

    def discard(self, offset: int, length: int) -> None:
        for path, _, part in self.pieces(offset, length):
            if part.stop - part.start == CHUNK:
                path.unlink(missing_ok=True)


with vdo.device(Chunks("chunks", 1 << 30)) as device:
    vdo.format(device, index_memory="none", force=True)
    with vdo.open(device) as v:
        v.pwrite(b"kept in chunks".ljust(4096), 512 << 20)
    with vdo.open(device) as v:
        print(v.pread(4096, 512 << 20).decode().strip())
    print(len(os.listdir("chunks")), "chunks of 1024")

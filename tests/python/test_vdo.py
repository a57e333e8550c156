# SPDX-License-Identifier: BSD-2-Clause
"""The Python module on real volumes; tests/sh/python.sh runs it."""

import asyncio
import errno
import io
import os
import random
import tempfile
import threading
import unittest

import vdo
import vdo.aio

MIB = 1 << 20
EXECUTORS = ("native", "inline")


def new_device(**options):
    """A volume in memory."""
    device = vdo.memory(64 * MIB)
    vdo.format(device, **{"logical_size": "256M", "index_memory": "none", **options})
    return device


def block(n):
    """4096 bytes that no other number has."""
    return random.Random(n).randbytes(4096)


class Bytes(vdo.Storage):
    """Storage in Python, which counts, and fails when it is told to."""

    can_discard = True

    def __init__(self, size):
        self.bytes = bytearray(size)
        self.writes = self.flushes = self.discarded = 0
        self.fails = None
        self.closed = False

    def size(self):
        return len(self.bytes)

    def _fail(self):
        if self.fails is not None:
            raise self.fails

    def read(self, offset, buffer):
        self._fail()
        buffer[:] = self.bytes[offset : offset + len(buffer)]

    def write(self, offset, data, fua):
        self._fail()
        self.bytes[offset : offset + len(data)] = data
        self.writes += 1

    def flush(self):
        self._fail()
        self.flushes += 1

    def discard(self, offset, length):
        self.discarded += length

    def close(self):
        self.closed = True


class Volumes(unittest.TestCase):
    def test_data_comes_back(self):
        device = new_device()
        for executor in EXECUTORS:
            with vdo.open(device, executor=executor) as v:
                v.pwrite(block(1) + block(2), 4096)
                v.pwrite(bytearray(block(3)), 5 * 4096, fua=True, dedupe=False)
                self.assertEqual(v.pread(8192, 4096), block(1) + block(2))
                v.copy_range(MIB, 4096, 8192)
                v.discard(4096, 4096)
                v.write_zeroes(4096, 5 * 4096)
                v.flush()
                self.assertEqual(v.pread(8192, 4096), bytes(4096) + block(2))
                self.assertEqual(v.pread(8192, MIB), block(1) + block(2))
            with vdo.open(device, executor=executor, read_only=True) as v:
                self.assertTrue(v.read_only)
                self.assertEqual(v.pread(4096, MIB), block(1))

    def test_what_there_is(self):
        device = new_device()
        plan = vdo.plan(device, logical_size="256M", index_memory="none", force=True)
        self.assertEqual(plan["logical_blocks"] * 4096, 256 * MIB)
        self.assertEqual(vdo.inspect(device)["state_name"], "new")
        with vdo.open(device) as v:
            self.assertEqual((v.size, v.alignment), (256 * MIB, 4096))
            v.pwrite(block(1) * 2, 0)
            v.write_zeroes(4096, 8192)
            kinds = [(e.kind, e.length) for e in v.extents(0, 5 * 4096)]
            self.assertEqual(
                kinds, [("data", 8192), ("zero", 4096), ("hole", 8192)]
            )
            self.assertEqual(v.extents(0, 4096, references=True)[0].references, 2)
            self.assertEqual(
                v.changes(0, MIB, MIB), [vdo.Change(0, 8192, "data", "hole")]
            )
            self.assertGreater(v.stats()["path.spaceTotal"], 1000)
            v.set("compression", False)
            v.suspend()
            v.resume()
        self.assertEqual(vdo.inspect(device)["state_name"], "clean")

    def test_options_and_sizes(self):
        names = {o.name: o for o in vdo.options()}
        self.assertEqual(names["depth"].type, "number")
        self.assertEqual(names["compression"].when, "online")
        self.assertEqual(vdo.size("1.5 GiB"), 3 << 29)
        for bad in ({"nothing": 1}, {"depth": 3}):
            with self.assertRaises(vdo.Error):
                vdo.open(new_device(), **bad)

    def test_errors_say_what_to_do(self):
        with self.assertRaises(vdo.Error) as caught:
            vdo.open(vdo.memory(MIB))
        self.assertEqual(caught.exception.errno, vdo.ENOTVDO)
        self.assertEqual(caught.exception.name, "VDO_ENOTVDO")
        with self.assertRaises(FileNotFoundError) as caught:
            vdo.open("/there/is/none")
        self.assertIsInstance(caught.exception, vdo.Error)
        with vdo.open(new_device()) as v:
            with self.assertRaises(vdo.Error):
                v.pread(100, 0)
        with self.assertRaises(ValueError):
            v.pread(4096, 0)

    def test_files(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "disk.vdo")
            lines = []
            vdo.format(path, size="64M", log=lambda *line: lines.append(line))
            with vdo.open(path) as v:
                v.pwrite(block(7), 0)
                with self.assertRaises(vdo.Error) as caught:
                    vdo.open(path)
                self.assertEqual(caught.exception.errno, vdo.EINUSE)
            self.assertTrue(any(level == "info" for level, _ in lines))
            phases = set()
            report, findings = vdo.check(
                path, data=True, progress=lambda phase, *_: phases.add(phase) and None
            )
            self.assertEqual((report["findings"], findings), (0, []))
            self.assertGreater(vdo.trim(path)["free_blocks"], 100)
            with vdo.open(path) as v:
                self.assertEqual(v.pread(4096, 0), block(7))
                v.grow(physical=128 * MIB, logical=512 * MIB)
                self.assertEqual(v.size, 512 * MIB)

    def test_crash_and_rebuild(self):
        device = new_device()
        v = vdo.open(device)
        v.pwrite(block(1), 0)
        v.flush()
        v.abandon()
        self.assertEqual(vdo.inspect(device)["state_name"], "dirty")
        with self.assertRaises(vdo.Error) as caught:
            vdo.open(device, recover=False)
        self.assertEqual(caught.exception.errno, vdo.EDIRTY)
        self.assertEqual(vdo.rebuild(device, force=True)["lost_blocks"], 0)
        with vdo.open(device) as v:
            self.assertEqual(v.pread(4096, 0), block(1))

    def test_pools(self):
        with vdo.open(new_device()) as v:
            v.sub_create("root", MIB)
            with v.sub_open("root") as s:
                s.pwrite(block(1), 0)
                v.sub_snapshot("root", "before")
                s.pwrite(block(2), 0)
                with v.sub_open("before") as b:
                    self.assertTrue(b.read_only)
                    self.assertEqual(b.pread(4096, 0), block(1))
                    self.assertEqual(
                        vdo.sub_changes(b, s), [vdo.Change(0, 4096, "data", "data")]
                    )
            v.sub_clone("before", "other")
            v.sub_rename("other", "clone")
            v.sub_resize("clone", 2 * MIB)
            self.assertEqual(
                [(s.name, s.size, s.read_only) for s in v.subs()],
                [("before", MIB, True), ("clone", 2 * MIB, False), ("root", MIB, False)],
            )
            self.assertEqual(v.sub_stat("clone")["data_blocks"], 1)
            v.sub_remove("before")
            with self.assertRaises(FileNotFoundError):
                v.sub_open("before")

    def test_threads(self):
        with vdo.open(new_device()) as v:

            def work(n):
                for i in range(50):
                    at = (n * 50 + i) * 4096
                    v.pwrite(block(at), at)
                    assert v.pread(4096, at) == block(at)

            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            for i in range(200):
                self.assertEqual(v.pread(4096, i * 4096), block(i * 4096))


class Files(unittest.TestCase):
    def test_any_offsets(self):
        draw = random.Random(1)
        with vdo.open(new_device()) as v, io.BufferedRandom(v.file(), 65536) as f:
            model = bytearray(300000)
            for _ in range(300):
                at, n = draw.randrange(290000), draw.randrange(1, 9000)
                f.seek(at)
                if draw.random() < 0.5:
                    data = draw.randbytes(n)
                    f.write(data)
                    model[at : at + n] = data
                else:
                    data = f.read(n)
                    self.assertEqual(data[: len(model) - at], model[at : at + n])
            f.flush()
            self.assertEqual(v.pread(290816, 0), model[:290816])

    def test_ends(self):
        with vdo.open(new_device()) as v:
            f = v.file()
            self.assertEqual(f.seek(0, os.SEEK_END), v.size)
            self.assertEqual(f.read(10), b"")
            with self.assertRaises(OSError) as caught:
                f.write(b"x")
            self.assertEqual(caught.exception.errno, errno.ENOSPC)
            f.seek(-3, os.SEEK_END)
            self.assertEqual(f.write(b"abcdef"), 3)
            f.seek(-3, os.SEEK_END)
            self.assertEqual(f.read(10), b"abc")


class Devices(unittest.TestCase):
    def test_in_python(self):
        storage = Bytes(32 * MIB)
        with vdo.device(storage) as device:
            self.assertEqual(device.size, 32 * MIB)
            vdo.format(device, index_memory="none")
            for executor in EXECUTORS:
                with vdo.open(device, executor=executor) as v:
                    for i in range(100):
                        v.pwrite(block(i), i * 4096)
                    v.flush()
                with vdo.open(device, executor=executor, block_cache=0) as v:
                    for i in range(100):
                        self.assertEqual(v.pread(4096, i * 4096), block(i))
            vdo.trim(device)
        self.assertGreater(storage.writes, 10)
        self.assertGreater(storage.flushes, 1)
        self.assertGreater(storage.discarded, MIB)
        self.assertTrue(storage.closed)

    def test_that_fail(self):
        storage = Bytes(32 * MIB)
        device = vdo.device(storage)
        vdo.format(device, index_memory="none")
        v = vdo.open(device, block_cache=0)
        v.pwrite(block(1), 0)
        v.flush()
        storage.fails = OSError(errno.EIO, "broken")
        with self.assertRaises(vdo.Error) as caught:
            v.pread(4096, 0)
        self.assertEqual(caught.exception.errno, errno.EIO)
        storage.fails = RuntimeError("a fault of the storage")
        with self.assertRaises(vdo.Error):
            v.pread(4096, 0)
        storage.fails = None
        self.assertEqual(v.pread(4096, 0), block(1))
        v.close()


class Loops(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = 60  # no notes of them

    async def test_many_at_once(self):
        device = new_device()
        for executor in EXECUTORS:
            async with vdo.aio.open(device, executor=executor) as v:
                await asyncio.gather(
                    *(v.pwrite(block(i), i * 4096) for i in range(500))
                )
                await v.flush()
                await v.copy_range(8 * MIB, 0, 500 * 4096)
                await v.discard(4096, 0)
                await v.write_zeroes(4096, 4096, fua=True)
                found = await asyncio.gather(
                    *(v.pread(4096, 8 * MIB + i * 4096) for i in range(500))
                )
                self.assertEqual(found, [block(i) for i in range(500)])
                self.assertEqual(await v.pread(8192, 0), bytes(8192))
                with self.assertRaises(vdo.Error):
                    await v.pread(4096, 1 << 50)
                with self.assertRaises(vdo.Error):
                    await v.pread(100, 0)

    async def test_cancelled(self):
        async with vdo.aio.open(new_device()) as v:
            task = asyncio.create_task(v.pwrite(block(1), 0))
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await v.pwrite(block(2), 4096)
            self.assertEqual(await v.pread(4096, 4096), block(2))

    async def test_device_in_python(self):
        device = vdo.device(Bytes(32 * MIB))
        vdo.format(device, index_memory="none")
        v = await vdo.aio.open(device)
        await asyncio.gather(*(v.pwrite(block(i), i * 4096) for i in range(50)))
        await v.close()
        await v.close()
        with vdo.open(device) as w:
            self.assertEqual(w.pread(4096, 49 * 4096), block(49))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: BSD-2-Clause
"""A thousand writes at once, in an event loop that also runs the volume's work."""

import asyncio

import vdo
import vdo.aio


async def main() -> None:
    device = vdo.memory(256 << 20)
    vdo.format(device, index_memory="none")
    async with vdo.aio.open(device, executor="inline") as v:
        blocks = [i.to_bytes(2, "little") * 2048 for i in range(1000)]
        await asyncio.gather(*(v.pwrite(b, i * 4096) for i, b in enumerate(blocks)))
        await v.flush()
        back = await asyncio.gather(*(v.pread(4096, i * 4096) for i in range(1000)))
        assert back == blocks
        print(len(back), "blocks came back")


asyncio.run(main())

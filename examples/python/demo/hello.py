# SPDX-License-Identifier: BSD-2-Clause
"""Store something twice; it takes space once."""

import vdo

vdo.format("hello.vdo", size="64M", force=True)
with vdo.open("hello.vdo") as v:
    v.pwrite(b"hello, world".ljust(4096), 0)
    v.copy_range(1 << 20, 0, 4096)
    v.flush()
    print(v.pread(4096, 1 << 20).decode().strip())
    print(sum(e.length for e in v.extents() if e.kind == "data"), "bytes mapped")

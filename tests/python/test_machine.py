# SPDX-License-Identifier: BSD-2-Clause
"""Random stories, held against a model: a volume is written, copied, suspended, closed,
crashed and opened again; sub-volumes come and go. hypothesis makes a failing story
short, and prints it."""

import random
import unittest

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import vdo

BLOCKS = 64
B = 4096
ranges = st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 12))
names = st.sampled_from(["a", "b", "c"])


class Model:
    """What a range of blocks holds: numbers of contents, 0 is zeroes."""

    def __init__(self, blocks=None):
        self.blocks = list(blocks) if blocks else [0] * BLOCKS

    def bytes(self):
        return b"".join(data(n) for n in self.blocks)


def data(n):
    return random.Random(n).randbytes(B) if n else bytes(B)


class Pool(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.device = vdo.memory(32 << 20)
        vdo.format(self.device, logical_size="64M", index_memory="none")
        self.volume = None
        self.subs = {}
        self.handles = {}
        self.open("native")

    def open(self, executor):
        more = {"threads": 2} if executor == "native" else {}
        self.volume = vdo.open(self.device, executor=executor, **more)
        self.handles = {
            n: self.volume.sub_open(n, read_only=ro) for n, (_, ro) in self.subs.items()
        }

    def shut(self):
        for h in self.handles.values():
            h.close()
        self.handles = {}

    @rule(name=names)
    def create(self, name):
        if name in self.subs:
            try:
                self.volume.sub_create(name, BLOCKS * B)
                raise AssertionError("it is there twice")
            except FileExistsError:
                return
        self.volume.sub_create(name, BLOCKS * B)
        self.subs[name] = Model(), False
        self.handles[name] = self.volume.sub_open(name)

    @precondition(lambda self: self.subs)
    @rule(choice=st.randoms(use_true_random=False), name=names, clone=st.booleans())
    def copy(self, choice, name, clone):
        if name in self.subs:
            return
        source = choice.choice(sorted(self.subs))
        if clone:
            self.volume.sub_clone(source, name)
        else:
            self.volume.sub_snapshot(source, name)
        self.subs[name] = Model(self.subs[source][0].blocks), not clone
        self.handles[name] = self.volume.sub_open(name)

    @rule(name=names)
    def remove(self, name):
        if name in self.subs:
            self.handles.pop(name).close()
            self.volume.sub_remove(name)
            del self.subs[name]

    def writable(self, name):
        return name in self.subs and not self.subs[name][1]

    @rule(name=names, where=ranges, n=st.integers(0, 30), same=st.booleans())
    def write(self, name, where, n, same):
        if not self.writable(name):
            return
        at, count = where[0], min(where[1], BLOCKS - where[0])
        new = [n if same or n == 0 else n + i for i in range(count)]
        self.handles[name].pwrite(b"".join(map(data, new)), at * B)
        self.subs[name][0].blocks[at : at + count] = new

    @rule(name=names, where=ranges, zero=st.booleans())
    def clear(self, name, where, zero):
        if not self.writable(name):
            return
        at, count = where[0], min(where[1], BLOCKS - where[0])
        h = self.handles[name]
        (h.write_zeroes if zero else h.discard)(count * B, at * B)
        self.subs[name][0].blocks[at : at + count] = [0] * count

    @rule(name=names, where=ranges, dst=st.integers(0, BLOCKS - 1))
    def copy_range(self, name, where, dst):
        if not self.writable(name):
            return
        at, count = where[0], min(where[1], BLOCKS - where[0], BLOCKS - dst)
        self.handles[name].copy_range(dst * B, at * B, count * B)
        blocks = self.subs[name][0].blocks
        blocks[dst : dst + count] = blocks[at : at + count]

    @rule(crash=st.booleans(), executor=st.sampled_from(["native", "inline"]))
    def reopen(self, crash, executor):
        if crash:
            self.volume.flush()
        self.shut()
        if crash:
            self.volume.abandon()
        else:
            self.volume.close()
        self.open(executor)

    @rule()
    def rest(self):
        self.volume.suspend()
        self.volume.resume()

    @invariant()
    def all_is_there(self):
        there = sorted(s.name for s in self.volume.subs()) if self.subs else []
        assert there == sorted(self.subs)
        for name, (model, read_only) in self.subs.items():
            h = self.handles[name]
            assert h.read_only == read_only
            assert h.pread(BLOCKS * B, 0) == model.bytes(), name

    def teardown(self):
        self.shut()
        self.volume.close()
        report, findings = vdo.check(self.device, data=True)
        assert report["findings"] == 0, findings


Pool.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestPool = Pool.TestCase

if __name__ == "__main__":
    unittest.main()

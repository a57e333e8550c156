#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Inspect a UDS deduplication index image (doc/format.md).

usage: uds_inspect.py IMAGE [options]

  --offset BYTES     byte offset of the index in IMAGE (default: 0, or the index
                     region start when IMAGE is a whole VDO volume)
  --base BLOCKS      block number that the image's byte 0 has on the device the index
                     was made on (for an index region cut out of a device; default 0)
  --lookup HEXNAME   look a record name up (repeatable)
  --all-sparse       lookups also search every sparse chapter exhaustively
  --deep             decode every delta list and every chapter (slow for big indexes)
  --chapters         list the chapters found in the volume
  --list SUB:N       decode list N of volume sub-index SUB (dense, nonhook, hook)
  --page C:P         decode index page P of physical chapter C
  --expect FILE      check a golden expectation file (--step N: only every Nth number)
  --geometry CODE    print sizes for a memory code (add --sparse) and exit
  --json             print the layout part as JSON

Exit status 0 if everything that was checked is valid, 1 otherwise.
Standard library only.
"""

import argparse
import bisect
import json
import lzma
import os
import struct
import sys

BLOCK = 4096
PAGE = 32768
RECORD = 32
RECORDS_PER_PAGE = PAGE // RECORD
MAX_ZONES = 16
ALL_ONES = (1 << 64) - 1

REGION_MAGIC = 0x416C6252676E3031
LABEL = b"*ALBIREO*SINGLE*FILE*LAYOUT*001*"
KINDS = {0: "free", 1: "header", 100: "config", 101: "index", 102: "seal", 201: "volume",
         202: "save", 301: "page-map", 302: "volume-index", 303: "open-chapter"}
TYPES = {1: "super", 2: "save", 4: "unsaved"}
SOLE = 65535


class Bad(Exception):
    """The image violates the format."""


def need(condition, message):
    if not condition:
        raise Bad(message)


# ---------------------------------------------------------------------------
# Arithmetic from sections 2 and 4.2

def nbits(n):
    return max(1, n.bit_length())


def ceil_div(a, b):
    return -(-a // b)


def coding(mean):
    incr = (836158 * mean + 603160) // 1206321
    min_bits = nbits(incr + 1)
    return min_bits, (1 << min_bits) - incr, incr


class Geometry:
    def __init__(self, record_pages, chapters, sparse_chapters, sample_rate,
                 remap_virtual=0, remap_physical=0, mean=4096):
        self.record_pages = record_pages
        self.chapters = chapters
        self.sparse_chapters = sparse_chapters
        self.dense_chapters = chapters - sparse_chapters
        self.sample_rate = sample_rate
        self.remap_virtual = remap_virtual
        self.remap_physical = remap_physical
        self.vi_mean = mean
        self.reduced = bool(chapters & 1)
        self.sparse = sparse_chapters > 0
        r = self.records = RECORDS_PER_PAGE * record_pages
        self.payload_bits = nbits(record_pages - 1)
        self.list_bits = nbits((r - 1) | 63) - 6
        self.lists = 1 << self.list_bits
        self.address_bits = 16 - self.list_bits + nbits(r - 1)
        self.coding = coding(65536)
        expected = r * (self.payload_bits + self.coding[0] + 1) + r // 2
        usable = (PAGE - 20) * 8 - 19 - expected // self.lists
        self.index_pages = ceil_div(expected + 19 * self.lists, usable)
        self.pages_per_chapter = self.index_pages + record_pages
        self.volume_bytes = PAGE * (self.pages_per_chapter * chapters + 1)
        if self.sparse:
            sample = r // sample_rate
            self.subs = [SubParams("nonhook", "d", r - sample, self.dense_chapters,
                                   self.reduced, mean),
                         SubParams("hook", "s", sample, chapters, self.reduced, mean)]
        else:
            self.subs = [SubParams("dense", "m", r, chapters, self.reduced, mean)]

    def sizes(self):
        vi_bytes = sum(40 + 17 * s.lists + 40 + s.zone_memory(1) for s in self.subs)
        if self.sparse:
            vi_bytes += 12
        out = {}
        out["volume_blocks"] = self.volume_bytes // BLOCK
        out["volume_index_blocks"] = ceil_div(vi_bytes + 8, BLOCK) + MAX_ZONES
        out["page_map_blocks"] = ceil_div(16 + 2 * self.chapters * (self.index_pages - 1), BLOCK)
        out["open_chapter_blocks"] = ceil_div(14 + RECORD * self.records, BLOCK)
        out["save_blocks"] = (1 + out["volume_index_blocks"] + out["page_map_blocks"]
                              + out["open_chapter_blocks"])
        out["total_blocks"] = 3 + out["volume_blocks"] + 2 * out["save_blocks"]
        return out

    def physical_chapter(self, v):
        if not self.reduced:
            return v % self.chapters
        rv, rp = self.remap_virtual, self.remap_physical
        if v > rv:
            d = v - rv
            return d % self.chapters if d > rp else d - 1
        if v == rv:
            return rp
        d = rv - v
        return self.chapters - d if d < self.chapters else 0

    def chapter_list(self, name):
        y = int.from_bytes(name[8:14], "big")
        return (y >> self.address_bits) % self.lists, y & ((1 << self.address_bits) - 1)

    def is_sample(self, name):
        return self.sparse and int.from_bytes(name[14:16], "big") % self.sample_rate == 0

    def is_sparse_chapter(self, v, oldest, newest):
        return (self.sparse and newest - oldest + 1 > self.dense_chapters
                and v + self.dense_chapters <= newest)


class SubParams:
    def __init__(self, label, tag, records, chapters, reduced, mean):
        self.label = label
        self.tag = ord(tag)
        rounded = chapters + (1 if reduced else 0)
        self.chapters = chapters
        self.lists = max(records * rounded // 256, MAX_ZONES * MAX_ZONES)
        self.address_bits = nbits(mean * 256 - 1)
        self.chapter_bits = nbits(rounded - 1)
        count = rounded + max(rounded // 256, 2)
        self.mean = (self.lists << self.address_bits) // (records * count)
        self.coding = coding(self.mean)
        self.chapter_size_bits = records * (self.chapter_bits + self.coding[0] + 1) + records // 2
        expected = self.chapter_size_bits * count // 8
        self.memory = expected * 106 // 100
        self.target_free = expected // 20

    def zone_memory(self, zones):
        return (self.memory // zones + 65535) & ~65535

    def max_zone_bits(self, zones):
        return (zones * self.zone_memory(zones) - self.target_free) * 8 // zones

    def address(self, name):
        x = int.from_bytes(name[0:8], "big")
        return (x >> self.address_bits) % self.lists, x & ((1 << self.address_bits) - 1)


def geometry_for_code(code, sparse):
    reduced = 0
    if code in (-256, -512, -768):
        base, pages = 1024, 64 * (-code // 256)
    elif code in (-1280, -1536, -1792):
        base, pages, reduced = 1024, 64 * ((-code - 1024) // 256), 1
    elif 1 <= code <= 1024:
        base, pages = 1024 * code, 256
    elif 4097 <= code <= 5120:
        base, pages, reduced = 1024 * (code - 4096), 256, 1
    elif code == -1:
        base, pages = 4, 32
    else:
        raise Bad("invalid memory code %d" % code)
    sparse_chapters = 0
    if sparse:
        sparse_chapters = 19 * base // 2
        base *= 10
    return Geometry(pages, base - reduced, sparse_chapters, 32 if sparse else 0)


# ---------------------------------------------------------------------------
# Hashing (section 3.3)

M64 = ALL_ONES


def _rotl(x, r):
    return ((x << r) | (x >> (64 - r))) & M64


def _fmix(k):
    k ^= k >> 33
    k = k * 0xFF51AFD7ED558CCD & M64
    k ^= k >> 33
    k = k * 0xC4CEB9FE1A85EC53 & M64
    return k ^ (k >> 33)


def murmur3(data, seed):
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    whole = len(data) & ~15
    for k1, k2 in struct.iter_unpack("<QQ", data[:whole]):
        h1 ^= _rotl(k1 * c1 & M64, 31) * c2 & M64
        h1 = ((_rotl(h1, 27) + h2) * 5 + 0x52DCE729) & M64
        h2 ^= _rotl(k2 * c2 & M64, 33) * c1 & M64
        h2 = ((_rotl(h2, 31) + h1) * 5 + 0x38495AB5) & M64
    tail = data[whole:]
    if len(tail) > 8:
        h2 ^= _rotl(int.from_bytes(tail[8:], "little") * c2 & M64, 33) * c1 & M64
    if tail:
        h1 ^= _rotl(int.from_bytes(tail[:8], "little") * c1 & M64, 31) * c2 & M64
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & M64
    h2 = (h2 + h1) & M64
    h1, h2 = _fmix(h1), _fmix(h2)
    h1 = (h1 + h2) & M64
    h2 = (h2 + h1) & M64
    return struct.pack("<QQ", h1, h2)


def nonce_hash(start, data):
    seed = (start ^ (start >> 27)) & 0xFFFFFFFF
    return struct.unpack_from("<Q", murmur3(data, seed), 4)[0]


def secondary_nonce(nonce, data):
    return nonce_hash((nonce + 1) & M64, data)


# ---------------------------------------------------------------------------
# Delta lists (section 4)

def take_bits(data, start, size):
    """Return `size` bits starting at bit `start` of `data` as an integer."""
    first, last = start // 8, (start + size + 7) // 8
    return (int.from_bytes(data[first:last], "little") >> (start % 8)) & ((1 << size) - 1)


def decode_list(bits, size, value_bits, params):
    """Decode a delta list; yields (key, value, collision_name or None, bit offset)."""
    min_bits, min_keys, incr_keys = params
    value_mask, code_mask = (1 << value_bits) - 1, (1 << min_bits) - 1
    key = offset = 0
    while offset < size:
        start = offset
        need(offset + value_bits + min_bits <= size, "delta list entry runs past the end")
        value = (bits >> offset) & value_mask
        offset += value_bits
        delta = (bits >> offset) & code_mask
        offset += min_bits
        if delta >= min_keys:
            rest = bits >> offset
            need(rest != 0, "delta list: no stop bit")
            zeros = (rest & -rest).bit_length() - 1
            offset += zeros + 1
            delta += zeros * incr_keys
        key += delta
        name = None
        if delta == 0 and start > 0:
            need(offset + 128 <= size, "collision name runs past the end")
            name = ((bits >> offset) & ((1 << 128) - 1)).to_bytes(16, "little")
            offset += 128
        need(offset <= size, "delta list entry runs past the end")
        yield key, value, name, start


def search_list(entries, key, name):
    """Section 4.5. Returns (value, is_collision) or None."""
    for i, (k, value, coll, _) in enumerate(entries):
        if k > key:
            return None
        if k == key and coll is None:
            for k2, v2, c2, _ in entries[i + 1:]:
                if c2 is None:
                    break
                if c2 == name:
                    return v2, True
            return value, False
    return None


class IndexPage:
    def __init__(self, data, nonce):
        self.data = data
        error = None
        for order in ("<", ">"):
            fields = struct.unpack_from(order + "QQHH", data)
            error = self._check(fields[0], fields[3], nonce)
            if error is None:
                break
        need(error is None, error)
        self.big_endian = order == ">"
        _, self.vcn, self.first, self.count = fields
        self.last = self.first + self.count - 1

    def _start(self, i):
        return take_bits(self.data, 160 + 19 * i, 19)

    def _check(self, nonce, count, expected):
        if nonce != expected:
            return "index page nonce does not match"
        if count > (PAGE - 20) * 8 // 19:
            return "index page has too many lists"
        if self._start(0) != 160 + 19 * (count + 1):
            return "first delta list is at the wrong place"
        table = take_bits(self.data, 160, 19 * (count + 1))
        previous = 0
        for i in range(count + 1):
            here = (table >> (19 * i)) & 0x7FFFF
            if here < previous:
                return "delta lists out of order"
            previous = here
        if previous > (PAGE - 7) * 8:
            return "delta lists overlap the guard"
        if self.data[-7:] != b"\xff" * 7:
            return "guard bytes are wrong"
        return None

    def entries(self, list_number, geo):
        i = list_number - self.first
        start, end = self._start(i), self._start(i + 1)
        return list(decode_list(take_bits(self.data, start, end - start), end - start,
                                geo.payload_bits, geo.coding))


# ---------------------------------------------------------------------------
# Files and sequential readers

class Image:
    def __init__(self, path, base=0):
        self.base = base
        if path.endswith(".xz"):
            with lzma.open(path) as f:
                self.buffer = f.read()
            self.file = None
            self.size = len(self.buffer)
        else:
            self.file = open(path, "rb")
            self.size = os.fstat(self.file.fileno()).st_size
            if self.size == 0:
                self.size = self.file.seek(0, 2)
            self.buffer = None

    def read(self, offset, length):
        """Read device bytes; anything past the end of the image reads as zero."""
        offset -= self.base * BLOCK
        need(offset >= 0, "read before the start of the image")
        if self.buffer is not None:
            data = self.buffer[offset:offset + length]
        else:
            self.file.seek(offset)
            data = self.file.read(length)
        return data + bytes(length - len(data))


class Stream:
    def __init__(self, image, block, count):
        self.image, self.position = image, block * BLOCK
        self.end = self.position + count * BLOCK

    def take(self, length):
        need(self.position + length <= self.end, "read past the end of a region")
        data = self.image.read(self.position, length)
        self.position += length
        return data

    def unpack(self, fmt):
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))


class Region:
    def __init__(self, start, count, kind, instance):
        self.start, self.count, self.kind, self.instance = start, count, kind, instance

    def __str__(self):
        return "%-12s inst %-5s start %-10d blocks %d" % (
            KINDS.get(self.kind, self.kind), "-" if self.instance == SOLE else self.instance,
            self.start, self.count)

    def expect(self, start, kind, instance):
        need(self.start == start, "%s: start should be %d" % (self, start))
        need(self.kind == kind, "%s: kind should be %s" % (self, KINDS[kind]))
        need(self.instance == instance, "%s: wrong instance" % self)


class Table:
    def __init__(self, stream):
        magic, self.blocks, self.type, self.version, count, self.payload = \
            stream.unpack("<QQHHHH")
        need(magic == REGION_MAGIC, "region table magic is wrong")
        need(self.version == 1, "region table version is %d" % self.version)
        self.regions = []
        for _ in range(count):
            start, blocks, _, kind, instance = stream.unpack("<QQIHH")
            self.regions.append(Region(start, blocks, kind, instance))


# ---------------------------------------------------------------------------
# The index

class Save:
    def __init__(self, region):
        self.region = region
        self.state = "invalid"
        self.problem = None
        self.zones = 0
        self.timestamp = 0
        self.table = None


class ListData:
    __slots__ = ("size", "flush", "bits", "zone_low")

    def __init__(self):
        self.size = self.flush = self.bits = self.zone_low = 0


class SubIndex:
    def __init__(self, params):
        self.params = params
        self.lists = [ListData() for _ in range(params.lists)]
        self.low = self.high = 0
        self.zone_info = []
        self.records = self.collisions = 0

    def entries(self, n):
        data = self.lists[n]
        return list(decode_list(data.bits, data.size, self.params.chapter_bits,
                                self.params.coding))

    def chapter_of(self, value):
        return self.low + ((value - self.low) & ((1 << self.params.chapter_bits) - 1))

    def is_dead(self, n, value):
        """Would the lazy purge of section 5.6 remove this entry?"""
        span = 1 << self.params.chapter_bits
        flush = self.lists[n].flush
        return flush < self.low and (value - flush) % span < min(self.low - flush, span)

    def lookup(self, name):
        n, address = self.params.address(name)
        live = []
        promote = False
        for key, value, coll, at in self.entries(n):
            if self.is_dead(n, value):
                # Removing an ordinary entry turns a following collision into an ordinary one.
                promote = promote if coll is not None else True
                continue
            if coll is None:
                promote = False
            elif promote:
                coll, promote = None, False
            live.append((key, value, coll, at))
        found = search_list(live, address, name)
        if found is None:
            return None
        return self.chapter_of(found[0]), found[1]


class Index:
    def __init__(self, image, offset):
        self.image = image
        self.first = offset // BLOCK + image.base
        self._read_super()
        self._read_config()
        self._read_saves()
        self.loaded = None
        self.page_cache = {}

    # -- layout ------------------------------------------------------------

    def _read_super(self):
        table = Table(Stream(self.image, self.first, 1))
        stream = Stream(self.image, self.first, 1)
        stream.take(24 + 24 * len(table.regions))
        need(table.type == 1, "not a super block")
        self.table = table
        label, self.nonce_info = stream.take(32), stream.take(32)
        (self.primary, self.super_version, block_size, count, max_saves, _,
         self.open_chapter_blocks, self.page_map_blocks) = stream.unpack("<QIIHHIQQ")
        need(label == LABEL, "super block label is wrong")
        need(self.super_version in (3, 7), "super block version %d" % self.super_version)
        self.volume_offset = self.start_offset = 0
        if self.super_version == 7:
            self.volume_offset, self.start_offset = stream.unpack("<QQ")
        need(self.volume_offset >= self.start_offset, "inconsistent offsets")
        need(count == 1, "index count is %d" % count)
        need(nonce_hash(0xA1B1E0FC, self.nonce_info) == self.primary, "primary nonce is wrong")
        need(block_size == BLOCK, "block size is %d" % block_size)
        first = self.first - (self.volume_offset - self.start_offset)
        need(len(table.regions) == 5 + max_saves, "unexpected number of regions")
        r = table.regions
        r[0].expect(first, 1, SOLE)
        r[1].expect(first + 1, 100, SOLE)
        r[2].expect(first + 2, 101, 0)
        r[3].expect(first + 2, 201, SOLE)
        self.header, self.config_region, self.sub, self.volume = r[:4]
        at = first + 2 + self.volume.count + self.volume_offset
        self.saves = []
        for i in range(max_saves):
            r[4 + i].expect(at, 202, i)
            at += r[4 + i].count
            self.saves.append(Save(r[4 + i]))
        need(at - self.volume_offset == self.sub.start + self.sub.count,
             "saves do not fill the sub-index region")
        at = first + 2 + self.sub.count
        r[-1].expect(at + self.volume_offset, 102, SOLE)
        need(at + 1 == first + table.blocks, "table does not span the index")
        data = struct.pack("<QHHI", self.sub.start, 0, 0, 0)
        self.nonce = secondary_nonce(self.primary, data)
        if self.nonce == 0:
            self.nonce = secondary_nonce((~self.primary + 1) & M64, data)

    def _read_config(self):
        shift = self.volume_offset - self.start_offset
        stream = Stream(self.image, self.config_region.start + shift, 1)
        need(stream.take(5) == b"ALBIC", "config magic is wrong")
        self.config_version = stream.take(5)
        need(self.config_version in (b"06.02", b"08.02"), "config version is wrong")
        (pages, chapters, sparse, self.cache_chapters, _, mean, page_bytes, rate,
         self.user_nonce) = stream.unpack("<8IQ")
        remap = (0, 0)
        if self.config_version == b"08.02":
            remap = stream.unpack("<QQ")
        need(page_bytes == PAGE, "page size is %d" % page_bytes)
        need(self.cache_chapters == 7, "cache chapters is %d" % self.cache_chapters)
        need(mean == 4096, "volume index mean delta is %d" % mean)
        need(rate == (32 if sparse else 0), "sample rate is %d" % rate)
        self.geo = Geometry(pages, chapters, sparse, rate, remap[0], remap[1], mean)
        sizes = self.geo.sizes()
        if self.super_version == 3:
            need(self.volume.count == sizes["volume_blocks"], "volume size does not fit config")
            need(self.table.blocks == sizes["total_blocks"], "index size does not fit config")
            for save in self.saves:
                need(save.region.count == sizes["save_blocks"], "save size does not fit config")
        need(self.page_map_blocks >= sizes["page_map_blocks"], "page map does not fit")
        need(self.open_chapter_blocks == sizes["open_chapter_blocks"],
             "open chapter size does not fit config")

    def region_stream(self, region):
        return Stream(self.image, region.start - self.start_offset, region.count)

    def _read_saves(self):
        for save in self.saves:
            try:
                self._read_save(save)
            except Bad as e:
                save.problem = str(e)
        valid = [s for s in self.saves if s.state == "valid"]
        self.current = max(valid, key=lambda s: s.timestamp) if valid else None

    def _read_save(self, save):
        stream = self.region_stream(save.region)
        table = save.table = Table(stream)
        need(table.blocks == save.region.count, "wrong region block count")
        need(table.type in (2, 4), "wrong header type %d" % table.type)
        if table.type == 4:
            save.state = "unsaved"
            return
        need(table.payload == 64, "payload is %d bytes" % table.payload)
        save.timestamp, save.nonce, version, _ = stream.unpack("<QQII")
        signature, state_version, save.newest, save.oldest, save.last, _ = \
            stream.unpack("<iiQQQQ")
        need(version == 1, "save version %d" % version)
        need((signature, state_version) == (-1, 301), "state version %d" % state_version)
        regions = list(table.regions)
        need(len(regions) >= 4, "too few regions")
        save.free = regions.pop() if regions[-1].kind == 0 else None
        save.zones = len(regions) - 3
        need(1 <= save.zones <= MAX_ZONES, "%d zones" % save.zones)
        at = save.region.start
        order = [(1, SOLE), (301, SOLE)] + [(302, z) for z in range(save.zones)] + [(303, SOLE)]
        for region, (kind, instance) in zip(regions, order):
            region.expect(at, kind, instance)
            at += region.count
        if save.free:
            save.free.expect(at, 0, SOLE)
            at += save.free.count
        need(at == save.region.start + save.region.count, "regions do not fill the save")
        save.page_map = regions[1]
        save.vi = regions[2:-1]
        save.open = regions[-1]
        need(save.timestamp != 0, "zero timestamp")
        data = struct.pack("<QQIIQ", save.timestamp, 0, version, 0, save.region.start)
        need(secondary_nonce(self.nonce, data) == save.nonce, "save nonce is wrong")
        save.state = "valid"

    # -- contents of a save --------------------------------------------------

    def load(self, save):
        self.loaded = save
        self._load_open(save)
        self._load_volume_index(save)
        self._load_page_map(save)

    def _load_open(self, save):
        stream = self.region_stream(save.open)
        need(stream.take(5) == b"ALBOC",
             "open chapter magic is missing (save was discarded: rebuild needed)")
        need(stream.take(5) == b"02.00", "open chapter version")
        count, = stream.unpack("<I")
        need(count <= self.geo.records, "open chapter has %d records" % count)
        self.open_records = [(stream.take(16), stream.take(16)) for _ in range(count)]
        self.open_map = dict(self.open_records)
        need(len(self.open_map) == count, "duplicate names in the open chapter")

    def _load_volume_index(self, save):
        streams = [self.region_stream(r) for r in save.vi]
        if self.geo.sparse:
            for stream in streams:
                need(stream.take(8) == b"MI6-0001", "volume index magic")
                need(stream.unpack("<I")[0] == self.geo.sample_rate, "sample rate")
        self.subs = []
        for params in self.geo.subs:
            sub = SubIndex(params)
            self.subs.append(sub)
            self._load_sub_start(sub, streams, save)
        for sub in self.subs:
            self._load_sub_lists(sub, streams)
        self.vi_used = []
        for z, stream in enumerate(streams):
            guard = stream.take(8)
            need(guard[0] == 0x7A, "zone %d: guard tag is %r" % (z, guard[:1]))
            self.vi_used.append(stream.position - self.region_stream(save.vi[z]).position)

    def _load_sub_start(self, sub, streams, save):
        params = sub.params
        per_zone = ceil_div(params.lists, save.zones)
        for stream in streams:
            need(stream.take(8) == b"MI5-0005", "sub-index magic")
            nonce, low, high, first, count = stream.unpack("<QQQII")
            need(nonce == self.nonce, "sub-index nonce")
            need(first + count <= params.lists, "sub-index lists out of range")
            flush = struct.unpack("<%dQ" % count, stream.take(8 * count))
            need(stream.take(8) == b"DI-00002", "delta index magic")
            number, zones, dfirst, dcount, records, collisions = stream.unpack("<IIIIQQ")
            z = len(sub.zone_info)
            need(number == z and zones == save.zones, "delta index zone numbers")
            need(dfirst == z * per_zone == first, "first list of zone %d is %d" % (z, dfirst))
            need(dcount == count == min(per_zone, params.lists - first), "lists in zone")
            sizes = struct.unpack("<%dH" % count, stream.take(2 * count))
            for i in range(count):
                data = sub.lists[first + i]
                data.flush, data.size, data.zone_low = flush[i], sizes[i], low
                need(flush[i] <= high, "list %d: flush chapter above high" % (first + i))
            sub.zone_info.append(dict(low=low, high=high, first=first, count=count,
                                      records=records, collisions=collisions,
                                      used_bits=sum(sizes)))
            sub.records += records
            sub.collisions += collisions
        highs = {info["high"] for info in sub.zone_info}
        need(len(highs) == 1, "zones disagree about the newest chapter")
        sub.high = highs.pop()
        need(sub.high == save.newest, "volume index and save header disagree")
        sub.low = max(info["low"] for info in sub.zone_info)
        need(sub.collisions <= sub.records, "more collisions than records")

    def _load_sub_lists(self, sub, streams):
        for stream, info in zip(streams, sub.zone_info):
            for n in range(info["first"], info["first"] + info["count"]):
                data = sub.lists[n]
                if data.size == 0:
                    continue
                tag, shift, length, number = stream.unpack("<BBHI")
                need(tag == sub.params.tag, "list %d: tag %d" % (n, tag))
                need(number == n, "list %d found where list %d belongs" % (number, n))
                need(shift < 8 and length == (shift + data.size + 7) // 8,
                     "list %d: bad length" % n)
                data.bits = take_bits(stream.take(length), shift, data.size)

    def _load_page_map(self, save):
        stream = self.region_stream(save.page_map)
        need(stream.take(8) == b"ALBIPM02", "page map magic")
        self.map_update, = stream.unpack("<Q")
        self.map_width = self.geo.index_pages - 1
        count = self.geo.chapters * self.map_width
        self.map = struct.unpack("<%dH" % count, stream.take(2 * count))

    # -- volume -------------------------------------------------------------

    def page_offset(self, page):
        start = self.volume.start + self.volume_offset - self.start_offset
        return start * BLOCK + page * PAGE

    def chapter_page(self, chapter, number):
        key = (chapter, number)
        if key not in self.page_cache:
            if len(self.page_cache) > 2000:
                self.page_cache.clear()
            page = 1 + chapter * self.geo.pages_per_chapter + number
            self.page_cache[key] = self.image.read(self.page_offset(page), PAGE)
        return self.page_cache[key]

    def index_page(self, chapter, number):
        key = (chapter, number, "parsed")
        if key not in self.page_cache:
            self.page_cache[key] = IndexPage(self.chapter_page(chapter, number), self.nonce)
        return self.page_cache[key]

    def map_bounds(self, chapter, page):
        row = chapter * self.map_width
        low = 0 if page == 0 else self.map[row + page - 1] + 1
        high = self.map[row + page] if page < self.map_width else self.geo.lists - 1
        return low, high

    def page_for_list(self, chapter, number):
        row = chapter * self.map_width
        for page in range(self.map_width):
            if number <= self.map[row + page]:
                return page
        return self.map_width

    def search_record_page(self, data, name):
        node = 0
        while node < RECORDS_PER_PAGE:
            at = node * RECORD
            here = data[at:at + 16]
            if here == name:
                return data[at + 16:at + 32]
            node = 2 * node + (1 if name < here else 2)
        return None

    def search_chapter(self, vcn, name):
        """Returns metadata or None, using only what a lookup would use."""
        chapter = self.geo.physical_chapter(vcn)
        number, address = self.geo.chapter_list(name)
        p = self.page_for_list(chapter, number)
        page = self.index_page(chapter, p)
        need(page.vcn == vcn, "chapter %d holds VCN %d instead of %d"
             % (chapter, page.vcn, vcn))
        need((page.first, page.last) == self.map_bounds(chapter, p),
             "page map disagrees with chapter %d page %d" % (chapter, p))
        found = search_list(page.entries(number, self.geo), address, name)
        if found is None:
            return None
        need(found[0] < self.geo.record_pages, "record page number out of range")
        data = self.chapter_page(chapter, self.geo.index_pages + found[0])
        return self.search_record_page(data, name)

    def lookup(self, name, all_sparse=False):
        """Returns (metadata or None, explanation)."""
        save = self.loaded
        sample = self.geo.is_sample(name)
        sub = self.subs[1] if sample else self.subs[0]
        hint = sub.lookup(name)
        if hint is not None:
            vcn, exact = hint
            how = "%s list %d, VCN %d%s" % (sub.params.label, sub.params.address(name)[0], vcn,
                                            " (collision entry)" if exact else "")
            if vcn == save.newest:
                return self.open_map.get(name), how + ", open chapter"
            meta = self.search_chapter(vcn, name)
            if meta is not None:
                return meta, how + (", sparse" if self.geo.is_sparse_chapter(
                    vcn, save.oldest, save.newest) else ", dense")
            how += ", not in that chapter"
        else:
            how = "no volume index entry"
        if all_sparse and self.geo.sparse and not sample:
            for vcn in range(save.newest - 1, save.oldest - 1, -1):
                if self.geo.is_sparse_chapter(vcn, save.oldest, save.newest):
                    meta = self.search_chapter(vcn, name)
                    if meta is not None:
                        return meta, how + "; found in sparse chapter %d" % vcn
        return None, how

    def probe(self, chapter):
        """Section 10.3 step 1; returns the VCN or None."""
        expected, vcn = 0, None
        try:
            for p in range(self.geo.index_pages):
                page = self.index_page(chapter, p)
                if page.vcn == ALL_ONES or (vcn is not None and page.vcn != vcn):
                    return None
                vcn = page.vcn
                if page.first != expected:
                    return None
                expected = page.first + page.count
                for n in range(page.first, expected):
                    for _, value, _, _ in page.entries(n, self.geo):
                        if value >= self.geo.record_pages:
                            return None
        except Bad:
            return None
        return vcn if self.geo.physical_chapter(vcn) == chapter else None

    def quick_vcn(self, chapter):
        try:
            return self.index_page(chapter, 0).vcn
        except Bad:
            return None

    def check_chapter(self, chapter):
        """Full consistency check; returns a dictionary of findings."""
        geo = self.geo
        vcn = self.probe(chapter)
        need(vcn is not None, "chapter %d is bad" % chapter)
        found = entries = collisions = copies = 0
        names = {}
        for k in range(geo.record_pages):
            data = self.chapter_page(chapter, geo.index_pages + k)
            order = []
            stack, node = [], 0
            while stack or node < RECORDS_PER_PAGE:
                while node < RECORDS_PER_PAGE:
                    stack.append(node)
                    node = 2 * node + 1
                node = stack.pop()
                order.append(data[node * RECORD:node * RECORD + 16])
                node = 2 * node + 2
            need(order == sorted(order), "record page %d of chapter %d is not sorted"
                 % (k, chapter))
            for name in order:
                if name in names:
                    copies += 1
                else:
                    names[name] = k
        lists = {}
        for p in range(geo.index_pages):
            page = self.index_page(chapter, p)
            for n in range(page.first, page.first + page.count):
                lists[n] = page.entries(n, geo)
                entries += len(lists[n])
                collisions += sum(1 for e in lists[n] if e[2] is not None)
        need(sorted(lists) == list(range(geo.lists)), "chapter %d lacks lists" % chapter)
        for name, k in names.items():
            number, address = geo.chapter_list(name)
            hit = search_list(lists[number], address, name)
            if hit is not None:
                data = self.chapter_page(chapter, geo.index_pages + hit[0])
                if self.search_record_page(data, name) is not None:
                    found += 1
        return dict(vcn=vcn, names=len(names), copies=copies, entries=entries,
                    collisions=collisions, found=found)


# ---------------------------------------------------------------------------
# Golden files: names and metadata are generated from a number

def golden_name(i):
    return murmur3(struct.pack("<Q", i), 0)


def golden_data(i, generation):
    return struct.pack("<QH", i, generation) + b"GOLDEN"


def check_expect(index, path, step, out):
    checks = failures = 0

    def verify(name, expected, text):
        nonlocal checks, failures
        checks += 1
        meta, how = index.lookup(name)
        if meta != expected:
            failures += 1
            if failures <= 20:
                out("  MISMATCH %s: got %s (%s)" % (text, meta.hex() if meta else None, how))

    with open(path) as f:
        for line in f:
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "range":
                low, high = int(words[1]), int(words[2])
                for i in range(low, high):
                    if i % step == 0 or high - low == 1:
                        data = golden_data(i, int(words[4])) if words[3] == "found" else None
                        verify(golden_name(i), data, str(i))
            elif words[0] == "name":
                data = bytes.fromhex(words[3]) if words[2] == "found" else None
                verify(bytes.fromhex(words[1]), data, words[1])
            elif words[0] == "blocks":
                low, high, pbn = int(words[1]), int(words[2]), int(words[3])
                for k in range(low, high):
                    if k % step == 0:
                        block = struct.pack("<Q", 1000000 + k) * 512
                        data = struct.pack("<BBQ6x", 2, 1, pbn + k - low)
                        verify(murmur3(block, 0x62EA60BE), data, "block %d" % k)
    out("expectations: %d checked, %d failed" % (checks, failures))
    return failures == 0


# ---------------------------------------------------------------------------

def vdo_index_offset(image):
    head = image.read(image.base * BLOCK, 4096)
    if head[:8] == b"dmvdo001":
        # Volume geometry block: major version at 12; version 5 has the bio offset at 56 and
        # the start of region 0 (the index) at 68, version 4 has the latter at 60.
        if struct.unpack_from("<I", head, 12)[0] >= 5:
            bio_offset, = struct.unpack_from("<Q", head, 56)
            start, = struct.unpack_from("<Q", head, 68)
            return (start - bio_offset) * BLOCK
        return struct.unpack_from("<Q", head, 60)[0] * BLOCK
    return 0


def describe(index, out):
    geo = index.geo
    out("super block: version %d at block %d, %d blocks in total, primary nonce %016x"
        % (index.super_version, index.first, index.table.blocks, index.primary))
    out("  nonce info %s" % index.nonce_info.hex())
    if index.super_version == 7:
        out("  volume offset %d, start offset %d" % (index.volume_offset, index.start_offset))
    out("volume nonce: %016x" % index.nonce)
    out("config %s: %d record pages/chapter, %d chapters (%d sparse), nonce %016x"
        % (index.config_version.decode(), geo.record_pages, geo.chapters, geo.sparse_chapters,
           index.user_nonce))
    out("  chapter: %d records, %d index pages, %d lists, %d address bits, %d payload bits"
        % (geo.records, geo.index_pages, geo.lists, geo.address_bits, geo.payload_bits))
    for s in geo.subs:
        out("  volume index %-7s: %d lists, %d chapter bits, mean %d, code %s, memory %d"
            % (s.label, s.lists, s.chapter_bits, s.mean, "/".join(map(str, s.coding)), s.memory))
    out("regions:")
    for r in index.table.regions:
        out("  " + str(r))
    for i, save in enumerate(index.saves):
        mark = " <- current" if save is index.current else ""
        out("save %d: %s%s%s" % (i, save.state, ": " + save.problem if save.problem else "", mark))
        if save.table:
            for r in save.table.regions:
                out("    " + str(r))
        if save.state == "valid":
            last = "none" if save.last == ALL_ONES else save.last
            out("  time %d ms, nonce %016x, %d zones, newest %d, oldest %d, last save %s"
                % (save.timestamp, save.nonce, save.zones, save.newest, save.oldest, last))


def describe_loaded(index, out):
    out("open chapter: %d records" % len(index.open_records))
    for sub in index.subs:
        out("volume index %s: %d records, %d collisions, chapters %d..%d"
            % (sub.params.label, sub.records, sub.collisions, sub.low, sub.high))
        for z, info in enumerate(sub.zone_info):
            out("  zone %d: lists %d..%d, %d records, %d collisions, low %d, %d bits used of %d"
                % (z, info["first"], info["first"] + info["count"] - 1, info["records"],
                   info["collisions"], info["low"], info["used_bits"],
                   sub.params.max_zone_bits(len(sub.zone_info))))
    out("volume index stream bytes per zone: %s" % ", ".join(map(str, index.vi_used)))
    out("page map: last update %d" % index.map_update)


def deep_check(index, out):
    ok = True
    for sub in index.subs:
        total = collisions = dead = 0
        for n in range(sub.params.lists):
            if sub.lists[n].size == 0:
                continue
            previous = -1
            for key, value, name, _ in sub.entries(n):
                need(key < 1 << sub.params.address_bits, "list %d: key too large" % n)
                need(key > previous or name is not None, "list %d: keys out of order" % n)
                previous = key
                total += 1
                collisions += name is not None
                if name is not None:
                    need(sub.params.address(name) == (n, key),
                         "list %d: collision name does not belong here" % n)
                dead += sub.is_dead(n, value)
        good = (total, collisions) == (sub.records, sub.collisions)
        ok &= good
        out("volume index %s: decoded %d entries, %d collisions, %d expired%s"
            % (sub.params.label, total, collisions, dead,
               "" if good else " (header says %d, %d)" % (sub.records, sub.collisions)))
        # Every zone count must leave room for what is stored (section 4.6).
        for zones in (1, 2, 3, 4, 8, 16):
            per = ceil_div(sub.params.lists, zones)
            worst = max(sum((7 + sub.lists[n].size + 7) // 8
                            for n in range(z * per, min(sub.params.lists, (z + 1) * per))) + 7
                        for z in range(zones))
            need(worst <= sub.params.zone_memory(zones), "does not fit with %d zones" % zones)
    save = index.loaded
    for vcn in range(save.oldest, save.newest):
        chapter = index.geo.physical_chapter(vcn)
        info = index.check_chapter(chapter)
        need(info["vcn"] == vcn, "chapter %d should hold VCN %d" % (chapter, vcn))
        for p in range(index.geo.index_pages):
            page = index.index_page(chapter, p)
            need((page.first, page.last) == index.map_bounds(chapter, p), "page map mismatch")
        out("chapter %d (physical %d): %d names, %d copies, %d entries, %d collisions, "
            "%d found through its index" % (vcn, chapter, info["names"], info["copies"],
                                            info["entries"], info["collisions"], info["found"]))
        ok &= info["found"] == info["names"]
    missing = sum(1 for name, data in index.open_records if index.lookup(name)[0] != data)
    out("open chapter: %d of %d records reachable through the volume index"
        % (len(index.open_records) - missing, len(index.open_records)))
    return ok and missing == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?")
    parser.add_argument("--offset", type=lambda s: int(s, 0))
    parser.add_argument("--base", type=lambda s: int(s, 0), default=0)
    parser.add_argument("--lookup", action="append", default=[])
    parser.add_argument("--all-sparse", action="store_true")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--chapters", action="store_true")
    parser.add_argument("--list", dest="dump_list")
    parser.add_argument("--page", dest="dump_page")
    parser.add_argument("--expect")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--geometry", type=int)
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    if args.geometry is not None:
        geo = geometry_for_code(args.geometry, args.sparse)
        info = {k: v for k, v in vars(geo).items() if k != "subs"}
        info["sub_indexes"] = [vars(s) for s in geo.subs]
        info["sizes"] = geo.sizes()
        print(json.dumps(info, indent=1))
        return 0
    if not args.image:
        parser.error("IMAGE is required")

    image = Image(args.image, args.base)
    offset = args.offset if args.offset is not None else vdo_index_offset(image)
    index = Index(image, offset)
    if args.json:
        print(json.dumps(dict(
            first_block=index.first, volume_nonce="%016x" % index.nonce,
            user_nonce="%016x" % index.user_nonce, chapters=index.geo.chapters,
            sparse_chapters=index.geo.sparse_chapters, record_pages=index.geo.record_pages,
            saves=[dict(state=s.state, problem=s.problem, timestamp=s.timestamp, zones=s.zones)
                   for s in index.saves],
            current=index.saves.index(index.current) if index.current else None), indent=1))
    else:
        describe(index, print)

    ok = True
    if args.chapters:
        shown = 0
        for chapter in range(index.geo.chapters):
            if index.quick_vcn(chapter) is None:
                continue
            vcn = index.probe(chapter)
            print("physical chapter %d: %s" % (chapter, "bad" if vcn is None else "VCN %d" % vcn))
            shown += 1
        print("%d chapters with a matching nonce" % shown)
    if args.dump_page:
        c, p = map(int, args.dump_page.split(":"))
        page = index.index_page(c, p)
        print("chapter %d page %d: VCN %d, lists %d..%d" % (c, p, page.vcn, page.first, page.last))
        for n in range(page.first, page.first + min(page.count, 8)):
            print("  list %d: bits %d..%d" % (n, page._start(n - page.first),
                                             page._start(n - page.first + 1)))
            for key, value, name, at in page.entries(n, index.geo)[:100]:
                print("    +%-5d key %-8d page %-4d %s" % (at, key, value,
                                                         name.hex() if name else ""))
    if index.current is None:
        print("no valid save: the index would be rebuilt")
        return 1
    try:
        index.load(index.current)
    except Bad as e:
        print("newest save cannot be loaded (%s): the index would be rebuilt" % e)
        return 1
    if not args.json:
        describe_loaded(index, print)
    if args.dump_list:
        label, n = args.dump_list.split(":")
        n = int(n)
        for sub in index.subs:
            if sub.params.label == label:
                data = sub.lists[n]
                print("%s list %d: %d bits, flush chapter %d: %s" % (
                    label, n, data.size, data.flush,
                    data.bits.to_bytes((data.size + 7) // 8, "little").hex()))
                for key, value, name, at in sub.entries(n):
                    print("  +%-5d key %-8d value %-5d chapter %-6d %s%s" % (
                        at, key, value, sub.chapter_of(value), name.hex() if name else "",
                        " expired" if sub.is_dead(n, value) else ""))
    if args.deep:
        ok &= deep_check(index, print)
    for text in args.lookup:
        name = bytes.fromhex(text)
        need(len(name) == 16, "a name has 16 bytes")
        meta, how = index.lookup(name, args.all_sparse)
        print("%s: %s (%s)" % (text, meta.hex() if meta is not None else "not found", how))
        ok &= meta is not None
    if args.expect:
        ok &= check_expect(index, args.expect, args.step, print)
    return 0 if ok else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Bad as error:
        print("invalid: %s" % error, file=sys.stderr)
        sys.exit(1)

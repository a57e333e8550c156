#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Inspect dm-vdo volumes, independently of any other implementation.

    vdo_inspect.py IMAGE [--json] [--slabs]
        Print geometry, super block, layout, slab summary and journal state.
    vdo_inspect.py IMAGE --read LBN [COUNT] [-o FILE]
        Print (or extract to FILE) logical blocks, found through the block map.
    vdo_inspect.py IMAGE --map LBN [COUNT]
        Print where logical blocks are mapped to.
    vdo_inspect.py IMAGE --journal
        Print all entries of the recovery journal that a recovery would look at.
    vdo_inspect.py IMAGE --audit
        Check the block map, reference counts, slab journals and counters
        against each other.

    --replay   Apply the recovery journal (in memory) first, the way recovery of
               a volume that was not shut down cleanly does.

IMAGE is only ever read.  The exit status is 1 if a structure is damaged or the
audit found a difference.  Section numbers are those of
doc/format.md (V).
"""

import argparse
import json
import os
import struct
import sys
import zlib

BLOCK = 4096
SECTOR = 512

# Section 3.2
STATES = ["dirty", "new", "clean", "read-only", "force-rebuild", "recovering",
          "replaying", "rebuild-for-upgrade"]
STATE_NEW = 1
PARTITIONS = {0: "block_map", 1: "slab_depot", 2: "recovery_journal",
              3: "slab_summary"}

# Section 5
ENTRIES_PER_PAGE = 812
TREE_LEVELS = 5
UNMAPPED, UNCOMPRESSED, FIRST_COMPRESSED = 0, 1, 2

# Section 6
JOURNAL_SECTOR_ENTRIES = 31
JOURNAL_BLOCK_ENTRIES = 7 * JOURNAL_SECTOR_ENTRIES
JOURNAL_TYPE, OLD_JOURNAL_TYPE, SLAB_JOURNAL_TYPE = 3, 1, 2
OLD_JOURNAL_BLOCK_ENTRIES = 311

# Section 7
COUNTS_PER_SECTOR = 504
COUNTS_PER_BLOCK = 8 * COUNTS_PER_SECTOR
BLOCK_MAP_COUNT, PROVISIONAL_COUNT = 254, 255
MAX_SLABS = 8192
SUMMARY_ZONES = 16
SUMMARY_ZONE_BLOCKS = 4
SLAB_JOURNAL_ENTRIES = 1353
SLAB_JOURNAL_FULL_ENTRIES = 1299

# Section 8
COMPRESSED_HEADER, COMPRESSED_SLOTS = 36, 14
COMPRESSED_DATA = BLOCK - COMPRESSED_HEADER


class FormatError(Exception):
    """Something on disk is not as it must be."""


def vdo_crc32(data):
    """Section 1: CRC-32 with an initial register of 0."""
    return zlib.crc32(data, 0xFFFFFFFF)


def ceil_div(a, b):
    return -(-a // b)


def unpack_mapping(raw, at):
    """Section 5.2: (PBN, state) from five bytes."""
    return ((raw[at] >> 4) << 32 | int.from_bytes(raw[at + 1:at + 5], "little"),
            raw[at] & 0xF)


def unpack_point(value):
    """Section 7.1: (sequence, entry) from a packed journal point."""
    return value >> 16, value & 0xFFFF


def lz4_decompress(source, expected):
    """Decompress a raw LZ4 block that expands to exactly `expected` bytes."""
    out = bytearray()
    at, end = 0, len(source)

    def length(initial):
        nonlocal at
        total = initial
        if initial == 15:
            while True:
                byte = source[at]
                at += 1
                total += byte
                if byte != 255:
                    break
        return total

    try:
        while at < end:
            token = source[at]
            at += 1
            literals = length(token >> 4)
            if at + literals > end:
                raise FormatError("LZ4 literals run past the fragment")
            out += source[at:at + literals]
            at += literals
            if at == end:
                break  # the last sequence has literals only
            distance = source[at] | source[at + 1] << 8
            at += 2
            match = length(token & 15) + 4
            start = len(out) - distance
            if distance == 0 or start < 0:
                raise FormatError("LZ4 match starts before the data")
            if len(out) + match > expected:
                raise FormatError("LZ4 fragment is too long")
            for i in range(match):  # source and destination may overlap
                out.append(out[start + i])
    except IndexError:
        raise FormatError("LZ4 fragment is truncated") from None
    if len(out) != expected:
        raise FormatError(f"LZ4 fragment has {len(out)} bytes, not {expected}")
    return bytes(out)


def index_blocks(memory, sparse):
    """Section 2.2: blocks of the index region, or None for a bad code."""
    code = memory - (1 << 32) if memory >= 1 << 31 else memory

    def bits(n):
        return max(1, n.bit_length())

    def delta_size(entries, mean, payload):
        keys = (836158 * mean + 603160) // 1206321
        return entries * (payload + bits(keys + 1) + 1) + entries // 2

    reduced = False
    if code in (-256, -512, -768):
        base, pages = 1024, 64 * (-code // 256)
    elif code in (-1280, -1536, -1792):
        base, pages, reduced = 1024, 64 * ((-code - 1024) // 256), True
    elif 1 <= code <= 1024:
        base, pages = 1024 * code, 256
    elif 4097 <= code <= 5120:
        base, pages, reduced = 1024 * (code - 4096), 256, True
    else:
        return None
    sparse_chapters = 0
    if sparse:
        sparse_chapters = 19 * base // 2
        base *= 10
    chapters = base - reduced
    records = 1024 * pages

    lists = 1 << (bits((records - 1) | 63) - 6)
    chapter_bits = delta_size(records, 65536, bits(pages - 1))
    page_bits = (32768 - 20) * 8 - 19 - chapter_bits // lists
    index_pages = ceil_div(chapter_bits + 19 * lists, page_bits)
    volume = 8 * ((index_pages + pages) * chapters + 1)

    def part(per_chapter, count):
        count += count & 1
        delta_lists = max(per_chapter * count // 256, 256)
        covered = count + max(count // 256, 2)
        mean = (delta_lists << 20) // (per_chapter * covered)
        size = delta_size(per_chapter, mean, bits(count - 1)) * covered // 8
        return 80 + 17 * delta_lists + ceil_div(size * 106 // 100, 65536) * 65536

    if sparse:
        hooks = records // 32
        saved = (12 + part(hooks, chapters) +
                 part(records - hooks, chapters - sparse_chapters))
    else:
        saved = part(records, chapters)
    save = (1 + ceil_div(saved + 8, BLOCK) + 16 +
            ceil_div(16 + 2 * chapters * (index_pages - 1), BLOCK) +
            ceil_div(14 + 32 * records, BLOCK))
    return 3 + volume + 2 * save


def slab_config(slab_size, journal):
    """Section 4.3."""
    reference = ceil_div(slab_size - journal, COUNTS_PER_BLOCK)
    data = slab_size - journal - reference
    if slab_size < 1024:
        data = 1 << (data.bit_length() - 1)
    flushing = (3 * journal + 3) // 4
    blocking = flushing + 5 * (journal - flushing) // 7
    scrubbing = journal - 2 if journal > 2 else blocking
    return {
        "slab_blocks": slab_size,
        "data_blocks": data,
        "reference_count_blocks": reference,
        "slab_journal_blocks": journal,
        "flushing_threshold": flushing,
        "blocking_threshold": min(blocking, scrubbing),
        "scrubbing_threshold": scrubbing,
    }


class Reader:
    """A little-endian cursor over bytes."""

    def __init__(self, raw, at=0):
        self.raw, self.at = raw, at

    def take(self, code):
        value, = struct.unpack_from("<" + code, self.raw, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def header(self, name, component, version, size=None, minimum=None):
        """Section 1: read and check a component header."""
        got = (self.take("I"), self.take("I"), self.take("I"))
        length = self.take("Q")
        if got != (component, version, 0):
            raise FormatError(f"{name}: header id, version are {got}, "
                              f"not {(component, version, 0)}")
        if (size is not None and length != size) or (minimum or 0) > length:
            raise FormatError(f"{name}: header size is {length}")
        return length

    def version(self, name, major, minor):
        got = (self.take("I"), self.take("I"))
        if got != (major, minor):
            raise FormatError(f"{name}: version is {got[0]}.{got[1]}, "
                              f"not {major}.{minor}")


class Volume:
    """A VDO volume in a file or block device, opened for reading."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.file.seek(0, os.SEEK_END)
        self.device_blocks = self.file.tell() // BLOCK
        self.warnings = []
        self.bio_offset = 0
        self.pages = {}
        self.geometry = self._parse_geometry(self.read_raw(0))
        self.bio_offset = self.geometry["bio_offset"]
        self.super = self._parse_super_block(
            self.read(self.geometry["data_region"]))
        self.nonce = self.geometry["nonce"]
        self._check_configuration()
        self.summary = None

    # Reading blocks

    def read_raw(self, block, count=1):
        self.file.seek(block * BLOCK)
        data = self.file.read(count * BLOCK)
        if len(data) != count * BLOCK:
            raise FormatError(f"cannot read {count} blocks at {block}")
        return data

    def read(self, pbn, count=1):
        return self.read_raw(pbn - self.bio_offset, count)

    # Section 2

    def _parse_geometry(self, raw):
        if raw[:8] != b"dmvdo001":
            raise FormatError("geometry block: no VDO magic")
        major, = struct.unpack_from("<I", raw, 12)
        reader = Reader(raw, 8)
        if major <= 4:
            length = reader.header("geometry block", 5, 4, size=93)
        else:
            length = reader.header("geometry block", 5, 5, size=101)
        geometry = {"version": major}
        geometry["unused"] = reader.take("I")
        geometry["nonce"] = reader.take("Q")
        uuid = reader.take("16s").hex()
        geometry["uuid"] = "-".join((uuid[:8], uuid[8:12], uuid[12:16],
                                     uuid[16:20], uuid[20:]))
        geometry["bio_offset"] = reader.take("Q") if major > 4 else 0
        ids = []
        for name in ("index_region", "data_region"):
            ids.append(reader.take("I"))
            geometry[name] = reader.take("Q")
        if ids != [0, 1]:
            self.warnings.append(f"geometry block: region ids are {ids}")
        geometry["index_memory"] = reader.take("I")
        reader.take("I")
        geometry["index_sparse"] = bool(reader.take("B"))
        stored = reader.take("I")
        if reader.at != length:
            raise FormatError("geometry block: wrong length")
        if stored != vdo_crc32(raw[:length - 4]):
            raise FormatError("geometry block: wrong checksum")
        geometry["checksum"] = stored
        geometry["index_blocks"] = (geometry["data_region"] -
                                    geometry["index_region"])
        geometry["index_blocks_needed"] = index_blocks(
            geometry["index_memory"], geometry["index_sparse"])
        return geometry

    # Section 3

    def _parse_super_block(self, raw):
        reader = Reader(raw)
        length = reader.header("super block", 0, 12, minimum=4)
        if length > 418:
            raise FormatError(f"super block: header size is {length}")
        stored, = struct.unpack_from("<I", raw, 434)
        if stored != vdo_crc32(raw[:434]):
            raise FormatError("super block: wrong checksum")
        found = {"unused": reader.take("I")}
        reader.version("volume", 67, 0)
        reader.version("VDO component", 41, 0)
        state = reader.take("I")
        found["state"] = state
        found["state_name"] = (STATES[state] if state < len(STATES)
                               else f"unknown-{state}")
        for name in ("complete_recoveries", "read_only_recoveries",
                     "logical_blocks", "physical_blocks", "slab_size",
                     "recovery_journal_size", "slab_journal_blocks", "nonce"):
            found[name] = reader.take("Q")

        reader.header("layout", 1, 3, minimum=117)
        layout = {"first_free": reader.take("Q"), "last_free": reader.take("Q")}
        count = reader.take("B")
        if count > 4:
            raise FormatError(f"layout: {count} partitions")
        layout["partitions"] = partitions = {}
        for _ in range(count):
            identity = reader.take("B")
            offset = reader.take("Q")
            reader.take("Q")
            name = PARTITIONS.get(identity, f"partition-{identity}")
            partitions[name] = {"offset": offset, "count": reader.take("Q")}
        if sorted(partitions) != sorted(PARTITIONS.values()):
            raise FormatError(f"layout: partitions are {sorted(partitions)}")
        found["layout"] = layout

        reader.header("recovery journal state", 2, 7, size=24)
        found["recovery_journal"] = {
            "journal_start": reader.take("Q"),
            "logical_blocks_used": reader.take("Q"),
            "block_map_data_blocks": reader.take("Q"),
        }
        reader.header("slab depot state", 3, 2, size=73)
        found["slab_config"] = {
            name: reader.take("Q")
            for name in ("slab_blocks", "data_blocks", "reference_count_blocks",
                         "slab_journal_blocks", "flushing_threshold",
                         "blocking_threshold", "scrubbing_threshold")
        }
        found["slab_depot"] = {
            "first_block": reader.take("Q"),
            "last_block": reader.take("Q"),
            "zone_count": reader.take("B"),
        }
        reader.header("block map state", 4, 2, size=32)
        found["block_map"] = {
            name: reader.take("Q")
            for name in ("flat_page_origin", "flat_page_count", "root_origin",
                         "root_count")
        }
        if reader.at != 434:
            raise FormatError("super block: wrong length")
        found["checksum"] = stored
        return found

    def _check_configuration(self):
        """Sections 3.1, 4: what a driver refuses is an error, the rest not."""
        super_block, slab = self.super, self.super["slab_config"]
        if super_block["nonce"] != self.nonce:
            raise FormatError("super block and geometry nonces differ")
        block_map = super_block["block_map"]
        if (block_map["flat_page_origin"], block_map["flat_page_count"]) != (1, 0):
            raise FormatError("block map: bad flat page fields")
        size = super_block["slab_size"]
        journal = super_block["recovery_journal_size"]
        for name, value in (("slab size", size), ("recovery journal", journal),
                            ("slab_blocks", slab["slab_blocks"])):
            if value == 0 or value & (value - 1):
                raise FormatError(f"{name} is {value}, not a power of two")
        if size > 1 << 23:
            raise FormatError(f"slab size is {size}")
        if not 0 < super_block["physical_blocks"] <= 1 << 36:
            raise FormatError("bad physical size")
        if super_block["logical_blocks"] > 1 << 40:
            raise FormatError("bad logical size")
        partitions = super_block["layout"]["partitions"]
        total = (self.geometry["data_region"] + 1 +
                 sum(part["count"] for part in partitions.values()))
        if total != super_block["physical_blocks"]:
            raise FormatError(f"layout covers {total} blocks, "
                              f"not {super_block['physical_blocks']}")

        if self.device_blocks < super_block["physical_blocks"]:
            self.warnings.append("device is smaller than the volume")
        if size != slab["slab_blocks"]:
            self.warnings.append("configured and real slab size differ")
        if slab != slab_config(size, super_block["slab_journal_blocks"]):
            self.warnings.append("slab configuration is not the usual one")
        needed = self.geometry["index_blocks_needed"]
        if needed is not None and needed != self.geometry["index_blocks"]:
            self.warnings.append(f"index region has {self.geometry['index_blocks']}"
                                 f" blocks, the index needs {needed}")

        depot = super_block["slab_depot"]
        self.first_block = depot["first_block"]
        self.slab_blocks = slab["slab_blocks"]
        self.data_blocks = slab["data_blocks"]
        self.slab_count = ((depot["last_block"] - self.first_block) //
                           self.slab_blocks)
        self.root_origin = block_map["root_origin"]
        self.root_count = block_map["root_count"]
        self.logical_blocks = super_block["logical_blocks"]
        if not 0 < self.slab_count <= MAX_SLABS:
            raise FormatError(f"there are {self.slab_count} slabs")

    # Section 4.2

    def slab_of(self, pbn):
        """(slab, offset) of a data block, or None."""
        if pbn < self.first_block:
            return None
        slab, offset = divmod(pbn - self.first_block, self.slab_blocks)
        if slab >= self.slab_count or offset >= self.data_blocks:
            return None
        return slab, offset

    def valid_mapping(self, mapping):
        """Section 5.2, for leaf entries."""
        pbn, state = mapping
        if pbn == 0:
            return state <= UNCOMPRESSED
        return state != UNMAPPED and self.slab_of(pbn) is not None

    # Section 5

    def page(self, pbn):
        """The bytes of a block map page, or None for an empty one."""
        if pbn not in self.pages:
            if len(self.pages) > 20000:
                self.pages = {key: value for key, value in self.pages.items()
                              if isinstance(value, bytearray)}
            raw = self.read(pbn)
            major, minor, nonce, own = struct.unpack_from("<IIQQ", raw)
            if (major, minor, nonce) != (4, 1, self.nonce) or not raw[32]:
                raw = None
            elif own != pbn:
                raise FormatError(f"block map page {pbn} says it is {own}")
            self.pages[pbn] = raw
        return self.pages[pbn]

    def set_entry(self, pbn, slot, packed):
        """Change a block map entry, in memory only."""
        page = self.page(pbn)
        if not isinstance(page, bytearray):
            page = bytearray(page if page is not None else bytes(BLOCK))
            struct.pack_into("<IIQQ", page, 0, 4, 1, self.nonce, pbn)
            page[32] = 1
            self.pages[pbn] = page
        page[36 + 5 * slot:41 + 5 * slot] = packed

    def entry(self, pbn, slot):
        page = self.page(pbn)
        return (0, UNMAPPED) if page is None else unpack_mapping(page, 36 + 5 * slot)

    def lookup(self, lbn):
        """Section 5.3: the mapping of a logical block and its leaf page."""
        if lbn >= self.logical_blocks:
            raise FormatError(f"logical block {lbn} is past the end")
        leaf, slot = divmod(lbn, ENTRIES_PER_PAGE)
        number, root = divmod(leaf, self.root_count)
        slots = [slot]
        for _ in range(TREE_LEVELS - 1):
            number, slot = divmod(number, ENTRIES_PER_PAGE)
            slots.append(slot)
        pbn = self.root_origin + root
        for level in range(TREE_LEVELS - 1, 0, -1):
            pbn, state = self.entry(pbn, slots[level])
            if (pbn, state) == (0, UNMAPPED):
                return (0, UNMAPPED), 0
            if state != UNCOMPRESSED or self.slab_of(pbn) is None:
                raise FormatError(f"logical block {lbn}: bad level {level} entry "
                                  f"({pbn}, {state})")
        return self.entry(pbn, slots[0]), pbn

    def walk(self, on_page, on_leaf_entry):
        """Visit every allocated tree page and every mapped leaf entry."""

        def visit(pbn, level, number, root):
            page = self.page(pbn)
            if page is None or page.count(0, 36) == BLOCK - 36:
                return
            for slot in range(ENTRIES_PER_PAGE):
                mapping = unpack_mapping(page, 36 + 5 * slot)
                if mapping == (0, UNMAPPED):
                    continue
                index = number * ENTRIES_PER_PAGE + slot
                if level == 0:
                    leaf = number * self.root_count + root
                    on_leaf_entry(leaf * ENTRIES_PER_PAGE + slot, mapping)
                elif mapping[1] != UNCOMPRESSED or not self.slab_of(mapping[0]):
                    raise FormatError(f"page {pbn} slot {slot}: bad entry {mapping}")
                else:
                    on_page(mapping[0], level - 1)
                    visit(mapping[0], level - 1, index, root)

        for root in range(self.root_count):
            visit(self.root_origin + root, TREE_LEVELS - 1, 0, root)

    def read_logical(self, lbn):
        """The contents of a logical block."""
        mapping, _ = self.lookup(lbn)
        pbn, state = mapping
        if not self.valid_mapping(mapping):
            raise FormatError(f"logical block {lbn} has the invalid mapping {mapping}")
        if pbn == 0:
            return bytes(BLOCK)
        raw = self.read(pbn)
        if state == UNCOMPRESSED:
            return raw
        return self.fragment(raw, state - FIRST_COMPRESSED)

    @staticmethod
    def fragment(raw, slot):
        """Section 8: decompress a fragment of a compressed block."""
        if struct.unpack_from("<II", raw) != (1, 0):
            raise FormatError("compressed block: bad version")
        sizes = struct.unpack_from(f"<{COMPRESSED_SLOTS}H", raw, 8)
        offset = sum(sizes[:slot])
        if offset >= COMPRESSED_DATA or offset + sizes[slot] > COMPRESSED_DATA:
            raise FormatError("compressed block: bad fragment sizes")
        start = COMPRESSED_HEADER + offset
        return lz4_decompress(raw[start:start + sizes[slot]], BLOCK)

    # Sections 7.3 and 7.4

    def slab_summary(self):
        """The merged summary entries of all 8192 slabs."""
        if self.summary is None:
            partition = self.super["layout"]["partitions"]["slab_summary"]
            raw = self.read(partition["offset"], SUMMARY_ZONES * SUMMARY_ZONE_BLOCKS)
            zones = self.super["slab_depot"]["zone_count"]
            self.summary = []
            for slab in range(MAX_SLABS):
                zone = slab % zones if zones > 1 else 0
                at = zone * SUMMARY_ZONE_BLOCKS * BLOCK + 2 * slab
                self.summary.append({
                    "tail_offset": raw[at],
                    "hint": raw[at + 1] & 0x3F,
                    "load": bool(raw[at + 1] & 0x40),
                    "dirty": bool(raw[at + 1] & 0x80),
                })
        return self.summary

    def initial_summary(self):
        shift = max(0, self.slab_blocks.bit_length() - 1 - 6)
        return {"tail_offset": 0, "hint": max(1, self.data_blocks >> shift),
                "load": False, "dirty": False}

    # Section 7.2

    def slab_journal_block(self, slab, index):
        config = self.super["slab_config"]
        raw = self.read(self.first_block + slab * self.slab_blocks +
                        config["data_blocks"] + config["reference_count_blocks"] +
                        index)
        head, sequence, point, nonce, kind, full, count = struct.unpack_from(
            "<QQQQBBH", raw)
        return {"head": head, "sequence": sequence, "recovery_point":
                unpack_point(point), "full": bool(full), "count": count,
                "ours": nonce == self.nonce and kind == SLAB_JOURNAL_TYPE,
                "raw": raw}

    @staticmethod
    def slab_journal_entries(block):
        """(slab offset, increment?, block map?) of each entry."""
        raw = block["raw"]
        for i in range(block["count"]):
            low, middle, high = raw[36 + 3 * i:39 + 3 * i]
            block_map = (block["full"] and
                         raw[36 + 3 * SLAB_JOURNAL_FULL_ENTRIES + i // 8] >> i % 8 & 1)
            yield (low | middle << 8 | (high & 0x7F) << 16, bool(high & 0x80),
                   bool(block_map))

    def slab_journal_state(self, slab):
        """Section 7.5: (head, tail, newest recovery point)."""
        entry = self.slab_summary()[slab]
        if not (entry["tail_offset"] == 0 and not entry["load"]):
            size = self.super["slab_config"]["slab_journal_blocks"]
            block = self.slab_journal_block(slab, (entry["tail_offset"] - 1) % size)
            if block["ours"]:
                tail = block["sequence"] + 1
                return (block["head"] if entry["dirty"] else tail, tail,
                        block["recovery_point"])
        return 1, 1, (0, 0)

    # Section 7.1

    def reference_counts(self, slab):
        """The counts of a slab after applying its journal, and its warnings."""
        entry = self.slab_summary()[slab]
        blocks = ceil_div(self.data_blocks, COUNTS_PER_BLOCK)
        counts = bytearray(blocks * COUNTS_PER_BLOCK)
        points = [(0, 0)] * (8 * blocks)
        if entry["load"]:
            raw = self.read(self.first_block + slab * self.slab_blocks +
                            self.data_blocks, blocks)
            for sector in range(8 * blocks):
                at = sector * SECTOR
                points[sector] = unpack_point(struct.unpack_from("<Q", raw, at)[0])
                counts[sector * COUNTS_PER_SECTOR:
                       (sector + 1) * COUNTS_PER_SECTOR] = raw[at + 8:at + SECTOR]
        counts = bytearray(0 if c == PROVISIONAL_COUNT else c for c in counts)
        if any(counts[self.data_blocks:]):
            raise FormatError(f"slab {slab}: counts past the data blocks")
        if entry["dirty"]:
            self._apply_slab_journal(slab, counts, points)
        return counts[:self.data_blocks]

    def _apply_slab_journal(self, slab, counts, points):
        head, tail, _ = self.slab_journal_state(slab)
        size = self.super["slab_config"]["slab_journal_blocks"]
        for sequence in range(head, tail):
            block = self.slab_journal_block(slab, sequence % size)
            capacity = (SLAB_JOURNAL_FULL_ENTRIES if block["full"]
                        else SLAB_JOURNAL_ENTRIES)
            if (not block["ours"] or block["sequence"] != sequence or
                    block["count"] > capacity):
                raise FormatError(f"slab {slab}: bad journal block {sequence}")
            for i, change in enumerate(self.slab_journal_entries(block)):
                offset = change[0]
                if points[offset // COUNTS_PER_SECTOR] < (sequence, i):
                    self.adjust(counts, slab, change)

    @staticmethod
    def adjust(counts, slab, change):
        offset, increment, block_map = change
        count = counts[offset]
        if increment and block_map and count == 0:
            counts[offset] = BLOCK_MAP_COUNT
        elif increment and not block_map and count < BLOCK_MAP_COUNT:
            counts[offset] += 1
        elif not increment and count > 0:
            counts[offset] -= 1
        else:
            raise FormatError(f"slab {slab} offset {offset}: cannot apply "
                              f"{change[1:]} to a count of {count}")

    # Sections 6 and 10.3

    def journal_header(self, raw):
        (bm_head, sj_head, sequence, nonce, kind, count, logical, pages, check,
         recoveries) = struct.unpack_from("<QQQQBHQQBB", raw)
        return {"block_map_head": bm_head, "slab_journal_head": sj_head,
                "sequence": sequence, "nonce": nonce, "type": kind, "count": count,
                "logical_blocks_used": logical, "block_map_data_blocks": pages,
                "check": check, "recoveries": recoveries, "raw": raw}

    def scan_journal(self):
        """Sections 10.3 A and B: bounds and entries of the recovery journal."""
        size = self.super["recovery_journal_size"]
        start = self.super["layout"]["partitions"]["recovery_journal"]["offset"]
        state = self.super["recovery_journal"]
        recoveries = self.super["complete_recoveries"] & 0xFF
        blocks = {}
        found = False
        highest, bm_head, sj_head = state["journal_start"], 0, 0
        for first in range(0, size, 256):
            chunk = self.read(start + first, min(256, size - first))
            for i in range(len(chunk) // BLOCK):
                header = self.journal_header(chunk[i * BLOCK:(i + 1) * BLOCK])
                limit = {JOURNAL_TYPE: JOURNAL_BLOCK_ENTRIES, OLD_JOURNAL_TYPE:
                         OLD_JOURNAL_BLOCK_ENTRIES}.get(header["type"], -1)
                if (header["nonce"] != self.nonce or header["count"] > limit or
                        header["recoveries"] != recoveries or
                        header["sequence"] % size != first + i):
                    continue
                blocks[header["sequence"]] = header
                if header["sequence"] >= highest:
                    found = True
                    highest = header["sequence"]
                if found:
                    bm_head = max(bm_head, header["block_map_head"])
                    sj_head = max(sj_head, header["slab_journal_head"])
        result = {"blocks_of_this_journal": len(blocks), "found": found,
                  "highest": highest, "block_map_head": bm_head,
                  "slab_journal_head": sj_head, "usable_tail": None,
                  "entries": [], "totals": (state["logical_blocks_used"],
                                            state["block_map_data_blocks"])}
        if not found:
            return result

        last = None
        for sequence in range(min(bm_head, sj_head), highest + 1):
            header = blocks.get(sequence)
            if header is None:
                break
            if header["type"] != JOURNAL_TYPE:
                raise FormatError("recovery journal: old format")
            accepted = self.journal_entries(header)
            if accepted:
                last = header
                result["entries"] += [(sequence, i, *entry)
                                      for i, entry in enumerate(accepted)]
            if (header["count"] != JOURNAL_BLOCK_ENTRIES or
                    len(accepted) != header["count"]):
                break
        if last is not None:
            tail = last["sequence"]
            if bm_head > tail or sj_head > tail:
                raise FormatError("recovery journal: heads are past the tail")
            result["usable_tail"] = tail
            logical = last["logical_blocks_used"]
            pages = last["block_map_data_blocks"]
            for sequence, _, operation, _, _, new, old in result["entries"]:
                if sequence == tail:
                    if operation == 1:
                        pages += 1
                    else:
                        logical += (new[1] != UNMAPPED) - (old[1] != UNMAPPED)
            result["totals"] = (logical, pages)
        return result

    def journal_entries(self, header):
        """The usable entries of a recovery journal block."""
        raw, left, entries = header["raw"], header["count"], []
        for sector in range(1, 8):
            at = sector * SECTOR
            check, recoveries, count = raw[at:at + 3]
            if ((check, recoveries) != (header["check"], header["recoveries"]) or
                    count > JOURNAL_SECTOR_ENTRIES):
                break
            usable = min(count, left)
            entries += [self.journal_entry(raw, at + 3 + 16 * i)
                        for i in range(usable)]
            left -= usable
            if usable < JOURNAL_SECTOR_ENTRIES or left == 0:
                break
        return entries

    @staticmethod
    def journal_entry(raw, at):
        """Section 6.3: (operation, page, slot, new mapping, old mapping)."""
        page = (raw[at + 1] >> 4) << 32 | int.from_bytes(raw[at + 2:at + 6], "little")
        return (raw[at] & 3, page, raw[at] >> 2 | (raw[at + 1] & 0xF) << 6,
                unpack_mapping(raw, at + 6), unpack_mapping(raw, at + 11))

    def check_journal_entry(self, entry):
        operation, page, slot, new, old = entry
        good = (page < self.super["physical_blocks"] and slot < ENTRIES_PER_PAGE and
                self.valid_mapping(new) and self.valid_mapping(old))
        if operation == 1:
            good = good and new[0] != 0 and new[1] == UNCOMPRESSED and old == (0, 0)
        if not good:
            raise FormatError(f"recovery journal: bad entry {entry}")

    def replay(self):
        """Section 10.3 C: apply the recovery journal to the block map."""
        journal = self.scan_journal()
        for sequence, _, *entry in journal["entries"]:
            if sequence < journal["block_map_head"]:
                continue
            self.check_journal_entry(entry)
            _, page, slot, (pbn, state), _ = entry
            packed = bytes([state | pbn >> 32 << 4]) + (pbn & 0xFFFFFFFF).to_bytes(4, "little")
            self.set_entry(page, slot, packed)
        return journal

    def replayed_counts(self, journal):
        """Section 10.3 D: reference counts after replay into the slab journals."""
        pending = {}
        for sequence, i, operation, _, _, new, old in journal["entries"]:
            if sequence < journal["slab_journal_head"]:
                continue
            for half, pbn, increment in ((0, new[0], True), (1, old[0], False)):
                if pbn:
                    slab, offset = self.slab_of(pbn)
                    pending.setdefault(slab, []).append(
                        ((sequence, 2 * i + half), offset, increment,
                         operation == 1 and increment))
        counts = {}
        for slab in range(self.slab_count):
            if slab not in pending:
                counts[slab] = self.reference_counts(slab)
                continue
            counts[slab] = self._replay_slab(slab, pending[slab])
        return counts

    def _replay_slab(self, slab, changes):
        """Apply journal entries newer than the slab journal's last one.

        The new entries continue the slab journal, so their slab journal points
        decide whether the counts on disk already reflect them."""
        entry = self.slab_summary()[slab]
        _, tail, newest = self.slab_journal_state(slab)
        blocks = ceil_div(self.data_blocks, COUNTS_PER_BLOCK)
        counts = bytearray(self.reference_counts(slab))
        points = [(0, 0)] * (8 * blocks)
        if entry["load"]:
            raw = self.read(self.first_block + slab * self.slab_blocks +
                            self.data_blocks, blocks)
            points = [unpack_point(struct.unpack_from("<Q", raw, sector * SECTOR)[0])
                      for sector in range(8 * blocks)]
        position, full = 0, False
        for point, offset, increment, block_map in changes:
            if point <= newest:
                continue
            if position >= SLAB_JOURNAL_FULL_ENTRIES and (full or block_map):
                tail, position, full = tail + 1, 0, False
            if points[offset // COUNTS_PER_SECTOR] < (tail, position):
                self.adjust(counts, slab, (offset, increment, block_map))
            full = full or block_map
            position += 1
            if position == (SLAB_JOURNAL_FULL_ENTRIES if full else SLAB_JOURNAL_ENTRIES):
                tail, position, full = tail + 1, 0, False
        return counts

    # Everything together

    def audit(self, journal=None):
        """Compare the block map with reference counts and counters."""
        problems = []
        expected = [bytearray(self.data_blocks) for _ in range(self.slab_count)]
        totals = {"mapped": 0, "zero": 0, "compressed": 0, "pages": 0}

        def on_page(pbn, level):
            slab, offset = self.slab_of(pbn)
            if expected[slab][offset]:
                problems.append(f"tree page {pbn} (level {level}) is used twice")
            expected[slab][offset] = BLOCK_MAP_COUNT
            totals["pages"] += 1

        def on_leaf_entry(lbn, mapping):
            pbn, state = mapping
            if not self.valid_mapping(mapping):
                problems.append(f"logical block {lbn}: invalid mapping {mapping}")
                return
            if lbn >= self.logical_blocks:
                problems.append(f"logical block {lbn} is past the end, but mapped")
            totals["mapped"] += 1
            totals["zero"] += pbn == 0
            totals["compressed"] += state >= FIRST_COMPRESSED
            if pbn:
                slab, offset = self.slab_of(pbn)
                if expected[slab][offset] == BLOCK_MAP_COUNT:
                    problems.append(f"block {pbn} has too many references")
                else:
                    expected[slab][offset] += 1

        self.walk(on_page, on_leaf_entry)
        if journal is None:
            state = self.super["recovery_journal"]
            used, pages = state["logical_blocks_used"], state["block_map_data_blocks"]
        else:
            used, pages = journal["totals"]
        if used != totals["mapped"]:
            problems.append(f"logical_blocks_used is {used}, not {totals['mapped']}")
        if pages != totals["pages"]:
            problems.append(f"block_map_data_blocks is {pages}, not {totals['pages']}")

        totals["allocated"] = 0
        if self.super["state"] != STATE_NEW:
            replayed = self.replayed_counts(journal) if journal is not None else None
            for slab in range(self.slab_count):
                stored = (replayed[slab] if replayed is not None
                          else self.reference_counts(slab))
                totals["allocated"] += self.data_blocks - stored.count(0)
                if stored != expected[slab]:
                    wrong = [i for i in range(self.data_blocks)
                             if stored[i] != expected[slab][i]]
                    i = wrong[0]
                    problems.append(
                        f"slab {slab}: {len(wrong)} wrong reference counts, the first"
                        f" at offset {i}: {stored[i]}, not {expected[slab][i]}")
        return totals, problems

    def describe(self, all_slabs=False):
        """Everything worth printing, as plain data."""
        report = {"geometry": self.geometry, "super_block": self.super,
                  "slab_count": self.slab_count, "warnings": self.warnings}
        if self.super["state"] == STATE_NEW:
            report["slab_summary"] = "not initialised yet"
        else:
            initial = self.initial_summary()
            summary = self.slab_summary()
            slabs = []
            for slab in range(self.slab_count):
                if summary[slab] == initial and not all_slabs:
                    continue
                head, tail, point = self.slab_journal_state(slab)
                slabs.append({"slab": slab, **summary[slab], "journal_head": head,
                              "journal_tail": tail, "recovery_point": list(point)})
            report["slab_summary"] = {
                "pristine_slabs": sum(summary[slab] == initial
                                      for slab in range(self.slab_count)),
                "slabs": slabs,
                "entries_of_future_slabs_are_initial": all(
                    entry == initial for entry in summary[self.slab_count:]),
            }
        journal = self.scan_journal()
        journal["entries"] = len(journal["entries"])
        journal["totals"] = dict(zip(("logical_blocks_used", "block_map_data_blocks"),
                                     journal["totals"]))
        report["journal_scan"] = journal
        return report


def print_report(value, name="", depth=0):
    pad = "  " * depth
    if isinstance(value, dict):
        if name:
            print(f"{pad}{name}:")
            depth += 1
        for key, item in value.items():
            print_report(item, key, depth)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        print(f"{pad}{name}:")
        for item in value:
            print(f"{pad}  " + " ".join(f"{key}={item[key]}" for key in item))
    else:
        if name in ("nonce", "checksum", "index_memory"):
            value = f"{value} ({value:#x})"
        print(f"{pad}{name}: {value}")


def hex_dump(data, base):
    last = None
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        if row == last:
            if not skipped:
                print("*")
            skipped = True
            continue
        last, skipped = row, False
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
        print(f"{base + at:012x}  {row.hex(' ')}  {text}")


def main():
    parser = argparse.ArgumentParser(
        description="Inspect a dm-vdo volume (read-only).")
    parser.add_argument("image")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--slabs", action="store_true",
                        help="list pristine slabs, too")
    parser.add_argument("--read", nargs="+", type=int, metavar="N",
                        help="print the contents of logical blocks: LBN [COUNT]")
    parser.add_argument("--map", nargs="+", type=int, metavar="N",
                        help="print the mappings of logical blocks: LBN [COUNT]")
    parser.add_argument("--journal", action="store_true",
                        help="print the entries of the recovery journal")
    parser.add_argument("--audit", action="store_true",
                        help="check the metadata for consistency")
    parser.add_argument("--replay", action="store_true",
                        help="apply the recovery journal first, in memory")
    parser.add_argument("-o", "--output", metavar="FILE",
                        help="where --read puts the blocks (- is standard output)")
    options = parser.parse_args()
    for name in ("read", "map"):
        if len(getattr(options, name) or ()) > 2:
            parser.error(f"--{name} takes LBN [COUNT]")

    volume = Volume(options.image)
    journal = volume.replay() if options.replay else None
    status = 0

    if options.read:
        lbn, count = (options.read + [1])[:2]
        output = None
        if options.output:
            output = sys.stdout.buffer if options.output == "-" else open(options.output, "wb")
        for block in range(lbn, lbn + count):
            data = volume.read_logical(block)
            if output:
                output.write(data)
            else:
                (pbn, state), _ = volume.lookup(block)
                print(f"logical block {block}: physical {pbn}, state {state}")
                hex_dump(data, block * BLOCK)
        if output:
            output.flush()
    elif options.map:
        lbn, count = (options.map + [1])[:2]
        for block in range(lbn, lbn + count):
            (pbn, state), leaf = volume.lookup(block)
            print(f"{block} {pbn} {state} (page {leaf}, slot {block % ENTRIES_PER_PAGE})")
    elif options.journal:
        for sequence, i, operation, page, slot, new, old in volume.scan_journal()["entries"]:
            print(f"{sequence}.{i} {('data', 'tree')[operation & 1]} page {page} slot {slot}: "
                  f"{old[0]}/{old[1]} -> {new[0]}/{new[1]}")
    elif options.audit:
        totals, problems = volume.audit(journal)
        if options.json:
            print(json.dumps({"totals": totals, "problems": problems}, indent=2))
        else:
            print(" ".join(f"{key}={value}" for key, value in totals.items()))
            for problem in problems:
                print(problem)
        status = 1 if problems else 0
    else:
        report = volume.describe(options.slabs)
        if options.json:
            print(json.dumps(report, indent=2))
        else:
            print_report(report)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (FormatError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
        else:
            print(f"vdo_inspect.py: {error}", file=sys.stderr)
        sys.exit(1)

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The geometry block, and the arithmetic of the index region's size.
 *
 * Version 4.0 is 5.0 without its bio_offset, so one cursor walks both.
 *
 * The size of an index region follows from what the index stores: chapters of
 * pages, and twice the saved state, which is mostly the volume index. Each
 * function below is one step of V 2.2, named for what it measures.
 */
#include "config.h"

#include "format/geometry.h"

#include <string.h>

#include <vdo/error.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/bytes.h"

#define MAGIC        "dmvdo001"
#define MAGIC_SIZE   8
#define COMPONENT_ID 5

/* The size counts the magic, the header, the body and the CRC. */
#define SIZE_OF_5 101
#define SIZE_OF_4 93

uint32_t format_crc(const void *p, size_t n)
{
	/* zlib's register is inverted: this makes it start at 0. */
	return (uint32_t)crc32(0xffffffff, p, (uInt)n);
}

void geometry_encode(const struct geometry *g, uint8_t *block)
{
	struct writer w = {block};
	bool v4 = g->version_major == 4;

	VDO_ASSERT(v4 || g->version_major == 5);
	memset(block, 0, BLOCK_SIZE);
	write_bytes(&w, MAGIC, MAGIC_SIZE);
	write_u32(&w, COMPONENT_ID);
	write_u32(&w, g->version_major);
	write_u32(&w, 0);
	write_u64(&w, v4 ? SIZE_OF_4 : SIZE_OF_5);
	write_u32(&w, g->unused);
	write_u64(&w, g->nonce);
	write_bytes(&w, g->uuid, sizeof(g->uuid));
	if (!v4)
		write_u64(&w, g->bio_offset);
	write_u32(&w, 0);
	write_u64(&w, g->index_start);
	write_u32(&w, 1);
	write_u64(&w, g->data_start);
	write_u32(&w, (uint32_t)g->index_memory);
	write_u32(&w, 0);
	write_u8(&w, g->index_sparse);
	write_u32(&w, format_crc(block, (size_t)(w.p - block)));
	VDO_ASSERT(w.p == block + (v4 ? SIZE_OF_4 : SIZE_OF_5));
}

/* Read the header; up to major version 4 it must be that of 4.0. */
static int read_header(struct reader *r, uint32_t *major)
{
	uint32_t id = read_u32(r);
	uint32_t minor;
	uint64_t size;

	*major = read_u32(r);
	minor = read_u32(r);
	size = read_u64(r);
	if (id != COMPONENT_ID || minor != 0)
		return -VDO_EVERSION;
	if (*major == 4 && size == SIZE_OF_4)
		return 0;
	if (*major == 5 && size == SIZE_OF_5)
		return 0;
	return -VDO_EVERSION;
}

int geometry_decode(const uint8_t *block, struct geometry *g)
{
	struct reader r = {block};
	size_t covered;
	int result;

	memset(g, 0, sizeof(*g));
	if (memcmp(block, MAGIC, MAGIC_SIZE) != 0)
		return -VDO_ENOTVDO;
	r.p += MAGIC_SIZE;
	result = read_header(&r, &g->version_major);
	if (result != 0)
		return result;
	covered = (g->version_major == 4 ? SIZE_OF_4 : SIZE_OF_5) - 4;
	if (get_u32(block + covered) != format_crc(block, covered))
		return -VDO_ECHECKSUM;

	g->unused = read_u32(&r);
	g->nonce = read_u64(&r);
	read_bytes(&r, g->uuid, sizeof(g->uuid));
	if (g->version_major == 5)
		g->bio_offset = read_u64(&r);
	read_u32(&r); /* region ids are not looked at */
	g->index_start = read_u64(&r);
	read_u32(&r);
	g->data_start = read_u64(&r);
	g->index_memory = (int32_t)read_u32(&r);
	read_u32(&r);
	g->index_sparse = read_u8(&r) != 0;
	VDO_ASSERT(r.p == block + covered);
	return 0;
}

#define INDEX_PAGE_SIZE       32768
#define INDEX_RECORDS_A_PAGE  1024
#define INDEX_LIST_HEADER     19 /* bits of a delta list's place */
#define INDEX_SPARSE_SAMPLING 32
#define INDEX_GIB_MAX         1024
#define INDEX_REDUCED         4096 /* added to a code: one chapter fewer */

struct index_shape {
	uint64_t pages;    /* of records, in a chapter */
	uint64_t chapters;
	uint64_t sparse_chapters;
};

/* Decode a memory code; false if Linux does not know it. */
static bool index_shape_of(int32_t memory, bool sparse, struct index_shape *s)
{
	int64_t code = memory;
	bool reduced = false;
	uint64_t base;

	if (code > INDEX_REDUCED) {
		code -= INDEX_REDUCED;
		reduced = true;
	} else if (code <= -1024 - 256) {
		code += 1024;
		reduced = true;
	}
	if (code == -256 || code == -512 || code == -768) {
		s->pages = (uint64_t)-code / 4;
		base = 1024;
	} else if (code >= 1 && code <= INDEX_GIB_MAX) {
		s->pages = 256;
		base = 1024 * (uint64_t)code;
	} else {
		return false;
	}
	s->sparse_chapters = sparse ? 19 * base / 2 : 0;
	if (sparse)
		base *= 10;
	s->chapters = base - reduced;
	return true;
}

/* Binary digits of @n, at least 1. */
static unsigned bits(uint64_t n)
{
	return n == 0 ? 1 : log2_floor(n) + 1;
}

/* Bits of a delta index of @entries, @mean apart, with @payload bits each. */
static uint64_t delta_bits(uint64_t entries, uint64_t mean, unsigned payload)
{
	uint64_t k = (UINT64_C(836158) * mean + 603160) / 1206321;

	return entries * (payload + bits(k + 1) + 1) + entries / 2;
}

/* Pages of the index of one chapter. */
static uint64_t chapter_index_pages(const struct index_shape *s)
{
	uint64_t records = INDEX_RECORDS_A_PAGE * s->pages;
	uint64_t lists = UINT64_C(1) << (bits((records - 1) | 63) - 6);
	uint64_t size = delta_bits(records, 65536, bits(s->pages - 1));
	uint64_t a_page = (INDEX_PAGE_SIZE - 20) * 8 - INDEX_LIST_HEADER -
			  size / lists;

	return div_up(size + INDEX_LIST_HEADER * lists, a_page);
}

/* Bytes to save one part of the volume index. */
static uint64_t volume_index_part(uint64_t records, uint64_t chapters)
{
	uint64_t even = chapters + chapters % 2;
	uint64_t lists = MAX(records * even / 256, 256);
	uint64_t kept = even + MAX(even / 256, 2);
	uint64_t mean = (lists << 20) / (records * kept);
	uint64_t bytes = delta_bits(records, mean, bits(even - 1)) * kept / 8;
	uint64_t memory = div_up(bytes * 106 / 100, 65536) * 65536;

	return 40 + 8 * lists + 40 + 9 * lists + memory;
}

static uint64_t volume_index_bytes(const struct index_shape *s)
{
	uint64_t records = INDEX_RECORDS_A_PAGE * s->pages;
	uint64_t hooks = records / INDEX_SPARSE_SAMPLING;

	if (s->sparse_chapters == 0)
		return volume_index_part(records, s->chapters);
	return 12 + volume_index_part(hooks, s->chapters) +
	       volume_index_part(records - hooks,
				 s->chapters - s->sparse_chapters);
}

uint64_t index_region_blocks(int32_t memory, bool sparse)
{
	struct index_shape s;
	uint64_t index_pages, volume, volume_index, page_map, open_chapter;

	if (!index_shape_of(memory, sparse, &s))
		return 0;
	index_pages = chapter_index_pages(&s);
	volume = 8 * ((index_pages + s.pages) * s.chapters + 1);
	volume_index = div_up(volume_index_bytes(&s) + 8, BLOCK_SIZE) + 16;
	page_map = div_up(16 + 2 * s.chapters * (index_pages - 1), BLOCK_SIZE);
	open_chapter = div_up(14 + 32 * INDEX_RECORDS_A_PAGE * s.pages,
			      BLOCK_SIZE);
	return 3 + volume + 2 * (1 + volume_index + page_map + open_chapter);
}

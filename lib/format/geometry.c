/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The geometry block.
 *
 * Version 4.0 is 5.0 without its bio_offset, so one cursor walks both.
 */
#include "build.h"

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
